//! A container between its set-up and its program, and the process that it becomes, as their owner has them.
//!
//! What an owner calls in here blocks its thread, for milliseconds as a rule and for [`ANSWER_WAIT`] at most; in an
//! asynchronous program that is work for a blocking thread, and so is dropping a [`Created`].

use crate::doll::network;
use crate::error::{Call, Failed};
use crate::launch::{Given, Maker, Parent, Report, Start, Streams};
use crate::stdio::{Ends, Io, Stdio};
use crate::{EnterPlan, Error, Plan, process, wire};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::time::Duration;

/// How long a set-up, a start or a survey may take. A container is set up in milliseconds; a machine that swaps may take
/// seconds; a container whose file system hangs takes for ever.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// How long a killed process may take to go away before it is left behind: taking down namespaces is slow at worst.
pub(crate) const KILL_WAIT: Duration = Duration::from_secs(5);
/// A container that is set up and has not yet executed its program. Dropping it kills it and reaps it.
#[derive(Debug)]
pub struct Created {
    child: Option<Child>,
    answers: OwnedFd,
    io: Io,
    procfs: Option<OwnedFd>,
}

/// A process that runs. Its owner must wait for it (`pid` is the owner's child; see [`crate::process::wait`]).
#[derive(Debug)]
pub struct Running {
    /// As the owner's pid namespace numbers it.
    pub pid: u32,
    /// The process, for waiting and signalling.
    pub pidfd: OwnedFd,
    /// The owner's ends of its streams.
    pub io: Io,
    /// Where the container's `/proc` is a procfs of its own: a detached procfs of its pid namespace, out of the
    /// container's reach. It is a path descriptor: open things beneath it (`.` for listing) with `openat`.
    pub procfs: Option<OwnedFd>,
}

/// An error unless as many descriptors are given as were planned.
pub(crate) fn check_inherited(plan: &Plan, inherited: &[BorrowedFd<'_>]) -> Result<(), Error> {
    let (wanted, given) = (plan.options.inherited_fds as usize, inherited.len());
    match wanted == given {
        true => Ok(()),
        false => Err(Error::field("inherited_fds", format!("{wanted} were planned and {given} given"))),
    }
}

/// Whether a helper makes the process, and is still to be reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Helper {
    None,
    Awaited,
}

impl Helper {
    pub(crate) fn of(plan: &Plan) -> Self {
        if plan.joins_pid_namespace() { Self::Awaited } else { Self::None }
    }
}

/// A process that is killed and reaped unless it is taken out.
#[derive(Debug)]
struct Child {
    pid: u32,
    pidfd: OwnedFd,
    /// Our ends of its network cables.
    cables: Vec<String>,
}

