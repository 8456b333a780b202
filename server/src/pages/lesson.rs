//! The lesson page: prose and interaction on the left, the learner's lab on the right.
//!
//! The page is complete without scripts: questions are forms that post to the same routes as the scripts use,
//! and what is open (answers, hints, passes) is rendered by the server.

use super::Chrome;
use askama::Template;
use isolab_lessons::{self as lessons, Course, Lesson, QuestionKind};
use isolab_protocol::page::{AnswerView, HintsView, PassView, ProgressView};
use std::collections::BTreeSet;

/// `GET /lessons/{slug}`
#[derive(Clone, Debug, Template)]
#[template(path = "lesson.html")]
pub struct LessonPage {
    /// What every page has.
    pub chrome: Chrome,
    /// The lesson's name in URLs: its API is at `/api/lessons/{{ slug }}/…`.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// The title of its part of the course.
    pub part: String,
    /// Its place among the lessons that are no drafts, counted from 1; a draft has none.
    pub number: Option<usize>,
    /// How many lessons the course has, without drafts.
    pub of: usize,
    /// How long it takes, roughly.
    pub minutes: u32,
    /// Its level: `beginner`, `developer` or `architect`.
    pub level: &'static str,
    /// Its text, in order.
    pub blocks: Vec<Block>,
    /// Its checks, in order: the strip between the terminal and the picture.
    pub checks: Vec<CheckView>,
    /// The terminals that it uses, `host` first.
    pub terminals: Vec<TerminalView>,
    /// The lesson before it that is no draft.
    pub previous: Option<Neighbour>,
    /// The lesson after it that is no draft.
    pub next: Option<Neighbour>,
}

/// A lesson next to this one.
#[derive(Clone, Debug)]
pub struct Neighbour {
    /// `/lessons/{{ slug }}`
    pub slug: String,
    /// Its title.
    pub title: String,
}

/// A terminal tab.
#[derive(Clone, Debug)]
pub struct TerminalView {
    /// Its WebSocket is at `/api/lessons/{slug}/terminals/{{ name }}`.
    pub name: String,
}

/// A check as the strip shows it before the first live verdict.
#[derive(Clone, Debug)]
pub struct CheckView {
    /// Its name, unique within the lesson, as in `Verdict::check`.
    pub name: String,
    /// What it asks for, in a few words.
    pub title: String,
    /// Its first pass, where it has passed.
    pub pass: Option<PassView>,
}

/// One block of a lesson's text.
#[derive(Clone, Debug)]
pub enum Block {
    /// Prose, headings included.
    Prose {
        /// Safe HTML.
        html: String,
    },
    /// A command to type into a terminal by a click.
    Run {
        /// The block's id, unique within the lesson.
        id: String,
        /// The terminal it is for.
        terminal: String,
        /// The command, perhaps of several lines.
        command: String,
        /// What a reader should see, where the lesson says so.
        output: Option<String>,
    },
    /// Where the text asks for a check; the strip shows it too.
    Check(CheckView),
    /// A question: `predict` (one answer, before running) or `quiz`.
    Choice(ChoiceBlock),
    /// Hints that are opened one at a time: `POST /api/lessons/{slug}/hints/{block}` opens the next.
    Hints(HintsView),
    /// The solution of an exercise: the same route opens it, after a pass or after asking twice.
    Solution(HintsView),
    /// Something to unfold for those who want to know more.
    Explain {
        /// The line that is always shown.
        summary: String,
        /// Safe HTML.
        html: String,
    },
}

/// A question with its choices; posted to `/api/lessons/{slug}/answers/{id}` as `choice=N` or as JSON.
#[derive(Clone, Debug)]
pub struct ChoiceBlock {
    /// The block's id, unique within the lesson.
    pub id: String,
    /// Whether this is a `predict` block, which takes one answer only.
    pub predict: bool,
    /// The question, as safe HTML.
    pub question_html: String,
    /// The choices, as safe HTML; the first is choice 0.
    pub choices_html: Vec<String>,
    /// The answer given so far, judged.
    pub answer: Option<AnswerView>,
}

