//! Where a terminal's shell and its clients meet: the session, and the bells that wake either side.

use super::session::Session;
use crate::metrics::Metrics;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};

/// What the pump and the clients of one terminal share.
#[derive(Debug)]
pub struct Desk {
    session: Mutex<Session>,
    /// Wakes the clients' writers.
    changed: watch::Sender<()>,
    /// Wakes the pump.
    wake: Notify,
    metrics: Arc<Metrics>,
}

impl Desk {
    /// An empty one.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { session: Mutex::default(), changed: watch::channel(()).0, wake: Notify::new(), metrics }
    }

    /// The session; never held across a wait.
    pub fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// There may be frames for clients.
    pub fn changed(&self) {
        self.changed.send_replace(());
    }

    /// Is told when there may be frames.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// There may be something for the pump: input, a size, room for output.
    pub fn wake_pump(&self) {
        self.wake.notify_one();
    }

    /// Returns when there may be something for the pump.
    pub async fn pump_woken(&self) {
        self.wake.notified().await;
    }
}
