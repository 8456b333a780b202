//! Why a registry has not done what it was asked, in Docker's words: they are what people look for on the web.

use crate::error::{ApiError, go_words};
use crate::image::Reference;
use axum::http::StatusCode;
use oci_client::errors::{OciDistributionError as Failure, OciEnvelope, OciErrorCode as Code};
use std::error::Error;
use std::io;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub kind: Kind,
    /// What the registry said.
    words: String,
}

/// What Docker tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There was no answer.
    Unreached,
    /// It wants a password and was given none.
    NoCredentials,
    /// It was given a wrong one.
    Unauthorized,
    /// One may not.
    Denied,
    /// The repository has no such image.
    NoImage,
    /// There is no such repository.
    NoRepository,
    /// Anything else.
    Other,
}

/// Who asks: that decides what an answer of 401 means, and the client library does not tell what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Somebody without credentials.
    Nobody,
    /// Somebody with a password.
    Person,
    /// Somebody to whom the registry has given a token, which did not do.
    Bearer,
}

impl Refusal {
    /// What a failure of the client library means.
    pub fn of(failure: Failure, asker: Asker) -> Self {
        match failure {
            Failure::UnauthorizedError { .. } => Self::of_unauthorized(asker),
            Failure::AuthenticationFailure(body) => {
                let told = Self::of_body(&body);
                told.unwrap_or_else(|| Self::of_code(&Code::Unauthorized, "authentication required"))
            }
            Failure::ImageManifestNotFoundError(_) => {
                Self::of_code(&Code::ManifestUnknown, "manifest unknown")
            }
            Failure::RegistryError { envelope, .. } => Self::of_envelope(&envelope)
                .unwrap_or_else(|| Self::other("the registry refuses and does not say why")),
            Failure::ServerError { code, message, .. } => {
                Self::of_body(&message).unwrap_or_else(|| Self::of_status(code, asker))
            }
            Failure::RequestError(error) => match (error.status(), error.url()) {
                (Some(status), _) => Self::of_status(status.as_u16(), asker),
                (None, Some(url)) => {
                    let (scheme, host) = (url.scheme(), url.host_str().unwrap_or_default());
                    let words = unreached(scheme, host, url.port(), &error);
                    Self { kind: Kind::Unreached, words }
                }
                (None, None) => Self { kind: Kind::Unreached, words: chained(&error) },
            },
            other => Self::other(other.to_string()),
        }
    }

    fn other(words: impl Into<String>) -> Self {
        Self { kind: Kind::Other, words: words.into() }
    }

    fn of_unauthorized(asker: Asker) -> Self {
        match asker {
            Asker::Nobody => Self { kind: Kind::NoCredentials, words: "no basic auth credentials".into() },
            Asker::Person => Self::of_code(&Code::Unauthorized, "authentication required"),
            Asker::Bearer => Self::of_code(&Code::Denied, "requested access to the resource is denied"),
        }
    }

    fn of_status(status: u16, asker: Asker) -> Self {
        match StatusCode::from_u16(status) {
            Ok(StatusCode::UNAUTHORIZED) => Self::of_unauthorized(asker),
            Ok(status) => Self::other(format!("received unexpected HTTP status: {status}")),
            Err(_) => Self::other(format!("received unexpected HTTP status: {status}")),
        }
    }

    fn of_body(body: &str) -> Option<Self> {
        Self::of_envelope(&serde_json::from_str(body).ok()?)
    }

    fn of_envelope(envelope: &OciEnvelope) -> Option<Self> {
        envelope.errors.first().map(|error| Self::of_code(&error.code, &error.message))
    }

    fn of_code(code: &Code, message: &str) -> Self {
        let kind = match code {
            Code::ManifestUnknown => Kind::NoImage,
            Code::NameUnknown => Kind::NoRepository,
            Code::Denied => Kind::Denied,
            Code::Unauthorized => Kind::Unauthorized,
            _ => Kind::Other,
        };
        // `MANIFEST_UNKNOWN` is told as "manifest unknown".
        let code = serde_json::to_value(code).unwrap_or_default();
        let code = code.as_str().unwrap_or_default().to_lowercase().replace('_', " ");
        Self { kind, words: format!("{}: {}", first_line(&code), first_line(message)) }
    }

