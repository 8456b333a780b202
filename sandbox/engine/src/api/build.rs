//! `POST /build` and what is around it. BuildKit's routes answer as those of a daemon without it.

use super::images::of_header;
use super::params::Params;
use crate::aside::aside;
use crate::body;
use crate::build::{Context, Job, Options, Output, dockerfile};
use crate::engine::Engine;
use crate::error::ApiError;
use crate::json::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// How many builds may run at once: each holds a context, and the lab has a few processors.
static BUILDS: Semaphore = Semaphore::const_new(8);

/// `docker build`.
pub async fn build(
    State(engine): State<Arc<Engine>>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    archive: Body,
) -> Result<Response, ApiError> {
    let Ok(place) = BUILDS.try_acquire() else {
        return Err(ApiError::conflict("too many builds are running: wait for one of them to end"));
    };
    let mut options = Options::parse(&query, engine.machine.go_architecture())?;
    options.credentials = of_header(&headers, "x-registry-config");
    let scratch = engine.images.new_layer()?;
    let archive = body::reading(archive);
    let path = options.dockerfile.clone();
    let prepared = aside(move || {
        let context = Context::unpack(archive, scratch)?;
        let text = context.dockerfile(&path)?;
        Ok((context, text))
    });
    let (context, text) = prepared.await?;
    let parsed = dockerfile::parse(&options.dockerfile, &text)?;
    let (output, lines) = Output::new(options.quiet);
    let job = Job::new(engine, options, context, parsed, output)?;
    tokio::spawn(async move {
        job.run().await;
        drop(place);
    });
    let lines = stream::unfold(lines, |mut lines| async move {
        let line: Bytes = lines.recv().await?;
        Some((Ok::<_, io::Error>(line), lines))
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::from_stream(lines)).into_response())
}

/// `docker builder prune`: the classic builder's cache is the images themselves, so that there is nothing else to free.
pub async fn prune(Query(_): Query<Params>) -> Json<Value> {
    Json(json!({ "CachesDeleted": null, "SpaceReclaimed": 0 }))
}

/// Ends a build of BuildKit's, of which there are none.
pub async fn cancel(Query(params): Query<Params>) -> Result<StatusCode, ApiError> {
    match params.text("id") {
        "" => Err(ApiError::internal("build ID not provided")),
        _ => Ok(StatusCode::OK),
    }
}
