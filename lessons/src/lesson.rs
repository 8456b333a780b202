//! A lesson as the page shows it: prose, commands, checks, questions and hints, in order.

use crate::check::{self, Check};
use crate::exercise::Exercise;
use crate::front::Level;
use crate::output::Output;
use crate::question::{Answer, Question};
use isolab_protocol::{Observation, Verdict};

/// The terminal on the lab host, which every lesson has.
pub(crate) const HOST: &str = "host";

/// What comes before a lesson's setup when an exercise is reset. It is run in the learner's own lab, with tools that
/// belong to the learner: it can spoil nothing but that lab.
const RESET: &str = include_str!("reset.sh");

/// A lesson that has no mistakes that can be found without a lab.
#[derive(Debug)]
pub struct Lesson {
    /// `<part>/<NN-name>`: its folder below the lessons' folder, and its place in URLs. It holds one slash.
    pub slug: String,
    /// The part of the course that it belongs to.
    pub part: String,
    /// Its title, as plain text.
    pub title: String,
    /// Whom it is for.
    pub level: Level,
    /// How long it takes, roughly.
    pub minutes: u32,
    /// One sentence for lists, as plain text.
    pub summary: String,
    /// Names of machine capabilities that it cannot do without.
    pub needs: Vec<String>,
    /// The images that its commands use.
    pub images: Vec<String>,
    /// The rows of the curriculum that it teaches.
    pub covers: Vec<String>,
    /// Whether it is still being written: it is listed as a draft and can be opened, but nobody is led to it.
    pub draft: bool,
    /// The `bash` script that prepares a lab for it.
    pub setup: Option<String>,
    /// Its text, in order.
    pub blocks: Vec<Block>,
    /// Its checks, in order.
    pub checks: Vec<Check>,
    /// Its exercises, in the order of their checks.
    pub exercises: Vec<Exercise>,
    /// Other lessons that it links to, each with the line of the link.
    pub(crate) links: Vec<(usize, String)>,
}

/// A part of a lesson's text.
#[derive(Debug)]
pub enum Block {
    /// Prose, headings (`<h2 id=…>`) included.
    Prose {
        /// Safe HTML.
        html: String,
    },
    /// A command to type into a terminal.
    Run(RunBlock),
    /// Where the text asks for a check: its name. Its title and judgement are in [`Lesson::checks`].
    Check(String),
    /// A question.
    Question(Question),
    /// Hints, to be opened one at a time.
    Hints(HintBlock),
    /// The solution of an exercise, as one more hint: opened after a pass, or after asking twice.
    Solution(HintBlock),
    /// Something to unfold for those who want to know more.
    Explain {
        /// The line that is always shown, as plain text.
        title: String,
        /// Safe HTML.
        html: String,
    },
}

/// A command to type into a terminal.
#[derive(Clone, Debug)]
pub struct RunBlock {
    /// Its id, unique within its lesson.
    pub id: String,
    /// The name of the terminal.
    pub terminal: String,
    /// The command, perhaps of several lines.
    pub command: String,
    /// What it prints, where the lesson shows it.
    pub output: Option<Output>,
    /// The line of `lesson.md` that it begins at.
    pub line: usize,
}

/// Hints that are opened one at a time.
#[derive(Clone, Debug)]
pub struct HintBlock {
    /// Its id, unique within its lesson.
    pub id: String,
    /// The exercise that it helps with.
    pub exercise: String,
    /// The hints, as safe HTML.
    pub hints_html: Vec<String>,
}

impl Lesson {
    /// Judges every check against an observation, in the lesson's order.
    pub fn judge(&self, observation: &Observation) -> Vec<Verdict> {
        check::judge(&self.checks, observation)
    }

    /// Judges an answer to the question `block`; nothing where there is no such question or choice.
    pub fn answer(&self, block: &str, choice: usize) -> Option<Answer> {
        self.question(block)?.answer(choice)
    }

    /// The question of that id.
    pub fn question(&self, id: &str) -> Option<&Question> {
        self.blocks.iter().find_map(|block| match block {
            Block::Question(question) if question.id == id => Some(question),
            _ => None,
        })
    }

    /// The hints, or the solution, of that id.
    pub fn hints(&self, id: &str) -> Option<&HintBlock> {
        self.blocks.iter().find_map(|block| match block {
            Block::Hints(hints) | Block::Solution(hints) if hints.id == id => Some(hints),
            _ => None,
        })
    }

    /// The check of that name.
    pub fn check(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }

    /// The names of the checks that make up an exercise.
    pub fn checks_of(&self, exercise: &str) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(move |check| check.exercise == exercise)
    }

    /// The commands that a learner is offered, in order.
    pub fn runs(&self) -> impl Iterator<Item = &RunBlock> {
        self.blocks.iter().filter_map(|block| match block {
            Block::Run(run) => Some(run),
            _ => None,
        })
    }

    /// The `bash` script that brings a lab back to the beginning of the lesson's exercises without making it anew:
    /// containers end, and the setup runs again; terminals and the lab host's files stay.
    pub fn reset_script(&self) -> String {
        format!("{RESET}\n{}", self.setup.as_deref().unwrap_or_default())
    }

    /// The terminals that the commands are for: `host` first, each once.
    pub fn terminals(&self) -> Vec<&str> {
        let mut names = vec![HOST];
        for run in self.runs() {
            if !names.contains(&run.terminal.as_str()) {
                names.push(&run.terminal);
            }
        }
        names
    }
}
