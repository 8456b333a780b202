//! One lab as the tabs see it: the latest of each kind of news. Whoever is slow skips what has been replaced.

use crate::agent_client::AgentClient;
use crate::progress;
use crate::store::{Learner, Store};
use isolab_lessons::{Course, Lesson, judge};
use isolab_protocol::page::{LabView, ProgressView};
use isolab_protocol::{Lab, LabId, LabPhase, Observation, Verdict, VerdictState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, Notify, TryLockError, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// A lab that is looked at.
pub struct LiveLab {
    /// Its name at the agent.
    pub id: LabId,
    /// Whose it is.
    pub learner: Learner,
    /// The lesson that it is for.
    pub slug: String,
    view: watch::Sender<LabView>,
    observation: watch::Sender<Option<Arc<Observation>>>,
    verdicts: watch::Sender<Arc<Vec<Verdict>>>,
    progress: watch::Sender<ProgressView>,
    agent: Mutex<Option<AgentClient>>,
    /// Somebody asked for the lab: whoever follows it tries again now.
    pub(super) wanted: Notify,
    /// Held while the exercise or the lab is reset: one reset at a time.
    resetting: AsyncMutex<()>,
}

/// One tab's place in the news.
pub struct Subscription {
    /// The lab.
    pub view: watch::Receiver<LabView>,
    /// The state inside it; `None` while it is not known.
    pub observation: watch::Receiver<Option<Arc<Observation>>>,
    /// The verdicts on that state.
    pub verdicts: watch::Receiver<Arc<Vec<Verdict>>>,
    /// How far the learner is.
    pub progress: watch::Receiver<ProgressView>,
}

/// The way until terminals work.
pub struct Readiness<'a> {
    lab: &'a LiveLab,
    view: watch::Receiver<LabView>,
    told: Option<String>,
}

/// One step on that way.
pub enum Step {
    /// Not yet; a sentence that says what is going on.
    Wait(String),
    /// Terminals work; the agent to ask for them.
    Ready(AgentClient),
    /// The lab is not there and is not coming by itself; a sentence that says why.
    No(String),
}

impl Readiness<'_> {
    /// The next step that is news.
    pub async fn next(&mut self) -> Step {
        loop {
            let now = self.view.borrow_and_update().clone();
            match (&now.lab, self.lab.agent()) {
                (Some(Lab { state: LabPhase::Ready, .. }), Some(agent)) => return Step::Ready(agent),
                _ if !now.trying => {
                    return Step::No(now.notice.unwrap_or_else(|| "There is no lab.".to_owned()));
                }
                _ => {}
            }
            let step = now.lab.and_then(|lab| lab.steps.last().map(|step| step.what.clone())).or(now.notice);
            if let Some(step) = step.filter(|step| self.told.as_ref() != Some(step)) {
                self.told = Some(step.clone());
                return Step::Wait(step);
            }
            if self.view.changed().await.is_err() {
                return Step::No("The server is ending.".to_owned());
            }
        }
    }

    /// What the last step said was out of date: the agent has just ended, or the lab. Waits for newer news, which
    /// are on their way; `false` where none come in time.
    pub async fn outdated(&mut self, wait_max: Duration) -> bool {
        matches!(timeout(wait_max, self.view.changed()).await, Ok(Ok(())))
    }
}

impl LiveLab {
    pub(super) fn new(id: LabId, learner: Learner, slug: String, progress: ProgressView) -> Self {
        let opening = LabView { lab: None, notice: Some("Looking for your lab".into()), trying: true };
        Self {
            id,
            learner,
            slug,
            view: watch::Sender::new(opening),
            observation: watch::Sender::new(None),
            verdicts: watch::Sender::new(Arc::default()),
            progress: watch::Sender::new(progress),
            agent: Mutex::default(),
            wanted: Notify::new(),
            resetting: AsyncMutex::default(),
        }
    }

    /// The latest of everything, and whatever comes.
    pub fn subscribe(&self) -> Subscription {
        Subscription {
            view: self.view.subscribe(),
            observation: self.observation.subscribe(),
            verdicts: self.verdicts.subscribe(),
            progress: self.progress.subscribe(),
        }
    }

    /// The lab as it is now.
    pub fn view(&self) -> LabView {
        self.view.borrow().clone()
    }

