//! Following one lab at its agent: find it or open it, pass its news on, and begin again when it is lost.

use super::{LiveLab, LiveLabs};
use crate::agent_client::{AgentClient, AgentError, LabEvent};
use isolab_protocol::page::LabView;
use isolab_protocol::{Lab, LabPhase, LabSpec};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// How long a lab is followed after the last tab has gone: a reload, or a walk to another page and back.
const DESERTED_FOR: Duration = Duration::from_secs(30);

/// How long nobody has to be attached before the agent may end a lab: a working day away from it. A resting lab costs
/// a few MiB of memory and no time.
const IDLE_SECONDS_MAX: u32 = 8 * 3600;

/// A lab that ends this soon after it was opened, or before it was ready, would do so again: it is not opened again by
/// itself.
const SOON: Duration = Duration::from_secs(10);

/// How long the page shows that a lab is a new one: long enough to be read, whatever else happens.
const NOTICE_STAYS: Duration = Duration::from_secs(20);

/// Waits between attempts; the last one repeats.
const RETRIES: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(3)];

/// Why following a lab came to an end.
enum Lost {
    /// Try again by itself; the page says why meanwhile.
    Again(String),
    /// Somebody has to do something first; the page says what.
    Stuck(String),
}

/// Follows one lab.
pub(super) struct Follower {
    labs: Arc<LiveLabs>,
    lab: Arc<LiveLab>,
    /// Whether the learner has had this lab before.
    known: bool,
    /// What the learner should know of the present lab, and until when.
    notice: Option<(String, Instant)>,
    /// Why the lab is not in a cheaper tier, as far as it is known.
    why_tier: String,
    opened_at: Option<Instant>,
    /// Whether the present lab has been ready.
    was_ready: bool,
    attempts: usize,
}

impl Follower {
    pub fn new(labs: Arc<LiveLabs>, lab: Arc<LiveLab>, known: bool) -> Self {
        Self {
            labs,
            lab,
            known,
            notice: None,
            why_tier: String::new(),
            opened_at: None,
            was_ready: false,
            attempts: 0,
        }
    }

    /// Follows until nobody looks any more.
    pub async fn run(mut self) {
        let (labs, lab) = (self.labs.clone(), self.lab.clone());
        loop {
            tokio::select! {
                () = self.follow() => {}
                () = deserted(&lab) => {
                    if labs.forget(&lab).await {
                        return;
                    }
                }
            }
        }
    }

    async fn follow(&mut self) {
        loop {
            let Err(lost) = self.attend().await;
            self.lab.forget_state();
            match lost {
                Lost::Again(why) => {
                    tracing::debug!(lab = %self.lab.id, "following again: {why}");
                    self.say(&why, true);
                    sleep(RETRIES[self.attempts.min(RETRIES.len() - 1)]).await;
                    self.attempts += 1;
                }
                Lost::Stuck(why) => {
                    tracing::warn!(lab = %self.lab.id, "no lab: {why}");
                    self.lab.set_agent(None);
                    self.say(&why, false);
                    self.lab.wanted.notified().await;
                    self.opened_at = None;
                    self.say("Looking for your lab", true);
                }
            }
        }
    }

    /// Finds or opens the lab and passes its news on, until it is lost.
    async fn attend(&mut self) -> Result<std::convert::Infallible, Lost> {
        let lab = self.lab.clone();
        let words = |what: &str| lab.tell(LabView { lab: None, notice: Some(what.to_owned()), trying: true });
        let agent = self.labs.agents.get(words).await.map_err(no_agent)?;
        self.lab.set_agent(Some(agent.clone()));
        let found = self.find(&agent).await?;
        self.news(found)?;
        let mut watch = agent.watch(&self.lab.id).await.map_err(no_lab)?;
        loop {
            let known_until = self.notice.as_ref().map_or_else(Instant::now, |(_, until)| *until);
            tokio::select! {
                news = watch.next() => self.hear(news).await?,
                () = sleep_until(known_until), if self.notice.is_some() => {
                    self.notice = None;
                    lab.tell(LabView { notice: None, ..lab.view() });
                }
            }
        }
    }

    async fn hear(&mut self, news: Result<Option<LabEvent>, AgentError>) -> Result<(), Lost> {
        let lost = || Lost::Again("The agent has stopped talking. Looking for your lab".to_owned());
        match news {
            Ok(Some(LabEvent::Lab(lab))) => self.news(lab),
            Ok(Some(LabEvent::Observation(seen))) => {
                if let Err(error) = self.lab.judge(*seen, &self.labs.course, &self.labs.store).await {
                    tracing::error!("the database: {error}");
                }
                Ok(())
            }
            Ok(None) => Err(lost()),
            Err(error) => {
                tracing::warn!("the agent: {error}");
                Err(lost())
            }
        }
    }