impl ChoiceBlock {
    /// Whether choice `n` is the one taken.
    pub fn chosen(&self, n: &usize) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.choice as usize == *n)
    }

    /// Whether no further answer is taken.
    pub fn closed(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| self.predict || answer.correct)
    }
}

impl LessonPage {
    /// The page of `lesson` for a learner who is that far; nothing where the course does not have the lesson.
    pub fn of(chrome: Chrome, course: &Course, lesson: &Lesson, progress: &ProgressView) -> Option<Self> {
        let place = course.lessons.iter().position(|other| other.slug == lesson.slug)?;
        let neighbour =
            |lesson: &Lesson| Neighbour { slug: lesson.slug.clone(), title: lesson.title.clone() };
        let (before, after) = course.lessons.split_at(place);
        let is_ready = |lesson: &&Lesson| !lesson.draft;
        Some(Self {
            chrome,
            slug: lesson.slug.clone(),
            title: lesson.title.clone(),
            part: course.part(&lesson.part).map_or_else(|| lesson.part.clone(), |part| part.title.clone()),
            number: (!lesson.draft).then(|| before.iter().filter(is_ready).count() + 1),
            of: course.lessons.iter().filter(is_ready).count(),
            minutes: lesson.minutes,
            level: lesson.level.as_str(),
            blocks: lesson.blocks.iter().filter_map(|block| Block::of(block, lesson, progress)).collect(),
            checks: lesson.checks.iter().map(|check| CheckView::of(check, progress)).collect(),
            terminals: terminals(lesson),
            previous: before.iter().rev().find(is_ready).map(neighbour),
            next: after.iter().skip(1).find(is_ready).map(neighbour),
        })
    }
}

/// `host`, and whatever else the lesson's commands are for, in the order of the text.
fn terminals(lesson: &Lesson) -> Vec<TerminalView> {
    let used = lesson.blocks.iter().filter_map(|block| match block {
        lessons::Block::Run(run) => Some(run.terminal.as_str()),
        _ => None,
    });
    let mut seen = BTreeSet::new();
    let names = std::iter::once("host").chain(used).filter(|name| seen.insert(name.to_string()));
    names.map(|name| TerminalView { name: name.to_owned() }).collect()
}

impl CheckView {
    fn of(check: &lessons::Check, progress: &ProgressView) -> Self {
        let pass = progress.passed.iter().find(|pass| pass.check == check.name).cloned();
        Self { name: check.name.clone(), title: check.title.clone(), pass }
    }
}

impl Block {
    fn of(block: &lessons::Block, lesson: &Lesson, progress: &ProgressView) -> Option<Self> {
        let hints = |id: &str| progress.hints.iter().find(|hints| hints.block == id).cloned();
        Some(match block {
            lessons::Block::Prose { html } => Self::Prose { html: html.clone() },
            lessons::Block::Run(run) => Self::Run {
                id: run.id.clone(),
                terminal: run.terminal.clone(),
                command: run.command.clone(),
                output: run.output.as_ref().map(|output| output.text().to_owned()),
            },
            lessons::Block::Check(name) => {
                Self::Check(CheckView::of(lesson.checks.iter().find(|check| check.name == *name)?, progress))
            }
            lessons::Block::Question(question) => Self::Choice(ChoiceBlock::of(question, progress)),
            lessons::Block::Hints(block) => Self::Hints(hints(&block.id)?),
            lessons::Block::Solution(block) => Self::Solution(hints(&block.id)?),
            lessons::Block::Explain { title, html } => {
                Self::Explain { summary: title.clone(), html: html.clone() }
            }
        })
    }
}

impl ChoiceBlock {
    fn of(question: &lessons::Question, progress: &ProgressView) -> Self {
        Self {
            id: question.id.clone(),
            predict: question.kind == QuestionKind::Predict,
            question_html: question.question_html.clone(),
            choices_html: question.choices_html.clone(),
            answer: progress.answers.iter().find(|answer| answer.block == question.id).cloned(),
        }
    }
}
