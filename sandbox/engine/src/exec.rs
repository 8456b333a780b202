//! `docker exec`: one more process in a running container.

use crate::apparmor;
use crate::container::program::{self, NotExecuted, Program};
use crate::container::{Container, Phase, launch};
use crate::detach::DetachKeys;
use crate::error::ApiError;
use crate::machine::Machine;
use crate::names;
use crate::reaper::{Exit, Reaper};
use crate::remap::Remap;
use crate::settings::Sharing;
use crate::spec::{self, Joining};
use crate::stdcopy::Source;
use crate::streams::Streams;
use bollard_stubs::models::ExecConfig;
use isolab_runtime::{EnterPlan, Stdio, Zygote};
use rustix::io::fcntl_dupfd_cloexec;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How many execs are remembered: their exit codes are asked for right after their end.
const EXECS_MAX: usize = 256;

/// How long output is waited for after a program has ended, as Docker does: a process that it left behind may hold
/// its pipes for ever.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);

/// How long output is looked for once more after that: the event loop may have been held up all the time, and then nobody has
/// looked at all.
const LAST_LOOK: Duration = Duration::from_millis(200);

/// How often.
const LAST_LOOKS: u32 = 3;

/// Waits until the output of a program that has ended was read, but not for ever: a process that it has left behind may hold
/// its pipes open.
pub async fn drain(pumps: &mut JoinSet<()>) {
    let mut patience = DRAIN_TIME_MAX;
    for _ in 0..=LAST_LOOKS {
        let all = async { while pumps.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_ok() {
            return;
        }
        patience = LAST_LOOK;
    }
}

/// How many bytes of arguments and environment an exec may bring: the kernel's own bound for one argument. With it, all
/// that is remembered of execs is bounded too.
const WORDS_BYTES_MAX: usize = 128 * 1024;

/// How much of a command line an event tells.
const COMMAND_CHARS_MAX: usize = 1024;

/// The exit code of an exec that could not be started, whatever the reason: that of Docker 20.10.
const NOT_EXECUTED: i32 = 126;

/// How long somebody waits for an exec to be started: as long as with Docker.
const START_TIME_MAX: Duration = Duration::from_secs(10);

/// One exec.
#[derive(Debug)]
pub struct Exec {
    /// 64 hex digits.
    pub id: String,
    /// Where it runs.
    pub container: Arc<Container>,
    /// What it runs.
    pub joining: Joining,
    /// As whom, unresolved.
    pub user: String,
    /// What the client wants to be attached to.
    pub attach: Attach,
    /// With which keys a client leaves.
    pub detach_keys: DetachKeys,
    /// Its standard streams.
    pub streams: Arc<Streams>,
    state: watch::Sender<State>,
}

/// Which streams a client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attach {
    /// Input.
    pub stdin: bool,
    /// Output.
    pub stdout: bool,
    /// Errors.
    pub stderr: bool,
}

/// Where an exec is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not started.
    Created,
    /// With this pid.
    Running(u32),
    /// With this exit code; it may never have run (126, 127).
    Exited(i32),
}

impl Exec {
    /// Parses a request to execute something in a running container.
    pub fn new(container: Arc<Container>, config: ExecConfig) -> Result<Self, ApiError> {
        let argv = config.cmd.unwrap_or_default();
        if argv.is_empty() {
            return Err(ApiError::bad_request("No exec command specified"));
        }
        if argv.iter().chain(config.env.iter().flatten()).any(|word| word.contains('\0')) {
            return Err(ApiError::bad_request("a zero byte in the command or the environment"));
        }
        if argv.iter().chain(config.env.iter().flatten()).map(String::len).sum::<usize>() > WORDS_BYTES_MAX {
            let message = format!("more than {WORDS_BYTES_MAX} bytes of arguments and environment");
            return Err(ApiError::bad_request(message));
        }
        if !container.is_running() {
            return Err(ApiError::not_running(&container.id));
        }
        let on = |flag: Option<bool>| flag.unwrap_or(false);
        let joining = Joining {
            argv,
            env: config.env.unwrap_or_default(),
            workdir: config.working_dir.filter(|path| !path.is_empty()),
            tty: on(config.tty),
            privileged: on(config.privileged),
        };
        let user = config.user.filter(|user| !user.is_empty());
        let attach = Attach {
            stdin: on(config.attach_stdin),
            stdout: on(config.attach_stdout),
            stderr: on(config.attach_stderr),
        };
        Ok(Self {
            id: names::new_id(),
            user: user.unwrap_or_else(|| container.request.settings.user.clone()),
            container,
            joining,
            attach,
            detach_keys: DetachKeys::parse(&config.detach_keys.unwrap_or_default())
                .map_err(ApiError::bad_request)?,
            streams: Arc::default(),
            state: watch::Sender::new(State::Created),
        })
    }

