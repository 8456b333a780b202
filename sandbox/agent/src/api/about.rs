//! What the agent tells of itself and its machine.

use super::Api;
use super::answer::Refused;
use crate::doctor;
use crate::refusal::{Kind, Refusal};
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use isolab_protocol::{ApiError, MachineCapabilities};
use std::sync::Arc;

/// What this machine can do for labs; what it lacks, why that matters and how to mend it.
#[utoipa::path(get, path = "/capabilities", responses((status = OK, body = MachineCapabilities)))]
pub async fn capabilities(State(api): State<Api>) -> Result<Json<MachineCapabilities>, Refused> {
    let world = Arc::clone(api.labs.world());
    let examined =
        tokio::task::spawn_blocking(move || doctor::examine_from_within(world.store(), world.zygote())).await;
    let fault = |_| Refusal::new(Kind::Failed, "A fault in the agent while examining the machine.");
    Ok(Json(examined.map_err(fault)?))
}

/// Whether the agent runs.
#[utoipa::path(get, path = "/healthz", responses((status = OK, body = String)))]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether labs can be opened: images are there, and the agent is not ending.
#[utoipa::path(get, path = "/readyz", responses(
    (status = OK, body = String),
    (status = SERVICE_UNAVAILABLE, body = ApiError),
))]
pub async fn readyz(State(api): State<Api>) -> Result<&'static str, Refused> {
    let world = api.labs.world();
    if world.is_ending() {
        return Err(Refusal::new(Kind::Unavailable, "The agent is ending.").into());
    }
    crate::images::current(world.store())?;
    Ok("ok\n")
}

/// Counters and gauges as Prometheus text.
#[utoipa::path(get, path = "/metrics", responses((status = OK, body = String)))]
pub async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    let text = api.labs.world().metrics().text(api.labs.gauges());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}
