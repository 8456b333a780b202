//! One lab host that runs: its first process, its procfs, its engine. Dropping it ends everything in it.

use crate::child::Child;
use crate::engine::Engine;
use crate::refusal::{Kind, Refusal};
use crate::spec;
use crate::terminal::{Shell, Size};
use crate::whole;
use isolab_runtime::{EnterPlan, Io, Plan, Running, Stdio, Zygote};
use oci_spec::runtime::Spec;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long the runtime may take to make a lab host or to enter one: a hundred times what it needs when idle.
const MADE_WITHIN: Duration = Duration::from_secs(20);

/// How long the engine may take until it serves.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// How long the kernel may take to end a lab's processes before the agent stops waiting for it.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// How many processes may be on their way into one lab at once. Its root can stop each of them there until the runtime
/// gives up, and each keeps a thread waiting.
const ENTERING_MAX: usize = 2;

/// A running lab host.
#[derive(Debug)]
pub struct LabHost {
    init: Arc<Child>,
    procfs: OwnedFd,
    engine: Engine,
    zygote: Zygote,
    /// What it was made of: what enters it gets the same.
    spec: Arc<Spec>,
    entering: Arc<Semaphore>,
}

impl LabHost {
    /// Makes a lab host and starts its engine. Errors: what the runtime says, or that it took too long.
    pub async fn start(zygote: &Zygote, wanted: spec::LabHost) -> Result<Self, Refusal> {
        let (ours, theirs) = UnixStream::pair().map_err(|e| failed("a socket pair", &e))?;
        let theirs = OwnedFd::from(theirs.into_std().map_err(|e| failed("a socket pair", &e))?);
        // tokio made it non-blocking, which is a property of the open socket and not what a program expects to inherit.
        rustix::io::ioctl_fionbio(&theirs, false).map_err(|e| failed("a socket pair", &e.into()))?;
        let (maker, spec) = (zygote.clone(), Arc::new(wanted.spec));
        let planned = Arc::clone(&spec);
        let (child, _, procfs) = blocking("making the lab host", move || {
            let plan = Plan::new(&planned, wanted.rootfs, wanted.options)?;
            let created = maker.create(&plan, Stdio::Null, &[theirs.as_fd()])?;
            caught(created.start()?)
        })
        .await?;
        let procfs =
            procfs.ok_or_else(|| Refusal::new(Kind::Failed, "The lab host came without its procfs."))?;
        Ok(Self {
            init: Arc::new(child),
            procfs,
            engine: Engine::converse(ours),
            zygote: zygote.clone(),
            spec,
            entering: Arc::new(Semaphore::new(ENTERING_MAX)),
        })
    }

    /// The machine itself as a lab host; its engine does not serve yet.
    pub fn of_machine(zygote: &Zygote) -> Result<Self, Refusal> {
        let spec = whole::spec::machine()
            .map_err(|error| Refusal::new(Kind::Failed, format!("The lab's Spec is malformed: {error}.")))?;
        let (engine, ours) = whole::engine::start()?;
        let procfs = std::fs::File::open("/proc").map_err(|error| failed("a way to /proc", &error))?;
        Ok(Self {
            init: Arc::new(engine),
            procfs: procfs.into(),
            engine: Engine::converse(ours),
            zygote: zygote.clone(),
            spec: Arc::new(spec),
            entering: Arc::new(Semaphore::new(ENTERING_MAX)),
        })
    }

    /// Waits until the engine serves. Errors: it ended, or never answered.
    pub async fn ready(&self) -> Result<(), Refusal> {
        let dead = |status: i32| {
            let message = format!("The lab host's engine ended with status {status} before it was ready.");
            Refusal::new(Kind::Failed, message)
        };
        tokio::select! {
            served = timeout(READY_WITHIN, self.engine.ready()) => match served {
                Ok(true) => Ok(()),
                // A closed socket and the end of the process are one event; the status says more.
                Ok(false) => match timeout(Duration::from_secs(1), self.init.exited()).await {
                    Ok(status) => Err(dead(status)),
                    Err(_) => Err(Refusal::new(Kind::Failed, "The lab host's engine hung up before it was ready.")),
                },
                Err(_) => {
                    let message = format!("The lab host's engine did not answer within {} s.", READY_WITHIN.as_secs());
                    Err(Refusal::new(Kind::TimedOut, message))
                }
            },
            status = self.init.exited() => Err(dead(status)),
        }
    }

