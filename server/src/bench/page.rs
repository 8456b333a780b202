//! A lesson page as a browser holds it, without the browser: its lab, its events, its terminal.

use anyhow::{Context, bail};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use isolab_protocol::terminal::{ClientFrame, SUBPROTOCOL, ServerFrame};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Longer than anything here takes, the first unpacking of images included.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// Frames that wait for somebody to look: more than a prompt and its surroundings.
const FRAMES_MAX: usize = 256;

/// The page of one lesson on one server.
pub(super) struct Page {
    address: SocketAddr,
    slug: String,
}

/// The page's stream of events; it is read and thrown away until this is dropped.
pub(super) struct Events(JoinHandle<()>);

impl Drop for Events {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Page {
    pub fn new(address: SocketAddr, slug: String) -> Self {
        Self { address, slug }
    }

    /// Asks for the lab.
    pub async fn open_lab(&self) -> anyhow::Result<()> {
        let answer = self.send("POST", "lab").await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!("no lab ({status}): {}", String::from_utf8_lossy(&body));
        }
        Ok(())
    }

    /// Listens to the events.
    pub async fn listen(&self) -> anyhow::Result<Events> {
        let mut body = self.send("GET", "events").await?.into_body();
        Ok(Events(tokio::spawn(async move { while let Some(Ok(_)) = body.frame().await {} })))
    }

    async fn send(&self, method: &str, what: &str) -> anyhow::Result<Response<Incoming>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/lessons/{}/{what}", self.slug))
            .header("host", self.address.to_string())
            .header("origin", format!("http://{}", self.address))
            .body(Empty::<Bytes>::new())?;
        Ok(sender.send_request(request).await?)
    }

    /// Opens the terminal `host`.
    pub async fn terminal(&self) -> anyhow::Result<Tty> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let url = format!("ws://{}/api/lessons/{}/terminals/host", self.address, self.slug);
        let mut request = url.into_client_request()?;
        request.headers_mut().insert("origin", format!("http://{}", self.address).parse()?);
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse()?);
        let (socket, _) = client_async(request, stream).await?;
        let (typed, printed) = socket.split();
        let (told, frames) = mpsc::channel(FRAMES_MAX);
        let mut tty = Tty { typed, frames, reader: tokio::spawn(read(printed, told)) };
        tty.send(ClientFrame::Hello { last_seq: 0, cols: 80, rows: 24 }).await?;
        Ok(tty)
    }
}

/// The page's terminal.
pub(super) struct Tty {
    typed: SplitSink<WebSocketStream<TcpStream>, Message>,
    frames: mpsc::Receiver<ServerFrame>,
    reader: JoinHandle<()>,
}

impl Drop for Tty {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Reads as a browser does, whether somebody looks or not: the server's pings are answered.
async fn read(mut printed: SplitStream<WebSocketStream<TcpStream>>, told: mpsc::Sender<ServerFrame>) {
    while let Some(Ok(message)) = printed.next().await {
        let Message::Binary(frame) = message else { continue };
        let Ok(frame) = ServerFrame::decode(&frame) else { return };
        if told.send(frame).await.is_err() {
            return;
        }
    }
}

impl Tty {
    /// Types.
    pub async fn input(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.send(ClientFrame::Input { bytes: bytes.to_vec() }).await
    }

    /// Reads until the output, from now on, holds `wanted`.
    pub async fn until(&mut self, wanted: &[u8]) -> anyhow::Result<()> {
        let mut seen = Vec::new();
        let holds = |seen: &[u8]| seen.windows(wanted.len()).any(|window| window == wanted);
        let search = async {
            while !holds(&seen) {
                seen.extend(self.output().await?);
            }
            anyhow::Ok(())
        };
        let done = timeout(WAIT_MAX, search).await;
        done.with_context(|| format!("{:?} did not appear", String::from_utf8_lossy(wanted)))?
    }

    /// Reads until nothing has come for `pause`.
    pub async fn settle(&mut self, pause: Duration) -> anyhow::Result<()> {
        while let Ok(output) = timeout(pause, self.output()).await {
            output?;
        }
        Ok(())
    }

    async fn output(&mut self) -> anyhow::Result<Vec<u8>> {
        loop {
            match self.frames.recv().await.context("the terminal was closed")? {
                ServerFrame::Output { seq, bytes } => {
                    self.send(ClientFrame::Ack { seq: seq + bytes.len() as u64 }).await?;
                    return Ok(bytes);
                }
                ServerFrame::Snapshot { screen, .. } => return Ok(screen),
                ServerFrame::Exit { status } => bail!("the shell has ended with {status}"),
                ServerFrame::State { message } => tracing::debug!("{message}"),
                ServerFrame::Pong { .. } => {}
            }
        }
    }

    async fn send(&mut self, frame: ClientFrame) -> anyhow::Result<()> {
        Ok(self.typed.send(Message::Binary(frame.encode().into())).await?)
    }
}
