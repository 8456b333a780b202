//! A terminal's WebSocket over the agent's unix socket.

use super::AgentError;
use super::http::{connect as connect_unix, refusal, unreachable};
use hyper::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use isolab_protocol::LabId;
use isolab_protocol::terminal::{FRAME_BYTES_MAX, SUBPROTOCOL};
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, protocol::WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// The raw WebSocket, for those who pass frames on unread.
pub type TerminalSocket = WebSocketStream<UnixStream>;

/// The longest name of a terminal, in bytes.
pub const TERMINAL_NAME_BYTES_MAX: usize = 20;

/// The longest that the agent may take to answer the handshake.
const HANDSHAKE_WAIT_MAX: Duration = Duration::from_secs(10);

/// Whether the agent takes `name` as the name of a terminal: 1 to 20 characters of `a-z`, `0-9` and `-`.
pub fn is_terminal_name(name: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (1..=TERMINAL_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed)
}

pub(super) async fn connect(socket: &Path, id: &LabId, name: &str) -> Result<TerminalSocket, AgentError> {
    let call = format!("GET /v1/labs/{id}/terminals/{name}");
    let garbled = |why: String| AgentError::Garbled { call: call.clone(), why };
    if !is_terminal_name(name) {
        return Err(garbled(format!("`{name}` is not the name of a terminal")));
    }
    let url = format!("ws://agent/v1/labs/{id}/terminals/{name}");
    let mut request = url.into_client_request().map_err(|error| garbled(error.to_string()))?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    // Both limits are a frame's: nothing larger is of the protocol, so nothing larger is ever buffered.
    let config = WebSocketConfig::default()
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX))
        .write_buffer_size(0);
    let stream = connect_unix(socket).await?;
    match timeout(HANDSHAKE_WAIT_MAX, client_async_with_config(request, stream, Some(config))).await {
        Ok(Ok((socket, _response))) => Ok(socket),
        Ok(Err(Error::Http(answer))) => {
            Err(refusal(answer.status(), answer.body().as_deref().unwrap_or_default()))
        }
        Ok(Err(error)) => Err(unreachable(socket, error)),
        Err(_) => Err(AgentError::Slow { call, waited: HANDSHAKE_WAIT_MAX }),
    }
}
