//! The front matter of a lesson: what it is called, whom it is for, what it needs.

use crate::finding::Report;
use crate::vocabulary;
use serde::{Deserialize, Serialize};

/// Whom a lesson is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "each says what it is")]
pub enum Level {
    Beginner,
    Developer,
    Architect,
}

impl Level {
    /// Its name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Beginner => "beginner",
            Self::Developer => "developer",
            Self::Architect => "architect",
        }
    }
}

/// The YAML between the two `---` lines at the head of `lesson.md`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Front {
    pub title: String,
    pub level: Level,
    /// How long it takes, roughly.
    pub minutes: u32,
    /// One sentence for lists of lessons.
    pub summary: String,
    /// Names of machine capabilities that it cannot do without.
    #[serde(default)]
    pub needs: Vec<String>,
    /// The images that its commands use.
    #[serde(default)]
    pub images: Vec<String>,
    /// The rows of the curriculum that it teaches.
    #[serde(default)]
    pub covers: Vec<String>,
    /// Whether it is still being written.
    #[serde(default)]
    pub draft: bool,
}

/// A lesson that takes longer than this is two lessons.
const MINUTES_MAX: u32 = 30;

impl Front {
    /// Splits `lesson.md` into its front matter and the rest, with the number of lines before the rest.
    pub fn split<'a>(text: &'a str, report: &mut Report<'_>) -> Option<(Self, &'a str, usize)> {
        let Some((yaml, body)) = text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n"))
        else {
            report.add(1, "a lesson begins with a line `---`, YAML front matter, and another line `---`");
            return None;
        };
        let front: Self = match serde_yaml_ng::from_str(yaml) {
            Ok(front) => front,
            Err(error) => {
                let line = error.location().map_or(1, |place| place.line() + 1);
                report.add(line, format!("the front matter cannot be read: {error}"));
                return None;
            }
        };
        front.lint(yaml, report);
        Some((front, body, yaml.lines().count() + 2))
    }

    fn lint(&self, yaml: &str, report: &mut Report<'_>) {
        let line = |key: &str| yaml.lines().position(|l| l.starts_with(key)).map_or(1, |n| n + 2);
        if self.title.trim().is_empty() || self.summary.trim().is_empty() {
            report.add(1, "title and summary must say something");
        }
        if !(1..=MINUTES_MAX).contains(&self.minutes) {
            report.add(line("minutes"), format!("minutes must be 1 to {MINUTES_MAX}: split a longer lesson"));
        }
        for need in &self.needs {
            if !vocabulary::NEEDS.contains(&need.as_str()) {
                let known = vocabulary::NEEDS.join(", ");
                report.add(line("needs"), format!("nothing is known by the name {need}; needs are: {known}"));
            }
        }
        for image in &self.images {
            if !vocabulary::IMAGES.contains(&image.as_str()) {
                let known = vocabulary::IMAGES.join(", ");
                report.add(line("images"), format!("there is no image {image}; images are: {known}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Finding;

    fn check(text: &str) -> (Option<(Front, String, usize)>, Vec<Finding>) {
        let mut findings = vec![];
        let split = Front::split(text, &mut Report::on("lesson.md", &mut findings));
        (split.map(|(front, body, lines)| (front, body.to_owned(), lines)), findings)
    }

    #[test]
    fn front_matter_is_split_off() {
        let (split, findings) = check("---\ntitle: T\nlevel: beginner\nminutes: 5\nsummary: S\n---\nBody\n");
        let (front, body, lines) = split.unwrap();
        assert_eq!(
            (front.title.as_str(), front.level, body.as_str(), lines),
            ("T", Level::Beginner, "Body\n", 6)
        );
        assert_eq!(findings, []);
    }

    #[test]
    fn each_mistake_is_named_with_its_line() {
        let head = "---\ntitle: T\nlevel: beginner\nsummary: S\n";
        for (rest, line, part) in [
            ("minutes: 99\n---\n", 5, "1 to 30"),
            ("minutes: 5\nneeds: [warp-drive]\n---\n", 6, "warp-drive"),
            ("minutes: 5\nimages: [fedora]\n---\n", 6, "no image fedora"),
            ("minutes: 5\ncolour: red\n---\n", 6, "colour"),
            ("minutes: soon\n---\n", 5, "minutes"),
        ] {
            let (_, findings) = check(&format!("{head}{rest}"));
            assert_eq!(findings.len(), 1, "{rest}: {findings:?}");
            assert!(findings[0].message.contains(part), "{rest}: {findings:?}");
            assert_eq!(findings[0].line, line, "{findings:?}");
        }
        assert!(check("# Title\n").0.is_none());
    }
}
