//! A single-threaded helper, forked before its owner starts any thread, that makes processes for it.
//!
//! Between clone and exec in a program with threads nothing may allocate or lock; the zygote has no threads, so it may.
//! It clones with `CLONE_PARENT`: the new process is its owner's child, and the owner waits for it. Each request
//! brings a socket of its own for the answers, which the new process inherits: the zygote never waits for a
//! container, and so no container can make it wait.

use crate::created::{ANSWER_WAIT, Helper, KILL_WAIT, check_inherited};
pub use crate::created::{Created, Running};
use crate::doll::namespaces::{self, Kind};
use crate::doll::network;
use crate::doll::rewire::{self, Rewiring};
use crate::error::{Call, Failed};
use crate::launch::{Given, Maker, Parent, Report, Streams};
use crate::stdio::Ends;
pub use crate::stdio::{Io, Stdio};
use crate::sys::{self, Clone as Side};
use crate::{EnterPlan, Error, Plan, process, wire};
use isolab_protocol::observation::Link;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The most links that a survey lists: a lab host with this many containers is past looking at.
const LINKS_MAX: usize = 256;

/// What is being done, for errors.
const SURVEYING: &str = "surveying a container";
const REWIRING: &str = "changing a container's network";

/// A handle to the zygote; cheap to clone, usable from any thread, by several at once.
/// When the last handle is dropped the zygote ends, and is reaped.
#[derive(Clone, Debug)]
pub struct Zygote {
    helper: Arc<HelperProcess>,
}

/// The zygote's process, as its owner has it.
#[derive(Debug)]
struct HelperProcess {
    requests: OwnedFd,
    pidfd: OwnedFd,
}

impl Drop for HelperProcess {
    fn drop(&mut self) {
        // Nobody has a request under way any more: there is nothing that it would have to finish.
        process::kill_and_reap(self.pidfd.as_fd(), KILL_WAIT);
    }
}

/// What can only be read from within a UTS and a network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// `uname -n` there.
    pub hostname: String,
    /// Its links with their addresses, at most 256.
    pub links: Vec<Link>,
}

/// What an owner asks of its zygote. The descriptors that come with it: the socket for the answers; for all but
/// [`Self::Create`] the container's pidfd; three streams unless there is a terminal; those inherited.
#[derive(Debug, Serialize, Deserialize)]
enum Request {
    Create { plan: Plan, terminal: Option<(u16, u16)> },
    Enter { plan: EnterPlan, terminal: Option<(u16, u16)> },
    Survey,
    Rewire { changes: Vec<Rewiring> },
}

/// The answer to [`Request::Survey`].
type Surveyed = Result<Survey, Error>;

/// The answer to [`Request::Rewire`], with which the sockets come.
type Rewired = Result<(), Error>;

impl Zygote {
    /// Forks the zygote. Call it before any other thread exists; an error says so otherwise.
    pub fn start() -> Result<Self, Error> {
        let fork = || {
            let (owners, zygotes) = wire::pair()?;
            // Looked at here as well, so that the caller is told; the zygote reads it again for itself.
            let side = sys::clone(0).call(|| "clone3(0)")?;
            Ok((owners, zygotes, side))
        };
        Maker::new(Parent::Caller)?;
        let (owners, zygotes, side) =
            fork().map_err(|failed: Failed| failed.in_step("starting the zygote"))?;
        match side {
            Side::Child => serve(&zygotes),
            Side::Parent { pidfd, .. } => {
                Ok(Self { helper: Arc::new(HelperProcess { requests: owners, pidfd }) })
            }
        }
    }

