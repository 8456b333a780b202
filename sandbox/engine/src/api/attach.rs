//! `docker attach`, and how `docker run` is connected to its container.

use super::logs;
use super::params::Params;
use super::upgrade::{self, Conversation, Input};
use crate::detach::DetachKeys;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::stdcopy::Framing;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::Response;
use std::sync::Arc;

/// `POST /containers/{id}/attach`. A client attaches before it starts the container, so that it misses nothing.
pub async fn attach(
    State(engine): State<Arc<Engine>>,
    Path(reference): Path<String>,
    Query(params): Query<Params>,
    mut request: Request,
) -> Result<Response<Body>, ApiError> {
    let container = engine.find(&reference)?;
    container.check_unpaused().map_err(|state| match state {
        "paused" => ApiError::conflict(format!(
            "container {} is paused, unpause the container before attach",
            container.id
        )),
        _ => ApiError::restarting(&container.id),
    })?;
    let settings = &container.request.settings;
    let keys = params.text("detachKeys");
    let invalid = |_| ApiError::bad_request(format!("Invalid detach keys ({keys}) provided"));
    let keys = DetachKeys::parse(keys).map_err(invalid)?;
    let wants = [params.flag("stdout"), params.flag("stderr")];
    let framing = Framing::of(settings.tty);
    let prologue = if params.flag("logs") { logs::written(&container, framing, wants)? } else { vec![] };
    let output = if params.flag("stream") {
        container.streams.subscribe()?
    } else {
        tokio::sync::mpsc::unbounded_channel().1
    };
    let takes_input = params.flag("stdin") && params.flag("stream") && settings.open_stdin;
    let input = takes_input.then(|| Input {
        closes: settings.stdin_once && !settings.tty,
        detach_keys: settings.tty.then_some(keys),
    });
    engine.tell(&container, "attach", &[]);
    let streams = Arc::clone(&container.streams);
    let conversation = Conversation { streams, output, prologue, framing, wants, input };
    Ok(upgrade::answer(upgrade::take(&mut request), || conversation))
}