    /// Asks for the lab: where it is gone it is made anew. Waits a little for an answer that says more than that
    /// it is being looked for.
    pub async fn open(&self, wait_max: Duration) -> LabView {
        let mut view = self.view.subscribe();
        let over = |view: &LabView| match &view.lab {
            Some(lab) => matches!(lab.state, LabPhase::Ended { .. }),
            None => !view.trying,
        };
        if over(&view.borrow_and_update()) {
            self.wanted.notify_one();
            // The answer is what comes of trying.
            let _ = timeout(wait_max, view.changed()).await;
        }
        let told = view.wait_for(|view| !view.trying || view.lab.is_some());
        // When time runs out, the view of the moment is the answer, and events tell the rest.
        let _ = timeout(wait_max, told).await;
        self.view()
    }

    /// The way until terminals work.
    pub fn readiness(&self) -> Readiness<'_> {
        Readiness { lab: self, view: self.view.subscribe(), told: None }
    }

    /// The right to reset; an error while somebody else is at it.
    pub fn begin_reset(&self) -> Result<AsyncMutexGuard<'_, ()>, TryLockError> {
        self.resetting.try_lock()
    }

    /// The agent that has the lab, as far as is known.
    pub fn agent(&self) -> Option<AgentClient> {
        self.agent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_agent(&self, agent: Option<AgentClient>) {
        *self.agent.lock().unwrap_or_else(PoisonError::into_inner) = agent;
    }

    pub(super) fn tell(&self, view: LabView) {
        replace(&self.view, view);
    }

    /// What is known of the inside no longer holds.
    pub(super) fn forget_state(&self) {
        self.observation.send_replace(None);
        self.verdicts.send_replace(Arc::default());
    }

    /// Resolves when nobody looks: no tab, and no terminal.
    pub(super) async fn deserted(&self) {
        self.view.closed().await;
    }

    pub(super) fn unseen(&self) -> bool {
        self.view.receiver_count() == 0
    }

    /// Judges an observation, stores first passes, tells the tabs, and returns the verdicts.
    pub async fn judge(
        &self,
        observation: Observation,
        course: &Arc<Course>,
        store: &Store,
    ) -> Result<Arc<Vec<Verdict>>, sqlx::Error> {
        let observation = Arc::new(observation);
        let (slug, seen, read) = (self.slug.clone(), observation.clone(), course.clone());
        // Judging a fork bomb's observation takes milliseconds, in which nobody's keystroke should wait.
        let judged = spawn_blocking(move || read.lesson(&slug).map(|lesson| judge(&lesson.checks, &seen)));
        let verdicts = Arc::new(judged.await.ok().flatten().unwrap_or_default());
        // A state that was read before the latest one, for a check that was asked for, must not replace it.
        let newer = self.observation.send_if_modified(|old| {
            let newer = old.as_ref().is_none_or(|old| observation.taken_at_ms >= old.taken_at_ms);
            if newer {
                *old = Some(observation.clone());
            }
            newer
        });
        if newer {
            replace(&self.verdicts, verdicts.clone());
        }
        self.store_passes(&verdicts, course, store).await?;
        Ok(verdicts)
    }

    async fn store_passes(
        &self,
        verdicts: &[Verdict],
        course: &Course,
        store: &Store,
    ) -> Result<(), sqlx::Error> {
        let known = |check: &str| self.progress.borrow().passed.iter().any(|pass| pass.check == check);
        let mut news = false;
        for verdict in verdicts.iter().filter(|v| v.state == VerdictState::Passed && !known(&v.check)) {
            news |= store.pass(self.learner, &self.slug, verdict).await?;
        }
        match course.lesson(&self.slug) {
            Some(lesson) if news => self.refresh(store, lesson).await.map(drop),
            _ => Ok(()),
        }
    }

    /// Reads the progress anew, after something was stored.
    pub async fn refresh(&self, store: &Store, lesson: &Lesson) -> Result<ProgressView, sqlx::Error> {
        let read = progress::read(store, self.learner, lesson).await?;
        replace(&self.progress, read.clone());
        Ok(read)
    }
}

/// Tells the news, unless it is none.
fn replace<T: PartialEq>(told: &watch::Sender<T>, news: T) {
    told.send_if_modified(|old| {
        let changed = *old != news;
        *old = news;
        changed
    });
}
