//! The lab host that this agent has itself, with its terminals and its observer: a container of our own runtime, or, in a VM, the
//! machine.

use crate::detached;
use crate::host::LabHost;
use crate::metrics::Metrics;
use crate::observation::{Means, Observer};
use crate::owners::Owner;
use crate::refusal::{Kind, Refusal};
use crate::spec;
use crate::terminal::{Size, Terminal};
use crate::world::{Ready, World};
use isolab_protocol::LabId;
use isolab_runtime::observe::{Groups, Maps, Reader};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The most terminals of a lab: a host shell, a few containers, and room to spare; each costs up to a MiB of history.
pub const TERMINALS_MAX: usize = 8;

/// The longest name of a terminal, in bytes.
const NAME_BYTES_MAX: usize = 20;

/// A lab host in a container.
#[derive(Debug)]
pub struct Container {
    host: Arc<LabHost>,
    observer: Observer,
    terminals: Mutex<BTreeMap<String, Arc<Terminal>>>,
    metrics: Arc<Metrics>,
    ends: CancellationToken,
    tasks: TaskTracker,
    /// Given back when the last process is gone.
    _owner: Owner,
}

impl Container {
    /// Makes a lab host; its engine does not serve yet. Its terminals end when `ends` says so, and are counted by `tasks`.
    pub async fn start(
        world: &Arc<World>,
        lab: &LabId,
        images: &Ready,
        seq: u64,
        ends: CancellationToken,
        tasks: TaskTracker,
    ) -> Result<Self, Refusal> {
        let owner = world.owner();
        let host = match world.is_machine() {
            true => LabHost::of_machine(world.zygote())?,
            false => {
                let wanted = spec::lab_host(&images.staged, owner.id()).map_err(|error| {
                    Refusal::new(Kind::Failed, format!("The lab's Spec is malformed: {error}."))
                })?;
                LabHost::start(world.zygote(), wanted).await?
            }
        };
        let host = Arc::new(host);
        let reader = reader(&host, world.is_machine())
            .map_err(|error| Refusal::new(Kind::Failed, format!("The lab cannot be observed: {error}.")))?;
        let metrics = Arc::clone(world.metrics());
        let means = Means {
            pristine: Arc::clone(&images.pristine),
            metrics: Arc::clone(&metrics),
            refusals: Arc::clone(world.refusals()),
            is_machine: world.is_machine(),
        };
        let observer = Observer::new(lab.clone(), Arc::clone(&host), reader, means, seq);
        Ok(Self { host, observer, terminals: Mutex::default(), metrics, ends, tasks, _owner: owner })
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
}

fn reader(host: &LabHost, is_machine: bool) -> io::Result<Reader> {
    let (procfs, maps) = (host.procfs().try_clone()?, Maps::of_self()?);
    let reader = match is_machine {
        true => {
            let groups = detached::control_groups().ok().and_then(Groups::new);
            Reader::of_machine(procfs, maps, host.init().pid(), groups)
        }
        false => Reader::new(procfs, maps),
    };
    reader.map_err(io::Error::other)
}
