//! From a lesson's folder to a [`Lesson`], with every mistake that can be found without a lab.

use crate::check::Check;
use crate::exercise::Exercise;
use crate::fence::{Fence, FenceError, is_name};
use crate::finding::{Finding, Report};
use crate::front::Front;
use crate::lesson::{Block, HOST, HintBlock, Lesson, RunBlock};
use crate::markdown::{Link, Piece, Reader};
use crate::output::Output;
use crate::question::{Question, QuestionKind};
use crate::tree::Tree;
use std::collections::BTreeSet;

/// The agent's limit on a terminal's name, in bytes.
const TERMINAL_NAME_BYTES_MAX: usize = 20;

/// Reads the lesson in the folder `slug`. Mistakes go to `findings`; a lesson with one is not returned.
pub(crate) fn lesson(tree: &Tree, slug: &str, findings: &mut Vec<Finding>) -> Option<Lesson> {
    let before = findings.len();
    let folder = format!("{slug}/");
    let file = format!("{folder}lesson.md");
    let mut report = Report::on(&file, findings);
    let Some(text) = tree.get(&file) else {
        report.add(0, "a lesson's folder needs a lesson.md");
        return None;
    };
    let (front, body, lines) = Front::split(text, &mut report)?;
    let mut text = Text::new(Reader::new(&mut report));
    text.read(body, lines + 1);
    text.lint();
    let Text { mut reader, blocks, checks, exercises: named, .. } = text;
    let links = follow(&mut reader);

    let exercises = exercises(tree, &folder, &named, findings);
    let blocks = with_solutions(blocks, &checks, &exercises);
    (findings.len() == before).then(|| Lesson {
        slug: slug.to_owned(),
        part: slug.split('/').next().unwrap_or_default().to_owned(),
        title: front.title,
        level: front.level,
        minutes: front.minutes,
        summary: front.summary,
        needs: front.needs,
        images: front.images,
        covers: front.covers,
        draft: front.draft,
        setup: tree.get(&format!("{folder}setup.sh")).map(str::to_owned),
        blocks,
        checks,
        exercises,
        links,
    })
}

/// The blocks of a `lesson.md`, as far as they have been read.
struct Text<'r, 'f> {
    reader: Reader<'r, 'f>,
    blocks: Vec<Block>,
    checks: Vec<Check>,
    /// The exercises that blocks name, in order.
    exercises: Vec<String>,
    ids: BTreeSet<String>,
    runs: usize,
}

impl<'r, 'f> Text<'r, 'f> {
    fn new(reader: Reader<'r, 'f>) -> Self {
        let (blocks, checks, exercises) = (vec![], vec![], vec![]);
        Self { reader, blocks, checks, exercises, ids: BTreeSet::new(), runs: 0 }
    }

    fn read(&mut self, body: &str, first: usize) {
        for piece in self.reader.pieces(body, first) {
            match piece {
                Piece::Prose(html) => self.blocks.push(Block::Prose { html }),
                Piece::Fence { info, body, line } => {
                    if let Some(block) = self.fence(&info, &body, line) {
                        self.blocks.push(block);
                    }
                }
            }
        }
    }

    fn fence(&mut self, info: &str, body: &str, line: usize) -> Option<Block> {
        let fence = Fence::parse(info);
        let fence = self.reader.report.take(line, fence)?;
        match fence.kind.as_str() {
            "run" => self.run(&fence, body, line),
            "check" => self.check(&fence, body, line),
            "predict" | "quiz" => {
                let question = Question::parse(&fence, body, line, &mut self.reader)?;
                self.name(&question.id, line);
                Some(Block::Question(question))
            }
            "hint" => self.hint(&fence, body, line),
            "explain" => self.explain(&fence, body, line),
            other => {
                let kinds = "run, check, predict, quiz, hint, explain, and text for what is only shown";
                self.reader.report.add(line, format!("there is no block `{other}`; blocks are {kinds}"));
                None
            }
        }
    }

    fn run(&mut self, fence: &Fence, body: &str, line: usize) -> Option<Block> {
        self.runs += 1;
        let head = || -> Result<(String, String), FenceError> {
            fence.only(&["id", "terminal"])?;
            let id = fence.name("id")?.unwrap_or_else(|| format!("run-{}", self.runs));
            Ok((id, fence.name("terminal")?.unwrap_or_else(|| HOST.to_owned())))
        };
        let (id, terminal) = head().map_err(|error| self.reader.report.add(line, error.to_string())).ok()?;
        if terminal.len() > TERMINAL_NAME_BYTES_MAX {
            let message = format!("a terminal's name has at most {TERMINAL_NAME_BYTES_MAX} characters");
            self.reader.report.add(line, message);
        }
        let (command, expected) = match body.split_once("\n---\n") {
            Some((command, expected)) => (command, Some(expected)),
            None => (body, None),
        };
        if command.trim().is_empty() {
            self.reader.report.add(line, "there is no command to run");
        }
        let output = expected.map(Output::parse).transpose().map_err(|(within, message)| {
            self.reader.report.add(line + command.lines().count() + 2 + within, message);
        });
        self.name(&id, line);
        let (command, output) = (command.trim_end().to_owned(), output.ok()?);
        Some(Block::Run(RunBlock { id, terminal, command, output, line }))
    }

