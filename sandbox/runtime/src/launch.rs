//! `Plan → process`: one clone into all new namespaces, and the set-up that the new process carries out in them.
//!
//! What runs between the clone and the execution of the program is in here and in the dolls. The caller has no other
//! threads ([`crate::Zygote`] sees to that), so that the new process may allocate. Reports travel over a socket
//! that `execve` closes: its silence is the good news. The maker's half is in this file; the new process's is in
//! `set_up` and then in `program`.

mod program;
mod set_up;

use crate::doll::cgroup::{Group, Held};
use crate::doll::namespaces::{self, Kind};
use crate::doll::netlink::Route;
use crate::doll::{identity, limits, network, user_map};
use crate::error::{Call, Failed};
use crate::plan::{EnterPlan, Plan};
use crate::sys::{self, Clone as Side};
use crate::{Error, wire};
use nix::libc;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Signal};
use serde::{Deserialize, Serialize};
use set_up::{Container, Visitor};

/// What a new process, or whoever makes it, tells its owner.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// There is no process.
    Refused(Error),
    /// There is one; with it comes its pidfd. `cables` are the caller's ends of its network cables.
    Cloned { pid: u32, cables: Vec<String> },
    /// A helper makes it, which the owner has to reap; with this comes its pidfd.
    Helper,
    /// It could not be set up, or could not execute its program, and ends.
    Failed(Error),
    /// It is set up and waits for [`Start`]. With it come its procfs and its terminal's master, where they are.
    Ready { procfs: bool, terminal: bool },
}

/// What an owner tells a process that is [`Report::Ready`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Start {
    Now,
    /// Ask whoever connects to the listening socket that comes with this.
    Elsewhere,
}

/// Where a new process's standard streams come from.
#[derive(Debug)]
pub(crate) enum Streams {
    Given([OwnedFd; 3]),
    /// A new terminal of this size.
    Terminal {
        cols: u16,
        rows: u16,
    },
}

/// What a new process is given besides its plan.
#[derive(Debug)]
pub(crate) struct Given {
    /// Its socket to its owner.
    pub owner: OwnedFd,
    pub streams: Streams,
    pub inherited: Vec<OwnedFd>,
}

/// Who is to be the parent of what is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parent {
    /// The caller.
    Caller,
    /// The caller's own parent.
    Grandparent,
}

impl Parent {
    fn flags(self) -> u64 {
        match self {
            Self::Caller => 0,
            Self::Grandparent => libc::CLONE_PARENT as u64,
        }
    }
}

/// What the maker knows of the machine and of itself; read once.
#[derive(Debug)]
pub(crate) struct Maker {
    in_user_namespace: bool,
    parent: Parent,
}

impl Maker {
    /// Looks. Errors: `/proc` is not there, or the process has other threads.
    pub(crate) fn new(parent: Parent) -> Result<Self, Error> {
        let look = || {
            only_thread()?;
            Ok(Self { in_user_namespace: user_map::in_user_namespace()?, parent })
        };
        look().map_err(|failed: Failed| failed.in_step("preparing to make processes"))
    }

    /// Makes a container's first process. Everything that happens is reported over `given.owner`. `not_its` is a
    /// descriptor of the caller's that the new process must not hold on to: the owner's own end.
    pub(crate) fn create(&self, plan: &Plan, given: Given, not_its: Option<BorrowedFd<'_>>) {
        if let Err(error) = self.try_create(plan, &given, not_its) {
            report(given.owner.as_fd(), &Report::Refused(error), &[]);
        }
    }

    /// Makes one more process of the container of `of`, a pidfd.
    pub(crate) fn enter(&self, of: BorrowedFd<'_>, plan: &EnterPlan, given: Given) {
        if let Err(error) = self.try_enter(of, plan, &given) {
            report(given.owner.as_fd(), &Report::Refused(error), &[]);
        }
    }

