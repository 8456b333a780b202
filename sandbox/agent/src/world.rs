//! What all labs of an agent share.

use crate::ids;
use crate::images;
use crate::metrics::Metrics;
use crate::pristine::Pristine;
use crate::refusal::{Kind, Refusal};
use crate::stage::{self, Staged};
use crate::store::Store;
use isolab_runtime::Zygote;
use std::collections::BTreeSet;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The agent's own means.
#[derive(Debug)]
pub struct World {
    zygote: Zygote,
    store: Store,
    engine: Arc<File>,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
    ending: CancellationToken,
    owners: Mutex<Owners>,
    on_stage: tokio::sync::Mutex<OnStage>,
}

/// The images that labs are made of now.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Where they are mounted.
    pub staged: Arc<Staged>,
    /// What their programs are.
    pub pristine: Arc<Pristine>,
}

#[derive(Debug, Default)]
struct OnStage {
    /// How many sets of images were mounted so far.
    count: usize,
    current: Option<(String, Ready)>,
}

#[derive(Debug, Default)]
struct Owners {
    next: u32,
    taken: BTreeSet<u32>,
}

/// The id that owns one lab's user namespace, for as long as this lives.
#[derive(Debug)]
pub struct Owner {
    id: u32,
    world: Arc<World>,
}

impl World {
    /// `engine` is the engine's program, opened; `ending` is cancelled when the agent ends.
    pub fn new(zygote: Zygote, store: Store, engine: File, ending: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            zygote,
            store,
            engine: Arc::new(engine),
            metrics: Arc::default(),
            tasks: TaskTracker::new(),
            ending,
            owners: Mutex::default(),
            on_stage: tokio::sync::Mutex::default(),
        })
    }

    /// Makes processes.
    pub fn zygote(&self) -> &Zygote {
        &self.zygote
    }

    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The labs' tasks.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Where things are kept.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Whether the agent is ending.
    pub fn is_ending(&self) -> bool {
        self.ending.is_cancelled()
    }

    /// Returns when the agent ends.
    pub async fn ending(&self) {
        self.ending.cancelled().await;
    }

    /// An owner that no other lab has.
    pub fn owner(self: &Arc<Self>) -> Owner {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        // There are far more owners than labs, so that a free one is soon found.
        let id = loop {
            let id = ids::OWNER_FIRST + owners.next % ids::OWNER_COUNT;
            owners.next = owners.next.wrapping_add(1);
            if owners.taken.insert(id) {
                break id;
            }
        };
        Owner { id, world: Arc::clone(self) }
    }

    /// The images in use, unpacked and on the stage. `tell` is given what takes time, in words.
    pub async fn staged(&self, tell: impl Fn(String) + Send + 'static) -> Result<Ready, Refusal> {
        let mut on_stage = match self.on_stage.try_lock() {
            Ok(on_stage) => on_stage,
            Err(_) => {
                tell("Waiting for the lab images to be unpacked".into());
                self.on_stage.lock().await
            }
        };
        let name = images::current(&self.store)?;
        if let Some((_, ready)) = on_stage.current.as_ref().filter(|(current, _)| *current == name) {
            return Ok(ready.clone());
        }
        let (store, engine, number) = (self.store.clone(), Arc::clone(&self.engine), on_stage.count);
        on_stage.count += 1;
        let put = tokio::task::spawn_blocking(move || {
            let images = images::ensure(&store, &tell)?;
            let staged = stage::show(&images, &engine, number)?;
            let pristine = Arc::new(Pristine::of(&staged));
            Ok::<_, Refusal>((images.name, Ready { staged: Arc::new(staged), pristine }))
        });
        let fault = |_| Refusal::new(Kind::Failed, "A fault in the agent while unpacking the lab images.");
        let (name, ready) = put.await.map_err(fault)??;
        on_stage.current = Some((name, ready.clone()));
        Ok(ready)
    }
}

impl Owner {
    /// The id, in the agent's own user namespace.
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.world.owners.lock().unwrap_or_else(PoisonError::into_inner).taken.remove(&self.id);
    }
}
