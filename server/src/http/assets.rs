//! Styles, scripts and fonts: built into the program, at an address that changes with their content.

use crate::pages::Chrome;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

mod built {
    //! Written by `build.rs`.
    include!(concat!(env!("OUT_DIR"), "/assets.rs"));
}

/// What every page has round its content.
pub fn chrome() -> Chrome {
    Chrome { assets: format!("/assets/{}", built::DIGEST), version: env!("CARGO_PKG_VERSION") }
}

/// `GET /assets/{digest}/{path}`
pub async fn get(Path((digest, path)): Path<(String, String)>) -> Result<Response, StatusCode> {
    let found = built::FILES.binary_search_by(|(name, _)| name.cmp(&path.as_str()));
    let (_, bytes) = built::FILES[found.map_err(|_| StatusCode::NOT_FOUND)?];
    // A page from before an upgrade asks by an old digest: it gets today's file, but must not keep it as that.
    let keep = if digest == built::DIGEST { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind(&path))),
        (header::CACHE_CONTROL, HeaderValue::from_static(keep)),
    ];
    Ok((headers, bytes).into_response())
}

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_searched() {
        assert!(built::FILES.is_sorted_by(|a, b| a.0 < b.0));
    }
}