    fn try_create(&self, plan: &Plan, given: &Given, not_its: Option<BorrowedFd<'_>>) -> Result<(), Error> {
        let joined = plan
            .namespaces
            .open(plan.has_settings())
            .map_err(|failed| failed.in_step("opening namespaces"))?;
        // What is cloned meanwhile is born there, and its cgroup namespace begins there.
        let held = plan.options.group.as_ref().map(Group::hold).transpose()?;
        let create = |maker: &Self, held| maker.create_here(plan, given, &joined, not_its, held);
        match joined.iter().find(|(kind, _)| *kind == Kind::Pid) {
            // Nobody else is in its new pid namespace, and only then can its maps be written from outside.
            None if plan.id_maps.is_some() => create(self, held),
            None => hidden(|| create(self, held)),
            Some((kind, file)) => {
                let join = || kind.join(file.as_fd());
                hidden(|| self.through_helper(given, held, join, |helper, ()| create(helper, None)))
            }
        }
    }

    fn create_here(
        &self,
        plan: &Plan,
        given: &Given,
        joined: &[(Kind, OwnedFd)],
        not_its: Option<BorrowedFd<'_>>,
        held: Option<Held>,
    ) -> Result<(), Error> {
        let made = (|| {
            // A process whose ids are not mapped yet, or whose cable is not there yet, has to wait for us.
            let waits = plan.id_maps.is_some() || !plan.options.cables.is_empty();
            let gate = if waits { Some(Gate::new()?) } else { None };
            Ok((gate, self.clone_container(plan)?))
        })();
        let (gate, side) = made.map_err(|failed: Failed| failed.in_step("making the namespaces"))?;
        match side {
            Side::Child => {
                stay(held);
                if let Some(owners) = not_its {
                    sys::close_makers(owners);
                }
                Container { plan, given, in_user_namespace: self.in_user_namespace }.run(joined, gate)
            }
            Side::Parent { pid, pidfd } => {
                // Before the owner hears of it: it may end the whole group as soon as something has failed.
                drop(held);
                let mut cables = vec![];
                let helped = self.help(plan, pid, &mut cables);
                report(given.owner.as_fd(), &Report::Cloned { pid, cables }, &[pidfd.as_fd()]);
                let helped = helped.and_then(|()| {
                    gate.map_or(Ok(()), Gate::open)
                        .map_err(|failed| failed.in_step("letting the process go on"))
                });
                if let Err(error) = helped {
                    // The owner reaps it.
                    let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
                    report(given.owner.as_fd(), &Report::Failed(error), &[]);
                }
                Ok(())
            }
        }
    }

    fn clone_container(&self, plan: &Plan) -> Result<Side, Failed> {
        let flags = u64::from(plan.namespaces.new) | self.parent.flags();
        if plan.id_maps.is_none() {
            return clone(flags);
        }
        let ids = identity::Borrowed::begin(plan.options.user_namespace_owner)?;
        // A change of ids makes a process non-dumpable, and its maps could then not be written.
        set_dumpable(true)?;
        let side = limits::with_processes_max(plan.options.processes_max, || clone(flags));
        match side {
            // Its own namespace has no ids yet to go back to; it becomes root once it has.
            Ok(Side::Child) => side,
            side => ids.end().and(side),
        }
    }

    /// What only somebody outside can do for the new process. The names of our ends of the cables that were laid are
    /// added to `cables`, also where a later one could not be.
    fn help(&self, plan: &Plan, pid: u32, cables: &mut Vec<String>) -> Result<(), Error> {
        if let Some(maps) = &plan.id_maps {
            maps.write(pid).map_err(|failed| failed.in_step("mapping user and group ids"))?;
        }
        if plan.options.cables.is_empty() {
            return Ok(());
        }
        let mut lay = || {
            let route = Route::open()?;
            plan.options.cables.iter().try_for_each(|veth| {
                network::lay_cable(&route, veth, pid)?;
                cables.push(veth.host_name.clone());
                Ok(())
            })
        };
        lay().map_err(|failed: Failed| failed.in_step("laying the network cable"))?;
        Ok(())
    }

    fn try_enter(&self, of: BorrowedFd<'_>, plan: &EnterPlan, given: &Given) -> Result<(), Error> {
        let all = [Kind::Pid, Kind::Mount, Kind::Network, Kind::Uts, Kind::Ipc, Kind::Cgroup];
        let join = || namespaces::join_all_of(of, &all);
        hidden(|| {
            self.through_helper(given, None, join, |helper, new_user| helper.visit(plan, given, new_user))
        })
    }

