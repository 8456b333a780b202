//! What a new process does in its namespaces before there is a program: the steps of its plan, one after the other.

use super::program::{Made, Waiting};
use super::{Gate, Given, Report, Streams, report, set_dumpable};
use crate::Error;
use crate::doll::console::{self, Pty};
use crate::doll::mounts::{Attributes, Source};
use crate::doll::namespaces::Kind;
use crate::doll::{beneath, devices, identity, limits, network, paths, procfs, root};
use crate::error::{Call, Failed};
use crate::plan::{EnterPlan, Plan, Step};
use crate::sys;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::path::Path;

/// The new process of a container, from its clone to its program.
pub(super) struct Container<'a> {
    pub plan: &'a Plan,
    pub given: &'a Given,
    pub in_user_namespace: bool,
}

impl Container<'_> {
    pub(super) fn run(&self, joined: &[(Kind, OwnedFd)], gate: Option<Gate>) -> ! {
        let error = match self.set_up(joined, gate) {
            Ok(made) => Waiting::go(self.given, &self.plan.program, made, self.plan.options.die_with_parent),
            Err(error) => error,
        };
        fail(self.given, error)
    }

    fn set_up(&self, joined: &[(Kind, OwnedFd)], gate: Option<Gate>) -> Result<Made, Error> {
        (|| {
            gate.map_or(Ok(()), Gate::pass)?;
            if self.plan.id_maps.is_some() {
                identity::become_root()?;
            }
            if let Some(score) = self.plan.program.oom_score {
                // A change of ids has made its files in procfs somebody else's.
                set_dumpable(true)?;
                limits::set_oom_score(score)?;
            }
            // In a pid namespace that it shares, other processes of the container could otherwise take its descriptors.
            set_dumpable(false)?;
            begin_session()?;
            let others = joined.iter().filter(|(kind, _)| *kind != Kind::Pid);
            others.into_iter().try_for_each(|(kind, file)| kind.join(file.as_fd()))
        })()
        .map_err(|failed: Failed| failed.in_step("beginning the set-up"))?;
        let mut made = Made::default();
        for step in &self.plan.steps {
            self.perform(step, &mut made).map_err(|failed| failed.in_step(step.to_string()))?;
        }
        if made.pty.is_none() {
            // A /dev that is the machine's or a volume has no console of the container's.
            made.pty = open_terminal(self.given).map_err(|failed| failed.in_step("opening a terminal"))?;
        }
        Ok(made)
    }

    fn perform(&self, step: &Step, made: &mut Made) -> Result<(), Failed> {
        match step {
            Step::Root { rootfs, propagation } => {
                let nested = self.in_user_namespace || self.plan.id_maps.is_some();
                made.root = Some(root::mount(rootfs, *propagation, nested)?);
                Ok(())
            }
            Step::Mount(mount) => {
                let mounted = mount.perform(made.root()?)?;
                match &mount.source {
                    Source::New { fstype, .. } if fstype == "proc" => made.procfs = mounted,
                    Source::New { fstype, .. } if fstype == "devpts" => made.devpts = mounted,
                    // Nothing but a whole procfs can be mounted there, be it another's.
                    _ if mount.is_over_proc() => made.procfs = mounted,
                    _ => {}
                }
                Ok(())
            }
            Step::ControlGroups(view) => view.perform(made.root()?),
            Step::Device(device) => device.perform(made.root()?),
            Step::DeviceLinks => devices::link(made.root()?),
            Step::Console => self.make_console(made),
            Step::WorkingDirectory(path) => root::make_working_directory(made.root()?, path),
            Step::ReadOnlyPaths(paths) => paths::make_read_only(made.root()?, paths),
            Step::MaskedPaths(paths) => paths::mask(made.root()?, paths),
            Step::ReadOnlyRoot => Attributes::read_only().apply(made.root()?, false),
            Step::Pivot { propagation } => root::pivot(made.root()?, *propagation),
            Step::AppArmor(profile) => profile.perform(made.procfs()?),
            Step::Hostname(name) => rustix::system::sethostname(name.as_bytes()).call(|| "sethostname()"),
            Step::Domainname(name) => {
                rustix::system::setdomainname(name.as_bytes()).call(|| "setdomainname()")
            }
            Step::LoopbackUp => network::loopback_up(),
            Step::PlugIn(veth) => network::plug_in(veth),
            Step::Setting { path, value } => limits::write_setting(made.procfs()?, path, value),
            Step::Limit(limit) => limit.perform(),
        }
    }

    fn make_console(&self, made: &mut Made) -> Result<(), Failed> {
        let Streams::Terminal { cols, rows } = self.given.streams else { return Ok(()) };
        let devpts = made
            .devpts
            .as_ref()
            .ok_or_else(|| Failed::because("a terminal needs a devpts among the mounts", Errno::NODEV))?;
        let pty = console::open(devpts.as_fd(), cols, rows)?;
        console::bind(made.root()?, pty.slave.as_fd())?;
        made.pty = Some(pty);
        Ok(())
    }
}

