//! A small browser: requests as a page of the site sends them, and headers that a test may change.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use isolab_protocol::terminal::{ClientFrame, SUBPROTOCOL, ServerFrame};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Nothing here takes long; a test that waits longer has failed.
pub const WAIT_MAX: Duration = Duration::from_secs(10);

pub struct Browser {
    address: SocketAddr,
    headers: Vec<(String, Option<String>)>,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: hyper::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

impl Browser {
    pub fn at(address: SocketAddr) -> Self {
        Self { address, headers: vec![] }
    }

    /// The same browser with another header, or without one.
    pub fn with(mut self, name: &str, value: Option<&str>) -> Self {
        self.headers.push((name.to_owned(), value.map(str::to_owned)));
        self
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.read(self.send("GET", path, "").await).await
    }

    /// A POST of a script, with a JSON body.
    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.read(self.send("POST", path, body).await).await
    }

    pub async fn request(&self, method: &str, path: &str) -> Answer {
        self.read(self.send(method, path, "").await).await
    }

    /// The events of the lesson page, as they come.
    pub async fn events(&self, path: &str) -> Events {
        let answer = self.send("GET", path, "").await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
        Events { body: answer.into_body(), text: String::new() }
    }

    async fn send(&self, method: &str, path: &str, body: &str) -> Response<Incoming> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in self.all_headers(method) {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        timeout(WAIT_MAX, sender.send_request(request)).await.unwrap().unwrap()
    }

    fn all_headers(&self, method: &str) -> Vec<(String, String)> {
        let own = format!("{}", self.address);
        let mut usual = vec![("host", own.clone()), ("accept", "application/json".to_owned())];
        if method != "GET" {
            usual.push(("origin", format!("http://{own}")));
            usual.push(("content-type", "application/json".to_owned()));
        }
        let changed = |name: &str| self.headers.iter().any(|(other, _)| other == name);
        let usual = usual
            .into_iter()
            .filter(|(name, _)| !changed(name))
            .map(|(name, value)| (name.to_owned(), value));
        let own = self.headers.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
        usual.chain(own).collect()
    }

    async fn read(&self, answer: Response<Incoming>) -> Answer {
        let (head, body) = answer.into_parts();
        let body = timeout(WAIT_MAX, body.collect()).await.unwrap().unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, text: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// A terminal's WebSocket, or the status that refused it.
    pub async fn terminal(&self, path: &str) -> Result<Tty, StatusCode> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let mut request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("origin", format!("http://{}", self.address).parse().unwrap());
        headers.insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
        for (name, value) in &self.headers {
            let name = hyper::header::HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.remove(&name);
            if let Some(value) = value {
                headers.insert(name, value.parse().unwrap());
            }
        }
        match timeout(WAIT_MAX, tokio_tungstenite::client_async(request, stream)).await.unwrap() {
            Ok((socket, _)) => Ok(Tty { socket }),
            Err(Error::Http(answer)) => Err(answer.status()),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The browser's end of a terminal.
pub struct Tty {
    pub socket: WebSocketStream<TcpStream>,
}

impl Tty {
    pub async fn hello(&mut self) {
        self.send(ClientFrame::Hello { last_seq: 0, cols: 80, rows: 24 }).await;
    }

    pub async fn send(&mut self, frame: ClientFrame) {
        self.socket.send(Message::Binary(frame.encode().into())).await.unwrap();
    }

    /// The next frame, or the code with which the server closed.
    pub async fn next(&mut self) -> Result<ServerFrame, u16> {
        loop {
            match timeout(WAIT_MAX, self.socket.next()).await.expect("a frame in time") {
                Some(Ok(Message::Binary(bytes))) => return Ok(ServerFrame::decode(&bytes).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    /// Reads until output of exactly this text.
    pub async fn reads(&mut self, text: &str) {
        loop {
            match self.next().await {
                Ok(ServerFrame::Output { bytes, .. }) => {
                    return assert_eq!(String::from_utf8(bytes).unwrap(), text);
                }
                Ok(ServerFrame::State { .. }) => {}
                other => panic!("wanted {text:?}, saw {other:?}"),
            }
        }
    }
}

/// Server-sent events.
pub struct Events {
    body: Incoming,
    text: String,
}

impl Events {
    /// The data of the first event of that name for which `right` holds.
    pub async fn find(&mut self, name: &str, right: impl Fn(&Value) -> bool) -> Value {
        let mut seen = Vec::new();
        let search = async {
            loop {
                let (event, data) = self.next().await.expect("the stream goes on");
                if event == name && right(&data) {
                    return data;
                }
                seen.push((event, data));
            }
        };
        match timeout(WAIT_MAX, search).await {
            Ok(data) => data,
            Err(_) => panic!("no such {name} event; saw {seen:#?}"),
        }
    }

    /// The next event; nothing when the stream has ended.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let parsed = field("event:").zip(field("data:"));
                let parsed =
                    parsed.map(|(name, data)| (name.to_owned(), serde_json::from_str(data).unwrap()));
                self.text = rest.to_owned();
                match parsed {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let frame = self.body.frame().await?.ok()?;
            self.text.push_str(std::str::from_utf8(frame.data_ref()?).unwrap());
        }
    }
}
