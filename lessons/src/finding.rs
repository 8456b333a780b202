//! What is wrong with a lesson, and where.

use serde::Serialize;
use std::fmt;

/// One mistake in a lesson's files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The file, as a path below the lessons' folder.
    pub file: String,
    /// The line, counted from 1; 0 where the whole file is meant.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {}", self.file, self.message)
        } else {
            write!(f, "{}:{}: {}", self.file, self.line, self.message)
        }
    }
}

/// Collects the findings of one file.
pub(crate) struct Report<'a> {
    file: &'a str,
    findings: &'a mut Vec<Finding>,
}

impl<'a> Report<'a> {
    /// A report on `file` that adds to `findings`.
    pub fn on(file: &'a str, findings: &'a mut Vec<Finding>) -> Self {
        Self { file, findings }
    }

    /// Adds a finding.
    pub fn add(&mut self, line: usize, message: impl Into<String>) {
        self.findings.push(Finding { file: self.file.to_owned(), line, message: message.into() });
    }

    /// The value, or nothing and a finding that says why.
    pub fn take<T>(&mut self, line: usize, result: Result<T, impl fmt::Display>) -> Option<T> {
        result.map_err(|error| self.add(line, error.to_string())).ok()
    }
}
