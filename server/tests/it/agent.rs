//! A stand-in for the agent: it speaks the agent's API over a unix socket, but its labs are a few fields. Tests make
//! it slow, wrong or dead.

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{StreamExt, stream};
use isolab_protocol::terminal::{ClientFrame, SUBPROTOCOL, ServerFrame};
use isolab_protocol::{ApiError, ExecRequest, ExecResult, Lab, LabId, LabPhase, LabSpec, StartStep, Tier};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the stand-in does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// `POST /v1/labs` is answered with something that is no lab.
    Garbage,
    /// `POST /v1/labs` is refused.
    Full,
    /// Labs end as soon as they are opened.
    Crashing,
    /// The machine lacks what the lesson needs.
    Lacking,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    fault: Fault,
    /// New labs stay in the phase `opening` until told otherwise.
    slow: bool,
    labs: HashMap<LabId, watch::Sender<(Lab, Value)>>,
    /// What was asked of the agent, in order.
    calls: Vec<String>,
    exec_status: i32,
}

/// The stand-in; it ends when this is dropped.
pub struct StandIn {
    shared: Shared,
    socket: PathBuf,
    task: Option<JoinHandle<()>>,
}

impl StandIn {
    pub fn start(socket: &FilePath) -> Self {
        let mut agent = Self { shared: Shared::default(), socket: socket.to_owned(), task: None };
        agent.rise();
        agent
    }

    /// As if the agent were killed: its connections end, and its labs are gone.
    pub async fn die(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
        std::fs::remove_file(&self.socket).unwrap();
        // The streams of the labs end when their senders are dropped.
        self.shared.0.lock().unwrap().labs.clear();
    }

    /// Starts to answer again, with no labs.
    pub fn rise(&mut self) {
        let listener = UnixListener::bind(&self.socket).unwrap();
        let router = router(self.shared.clone());
        self.task = Some(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }));
    }

    pub fn set_fault(&self, fault: Fault) {
        self.shared.0.lock().unwrap().fault = fault;
    }

    pub fn set_slow(&self) {
        self.shared.0.lock().unwrap().slow = true;
    }

    pub fn set_exec_status(&self, status: i32) {
        self.shared.0.lock().unwrap().exec_status = status;
    }

    pub fn calls(&self) -> Vec<String> {
        self.shared.0.lock().unwrap().calls.clone()
    }

    /// Changes every lab.
    pub fn change(&self, change: impl Fn(&mut Lab)) {
        for lab in self.shared.0.lock().unwrap().labs.values() {
            lab.send_modify(|(lab, _)| change(lab));
        }
    }

    /// Puts containers of these names into every lab.
    pub fn contain(&self, names: &[&str]) {
        for lab in self.shared.0.lock().unwrap().labs.values() {
            lab.send_modify(|(lab, seen)| {
                *seen = observation(&lab.id, names, seen["seq"].as_u64().unwrap() + 1)
            });
        }
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/v1/healthz", get(async || "ok"))
        .route("/v1/capabilities", get(capabilities))
        .route("/v1/labs", post(open))
        .route("/v1/labs/{id}", get(lab).delete(end))
        .route("/v1/labs/{id}/reset", post(reset))
        .route("/v1/labs/{id}/exec", post(exec))
        .route("/v1/labs/{id}/observation", get(observe))
        .route("/v1/labs/{id}/observations", get(watch_lab))
        .route("/v1/labs/{id}/terminals/{name}", get(terminal))
        .with_state(shared)
}

impl Shared {
    fn call(&self, call: impl Into<String>) {
        self.0.lock().unwrap().calls.push(call.into());
    }

    #[allow(clippy::result_large_err, reason = "an answer of axum is what it is")]
    fn find(&self, id: &LabId) -> Result<watch::Receiver<(Lab, Value)>, Response> {
        let inner = self.0.lock().unwrap();
        inner
            .labs
            .get(id)
            .map(watch::Sender::subscribe)
            .ok_or_else(|| refuse(StatusCode::NOT_FOUND, "no such lab"))
    }
}

fn refuse(status: StatusCode, message: &str) -> Response {
    (status, Json(ApiError { message: message.into(), mend: Some("Mend it.".into()) })).into_response()
}

async fn capabilities(State(shared): State<Shared>) -> Json<Value> {
    shared.call("capabilities");
    let available = shared.0.lock().unwrap().fault != Fault::Lacking;
    let known = json!({"name": "user-namespaces", "available": available, "required": true, "found": "They are off.",
        "why": "Labs.", "mend": "sysctl it"});
    let mut offer = json!({"tier": "sandbox", "gives": ["user-namespaces"]});
    if !available {
        offer["lacks"] = json!("user-namespaces: They are off.");
        offer["mend"] = json!("sysctl it");
    }
    Json(json!({"kernel": "6", "capabilities": [known], "tiers": [offer]}))
}

async fn open(State(shared): State<Shared>, Json(spec): Json<LabSpec>) -> Response {
    let id = spec.id.unwrap();
    shared.call(format!("open {id} setup={:?}", spec.setup));
    let mut inner = shared.0.lock().unwrap();
    let state = match inner.fault {
        Fault::Garbage => return "<html>what?</html>".into_response(),
        Fault::Full => return refuse(StatusCode::SERVICE_UNAVAILABLE, "The machine is full."),
        Fault::Crashing => LabPhase::Ended { why: "its setup failed".into() },
        _ if inner.slow => LabPhase::Opening,
        _ => LabPhase::Ready,
    };
    let lab = Lab {
        id: id.clone(),
        tier: Tier::Sandbox,
        tier_why: "It is the only one.".into(),
        notice: None,
        state,
        generation: 1,
        steps: vec![StartStep { what: "Unpacking the lab host".into(), took_ms: None }],
        ends_in_seconds: None,
        memory_kib: None,
    };
    let seen = observation(&id, &[], 1);
    inner.labs.insert(id, watch::Sender::new((lab.clone(), seen)));
    (StatusCode::CREATED, Json(lab)).into_response()
}

