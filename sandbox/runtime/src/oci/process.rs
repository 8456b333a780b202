//! A process by pid and start time, so that a later process with the same pid is not taken for it.

use super::Failure;
use crate::observe::{NamespaceKind, Procfs, stat};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// How many processes of the machine are looked at for a container's; the kernel's own default bound on pids.
const PROCESSES_MAX: usize = 4 * 1024 * 1024;

/// Which process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub pid: u32,
    /// In milliseconds since the kernel's boot.
    pub started_at_ms: u64,
}

impl Identity {
    /// The process that has this pid now.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = stat(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)?;
        (!matches!(stat.state.as_str(), "Z" | "X")).then_some(Self { pid, started_at_ms: stat.started_at_ms })
    }

    /// Whether it runs still; a zombie does not.
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }

    /// A handle to it. An error where it has ended.
    pub fn open(&self) -> Result<OwnedFd, Failure> {
        let gone = || Failure::absent("the container is not running".into());
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(Errno::SRCH) => return Err(gone()),
            Err(errno) => return Err(Failure::new(format!("pidfd_open({})", self.pid), errno.into())),
        };
        // The handle is of whatever has the pid; only now is it known to be this process.
        if self.is_alive() { Ok(handle) } else { Err(gone()) }
    }

    /// Sends it a signal. An error where it has ended.
    pub fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let handle = self.open()?;
        match pidfd_send_signal(&handle, signal) {
            Ok(()) => Ok(()),
            Err(Errno::SRCH) => Err(Failure::absent("the container is not running".into())),
            Err(errno) => Err(Failure::new(format!("signalling {}", self.pid), errno.into())),
        }
    }
}

/// The other processes in the pid namespace of a container's first process.
pub fn others_of(init: &Identity) -> Result<Vec<Identity>, Failure> {
    let failed = |error: std::io::Error| Failure::new("looking for the container's processes".into(), error);
    let proc = std::fs::File::open("/proc").map_err(failed)?;
    let procfs = Procfs::new(proc.into())?;
    let namespace = |pid: u32| procfs.namespace_inode(pid, NamespaceKind::Pid);
    let wanted = namespace(init.pid);
    if wanted == 0 || wanted == namespace(std::process::id()) {
        return Ok(vec![]);
    }
    let (pids, _) = procfs.pids(PROCESSES_MAX).map_err(|errno| failed(errno.into()))?;
    let others = pids.into_iter().filter(|&pid| pid != init.pid && namespace(pid) == wanted);
    Ok(others.filter_map(Identity::of).collect())
}

/// A signal by name, with or without `SIG`, or by number.
pub fn parse_signal(text: &str) -> Result<Signal, Failure> {
    let unknown = || Failure::plain(format!("unknown signal {text:?}: give a name as SIGTERM or a number"));
    let number = match text.parse::<i32>() {
        Ok(number) => number,
        Err(_) => {
            let upper = text.to_ascii_uppercase();
            let name = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
            name.parse::<nix::sys::signal::Signal>().map_err(|_| unknown())? as i32
        }
    };
    Signal::from_named_raw(number).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_not_mistaken_for_a_later_one() {
        let own = Identity::of(std::process::id()).unwrap();
        assert!(own.is_alive());
        let earlier = Identity { started_at_ms: own.started_at_ms.wrapping_sub(10), ..own };
        assert!(!earlier.is_alive());
        assert!(earlier.open().unwrap_err().is_absent());
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let identity = Identity::of(child.id()).unwrap();
        identity.signal(Signal::KILL).unwrap();
        while identity.is_alive() {
            std::thread::yield_now();
        }
        assert!(identity.signal(Signal::KILL).unwrap_err().is_absent());
        child.wait().unwrap();
    }

    #[test]
    fn signals_have_names_and_numbers() {
        for text in ["SIGKILL", "KILL", "kill", "9"] {
            assert_eq!(parse_signal(text).unwrap(), Signal::KILL);
        }
        assert_eq!(parse_signal("HUP").unwrap(), Signal::HUP);
        for text in ["", "SIG", "0", "-9", "99", "SIGNOPE"] {
            assert!(parse_signal(text).is_err(), "{text}");
        }
    }
}