    /// The lab as the agent has it, or a new one.
    async fn find(&mut self, agent: &AgentClient) -> Result<Lab, Lost> {
        let why = match agent.lab(&self.lab.id).await {
            Ok(Lab { state: LabPhase::Ended { why }, .. }) => {
                // Its name is needed again. Where it is gone already, all the better.
                let _ = agent.end(&self.lab.id).await;
                why
            }
            Ok(lab) => {
                self.known = true;
                return Ok(lab);
            }
            Err(error) if error.is_not_found() => {
                "nobody had used it for long, or its agent was ended".to_owned()
            }
            Err(error) => return Err(no_agent(error)),
        };
        if self.known {
            let why = why.trim_end_matches('.');
            let notice =
                format!("This is a new lab; the one before has ended: {why}. What you passed stays passed.");
            self.notice = Some((notice, Instant::now() + NOTICE_STAYS));
        }
        self.open(agent).await
    }

    async fn open(&mut self, agent: &AgentClient) -> Result<Lab, Lost> {
        let lesson = self.labs.course.lesson(&self.lab.slug);
        let tier = match lesson {
            Some(lesson) => {
                let route = self.labs.machine.route(agent, lesson).await.map_err(no_agent)?;
                let route = route.map_err(Lost::Stuck)?;
                self.why_tier = route.why;
                Some(route.tier)
            }
            None => None,
        };
        let spec = LabSpec {
            id: Some(self.lab.id.clone()),
            tier,
            setup: lesson.and_then(|lesson| lesson.setup.clone()),
            idle_seconds_max: Some(IDLE_SECONDS_MAX),
        };
        let opened = match agent.open(&spec).await {
            Err(error) if error.is_conflict() => agent.lab(&self.lab.id).await,
            opened => opened,
        };
        let opened = opened.map_err(no_lab)?;
        self.known = true;
        self.opened_at = Some(Instant::now());
        self.was_ready = false;
        Ok(opened)
    }

    /// Passes the lab on, unless it has ended.
    fn news(&mut self, mut lab: Lab) -> Result<(), Lost> {
        match &lab.state {
            LabPhase::Ended { why }
                if !self.was_ready || self.opened_at.is_some_and(|at| at.elapsed() < SOON) =>
            {
                Err(Lost::Stuck(format!("Your lab could not be opened: {why}")))
            }
            LabPhase::Ended { why } => {
                let why = why.trim_end_matches('.');
                Err(Lost::Again(format!("Your lab has ended: {why}. It is made anew")))
            }
            phase => {
                if *phase == LabPhase::Ready {
                    self.attempts = 0;
                    self.was_ready = true;
                }
                let before = self.lab.view().lab.map(|before| before.generation);
                if before.is_some_and(|before| before != lab.generation) {
                    self.lab.forget_state();
                    self.notice = None;
                }
                if !self.why_tier.is_empty() {
                    lab.tier_why = format!("{} {}", self.why_tier, lab.tier_why);
                }
                let own = self.notice.as_ref().map(|(notice, _)| notice.clone());
                let notice = lab.notice.clone().or(own);
                self.lab.tell(LabView { lab: Some(lab), notice, trying: true });
                Ok(())
            }
        }
    }

    fn say(&self, notice: &str, trying: bool) {
        self.lab.tell(LabView { lab: None, notice: Some(notice.to_owned()), trying });
    }
}

/// Resolves when nobody has looked for a while.
async fn deserted(lab: &LiveLab) {
    loop {
        lab.deserted().await;
        sleep(DESERTED_FOR).await;
        if lab.unseen() {
            return;
        }
    }
}

fn no_agent(error: AgentError) -> Lost {
    let words = sentence(&error);
    match error {
        AgentError::Start { .. } => Lost::Stuck(words),
        other => {
            tracing::warn!("the agent: {other}");
            Lost::Again("The agent, which runs the labs, does not answer. Trying again".to_owned())
        }
    }
}

fn no_lab(error: AgentError) -> Lost {
    match error {
        _ if error.is_not_found() => Lost::Again("Your lab has ended. It is made anew".to_owned()),
        AgentError::Refused { .. } => Lost::Stuck(sentence(&error)),
        other => no_agent(other),
    }
}

/// What happened and what to do, for the page.
fn sentence(error: &AgentError) -> String {
    let words = match error {
        // The agent's log is for the terminal in which the server runs.
        AgentError::Start { .. } => {
            tracing::error!("{error}");
            "The agent, which runs the labs, could not be started.".to_owned()
        }
        other => other.to_string(),
    };
    match error.mend() {
        Some(mend) => format!("{words} {mend}"),
        None => words,
    }
}