async fn lab(State(shared): State<Shared>, Path(id): Path<LabId>) -> Result<Json<Lab>, Response> {
    Ok(Json(shared.find(&id)?.borrow().0.clone()))
}

async fn end(State(shared): State<Shared>, Path(id): Path<LabId>) -> StatusCode {
    shared.call(format!("end {id}"));
    shared.0.lock().unwrap().labs.remove(&id);
    StatusCode::NO_CONTENT
}

async fn reset(State(shared): State<Shared>, Path(id): Path<LabId>) -> Result<Json<Lab>, Response> {
    shared.call(format!("reset {id}"));
    let inner = shared.0.lock().unwrap();
    let lab = inner.labs.get(&id).ok_or_else(|| refuse(StatusCode::NOT_FOUND, "no such lab"))?;
    lab.send_modify(|(lab, _)| lab.generation += 1);
    Ok(Json(lab.borrow().0.clone()))
}

async fn exec(State(shared): State<Shared>, Json(request): Json<ExecRequest>) -> Json<ExecResult> {
    shared.call(format!("exec {}", request.argv.join(" ")));
    let status = shared.0.lock().unwrap().exec_status;
    Json(ExecResult { status, stdout: String::new(), stderr: "secret of the lab".into(), truncated: false })
}

async fn observe(State(shared): State<Shared>, Path(id): Path<LabId>) -> Result<Json<Value>, Response> {
    Ok(Json(shared.find(&id)?.borrow().1.clone()))
}

async fn watch_lab(State(shared): State<Shared>, Path(id): Path<LabId>) -> Result<Response, Response> {
    shared.call(format!("watch {id}"));
    let mut lab = shared.find(&id)?;
    lab.mark_changed();
    let changes = stream::unfold(lab, async |mut lab| {
        lab.changed().await.ok()?;
        let (now, seen) = lab.borrow_and_update().clone();
        let event = |name: &str, data: Value| {
            Ok::<_, axum::Error>(Event::default().event(name).data(data.to_string()))
        };
        let events = [event("lab", serde_json::to_value(now).unwrap()), event("observation", seen)];
        Some((stream::iter(events), lab))
    });
    Ok(Sse::new(changes.flatten()).into_response())
}

async fn terminal(
    State(shared): State<Shared>,
    Path((id, name)): Path<(LabId, String)>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Response> {
    shared.call(format!("terminal {id} {name}"));
    let lab = shared.find(&id)?;
    Ok(upgrade.protocols([SUBPROTOCOL]).on_upgrade(|socket| echo(socket, lab)))
}

/// A shell that prints a prompt and whatever is typed. It ends with its lab.
async fn echo(mut socket: WebSocket, mut lab: watch::Receiver<(Lab, Value)>) {
    let mut seq = 0;
    loop {
        let message = tokio::select! {
            message = socket.recv() => message,
            () = async { while lab.changed().await.is_ok() {} } => return,
        };
        let Some(Ok(Message::Binary(bytes))) = message else { return };
        let bytes = match ClientFrame::decode(&bytes).unwrap() {
            ClientFrame::Hello { .. } => b"$ ".to_vec(),
            ClientFrame::Input { bytes } => bytes,
            _ => continue,
        };
        let frame = ServerFrame::Output { seq, bytes: bytes.clone() };
        seq += bytes.len() as u64;
        if socket.send(Message::Binary(frame.encode().into())).await.is_err() {
            return;
        }
    }
}

/// What the kernel would say of a lab with such containers.
fn observation(id: &LabId, names: &[&str], seq: u64) -> Value {
    let namespace = json!({"inode": 1, "shared": false});
    let kinds = ["user", "pid", "mnt", "net", "uts", "ipc", "cgroup", "time"];
    let namespaces: Value = kinds
        .iter()
        .map(|kind| (kind.to_string(), namespace.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let ids = json!({"real": 0, "effective": 0, "saved": 0, "filesystem": 0});
    let none = "0000000000000000";
    let process = json!({
        "pid": 7, "pid_inside": 1, "pids": [7, 1], "ppid": 1, "argv": ["sleep"], "comm": "sleep",
        "executable": {"path": "/bin/sleep", "pristine": true}, "state": "S", "started_at_ms": 1,
        "uid": ids, "gid": ids, "groups": [], "no_new_privs": false, "lsm_label": null, "cgroup": "",
        "capabilities": {"inheritable": none, "permitted": none, "effective": none, "bounding": none, "ambient": none},
        "seccomp": {"mode": 0, "filters": 0}, "namespaces": namespaces,
    });
    let containers: Vec<Value> = names
        .iter()
        .map(|name| {
            json!({
                "id": "", "name": name, "image": "ubuntu", "hostname": "x", "init": process, "processes": [process],
                "namespaces": namespaces, "uid_map": [], "gid_map": [], "mounts": [], "links": [],
            })
        })
        .collect();
    json!({
        "lab": id, "seq": seq, "taken_at_ms": seq, "truncated": false, "containers": containers,
        "kernel": {"release": "6", "version": "1", "boot_id": "b"},
        "host": {"namespaces": namespaces, "hostname": "labhost", "root_device": "", "processes": [], "links": [], "uid_map": [], "gid_map": []},
    })
}
