//! `docker pull`, `docker push` and `docker login`.

use super::Params;
use crate::api::document::{json, typed};
use crate::engine::Engine;
use crate::error::ApiError;
use crate::image::{Digest, Reference};
use crate::json::Json;
use crate::progress::Lines;
use crate::transfer::{
    Credentials, Outlet, Platform, Pull, Registry, is_out_of_reach, outlet, push as send, why_not,
};
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// `POST /images/create`.
pub async fn create(
    State(engine): State<Arc<Engine>>,
    Query(params): Query<Params>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    if !params.text("fromSrc").is_empty() {
        return super::files::import(engine, params, body).await;
    }
    let (image, tag) = (params.text("fromImage"), params.text("tag"));
    let reference = named(image, tag).map_err(ApiError::bad_request)?;
    let platform = match params.text("platform") {
        "" => Platform::own(),
        text => Platform::parse(text).map_err(ApiError::bad_request)?,
    };
    let images = &engine.images;
    let pull = match Pull::begin(&reference, platform, &credentials(&headers)).await {
        Ok(pull) => pull,
        // What a lab came with is as new as it gets there.
        Err(error)
            if is_out_of_reach(images, &reference, &error) && images.find(&reference.familiar()).is_ok() =>
        {
            let status = format!("Status: {} is part of this lab", reference.familiar());
            return Ok(Json(serde_json::json!({ "status": status })).into_response());
        }
        Err(error) => return Err(why_not(images, &reference, error)),
    };
    let (out, body) = outlet();
    tokio::spawn(async move {
        let mut lines = Lines::new(out);
        match pull.run(&engine.images, &engine.data_root, &mut lines).await {
            Ok(()) => engine.tell_of_name("pull", &reference),
            // A client that has left hears of nothing.
            Err(error) => drop(lines.failed(&error)),
        }
    });
    Ok(stream(body))
}

/// An image as this request names it: the digest may stand where the tag does.
fn named(image: &str, tag: &str) -> Result<Reference, String> {
    let reference = Reference::parse(image)?;
    match (tag, Digest::parse(tag)) {
        ("", _) => Ok(reference),
        (_, Some(digest)) => Ok(reference.with_digest(digest)),
        _ => reference.with_tag(tag),
    }
}

fn stream(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// `X-Registry-Auth`: what the client has logged in with.
fn credentials(headers: &HeaderMap) -> Credentials {
    of_header(headers, "x-registry-auth")
}

/// A document in a header. Docker takes what it cannot read for an empty one.
pub fn of_header<T: DeserializeOwned + Default>(headers: &HeaderMap, name: &str) -> T {
    let text = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decoded = GeneralPurpose::new(&URL_SAFE, lenient)
        .decode(text)
        .or_else(|_| GeneralPurpose::new(&STANDARD, lenient).decode(text));
    decoded.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// `POST /images/{name}/push?tag=`.
pub async fn push(
    engine: Arc<Engine>,
    name: &str,
    params: &Params,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let reference = Reference::parse(name).map_err(ApiError::bad_request)?;
    let reference = match params.text("tag") {
        "" => reference,
        tag => reference.with_tag(tag).map_err(ApiError::bad_request)?,
    };
    let credentials = credentials(headers);
    let (out, body) = outlet();
    tokio::spawn(async move {
        let mut lines = Lines::new(out);
        match push_all(&engine, &reference, &credentials, &mut lines).await {
            Ok(()) => engine.tell_of_name("push", &reference),
            // A client that has left hears of nothing.
            Err(error) => drop(lines.failed(&error)),
        }
    });
    Ok(stream(body))
}

/// Pushes what a name means: a tag, or with a name alone all tags.
async fn push_all(
    engine: &Arc<Engine>,
    reference: &Reference,
    credentials: &Credentials,
    lines: &mut Lines<Outlet>,
) -> Result<(), ApiError> {
    lines.status(format!("The push refers to repository [{}]", reference.repository()))?;
    let images = &engine.images;
    let mut names = images.names_in(reference);
    if names.is_empty() {
        let message = format!("An image does not exist locally with the tag: {}", reference.name());
        return Err(ApiError::not_found(message));
    }
    let registry = Registry::new(reference, credentials)?;
    if reference.digest().is_some() {
        return Err(ApiError::bad_request("cannot push a digest reference"));
    }
    names.retain(|name| name.digest().is_none());
    if !reference.is_name_only() {
        names.retain(|name| name.tag() == reference.tag());
    }
    if names.is_empty() {
        return Err(ApiError::not_found(match reference.is_name_only() {
            true => format!("no tags to push for {}", reference.name()),
            false => format!("tag does not exist: {}", reference.familiar()),
        }));
    }
    for name in &names {
        let image = images.find(&name.familiar())?;
        send(images, image, name, &registry, &engine.data_root, lines).await?;
    }
    Ok(())
}

/// `POST /auth`: whether a registry takes these credentials.
pub async fn log_in(State(_): State<Arc<Engine>>, body: Bytes) -> Result<Response, ApiError> {
    let credentials: Credentials = json(&body).and_then(typed).map_err(ApiError::unclassed)?;
    let address = credentials.serveraddress.as_str();
    let host =
        address.strip_prefix("https://").or_else(|| address.strip_prefix("http://")).unwrap_or(address);
    let host = host.split('/').next().unwrap_or_default();
    let name = if host.is_empty() { "library/login".to_owned() } else { format!("{host}/library/login") };
    let reference = Reference::parse(&name).map_err(ApiError::bad_request)?;
    Registry::new(&reference, &credentials)?.log_in().await?;
    Ok(Json(serde_json::json!({ "IdentityToken": "", "Status": "Login Succeeded" })).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_in_each_alphabet() {
        let json = r#"{"username":"me>?","password":"secret~"}"#;
        for text in [
            base64::engine::general_purpose::URL_SAFE.encode(json),
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json),
            base64::engine::general_purpose::STANDARD.encode(json),
        ] {
            let headers = [(header::HeaderName::from_static("x-registry-auth"), text.parse().unwrap())];
            let read = credentials(&headers.into_iter().collect());
            assert_eq!((read.username.as_str(), read.password.as_str()), ("me>?", "secret~"));
        }
        assert!(credentials(&HeaderMap::new()).username.is_empty());
    }
}
