//! The one way in which a request fails: a status code and Docker's own words for it.
//!
//! The Docker CLI prints the message as it is and derives its exit code from it, so wording matters here.

use crate::json::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// A refused or failed request. The body that a client sees is `{"message": "…"}`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Always an error status, or 304 (see [`ApiError::not_modified`]).
    pub status: StatusCode,
    /// What the client prints.
    pub message: String,
}

impl ApiError {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// 400: the request itself is wrong.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 403: Docker does not allow it.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// 404: there is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 409: the thing is not in a state for that.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// 500: the engine or the kernel failed.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// 503: what would do it is not there.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// 501: switched off, in Docker's own words.
    pub fn experimental() -> Self {
        let words = "This experimental feature is disabled by default. Start the Docker daemon in experimental mode in \
                     order to enable it.";
        Self::new(StatusCode::NOT_IMPLEMENTED, words)
    }

    /// 501, with a sentence that names what is missing: "Isolab's engine does not do `what` yet".
    pub fn not_yet(what: &str) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, format!("Isolab's engine does not do {what} yet"))
    }

    /// 304: already so. Docker sends no body with it.
    pub fn not_modified() -> Self {
        Self::new(StatusCode::NOT_MODIFIED, "")
    }

    /// 404 for a container.
    pub fn no_such_container(reference: &str) -> Self {
        Self::not_found(format!("No such container: {reference}"))
    }

    /// 409 for a container that has to run.
    pub fn not_running(id: &str) -> Self {
        Self::conflict(format!("Container {id} is not running"))
    }

    /// 409 for a container that will run by itself, but does not now.
    pub fn restarting(id: &str) -> Self {
        Self::conflict(format!("Container {id} is restarting, wait until the container is running"))
    }

    /// The same failure with the status of one that nobody has classed, which is what Docker gives it.
    pub fn unclassed(self) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, ..self }
    }

    /// The same failure, told with what was being done.
    pub fn while_doing(self, what: &str) -> Self {
        Self::new(self.status, format!("{what}: {}", self.message))
    }
}

/// The kernel's error as Go words it: without a capital, and without its number.
pub fn go_words(error: &std::io::Error) -> String {
    let text = match error.raw_os_error() {
        Some(_) => error.to_string().to_lowercase(),
        None => error.to_string(),
    };
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

impl From<std::io::Error> for ApiError {
    fn from(error: std::io::Error) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<rustix::io::Errno> for ApiError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::from(std::io::Error::from(error))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.status == StatusCode::NOT_MODIFIED {
            return self.status.into_response();
        }
        (self.status, Json(serde_json::json!({ "message": self.message }))).into_response()
    }
}
