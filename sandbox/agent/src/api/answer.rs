//! How refusals and bodies look on the wire: JSON in, JSON out, an `ApiError` whenever something is refused.

use crate::refusal::{Kind, Refusal};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

/// A refusal on its way out.
#[derive(Debug)]
pub struct Refused(pub Refusal);

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match self.0.kind {
            Kind::Invalid | Kind::NoProgram { .. } => StatusCode::BAD_REQUEST,
            Kind::Absent => StatusCode::NOT_FOUND,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::Limit => StatusCode::TOO_MANY_REQUESTS,
            Kind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        };
        if status.is_server_error() {
            tracing::warn!(%status, message = self.0.message, "refused");
        }
        (status, Json(self.0.body())).into_response()
    }
}

/// The answer to a path that there is not.
pub fn no_such_place() -> Refused {
    Refusal::new(Kind::Absent, "The agent has no such path.")
        .mend("GET /v1/openapi.json describes all of them.")
        .into()
}

/// A JSON body. An absent one counts as `{}`, whatever the content type says: the socket is for programs.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let invalid = |message: String| Refused(Refusal::new(Kind::Invalid, message));
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|error| invalid(format!("The request's body cannot be read: {error}.")))?;
        let bytes = if bytes.is_empty() { Bytes::from_static(b"{}") } else { bytes };
        let body = serde_json::from_slice(&bytes)
            .map_err(|error| invalid(format!("The request's body is not what this path takes: {error}.")))?;
        Ok(Self(body))
    }
}