    /// Makes a container up to, not including, the execution of its program. `inherited` become descriptors 3, 4, … .
    pub fn create(&self, plan: &Plan, stdio: Stdio, inherited: &[BorrowedFd<'_>]) -> Result<Created, Error> {
        check_inherited(plan, inherited)?;
        let step = "asking for a container";
        let (ends, io) = Ends::open(stdio).map_err(|failed| failed.in_step(step))?;
        let request = Request::Create { plan: plan.clone(), terminal: ends.terminal };
        let descriptors: Vec<_> = ends.borrow().chain(inherited.iter().copied()).collect();
        let answers = self.ask(&request, &descriptors).map_err(|failed| failed.in_step(step))?;
        Created::await_set_up(answers, io, Helper::of(plan))
    }

    /// Runs one more process in the namespaces of `of`, which is a pidfd.
    pub fn enter(&self, of: BorrowedFd<'_>, plan: &EnterPlan, stdio: Stdio) -> Result<Running, Error> {
        let step = "asking to join a container";
        let (ends, io) = Ends::open(stdio).map_err(|failed| failed.in_step(step))?;
        let request = Request::Enter { plan: plan.clone(), terminal: ends.terminal };
        let descriptors: Vec<_> = [of].into_iter().chain(ends.borrow()).collect();
        let answers = self.ask(&request, &descriptors).map_err(|failed| failed.in_step(step))?;
        let created = Created::await_set_up(answers, io, Helper::Awaited)?;
        plan.group.as_ref().map_or(Ok(()), |group| group.take_in(created.pid()))?;
        created.start()
    }

    /// Reads the hostname and the links in the namespaces of `of`, which is a pidfd.
    pub fn survey(&self, of: BorrowedFd<'_>) -> Result<Survey, Error> {
        let answer = self.ask(&Request::Survey, &[of]).and_then(|answers| {
            wire::receive::<Surveyed>(answers.as_fd(), Some(ANSWER_WAIT))?
                .ok_or_else(|| Failed::because("the surveyor ended without an answer", Errno::CONNRESET))
        });
        answer.map_err(|failed| failed.in_step(SURVEYING))?.0
    }

    /// Makes changes in the network namespace of `of`, a pidfd, one after the other. Those before one that fails stay.
    /// Returns the sockets of each [`Rewiring::Listen`].
    pub fn rewire(&self, of: BorrowedFd<'_>, changes: Vec<Rewiring>) -> Result<Vec<OwnedFd>, Error> {
        for change in &changes {
            if let Rewiring::PlugIn(veth) = change {
                network::check(veth)?;
            }
        }
        let answer = self.ask(&Request::Rewire { changes }, &[of]).and_then(|answers| {
            wire::receive::<Rewired>(answers.as_fd(), Some(ANSWER_WAIT))?
                .ok_or_else(|| Failed::because("the rewiring ended without an answer", Errno::CONNRESET))
        });
        let (rewired, sockets) = answer.map_err(|failed| failed.in_step(REWIRING))?;
        rewired.map(|()| sockets)
    }

    /// Sends a request with a socket for its answers, whose other end is returned.
    fn ask(&self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> Result<OwnedFd, Failed> {
        let (answers, theirs) = wire::pair()?;
        let all: Vec<_> = [theirs.as_fd()].into_iter().chain(descriptors.iter().copied()).collect();
        wire::send(self.helper.requests.as_fd(), request, &all)?;
        Ok(answers)
    }
}

/// The zygote's life: a request at a time until its owner is gone.
fn serve(requests: &OwnedFd) -> ! {
    // Nothing that its owner has open is its business, except where complaints go.
    let prepared = sys::close_all_but(&[0, 1, 2], requests.as_fd())
        .and_then(|()| rustix::process::setsid().map(drop))
        .and_then(|()| rustix::thread::set_name(c"isolab-zygote"));
    let maker = Maker::new(Parent::Grandparent);
    while let Ok(Some((request, descriptors))) = wire::receive(requests.as_fd(), None) {
        let mut descriptors = descriptors.into_iter();
        let Some(owner) = descriptors.next() else { continue };
        match (&maker, prepared) {
            (Ok(maker), Ok(())) => answer(maker, request, owner, descriptors.collect()),
            (Err(error), _) => {
                let _ = wire::send(owner.as_fd(), &Report::Refused(error.clone()), &[]);
            }
            (_, Err(errno)) => {
                let error = Error::new("starting the zygote", "close_range(), setsid()", errno);
                let _ = wire::send(owner.as_fd(), &Report::Refused(error), &[]);
            }
        }
    }
    sys::exit(0)
}

fn answer(maker: &Maker, request: Request, owner: OwnedFd, mut descriptors: Vec<OwnedFd>) {
    let refuse = |owner: OwnedFd, failed: Failed| {
        let refused = Report::Refused(failed.in_step("reading a request"));
        let _ = wire::send(owner.as_fd(), &refused, &[]);
    };
    let first = |descriptors: &mut Vec<OwnedFd>| match descriptors.is_empty() {
        true => Err(Failed::because("a request without a process", Errno::BADF)),
        false => Ok(descriptors.remove(0)),
    };
    match request {
        Request::Survey => match first(&mut descriptors) {
            Ok(of) => in_child(SURVEYING, &owner, || survey(of.as_fd()).map(|survey| (survey, vec![]))),
            Err(failed) => refuse(owner, failed),
        },
        Request::Rewire { changes } => match first(&mut descriptors) {
            Ok(of) => in_child(REWIRING, &owner, || {
                rewire::perform(of.as_fd(), &changes).map(|sockets| ((), sockets))
            }),
            Err(failed) => refuse(owner, failed),
        },
        Request::Create { plan, terminal } => match Streams::taken_from(terminal, &mut descriptors) {
            Ok(streams) => maker.create(&plan, Given { owner, streams, inherited: descriptors }, None),
            Err(failed) => refuse(owner, failed),
        },
        Request::Enter { plan, terminal } => {
            let of = first(&mut descriptors);
            let streams = Streams::taken_from(terminal, &mut descriptors);
            match of.and_then(|of| Ok((of, streams?))) {
                Ok((of, streams)) => {
                    maker.enter(of.as_fd(), &plan, Given { owner, streams, inherited: vec![] })
                }
                Err(failed) => refuse(owner, failed),
            }
        }
    }
}

/// Does something in a process of its own, which changes its namespaces and never comes back, and sends the answer with
/// the descriptors that belong to it.
fn in_child<A: Serialize>(
    step: &str,
    owner: &OwnedFd,
    action: impl FnOnce() -> Result<(A, Vec<OwnedFd>), Failed>,
) {
    let refused = |failed: Failed| {
        let answer: Result<(), Error> = Err(failed.in_step(step));
        let _ = wire::send(owner.as_fd(), &answer, &[]);
    };
    match sys::clone(0).call(|| "clone3(0)") {
        Ok(Side::Child) => {
            match action() {
                Ok((answer, descriptors)) => {
                    let descriptors: Vec<_> = descriptors.iter().map(|fd| fd.as_fd()).collect();
                    let _ = wire::send(owner.as_fd(), &Ok::<_, Error>(answer), &descriptors);
                }
                Err(failed) => refused(failed),
            }
            sys::exit(0)
        }
        // It only talks to the kernel, which answers at once: waiting for it cannot take long.
        Ok(Side::Parent { pidfd, .. }) => drop(process::wait(pidfd.as_fd())),
        Err(failed) => refused(failed),
    }
}

fn survey(of: BorrowedFd<'_>) -> Result<Survey, Failed> {
    namespaces::join_all_of(of, &[Kind::Uts, Kind::Network])?;
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut links = network::links()?;
    links.truncate(LINKS_MAX);
    Ok(Survey { hostname, links })
}
