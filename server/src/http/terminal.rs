//! `GET …/terminals/{name}`: the browser's WebSocket joined to the agent's.
//!
//! Frames are passed on unread, each at once; a direction that cannot go on holds its own source back, and nothing
//! more than the frame in hand is kept. While there is no lab the learner is told why, in `STATE` frames.

use super::{App, HttpError};
use crate::agent_client::{AgentError, TerminalSocket, is_terminal_name};
use crate::live::{LiveLab, Step};
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use isolab_protocol::terminal::{ClientFrame, FRAME_BYTES_MAX, SUBPROTOCOL, ServerFrame};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, interval_at, timeout};
use tokio_tungstenite::tungstenite::{self, Message as AgentMessage};
use tokio_util::sync::CancellationToken;

/// A browser says `HELLO` as soon as it is connected.
const HELLO_WAIT_MAX: Duration = Duration::from_secs(10);

/// How often a browser is asked whether it is there. One that has not even answered the last time is gone: a lid
/// that was closed leaves a connection behind that nothing else ends, and the lab would seem to be in use.
const PING_EVERY: Duration = Duration::from_secs(20);

/// A browser that takes nothing for this long is gone; a slow page takes something.
const SEND_WAIT_MAX: Duration = Duration::from_secs(45);

/// How long a goodbye may take.
const GOODBYE_WAIT_MAX: Duration = Duration::from_secs(1);

/// How long the news may take that a lab or its agent has gone: they come by another connection.
const NEWS_WAIT_MAX: Duration = Duration::from_secs(2);

/// The terminal cannot be had now; the page tries again, since the lab may be on its way.
const TRY_AGAIN: u16 = 4503;

/// The terminal cannot be had until the learner does something.
const NO_LAB: u16 = 4404;