impl Made {
    fn root(&self) -> Result<BorrowedFd<'_>, Failed> {
        self.root
            .as_ref()
            .map(|root| root.as_fd())
            .ok_or_else(|| Failed::because("there is no root yet", Errno::NOENT))
    }

    fn procfs(&self) -> Result<BorrowedFd<'_>, Failed> {
        let missing = || Failed::because("this needs a procfs among the mounts", Errno::NOENT);
        self.procfs.as_ref().map(|procfs| procfs.as_fd()).ok_or_else(missing)
    }
}

/// A process that joins a container that runs.
pub(super) struct Visitor<'a> {
    pub plan: &'a EnterPlan,
    pub given: &'a Given,
    /// Whether it has joined another user namespace, and is nobody there yet.
    pub new_user: bool,
}

impl Visitor<'_> {
    pub(super) fn run(&self) -> ! {
        let error = match self.set_up() {
            Ok(made) => Waiting::go(self.given, &self.plan.program, made, false),
            Err(error) => error,
        };
        fail(self.given, error)
    }

    fn set_up(&self) -> Result<Made, Error> {
        let mut made = Made::default();
        (|| {
            begin_session()?;
            if self.new_user {
                identity::become_root()?;
            }
            self.plan.program.oom_score.map_or(Ok(()), limits::set_oom_score)?;
            made.pty = open_terminal(self.given)?;
            Ok(())
        })()
        .map_err(|failed: Failed| failed.in_step("joining the container"))?;
        if let Some(profile) = &self.plan.profile {
            procfs::own()
                .and_then(|procfs| profile.perform(procfs.as_fd()))
                .map_err(|failed| failed.in_step(profile.to_string()))?;
        }
        for limit in &self.plan.limits {
            limit.perform().map_err(|failed| failed.in_step(limit.to_string()))?;
        }
        Ok(made)
    }
}

/// A terminal of whatever devpts is at `/dev/pts`, if one is wanted.
fn open_terminal(given: &Given) -> Result<Option<Pty>, Failed> {
    let Streams::Terminal { cols, rows } = given.streams else { return Ok(None) };
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let directory = beneath::open_without_links(beneath::open_root()?.as_fd(), Path::new("dev/pts"), flags)?;
    console::open(directory.as_fd(), cols, rows).map(Some)
}

/// A session of its own, no keys of its maker's, and no signal that its maker ignores or blocks.
fn begin_session() -> Result<(), Failed> {
    rustix::process::setsid().call(|| "setsid()")?;
    sys::reset_signals().call(|| "sigaction()")?;
    match sys::join_new_session_keyring() {
        // No such thing in this kernel, or refused by a filter that the program is under too. Nor must one's quota of
        // keys (200 for each uid, however many labs share it) decide whether a process can be made.
        Err(Errno::NOSYS | Errno::PERM | Errno::DQUOT) => Ok(()),
        done => done.call(|| "keyctl(KEYCTL_JOIN_SESSION_KEYRING)"),
    }
}

/// Tells the owner why there will be no program, and ends.
fn fail(given: &Given, error: Error) -> ! {
    report(given.owner.as_fd(), &Report::Failed(error), &[]);
    sys::exit(1)
}
