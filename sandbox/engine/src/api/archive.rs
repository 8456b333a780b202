//! Files in and out of containers: `docker cp`, `docker export`, `docker diff`.

use super::params::Params;
use crate::archive::{Packing, pack};
use crate::aside::aside;
use crate::body;
use crate::container::Container;
use crate::container::changes::changes;
use crate::container::copy::{self, Found, Putting};
use crate::container::launch;
use crate::container::view::View;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::image::decompress;
use crate::json::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use serde_json::{Value, json};
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::Arc;

/// Where clients read what is told of a path.
const STAT: &str = "x-docker-container-path-stat";

fn path_of(params: &Params) -> Result<String, ApiError> {
    match params.text("path") {
        // The missing blank is Docker's.
        "" => Err(ApiError::bad_request("bad parameter: pathcannot be empty")),
        path => Ok(path.to_owned()),
    }
}

fn view(engine: &Engine, container: &Container) -> Result<View, ApiError> {
    Ok(View::open(container, &engine.volumes, &engine.data_root)?)
}

async fn find(
    engine: Arc<Engine>,
    reference: String,
    params: &Params,
) -> Result<(View, Found, HeaderMap), ApiError> {
    let container = engine.find(&reference)?;
    let path = path_of(params)?;
    let (view, found) = aside(move || {
        let view = view(&engine, &container)?;
        let found = copy::find(&view, &path, &reference)?;
        Ok((view, found))
    })
    .await?;
    let text = serde_json::to_string(&found.stat).map_err(|error| ApiError::internal(error.to_string()))?;
    let text = base64::engine::general_purpose::STANDARD.encode(text);
    let value = HeaderValue::from_str(&text).map_err(|error| ApiError::internal(error.to_string()))?;
    Ok((view, found, HeaderMap::from_iter([(HeaderName::from_static(STAT), value)])))
}

/// `HEAD /containers/{id}/archive`.
pub async fn stat(
    State(engine): State<Arc<Engine>>,
    Path(reference): Path<String>,
    Query(params): Query<Params>,
) -> Result<HeaderMap, ApiError> {
    Ok(find(engine, reference, &params).await?.2)
}

/// `GET /containers/{id}/archive`: out of a container.
pub async fn get(
    State(engine): State<Arc<Engine>>,
    Path(reference): Path<String>,
    Query(params): Query<Params>,
) -> Result<Response, ApiError> {
    let (view, found, mut headers) = find(Arc::clone(&engine), reference.clone(), &params).await?;
    if let Ok(container) = engine.find(&reference) {
        engine.tell(&container, "archive-path", &[]);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    let ids = engine.ids();
    let body = body::written_by(move |out| {
        let packed = found.pack(ids, &mut *out);
        drop(view);
        packed
    });
    Ok((headers, body).into_response())
}

/// `PUT /containers/{id}/archive`: into a container.
pub async fn put(
    State(engine): State<Arc<Engine>>,
    Path(reference): Path<String>,
    Query(params): Query<Params>,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let container = engine.find(&reference)?;
    let path = path_of(&params)?;
    let keep_kinds = params.flag("noOverwriteDirNonDir");
    let as_user = params.flag("copyUIDGID");
    let archive = body::reading(body);
    let (working, of) = (Arc::clone(&engine), Arc::clone(&container));
    aside(move || {
        let (engine, container) = (working, of);
        let view = view(&engine, &container)?;
        let user = &container.request.settings.user;
        let owner = match as_user && !user.is_empty() {
            true => Some(launch::resolve(view.layer(), user, &[])?),
            false => None,
        };
        let ids = engine.ids();
        let owner = owner.map(|user| ids.to_disk(user.uid.into(), user.gid.into())).transpose()?;
        let how = Putting { keep_kinds, owner, ids };
        let (_, archive) = decompress(archive)?;
        copy::put(&view, &path, &reference, &how, archive)
    })
    .await?;
    engine.tell(&container, "extract-to-dir", &[]);
    Ok(StatusCode::OK)
}

/// `docker export`: the container's root without its volumes.
pub async fn export(
    State(engine): State<Arc<Engine>>,
    Path(reference): Path<String>,
) -> Result<Response, ApiError> {
    let container = engine.find(&reference)?;
    let working = Arc::clone(&container);
    let layer = aside(move || Ok(working.layer.mount()?)).await?;
    let packing = Packing { ids: engine.ids(), ..Packing::default() };
    let body = body::written_by(move |out| {
        let packed = layer.root().and_then(|root| pack(root.as_fd(), &packing, &mut *out)?.flush());
        drop(layer);
        packed
    });
    engine.tell(&container, "export", &[]);
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response())
}

/// `docker diff`.
pub async fn diff(
    State(engine): State<Arc<Engine>>,
    Path(reference): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let container = engine.find(&reference)?;
    let changes = aside(move || Ok(changes(&container.layer.diff(), container.layer.lower_directories())?));
    let documents: Vec<Value> = changes
        .await?
        .into_iter()
        .map(|(path, kind)| json!({ "Path": path.to_string_lossy(), "Kind": kind as u8 }))
        .collect();
    Ok(Json(if documents.is_empty() { Value::Null } else { Value::Array(documents) }))
}
