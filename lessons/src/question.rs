//! Questions: `predict` (answered once, before a command is run) and `quiz`.
//!
//! Which choice is right never leaves this crate but through [`Question::answer`].

use crate::fence::{Fence, FenceError};
use crate::markdown::Reader;
use serde::Deserialize;

/// What kind of question it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuestionKind {
    /// Answered once, before the learner looks.
    Predict,
    /// Answered until it is right.
    Quiz,
}

/// A question with its choices.
#[derive(Clone, Debug)]
pub struct Question {
    /// Its id, unique within its lesson.
    pub id: String,
    /// What kind of question it is.
    pub kind: QuestionKind,
    /// The question, as safe HTML.
    pub question_html: String,
    /// The choices, as safe HTML; answers count them from 0.
    pub choices_html: Vec<String>,
    right: usize,
    because_html: Vec<String>,
}

/// An answer, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether the choice is right.
    pub correct: bool,
    /// Why it is, or is not; and for a wrong prediction, what is. Safe HTML.
    pub explanation_html: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    question: String,
    choices: Vec<WrittenChoice>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenChoice {
    text: String,
    #[serde(default)]
    right: bool,
    because: String,
}

/// More choices than this are not a question but a list.
const CHOICES_MAX: usize = 6;

impl Question {
    /// Reads the body of a `predict` or `quiz` block that begins at `line`.
    pub(crate) fn parse(fence: &Fence, body: &str, line: usize, reader: &mut Reader<'_, '_>) -> Option<Self> {
        let id = reader.report.take(line, head(fence))?;
        let written: Result<Written, _> = serde_yaml_ng::from_str(body);
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                let within = error.location().map_or(0, |place| place.line());
                reader.report.add(line + within, format!("this {} cannot be read: {error}", fence.kind));
                return None;
            }
        };
        let rights = written.choices.iter().filter(|choice| choice.right).count();
        if rights != 1 || !(2..=CHOICES_MAX).contains(&written.choices.len()) {
            let message = format!("a {} has 2 to {CHOICES_MAX} choices, of which one is right", fence.kind);
            reader.report.add(line, message);
            return None;
        }
        let right = written.choices.iter().position(|choice| choice.right)?;
        let mut inline = |text: &str| reader.inline(text, line);
        Some(Self {
            id,
            kind: if fence.kind == "predict" { QuestionKind::Predict } else { QuestionKind::Quiz },
            question_html: inline(&written.question),
            choices_html: written.choices.iter().map(|choice| inline(&choice.text)).collect(),
            because_html: written.choices.iter().map(|choice| inline(&choice.because)).collect(),
            right,
        })
    }

    /// Judges an answer; nothing where there is no such choice.
    pub fn answer(&self, choice: usize) -> Option<Answer> {
        let because = self.because_html.get(choice)?;
        let correct = choice == self.right;
        let explanation_html = if correct || self.kind == QuestionKind::Quiz {
            format!("<p>{because}</p>")
        } else {
            let (right, why) = (&self.choices_html[self.right], &self.because_html[self.right]);
            format!("<p>{because}</p><p>It is: {right}. {why}</p>")
        };
        Some(Answer { correct, explanation_html })
    }
}

fn head(fence: &Fence) -> Result<String, FenceError> {
    fence.only(&["id"])?;
    fence.need("id")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Finding, Report};

    const BODY: &str = "question: What does `ps` see?\nchoices:\n\
        - {text: all, because: It is not.}\n- {text: itself, right: true, because: It is.}\n";

    fn parse(kind: &str, body: &str) -> (Option<Question>, Vec<Finding>) {
        let mut findings = vec![];
        let fence = Fence::parse(&format!("{kind} id=who")).unwrap();
        let question =
            Question::parse(&fence, body, 7, &mut Reader::new(&mut Report::on("lesson.md", &mut findings)));
        (question, findings)
    }

    #[test]
    fn answers_are_judged_and_explained() {
        let quiz = parse("quiz", BODY).0.unwrap();
        assert_eq!(quiz.question_html, "What does <code>ps</code> see?");
        assert_eq!(
            quiz.answer(0).unwrap(),
            Answer { correct: false, explanation_html: "<p>It is not.</p>".into() }
        );
        assert!(quiz.answer(1).unwrap().correct);
        assert_eq!(quiz.answer(2), None);

        let predict = parse("predict", BODY).0.unwrap();
        assert!(predict.answer(0).unwrap().explanation_html.contains("It is: itself. It is."));
    }

    #[test]
    fn a_question_has_one_right_choice_with_reasons() {
        for (body, line, part) in [
            (BODY.replace(", right: true", ""), 7, "one is right"),
            (BODY.replace("text: all,", "text: all, right: true,"), 7, "one is right"),
            (BODY.replace(", because: It is.", ""), 10, "because"),
            (BODY.replace("What does", "<b>What</b>"), 7, "raw HTML"),
        ] {
            let (_, findings) = parse("quiz", &body);
            assert!(!findings.is_empty(), "{body}");
            assert!(findings[0].message.contains(part), "{findings:?}");
            assert!(findings[0].line.abs_diff(line) <= 1, "{findings:?}");
        }
    }
}
