//! Labs that pages are looking at: each is followed once at the agent, judged, and told to every tab.
//!
//! [`LiveLabs`] finds or begins one; [`LiveLab`] is what a tab reads; `follow` keeps it up to date. The lab itself
//! belongs to the agent: it goes on when nobody follows it, and is found again after a restart.

mod follow;
mod lab;
mod machine;

pub use lab::{LiveLab, Readiness, Step, Subscription};

use crate::agent_client::{AgentClient, AgentError, AgentProcess};
use crate::home::Home;
use crate::store::{Learner, Store};
use isolab_lessons::{Course, Lesson};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Where labs come from.
#[derive(Clone, Debug)]
pub enum Agents {
    /// The agent of a home, started where none answers.
    Of(Home),
    /// An agent that somebody else has started, and will end.
    At(AgentClient),
}

impl Agents {
    /// An agent that answers. `tell` hears what is being done.
    async fn get(&self, tell: impl FnMut(&str)) -> Result<AgentClient, AgentError> {
        match self {
            Self::Of(home) => AgentProcess::shared(home, tell).await,
            Self::At(client) => client.healthy().await.map(|()| client.clone()),
        }
    }
}

/// How often a lab that nobody uses is held: by the map, and twice by its follower.
const OWN_HANDLES: usize = 3;

/// The labs that are looked at.
pub struct LiveLabs {
    store: Store,
    course: Arc<Course>,
    agents: Agents,
    machine: machine::Machine,
    tasks: TaskTracker,
    stop: CancellationToken,
    labs: Mutex<HashMap<(Learner, String), Arc<LiveLab>>>,
}

impl LiveLabs {
    /// No lab yet. Tasks are tracked by `tasks` and end when `stop` is cancelled.
    pub fn new(
        store: Store,
        course: Arc<Course>,
        agents: Agents,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            course,
            agents,
            machine: Default::default(),
            tasks,
            stop,
            labs: Mutex::default(),
        })
    }

    /// The live lab of a learner for a lesson; following it begins where nobody did.
    pub async fn get(
        self: &Arc<Self>,
        learner: Learner,
        lesson: &Lesson,
    ) -> Result<Arc<LiveLab>, sqlx::Error> {
        // Held while the store is read, so that of two tabs only the first begins.
        let mut labs = self.labs.lock().await;
        let key = (learner, lesson.slug.clone());
        if let Some(lab) = labs.get(&key) {
            return Ok(lab.clone());
        }
        let (id, known) = self.store.lab(learner, &lesson.slug).await?;
        let progress = crate::progress::read(&self.store, learner, lesson).await?;
        let lab = Arc::new(LiveLab::new(id, learner, lesson.slug.clone(), progress));
        let follower = follow::Follower::new(self.clone(), lab.clone(), known);
        let stop = self.stop.clone();
        self.tasks.spawn(async move { stop.run_until_cancelled(follower.run()).await });
        labs.insert(key, lab.clone());
        Ok(lab)
    }

    /// The live lab of a learner for a lesson, where somebody looks at it.
    pub async fn seen(&self, learner: Learner, lesson: &Lesson) -> Option<Arc<LiveLab>> {
        self.labs.lock().await.get(&(learner, lesson.slug.clone())).cloned()
    }

    /// Forgets a lab that nobody looks at; `false` where somebody does after all.
    async fn forget(&self, lab: &Arc<LiveLab>) -> bool {
        let mut labs = self.labs.lock().await;
        // Whoever was just given the lab, under this lock, will look at it in a moment.
        let unseen = lab.unseen() && Arc::strong_count(lab) <= OWN_HANDLES;
        if unseen {
            labs.remove(&(lab.learner, lab.slug.clone()));
        }
        unseen
    }
}
