//! JSON documents as Docker writes them into answers: with an end of line behind each.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An answer that is one document.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        const TYPE: (header::HeaderName, HeaderValue) =
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match serde_json::to_string(&self.0) {
            Ok(mut text) => {
                text.push('\n');
                ([TYPE], text).into_response()
            }
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}
