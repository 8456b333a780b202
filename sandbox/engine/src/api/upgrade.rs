//! Hijacked connections: after `101 UPGRADED` the connection carries a program's streams, in both directions.

use crate::detach::DetachKeys;
use crate::stdcopy::{Framing, Source};
use crate::streams::{Output, Streams};
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use futures_util::StreamExt;
use hyper::upgrade::{OnUpgrade, Parts};
use hyper_util::rt::TokioIo;
use isolab_runtime::stdio::untaken;
use std::convert::Infallible;
use std::io::{self, Cursor};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

/// Input is handed on in pieces of at most this.
const INPUT_BYTES_MAX: usize = 16 * 1024;

/// How long a client may take to close its connection after the program's end.
const LINGER_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a client may take to read the answer, before the program is started nevertheless.
const TAKE_TIME_MAX: Duration = Duration::from_secs(1);

/// How often it is looked whether it has: nobody tells.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What a client and a program say to each other.
pub struct Conversation {
    /// The program's streams.
    pub streams: Arc<Streams>,
    /// The program's output from the moment on at which the client asked.
    pub output: Output,
    /// What the client is to see first (old log lines), framed already.
    pub prologue: Vec<Bytes>,
    /// How output is written.
    pub framing: Framing,
    /// Whether the client wants each stream.
    pub wants: [bool; 2],
    /// Input, where the client gives some.
    pub input: Option<Input>,
}

/// How the client's input is taken.
pub struct Input {
    /// Whether the program's input ends with the client's.
    pub closes: bool,
    /// The keys with which the client leaves, where it has a terminal.
    pub detach_keys: Option<DetachKeys>,
}

impl Conversation {
    fn frame(&self, source: Source, bytes: &Bytes) -> Option<Bytes> {
        let wanted = match source {
            Source::Stdout => self.wants[0],
            Source::Stderr => self.wants[1],
        };
        wanted.then(|| self.framing.frame(source, bytes))
    }

    /// Carries the conversation on over a connection, to the program's end or the client's leaving.
    async fn over(
        mut self,
        mut reader: impl AsyncRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let (streams, input) = (Arc::clone(&self.streams), self.input.take());
        let output = async {
            for piece in std::mem::take(&mut self.prologue) {
                writer.write_all(&piece).await?;
            }
            writer.flush().await?;
            while let Some(piece) = self.output.recv().await {
                if let Some(framed) = self.frame(piece.source, &piece.bytes) {
                    writer.write_all(&framed).await?;
                    writer.flush().await?;
                }
            }
            writer.shutdown().await
        };
        tokio::select! {
            ended = output => ended?,
            () = take_input(&streams, input, &mut reader) => return Ok(()),
        }
        // A connection closed with input unread is reset, and the client would print that: let it close first.
        let rest = async {
            let mut buffer = vec![0; INPUT_BYTES_MAX];
            while let Ok(1..) = reader.read(&mut buffer).await {}
        };
        let _ = tokio::time::timeout(LINGER_TIME_MAX, rest).await;
        Ok(())
    }
}

/// Passes input on; returns only when the client has detached.
async fn take_input(streams: &Streams, input: Option<Input>, mut reader: impl AsyncRead + Unpin) {
    if let Some(Input { closes, mut detach_keys }) = input {
        let mut buffer = vec![0; INPUT_BYTES_MAX];
        while let Ok(length @ 1..) = reader.read(&mut buffer).await {
            let bytes = match &mut detach_keys {
                None => buffer[..length].to_vec(),
                Some(keys) => {
                    let passed = keys.pass(&buffer[..length]);
                    if passed.detached {
                        return;
                    }
                    passed.bytes
                }
            };
            if streams.write(&bytes).await.is_err() {
                break;
            }
        }
        if closes {
            streams.end_input().await;
        }
    }
    std::future::pending().await
}

/// Whether a request asks for its connection.
pub fn is_asked_for(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
}

/// Takes a request's right to its connection, where it asks for it.
pub fn take(request: &mut Request<Body>) -> Option<OnUpgrade> {
    is_asked_for(request.headers()).then(|| request.extensions_mut().remove()).flatten()
}

/// Answers with the conversation: on the upgraded connection, or, for a client that did not ask for it, as a body
/// (output only). It begins when the client has its connection.
pub fn answer(
    upgrade: Option<OnUpgrade>,
    begin: impl FnOnce() -> Conversation + Send + 'static,
) -> Response<Body> {
    const RAW: HeaderValue = HeaderValue::from_static("application/vnd.docker.raw-stream");
    let Some(upgrade) = upgrade else {
        let mut response = Response::new(as_body(begin()));
        response.headers_mut().insert(header::CONTENT_TYPE, RAW);
        return response;
    };
    tokio::spawn(async move {
        let Ok(connection) = upgrade.await else { return };
        let Ok(Parts { io, read_buf, .. }) = connection.downcast::<TokioIo<UnixStream>>() else { return };
        let stream = io.into_inner();
        until_taken(&stream).await;
        let (reader, writer) = stream.into_split();
        // An error: the client has gone, and there is nobody to tell.
        let _ = begin().over(Cursor::new(read_buf).chain(reader), writer).await;
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, RAW);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("tcp"));
    response
}

/// Waits until the client has taken the answer. One that reads it through a buffer of its own, as Docker's library for
/// Python does, would lose what came together with it.
async fn until_taken(stream: &UnixStream) {
    let begun = Instant::now();
    while matches!(untaken(stream.as_fd()), Ok(1..)) && begun.elapsed() < TAKE_TIME_MAX {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn as_body(mut conversation: Conversation) -> Body {
    let prologue = futures_util::stream::iter(std::mem::take(&mut conversation.prologue));
    let live = futures_util::stream::unfold(conversation, |mut conversation| async move {
        loop {
            let piece = conversation.output.recv().await?;
            if let Some(framed) = conversation.frame(piece.source, &piece.bytes) {
                return Some((framed, conversation));
            }
        }
    });
    Body::from_stream(prologue.chain(live).map(Ok::<_, Infallible>))
}
