//! Each route of the agent's API as a call.

use super::AgentError;
use super::http::{ANSWER_BYTES_MAX, Call};
use super::sse::{Event, EventReader};
use super::terminal::{self, TerminalSocket};
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;
use isolab_protocol::{
    ExecRequest, ExecResult, Lab, LabId, LabPhase, LabSpec, MachineCapabilities, Observation, StartStep,
};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// The longest that an ordinary call may take. Most take milliseconds; ending a lab waits for its processes.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The longest until the agent says that it is there; it does nothing for the answer.
const HEALTH_WAIT_MAX: Duration = Duration::from_secs(3);

/// The longest that opening a lab may take: the very first one waits until the images are unpacked.
const OPEN_WAIT_MAX: Duration = Duration::from_secs(600);

/// What an exec may take beyond its own limit: the agent kills it at the limit and then reads what is left.
const EXEC_SLACK: Duration = Duration::from_secs(15);

/// No body.
const NOTHING: Option<&()> = None;

/// A client of one agent. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct AgentClient {
    socket: Arc<Path>,
}

impl AgentClient {
    /// A client of the agent that listens at `socket`. Nothing is connected yet.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into().into() }
    }

    /// Where the agent listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether the agent answers at all: `GET /v1/healthz`.
    pub async fn healthy(&self) -> Result<(), AgentError> {
        let mut call = self.call(Method::GET, "/v1/healthz");
        call.wait_max = HEALTH_WAIT_MAX;
        call.done(NOTHING).await
    }

    /// What the agent's machine can do.
    pub async fn capabilities(&self) -> Result<MachineCapabilities, AgentError> {
        self.call(Method::GET, "/v1/capabilities").json(NOTHING).await
    }

    /// All labs, those that ended a while ago included.
    pub async fn labs(&self) -> Result<Vec<Lab>, AgentError> {
        self.call(Method::GET, "/v1/labs").json(NOTHING).await
    }

    /// Starts to open a lab; it is not ready yet (see [`Self::open_ready`]).
    pub async fn open(&self, spec: &LabSpec) -> Result<Lab, AgentError> {
        self.call(Method::POST, "/v1/labs").json(Some(spec)).await
    }

    /// One lab.
    pub async fn lab(&self, id: &LabId) -> Result<Lab, AgentError> {
        self.call(Method::GET, &format!("/v1/labs/{id}")).json(NOTHING).await
    }

    /// Ends a lab.
    pub async fn end(&self, id: &LabId) -> Result<(), AgentError> {
        self.call(Method::DELETE, &format!("/v1/labs/{id}")).done(NOTHING).await
    }

    /// Makes a lab anew. `setup` replaces the script that it was opened with.
    pub async fn reset(&self, id: &LabId, setup: Option<&str>) -> Result<Lab, AgentError> {
        let body = setup.map_or_else(|| json!({}), |setup| json!({ "setup": setup }));
        self.call(Method::POST, &format!("/v1/labs/{id}/reset")).json(Some(&body)).await
    }

    /// Runs a command as root of the lab host and waits for its end.
    pub async fn exec(&self, id: &LabId, request: &ExecRequest) -> Result<ExecResult, AgentError> {
        let mut call = self.call(Method::POST, &format!("/v1/labs/{id}/exec"));
        call.wait_max = Duration::from_secs(request.seconds_max.into()) + EXEC_SLACK;
        call.json(Some(request)).await
    }

    /// Runs a `bash` script of at most 64 KiB as root of the lab host, in a login shell. It is given as an
    /// argument, so that a command in it that reads standard input does not swallow the rest of it.
    pub async fn script(&self, id: &LabId, script: &str, seconds_max: u32) -> Result<ExecResult, AgentError> {
        let argv = ["bash", "-lc", script].map(str::to_owned).into();
        self.exec(id, &ExecRequest { argv, stdin: None, seconds_max }).await
    }

    /// The lab's state now.
    pub async fn observation(&self, id: &LabId) -> Result<Observation, AgentError> {
        self.call(Method::GET, &format!("/v1/labs/{id}/observation")).json(NOTHING).await
    }

    /// The lab and its state, at once and on each change.
    pub async fn watch(&self, id: &LabId) -> Result<Watch, AgentError> {
        let path = format!("/v1/labs/{id}/observations");
        let call = self.call(Method::GET, &path);
        let answer = timeout(WAIT_MAX, call.send(NOTHING)).await.map_err(|_| call.slow())??;
        Ok(Watch { path, body: answer.into_body(), reader: EventReader::new(ANSWER_BYTES_MAX) })
    }

    /// The WebSocket of a terminal. Nothing happens on it before the first `HELLO`.
    pub async fn terminal(&self, id: &LabId, name: &str) -> Result<TerminalSocket, AgentError> {
        terminal::connect(&self.socket, id, name).await
    }

    /// Opens a lab and waits until it is ready; `tell` hears of each step when it begins. A lab that ends
    /// instead is an error with the reason.
    pub async fn open_ready(
        &self,
        spec: &LabSpec,
        mut tell: impl FnMut(&StartStep),
    ) -> Result<Lab, AgentError> {
        let slow = || AgentError::Slow { call: "POST /v1/labs".to_owned(), waited: OPEN_WAIT_MAX };
        let ready = async {
            let opened = self.open(spec).await?;
            self.until_ready(&opened.id, &mut tell).await
        };
        timeout(OPEN_WAIT_MAX, ready).await.map_err(|_| slow())?
    }

    async fn until_ready(&self, id: &LabId, tell: &mut impl FnMut(&StartStep)) -> Result<Lab, AgentError> {
        let mut told = 0;
        let mut watch = self.watch(id).await?;
        while let Some(event) = watch.next().await? {
            let LabEvent::Lab(lab) = event else { continue };
            lab.steps.iter().skip(told).for_each(&mut *tell);
            told = told.max(lab.steps.len());
            match &lab.state {
                LabPhase::Opening => {}
                LabPhase::Ready => return Ok(lab),
                LabPhase::Ended { why } => return Err(watch.ended(why)),
            }
        }
        Err(super::http::unreachable(&self.socket, "it stopped talking while a lab was opened"))
    }

    fn call(&self, method: Method, path: &str) -> Call<'_> {
        Call { socket: &self.socket, method, path: path.to_owned(), wait_max: WAIT_MAX }
    }
}