    /// Where it is in its life.
    pub fn state(&self) -> State {
        *self.state.borrow()
    }

    /// Waits until it is started. A client tells the size of its terminal as soon as it has its connection, which is before.
    pub async fn started(&self) -> Result<(), ApiError> {
        let mut state = self.state.subscribe();
        let started = state.wait_for(|state| *state != State::Created);
        match tokio::time::timeout(START_TIME_MAX, started).await {
            Ok(_) => Ok(()),
            Err(_) => Err(ApiError::internal("timeout waiting for exec session ready")),
        }
    }

    /// Refuses a second start.
    pub fn check_startable(&self) -> Result<(), ApiError> {
        match self.state() {
            State::Created if self.container.is_paused() => Err(ApiError::conflict(format!(
                "Container {} is paused, unpause the container before exec",
                self.container.id
            ))),
            State::Created if self.container.is_running() => Ok(()),
            State::Created => Err(ApiError::not_running(&self.container.id)),
            State::Running(_) => {
                Err(ApiError::conflict(format!("Error: Exec command {} is already running", self.id)))
            }
            State::Exited(_) => {
                Err(ApiError::conflict(format!("Error: Exec command {} has already run", self.id)))
            }
        }
    }

    /// Starts it. The future ends when the program has, its output is read and its exit code is known.
    pub fn start(
        self: &Arc<Self>,
        zygote: &Zygote,
        reaper: &Reaper,
        machine: &Machine,
        remap: Option<&Remap>,
        attached: bool,
    ) -> Result<impl Future<Output = i32> + Send + use<>, ApiError> {
        self.check_startable()?;
        let entered = match self.enter(zygote, machine, remap, attached) {
            Ok((pid, launched)) => {
                self.state.send_replace(State::Running(pid));
                if let Some(input) = launched.input {
                    self.streams.open_input(input);
                }
                Ok((reaper.expect(pid), launched.outputs))
            }
            Err(NotExecuted::Died(words)) => {
                self.state.send_replace(State::Exited(program::DIED));
                Err(words)
            }
            Err(NotExecuted::Refused(error)) => {
                self.state.send_replace(State::Exited(NOT_EXECUTED));
                self.streams.close();
                return Err(error);
            }
        };
        let exec = Arc::clone(self);
        Ok(async move {
            match entered {
                Ok((exit, outputs)) => exec.finish(exit, outputs).await,
                Err(words) => exec.bury(words).await,
            }
        })
    }

    /// A program that the kernel would not execute: its last words go where its errors would have gone.
    async fn bury(self: Arc<Self>, words: String) -> i32 {
        let (source, end_of_line) =
            if self.joining.tty { (Source::Stdout, "\r\n") } else { (Source::Stderr, "\n") };
        self.streams.set_draining(true);
        self.streams.publish(source, format!("{words}{end_of_line}").into()).await;
        self.streams.close();
        program::DIED
    }