    /// As a pull of this name tells it, which began with this request.
    pub fn of_pull(self, reference: &Reference, request: &str) -> ApiError {
        let words = &self.words;
        match self.kind {
            Kind::NoImage => {
                ApiError::not_found(format!("manifest for {} not found: {words}", reference.shown()))
            }
            Kind::NoRepository => {
                ApiError::not_found(format!("repository {} not found: {words}", reference.name()))
            }
            Kind::Denied => ApiError::not_found(format!(
                "pull access denied for {}, repository does not exist or may require 'docker login': {words}",
                reference.name()
            )),
            Kind::NoCredentials => ApiError::internal(format!("{request}: {words}")),
            _ => self.into(),
        }
    }
}

impl From<Refusal> for ApiError {
    /// The status is 502 where there was no answer, and otherwise 500, which is what Docker gives all of these.
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.kind {
            Kind::Unreached => StatusCode::BAD_GATEWAY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, message: refusal.words }
    }
}

/// Why a registry was not reached: Docker begins with asking for `/v2/`.
fn unreached(scheme: &str, host: &str, port: Option<u16>, error: &(dyn Error + 'static)) -> String {
    let shown = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let mut errors = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
    let why = match errors.find(|error| error.raw_os_error().is_some()) {
        Some(error) => {
            let port = port.unwrap_or(if scheme == "http" { 80 } else { 443 });
            let address = if host == "localhost" { "127.0.0.1" } else { host };
            format!("dial tcp {address}:{port}: connect: {}", go_words(error))
        }
        None => chained(error),
    };
    format!("Get \"{scheme}://{shown}/v2/\": {why}")
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// An error with all that led to it.
fn chained(error: &(dyn Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A registry's words are a stranger's: one line, and not too long.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_reached_is_told_in_docker_s_words() {
        let refused = io::Error::from_raw_os_error(rustix::io::Errno::CONNREFUSED.raw_os_error());
        assert_eq!(
            unreached("http", "localhost", Some(1), &refused),
            "Get \"http://localhost:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused"
        );
        let other = io::Error::other("no such name");
        assert_eq!(
            unreached("https", "a.example", None, &other),
            "Get \"https://a.example/v2/\": no such name"
        );
    }

    #[test]
    fn refusals_are_docker_s() {
        let pull = |failure, asker, reference: &str| {
            let reference = Reference::parse(reference).unwrap();
            let error = Refusal::of(failure, asker).of_pull(&reference, "Head \"x\"");
            (error.status.as_u16(), error.message)
        };
        let server =
            |code, message: &str| Failure::ServerError { code, url: "u".into(), message: message.into() };
        let unauthorized = || Failure::UnauthorizedError { url: "u".into() };
        for (failure, asker, reference, told) in [
            (
                server(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#),
                Asker::Nobody,
                "r.io/a:1",
                (404, "manifest for r.io/a:1 not found: manifest unknown: manifest unknown"),
            ),
            (
                server(404, r#"{"errors":[{"code":"NAME_UNKNOWN","message":"no\nsuch"}]}"#),
                Asker::Nobody,
                "r.io/a",
                (404, "repository r.io/a not found: name unknown: no"),
            ),
            (unauthorized(), Asker::Nobody, "a", (500, "Head \"x\": no basic auth credentials")),
            (unauthorized(), Asker::Person, "a", (500, "unauthorized: authentication required")),
            (
                unauthorized(),
                Asker::Bearer,
                "a:1",
                (
                    404,
                    "pull access denied for a, repository does not exist or may require 'docker login': denied: requested \
                     access to the resource is denied",
                ),
            ),
            (
                server(429, r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"later"}]}"#),
                Asker::Nobody,
                "a",
                (500, "toomanyrequests: later"),
            ),
            (
                server(503, "<html>"),
                Asker::Nobody,
                "a",
                (500, "received unexpected HTTP status: 503 Service Unavailable"),
            ),
        ] {
            assert_eq!(pull(failure, asker, reference), (told.0, told.1.to_owned()));
        }
    }

    #[test]
    fn a_stranger_s_words_are_cut() {
        assert_eq!(first_line("a\u{1b}[31mb\nc"), "a[31mb");
        assert_eq!(first_line(&"x".repeat(1000)).len(), 200);
    }
}