/// What [`AgentClient::watch`] brings.
#[derive(Debug)]
pub enum LabEvent {
    /// The lab changed.
    Lab(Lab),
    /// The state inside it changed.
    Observation(Box<Observation>),
}

/// A lab's stream of events.
pub struct Watch {
    path: String,
    body: Incoming,
    reader: EventReader,
}

impl Watch {
    /// The next event; `None` when the agent has ended the stream. Safe to cancel.
    pub async fn next(&mut self) -> Result<Option<LabEvent>, AgentError> {
        loop {
            while let Some(event) = self.reader.next() {
                if let Some(event) = self.parse(&event)? {
                    return Ok(Some(event));
                }
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.garbled(error)),
                Some(Ok(frame)) => {
                    if let Some(bytes) = frame.data_ref() {
                        self.reader.push(bytes).map_err(|error| self.garbled(error))?;
                    }
                }
            }
        }
    }

    /// Events of other names are passed over: a newer agent may send more than is known here.
    fn parse(&self, event: &Event) -> Result<Option<LabEvent>, AgentError> {
        let parsed = match event.name.as_str() {
            "lab" => serde_json::from_str(&event.data).map(|lab| Some(LabEvent::Lab(lab))),
            "observation" => serde_json::from_str(&event.data).map(|seen| Some(LabEvent::Observation(seen))),
            _ => Ok(None),
        };
        parsed.map_err(|error| self.garbled(error))
    }

    fn garbled(&self, why: impl ToString) -> AgentError {
        AgentError::Garbled { call: format!("GET {}", self.path), why: why.to_string() }
    }

    fn ended(&self, why: &str) -> AgentError {
        let error =
            isolab_protocol::ApiError { message: format!("the lab could not be opened: {why}"), mend: None };
        AgentError::Refused { status: 410, error }
    }
}
