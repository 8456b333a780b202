//! Serving the agent's API over the machine's channel, one conversation after the other: the first belongs to whoever makes a
//! template of this machine, the next to the lab that comes of it.

use super::identity;
use super::port::Port;
use crate::api::{self, Api};
use crate::images::index::Index;
use crate::lab::Lab;
use crate::labs::Labs;
use crate::presence::Presence;
use crate::refusal::{Kind, Refusal};
use crate::spec;
use crate::stage::{self, Staged};
use crate::store::Store;
use crate::walls::{Ledger, watch};
use crate::world::World;
use isolab_protocol::{LabId, LabSpec};
use isolab_runtime::Zygote;
use isolab_vm::{Callers, Stream, greeting, hardware};
use rustix::mount::mount_bind;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Where the machine's first steps (`vagrant/image`) have mounted the disks.
const DISKS: &str = "/run/isolab";

/// Where a lab host's engine finds its images.
const IMAGES: &str = "/usr/lib/isolab/images";

/// How long the first caller waits until refusals are watched: less than its first command may take.
const WATCHED_WITHIN: Duration = Duration::from_secs(45);

/// Serves until the channel fails. To be called before there are threads.
pub fn run() -> Result<(), Refusal> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| Refusal::new(Kind::Failed, format!("{what}: {error}."))
    };
    let staged = staged()?;
    give(&staged).map_err(failed("what the lab host is given"))?;
    // Where memory runs out, the agent is the last to go, and the machine goes with it.
    std::fs::write("/proc/self/oom_score_adj", "-1000").map_err(failed("its own weight"))?;
    let zygote = Zygote::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.map_err(failed("threads"))?.block_on(serve(zygote, staged)).map_err(failed("the channel"))
}

/// What the disks hold.
fn staged() -> Result<Staged, Refusal> {
    let disk = |name: &str| Path::new(DISKS).join(name);
    let images = disk("images");
    let layer = |layer: String| (layer.clone(), images.join("layers").join(layer));
    Ok(Staged {
        // The disk that this machine's own was made of: what its programs were before anybody changed them.
        lab_host: disk("base"),
        index: images.join("index.json"),
        layers: Index::read(&images)?.layers().into_iter().map(layer).collect::<Vec<(String, PathBuf)>>(),
        archives: images.join("archives"),
        engine: disk("programs").join(stage::ENGINE),
    })
}

/// Puts the engine and its images where every lab host has them.
fn give(staged: &Staged) -> io::Result<()> {
    mount_bind(&staged.engine, spec::engine_path())?;
    mount_bind(Path::new(DISKS).join("images"), IMAGES)?;
    Ok(())
}

async fn serve(zygote: Zygote, staged: Staged) -> io::Result<()> {
    let world = World::of_machine(zygote, Store::at(DISKS), staged, CancellationToken::new());
    let refusals = Arc::clone(world.refusals());
    let labs = Arc::new(Labs::new(world));
    let id: LabId = greeting::LAB.parse().map_err(io::Error::other)?;
    let lab = labs.open(LabSpec { id: Some(id), ..LabSpec::default() }).map_err(io::Error::other)?;
    let api = Api { labs, activity: Presence::default() };
    let mut port = Port::open(hardware::PORT)?;
    let mut watched = false;
    loop {
        let greeting = greeting::await_greeting(&mut port).await?;
        identity::take_on(&greeting, Path::new("/"))?;
        ready(&lab).await?;
        // What was refused while a template was made is nobody's.
        refusals.forget();
        greeting::welcome(&mut port, &greeting).await?;
        if !watched {
            watch_refusals(&refusals).await;
            // So that no machine that comes of the template has to digest its programs.
            if let Some(generation) = lab.running() {
                generation.prime().await;
            }
            watched = true;
        }
        let callers = Incoming { callers: Callers::over(port.clone()), over: CancellationToken::new() };
        let over = callers.over();
        // Connections that were open when the host hung up end by themselves: their streams are gone.
        tokio::select! {
            served = axum::serve(callers, api::router(api.clone())) => served?,
            () = over.cancelled() => {}
        }
    }
}

async fn ready(lab: &Lab) -> io::Result<()> {
    lab.ready().await.map(drop).map_err(io::Error::other)
}

/// Has the kernel tell what it refuses. Once, before a template is saved and before anybody is served, so that no machine that
/// comes of it has to: the kernel takes a fifth of a second for each probe where it is emulated.
async fn watch_refusals(refusals: &Arc<Ledger>) {
    // Asked of the kernel directly: a first look at the lab digests programs, and where the machine is emulated it may take too long.
    let namespace = |of: &str| std::fs::metadata(format!("/proc/{of}/ns/mnt")).map(|it| it.ino());
    match (namespace("self"), namespace("1")) {
        (Ok(own), Ok(first)) => {
            let set_up = watch::start(vec![own, first], Arc::clone(refusals));
            if timeout(WATCHED_WITHIN, set_up).await.is_err() {
                tracing::warn!("setting up the watch for refusals takes too long; it goes on meanwhile");
            }
        }
        (own, first) => tracing::warn!(?own, ?first, "refusals are not watched"),
    }
}

/// The host's calls, as axum takes connections.
struct Incoming {
    callers: Callers,
    over: CancellationToken,
}

impl Incoming {
    /// Cancelled when the host has hung up.
    fn over(&self) -> CancellationToken {
        self.over.clone()
    }
}

impl axum::serve::Listener for Incoming {
    type Io = Stream;
    type Addr = ();

    async fn accept(&mut self) -> (Stream, ()) {
        if let Some(stream) = self.callers.next().await {
            return (stream, ());
        }
        self.over.cancel();
        std::future::pending().await
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}