    /// Its engine's process, which is its first one where it is a container.
    pub fn init(&self) -> &Arc<Child> {
        &self.init
    }

    /// Its procfs, which the learner cannot reach.
    pub fn procfs(&self) -> &OwnedFd {
        &self.procfs
    }

    /// Its engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The handle through which processes of the lab are looked at from within.
    pub fn zygote(&self) -> &Zygote {
        &self.zygote
    }

    /// Opens a login shell in a new terminal of this size.
    pub async fn shell(&self, size: Size) -> Result<Shell, Refusal> {
        let stdio = Stdio::Terminal { cols: size.cols, rows: size.rows };
        match self.enter(&["/bin/bash", "-l"], stdio).await? {
            (child, Io::Terminal(master)) => Ok(Shell { child, master }),
            _ => Err(Refusal::new(Kind::Failed, "The shell came without a terminal.")),
        }
    }

    /// Runs a command with pipes.
    pub async fn command(&self, argv: &[&str]) -> Result<(Child, [OwnedFd; 3]), Refusal> {
        match self.enter(argv, Stdio::Pipes).await? {
            (child, Io::Pipes { stdin, stdout, stderr }) => Ok((child, [stdin, stdout, stderr])),
            _ => Err(Refusal::new(Kind::Failed, "The command came without pipes.")),
        }
    }

    async fn enter(&self, argv: &[&str], stdio: Stdio) -> Result<(Child, Io), Refusal> {
        let terminal = matches!(stdio, Stdio::Terminal { .. });
        let process = spec::entering(&self.spec, argv, terminal);
        let (zygote, init, spec) = (self.zygote.clone(), Arc::clone(&self.init), Arc::clone(&self.spec));
        let busy = || Refusal::new(Kind::TimedOut, "Other processes are still on their way into the lab.");
        let entering = timeout(MADE_WITHIN, Arc::clone(&self.entering).acquire_owned());
        let permit = entering.await.ok().and_then(Result::ok).ok_or_else(busy)?;
        let (child, io, _) = blocking("entering the lab host", move || {
            let _permit = permit;
            let plan = EnterPlan::new(&process, spec::filter(&spec))?;
            caught(zygote.enter(init.pidfd(), &plan, stdio).map_err(not_executed)?)
        })
        .await?;
        Ok((child, io))
    }

    /// Kills the lab host's first process, and with it, by the kernel, all others; waits until it is gone.
    pub async fn end(&self) {
        self.init.signal(rustix::process::Signal::KILL);
        if timeout(GONE_WITHIN, self.init.exited()).await.is_err() {
            tracing::warn!(pid = self.init.pid(), "a lab's first process does not end");
        }
    }
}

/// A program that is not there is the asker's mistake, and no fault of the lab.
fn not_executed(error: isolab_runtime::Error) -> Refusal {
    const ENOENT: i32 = 2;
    if !error.step.starts_with("executing ") {
        return error.into();
    }
    let status = if error.errno == ENOENT { 127 } else { 126 };
    let why = io::Error::from_raw_os_error(error.errno);
    Refusal::new(Kind::NoProgram { status }, format!("{}: {why}.", error.step))
}

type Caught = (Child, Io, Option<OwnedFd>);

/// From here on a process that nobody takes delivery of is killed and reaped.
fn caught(running: Running) -> Result<Caught, Refusal> {
    let child = Child::new(running.pid, running.pidfd).map_err(|e| failed("a pidfd", &e))?;
    Ok((child, running.io, running.procfs))
}

/// Calls the runtime, which blocks, on a thread for that. What comes too late is dropped, and so ended.
async fn blocking<T: Send + 'static>(
    doing: &str,
    call: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    match timeout(MADE_WITHIN, tokio::task::spawn_blocking(call)).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Refusal::new(Kind::Failed, format!("A fault in the agent while {doing}."))),
        Err(_) => {
            let message =
                format!("The machine is too busy: {doing} took more than {} s.", MADE_WITHIN.as_secs());
            Err(Refusal::new(Kind::TimedOut, message))
        }
    }
}

fn failed(what: &str, error: &io::Error) -> Refusal {
    Refusal::new(Kind::Failed, format!("The agent could not make {what}: {error}."))
}
