//! An agent of its own for each test, on a socket of its own, that leaves nothing behind.

use crate::client::Client;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A busy machine may take long; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An agent that ends with the test, however that ends.
pub struct Agent {
    pub process: Child,
    pub client: Client,
    directory: tempfile::TempDir,
}

impl Agent {
    pub async fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("isolab-agent-test-").tempdir().unwrap();
        // The agent of an ordinary user, and that of root, can both pass.
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let socket = directory.path().join("agent.sock");
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let process = Command::new(program())
            .args(["serve", "--die-with-parent", "--socket"])
            .arg(&socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the agent starts");
        let agent = Self { process, client: Client::new(socket), directory };
        agent.wait_until_ready().await;
        agent
    }

    async fn wait_until_ready(&self) {
        let began = Instant::now();
        while !self.client.answers("/v1/healthz").await {
            assert!(began.elapsed() < PATIENCE, "the agent does not answer: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Opens a lab and waits until it is ready.
    pub async fn lab(&self, id: &str) -> Lab<'_> {
        let (status, body) = self.client.post("/v1/labs", &json!({ "id": id })).await;
        assert_eq!(status, 201, "{body}");
        let lab = Lab { agent: self, id: id.into() };
        lab.wait_for_phase("ready").await;
        lab
    }

    /// The resident memory of the agent, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It ends because its standard input does, and takes its labs along.
        drop(self.process.stdin.take());
        let began = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) {
            if began.elapsed() > Duration::from_secs(20) {
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
    pub truncated: bool,
}

impl Lab<'_> {
    pub fn path(&self, rest: &str) -> String {
        format!("/v1/labs/{}{rest}", self.id)
    }

    pub async fn view(&self) -> Value {
        self.agent.client.get(&self.path("")).await.1
    }

    pub async fn wait_for_phase(&self, phase: &str) -> Value {
        let began = Instant::now();
        loop {
            let view = self.view().await;
            if view["phase"] == phase {
                return view;
            }
            let hopeless = view["phase"] == "ended" || began.elapsed() > PATIENCE;
            assert!(!hopeless, "the lab does not become {phase}: {view}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Runs a bash script as the lab host's root.
    pub async fn run(&self, script: &str) -> Ran {
        self.exec(json!({ "argv": ["/bin/bash", "-c", script], "seconds_max": 50 })).await
    }

    pub async fn exec(&self, request: Value) -> Ran {
        let (status, body) = self.agent.client.post(&self.path("/exec"), &request).await;
        assert_eq!(status, 200, "{body}");
        Ran {
            status: body["status"].as_i64().unwrap(),
            stdout: body["stdout"].as_str().unwrap().into(),
            stderr: body["stderr"].as_str().unwrap().into(),
            truncated: body["truncated"].as_bool().unwrap(),
        }
    }

    /// Runs a script that has to succeed. Returns what it printed.
    pub async fn ok(&self, script: &str) -> String {
        let ran = self.run(script).await;
        assert_eq!(ran.status, 0, "{script}\n{ran:?}");
        ran.stdout.trim_end().into()
    }

    pub async fn end(&self) {
        let (status, body) = self.agent.client.delete(&self.path("")).await;
        assert_eq!(status, 204, "{body}");
    }
}

pub fn program() -> PathBuf {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_isolab-agent"));
    let engine = std::env::var_os("ISOLAB_BIN_DIR")
        .map_or(program.with_file_name("isolab-engine"), |directory| {
            Path::new(&directory).join("isolab-engine")
        });
    assert!(engine.exists(), "{} is missing: cargo build -p isolab-engine", engine.display());
    program
}

/// The processes of the machine whose command line has these words.
pub fn processes_with(words: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").contains(words)
    };
    pids.filter(has).collect()
}

/// Waits until something holds.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
