//! The duty of PID 1: every child that ends is waited for, and whoever cares for it is told how it ended.

use rustix::process::{WaitOptions, WaitStatus, wait};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// A handle to the reaper; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Reaper {
    expected: Arc<Mutex<HashMap<u32, oneshot::Sender<i32>>>>,
}

/// Resolves to the exit status as a shell counts it: 128 + N where signal N ended the process.
pub type Exit = oneshot::Receiver<i32>;

impl Reaper {
    /// Asks to be told of the end of the child `pid`. It must be called in the same turn of the event loop in which the
    /// child was made: the reaper runs on the same thread, so it cannot have reaped the child before.
    pub fn expect(&self, pid: u32) -> Exit {
        let (sender, receiver) = oneshot::channel();
        self.expected.lock().unwrap_or_else(PoisonError::into_inner).insert(pid, sender);
        receiver
    }

    /// Reaps for ever. Children that nobody expects (orphans of the lab's shells) are just reaped.
    pub async fn run(self) -> std::io::Result<()> {
        let mut child_ended = signal(SignalKind::child())?;
        loop {
            // Several children may end before one SIGCHLD is seen, so each signal empties the queue.
            while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
                self.tell(pid.as_raw_nonzero().get() as u32, status);
            }
            child_ended.recv().await;
        }
    }

    fn tell(&self, pid: u32, status: WaitStatus) {
        let code = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => code,
            (None, Some(signal)) => 128 + signal,
            // Stopped or continued: not over.
            (None, None) => return,
        };
        let expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner).remove(&pid);
        if let Some(sender) = expected {
            // The one who asked may have given up: then nobody needs to know.
            let _ = sender.send(code);
        }
    }
}
