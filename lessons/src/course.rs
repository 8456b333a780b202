//! All lessons, in their order, with the mistakes found in them.

use crate::compose;
use crate::finding::{Finding, Report};
use crate::lesson::Lesson;
use crate::tree::Tree;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// The environment variable that names a folder of lessons to use in place of the embedded ones.
pub const LESSONS_VARIABLE: &str = "ISOLAB_LESSONS";

/// The file that lists the parts, in order.
const PARTS: &str = "parts.yaml";

/// The course: its parts and the lessons in them.
#[derive(Debug)]
pub struct Course {
    /// The parts, in order.
    pub parts: Vec<Part>,
    /// The lessons that have no mistakes, in order.
    pub lessons: Vec<Lesson>,
    /// The mistakes, by file and line. A lesson that has one is not among `lessons`.
    pub findings: Vec<Finding>,
    slugs: Vec<String>,
}

/// A part of the course.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its folder's name.
    pub id: String,
    /// Its title, as plain text.
    pub title: String,
    /// What it is about, in a sentence.
    pub summary: String,
}

impl Course {
    /// The lessons that the program was built with, or, where `ISOLAB_LESSONS` names a folder, those in it.
    /// Errors: that folder cannot be read.
    pub fn open() -> io::Result<Self> {
        match std::env::var_os(LESSONS_VARIABLE).filter(|value| !value.is_empty()) {
            Some(folder) => Self::read(Path::new(&folder)),
            None => Ok(Self::embedded()),
        }
    }

    /// The lessons that the program was built with.
    pub fn embedded() -> Self {
        Self::of(&Tree::embedded())
    }

    /// The lessons in a folder. Errors: it cannot be read.
    pub fn read(folder: &Path) -> io::Result<Self> {
        Ok(Self::of(&Tree::read(folder)?))
    }

    fn of(tree: &Tree) -> Self {
        let mut findings = vec![];
        let parts = parts(tree, &mut findings);
        let (mut lessons, mut slugs) = (vec![], vec![]);
        for part in &parts {
            for name in tree.folders(&format!("{}/", part.id)) {
                let slug = format!("{}/{name}", part.id);
                if !is_lesson_name(name) {
                    let message = "a lesson's folder is called NN-name, with a-z, 0-9 and - in the name";
                    Report::on(&slug, &mut findings).add(0, message);
                } else {
                    lessons.extend(compose::lesson(tree, &slug, &mut findings));
                }
                slugs.push(slug);
            }
        }
        follow(&lessons, &slugs, &mut findings);
        findings.sort();
        Self { parts, lessons, findings, slugs }
    }

    /// The lesson of that slug.
    pub fn lesson(&self, slug: &str) -> Option<&Lesson> {
        self.lessons.iter().find(|lesson| lesson.slug == slug)
    }

    /// The slugs of all lessons, in order, those with mistakes included.
    pub fn slugs(&self) -> &[String] {
        &self.slugs
    }

    /// The part of that id.
    pub fn part(&self, id: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.id == id)
    }
}

fn parts(tree: &Tree, findings: &mut Vec<Finding>) -> Vec<Part> {
    let mut report = Report::on(PARTS, findings);
    let Some(text) = tree.get(PARTS) else {
        report.add(
            0,
            "this file is missing: it lists the parts of the course, each with id, title and summary",
        );
        return vec![];
    };
    let parts: Vec<Part> = match serde_yaml_ng::from_str(text) {
        Ok(parts) => parts,
        Err(error) => {
            report
                .add(error.location().map_or(0, |place| place.line()), format!("it cannot be read: {error}"));
            return vec![];
        }
    };
    let ids: BTreeSet<&str> = parts.iter().map(|part| part.id.as_str()).collect();
    if ids.len() != parts.len() {
        report.add(0, "two parts have the same id");
    }
    for folder in tree.folders("") {
        if !ids.contains(folder) {
            report.add(0, format!("the folder {folder} is no part listed here"));
        }
    }
    parts
}

fn is_lesson_name(name: &str) -> bool {
    let Some((number, rest)) = name.split_once('-') else { return false };
    let digits = number.len() == 2 && number.bytes().all(|c| c.is_ascii_digit());
    digits && crate::fence::is_name(rest)
}

