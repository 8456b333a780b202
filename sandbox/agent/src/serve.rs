//! The agent as a service: from a confined, single-threaded program to one that serves, and back to nothing.

use crate::api::{self, Api};
use crate::labs::Labs;
use crate::presence::Presence;
use crate::socket::Socket;
use crate::store::Store;
use crate::world::{Means, World};
use isolab_runtime::Zygote;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// An agent without a lab and without a request ends after this time.
const IDLE: Duration = Duration::from_secs(60);

/// How long labs and connections may take to end before the agent goes all the same; the kernel then ends what is left.
const DRAINED_WITHIN: Duration = Duration::from_secs(15);

/// Threads for all labs: one could do the work, two keep a long turn of one terminal from the keys of another.
const THREADS: usize = 2;

/// Threads that wait in the runtime and the kernel. A hostile lab can keep three of them waiting (two processes on their
/// way in and one look); with this many no number of labs stops the others. A thread is made when it is needed.
const BLOCKING_THREADS_MAX: usize = 4 * crate::labs::LABS_MAX;

/// What the service is started with.
#[derive(Debug)]
pub struct Service {
    /// Where it listens.
    pub socket: Socket,
    /// Makes its labs.
    pub zygote: Zygote,
    /// Where images are.
    pub store: Store,
    /// What was opened before it was confined.
    pub means: Means,
    /// Goes on without labs and requests.
    pub stay: bool,
    /// Ends when standard input does: its parent holds the other end of the pipe.
    pub die_with_parent: bool,
}

impl Service {
    /// Serves until it is told to end, or nobody needs it. Errors: it could not begin.
    pub fn run(mut self) -> io::Result<()> {
        let listener = self.socket.take()?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name("isolab-agent")
            .enable_all()
            .build()?;
        let served = runtime.block_on(self.serve(listener));
        runtime.shutdown_timeout(Duration::from_secs(1));
        served
    }

    async fn serve(self, listener: std::os::unix::net::UnixListener) -> io::Result<()> {
        let ending = CancellationToken::new();
        let world = World::new(self.zygote, self.store, self.means, ending.clone());
        let labs = Arc::new(Labs::new(Arc::clone(&world)));
        let api = Api { labs: Arc::clone(&labs), activity: Presence::default() };
        let activity = api.activity.clone();
        let listener = UnixListener::from_std(listener)?;
        let stop = ending.clone();
        let server = axum::serve(listener, api::router(api))
            .with_graceful_shutdown(async move { stop.cancelled().await });
        let server = tokio::spawn(server.into_future());
        if self.die_with_parent {
            watch_parent(ending.clone());
        }
        warm_up(Arc::clone(&world));
        tracing::info!("serving");
        let why = tokio::select! {
            name = told_to_end()? => name,
            () = unneeded(&labs, &activity), if !self.stay => "nobody needs it",
            () = ending.cancelled() => "its parent has ended",
        };
        tracing::info!(why, "ending");
        ending.cancel();
        world.tasks().close();
        let drained = async {
            world.tasks().wait().await;
            server.await
        };
        if timeout(DRAINED_WITHIN, drained).await.is_err() {
            tracing::warn!("not everything ended in time");
        }
        Ok(())
    }
}

/// Puts the images on the stage before the first lab is asked for. Where that fails the lab will say why.
fn warm_up(world: Arc<World>) {
    tokio::spawn(async move {
        if let Err(refusal) = world.staged(|_| {}).await {
            tracing::warn!(message = refusal.message, "no lab can be opened yet");
        }
    });
}

/// Waits for SIGTERM or SIGINT.
fn told_to_end() -> io::Result<impl Future<Output = &'static str>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

async fn unneeded(labs: &Labs, activity: &Presence) {
    loop {
        activity.idle_for(IDLE).await;
        if labs.gauges().labs == 0 {
            return;
        }
        activity.touch();
    }
}

/// Ends the agent when its parent closes the pipe that is our standard input, which the kernel does for it however the
/// parent ends. A thread of its own: a read cannot be waited for otherwise when it is a terminal or a file.
fn watch_parent(ending: CancellationToken) {
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        let mut input = io::stdin().lock();
        loop {
            match input.read(&mut buffer) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return ending.cancel(),
            }
        }
    });
}