    fn enter(
        &self,
        zygote: &Zygote,
        machine: &Machine,
        remap: Option<&Remap>,
        attached: bool,
    ) -> Result<(u32, launch::Launched), NotExecuted> {
        let settings = &self.container.request.settings;
        let failed =
            |why: String| ApiError::internal(format!("OCI runtime exec failed: exec failed: {why}: unknown"));
        if self.joining.workdir.as_ref().is_some_and(|path| !path.starts_with('/')) {
            return Err(failed("Cwd must be an absolute path".into()).into());
        }
        let (user, hostname, init, group) = match &*self.container.phase() {
            Phase::Running(running) => {
                let user = launch::resolve(&running.root, &self.user, &settings.group_add)?;
                let init = fcntl_dupfd_cloexec(&running.pidfd, 0).map_err(ApiError::from)?;
                let group = running.group.as_ref().map(|own| own.group().clone());
                (user, running.sandbox.hostname.clone(), init, group)
            }
            _ => return Err(ApiError::not_running(&self.container.id).into()),
        };
        settings.apparmor.as_deref().map_or(Ok(()), apparmor::make_ready)?;
        let process = spec::of_exec(settings, &self.joining, &hostname, &user, &machine.capabilities)?;
        // More capabilities do not take the filter off: it is the container's, as with Docker.
        let seccomp = spec::seccomp::of(settings)?;
        let plan = EnterPlan::new(&process, seccomp.as_ref()).map_err(|error| failed(error.to_string()))?;
        let plan = plan.in_group(group);
        let (stdio, ours) = match (attached, self.joining.tty) {
            (false, false) => (Stdio::Null, launch::Ours::default()),
            (_, tty) => {
                // The client sends the size right after the start.
                let terminal = tty.then_some(settings.console);
                let remap = remap.filter(|_| settings.namespaces.user != Sharing::Host);
                launch::stdio(terminal, self.attach.stdin, launch::on_host(&user, remap))?
            }
        };
        use std::os::fd::AsFd;
        let running =
            zygote.enter(init.as_fd(), &plan, stdio).map_err(|error| match &*self.container.phase() {
                Phase::Running(running) => {
                    let root = &running.root;
                    let env = process.env().as_deref().unwrap_or_default();
                    let workdir = self.joining.workdir.as_ref().unwrap_or(&settings.workdir);
                    Program { root, name: &self.joining.argv[0], env, workdir }.why(&error, failed)
                }
                _ => NotExecuted::Refused(ApiError::not_running(&self.container.id)),
            })?;
        Ok((running.pid, ours.with(running.io)?))
    }

    async fn finish(self: Arc<Self>, exit: Exit, outputs: launch::Outputs) -> i32 {
        let mut pumps = JoinSet::new();
        for (source, stream) in outputs {
            let exec = Arc::clone(&self);
            pumps.spawn(async move { exec.streams.pump(source, stream, None).await });
        }
        let code = exit.await.unwrap_or(137);
        self.streams.set_draining(true);
        drain(&mut pumps).await;
        self.state.send_replace(State::Exited(code));
        self.streams.close();
        code
    }

    /// Its command line, as events tell it.
    pub fn command(&self) -> String {
        let (program, arguments) =
            self.joining.argv.split_first().map_or(("", &[][..]), |(p, rest)| (p.as_str(), rest));
        // Docker's has a space behind a program without arguments as well.
        format!("{program} {}", arguments.join(" ")).chars().take(COMMAND_CHARS_MAX).collect()
    }

    /// Whether the client wants this stream.
    pub fn wants(&self, source: Source) -> bool {
        match source {
            Source::Stdout => self.attach.stdout,
            Source::Stderr => self.attach.stderr,
        }
    }
}

/// All execs that are remembered.
#[derive(Debug, Default)]
pub struct Execs(Mutex<VecDeque<Arc<Exec>>>);

impl Execs {
    fn all(&self) -> MutexGuard<'_, VecDeque<Arc<Exec>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers one; the oldest that is over is forgotten where there are too many.
    pub fn add(&self, exec: Arc<Exec>) -> Result<(), ApiError> {
        let mut all = self.all();
        if all.len() >= EXECS_MAX {
            let over = all.iter().position(|exec| !matches!(exec.state(), State::Running(_)));
            let message = format!("{EXECS_MAX} exec commands run already: end one of them first");
            all.remove(over.ok_or_else(|| ApiError::conflict(message))?);
        }
        all.push_back(exec);
        Ok(())
    }

    /// Finds one.
    pub fn find(&self, id: &str) -> Result<Arc<Exec>, ApiError> {
        let found = self.all().iter().find(|exec| exec.id == id).cloned();
        found.ok_or_else(|| ApiError::not_found(format!("No such exec instance: {id}")))
    }

    /// The ids of those that run in a container.
    pub fn running_in(&self, container: &str) -> Vec<String> {
        let all = self.all();
        let here = all.iter().filter(|exec| exec.container.id == container);
        here.filter(|exec| matches!(exec.state(), State::Running(_))).map(|exec| exec.id.clone()).collect()
    }

    /// Forgets those of a container that was removed.
    pub fn forget(&self, container: &str) {
        self.all().retain(|exec| exec.container.id != container);
    }
}