impl Created {
    /// Makes a container as the caller's own child, without a zygote: for a program that has no other threads and makes
    /// few. Errors: as [`Zygote::create`]; EBUSY where there are threads.
    pub fn without_zygote(plan: &Plan, stdio: Stdio, inherited: &[BorrowedFd<'_>]) -> Result<Self, Error> {
        let (answers, io) = Self::launch(plan, stdio, inherited)?;
        Self::await_set_up(answers, io, Helper::of(plan))
    }

    /// [`Self::without_zygote`] and [`Self::start`] in one, for an owner that has nothing to do between the two: the new
    /// process finds the word to start as soon as it is set up, and is not kept waiting for its owner's turn.
    pub fn run_without_zygote(
        plan: &Plan,
        stdio: Stdio,
        inherited: &[BorrowedFd<'_>],
    ) -> Result<Running, Error> {
        let (answers, io) = Self::launch(plan, stdio, inherited)?;
        // Where there is nobody to hear it, the reports say why.
        let _ = wire::send(answers.as_fd(), &Start::Now, &[]);
        let created = Self::await_set_up(answers, io, Helper::of(plan))?;
        await_program(created.answers.as_fd())?;
        created.into_running()
    }

    /// Makes the process; what becomes of it is told over the descriptor that is returned.
    fn launch(plan: &Plan, stdio: Stdio, inherited: &[BorrowedFd<'_>]) -> Result<(OwnedFd, Io), Error> {
        check_inherited(plan, inherited)?;
        let maker = Maker::new(Parent::Caller)?;
        let prepare = || {
            let (ends, io) = Ends::open(stdio)?;
            let (answers, owner) = wire::pair()?;
            let inherited =
                inherited.iter().map(|fd| fd.try_clone_to_owned()).collect::<std::io::Result<_>>();
            let inherited = inherited.call(|| "fcntl(F_DUPFD_CLOEXEC)")?;
            Ok((Given { owner, streams: Streams::new(ends.terminal, ends.streams)?, inherited }, answers, io))
        };
        let (given, answers, io) =
            prepare().map_err(|failed: Failed| failed.in_step("preparing a container"))?;
        maker.create(plan, given, Some(answers.as_fd()));
        Ok((answers, io))
    }

    /// Makes one more process in the container of `of`, a pidfd, as the caller's own child; otherwise like
    /// [`Self::without_zygote`].
    pub fn enter_without_zygote(of: BorrowedFd<'_>, plan: &EnterPlan, stdio: Stdio) -> Result<Self, Error> {
        let maker = Maker::new(Parent::Caller)?;
        let prepare = || {
            let (ends, io) = Ends::open(stdio)?;
            let (answers, owner) = wire::pair()?;
            let streams = Streams::new(ends.terminal, ends.streams)?;
            Ok((Given { owner, streams, inherited: vec![] }, answers, io))
        };
        let (given, answers, io) =
            prepare().map_err(|failed: Failed| failed.in_step("preparing to join a container"))?;
        maker.enter(of, plan, given);
        Self::await_set_up(answers, io, Helper::Awaited)
    }

    /// Leaves the container to itself, waiting: whoever connects to `listener`, a listening `SOCK_SEQPACKET`, starts
    /// it with [`Self::start_left`]. It outlives this value and the caller.
    pub fn leave_to(mut self, listener: BorrowedFd<'_>) -> Result<Io, Error> {
        wire::send(self.answers.as_fd(), &Start::Elsewhere, &[listener])
            .map_err(|failed| failed.in_step("leaving a container"))?;
        self.child = None;
        Ok(std::mem::replace(&mut self.io, Io::None))
    }

    /// Starts a container that was left to a listener, over a connection to it. Errors: as [`Self::start`].
    pub fn start_left(connection: OwnedFd) -> Result<(), Error> {
        start_over(connection.as_fd())
    }

    /// The container's first process, as the owner's pid namespace numbers it.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, |child| child.pid)
    }

    /// The same process, for signalling and watching; `None` never while this exists.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.child.as_ref().map(|child| child.pidfd.as_fd())
    }

    /// Lets the program run. An error (with its errno) tells why it could not be executed, and the process is gone.
    pub fn start(self) -> Result<Running, Error> {
        start_over(self.answers.as_fd())?;
        self.into_running()
    }

    fn into_running(mut self) -> Result<Running, Error> {
        let gone = || Failed::because("the process is gone", Errno::SRCH).in_step("starting the program");
        let Child { pid, pidfd, .. } = self.child.take().ok_or_else(gone)?;
        let io = std::mem::replace(&mut self.io, Io::None);
        Ok(Running { pid, pidfd, io, procfs: self.procfs.take() })
    }

    /// Collects reports, from the zygote, its helper and the new process in any order, until the set-up is done and the
    /// helper, where there is one, is reaped. What was cloned and then failed is killed and reaped.
    pub(crate) fn await_set_up(answers: OwnedFd, io: Io, mut helper: Helper) -> Result<Self, Error> {
        let mut created = Self { child: None, answers, io, procfs: None };
        let (mut ready, mut refused, mut error) = (false, false, None);
        loop {
            let made = created.child.is_some() && (ready || error.is_some());
            if helper == Helper::None && (made || refused) {
                return error.map_or(Ok(created), Err);
            }
            let received = wire::receive(created.answers.as_fd(), Some(ANSWER_WAIT));
            let (report, descriptors) = match received {
                Ok(Some(received)) => received,
                Ok(None) => {
                    let ended = Failed::because("the process was ended before it was set up", Errno::SRCH);
                    return Err(error.unwrap_or_else(|| ended.in_step("setting up a container")));
                }
                Err(failed) => return Err(failed.in_step("setting up a container")),
            };
            let mut descriptors = descriptors.into_iter();
            match report {
                Report::Refused(reason) => (refused, error) = (true, error.or(Some(reason))),
                Report::Failed(failed) => error = error.or(Some(failed)),
                Report::Cloned { pid, cables } => {
                    created.child = descriptors.next().map(|pidfd| Child { pid, pidfd, cables });
                }
                Report::Helper => {
                    // It ends as soon as it has made the process, whatever that does. In a program that reaps every
                    // child there is (PID 1) somebody else may have been faster.
                    if let Some(pidfd) = descriptors.next() {
                        let _ = process::wait(pidfd.as_fd());
                    }
                    helper = Helper::None;
                }
                Report::Ready { procfs, terminal } => {
                    ready = true;
                    created.procfs = procfs.then(|| descriptors.next()).flatten();
                    if terminal && let Some(master) = descriptors.next() {
                        created.io = Io::Terminal(master);
                    }
                }
            }
        }
    }
}

/// Tells a waiting process to execute its program, and waits until it has.
fn start_over(answers: BorrowedFd<'_>) -> Result<(), Error> {
    wire::send(answers, &Start::Now, &[]).map_err(|failed| failed.in_step("starting the program"))?;
    await_program(answers)
}

/// Waits until a process that was told to has executed its program.
fn await_program(answers: BorrowedFd<'_>) -> Result<(), Error> {
    let failed = |failed: Failed| failed.in_step("starting the program");
    match wire::receive(answers, Some(ANSWER_WAIT)).map_err(failed)? {
        Some((Report::Failed(error) | Report::Refused(error), _)) => Err(error),
        Some(_) => Err(failed(Failed::because("an unexpected report", Errno::PROTO))),
        // The program runs: executing it closed the socket.
        None => Ok(()),
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        if let Some(child) = &self.child {
            process::kill_and_reap(child.pidfd.as_fd(), KILL_WAIT);
            for cable in &child.cables {
                // It goes with its other end's namespace, but in the kernel's own time: its name is wanted again.
                let _ = network::remove_link(cable);
            }
        }
    }
}
