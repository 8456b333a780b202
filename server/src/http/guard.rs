//! Who may ask: requests of Isolab's own pages, addressed to Isolab by its own name.
//!
//! A page of another site can make a browser send requests here, and, by pointing its own name at 127.0.0.1, even
//! read the answers. So the `Host` has to be one of the few names of this address (against that rebinding), and
//! whatever changes something has to come from a page of this very origin.

use super::HttpError;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::SocketAddr;
use std::sync::Arc;

/// What no answer may do. Scripts and styles are files of this origin; nothing else is loaded from anywhere, and
/// no style is inline either: the page gives xterm.js, which would make some, constructed style sheets instead.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

/// The names by which this server may be addressed.
#[derive(Clone, Debug)]
pub struct Origins(Arc<[String]>);

impl Origins {
    /// The loopback names with the port of `address`.
    pub fn of(address: SocketAddr) -> Self {
        let port = address.port();
        let names = ["127.0.0.1", "localhost", "[::1]"];
        // A browser leaves the port of http away.
        let bare = names.iter().filter(|_| port == 80).map(|&name| name.to_owned());
        Self(names.iter().map(|name| format!("{name}:{port}")).chain(bare).collect())
    }

    fn has_host(&self, host: &str) -> bool {
        self.0.iter().any(|own| own.eq_ignore_ascii_case(host))
    }

    /// Whether the request comes from a page that was loaded from the very host that it is sent to.
    fn is_same_origin(&self, headers: &HeaderMap) -> bool {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let (Some(host), Some(origin)) = (text(header::HOST), text(header::ORIGIN)) else { return false };
        let origin_host = origin.strip_prefix("http://");
        self.has_host(host) && origin_host.is_some_and(|origin| origin.eq_ignore_ascii_case(host))
    }
}

/// Refuses what does not come from Isolab's own pages.
pub async fn guard(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    match check(&origins, &request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Puts the security headers on every answer, refusals included.
pub async fn protect(request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not `no-referrer`: with it a browser sends `Origin: null` with the forms of these very pages.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

fn check(origins: &Origins, request: &Request) -> Result<(), HttpError> {
    let headers = request.headers();
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let named = request.uri().authority().is_none_or(|authority| origins.has_host(authority.as_str()));
    if !origins.has_host(host) || !named || headers.get_all(header::HOST).iter().count() != 1 {
        let own = origins.0.first().map_or("", String::as_str);
        return Err(HttpError::new(StatusCode::MISDIRECTED_REQUEST, "Isolab does not answer to that name.")
            .mend(format!("Open http://{own}/ instead.")));
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let upgrades = headers.contains_key(header::UPGRADE);
    if (!reads || upgrades) && !origins.is_same_origin(headers) {
        return Err(cross_site());
    }
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let api = request.uri().path().starts_with("/api/");
    match site {
        Some(site) if !reads && site != b"same-origin" => Err(cross_site()),
        Some(site) if api && site != b"same-origin" && site != b"none" => Err(cross_site()),
        _ => Ok(()),
    }
}

fn cross_site() -> HttpError {
    HttpError::new(StatusCode::FORBIDDEN, "Only Isolab's own pages may do that.")
        .mend("If you are on one: reload it, and open it under one name only.")
}