    fn visit(&self, plan: &EnterPlan, given: &Given, new_user: bool) -> Result<(), Error> {
        match clone(self.parent.flags()).map_err(|failed| failed.in_step("joining the container"))? {
            Side::Child => Visitor { plan, given, new_user }.run(),
            Side::Parent { pid, pidfd } => {
                report(given.owner.as_fd(), &Report::Cloned { pid, cables: vec![] }, &[pidfd.as_fd()]);
                Ok(())
            }
        }
    }

    /// A process that has joined another pid namespace cannot leave it again without power over its own, which an
    /// agent in a user namespace of its own lacks: a helper joins it, makes the process, and ends. The helper's own
    /// parent, the owner, becomes that of the new process, and reaps both.
    fn through_helper<T>(
        &self,
        given: &Given,
        held: Option<Held>,
        join: impl FnOnce() -> Result<T, Failed>,
        make: impl FnOnce(&Self, T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let step = "joining namespaces";
        match clone(self.parent.flags()).map_err(|failed| failed.in_step(step))? {
            Side::Parent { pidfd, .. } => {
                // As above.
                drop(held);
                report(given.owner.as_fd(), &Report::Helper, &[pidfd.as_fd()]);
                Ok(())
            }
            Side::Child => {
                stay(held);
                let helper = Self { parent: Parent::Grandparent, ..*self };
                let joined = join().map_err(|failed| failed.in_step(step));
                if let Err(error) = joined.and_then(|joined| make(&helper, joined)) {
                    report(given.owner.as_fd(), &Report::Refused(error), &[]);
                }
                sys::exit(0)
            }
        }
    }
}

/// What is cloned by somebody in a group stays there when that one leaves.
fn stay(held: Option<Held>) {
    std::mem::forget(held);
}

/// Does something while nothing else can look into us: what we clone meanwhile is as hidden, from the first moment that
/// a container's processes see it.
fn hidden<T>(action: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    set_dumpable(false).map_err(|failed| failed.in_step("hiding from the container"))?;
    let done = action();
    set_dumpable(true).map_err(|failed| failed.in_step("coming out again"))?;
    done
}

fn clone(flags: u64) -> Result<Side, Failed> {
    sys::clone(flags).call(|| format!("clone3(0x{flags:x})"))
}

/// Tells the owner; that it is gone is not our concern: what it owns notices too.
fn report(owner: BorrowedFd<'_>, report: &Report, descriptors: &[BorrowedFd<'_>]) {
    let _ = wire::send(owner, report, descriptors);
}

/// An error unless the caller is the only thread of its process.
fn only_thread() -> Result<(), Failed> {
    let threads = std::fs::read_dir("/proc/self/task").call(|| "opendir(\"/proc/self/task\")")?.count();
    match threads {
        1 => Ok(()),
        many => Err(Failed::because(
            format!("{many} threads are running: make processes before starting any"),
            Errno::BUSY,
        )),
    }
}

fn set_dumpable(dumpable: bool) -> Result<(), Failed> {
    let behaviour = if dumpable { DumpableBehavior::Dumpable } else { DumpableBehavior::NotDumpable };
    rustix::process::set_dumpable_behavior(behaviour).call(|| "prctl(PR_SET_DUMPABLE)")
}

/// Where a new process waits until its maker has done its part. If the maker ends first, so does it.
struct Gate {
    opens: OwnedFd,
    waits: OwnedFd,
}

impl Gate {
    fn new() -> Result<Self, Failed> {
        let (waits, opens) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).call(|| "pipe2()")?;
        Ok(Self { opens, waits })
    }

    fn open(self) -> Result<(), Failed> {
        rustix::io::write(&self.opens, &[1]).call(|| "write(gate)").map(drop)
    }

    fn pass(self) -> Result<(), Failed> {
        drop(self.opens);
        let mut byte = [0];
        match rustix::io::read(&self.waits, &mut byte).call(|| "read(gate)")? {
            1 => Ok(()),
            // Whoever could not do its part tells the owner why; we have nothing to add.
            _ => sys::exit(1),
        }
    }
}
