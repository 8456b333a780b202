//! One named terminal of a lab: its session, and the shell behind it while there is one.

use super::desk::Desk;
use super::pump;
use super::screen::Size;
use super::session::ClientId;
use crate::child::Child;
use crate::metrics::Metrics;
use crate::refusal::Refusal;
use futures_util::future::BoxFuture;
use isolab_protocol::terminal::{ClientFrame, ServerFrame};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A shell that was opened: the process and the master of its pty.
#[derive(Debug)]
pub struct Shell {
    /// The process.
    pub child: Child,
    /// The master of its pty.
    pub master: OwnedFd,
}

/// Opens a shell of this size in the lab.
pub type OpenShell = dyn Fn(Size) -> BoxFuture<'static, Result<Shell, Refusal>> + Send + Sync;

/// A terminal. Its shell is opened by the first HELLO, and by each HELLO after the shell has ended.
pub struct Terminal {
    desk: Desk,
    open: Box<OpenShell>,
    lab_ends: CancellationToken,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").finish_non_exhaustive()
    }
}

impl Terminal {
    /// A terminal without a shell yet. `lab_ends` ends its shell and its clients; `tasks` tells when all is over.
    pub fn new(
        open: Box<OpenShell>,
        lab_ends: CancellationToken,
        tasks: TaskTracker,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self { desk: Desk::new(metrics), open, lab_ends, tasks })
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.desk.changes()
    }

    /// Ends when the lab does.
    pub(super) async fn lab_ends(&self) {
        self.lab_ends.cancelled().await;
    }

    /// How many clients are attached.
    pub fn clients(&self) -> usize {
        self.desk.session().clients()
    }

    pub(super) fn attach(&self) -> Option<ClientId> {
        self.desk.session().attach()
    }

    pub(super) fn detach(&self, id: ClientId) {
        self.desk.session().detach(id);
        self.desk.wake_pump();
    }

    pub(super) fn next_frame(&self, id: ClientId) -> Option<ServerFrame> {
        self.desk.session().next_frame(id)
    }

    /// Takes in one frame from a client.
    pub(super) fn receive(self: &Arc<Self>, id: ClientId, frame: ClientFrame) {
        match frame {
            ClientFrame::Hello { last_seq, cols, rows } => {
                let open = self.desk.session().hello(id, last_seq, Size { cols, rows });
                if open {
                    self.tasks.spawn(Arc::clone(self).live());
                }
                self.desk.changed();
            }
            ClientFrame::Input { bytes } => {
                self.desk.session().input(id, &bytes);
                self.desk.changed();
            }
            ClientFrame::Resize { cols, rows } => self.desk.session().resize(id, Size { cols, rows }),
            ClientFrame::Ack { seq } => {
                self.desk.session().acknowledge(id, seq);
                // The window may have opened for this client, too.
                self.desk.changed();
            }
            ClientFrame::Ping { stamp } => {
                self.desk.session().push(id, ServerFrame::Pong { stamp });
                self.desk.changed();
            }
        }
        self.desk.wake_pump();
    }

    /// One shell's life.
    async fn live(self: Arc<Self>) {
        let size = self.desk.session().size();
        let opened = tokio::select! {
            opened = (self.open)(size) => opened,
            () = self.lab_ends.cancelled() => return,
        };
        let (status, why) = match opened {
            Ok(shell) => {
                self.desk.session().started(size);
                tokio::select! {
                    ended = pump::run(&self.desk, shell.master, &shell.child) => match ended {
                        Ok(status) => (status, None),
                        Err(error) => (126, Some(format!("The terminal failed: {error}."))),
                    },
                    // Dropping the shell kills it, and closing its pty hangs up whatever it left behind.
                    () = self.lab_ends.cancelled() => return,
                }
            }
            Err(refusal) => (126, Some(refusal.message)),
        };
        self.desk.session().ended(status, why.as_deref());
        self.desk.changed();
    }
}
