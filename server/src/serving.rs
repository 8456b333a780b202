//! A server from its parts: what `isolab serve` runs, and what measurements and tests start for themselves.

use crate::http::{App, Origins, router};
use crate::live::{Agents, LiveLabs};
use crate::store::Store;
use axum::serve::ListenerExt;
use isolab_lessons::Course;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long an ending server waits for requests and terminals to say goodbye.
const END_WAIT_MAX: Duration = Duration::from_secs(3);

/// A server that listens.
pub struct Server {
    address: SocketAddr,
    store: Store,
    tasks: TaskTracker,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Server {
    /// Opens the database and begins to answer on `listener`.
    pub async fn start(
        listener: TcpListener,
        database: &Path,
        course: Arc<Course>,
        agents: Agents,
    ) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let store = Store::open(database).await?;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let live = LiveLabs::new(store.clone(), course.clone(), agents, tasks.clone(), stop.clone());
        let app = App { store: store.clone(), course, live, tasks: tasks.clone(), stop: stop.clone() };
        let router = router(app, Origins::of(address));
        let listener = listener.tap_io(|stream| {
            // A keystroke's echo is one small segment, which must not wait for more to join it.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!("TCP_NODELAY: {error}");
            }
        });
        let ending = stop.clone().cancelled_owned();
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(ending).await {
                tracing::error!("the server has ended: {error}");
            }
        });
        Ok(Self { address, store, tasks, stop, serving })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends in good order: streams and terminals are told, requests are finished, the database is closed.
    pub async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        let ended = async {
            self.tasks.wait().await;
            // A panic has been reported when it happened.
            let _ = self.serving.await;
        };
        if timeout(END_WAIT_MAX, ended).await.is_err() {
            tracing::warn!("not every connection has ended within {END_WAIT_MAX:?}");
        }
        self.store.close().await;
    }
}
