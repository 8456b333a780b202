//! A lab's terminals as WebSockets.

use super::Api;
use super::answer::Refused;
use crate::generation::Line;
use crate::refusal::{Kind, Refusal};
use crate::terminal::client;
use crate::vm::relay::relay;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use isolab_protocol::ApiError;
use isolab_protocol::terminal::{FRAME_BYTES_MAX, SUBPROTOCOL};

/// A WebSocket with the subprotocol `lab.term.v1`. The terminal is there from its first use on; its shell is opened by
/// the first HELLO. Of several clients the newest types, the others watch. Closed with 4001 when the lab ends or
/// is reset: a client then begins again at 0.
#[utoipa::path(get, path = "/labs/{id}/terminals/{name}", responses(
    (status = SWITCHING_PROTOCOLS, description = "The terminal"),
    (status = BAD_REQUEST, body = ApiError),
    (status = NOT_FOUND, body = ApiError),
    (status = CONFLICT, description = "The lab is over", body = ApiError),
    (status = TOO_MANY_REQUESTS, description = "The lab has too many terminals", body = ApiError),
))]
pub async fn terminal(
    State(api): State<Api>,
    Path((id, name)): Path<(String, String)>,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refused> {
    let invalid = |message: String| Refused(Refusal::new(Kind::Invalid, message));
    let lab = api.labs.get(&id)?;
    let socket = socket.map_err(|error| invalid(format!("A terminal is a WebSocket: {error}.")))?;
    let socket = socket.protocols([SUBPROTOCOL]);
    if socket.selected_protocol().is_none() {
        return Err(invalid(format!(
            "A terminal speaks the WebSocket subprotocol {SUBPROTOCOL}, and nothing else."
        )));
    }
    let here = lab.attach();
    let generation = lab.ready().await?;
    let line = generation.terminal(&name).await?;
    // The server counts the task, so that it can wait for the farewell when it ends.
    let tasks = api.labs.world().tasks().clone();
    let socket = socket.max_message_size(FRAME_BYTES_MAX).max_frame_size(FRAME_BYTES_MAX);
    Ok(socket.on_upgrade(move |socket| {
        tasks.track_future(async move {
            let _here = here;
            match line {
                Line::Own(terminal) => client::serve(terminal, socket).await,
                Line::Distant(distant) => {
                    let relay = relay(socket, *distant, generation.ends().clone());
                    generation.relaying(relay).await;
                }
            }
        })
    }))
}
