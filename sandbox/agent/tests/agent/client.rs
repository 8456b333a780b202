//! As much HTTP, server-sent events and WebSocket as the tests need, over the agent's socket.

use futures_util::{SinkExt, StreamExt};
use isolab_protocol::terminal::{ClientFrame, SUBPROTOCOL, ServerFrame};
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    pub async fn answers(&self, path: &str) -> bool {
        match UnixStream::connect(&self.socket).await {
            Ok(stream) => request(stream, "GET", path, "").await.is_some_and(|(status, _)| status == 200),
            Err(_) => false,
        }
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.json("GET", path, "").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.json("POST", path, &body.to_string()).await
    }

    pub async fn delete(&self, path: &str) -> (u16, Value) {
        self.json("DELETE", path, "").await
    }

    pub async fn text(&self, path: &str) -> String {
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        request(stream, "GET", path, "").await.expect("an answer").1
    }

    async fn json(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let stream = UnixStream::connect(&self.socket).await.expect("the agent listens");
        let (status, text) = request(stream, method, path, body).await.expect("an answer");
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        (status, json)
    }

    pub async fn events(&self, path: &str) -> Events {
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        Events { lines: BufReader::new(stream), name: String::new() }
    }

    pub async fn terminal(&self, lab: &str, name: &str) -> Terminal {
        let url = format!("ws://agent/v1/labs/{lab}/terminals/{name}");
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.expect("a terminal");
        Terminal { socket, seq: 0, acknowledge: true, snapshots: 0, exits: Vec::new(), output: Vec::new() }
    }
}

async fn request(mut stream: UnixStream, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// Server-sent events, as they come.
pub struct Events {
    lines: BufReader<UnixStream>,
    name: String,
}

impl Events {
    /// The next event's name and data; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            let mut line = String::new();
            let read = timeout(Duration::from_secs(30), self.lines.read_line(&mut line)).await;
            if read.expect("an event in time").ok()? == 0 {
                return None;
            }
            // The last chunk of the response: the connection itself stays open.
            if line.trim() == "0" {
                return None;
            }
            if let Some(name) = line.strip_prefix("event: ") {
                self.name = name.trim().to_owned();
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some((std::mem::take(&mut self.name), serde_json::from_str(data.trim()).unwrap()));
            }
        }
    }

    /// The next event of this name whose data satisfies a condition.
    pub async fn wait_for(&mut self, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let (is, data) = self.next().await.expect("the stream goes on");
            if is == name && holds(&data) {
                return data;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "no such {name} came");
        }
    }
}

/// A terminal, as a page would hold it.
pub struct Terminal {
    socket: WebSocketStream<UnixStream>,
    pub seq: u64,
    pub acknowledge: bool,
    pub snapshots: usize,
    pub exits: Vec<i32>,
    pub output: Vec<u8>,
}

impl Terminal {
    pub async fn send(&mut self, frame: ClientFrame) {
        self.socket.send(Message::Binary(frame.encode().into())).await.expect("the terminal takes frames");
    }

    pub async fn hello(&mut self, last_seq: u64) {
        self.seq = last_seq;
        self.send(ClientFrame::Hello { last_seq, cols: 80, rows: 24 }).await;
    }

    pub async fn type_in(&mut self, text: &str) {
        self.send(ClientFrame::Input { bytes: text.as_bytes().to_vec() }).await;
    }

    /// The next frame; `None` once the agent has closed the terminal.
    pub async fn frame(&mut self) -> Option<ServerFrame> {
        loop {
            match self.socket.next().await? {
                Ok(Message::Binary(bytes)) => {
                    let frame = ServerFrame::decode(&bytes).expect("a frame of the protocol");
                    self.take_in(&frame).await;
                    return Some(frame);
                }
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    async fn take_in(&mut self, frame: &ServerFrame) {
        match frame {
            ServerFrame::Output { seq, bytes } => {
                assert_eq!(*seq, self.seq, "output has no gap and no overlap");
                self.seq += bytes.len() as u64;
                self.output.extend_from_slice(bytes);
            }
            ServerFrame::Snapshot { seq, screen, .. } => {
                self.seq = *seq;
                self.snapshots += 1;
                self.output = screen.clone();
            }
            ServerFrame::Exit { status } => self.exits.push(*status),
            ServerFrame::State { .. } | ServerFrame::Pong { .. } => {}
        }
        if self.acknowledge {
            let seq = self.seq;
            // The agent may close while we still acknowledge.
            let _ = self.socket.send(Message::Binary(ClientFrame::Ack { seq }.encode().into())).await;
        }
    }

    /// Reads until the output contains this. Returns all output so far, as text.
    pub async fn until(&mut self, wanted: &str) -> String {
        let mut searched = 0_usize;
        let wait = async {
            loop {
                // Only what is new, and so much before it that the words may begin in: floods are long.
                let from = searched.saturating_sub(wanted.len());
                if self.output[from..].windows(wanted.len()).any(|window| window == wanted.as_bytes()) {
                    return String::from_utf8_lossy(&self.output).into_owned();
                }
                searched = self.output.len();
                assert!(
                    self.frame().await.is_some(),
                    "the terminal closed before {wanted:?}: {:?}",
                    self.tail()
                );
                // A picture replaces what was there.
                searched = searched.min(self.output.len());
            }
        };
        match timeout(Duration::from_secs(60), wait).await {
            Ok(text) => text,
            Err(_) => panic!("{wanted:?} did not come; it printed {:?}", self.tail()),
        }
    }

    /// Reads until the shell has ended.
    pub async fn until_exit(&mut self) -> i32 {
        while self.exits.is_empty() {
            let frame = timeout(Duration::from_secs(60), self.frame()).await.expect("an exit in time");
            assert!(frame.is_some(), "the terminal closed before its shell ended");
        }
        self.exits.remove(0)
    }

    /// Types a line, waits for what it prints. `wanted` must not occur in the line itself.
    pub async fn ask(&mut self, line: &str, wanted: &str) -> String {
        self.output.clear();
        self.type_in(&format!("{line}\r")).await;
        self.until(wanted).await
    }

    fn tail(&self) -> String {
        let from = self.output.len().saturating_sub(2000);
        String::from_utf8_lossy(&self.output[from..]).into_owned()
    }
}
