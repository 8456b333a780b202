//! What all labs of an agent share.

use crate::images;
use crate::metrics::Metrics;
use crate::owners::{Owner, Owners};
use crate::pristine::Pristine;
use crate::refusal::{Kind, Refusal};
use crate::stage::{self, Staged};
use crate::store::Store;
use crate::vm::templates::{Programs, Templates};
use crate::walls::Ledger;
use isolab_runtime::Zygote;
use std::fs::File;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The agent's own means.
#[derive(Debug)]
pub struct World {
    zygote: Zygote,
    store: Store,
    ground: Ground,
    metrics: Arc<Metrics>,
    refusals: Arc<Ledger>,
    tasks: TaskTracker,
    ending: CancellationToken,
    owners: Owners,
    on_stage: tokio::sync::Mutex<OnStage>,
}

/// What the agent opens before it is confined: it may not reach them afterwards.
#[derive(Debug)]
pub struct Means {
    /// The engine's program.
    pub engine: File,
    /// The agent's own program.
    pub agent: File,
    /// `/dev/kvm`, where the machine has it and its user may use it.
    pub kvm: Option<File>,
}

/// What lab hosts of this agent are.
#[derive(Debug)]
enum Ground {
    /// Containers on this machine, made of the images in the store.
    Sandbox {
        /// The engine's program, opened.
        engine: Arc<File>,
        /// Machines for the labs that need one.
        templates: Templates,
    },
    /// This machine itself, which is a VM: there is one, made of what its disks hold.
    Machine(Ready),
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

impl World {
    /// `means` is what the agent opened before it was confined; `ending` is cancelled when it ends.
    pub fn new(zygote: Zygote, store: Store, means: Means, ending: CancellationToken) -> Arc<Self> {
        let owners = Owners::default();
        let engine = Arc::new(means.engine);
        let programs = Programs { agent: means.agent, engine: Arc::clone(&engine), kvm: means.kvm };
        let templates = Templates::new(zygote.clone(), owners.clone(), store.clone(), programs);
        Self::on(Ground::Sandbox { engine, templates }, zygote, store, owners, ending)
    }

    /// Of an agent whose one lab host is the machine it runs on.
    pub fn of_machine(zygote: Zygote, store: Store, staged: Staged, ending: CancellationToken) -> Arc<Self> {
        let pristine = Arc::new(Pristine::of(&staged));
        let ready = Ready { staged: Arc::new(staged), pristine };
        Self::on(Ground::Machine(ready), zygote, store, Owners::default(), ending)
    }

    fn on(
        ground: Ground,
        zygote: Zygote,
        store: Store,
        owners: Owners,
        ending: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            zygote,
            store,
            ground,
            metrics: Arc::default(),
            refusals: Arc::default(),
            tasks: TaskTracker::new(),
            ending,
            owners,
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

    /// What the kernel refused in the lab of this machine. Empty where nobody watches: it is one lab's, and only a machine has one.
    pub fn refusals(&self) -> &Arc<Ledger> {
        &self.refusals
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
    pub fn owner(&self) -> Owner {
        self.owners.one()
    }

    /// Machines to restore labs from; `None` on a machine that is one.
    pub fn templates(&self) -> Option<&Templates> {
        match &self.ground {
            Ground::Sandbox { templates, .. } => Some(templates),
            Ground::Machine(_) => None,
        }
    }

    /// Whether its lab host is the machine itself.
    pub fn is_machine(&self) -> bool {
        matches!(self.ground, Ground::Machine(_))
    }

    /// The images in use, unpacked and on the stage. `tell` is given what takes time, in words.
    pub async fn staged(&self, tell: impl Fn(String) + Send + 'static) -> Result<Ready, Refusal> {
        let engine = match &self.ground {
            Ground::Sandbox { engine, .. } => Arc::clone(engine),
            Ground::Machine(ready) => return Ok(ready.clone()),
        };
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
        let (store, number) = (self.store.clone(), on_stage.count);
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
