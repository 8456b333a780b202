//! One lab host of a lab, with its terminals and its observer: what a reset throws away and makes anew. In either tier: whoever
//! asks a generation does not see where it is.

mod container;

use crate::exec;
use crate::refusal::{Kind, Refusal};
use crate::terminal::Terminal;
use crate::vm::guest::Distant;
use crate::vm::machine::Machine;
use crate::vm::templates::{Template, Templates};
use crate::world::{Ready, World};
use container::Container;
pub use container::TERMINALS_MAX;
use isolab_protocol::observation::Observation;
use isolab_protocol::{ExecRequest, ExecResult, LabId};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The most commands that run at once in one lab for the API: setup, checks and a test.
const EXECS_MAX: usize = 4;

/// How long terminals and their clients may take to end.
const TASKS_END_WITHIN: Duration = Duration::from_secs(5);

/// A lab host and what belongs to it.
#[derive(Debug)]
pub struct Generation {
    place: Place,
    execs: Semaphore,
    /// Clients of terminals inside a machine.
    relayed: AtomicUsize,
    ends: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug)]
enum Place {
    Container(Box<Container>),
    Machine(Box<Machine>),
}

/// A terminal, wherever it is.
#[derive(Debug)]
pub enum Line {
    /// Here.
    Own(Arc<Terminal>),
    /// In a machine, which this leads to.
    Distant(Box<Distant>),
}

/// Why a lab host cannot go on.
#[derive(Debug)]
pub enum Gone {
    /// A lab in a container is over.
    Ended(String),
    /// A machine died, which is something that learners do to machines: another takes its place.
    Died(String),
}

impl Generation {
    /// Makes a lab host in a container; its engine does not serve yet.
    pub async fn in_container(
        world: &Arc<World>,
        lab: &LabId,
        images: &Ready,
        seq: u64,
    ) -> Result<Arc<Self>, Refusal> {
        let (ends, tasks) = (CancellationToken::new(), TaskTracker::new());
        let container = Container::start(world, lab, images, seq, ends.clone(), tasks.clone()).await?;
        Ok(Self::at(Place::Container(Box::new(container)), ends, tasks))
    }

    /// Restores a machine, whose engine serves already.
    pub async fn in_machine(
        templates: &Templates,
        template: &Template,
        lab: &LabId,
        seq: u64,
    ) -> Result<Arc<Self>, Refusal> {
        let machine = Machine::start(templates, template, lab.clone(), seq).await?;
        Ok(Self::at(Place::Machine(Box::new(machine)), CancellationToken::new(), TaskTracker::new()))
    }

    fn at(place: Place, ends: CancellationToken, tasks: TaskTracker) -> Arc<Self> {
        let execs = Semaphore::new(EXECS_MAX);
        Arc::new(Self { place, execs, relayed: AtomicUsize::new(0), ends, tasks })
    }

    /// Waits until its engine serves. Errors: it never will.
    pub async fn ready(&self) -> Result<(), Refusal> {
        match &self.place {
            Place::Container(container) => container.host().ready().await,
            Place::Machine(_) => Ok(()),
        }
    }

    /// Runs a command as the lab host's root.
    pub async fn exec(&self, request: ExecRequest) -> Result<ExecResult, Refusal> {
        let busy = |_| Refusal::new(Kind::Limit, format!("{EXECS_MAX} commands run in this lab already."));
        let _permit = self.execs.try_acquire().map_err(busy)?;
        match &self.place {
            Place::Container(container) => exec::run(container.host(), request).await,
            Place::Machine(machine) => machine.exec(&request).await,
        }
    }

    /// The terminal of this name; a new one has no shell yet.
    pub async fn terminal(&self, name: &str) -> Result<Line, Refusal> {
        match &self.place {
            Place::Container(container) => container.terminal(name).map(Line::Own),
            Place::Machine(machine) => machine.terminal(name).await.map(|line| Line::Distant(Box::new(line))),
        }
    }

    /// A client of a distant terminal counts while the future runs.
    pub async fn relaying(&self, relay: impl Future<Output = ()>) {
        self.relayed.fetch_add(1, Relaxed);
        relay.await;
        self.relayed.fetch_sub(1, Relaxed);
    }

    /// Looks at the lab, now.
    pub async fn look(&self) -> Result<Arc<Observation>, Refusal> {
        match &self.place {
            Place::Container(container) => container.observer().look().await,
            Place::Machine(machine) => machine.look().await,
        }
    }

    /// Reads the lab once, so that the first look at it is as quick as the next.
    pub async fn prime(&self) {
        match &self.place {
            Place::Container(container) => container.observer().prime().await,
            Place::Machine(_) => {}
        }
    }

    /// Follows the lab: the receiver sees each change. While any receiver lives, the lab is looked at.
    pub fn follow(&self) -> watch::Receiver<Option<Arc<Observation>>> {
        match &self.place {
            Place::Container(container) => container.observer().follow(),
            Place::Machine(machine) => machine.follow(),
        }
    }

    /// What executes it, in a sentence, where that is not this machine's kernel.
    pub fn accelerated(&self) -> Option<&str> {
        match &self.place {
            Place::Container(_) => None,
            Place::Machine(machine) => Some(machine.accelerated()),
        }
    }

    /// How many changes were observed so far.
    pub async fn seq(&self) -> u64 {
        match &self.place {
            Place::Container(container) => container.observer().seq().await,
            Place::Machine(machine) => machine.seq().await,
        }
    }

    /// The memory that it adds to the machine, proportional set size in KiB; `None` where the kernel does not tell.
    pub async fn memory_kib(&self) -> Option<u64> {
        match &self.place {
            Place::Container(container) => container.observer().memory_kib().await,
            Place::Machine(machine) => machine.memory_kib().await,
        }
    }

    /// Looks at the lab while somebody follows, until its host cannot go on.
    pub async fn gone(&self) -> Gone {
        match &self.place {
            Place::Container(container) => tokio::select! {
                status = container.host().init().exited() => {
                    Gone::Ended(format!("The lab host's engine ended with status {status}."))
                }
                () = container.observer().watch() => Gone::Ended("The lab could not be observed.".into()),
            },
            Place::Machine(machine) => Gone::Died(machine.died().await),
        }
    }

    /// How many terminals there are, and how many clients of them.
    pub fn counts(&self) -> (usize, usize) {
        match &self.place {
            Place::Container(container) => container.counts(),
            Place::Machine(_) => {
                let relayed = self.relayed.load(Relaxed);
                (relayed, relayed)
            }
        }
    }

    /// Cancelled when the lab host's time is over.
    pub fn ends(&self) -> &CancellationToken {
        &self.ends
    }

    /// Ends the lab host, its terminals and their clients.
    pub async fn end(&self) {
        self.ends.cancel();
        match &self.place {
            Place::Container(container) => container.host().end().await,
            Place::Machine(machine) => machine.end().await,
        }
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