/// Follows the links from lesson to lesson.
fn follow(lessons: &[Lesson], slugs: &[String], findings: &mut Vec<Finding>) {
    for lesson in lessons {
        for (line, slug) in &lesson.links {
            if !slugs.contains(slug) {
                let file = format!("{}/lesson.md", lesson.slug);
                findings.push(Finding { file, line: *line, message: format!("there is no lesson {slug}") });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lesson::Block;
    use crate::question::QuestionKind;
    use isolab_protocol::VerdictState;

    fn texts(course: &Course) -> String {
        course.findings.iter().map(|finding| format!("{finding}\n")).collect()
    }

    #[test]
    fn the_embedded_course_has_no_mistakes() {
        let course = Course::embedded();
        assert_eq!(texts(&course), "");
        assert!(course.lessons.len() >= 2);
        assert_eq!(course.lessons.len(), course.slugs().len());
    }

    #[test]
    fn no_check_of_the_course_passes_or_breaks_on_an_empty_lab() {
        let mut observation = crate::vocabulary::sample();
        observation.containers.clear();
        for lesson in Course::embedded().lessons {
            for verdict in lesson.judge(&observation) {
                assert_eq!(verdict.state, VerdictState::Open, "{}: {verdict:?}", lesson.slug);
            }
        }
    }

    const PARTS_YAML: &str = "[{id: p, title: P, summary: S.}]\n";
    const LESSON: &str = r#"---
title: T
level: beginner
minutes: 5
summary: S.
---

## Look

```predict id=guess
question: What?
choices:
  - {text: a, right: true, because: It is.}
  - {text: b, because: It is not.}
```

```run
echo hello
---
hello
```

```check id=one exercise=first
title: one
pass: containers.size() == 1
passed: There is one.
evidence:
  - {wanted: one, saw: string(containers.size()), place: '"/proc"'}
open:
  - say: There are {containers.size()}.
```

```hint exercise=first
Try.
---
Try `docker run`.
```

See [above](#s-look).
"#;

    fn course(lesson: &str) -> Course {
        Course::of(&Tree::from([
            ("parts.yaml", PARTS_YAML),
            ("p/01-l/lesson.md", lesson),
            ("p/01-l/setup.sh", "true\n"),
            ("p/01-l/first/solution.sh", "docker run <x>\n"),
            ("p/01-l/first/wrong/a.sh", "# says: x\ntrue\n"),
            ("p/01-l/first/cheats/a.sh", "# says: x\ntrue\n"),
        ]))
    }

    #[test]
    fn a_lesson_becomes_blocks_in_order() {
        let course = course(LESSON);
        assert_eq!(texts(&course), "");
        let lesson = course.lesson("p/01-l").unwrap();
        assert!(!lesson.draft);
        let kinds: Vec<&str> = lesson
            .blocks
            .iter()
            .map(|block| match block {
                Block::Prose { .. } => "prose",
                Block::Run(_) => "run",
                Block::Check(_) => "check",
                Block::Question(_) => "question",
                Block::Hints(_) => "hints",
                Block::Solution(_) => "solution",
                Block::Explain { .. } => "explain",
            })
            .collect();
        assert_eq!(kinds, ["prose", "question", "run", "check", "hints", "solution", "prose"]);
        let run = lesson.runs().next().unwrap();
        assert_eq!((run.id.as_str(), run.command.as_str(), run.line), ("run-1", "echo hello", 17));
        assert_eq!(run.output.as_ref().unwrap().text(), "hello");
        assert_eq!(lesson.question("guess").unwrap().kind, QuestionKind::Predict);
        assert!(lesson.answer("guess", 0).unwrap().correct && lesson.answer("guess", 2).is_none());
        assert_eq!(lesson.hints("hint-first").unwrap().hints_html.len(), 2);
        let solution = &lesson.hints("solution-first").unwrap().hints_html[0];
        assert_eq!(solution, "<pre><code>docker run &lt;x&gt;</code></pre>");
        assert_eq!(lesson.terminals(), ["host"]);
        assert_eq!(lesson.judge(&crate::vocabulary::sample())[0].state, VerdictState::Passed);
    }

    #[test]
    fn a_draft_says_so_and_is_checked_like_any_other() {
        let draft = |lesson: &str| course(&lesson.replace("summary: S.\n", "summary: S.\ndraft: true\n"));
        assert!(draft(LESSON).lesson("p/01-l").unwrap().draft);
        assert!(!draft(&LESSON.replace("```run\n", "```rum\n")).findings.is_empty());
    }

    #[test]
    fn mistakes_across_blocks_are_found_with_their_line() {
        for (from, to, expected) in [
            (
                "```run\n",
                "```run terminl=host\n",
                "p/01-l/lesson.md:17: a run block has no attribute terminl",
            ),
            ("```run\n", "```run id=guess\n", "p/01-l/lesson.md:17: the id guess is taken"),
            ("```run\n", "```rum\n", "p/01-l/lesson.md:17: there is no block `rum`"),
            ("---\nhello\n", "---\n<helo>\n", "p/01-l/lesson.md:20: <helo> stands for nothing"),
            (
                "containers.size() == 1",
                "container.size() == 1",
                "p/01-l/lesson.md:25: there is no variable container",
            ),
            ("```predict", "```quiz", "p/01-l/lesson.md: a lesson asks for a prediction"),
            ("hint exercise=first", "hint exercise=frist", "no check above belongs to an exercise frist"),
            (
                "check id=one exercise=first",
                "check id=one exercise=second",
                "no check of the lesson has exercise=first",
            ),
            ("#s-look", "#s-loook", "p/01-l/lesson.md:39: no heading has the id s-loook; there are #s-look"),
            ("(#s-look)", "(lesson:p/02-m)", "p/01-l/lesson.md:39: there is no lesson p/02-m"),
        ] {
            assert!(LESSON.contains(from), "{from}");
            let found = texts(&course(&LESSON.replace(from, to)));
            assert!(found.contains(expected), "{from} -> {to} gives\n{found}");
        }
    }

    #[test]
    fn a_course_without_order_is_refused() {
        let found = texts(&Course::of(&Tree::from([("p/01-l/lesson.md", LESSON)])));
        assert!(found.contains("parts.yaml: this file is missing"), "{found}");
        let found = texts(&Course::of(&Tree::from([
            ("parts.yaml", PARTS_YAML),
            ("q/x", ""),
            ("p/l/lesson.md", LESSON),
        ])));
        assert!(found.contains("the folder q is no part") && found.contains("is called NN-name"), "{found}");
    }
}