/// `GET …/terminals/{name}`
pub async fn terminal(
    State(app): State<App>,
    Path((part, lesson, name)): Path<(String, String, String)>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, HttpError> {
    let lab = app.lab(app.lesson(&part, &lesson)?).await?;
    if !is_terminal_name(&name) {
        return Err(HttpError::bad("A terminal's name has 1 to 20 characters of a-z, 0-9 and -."));
    }
    let upgrade = upgrade
        .max_message_size(FRAME_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        // A frame is written at once: whatever waits in a buffer is latency.
        .write_buffer_size(0)
        .protocols([SUBPROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        return Err(HttpError::new(StatusCode::BAD_REQUEST, format!("A terminal speaks {SUBPROTOCOL}.")));
    }
    let (tasks, stop) = (app.tasks.clone(), app.stop.clone());
    Ok(upgrade.on_upgrade(move |socket| tasks.track_future(join(socket, lab, name, stop))))
}

/// Joins the two sockets until one of them ends.
async fn join(mut browser: WebSocket, lab: Arc<LiveLab>, name: String, stop: CancellationToken) {
    let ended = tokio::select! {
        ended = serve(&mut browser, &lab, &name) => ended,
        () = stop.cancelled() => Ended::new(close_code::AWAY, "The server is ending; your lab goes on"),
    };
    let said = match ended {
        Ended::Left => return,
        Ended::Closed { code, reason } => timeout(GOODBYE_WAIT_MAX, close(&mut browser, code, &reason)).await,
        Ended::Told { code, why } => {
            tracing::debug!(lab = %lab.id, name, "a terminal has ended: {why}");
            timeout(GOODBYE_WAIT_MAX, goodbye(&mut browser, code, why)).await
        }
    };
    if !matches!(said, Ok(Ok(()))) {
        tracing::debug!(lab = %lab.id, name, "the browser had gone before the goodbye");
    }
}

/// How a terminal's connection came to its end.
enum Ended {
    /// The browser has gone.
    Left,
    /// The agent has said goodbye, which is passed on.
    Closed { code: u16, reason: String },
    /// The browser is to be told why.
    Told { code: u16, why: String },
}

impl Ended {
    fn new(code: u16, why: impl Into<String>) -> Self {
        Self::Told { code, why: why.into() }
    }
}

async fn serve(browser: &mut WebSocket, lab: &Arc<LiveLab>, name: &str) -> Ended {
    let Some(hello) = hello(browser).await else {
        return Ended::new(close_code::POLICY, "The first frame must be HELLO");
    };
    // It is kept while the terminal is open: whoever has a terminal looks at the lab.
    let mut readiness = lab.readiness();
    loop {
        let agent = match readiness.next().await {
            Step::Ready(agent) => agent,
            Step::No(why) => return Ended::new(NO_LAB, why),
            Step::Wait(what) => match state(browser, what).await {
                Ok(()) => continue,
                Err(_) => return Ended::Left,
            },
        };
        match agent.terminal(&lab.id, name).await {
            Ok(terminal) => return relay(browser, terminal, hello).await,
            Err(error) if is_gone(&error) && readiness.outdated(NEWS_WAIT_MAX).await => {}
            Err(AgentError::Refused { error, .. }) => return Ended::new(TRY_AGAIN, error.message),
            Err(error) => return lost(&error),
        }
    }
}

/// Whether the error says that the agent or the lab has gone.
fn is_gone(error: &AgentError) -> bool {
    error.is_not_found() || matches!(error, AgentError::Unreachable { .. })
}

fn lost(error: &(dyn std::error::Error + Sync)) -> Ended {
    tracing::debug!("the agent's end of a terminal: {error}");
    Ended::new(TRY_AGAIN, "The connection to the lab was lost; the page tries again.")
}

/// The first frame, which has to be a `HELLO`.
async fn hello(browser: &mut WebSocket) -> Option<Bytes> {
    let first = async {
        loop {
            match browser.recv().await? {
                Ok(Message::Binary(bytes)) => return Some(bytes),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                _ => return None,
            }
        }
    };
    let bytes = timeout(HELLO_WAIT_MAX, first).await.ok()??;
    matches!(ClientFrame::decode(&bytes), Ok(ClientFrame::Hello { .. })).then_some(bytes)
}

/// Passes frames on in both directions. Each direction waits for its own target only.
async fn relay(browser: &mut WebSocket, mut agent: TerminalSocket, hello: Bytes) -> Ended {
    if let Err(error) = agent.send(AgentMessage::Binary(hello)).await {
        return lost(&error);
    }
    let (mut to_browser, mut from_browser) = browser.split();
    let (mut to_agent, mut from_agent) = agent.split();
    let heard = AtomicBool::new(true);
    let ended = tokio::select! {
        ended = typed(&mut from_browser, &mut to_agent, &heard) => ended,
        ended = printed(&mut from_agent, &mut to_browser, &heard) => ended,
    };
    ended.unwrap_or_else(|error| lost(&error))
}

/// From the browser to the agent.
async fn typed(
    from_browser: &mut SplitStream<&mut WebSocket>,
    to_agent: &mut SplitSink<TerminalSocket, AgentMessage>,
    heard: &AtomicBool,
) -> Result<Ended, tungstenite::Error> {
    while let Some(message) = from_browser.next().await {
        heard.store(true, Ordering::Relaxed);
        match message {
            Ok(Message::Binary(bytes)) => to_agent.send(AgentMessage::Binary(bytes)).await?,
            Ok(Message::Text(_)) => {
                return Ok(Ended::new(close_code::UNSUPPORTED, "A terminal's frames are binary"));
            }
            Ok(Message::Close(_)) | Err(_) => break,
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
        }
    }
    Ok(Ended::Left)
}

/// From the agent to the browser, which is asked now and then whether it is there.
async fn printed(
    from_agent: &mut SplitStream<TerminalSocket>,
    to_browser: &mut SplitSink<&mut WebSocket, Message>,
    heard: &AtomicBool,
) -> Result<Ended, tungstenite::Error> {
    let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    loop {
        let message = tokio::select! {
            message = from_agent.next() => match message.ok_or(tungstenite::Error::ConnectionClosed)?? {
                AgentMessage::Binary(bytes) => Message::Binary(bytes),
                AgentMessage::Close(frame) => return Ok(closed(frame)),
                _ => continue,
            },
            _ = ping.tick() => {
                if !heard.swap(false, Ordering::Relaxed) {
                    return Ok(Ended::Left);
                }
                Message::Ping(Bytes::new())
            }
        };
        if !matches!(timeout(SEND_WAIT_MAX, to_browser.send(message)).await, Ok(Ok(()))) {
            return Ok(Ended::Left);
        }
    }
}

/// The agent's own goodbye is passed on.
fn closed(frame: Option<tungstenite::protocol::CloseFrame>) -> Ended {
    match frame {
        Some(frame) => Ended::Closed { code: frame.code.into(), reason: frame.reason.as_str().to_owned() },
        None => Ended::Closed { code: close_code::NORMAL, reason: String::new() },
    }
}

/// Says why the connection ends, in a frame for the learner and in the code for the page.
async fn goodbye(browser: &mut WebSocket, code: u16, why: String) -> Result<(), axum::Error> {
    let reason = cut(&why).to_owned();
    state(browser, why).await?;
    close(browser, code, &reason).await
}

async fn close(browser: &mut WebSocket, code: u16, reason: &str) -> Result<(), axum::Error> {
    browser.send(Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from(reason) }))).await
}

/// Tells the learner a sentence.
async fn state(browser: &mut WebSocket, message: String) -> Result<(), axum::Error> {
    browser.send(Message::Binary(ServerFrame::State { message }.encode().into())).await
}

/// A close frame's reason has at most 123 bytes.
fn cut(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(123)]
}
