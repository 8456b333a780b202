//! The life of a container, one type per phase; each transition consumes the phase before.
//!
//! ```text
//! Created ──start──▶ Running ──its first process ends──▶ Exited ──start──▶ Running
//!    │  ▲                 ▲ │                              │ ▲
//!    │  └──start failed   │ └──and its policy restarts it──│─│──▶ Restarting
//!    │                    └──────────after a pause─────────│─│───────┘ │
//!    │                                                     │ └──stop───┘
//!    └────────────────── Removing ◀────────remove──────────┘
//! ```

use super::files::Sandbox;
use super::freeze::Frozen;
use super::group::OwnGroup;
use super::layer::Mounted;
use super::pids::MountNamespace;
use super::shm::Shm;
use crate::clock;
use crate::network::Cabling;
use crate::volume::Attached;
use bollard_stubs::models::ContainerStateStatusEnum;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::oneshot;

/// Where a container is in its life.
#[derive(Debug)]
pub enum Phase {
    /// Not started yet.
    Created(Created),
    /// Its first process is there.
    Running(Running),
    /// Its first process has ended, and will be started again.
    Restarting(Restarting),
    /// Its first process has ended.
    Exited(Exited),
    /// Being removed: it is on no list any more.
    Removing,
}

/// Never started, or not with success.
#[derive(Debug, Default)]
pub struct Created {
    /// Why it could not be started, and the exit code that Docker gives for that.
    pub failure: Option<(i32, String)>,
}

/// It runs. Dropping it gives back its addresses and its mount.
#[derive(Debug)]
pub struct Running {
    /// Its first process, as the lab host numbers it.
    pub pid: u32,
    /// A descriptor of that process, which outlives its number.
    pub pidfd: OwnedFd,
    /// Its mount namespace, by which its processes are known; `None` where it had ended before it was looked at.
    pub namespace: Option<MountNamespace>,
    /// A procfs of its pid namespace, out of its reach; `None` where it shares the pid namespace of others.
    pub procfs: Option<OwnedFd>,
    /// Whether it is paused, and then what was stopped before. A paused container has all that a running one has.
    pub frozen: Option<Frozen>,
    /// Since when.
    pub started: SystemTime,
    /// When the run before this one ended.
    pub finished_before: Option<SystemTime>,
    /// Its control group, where there is one.
    pub group: Option<OwnGroup>,
    /// Its places in networks.
    pub cabling: Box<Cabling>,
    /// Whose name and files it shows.
    pub sandbox: Arc<Sandbox>,
    /// Its shared memory, where others may have it too.
    pub shm: Option<Shm>,
    /// Its volumes.
    pub _volumes: Vec<Attached>,
    /// Its root.
    pub root: Mounted,
}

/// It has run and waits to be started again. For Docker, such a container runs. Dropping this ends the wait.
#[derive(Debug)]
pub struct Restarting {
    /// The run before.
    pub last: Exited,
    /// What the one who waits sees closed when nothing is left to wait for.
    pub _wait: oneshot::Sender<()>,
}

/// It has run.
#[derive(Clone, Debug)]
pub struct Exited {
    /// As a shell counts it.
    pub code: i32,
    /// Since when it ran.
    pub started: SystemTime,
    /// Until when.
    pub finished: SystemTime,
    /// Why it could not be started since; empty where nobody has tried.
    pub error: String,
    /// Whether the kernel has ended a process of it for want of memory.
    pub out_of_memory: bool,
}

impl Running {
    /// The number of its mount namespace; that of none, 0, where it had ended before it was looked at.
    pub fn mount_namespace(&self) -> u64 {
        self.namespace.as_ref().map_or(0, MountNamespace::inode)
    }

    /// Its first process has ended.
    pub fn exited(self, code: i32) -> Exited {
        let out_of_memory = self.group.as_ref().is_some_and(OwnGroup::was_out_of_memory);
        let finished = SystemTime::now();
        Exited { code, started: self.started, finished, error: String::new(), out_of_memory }
    }
}

impl Phase {
    /// Docker's word.
    pub fn status(&self) -> ContainerStateStatusEnum {
        match self {
            Self::Created(_) => ContainerStateStatusEnum::CREATED,
            Self::Running(running) if running.frozen.is_some() => ContainerStateStatusEnum::PAUSED,
            Self::Running(_) => ContainerStateStatusEnum::RUNNING,
            Self::Restarting(_) => ContainerStateStatusEnum::RESTARTING,
            Self::Exited(_) => ContainerStateStatusEnum::EXITED,
            Self::Removing => ContainerStateStatusEnum::REMOVING,
        }
    }

    /// The STATUS column of `docker ps`.
    pub fn in_words(&self, now: SystemTime) -> String {
        let since = |time| clock::in_words(now.duration_since(time).unwrap_or_default());
        match self {
            Self::Created(_) => "Created".into(),
            Self::Running(running) => {
                let paused = if running.frozen.is_some() { " (Paused)" } else { "" };
                format!("Up {}{paused}", since(running.started))
            }
            Self::Restarting(Restarting { last, .. }) => {
                format!("Restarting ({}) {} ago", last.code, since(last.finished))
            }
            Self::Exited(exited) => format!("Exited ({}) {} ago", exited.code, since(exited.finished)),
            Self::Removing => "Removal In Progress".into(),
        }
    }

    /// When its last run ended, if it has ever.
    pub fn finished(&self) -> Option<SystemTime> {
        match self {
            Self::Running(running) => running.finished_before,
            Self::Restarting(Restarting { last: exited, .. }) | Self::Exited(exited) => Some(exited.finished),
            Self::Created(_) | Self::Removing => None,
        }
    }

    /// The exit code that `docker inspect` and `docker wait` give.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Created(created) => created.failure.as_ref().map_or(0, |(code, _)| *code),
            Self::Restarting(Restarting { last, .. }) => last.code,
            Self::Exited(exited) => exited.code,
            Self::Running(_) | Self::Removing => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_status_column_is_docker_s() {
        let now = SystemTime::now();
        let finished = now - Duration::from_secs(2);
        let exited = Exited { code: 137, started: now, finished, error: String::new(), out_of_memory: false };
        assert_eq!(Phase::Exited(exited.clone()).in_words(now), "Exited (137) 2 seconds ago");
        assert_eq!(Phase::Created(Created::default()).in_words(now), "Created");
        assert_eq!(Phase::Exited(exited).exit_code(), 137);
    }
}
