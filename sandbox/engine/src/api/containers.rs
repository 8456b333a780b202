//! Creating, starting, stopping, renaming and removing containers.

use super::document::Document;
use super::params::Params;
use crate::aside::aside;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::json::Json;
use crate::settings::{self, signal};
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use bollard_stubs::models::ContainerCreateResponse;
use std::sync::Arc;
use std::time::Duration;

/// `docker create`.
pub async fn create(
    State(engine): State<Arc<Engine>>,
    Query(params): Query<Params>,
    body: Document,
) -> Result<impl IntoResponse, ApiError> {
    let body = body.read_unclassed()?;
    let platform = params.text("platform");
    if !engine.machine.runs(platform) {
        let image = settings::image_of(&body)?;
        let own = engine.machine.go_architecture();
        return Err(ApiError::not_found(format!(
            "image with reference {image} was found but does not match the specified platform: wanted {platform}, actual: \
             linux/{own}"
        )));
    }
    let name = params.text("name").to_owned();
    let (container, warnings) = match engine.fills_volumes(&body) {
        false => engine.create(body, &name)?,
        // What the image has is copied into new volumes, which can take a while.
        true => aside(move || engine.create(body, &name)).await?,
    };
    let answer = ContainerCreateResponse { id: container.id.clone(), warnings };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Clients that send `null` or `{}` where there is nothing to say are borne with.
const EMPTY_BYTES_MAX: usize = 7;

/// `docker start`.
pub async fn start(
    State(engine): State<Arc<Engine>>,
    Path(reference): Path<String>,
    Query(params): Query<Params>,
    body: Bytes,
) -> Result<StatusCode, ApiError> {
    if body.len() > EMPTY_BYTES_MAX {
        return Err(ApiError::bad_request(
            "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24",
        ));
    }
    if !params.text("checkpoint").is_empty() {
        return Err(ApiError::experimental());
    }
    let started = engine.start(&engine.find(&reference)?);
    if started.is_err() {
        // `docker run --rm` waits for the removal on another connection: let that answer go out before this one.
        tokio::task::yield_now().await;
    }
    started.map(|()| StatusCode::NO_CONTENT)
}

/// How long `docker stop -t` waits: the container's own time where the client gives none, for ever where it gives −1.
fn patience(params: &Params, usual: Duration) -> Result<Option<Duration>, ApiError> {
    let seconds: Option<i32> = params.number("t")?;
    Ok(match seconds {
        None => Some(usual),
        Some(seconds) => u64::try_from(seconds).ok().map(Duration::from_secs),
    })
}

/// `docker stop`.
pub async fn stop(
    State(engine): State<Arc<Engine>>,
    Path(reference): Path<String>,
    Query(params): Query<Params>,
) -> Result<StatusCode, ApiError> {
    let container = engine.find(&reference)?;
    let patience = patience(&params, container.request.settings.stop_timeout)?;
    engine.stop(&container, patience).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `docker restart`.
pub async fn restart(
    State(engine): State<Arc<Engine>>,
    Path(reference): Path<String>,
    Query(params): Query<Params>,
) -> Result<StatusCode, ApiError> {
    let container = engine.find(&reference)?;
    let patience = patience(&params, container.request.settings.stop_timeout)?;
    // A client that leaves in the middle must not leave the container stopped.
    let restarted = tokio::spawn(async move { engine.restart(&container, patience).await });
    restarted.await.map_err(|error| ApiError::internal(error.to_string()))??;
    Ok(StatusCode::NO_CONTENT)
}

/// `docker kill`.
pub async fn kill(
    State(engine): State<Arc<Engine>>,
    Path(reference): Path<String>,
    Query(params): Query<Params>,
) -> Result<StatusCode, ApiError> {
    let signal = match params.text("signal") {
        "" => signal::parse("KILL")?,
        name => signal::parse(name)?,
    };
    let told = |error: ApiError| error.while_doing(&format!("Cannot kill container: {reference}"));
    let container = engine.find(&reference).map_err(told)?;
    engine.kill(&container, signal).await.map_err(told)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `docker update`.
pub async fn update(
    State(engine): State<Arc<Engine>>,
    Path(reference): Path<String>,
    body: Document,
) -> Result<Json<serde_json::Value>, ApiError> {
    let asked = body.read_unclassed()?;
    let container = engine.find(&reference)?;
    let warnings = engine.update(&container, asked)?;
    let warnings = if warnings.is_empty() { serde_json::Value::Null } else { warnings.into() };
    Ok(Json(serde_json::json!({ "Warnings": warnings })))
}

/// `docker pause`.
pub async fn pause(
    State(engine): State<Arc<Engine>>,
    Path(reference): Path<String>,
) -> Result<StatusCode, ApiError> {
    let container = engine.find(&reference)?;
    // A client that leaves in the middle must not leave half of the container stopped.
    let paused = tokio::spawn(async move { engine.pause(&container).await });
    paused.await.map_err(|error| ApiError::internal(error.to_string()))??;
    Ok(StatusCode::NO_CONTENT)
}

/// `docker unpause`.
pub async fn unpause(
    State(engine): State<Arc<Engine>>,
    Path(reference): Path<String>,
) -> Result<StatusCode, ApiError> {
    engine.unpause(&*engine.find(&reference)?)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `docker rename`.
pub async fn rename(
    State(engine): State<Arc<Engine>>,
    Path(reference): Path<String>,
    Query(params): Query<Params>,
) -> Result<StatusCode, ApiError> {
    engine.rename(&*engine.find(&reference)?, params.text("name"))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Columns and rows of a terminal.
pub fn terminal_size(params: &Params) -> Result<(u16, u16), ApiError> {
    let number = |name| match params.text(name).parse::<i32>() {
        // As Go cuts it.
        Ok(number) => Ok(number as u16),
        Err(_) => {
            let text = params.text(name);
            Err(ApiError::bad_request(format!("strconv.Atoi: parsing {text:?}: invalid syntax")))
        }
    };
    let (rows, cols) = (number("h")?, number("w")?);
    Ok((cols, rows))
}

/// The client's terminal has another size.
pub async fn resize(
    State(engine): State<Arc<Engine>>,
    Path(reference): Path<String>,
    Query(params): Query<Params>,
) -> Result<StatusCode, ApiError> {
    let (cols, rows) = terminal_size(&params)?;
    let container = engine.find(&reference)?;
    if !container.is_running() {
        return Err(ApiError::not_running(&container.id));
    }
    if container.request.settings.tty {
        container.streams.resize(cols, rows)?;
    }
    Ok(StatusCode::OK)
}

/// `docker rm`.
pub async fn remove(
    State(engine): State<Arc<Engine>>,
    Path(reference): Path<String>,
    Query(params): Query<Params>,
) -> Result<StatusCode, ApiError> {
    let container = engine.find(&reference)?;
    if params.flag("link") {
        // A container's own name is a link too, to Docker.
        return Err(match reference.trim_start_matches('/').contains('/') {
            false => ApiError::internal("Conflict, cannot remove the default link name of the container"),
            true => ApiError::not_yet("docker rm --link"),
        });
    }
    engine.remove(&container, params.flag("force"), params.flag("v")).await?;
    Ok(StatusCode::NO_CONTENT)
}
