//! How far a learner is in a lesson, as the page shows it: what the store holds, read with the lesson's own text.
//!
//! Which hint is open and which answer counts is decided here; whether a check passes is not.

use crate::store::{Learner, Result, Store, StoredAnswer};
use isolab_lessons::{Block, HintBlock, Lesson, Question, QuestionKind};
use isolab_protocol::page::{AnswerView, HintsView, PassView, ProgressView};
use std::collections::HashMap;

/// A solution opens when it is asked for this often, for those who have not passed.
const ASKS_FOR_A_SOLUTION: u32 = 2;

/// Reads the progress of a learner in a lesson.
pub async fn read(store: &Store, learner: Learner, lesson: &Lesson) -> Result<ProgressView> {
    let passes = store.passes(learner, &lesson.slug).await?;
    let answers = store.answers(learner, &lesson.slug).await?;
    let asks = store.asks(learner, &lesson.slug).await?;
    // Checks that the lesson no longer has are left out.
    let pass = |name: &str| passes.iter().find(|pass| pass.check == name).cloned();
    let passed: Vec<PassView> = lesson.checks.iter().filter_map(|check| pass(&check.name)).collect();
    let mut view = ProgressView {
        checks_total: u32::try_from(lesson.checks.len()).unwrap_or(u32::MAX),
        ..Default::default()
    };
    for block in &lesson.blocks {
        match block {
            Block::Question(question) => {
                view.answers.extend(answers.get(&question.id).and_then(|&given| answer(question, given)));
            }
            Block::Hints(hints) => view.hints.push(open(hints, false, &asks, false)),
            Block::Solution(solution) => {
                let solved = solved(lesson, &solution.exercise, &passed);
                view.hints.push(open(solution, true, &asks, solved));
            }
            _ => {}
        }
    }
    view.passed = passed;
    Ok(view)
}

/// How often it makes sense to ask for a block of hints or a solution.
pub fn asks_max(block: &Block) -> Option<(&str, u32)> {
    match block {
        Block::Hints(hints) => Some((&hints.id, u32::try_from(hints.hints_html.len()).unwrap_or(u32::MAX))),
        Block::Solution(solution) => Some((&solution.id, ASKS_FOR_A_SOLUTION)),
        _ => None,
    }
}

/// A stored answer, judged; nothing where the lesson no longer has that choice.
fn answer(question: &Question, given: StoredAnswer) -> Option<AnswerView> {
    let judged = question.answer(given.choice as usize)?;
    Some(AnswerView {
        block: question.id.clone(),
        choice: given.choice,
        correct: judged.correct,
        explanation_html: judged.explanation_html,
        tries: given.tries,
    })
}

/// Whether a question takes no further answer: a prediction is made once, and a quiz ends with the right answer.
pub fn is_settled(question: &Question, given: Option<StoredAnswer>) -> bool {
    let right = |given| answer(question, given).is_some_and(|answer| answer.correct);
    question.kind == QuestionKind::Predict || given.is_some_and(right)
}

/// Whether every check of an exercise has passed.
fn solved(lesson: &Lesson, exercise: &str, passed: &[PassView]) -> bool {
    let mut checks = lesson.checks.iter().filter(|check| check.exercise == exercise).peekable();
    checks.peek().is_some() && checks.all(|check| passed.iter().any(|pass| pass.check == check.name))
}

fn open(block: &HintBlock, solution: bool, asks: &HashMap<String, u32>, solved: bool) -> HintsView {
    let asked = asks.get(&block.id).copied().unwrap_or(0);
    let count = block.hints_html.len();
    let opened = match solution {
        true if solved || asked >= ASKS_FOR_A_SOLUTION => count,
        true => 0,
        false => count.min(asked as usize),
    };
    let notice = (solution && opened == 0).then(|| match asked {
        0 => "It opens when you have passed, or when you ask for it twice.".to_owned(),
        _ => "Ask once more and it opens. The hints may be enough, and cost nothing.".to_owned(),
    });
    HintsView {
        block: block.id.clone(),
        opened_html: block.hints_html[..opened].to_vec(),
        left: u32::try_from(count - opened).unwrap_or(u32::MAX),
        notice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> HintBlock {
        HintBlock { id: "h".into(), exercise: "one".into(), hints_html: vec!["a".into(), "b".into()] }
    }

    fn asked(times: u32) -> HashMap<String, u32> {
        HashMap::from([("h".to_owned(), times)])
    }

    #[test]
    fn hints_open_one_at_a_time() {
        for (times, opened, left) in [(0, 0, 2), (1, 1, 1), (2, 2, 0), (9, 2, 0)] {
            let view = open(&block(), false, &asked(times), true);
            assert_eq!(
                (view.opened_html.len(), view.left, view.notice),
                (opened, left, None),
                "asked {times} times"
            );
        }
    }

    #[test]
    fn a_solution_opens_after_a_pass_or_when_asked_for_twice() {
        for (times, solved, opened) in [(0, false, 0), (1, false, 0), (2, false, 2), (0, true, 2)] {
            let view = open(&block(), true, &asked(times), solved);
            assert_eq!(view.opened_html.len(), opened, "asked {times} times, solved: {solved}");
            assert_eq!(view.notice.is_some(), opened == 0);
        }
    }
}
