//! One HTTP/1.1 request over a unix socket. A connection is made for each request: it costs some tens of
//! microseconds, and nothing has to be said about connections that went stale while the agent restarted.

use super::AgentError;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use isolab_protocol::ApiError;
use serde::{Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// The largest answer that is read: the two outputs of an exec are 1 MiB each, and every byte of them may be
/// escaped to six in JSON.
pub(super) const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The longest that connecting to a local socket may take: its backlog is full only when the agent hangs.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);

/// One call: what is asked, and how long the answer may take.
pub(super) struct Call<'a> {
    pub socket: &'a Path,
    pub method: Method,
    pub path: String,
    pub wait_max: Duration,
}

impl Call<'_> {
    /// Sends `body` (or nothing) as JSON and reads the answer as JSON.
    pub async fn json<T: DeserializeOwned>(self, body: Option<&impl Serialize>) -> Result<T, AgentError> {
        let bytes = self.bytes(body).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.garbled(error))
    }

    /// The same where the answer's content does not matter.
    pub async fn done(self, body: Option<&impl Serialize>) -> Result<(), AgentError> {
        self.bytes(body).await.map(drop)
    }

    async fn bytes(&self, body: Option<&impl Serialize>) -> Result<Bytes, AgentError> {
        let answer = async { self.read(self.send(body).await?.into_body()).await };
        timeout(self.wait_max, answer).await.map_err(|_| self.slow())?
    }

    /// Sends the request and returns the answer's head, its body still to be read. Answers that are not a
    /// success become [`AgentError::Refused`].
    pub async fn send(&self, body: Option<&impl Serialize>) -> Result<Response<Incoming>, AgentError> {
        let body = body.map(serde_json::to_vec).transpose().map_err(|error| self.garbled(error))?;
        let request = Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .header(HOST, "agent")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .map_err(|error| self.garbled(error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(connect(self.socket).await?))
            .await
            .map_err(|error| unreachable(self.socket, error))?;
        // The task ends with the connection, which ends when the answer's body is read or dropped.
        tokio::spawn(connection);
        let answer = sender.send_request(request).await.map_err(|error| unreachable(self.socket, error))?;
        if answer.status().is_success() { Ok(answer) } else { Err(self.refused(answer).await) }
    }

    async fn refused(&self, answer: Response<Incoming>) -> AgentError {
        let status = answer.status();
        match self.read(answer.into_body()).await {
            Ok(body) => refusal(status, &body),
            Err(error) => error,
        }
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, AgentError> {
        let whole = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        whole.map(|body| body.to_bytes()).map_err(|error| self.garbled(error))
    }

    pub fn garbled(&self, why: impl ToString) -> AgentError {
        AgentError::Garbled { call: format!("{} {}", self.method, self.path), why: why.to_string() }
    }

    pub fn slow(&self) -> AgentError {
        AgentError::Slow { call: format!("{} {}", self.method, self.path), waited: self.wait_max }
    }
}

/// The agent's words for a status that is not a success; its status alone where it has none.
pub(super) fn refusal(status: StatusCode, body: &[u8]) -> AgentError {
    let error = serde_json::from_slice(body).unwrap_or_else(|_| ApiError {
        message: format!("the agent answered with the status {status}"),
        mend: None,
    });
    AgentError::Refused { status: status.as_u16(), error }
}

pub(super) async fn connect(socket: &Path) -> Result<UnixStream, AgentError> {
    match timeout(CONNECT_WAIT_MAX, UnixStream::connect(socket)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(unreachable(socket, error)),
        Err(_) => {
            Err(unreachable(socket, format!("it has not taken a connection within {CONNECT_WAIT_MAX:?}")))
        }
    }
}

pub(super) fn unreachable(socket: &Path, why: impl ToString) -> AgentError {
    AgentError::Unreachable { socket: PathBuf::from(socket), why: why.to_string() }
}
