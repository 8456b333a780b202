//! An agent of its own for each test, and labs in virtual machines on it.

use crate::client::Client;
use isolab_tests::harness::Stop;
use isolab_tests::programs;
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A busy machine without KVM may take long; a test that waits this long has failed. The first lab waits for the template.
const PATIENCE: Duration = Duration::from_secs(240);

/// What all tests share.
pub struct World {
    runtime: tokio::runtime::Runtime,
    folder: PathBuf,
}

impl World {
    pub fn new() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        Ok(Self { runtime, folder: programs::folder()? })
    }

    /// Runs a test with an agent of its own. Skips it where no VM can be had, with the doctor's own reason.
    pub fn with_agent(&self, test: impl AsyncFnOnce(&Agent)) -> Result<(), Stop> {
        self.runtime.block_on(async {
            let agent = Agent::start(&self.folder).await?;
            let (_, machine) = agent.client.get("/v1/capabilities").await;
            let tier =
                |name: &str| machine["tiers"].as_array()?.iter().find(|tier| tier["tier"] == name).cloned();
            let vm =
                tier("vm").ok_or_else(|| Stop::Failed(format!("the agent tells of no tier: {machine}")))?;
            if let Some(lacks) = vm["lacks"].as_str() {
                return Err(Stop::Skipped(lacks.to_owned()));
            }
            test(&agent).await;
            Ok(())
        })
    }
}

/// An agent that ends with the test, however that ends.
pub struct Agent {
    process: Child,
    pub client: Client,
    directory: tempfile::TempDir,
}

impl Agent {
    async fn start(folder: &Path) -> Result<Self, Stop> {
        let directory = tempfile::Builder::new().prefix("isolab-machines-").tempdir()?;
        let socket = directory.path().join("agent.sock");
        let process = Command::new(folder.join("isolab-agent"))
            .args(["serve", "--die-with-parent", "--socket"])
            .arg(&socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(directory.path().join("log"))?)
            .spawn()?;
        let agent = Self { process, client: Client::new(socket), directory };
        agent.until("the agent answers", async || agent.client.answers("/v1/healthz").await).await;
        Ok(agent)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Opens a lab in a machine and waits until it is ready.
    pub async fn machine(&self, id: &str) -> Lab<'_> {
        let lab = self.open(json!({ "id": id, "tier": "vm" })).await;
        lab.ready(0).await;
        lab
    }

    /// Begins to open a lab.
    pub async fn open(&self, spec: Value) -> Lab<'_> {
        let (status, body) = self.client.post("/v1/labs", &spec).await;
        assert_eq!(status, 201, "{body}");
        Lab { agent: self, id: body["id"].as_str().unwrap().into() }
    }

    /// Waits until something holds.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let began = Instant::now();
        while !holds().await {
            assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It ends because its standard input does, and takes its labs along.
        drop(self.process.stdin.take());
        let began = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) {
            if began.elapsed() > Duration::from_secs(30) {
                let _ = self.process.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        if std::thread::panicking() {
            eprintln!("--- the agent's log\n{}", self.log());
        }
    }
}

/// One lab of an agent.
pub struct Lab<'a> {
    pub agent: &'a Agent,
    pub id: String,
}

/// What came of a command.
#[derive(Debug)]
pub struct Ran {
    pub status: i64,
    pub stdout: String,
    pub stderr: String,
}

impl Lab<'_> {
    pub fn path(&self, rest: &str) -> String {
        format!("/v1/labs/{}{rest}", self.id)
    }

    pub async fn view(&self) -> Value {
        self.agent.client.get(&self.path("")).await.1
    }

    /// Waits until the lab's machine of this number, or a later one, is ready.
    pub async fn ready(&self, generation: u64) -> Value {
        let mut view = Value::Null;
        self.agent
            .until("the machine is ready", async || {
                view = self.view().await;
                assert_ne!(view["phase"], "ended", "{view}\n{}", self.agent.log());
                view["phase"] == "ready" && view["generation"].as_u64().unwrap() >= generation
            })
            .await;
        view
    }

    /// Runs a bash script as the machine's root.
    pub async fn run(&self, script: &str) -> Ran {
        let request = json!({ "argv": ["/bin/bash", "-c", script], "seconds_max": 120 });
        let (status, body) = self.agent.client.post(&self.path("/exec"), &request).await;
        assert_eq!(status, 200, "{script}: {body}\n{}", self.agent.log());
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        Ran { status: body["status"].as_i64().unwrap(), stdout: text("stdout"), stderr: text("stderr") }
    }

    /// Runs a script that has to succeed. Returns what it printed.
    pub async fn ok(&self, script: &str) -> String {
        let ran = self.run(script).await;
        assert_eq!(ran.status, 0, "{script}\n{ran:?}");
        ran.stdout.trim_end().into()
    }

    /// Begins something that may not live to answer.
    pub async fn begin(&self, script: &str) {
        let request = json!({ "argv": ["/bin/bash", "-c", script], "seconds_max": 5 });
        self.agent.client.post(&self.path("/exec"), &request).await;
    }

    pub async fn end(&self) {
        let (status, body) = self.agent.client.delete(&self.path("")).await;
        assert_eq!(status, 204, "{body}");
    }
}

/// The processes of the machine that descend from this one and whose name begins so.
pub fn descendants(of: u32, name: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let all: Vec<(u32, u32, String)> = entries
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let (front, back) = stat.rsplit_once(')')?;
            let parent = back.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent, front.split_once('(')?.1.to_owned()))
        })
        .collect();
    let descends = |mut pid: u32| {
        for _ in 0..64 {
            match all.iter().find(|(other, ..)| *other == pid) {
                Some((_, parent, _)) if *parent == of => return true,
                Some((_, parent, _)) => pid = *parent,
                None => return false,
            }
        }
        false
    };
    let found = all.iter().filter(|(pid, _, comm)| comm.starts_with(name) && descends(*pid));
    found.map(|(pid, ..)| *pid).collect()
}
