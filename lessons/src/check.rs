//! A check: what the kernel has to say for an exercise to be solved, and what is told when it does not.

use crate::expression::{self, Expression};
use crate::facts::Facts;
use crate::sentence::{Sentence, shown};
use cel::Context;
use isolab_protocol::{Evidence, Observation, Verdict, VerdictState};
use serde::Deserialize;
use std::sync::Arc;

/// A compiled check.
#[derive(Debug)]
pub struct Check {
    /// Its name, unique within its lesson.
    pub name: String,
    /// What it asks for, in a few words.
    pub title: String,
    /// The exercise that it belongs to.
    pub exercise: String,
    bound: Vec<(String, Expression)>,
    pass: Expression,
    passed: Sentence,
    evidence: Vec<Rule>,
    open: Vec<Reason>,
}

/// Where a piece of evidence comes from.
#[derive(Debug)]
struct Rule {
    wanted: Sentence,
    saw: Expression,
    place: Expression,
}

/// What to say while the check is open, and in which case.
#[derive(Debug)]
struct Reason {
    when: Option<Expression>,
    say: Sentence,
}

/// The body of a `check` block.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    title: String,
    #[serde(default, rename = "let")]
    bound: serde_yaml_ng::Mapping,
    pass: String,
    passed: String,
    evidence: Vec<WrittenRule>,
    open: Vec<WrittenReason>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    wanted: String,
    saw: String,
    place: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenReason {
    when: Option<String>,
    say: String,
}

/// A mistake in a check: the line within its block, counted from 0, and a sentence.
type Mistake = (usize, String);

impl Check {
    /// Reads and compiles the body of a `check` block. Errors: the first mistake.
    pub(crate) fn parse(name: String, exercise: String, body: &str) -> Result<Self, Mistake> {
        let written: Written = serde_yaml_ng::from_str(body)
            .map_err(|error| (error.location().map_or(0, |place| place.line() - 1), error.to_string()))?;
        let at = |part: &str| {
            let first = part.trim().lines().next().unwrap_or_default().to_owned();
            body.lines().position(|line| line.contains(&first)).unwrap_or(0)
        };
        let placed = |part: &str, mistake: String| (at(part), mistake);
        written.lint().map_err(|(part, mistake)| placed(&part, mistake))?;

        let (mut bound, mut names) = (vec![], vec![]);
        for (key, value) in &written.bound {
            let (Some(key), Some(source)) = (key.as_str(), value.as_str()) else {
                return Err(placed("let:", "let: holds names, each with an expression".to_owned()));
            };
            bound.push((key.to_owned(), Expression::compile(source, &names).map_err(|m| placed(source, m))?));
            names.push(key.to_owned());
        }
        let expression = |source: &str| Expression::compile(source, &names).map_err(|m| placed(source, m));
        let sentence = |source: &str| Sentence::parse(source, &names).map_err(|m| placed(source, m));
        let rule = |rule: &WrittenRule| {
            Ok(Rule {
                wanted: sentence(&rule.wanted)?,
                saw: expression(&rule.saw)?,
                place: expression(&rule.place)?,
            })
        };
        let reason = |reason: &WrittenReason| {
            Ok(Reason {
                when: reason.when.as_deref().map(expression).transpose()?,
                say: sentence(&reason.say)?,
            })
        };
        Ok(Self {
            pass: expression(&written.pass)?,
            passed: sentence(&written.passed)?,
            evidence: written.evidence.iter().map(rule).collect::<Result<_, Mistake>>()?,
            open: written.open.iter().map(reason).collect::<Result<_, Mistake>>()?,
            name,
            title: written.title,
            exercise,
            bound,
        })
    }

    fn judge(&self, scope: &Context<'_, 'static>) -> Verdict {
        let judged = self.try_judge(scope);
        let (state, message, evidence) = judged.unwrap_or_else(|why| {
            let message = format!("This check itself failed; that is not your doing. {}", shown(why));
            (VerdictState::Broken, message, vec![])
        });
        Verdict { check: self.name.clone(), state, message, evidence }
    }

    fn try_judge(
        &self,
        scope: &Context<'_, 'static>,
    ) -> Result<(VerdictState, String, Vec<Evidence>), String> {
        let mut scope = scope.new_inner_scope();
        for (name, expression) in &self.bound {
            let value = expression.value(&scope)?;
            scope.add_variable_as_val(name, value);
        }
        let evidence = self.evidence.iter().map(|rule| rule.gather(&scope));
        if self.pass.truth(&scope)? {
            // A pass rests on all of its evidence.
            let evidence = evidence.collect::<Result<_, _>>()?;
            return Ok((VerdictState::Passed, self.passed.say(&scope)?, evidence));
        }
        // While the check is open, there may be nothing yet to see: a container that does not run has no pid.
        let evidence = evidence.filter_map(Result::ok).collect();
        for reason in &self.open {
            let applies = reason.when.as_ref().map_or(Ok(true), |when| when.truth(&scope))?;
            if applies {
                return Ok((VerdictState::Open, reason.say.say(&scope)?, evidence));
            }
        }
        Err("no reason applies".to_owned())
    }
}

