//! One lab host of a lab, with its terminals and its observer: what a reset throws away and makes anew.

use crate::host::LabHost;
use crate::metrics::Metrics;
use crate::observation::Observer;
use crate::refusal::{Kind, Refusal};
use crate::spec;
use crate::terminal::{Size, Terminal};
use crate::world::{Owner, Ready, World};
use isolab_protocol::LabId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The most terminals of a lab: a host shell, a few containers, and room to spare; each costs up to a MiB of history.
pub const TERMINALS_MAX: usize = 8;

/// The longest name of a terminal, in bytes.
const NAME_BYTES_MAX: usize = 20;

/// The most commands that run at once in one lab for the API: setup, checks and a test.
const EXECS_MAX: usize = 4;

/// How long terminals and their clients may take to end.
const TASKS_END_WITHIN: Duration = Duration::from_secs(5);

/// A lab host and what belongs to it.
#[derive(Debug)]
pub struct Generation {
    host: Arc<LabHost>,
    observer: Observer,
    terminals: Mutex<BTreeMap<String, Arc<Terminal>>>,
    execs: Semaphore,
    metrics: Arc<Metrics>,
    ends: CancellationToken,
    tasks: TaskTracker,
    /// Given back when the last process is gone.
    _owner: Owner,
}

impl Generation {
    /// Makes a lab host; its engine does not serve yet.
    pub async fn start(
        world: &Arc<World>,
        lab: &LabId,
        images: &Ready,
        seq: u64,
    ) -> Result<Arc<Self>, Refusal> {
        let owner = world.owner();
        let wanted = spec::lab_host(&images.staged, owner.id())
            .map_err(|error| Refusal::new(Kind::Failed, format!("The lab's Spec is malformed: {error}.")))?;
        let host = Arc::new(LabHost::start(world.zygote(), wanted).await?);
        let (pristine, metrics) = (Arc::clone(&images.pristine), Arc::clone(world.metrics()));
        let observer = Observer::new(lab.clone(), Arc::clone(&host), pristine, metrics, seq)?;
        Ok(Arc::new(Self {
            host,
            observer,
            terminals: Mutex::default(),
            execs: Semaphore::new(EXECS_MAX),
            metrics: Arc::clone(world.metrics()),
            ends: CancellationToken::new(),
            tasks: TaskTracker::new(),
            _owner: owner,
        }))
    }

    /// The lab host.
    pub fn host(&self) -> &LabHost {
        &self.host
    }

    /// What looks at it.
    pub fn observer(&self) -> &Observer {
        &self.observer
    }

    /// The terminal of this name; a new one has no shell yet.
    pub fn terminal(&self, name: &str) -> Result<Arc<Terminal>, Refusal> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(allowed) {
            let message =
                format!("A terminal's name has 1 to {NAME_BYTES_MAX} characters of a-z, 0-9 and -.");
            return Err(Refusal::new(Kind::Invalid, message));
        }
        let mut terminals = self.terminals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(terminal) = terminals.get(name) {
            return Ok(Arc::clone(terminal));
        }
        if terminals.len() >= TERMINALS_MAX {
            return Err(Refusal::new(Kind::Limit, format!("A lab has at most {TERMINALS_MAX} terminals.")));
        }
        let host = Arc::clone(&self.host);
        let open = move |size: Size| -> futures_util::future::BoxFuture<'static, _> {
            let host = Arc::clone(&host);
            Box::pin(async move { host.shell(size).await })
        };
        let (ends, tasks) = (self.ends.clone(), self.tasks.clone());
        let terminal = Terminal::new(Box::new(open), ends, tasks, Arc::clone(&self.metrics));
        terminals.insert(name.to_owned(), Arc::clone(&terminal));
        Ok(terminal)
    }

    /// How many terminals there are, and how many clients of them.
    pub fn counts(&self) -> (usize, usize) {
        let terminals = self.terminals.lock().unwrap_or_else(PoisonError::into_inner);
        (terminals.len(), terminals.values().map(|terminal| terminal.clients()).sum())
    }

    /// Leave to run one more command.
    pub fn exec_permit(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        let busy = |_| Refusal::new(Kind::Limit, format!("{EXECS_MAX} commands run in this lab already."));
        self.execs.try_acquire().map_err(busy)
    }

    /// Returns when the lab host's time is over.
    pub async fn ended(&self) {
        self.ends.cancelled().await;
    }

    /// Ends the lab host, its terminals and their clients.
    pub async fn end(&self) {
        self.ends.cancel();
        self.host.end().await;
        self.tasks.close();
        if timeout(TASKS_END_WITHIN, self.tasks.wait()).await.is_err() {
            tracing::warn!("a lab's terminals do not end");
        }
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        // One that never became ready is dropped without having been ended.
        self.ends.cancel();
    }
}
