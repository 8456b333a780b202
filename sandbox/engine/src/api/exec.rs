//! `docker exec`.

use super::containers::terminal_size;
use super::document::Document;
use super::order;
use super::params::Params;
use super::upgrade::{self, Conversation, Input};
use crate::engine::Engine;
use crate::error::ApiError;
use crate::exec::{Exec, State as ExecState};
use crate::json::Json;
use crate::stdcopy::{Framing, Source};
use crate::streams::Output;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use bollard_stubs::models::{ExecInspectResponse, ExecStartConfig, ProcessConfig};
use std::sync::Arc;

/// `POST /containers/{id}/exec`.
pub async fn create(
    State(engine): State<Arc<Engine>>,
    Path(reference): Path<String>,
    body: Document,
) -> Result<impl IntoResponse, ApiError> {
    let config = body.typed()?;
    let container = engine.find(&reference)?;
    container.check_unpaused().map_err(|state| match state {
        "paused" => {
            ApiError::conflict(format!("Container {reference} is paused, unpause the container before exec"))
        }
        _ => ApiError::restarting(&container.id),
    })?;
    let exec = Arc::new(Exec::new(container, config)?);
    engine.execs.add(Arc::clone(&exec))?;
    let action = format!("exec_create: {}", exec.command());
    engine.tell(&exec.container, &action, &[("execID", exec.id.clone())]);
    Ok((StatusCode::CREATED, Json(serde_json::json!({ "Id": exec.id }))))
}

/// `POST /exec/{id}/start`. As with Docker, the program is started when the connection is the client's: one that cannot be
/// started is told of in the stream, and only a detached client gets it as an error. There are clients that lose what comes
/// together with the answer.
pub async fn start(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    mut request: Request,
) -> Result<Response<Body>, ApiError> {
    let upgrade = upgrade::take(&mut request);
    let config: ExecStartConfig = Document::from_request(request, &()).await?.typed()?;
    let exec = engine.execs.find(&id)?;
    exec.check_startable()?;
    if config.detach.unwrap_or(false) {
        engine.start_exec(&exec, false)?;
        return Ok(StatusCode::OK.into_response());
    }
    let output = exec.streams.subscribe()?;
    Ok(upgrade::answer(upgrade, move || begin(&engine, &exec, &config, output)))
}

/// Starts it for a client that is there to see it.
fn begin(engine: &Arc<Engine>, exec: &Arc<Exec>, config: &ExecStartConfig, output: Output) -> Conversation {
    let tty = exec.joining.tty;
    let framing = Framing::of(tty);
    let started = engine.start_exec(exec, true).and_then(|()| match config.console_size.as_deref() {
        Some([rows, cols]) if tty => {
            let size = |n: &usize| u16::try_from(*n).unwrap_or_default();
            exec.streams.resize(size(cols), size(rows))
        }
        _ => Ok(()),
    });
    let told = started.err().map(|error| Bytes::from(format!("{error}\r\n")));
    let input =
        exec.attach.stdin.then(|| Input { closes: !tty, detach_keys: tty.then(|| exec.detach_keys.clone()) });
    Conversation {
        streams: Arc::clone(&exec.streams),
        output,
        prologue: told.iter().map(|told| framing.frame(Source::Stdout, told)).collect(),
        framing,
        wants: [exec.wants(Source::Stdout), exec.wants(Source::Stderr)],
        input,
    }
}

/// The client's terminal has another size.
pub async fn resize(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    Query(params): Query<Params>,
) -> Result<StatusCode, ApiError> {
    let (cols, rows) = terminal_size(&params)?;
    let exec = engine.execs.find(&id)?;
    exec.started().await?;
    if exec.joining.tty {
        exec.streams.resize(cols, rows)?;
    }
    Ok(StatusCode::OK)
}

/// `GET /exec/{id}/json`: how clients learn the exit code.
pub async fn inspect(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
) -> Result<Response<Body>, ApiError> {
    let exec = engine.execs.find(&id)?;
    let state = exec.state();
    let (pid, code) = match state {
        ExecState::Created => (0, None),
        ExecState::Running(pid) => (pid, None),
        ExecState::Exited(code) => (0, Some(i64::from(code))),
    };
    let joining = &exec.joining;
    let process = ProcessConfig {
        privileged: Some(joining.privileged),
        user: Some(exec.user.clone()).filter(|user| !user.is_empty()),
        tty: Some(joining.tty),
        entrypoint: joining.argv.first().cloned(),
        arguments: Some(joining.argv[1..].to_vec()),
    };
    let document = ExecInspectResponse {
        can_remove: Some(false),
        detach_keys: Some(String::new()),
        id: Some(exec.id.clone()),
        running: Some(matches!(state, ExecState::Running(_))),
        exit_code: code,
        process_config: Some(process),
        open_stdin: Some(exec.attach.stdin),
        open_stderr: Some(exec.attach.stderr),
        open_stdout: Some(exec.attach.stdout),
        container_id: Some(exec.container.id.clone()),
        pid: Some(pid.into()),
    };
    let mut document =
        serde_json::to_value(document).map_err(|error| ApiError::internal(error.to_string()))?;
    // It is there from the beginning, and null until there is one.
    document["ExitCode"] = serde_json::json!(code);
    Ok(order::answer(&document, &order::EXEC))
}
