//! The conversation with the agent inside a VM: its own HTTP API, over the machine's channel.
//!
//! Whoever is root in there can be who answers. Every answer is bounded in size and time, has to have the form of the protocol,
//! and counts as much as the learner's own word about their machine.

use crate::refusal::{Kind, Refusal};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use isolab_protocol::observation::Observation;
use isolab_protocol::terminal::{FRAME_BYTES_MAX, SUBPROTOCOL};
use isolab_protocol::{ApiError, ExecRequest, ExecResult, Lab, LabPhase};
use isolab_vm::greeting::LAB;
use isolab_vm::{Dialer, Stream};
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, http};

/// The largest answer that is read, in bytes: two full MiB of a command's output, escaped as JSON.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long the agent inside may take to answer what needs no time.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// How much longer than the command itself the answer to a command may take.
const EXEC_AFTERWARDS: Duration = Duration::from_secs(10);

/// Whom requests name.
const HOST: &str = "labhost";

/// The agent inside one machine.
#[derive(Clone, Debug)]
pub struct Guest {
    dialer: Dialer,
}

/// A terminal inside.
pub type Distant = WebSocketStream<Stream>;

impl Guest {
    /// At the other end of this channel.
    pub fn new(dialer: Dialer) -> Self {
        Self { dialer }
    }

    /// Returns when the channel is gone.
    pub async fn hung_up(&self) {
        self.dialer.closed().await;
    }

    /// Why its lab host is over, where it is. Errors: the agent inside does not answer.
    pub async fn is_over(&self) -> Result<Option<String>, Refusal> {
        let labs = self.ask(Method::GET, "/v1/labs", Bytes::new(), ANSWERED_WITHIN).await?;
        let labs: Vec<Lab> = parse(&labs)?;
        Ok(labs.into_iter().find_map(|lab| match lab.state {
            LabPhase::Ended { why } => Some(why),
            LabPhase::Opening | LabPhase::Ready => None,
        }))
    }

    /// Runs a command as the machine's root.
    pub async fn exec(&self, request: &ExecRequest) -> Result<ExecResult, Refusal> {
        let within = Duration::from_secs(request.seconds_max.into()) + EXEC_AFTERWARDS;
        let body = serde_json::to_vec(request).unwrap_or_default();
        let answer = self.ask(Method::POST, &path("exec"), body.into(), within).await?;
        parse(&answer)
    }

    /// What its kernel says, now.
    pub async fn observation(&self) -> Result<Observation, Refusal> {
        parse(&self.ask(Method::GET, &path("observation"), Bytes::new(), ANSWERED_WITHIN).await?)
    }

    /// The stream of its news, as server-sent events.
    pub async fn news(&self) -> Result<Incoming, Refusal> {
        let path = path("observations");
        let sent = self.send(Method::GET, &path, Bytes::new());
        let response = timeout(ANSWERED_WITHIN, sent).await.map_err(|_| silent())??;
        match response.status() {
            StatusCode::OK => Ok(response.into_body()),
            status => Err(Refusal::new(Kind::Failed, format!("The machine's agent answered {status}."))),
        }
    }

    /// A terminal of the machine.
    pub async fn terminal(&self, name: &str) -> Result<Distant, Refusal> {
        let opening = async {
            let stream = self.dialer.dial().await.map_err(|error| gone(&error))?;
            let invalid = |error: tungstenite::Error| Refusal::new(Kind::Invalid, format!("{error}"));
            let uri = format!("ws://{HOST}{}", path(&format!("terminals/{name}")));
            let mut request = uri.into_client_request().map_err(invalid)?;
            let protocol = http::HeaderValue::from_static(SUBPROTOCOL);
            request.headers_mut().insert(http::header::SEC_WEBSOCKET_PROTOCOL, protocol);
            let config = WebSocketConfig::default()
                .max_message_size(Some(FRAME_BYTES_MAX))
                .max_frame_size(Some(FRAME_BYTES_MAX));
            match tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await {
                Ok((terminal, _)) => Ok(terminal),
                Err(tungstenite::Error::Http(response)) => {
                    let body = response.body().as_deref().unwrap_or_default();
                    Err(refusal(response.status().as_u16(), body))
                }
                Err(error) => {
                    Err(Refusal::new(Kind::Failed, format!("The machine's terminal failed: {error}.")))
                }
            }
        };
        timeout(ANSWERED_WITHIN, opening).await.map_err(|_| silent())?
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes, within: Duration) -> Result<Bytes, Refusal> {
        let asked = async {
            let response = self.send(method, path, body).await?;
            let status = response.status();
            let failed =
                |error| Refusal::new(Kind::Failed, format!("The machine's answer broke off: {error}."));
            let body =
                Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(failed)?;
            let body = body.to_bytes();
            if status.is_success() { Ok(body) } else { Err(refusal(status.as_u16(), &body)) }
        };
        timeout(within, asked).await.map_err(|_| silent())?
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>, Refusal> {
        let failed =
            |error: hyper::Error| Refusal::new(Kind::Failed, format!("The machine's agent: {error}."));
        let stream = self.dialer.dial().await.map_err(|error| gone(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header(header::HOST, HOST);
        let request = request
            .body(Full::new(body))
            .map_err(|error| Refusal::new(Kind::Invalid, format!("This cannot be asked: {error}.")))?;
        sender.send_request(request).await.map_err(failed)
    }
}

fn path(rest: &str) -> String {
    format!("/v1/labs/{LAB}/{rest}")
}

fn parse<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Refusal> {
    let odd = |error| Refusal::new(Kind::Failed, format!("The machine's agent answered oddly: {error}."));
    serde_json::from_slice(answer).map_err(odd)
}

fn silent() -> Refusal {
    Refusal::new(Kind::TimedOut, "The agent in the virtual machine did not answer in time.")
        .mend("Reset the lab: that makes a fresh machine.")
}

fn gone(error: &std::io::Error) -> Refusal {
    Refusal::new(Kind::Conflict, format!("The lab's machine cannot be reached: {error}."))
}

/// What the agent inside refused, as a refusal of our own.
fn refusal(status: u16, body: &[u8]) -> Refusal {
    let kind = match status {
        400 => Kind::Invalid,
        404 => Kind::Absent,
        409 => Kind::Conflict,
        429 => Kind::Limit,
        503 => Kind::Unavailable,
        504 => Kind::TimedOut,
        _ => Kind::Failed,
    };
    match serde_json::from_slice::<ApiError>(body) {
        Ok(ApiError { message, mend }) => Refusal { kind, message, mend },
        Err(_) => Refusal::new(kind, format!("The machine's agent answered {status}.")),
    }
}
