//! Opening, listing, resetting and ending labs, and running commands in them.

use super::Api;
use super::answer::{Body, Refused};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use isolab_protocol::{ApiError, ExecRequest, ExecResult, Lab, LabSpec};
use serde::Deserialize;

/// All labs, by name; for a while also those that are over.
#[utoipa::path(get, path = "/labs", responses((status = OK, body = [Lab])))]
pub async fn list(State(api): State<Api>) -> Json<Vec<Lab>> {
    Json(api.labs.all().iter().map(|lab| lab.view()).collect())
}

/// Begins to open a lab. Its phase is "opening" at first; requests for it wait until it is ready.
#[utoipa::path(post, path = "/labs", request_body = LabSpec, responses(
    (status = CREATED, body = Lab),
    (status = BAD_REQUEST, body = ApiError),
    (status = CONFLICT, description = "A lab of this name is there", body = ApiError),
    (status = TOO_MANY_REQUESTS, description = "All labs are taken", body = ApiError),
))]
pub async fn open(
    State(api): State<Api>,
    Body(spec): Body<LabSpec>,
) -> Result<(StatusCode, Json<Lab>), Refused> {
    let lab = api.labs.open(spec)?;
    Ok((StatusCode::CREATED, Json(lab.view())))
}

/// One lab, with the memory that it adds.
#[utoipa::path(get, path = "/labs/{id}", responses((status = OK, body = Lab), (status = NOT_FOUND, body = ApiError)))]
pub async fn one(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Lab>, Refused> {
    Ok(Json(api.labs.get(&id)?.measured().await))
}

/// Ends a lab. When this answers, nothing of it is left.
#[utoipa::path(delete, path = "/labs/{id}", responses(
    (status = NO_CONTENT), (status = NOT_FOUND, body = ApiError),
))]
pub async fn end(State(api): State<Api>, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    api.labs.end(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a reset may change.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reset {
    /// Another setup script; absent means the same as before.
    setup: Option<String>,
}

/// Makes the whole lab anew: a new lab host under the same name, `generation` counts up.
#[utoipa::path(post, path = "/labs/{id}/reset", request_body = Reset, responses(
    (status = ACCEPTED, body = Lab),
    (status = NOT_FOUND, body = ApiError),
    (status = CONFLICT, description = "The lab is over", body = ApiError),
))]
pub async fn reset(
    State(api): State<Api>,
    Path(id): Path<String>,
    Body(reset): Body<Reset>,
) -> Result<(StatusCode, Json<Lab>), Refused> {
    let lab = api.labs.get(&id)?;
    lab.reset(reset.setup)?;
    Ok((StatusCode::ACCEPTED, Json(lab.view())))
}

/// Runs a command as the lab host's root and waits for its end.
#[utoipa::path(post, path = "/labs/{id}/exec", request_body = ExecRequest, responses(
    (status = OK, body = ExecResult),
    (status = BAD_REQUEST, body = ApiError),
    (status = NOT_FOUND, body = ApiError),
    (status = CONFLICT, description = "The lab is over", body = ApiError),
    (status = TOO_MANY_REQUESTS, description = "Too many commands run in the lab", body = ApiError),
))]
pub async fn exec(
    State(api): State<Api>,
    Path(id): Path<String>,
    Body(request): Body<ExecRequest>,
) -> Result<Json<ExecResult>, Refused> {
    let lab = api.labs.get(&id)?;
    let _here = lab.attach();
    let generation = lab.ready().await?;
    Ok(Json(generation.exec(request).await?))
}