    fn check(&mut self, fence: &Fence, body: &str, line: usize) -> Option<Block> {
        let head = || -> Result<(String, String), FenceError> {
            fence.only(&["id", "exercise"])?;
            Ok((fence.need("id")?, fence.need("exercise")?))
        };
        let (id, exercise) = self.reader.report.take(line, head())?;
        self.name(&id, line);
        if !self.exercises.contains(&exercise) {
            self.exercises.push(exercise.clone());
        }
        let check = Check::parse(id.clone(), exercise, body)
            .map_err(|(within, message)| self.reader.report.add(line + 1 + within, message));
        self.checks.push(check.ok()?);
        Some(Block::Check(id))
    }

    fn hint(&mut self, fence: &Fence, body: &str, line: usize) -> Option<Block> {
        let head = || -> Result<(String, String), FenceError> {
            fence.only(&["id", "exercise"])?;
            let exercise = fence.need("exercise")?;
            Ok((fence.name("id")?.unwrap_or_else(|| format!("hint-{exercise}")), exercise))
        };
        let (id, exercise) = self.reader.report.take(line, head())?;
        self.name(&id, line);
        if !self.exercises.contains(&exercise) {
            self.reader.report.add(line, format!("no check above belongs to an exercise {exercise}"));
        }
        let mut at = line + 1;
        let mut hints_html = vec![];
        for hint in body.split("\n---\n") {
            hints_html.push(self.reader.html(hint, at));
            at += hint.lines().count() + 1;
        }
        Some(Block::Hints(HintBlock { id, exercise, hints_html }))
    }

    fn explain(&mut self, fence: &Fence, body: &str, line: usize) -> Option<Block> {
        self.reader.report.take(line, fence.only(&["title"]))?;
        let Some(title) = fence.text("title") else {
            self.reader.report.add(line, "an explain block needs title=\"…\"");
            return None;
        };
        let html = self.reader.html(body, line + 1);
        Some(Block::Explain { title: title.to_owned(), html })
    }

    fn name(&mut self, id: &str, line: usize) {
        if !self.ids.insert(id.to_owned()) {
            self.reader.report.add(line, format!("the id {id} is taken by a block above"));
        }
    }

    fn lint(&mut self) {
        let predicts = |block: &Block| matches!(block, Block::Question(question) if question.kind == QuestionKind::Predict);
        let first_check = self.blocks.iter().position(|block| matches!(block, Block::Check(_)));
        match first_check {
            None => self.reader.report.add(0, "a lesson has at least one check"),
            Some(place) if !self.blocks[..place].iter().any(predicts) => {
                let message = "a lesson asks for a prediction (a predict block) before its first check";
                self.reader.report.add(0, message);
            }
            Some(_) => {}
        }
    }
}

/// Follows the links within the lesson; gives back those to other lessons.
fn follow(reader: &mut Reader<'_, '_>) -> Vec<(usize, String)> {
    let mut elsewhere = vec![];
    for (line, link) in std::mem::take(&mut reader.links) {
        match link {
            Link::Lesson(slug) => elsewhere.push((line, slug)),
            Link::Heading(id) if reader.anchors.contains(&id) => {}
            Link::Heading(id) => {
                let known = reader.anchors.join(", #");
                reader.report.add(line, format!("no heading has the id {id}; there are #{known}"));
            }
        }
    }
    elsewhere
}

/// Reads the exercises that the text names, and finds folders and files that it does not.
fn exercises(tree: &Tree, folder: &str, named: &[String], findings: &mut Vec<Finding>) -> Vec<Exercise> {
    for unknown in tree.folders(folder) {
        if !named.iter().any(|name| name == unknown) {
            let message = format!("no check of the lesson has exercise={unknown}");
            findings.push(Finding { file: format!("{folder}{unknown}/"), line: 0, message });
        }
    }
    for (path, _) in tree.below(folder) {
        let name = &path[folder.len()..];
        if !name.contains('/') && !["lesson.md", "setup.sh"].contains(&name) {
            let message =
                "nothing reads this file; a lesson has lesson.md, setup.sh and folders of exercises";
            findings.push(Finding { file: path.to_owned(), line: 0, message: message.to_owned() });
        }
    }
    let read = named.iter().filter(|name| is_name(name));
    read.filter_map(|name| Exercise::read(tree, folder, name, findings)).collect()
}

/// Puts each exercise's solution behind the last block that belongs to it.
fn with_solutions(blocks: Vec<Block>, checks: &[Check], exercises: &[Exercise]) -> Vec<Block> {
    let belongs = |block: &Block| -> Option<String> {
        match block {
            Block::Check(name) => checks.iter().find(|check| check.name == *name).map(|c| c.exercise.clone()),
            Block::Hints(hints) => Some(hints.exercise.clone()),
            _ => None,
        }
    };
    let owners: Vec<Option<String>> = blocks.iter().map(belongs).collect();
    let mut all = Vec::with_capacity(blocks.len() + exercises.len());
    for (place, block) in blocks.into_iter().enumerate() {
        all.push(block);
        let Some(owner) = &owners[place] else { continue };
        let is_last = !owners[place + 1..].contains(&owners[place]);
        let exercise = exercises.iter().find(|exercise| is_last && exercise.id == *owner);
        all.extend(exercise.map(solution));
    }
    all
}

fn solution(exercise: &Exercise) -> Block {
    let mut html = String::from("<pre><code>");
    for c in exercise.solution.commands().chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            c => html.push(c),
        }
    }
    html.push_str("</code></pre>");
    let (id, exercise) = (format!("solution-{}", exercise.id), exercise.id.clone());
    Block::Solution(HintBlock { id, exercise, hints_html: vec![html] })
}
