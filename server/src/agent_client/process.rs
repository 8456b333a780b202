//! Starting an agent: the one that a home's commands share, or a private one that ends with this program.

use super::{AgentClient, AgentError};
use crate::home::Home;
use crate::programs;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// The longest that an agent may take until it answers. It makes its namespaces before, not its images:
/// some tens of milliseconds on an idle machine.
const START_WAIT_MAX: Duration = Duration::from_secs(20);

/// How often a starting agent is asked. Each ask is one failing `connect`.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// The longest that a private agent may take to end its labs before it is killed (which ends them too).
const END_WAIT_MAX: Duration = Duration::from_secs(10);

/// A log longer than this is started anew when the agent is: it holds the story of a few sessions.
const LOG_BYTES_MAX: u64 = 1024 * 1024;

/// An agent that belongs to this program: it ends, with all its labs, when this is dropped.
pub struct AgentProcess {
    client: AgentClient,
    child: Child,
    /// Holds the socket and the log.
    folder: TempDir,
}

impl AgentProcess {
    /// The agent of `home`, started where none answers. It is no child of this program in any way that
    /// matters: it has its own session, and goes on when this program ends. `tell` hears what is being done.
    pub async fn shared(home: &Home, mut tell: impl FnMut(&str)) -> Result<AgentClient, AgentError> {
        let client = AgentClient::new(home.agent_socket());
        if client.healthy().await.is_ok() {
            return Ok(client);
        }
        home.make().map_err(|error| cannot(format!("{}: {error}", home.path().display())))?;
        let _lock = lock(&home.run().join("agent.lock")).await?;
        if client.healthy().await.is_ok() {
            return Ok(client);
        }
        tell("Starting the agent, which opens the labs");
        let log_path = home.run().join("agent.log");
        let log = open_log(&log_path).map_err(|error| cannot(format!("{}: {error}", log_path.display())))?;
        let agent = programs::find("isolab-agent").map_err(cannot)?;
        // setsid(1) keeps the terminal's Ctrl-C and hang-up away from the agent.
        let mut command = Command::new("setsid");
        command.arg(agent).arg("serve").arg("--socket").arg(client.socket());
        command.env("ISOLAB_HOME", home.path()).current_dir("/").stdin(Stdio::null());
        let mut child = spawn(command, &log)?;
        until_healthy(&client, &mut child, &log_path).await?;
        Ok(client)
    }

    /// A private agent that uses the images of `home` and leaves nothing behind.
    pub async fn private(home: &Home) -> Result<Self, AgentError> {
        let folder = tempfile::Builder::new().prefix("isolab-").tempdir().map_err(cannot)?;
        let client = AgentClient::new(folder.path().join("agent.sock"));
        let log_path = folder.path().join("agent.log");
        let log = open_log(&log_path).map_err(cannot)?;
        let mut command = Command::new(programs::find("isolab-agent").map_err(cannot)?);
        command.arg("serve").arg("--socket").arg(client.socket()).arg("--die-with-parent");
        // The agent ends when the pipe on its standard input does, however this program ends.
        command.env("ISOLAB_HOME", home.path()).stdin(Stdio::piped()).kill_on_drop(true);
        let mut child = spawn(command, &log)?;
        until_healthy(&client, &mut child, &log_path).await?;
        Ok(Self { client, child, folder })
    }

    /// The client of this agent.
    pub fn client(&self) -> &AgentClient {
        &self.client
    }

    /// The agent's pid.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// The agent's last words.
    pub fn log_tail(&self) -> String {
        log_tail(&self.folder.path().join("agent.log"))
    }

    /// Ends the agent and its labs and waits for it; a drop only begins to.
    pub async fn end(mut self) {
        drop(self.child.stdin.take());
        if timeout(END_WAIT_MAX, self.child.wait()).await.is_err() {
            tracing::warn!("the agent has not ended within {END_WAIT_MAX:?} and is killed");
            // An error here means that it has ended after all.
            let _ = self.child.kill().await;
        }
    }
}

fn cannot(why: impl ToString) -> AgentError {
    AgentError::Start { why: why.to_string(), mend: None }
}

fn spawn(mut command: Command, log: &File) -> Result<Child, AgentError> {
    let output = || log.try_clone().map(Stdio::from).map_err(cannot);
    command.stdout(output()?).stderr(output()?);
    let program = command.as_std().get_program().to_owned();
    command.spawn().map_err(|error| cannot(format!("{}: {error}", Path::new(&program).display())))
}

async fn until_healthy(client: &AgentClient, child: &mut Child, log: &Path) -> Result<(), AgentError> {
    let started = Instant::now();
    loop {
        match client.healthy().await {
            Ok(()) => return Ok(()),
            Err(error) if started.elapsed() > START_WAIT_MAX => {
                let said = log_tail(log);
                return Err(cannot(format!("it does not answer after {START_WAIT_MAX:?}: {error}\n{said}")));
            }
            Err(_) => {}
        }
        if let Some(status) = child.try_wait().map_err(cannot)? {
            return Err(ended_at_once(status, log));
        }
        sleep(ASK_EVERY).await;
    }
}

fn ended_at_once(status: ExitStatus, log: &Path) -> AgentError {
    let said = log_tail(log);
    let said = if said.is_empty() { "it said nothing".to_owned() } else { said };
    AgentError::Start {
        why: format!("it ended at once ({status}): {said}"),
        mend: Some(
            "Run `isolab doctor`: it says what this machine lacks for labs, and how to mend it.".into(),
        ),
    }
}

/// The last lines that the agent wrote: enough for an error and its reason.
fn log_tail(log: &Path) -> String {
    const TAIL_BYTES: u64 = 2048;
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    read().unwrap_or_default()
}

fn open_log(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    if file.metadata()?.len() > LOG_BYTES_MAX {
        file.set_len(0)?;
    }
    Ok(file)
}

/// Waits until no other command of this home is starting an agent. Released when the file is dropped.
async fn lock(path: &Path) -> Result<File, AgentError> {
    let told = |error: io::Error| cannot(format!("{}: {error}", path.display()));
    let file = OpenOptions::new().create(true).append(true).open(path).map_err(told)?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if started.elapsed() < START_WAIT_MAX => sleep(ASK_EVERY).await,
            Err(TryLockError::WouldBlock) => {
                return Err(cannot("another command has been starting it for a long time"));
            }
            Err(TryLockError::Error(error)) => return Err(told(error)),
        }
    }
}
