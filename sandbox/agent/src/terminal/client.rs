//! One client's WebSocket: frames in, frames out, each direction at its own pace.

use super::session::ClientId;
use super::terminal::Terminal;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use isolab_protocol::terminal::{ClientFrame, ServerFrame};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// How long a client may take to say HELLO: a page that was just loaded does so at once.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// The shortest time between two HELLOs of one client: each may cost a picture of the screen. A page says it once.
const HELLO_EVERY: Duration = Duration::from_millis(250);

/// How long a farewell may take to be sent.
const FAREWELL_WITHIN: Duration = Duration::from_secs(1);

/// The close code that says "the lab is gone or was reset": what a client knows of the terminal is void, and its
/// next HELLO has to begin at 0.
pub const CLOSE_LAB_ENDED: u16 = 4001;

/// Serves one client until it leaves, breaks the protocol, or the lab ends.
pub async fn serve(terminal: Arc<Terminal>, socket: WebSocket) {
    let (mut sink, mut stream) = socket.split();
    let (code, why) = match terminal.attach() {
        None => (close_code::AGAIN, "this terminal has too many clients".to_owned()),
        Some(id) => {
            // Declared before the futures that use it, so that it detaches after they are gone.
            let attached = Attached { terminal: &terminal, id };
            tokio::select! {
                why = receive(&terminal, attached.id, &mut stream) => (close_code::POLICY, why),
                () = send(&terminal, attached.id, &mut sink) => return,
                () = terminal.lab_ends() => (CLOSE_LAB_ENDED, "the lab has ended or was reset".to_owned()),
            }
        }
    };
    let mut farewell = Vec::new();
    if code == CLOSE_LAB_ENDED {
        let message = "The lab has ended or was reset.".to_owned();
        farewell.push(Message::Binary(ServerFrame::State { message }.encode().into()));
    }
    farewell.push(Message::Close(Some(CloseFrame { code, reason: why.into() })));
    let send = async {
        for message in farewell {
            if sink.send(message).await.is_err() {
                break;
            }
        }
    };
    // A client that does not read its farewell is not waited for.
    let _ = timeout(FAREWELL_WITHIN, send).await;
}

struct Attached<'a> {
    terminal: &'a Terminal,
    id: ClientId,
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        self.terminal.detach(self.id);
    }
}

/// Takes in frames. Returns why the client has to go.
async fn receive(terminal: &Arc<Terminal>, id: ClientId, stream: &mut SplitStream<WebSocket>) -> String {
    let (mut greeted, mut hello_at) = (false, Instant::now());
    loop {
        let next = if greeted {
            stream.next().await
        } else {
            match timeout(HELLO_WITHIN, stream.next()).await {
                Ok(next) => next,
                Err(_) => return "no HELLO came".into(),
            }
        };
        let bytes = match next {
            Some(Ok(Message::Binary(bytes))) => bytes,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            Some(Ok(Message::Text(_))) => return "text is no terminal frame".into(),
            Some(Ok(Message::Close(_))) | None => return "the client left".into(),
            Some(Err(error)) => return format!("the connection failed: {error}").chars().take(100).collect(),
        };
        match ClientFrame::decode(&bytes) {
            Ok(frame) => {
                if !greeted && !matches!(frame, ClientFrame::Hello { .. }) {
                    return "the first frame has to be HELLO".into();
                }
                greeted = true;
                if matches!(frame, ClientFrame::Hello { .. }) {
                    sleep_until(hello_at).await;
                    hello_at = Instant::now() + HELLO_EVERY;
                }
                terminal.receive(id, frame);
            }
            Err(error) => return error.to_string(),
        }
    }
}

/// Sends whatever the session has for this client; ends when the connection does.
async fn send(terminal: &Arc<Terminal>, id: ClientId, sink: &mut SplitSink<WebSocket, Message>) {
    let mut changes = terminal.changes();
    loop {
        changes.borrow_and_update();
        while let Some(frame) = terminal.next_frame(id) {
            if sink.send(Message::Binary(frame.encode().into())).await.is_err() {
                return;
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}
