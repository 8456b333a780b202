//! The questions put to a lesson. Each is answered in a fresh lab of its own, so that none rests on another.

use super::lab::{Failure, TestLab};
use super::page;
use super::report::{Outcome, Result as CaseResult};
use crate::agent_client::AgentClient;
use crate::routing;
use isolab_lessons::{Exercise, Lesson, Script};
use isolab_protocol::{MachineCapabilities, Tier, TierOffer, Verdict, VerdictState};
use std::time::{Duration, Instant};

/// How long a state must stay unsolved: longer than anything takes that a script has started.
const HOLD: Duration = Duration::from_secs(1);

/// How long a state may take to become what it should be.
const SETTLE: Duration = Duration::from_secs(8);

/// One question to one lesson.
#[derive(Clone, Copy)]
pub struct Case<'l> {
    lesson: &'l Lesson,
    kind: Kind<'l>,
}

#[derive(Clone, Copy)]
enum Kind<'l> {
    /// After the setup alone, every check is open.
    Unsolved,
    /// The commands of the page print what the page shows.
    Page,
    /// After this mistake, or this cheat, the exercise is not solved, and the verdict says what it should.
    Refused(&'l Exercise, &'l Script),
    /// After the solution every check of the exercise passes, and either reset takes that back.
    Solved(&'l Exercise),
}

impl<'l> Case<'l> {
    /// Every case of a lesson.
    pub fn all(lesson: &'l Lesson) -> Vec<Self> {
        let mut kinds = vec![Kind::Unsolved, Kind::Page];
        for exercise in &lesson.exercises {
            let scripts = exercise.wrong.iter().chain(&exercise.cheats);
            kinds.extend(scripts.map(|script| Kind::Refused(exercise, script)));
            kinds.push(Kind::Solved(exercise));
        }
        kinds.into_iter().map(|kind| Self { lesson, kind }).collect()
    }

    /// The tier that its lab runs in, whether or not this machine can open one.
    pub fn tier(&self, machine: &MachineCapabilities) -> Option<Tier> {
        let has_all = |offer: &&TierOffer| self.lesson.needs.iter().all(|need| offer.gives.contains(need));
        machine.tiers.iter().find(has_all).map(|offer| offer.tier)
    }

    /// Answers the question; skips it where the machine lacks what the lesson needs.
    pub async fn prove(self, agent: &AgentClient, machine: &MachineCapabilities) -> Outcome {
        let started = Instant::now();
        let result = match routing::route(&self.lesson.needs, machine) {
            Err(why) => CaseResult::Skipped(why),
            Ok(route) => match self.in_lab(agent, route.tier).await {
                Ok(()) => CaseResult::Passed,
                Err(failure) => CaseResult::Failed(failure),
            },
        };
        Outcome { lesson: self.lesson.slug.clone(), case: self.name(), result, took: started.elapsed() }
    }

    /// What the report calls it.
    pub fn name(&self) -> String {
        match self.kind {
            Kind::Unsolved => "unsolved".to_owned(),
            Kind::Page => "the commands of the page".to_owned(),
            Kind::Refused(_, script) => script.path[self.lesson.slug.len() + 1..].to_owned(),
            Kind::Solved(exercise) => exercise.solution.path[self.lesson.slug.len() + 1..].to_owned(),
        }
    }

    async fn in_lab(&self, agent: &AgentClient, tier: Tier) -> Result<(), Failure> {
        let lab = TestLab::open(agent, self.lesson, tier).await?;
        match self.kind {
            Kind::Unsolved => self.unsolved(&lab, None).await?,
            Kind::Page => page::prove(self.lesson, &lab).await?,
            Kind::Refused(exercise, script) => self.refused(&lab, exercise, script).await?,
            Kind::Solved(exercise) => self.solved(&lab, exercise).await?,
        }
        lab.end().await
    }

