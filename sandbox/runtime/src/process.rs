//! What an owner does with a process that it has: wait for it, signal it, outlive it or not.

use crate::Error;
use crate::sys;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, waitid};
use std::time::Duration;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this status.
    Exited(i32),
    /// This signal ended it.
    Signaled(i32),
}

impl ExitStatus {
    /// As a shell counts: 128 + N where signal N ended it.
    pub fn as_shell(self) -> i32 {
        match self {
            Self::Exited(status) => status,
            Self::Signaled(signal) => 128 + signal,
        }
    }
}

/// Waits for a child to end, and reaps it. Errors: it is not (or no longer) a child of the caller.
pub fn wait(pidfd: BorrowedFd<'_>) -> Result<ExitStatus, Error> {
    loop {
        match reap(pidfd, WaitIdOptions::EXITED) {
            Err(Errno::INTR) | Ok(None) => {}
            Ok(Some(status)) => return Ok(status),
            Err(errno) => return Err(Error::new("waiting for a process", "waitid(P_PIDFD)", errno)),
        }
    }
}

/// Reaps a child if it has ended.
pub fn try_wait(pidfd: BorrowedFd<'_>) -> Result<Option<ExitStatus>, Error> {
    reap(pidfd, WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
        .map_err(|errno| Error::new("waiting for a process", "waitid(P_PIDFD, WNOHANG)", errno))
}

fn reap(pidfd: BorrowedFd<'_>, options: WaitIdOptions) -> Result<Option<ExitStatus>, Errno> {
    let status = waitid(WaitId::PidFd(pidfd), options)?;
    Ok(status.map(|status| match status.exit_status() {
        Some(exited) => ExitStatus::Exited(exited),
        None => ExitStatus::Signaled(status.terminating_signal().unwrap_or(0)),
    }))
}

/// Kills a child and reaps it, waiting for at most `patience`: a process that the kernel cannot end (a hung file
/// system) is left to be reaped by whoever waits for everything.
pub fn kill_and_reap(pidfd: BorrowedFd<'_>, patience: Duration) {
    let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
    let timeout = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
    let _ = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout));
    let _ = reap(pidfd, WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
}

/// A descriptor of the process with this pid. To be sure that it is the one meant, the caller must have a reason to know
/// that the pid has not been reused (it is the caller's child, or is checked again afterwards).
pub fn open(pid: u32) -> Result<OwnedFd, Error> {
    let step = || format!("opening process {pid}");
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH);
    id.and_then(|id| rustix::process::pidfd_open(id, PidfdFlags::empty()))
        .map_err(|errno| Error::new(step(), format!("pidfd_open({pid})"), errno))
}

/// Sends a signal, by its number, also a real-time one. A process that has ended already is ESRCH.
pub fn signal(pidfd: BorrowedFd<'_>, number: i32) -> Result<(), Error> {
    let failed = |errno| Error::new("signalling a process", format!("pidfd_send_signal({number})"), errno);
    sys::pidfd_send_signal(pidfd, number).map_err(failed)
}

/// Has the calling process killed when its parent ends. A later change of ids undoes it.
pub fn die_with_parent() -> Result<(), Error> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(|errno| {
        Error::new("tying our life to our parent's", "prctl(PR_SET_PDEATHSIG, SIGKILL)", errno)
    })
}

/// Takes over a descriptor that this program was started with, once. Call it for numbers that the starter promised,
/// before the program opens anything itself. Errors: EBADF (not open, or beyond 63), EBUSY (taken already).
pub fn inherited(number: i32) -> Result<OwnedFd, Error> {
    sys::take_inherited(number)
        .map_err(|errno| Error::new("taking over a descriptor", format!("fcntl({number}, F_SETFD)"), errno))
}
