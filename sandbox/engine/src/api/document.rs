//! Bodies that are JSON documents, read as Docker reads them. The errors are Go's.

use crate::error::ApiError;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A body that has to be said to be JSON: that is looked at before anything else, also before what the path names.
#[derive(Debug)]
pub struct Document(Bytes);

impl<S: Send + Sync> FromRequest<S> for Document {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let said = type_of(request.headers()).to_owned();
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|error| ApiError { status: error.status(), message: error.body_text() })?;
        let is_json = said.split(';').next().is_some_and(|word| word.trim().eq_ignore_ascii_case(JSON));
        match is_json || said.is_empty() && body.is_empty() {
            true => Ok(Self(body)),
            false => Err(ApiError::bad_request(format!("Content-Type specified ({said}) must be '{JSON}'"))),
        }
    }
}

const JSON: &str = "application/json";

fn type_of(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

impl Document {
    /// What it says.
    pub fn read(&self) -> Result<Value, ApiError> {
        match self.0.iter().all(u8::is_ascii_whitespace) {
            true => Err(ApiError::bad_request("got EOF while reading request body")),
            false => json(&self.0),
        }
    }

    /// The same as a type of the API.
    pub fn typed<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        typed(self.read()?)
    }

    /// What it says, for the requests of which Docker does not look at what was wrong with it.
    pub fn read_unclassed(&self) -> Result<Value, ApiError> {
        json(&self.0).map_err(ApiError::unclassed)
    }
}

/// What a body says, whatever its type was said to be.
pub fn json(body: &[u8]) -> Result<Value, ApiError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::bad_request("EOF"));
    }
    serde_json::from_slice(body).map_err(|error| {
        ApiError::bad_request(if error.is_eof() { "unexpected EOF".into() } else { go_words(body, &error) })
    })
}

/// Why a text is not JSON, as Go words it.
pub fn go_words(text: &[u8], error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "unexpected end of JSON input".into();
    }
    let line = text.split(|&byte| byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let found = line.get(error.column().saturating_sub(1)).copied().unwrap_or(b'\n');
    let told = error.to_string();
    let place = [
        ("key must be a string", "looking for beginning of object key string"),
        ("expected `,` or `}`", "after object key:value pair"),
        ("expected `,` or `]`", "after array element"),
        ("expected `:`", "after object key"),
        ("trailing characters", "after top-level value"),
    ];
    let place = place.iter().find(|(ours, _)| told.starts_with(ours));
    format!(
        "invalid character {:?} {}",
        char::from(found),
        place.map_or("looking for beginning of value", |(_, go)| go)
    )
}

/// What Go calls a value that is of another kind than wanted.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A document as a type of the API.
pub fn typed<T: DeserializeOwned>(document: Value) -> Result<T, ApiError> {
    serde_json::from_value(document).map_err(|error| ApiError::bad_request(format!("invalid JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_bodies_are_told_as_docker_tells_them() {
        assert_eq!(json(b"").unwrap_err().message, "EOF");
        assert_eq!(json(b"{").unwrap_err().message, "unexpected EOF");
        for (body, words) in [
            ("x", "invalid character 'x' looking for beginning of value"),
            ("{]", "invalid character ']' looking for beginning of object key string"),
            ("{\n\"a\" 1}", "invalid character '1' after object key"),
            ("[1 2]", "invalid character '2' after array element"),
            ("{} {}", "invalid character '{' after top-level value"),
        ] {
            let error = json(body.as_bytes()).unwrap_err();
            assert_eq!((error.status.as_u16(), error.message.as_str()), (400, words));
        }
        let document = |body| Document(Bytes::from_static(body));
        assert_eq!(document(b" ").read().unwrap_err().message, "got EOF while reading request body");
        assert_eq!(document(b"{").read_unclassed().unwrap_err().status.as_u16(), 500);
    }

    #[tokio::test]
    async fn the_type_is_looked_at() {
        let taken = async |said: Option<&str>, body: &'static str| {
            let request = said
                .into_iter()
                .fold(Request::builder(), |request, said| request.header(header::CONTENT_TYPE, said));
            let request = request.body(axum::body::Body::from(body)).unwrap();
            Document::from_request(request, &()).await.map_err(|error| error.message)
        };
        assert!(taken(None, "").await.is_ok());
        assert!(taken(Some("Application/JSON; charset=utf-8"), "{}").await.is_ok());
        let refused = "Content-Type specified (text/plain) must be 'application/json'";
        assert_eq!(taken(Some("text/plain"), "{}").await.unwrap_err(), refused);
        assert!(taken(None, "{}").await.is_err());
    }
}
