//! A process of a lab, held by its pidfd: it is waited for as soon as it ends, and killed when nobody holds it.

use crate::readiness;
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_send_signal, waitid};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

/// A child process of the agent. Dropping it kills the process; a task of its own reaps it.
#[derive(Debug)]
pub struct Child {
    pid: u32,
    pidfd: Arc<AsyncFd<OwnedFd>>,
    status: watch::Receiver<Option<i32>>,
}

impl Child {
    /// Takes charge of a child. Errors: the event queue refuses the pidfd.
    pub fn new(pid: u32, pidfd: OwnedFd) -> io::Result<Self> {
        let pidfd = Arc::new(readiness::register(pidfd, Interest::READABLE)?);
        let (tell, status) = watch::channel(None);
        let waited = Arc::clone(&pidfd);
        tokio::spawn(async move {
            let status = reap(&waited).await;
            tell.send_replace(Some(status));
        });
        Ok(Self { pid, pidfd, status })
    }

    /// Its pid on the machine.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its pidfd, which names this very process even after the number was used again.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.get_ref().as_fd()
    }

    /// Its status as a shell counts it, where it has ended.
    pub fn status(&self) -> Option<i32> {
        *self.status.borrow()
    }

    /// Waits for its end. The status is a shell's: 128 + N where signal N ended it.
    pub async fn exited(&self) -> i32 {
        let mut status = self.status.clone();
        match status.wait_for(Option::is_some).await {
            Ok(status) => status.unwrap_or(UNKNOWN),
            // The reaping task is gone only when the runtime is: nobody asks any more.
            Err(_) => UNKNOWN,
        }
    }

    /// Sends it a signal; a process that has ended is no error.
    pub fn signal(&self, signal: Signal) {
        if let Err(error) = pidfd_send_signal(self.pidfd(), signal)
            && error != Errno::SRCH
        {
            tracing::warn!(pid = self.pid, %error, "a lab's process could not be signalled");
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// The status where the kernel could not tell one: as of a program that could not be run.
const UNKNOWN: i32 = 126;

async fn reap(pidfd: &AsyncFd<OwnedFd>) -> i32 {
    loop {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        match waitid(WaitId::PidFd(pidfd.get_ref().as_fd()), options) {
            Ok(Some(status)) => return shell_status(&status),
            Ok(None) => {}
            Err(Errno::INTR) => continue,
            Err(error) => {
                tracing::warn!(%error, "a lab's process could not be waited for");
                return UNKNOWN;
            }
        }
        match pidfd.readable().await {
            Ok(mut ready) => ready.clear_ready(),
            Err(_) => return UNKNOWN,
        }
    }
}

fn shell_status(status: &WaitIdStatus) -> i32 {
    let signalled = status.terminating_signal().map(|signal| 128 + signal);
    status.exit_status().or(signalled).unwrap_or(UNKNOWN)
}
