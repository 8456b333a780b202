//! A terminal as frames: for the command line, which shows them, and not for the server, which passes them on unread.

use super::http::unreachable;
use super::terminal::TerminalSocket;
use super::{AgentClient, AgentError};
use futures_util::{SinkExt, StreamExt};
use isolab_protocol::LabId;
use isolab_protocol::terminal::{ClientFrame, ServerFrame};
use std::path::PathBuf;
use tokio_tungstenite::tungstenite::{Error, Message};

/// A terminal whose frames are read and written as such, for the command line and for measurements.
pub struct Terminal {
    path: PathBuf,
    socket: TerminalSocket,
}

impl Terminal {
    /// Opens the terminal with a screen of `cols` by `rows`.
    pub async fn open(
        client: &AgentClient,
        id: &LabId,
        name: &str,
        (cols, rows): (u16, u16),
    ) -> Result<Self, AgentError> {
        let socket = client.terminal(id, name).await?;
        let mut terminal = Self { path: client.socket().to_owned(), socket };
        terminal.send(ClientFrame::Hello { last_seq: 0, cols, rows }).await?;
        Ok(terminal)
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: ClientFrame) -> Result<(), AgentError> {
        let message = Message::Binary(frame.encode().into());
        self.socket.send(message).await.map_err(|error| unreachable(&self.path, error))
    }

    /// The next frame; `None` when the agent has closed the terminal. Safe to cancel.
    pub async fn next(&mut self) -> Result<Option<ServerFrame>, AgentError> {
        while let Some(message) = self.socket.next().await {
            match message {
                Ok(Message::Binary(bytes)) => return self.decode(&bytes).map(Some),
                Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    return Ok(None);
                }
                Ok(_) => {}
                Err(error) => return Err(unreachable(&self.path, error)),
            }
        }
        Ok(None)
    }

    fn decode(&self, bytes: &[u8]) -> Result<ServerFrame, AgentError> {
        let garbled = |why: String| AgentError::Garbled { call: "a terminal's WebSocket".to_owned(), why };
        ServerFrame::decode(bytes).map_err(|error| garbled(error.to_string()))
    }
}
