//! The rules of the house that a program can check by reading the repository. `tests/tidy.rs` applies them.
//!
//! Each rule is a pure function from texts to findings, and is itself tested on a text that breaks it.

pub mod architecture;
pub mod files;
pub mod layers;
pub mod modules;
pub mod unsafety;

use std::fmt;
use std::path::Path;

/// One text file of the repository.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it is, from the root of the repository, with `/` between the parts.
    pub path: String,
    /// All of it.
    pub text: String,
}

impl Source {
    /// A source made up by a test.
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Whether the name ends in `.` and one of these.
    pub fn has_extension(&self, extensions: &[&str]) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, found)| extensions.contains(&found))
    }
}

/// One breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, from the root of the repository.
    pub path: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong and what to do about it.
    pub what: String,
}

impl Finding {
    /// A finding at a line, counted from 1.
    pub fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// What holds nothing anybody wrote: folders, and the file that is `.git` in a second working tree. And `fuzz`, five programs of one
/// line that a macro makes, outside of the workspace: what they call is in the crates.
const NOT_OURS: [&str; 6] = [".git", "target", "node_modules", "dist", "generated", "fuzz"];

/// Every text file below `root` that somebody wrote, in order of path.
pub fn sources(root: &Path) -> std::io::Result<Vec<Source>> {
    let mut found = Vec::new();
    collect(root, root, &mut found)?;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        if NOT_OURS.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if kind.is_dir() {
            collect(root, &path, found)?;
        } else if kind.is_file() {
            // What is not text (a font, a picture) has no rules.
            if let Ok(text) = std::fs::read_to_string(&path) {
                let inside = path.strip_prefix(root).unwrap_or(&path);
                found.push(Source { path: inside.to_string_lossy().into_owned(), text });
            }
        }
    }
    Ok(())
}

/// The sources that are Rust and not a lesson's.
pub fn rust(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources.iter().filter(|source| source.has_extension(&["rs"]))
}
