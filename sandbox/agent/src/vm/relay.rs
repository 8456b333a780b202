//! A terminal inside a VM, relayed: frames pass through as they are, each direction at its own pace.

use super::guest::Distant;
use crate::terminal::client::CLOSE_LAB_ENDED;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use isolab_protocol::terminal::ServerFrame;
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite;
use tokio_util::sync::CancellationToken;

/// How long a farewell may take to be sent.
const FAREWELL_WITHIN: Duration = Duration::from_secs(1);

/// Relays until either side leaves or the machine's time is over.
pub async fn relay(client: WebSocket, distant: Distant, ends: CancellationToken) {
    let (mut to_client, from_client) = client.split();
    let (to_guest, from_guest) = distant.split();
    let (code, why) = tokio::select! {
        () = inwards(from_client, to_guest) => return,
        farewell = outwards(from_guest, &mut to_client) => match farewell {
            Some(farewell) => farewell,
            None => (CLOSE_LAB_ENDED, "the lab's machine has hung up".to_owned()),
        },
        () = ends.cancelled() => (CLOSE_LAB_ENDED, "the lab has ended or was reset".to_owned()),
    };
    let farewell = async {
        if code == CLOSE_LAB_ENDED {
            let message = "The lab has ended or was reset.".to_owned();
            to_client.send(Message::Binary(ServerFrame::State { message }.encode().into())).await?;
        }
        to_client.send(Message::Close(Some(CloseFrame { code, reason: why.into() }))).await
    };
    // A client that does not read its farewell is not waited for.
    let _ = timeout(FAREWELL_WITHIN, farewell).await;
}

async fn inwards(
    mut from: impl Stream<Item = Result<Message, axum::Error>> + Unpin,
    mut to: impl Sink<tungstenite::Message> + Unpin,
) {
    while let Some(Ok(message)) = from.next().await {
        let message = match message {
            Message::Binary(bytes) => tungstenite::Message::Binary(bytes),
            // The agent inside says what is wrong with it.
            Message::Text(text) => tungstenite::Message::Text(text.as_str().into()),
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) => return,
        };
        if to.send(message).await.is_err() {
            return;
        }
    }
}

/// With what the other side says farewell, where it does.
async fn outwards(
    mut from: impl Stream<Item = Result<tungstenite::Message, tungstenite::Error>> + Unpin,
    to: &mut (impl Sink<Message> + Unpin),
) -> Option<(u16, String)> {
    while let Some(Ok(message)) = from.next().await {
        match message {
            tungstenite::Message::Binary(bytes) => to.send(Message::Binary(bytes)).await.ok()?,
            tungstenite::Message::Close(frame) => {
                let frame = frame.map(|frame| (u16::from(frame.code), frame.reason.to_string()));
                return Some(frame.unwrap_or((close_code::NORMAL, String::new())));
            }
            _ => {}
        }
    }
    None
}