impl Rule {
    fn gather(&self, scope: &Context<'_, '_>) -> Result<Evidence, String> {
        Ok(Evidence {
            wanted: self.wanted.say(scope)?,
            saw: shown(self.saw.text(scope)?),
            place: shown(self.place.text(scope)?),
        })
    }
}

impl Written {
    fn lint(&self) -> Result<(), (String, String)> {
        let says = |part: &str, mistake: &str| Err((part.to_owned(), mistake.to_owned()));
        if self.title.trim().is_empty() || self.title.chars().count() > 40 {
            return says("title:", "a title has 1 to 40 characters: it stands in a narrow strip");
        }
        if self.evidence.is_empty() {
            return says("evidence:", "a verdict shows at least one piece of evidence");
        }
        match self.open.split_last() {
            Some((last, before)) if last.when.is_none() => {
                if let Some(early) = before.iter().find(|reason| reason.when.is_none()) {
                    return says(&early.say, "what follows a reason without `when` is never said");
                }
            }
            _ => {
                return says(
                    "open:",
                    "the last reason of `open` has no `when`: it is said when no other applies",
                );
            }
        }
        let sentences = self.open.iter().map(|reason| &reason.say).chain([&self.passed]);
        for sentence in sentences {
            if !sentence.trim_end().ends_with('.') || sentence.chars().any(crate::markdown::is_loud) {
                return says(sentence, "what a verdict says ends with a full stop, and is calm");
            }
        }
        Ok(())
    }
}

/// Judges `checks` against one observation, in order. Never panics, whatever the lab holds.
pub fn judge<'a>(checks: impl IntoIterator<Item = &'a Check>, observation: &Observation) -> Vec<Verdict> {
    let scope = expression::scope(&Arc::new(Facts::of(observation)));
    let mut verdicts: Vec<Verdict> = checks.into_iter().map(|check| check.judge(&scope)).collect();
    if observation.truncated {
        for verdict in verdicts.iter_mut().filter(|verdict| verdict.state == VerdictState::Open) {
            verdict.message.push_str(" The lab has more processes than can be looked at; end some of them.");
        }
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary;

    const BODY: &str = r#"
title: sleep is PID 1
let:
  box: container("pid-test")
pass: box != null && program(box.init, "sleep")
passed: PID {box.init.pid} is PID 1 inside.
evidence:
  - wanted: "NSpid: … 1"
    saw: nspid(box.init)
    place: proc(box.init, "status")
open:
  - when: box == null
    say: No container is called pid-test.
  - say: PID 1 of pid-test executes {box.init.executable.path}.
"#;

    fn parse(body: &str) -> Result<Check, Mistake> {
        Check::parse("sleep-is-pid-1".into(), "pid-one".into(), body)
    }

    fn verdict(observation: &Observation) -> Verdict {
        judge([&parse(BODY).unwrap()], observation).remove(0)
    }

    #[test]
    fn a_pass_has_its_evidence() {
        let verdict = verdict(&vocabulary::sample());
        assert_eq!(verdict.state, VerdictState::Passed);
        assert_eq!(verdict.message, "PID 38 is PID 1 inside.");
        let evidence = Evidence {
            wanted: "NSpid: … 1".into(),
            saw: "NSpid: 38 1".into(),
            place: "/proc/38/status".into(),
        };
        assert_eq!(verdict.evidence, [evidence]);
    }

    #[test]
    fn an_open_verdict_says_what_was_seen() {
        let mut observation = vocabulary::sample();
        observation.containers[0].init.executable.path = "/usr/bin/bash".into();
        observation.containers[0].processes[0].executable.path = "/usr/bin/bash".into();
        let seen = verdict(&observation);
        assert_eq!(seen.state, VerdictState::Open);
        assert_eq!(seen.message, "PID 1 of pid-test executes /usr/bin/bash.");
        assert_eq!(seen.evidence.len(), 1);

        observation.containers.clear();
        observation.truncated = true;
        let seen = verdict(&observation);
        assert!(
            seen.message.starts_with("No container is called pid-test. The lab has more"),
            "{}",
            seen.message
        );
        assert_eq!(seen.evidence, []);
    }

    #[test]
    fn mistakes_are_found_with_their_line() {
        for (from, to, line, part) in [
            ("program(box.init", "programme(box.init", 4, "no function programme"),
            ("say: No container is called pid-test.", "say: No container", 10, "full stop"),
            ("saw: nspid(box.init)", "saw: nspid(boks.init)", 7, "no variable boks"),
            ("  - say: PID 1", "  - when: \"true\"\n    say: PID 1", 9, "has no `when`"),
            ("title: sleep is PID 1", "titel: sleep", 0, "titel"),
            ("{box.init.pid}", "{box.init.pit}", 5, "no part of an observation has a field pit"),
        ] {
            let body = BODY.trim_start().replace(from, to);
            assert_ne!(body, BODY.trim_start());
            let (found, message) = parse(&body).unwrap_err();
            assert!(message.contains(part), "{from} -> {to}: {message}");
            assert!(found.abs_diff(line) <= 1, "{from} -> {to}: line {found}, {message}");
        }
    }
}
