//! A fresh lab for one case, and what a case asks of it.

use crate::agent_client::{AgentClient, AgentError};
use isolab_lessons::Lesson;
use isolab_protocol::{
    ExecRequest, ExecResult, LabId, LabPhase, LabSpec, Observation, Tier, Verdict, VerdictState,
};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How often the state is looked at while a case waits for it.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The longest that a script of a lesson may run, in seconds. None does more than start a few containers.
const SCRIPT_SECONDS_MAX: u32 = 60;

/// The longest that a reset of the whole lab may take.
const RESET_WAIT_MAX: Duration = Duration::from_secs(30);

/// A lab with its lesson. [`TestLab::end`] ends it; where that is not reached, the private agent's end does.
pub struct TestLab<'a> {
    agent: &'a AgentClient,
    lesson: &'a Lesson,
    /// Its name with the agent.
    pub id: LabId,
}

/// Why a case failed: a sentence, perhaps of several lines.
pub type Failure = String;

impl<'a> TestLab<'a> {
    /// Opens a lab in this tier, with the lesson's setup.
    pub async fn open(agent: &'a AgentClient, lesson: &'a Lesson, tier: Tier) -> Result<Self, Failure> {
        let spec = LabSpec { tier: Some(tier), setup: lesson.setup.clone(), ..LabSpec::default() };
        let lab = agent
            .open_ready(&spec, |_| ())
            .await
            .map_err(|error| failed("no lab could be opened", &error))?;
        Ok(Self { agent, lesson, id: lab.id })
    }

    /// Ends the lab.
    pub async fn end(self) -> Result<(), Failure> {
        self.agent.end(&self.id).await.map_err(|error| failed("the lab could not be ended", &error))
    }

    /// Runs a script as a learner would: in a login shell of the lab host's root.
    pub async fn run(&self, script: &str) -> Result<(), Failure> {
        let result = self.exec(script).await?;
        if result.status == 0 {
            return Ok(());
        }
        let said = [result.stdout.trim(), result.stderr.trim()].join("\n");
        Err(format!("the script ended with status {}: {}", result.status, said.trim()))
    }

    async fn exec(&self, script: &str) -> Result<ExecResult, Failure> {
        let argv = ["bash", "-l", "-c", script].map(str::to_owned).into();
        let request = ExecRequest { argv, stdin: None, seconds_max: SCRIPT_SECONDS_MAX };
        self.agent
            .exec(&self.id, &request)
            .await
            .map_err(|error| failed("the script could not be run", &error))
    }

    /// Makes the whole lab anew and waits until it is ready.
    pub async fn reset(&self) -> Result<(), Failure> {
        let told = |error: &AgentError| failed("the lab could not be reset", error);
        let before = self.agent.reset(&self.id, None).await.map_err(|error| told(&error))?;
        let deadline = Instant::now() + RESET_WAIT_MAX;
        while Instant::now() < deadline {
            let lab = self.agent.lab(&self.id).await.map_err(|error| told(&error))?;
            match lab.state {
                LabPhase::Ready if lab.generation >= before.generation => return Ok(()),
                LabPhase::Ended { why } => {
                    return Err(format!("the lab ended instead of being reset: {why}"));
                }
                _ => sleep(LOOK_EVERY).await,
            }
        }
        Err(format!("the lab was not ready {RESET_WAIT_MAX:?} after a reset"))
    }

    /// What the kernel says of the lab now.
    pub async fn look(&self) -> Result<Observation, Failure> {
        self.agent
            .observation(&self.id)
            .await
            .map_err(|error| failed("the lab could not be observed", &error))
    }

    /// Looks at the lab for at least `hold` and at most `wait`, until `done` says that it has seen enough.
    /// A check that breaks ends it at once.
    pub async fn watch<T>(
        &self,
        (hold, wait): (Duration, Duration),
        mut done: impl FnMut(&[Verdict]) -> Result<Option<T>, Failure>,
    ) -> Result<Option<T>, Failure> {
        let started = Instant::now();
        loop {
            let verdicts = self.lesson.judge(&self.look().await?);
            if let Some(broken) = verdicts.iter().find(|verdict| verdict.state == VerdictState::Broken) {
                return Err(format!("the check {} broke: {}", broken.check, broken.message));
            }
            let seen = done(&verdicts)?;
            if (seen.is_some() && started.elapsed() >= hold) || started.elapsed() >= wait {
                return Ok(seen);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// The agent, for a terminal.
    pub fn agent(&self) -> &'a AgentClient {
        self.agent
    }
}

fn failed(what: &str, error: &AgentError) -> Failure {
    format!("{what}: {error}")
}
