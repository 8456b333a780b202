//! The home page: "continue where you left", and the three paths.

use super::Chrome;
use askama::Template;
use isolab_lessons::{Course, Lesson, Level};
use std::collections::HashMap;

/// `GET /`
#[derive(Clone, Debug, Template)]
#[template(path = "home.html")]
pub struct HomePage {
    /// What every page has.
    pub chrome: Chrome,
    /// The lesson last visited that is not finished, or else the first one that is not.
    pub resume: Option<LessonLink>,
    /// Beginner, developer, architect; each lists the lessons for it in the order of the course.
    pub paths: Vec<PathView>,
}

/// One way through the course.
#[derive(Clone, Debug)]
pub struct PathView {
    /// `beginner`, `developer` or `architect`: safe as a class or an id.
    pub level: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Whom it is for, in a sentence.
    pub sentence: &'static str,
    /// Its lessons, in the order of the course.
    pub lessons: Vec<LessonLink>,
}

/// A lesson as a list shows it.
#[derive(Clone, Debug)]
pub struct LessonLink {
    /// `/lessons/{{ slug }}`; it holds one slash, and nothing that a URL would have to escape.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// The title of its part of the course.
    pub part: String,
    /// How long it takes, roughly.
    pub minutes: u32,
    /// Its level: `beginner`, `developer` or `architect`.
    pub level: &'static str,
    /// What it is about, in a sentence.
    pub summary: String,
    /// Whether it is still being written.
    pub draft: bool,
    /// How many of its checks have passed.
    pub passed: usize,
    /// How many checks it has.
    pub checks: usize,
    /// Whether it has been opened before.
    pub visited: bool,
}

impl LessonLink {
    /// Whether every check has passed.
    pub fn finished(&self) -> bool {
        self.visited && self.passed >= self.checks
    }
}

/// How far a learner is in the course.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The lessons opened so far, the latest first.
    pub visited: Vec<String>,
    /// The checks that have passed, by lesson.
    pub passed: HashMap<String, Vec<String>>,
}

impl HomePage {
    /// The home page for a learner who is that far.
    pub fn of(chrome: Chrome, course: &Course, standing: &Standing) -> Self {
        let link = |lesson: &Lesson| LessonLink::of(lesson, course, standing);
        let path = |level: Level, name, sentence| PathView {
            level: level.as_str(),
            name,
            sentence,
            lessons: course.lessons.iter().filter(|lesson| lesson.level == level).map(link).collect(),
        };
        let begun = standing.visited.iter().filter_map(|slug| course.lesson(slug)).map(link);
        // Whoever opened a draft may go on with it; nobody is led to one.
        let fresh = course.lessons.iter().filter(|lesson| !lesson.draft).map(link);
        let resume = begun.filter(|lesson| !lesson.finished()).chain(fresh.filter(|l| !l.finished())).next();
        Self {
            chrome,
            resume,
            paths: vec![
                path(
                    Level::Beginner,
                    "Beginner",
                    "You have typed commands into a shell before; that is enough.",
                ),
                path(
                    Level::Developer,
                    "Developer",
                    "You build images and run containers, and want to know what holds them.",
                ),
                path(
                    Level::Architect,
                    "Architect",
                    "You decide which walls a system gets, and what each is worth.",
                ),
            ],
        }
    }
}

impl LessonLink {
    fn of(lesson: &Lesson, course: &Course, standing: &Standing) -> Self {
        let passed = standing.passed.get(&lesson.slug).map_or(&[][..], Vec::as_slice);
        Self {
            slug: lesson.slug.clone(),
            title: lesson.title.clone(),
            part: course.part(&lesson.part).map_or_else(|| lesson.part.clone(), |part| part.title.clone()),
            minutes: lesson.minutes,
            level: lesson.level.as_str(),
            summary: lesson.summary.clone(),
            draft: lesson.draft,
            passed: lesson.checks.iter().filter(|check| passed.contains(&check.name)).count(),
            checks: lesson.checks.len(),
            visited: standing.visited.contains(&lesson.slug),
        }
    }
}