    /// Every check (of one exercise, or of all) is open, and stays so.
    async fn unsolved(&self, lab: &TestLab<'_>, exercise: Option<&Exercise>) -> Result<(), Failure> {
        let concerns = |verdict: &Verdict| exercise.is_none_or(|exercise| self.belongs(exercise, verdict));
        let passed = |verdicts: &[Verdict]| -> Vec<String> {
            let passed = verdicts.iter().filter(|v| concerns(v) && v.state == VerdictState::Passed);
            passed.map(|verdict| format!("{} passes: {}", verdict.check, verdict.message)).collect()
        };
        // A reset has ended what ran; the kernel may take a moment over it. Then, nothing may come back.
        let mut last = vec![];
        let open = lab.watch((Duration::ZERO, SETTLE), |verdicts| {
            last = passed(verdicts);
            Ok(last.is_empty().then_some(()))
        });
        open.await?.ok_or_else(|| last.join("\n"))?;
        lab.watch((HOLD, HOLD), |verdicts| match passed(verdicts).first() {
            Some(message) => Err(message.clone()),
            None => Ok(Some(())),
        })
        .await
        .map(drop)
    }

    async fn refused(&self, lab: &TestLab<'_>, exercise: &Exercise, script: &Script) -> Result<(), Failure> {
        lab.run(&script.text).await?;
        let mut said: Vec<String> = vec![];
        let seen = lab.watch((HOLD, SETTLE), |verdicts| {
            let open: Vec<&Verdict> =
                self.of(exercise, verdicts).filter(|v| v.state == VerdictState::Open).collect();
            if open.is_empty() {
                return Err("the exercise counts as solved".to_owned());
            }
            said = open.iter().map(|verdict| verdict.message.clone()).collect();
            Ok(said.iter().any(|message| script.expects(message)).then_some(()))
        });
        seen.await?.ok_or_else(|| {
            let wanted: Vec<&str> = script.says().collect();
            format!(
                "the verdict should say: {}\n    it says: {}",
                wanted.join("\n    or: "),
                said.join("\n    and: ")
            )
        })
    }

    async fn solved(&self, lab: &TestLab<'_>, exercise: &Exercise) -> Result<(), Failure> {
        self.solve(lab, exercise).await?;
        lab.run(&self.lesson.reset_script())
            .await
            .map_err(|why| format!("the reset of the exercise failed: {why}"))?;
        let after = |what: &str, why: String| format!("after a reset of {what}, {why}");
        self.unsolved(lab, None).await.map_err(|why| after("the exercise", why))?;
        self.solve(lab, exercise).await.map_err(|why| after("the exercise", why))?;
        lab.reset().await?;
        self.unsolved(lab, None).await.map_err(|why| after("the lab", why))
    }

    async fn solve(&self, lab: &TestLab<'_>, exercise: &Exercise) -> Result<(), Failure> {
        lab.run(&exercise.solution.text).await?;
        let mut open: Vec<String> = vec![];
        let solved = lab.watch((Duration::ZERO, SETTLE), |verdicts| {
            let unsolved = self.of(exercise, verdicts).filter(|v| v.state != VerdictState::Passed);
            open = unsolved
                .map(|verdict| format!("{} stays open: {}", verdict.check, verdict.message))
                .collect();
            if let Some(bare) = self.of(exercise, verdicts).find(|v| open.is_empty() && v.evidence.is_empty())
            {
                return Err(format!("{} passes without evidence", bare.check));
            }
            Ok(open.is_empty().then_some(()))
        });
        solved.await?.ok_or_else(|| open.join("\n"))
    }

    fn of<'v>(&self, exercise: &Exercise, verdicts: &'v [Verdict]) -> impl Iterator<Item = &'v Verdict> {
        verdicts.iter().filter(move |verdict| self.belongs(exercise, verdict))
    }

    fn belongs(&self, exercise: &Exercise, verdict: &Verdict) -> bool {
        self.lesson.check(&verdict.check).is_some_and(|check| check.exercise == exercise.id)
    }
}
