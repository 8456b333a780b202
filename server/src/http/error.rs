//! The one error of the browser-facing routes. It is told as a page or as JSON, as the browser asked; what
//! went wrong inside is logged and never sent.

use super::assets;
use crate::agent_client::AgentError;
use crate::pages::ErrorPage;
use askama::Template;
use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use isolab_protocol::ApiError;

/// What a request is answered with when it cannot be done.
#[derive(Clone, Debug)]
pub struct HttpError {
    status: StatusCode,
    error: ApiError,
}

impl HttpError {
    /// An error with words for the person who asked.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, error: ApiError { message: message.into(), mend: None } }
    }

    /// What that person can do about it.
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.error.mend = Some(mend.into());
        self
    }

    /// There is no such page or thing.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, what).mend("The course lists every lesson.")
    }

    /// The request is not one that the pages send.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    fn internal(what: &str, error: &dyn std::fmt::Display) -> Self {
        tracing::error!("{what}: {error}");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Something in Isolab went wrong; your lab is not affected.",
        )
        .mend("Reload the page. If it stays so, the terminal in which `isolab serve` runs says more.")
    }
}

impl From<sqlx::Error> for HttpError {
    fn from(error: sqlx::Error) -> Self {
        Self::internal("the database", &error)
    }
}

impl From<askama::Error> for HttpError {
    fn from(error: askama::Error) -> Self {
        Self::internal("a template", &error)
    }
}

impl From<AgentError> for HttpError {
    fn from(error: AgentError) -> Self {
        match error {
            // The agent's refusals are written for people already.
            AgentError::Refused { status, error } => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
                Self { status, error }
            }
            other => {
                tracing::warn!("the agent: {other}");
                let mend =
                    other.mend().unwrap_or("Wait a moment and try again; the page goes on trying too.");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "The agent, which runs the labs, does not answer.")
                    .mend(mend)
            }
        }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let mut answer = (self.status, Json(&self.error)).into_response();
        answer.extensions_mut().insert(self);
        answer
    }
}

/// Tells every error, the framework's own ones too, as a page where the browser shows one.
pub async fn dress(request: Request, next: Next) -> Response {
    let page = wants_page(request.headers());
    let answer = next.run(request).await;
    let status = answer.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return answer;
    }
    let told = answer.extensions().get::<HttpError>().cloned().unwrap_or_else(|| usual(status));
    let mut dressed = if page { told.page() } else { told.into_response() };
    if let Some(allow) = answer.headers().get(header::ALLOW) {
        dressed.headers_mut().insert(header::ALLOW, allow.clone());
    }
    dressed.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    dressed
}

impl HttpError {
    fn page(self) -> Response {
        let ApiError { message, mend } = self.error.clone();
        let page = ErrorPage { chrome: assets::chrome(), status: self.status.as_u16(), message, mend };
        match page.render() {
            Ok(html) => (self.status, Html(html)).into_response(),
            Err(error) => {
                tracing::error!("the error page: {error}");
                self.into_response()
            }
        }
    }
}

/// Words for a status that comes from the framework.
fn usual(status: StatusCode) -> HttpError {
    match status {
        StatusCode::NOT_FOUND => HttpError::not_found("There is no such page."),
        StatusCode::METHOD_NOT_ALLOWED => {
            HttpError::new(status, "This address does not take that kind of request.")
        }
        StatusCode::PAYLOAD_TOO_LARGE => {
            HttpError::new(status, "The request is larger than any that a page sends.")
        }
        StatusCode::UPGRADE_REQUIRED => {
            HttpError::new(status, "This address is a terminal's; it speaks WebSocket.")
        }
        other if other.is_client_error() => {
            HttpError::new(other, "The request is not one that a page sends.")
        }
        other => HttpError::internal("an answer without words", &other),
    }
}

/// Whether the browser asks for a page: a navigation or a form, not a script.
pub fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|kind| kind.trim().starts_with("text/html"))
}
