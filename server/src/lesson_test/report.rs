//! What came of each case: a line as it ends, a count at the end, or one JSON document.

use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What came of one case.
pub struct Outcome {
    /// The lesson's slug.
    pub lesson: String,
    /// The case's name, unique within its lesson.
    pub case: String,
    /// Passed, failed or skipped.
    pub result: Result,
    /// How long it took.
    pub took: Duration,
}

/// The three results; a skip is never a pass.
pub enum Result {
    /// The lesson holds what it promises.
    Passed,
    /// It does not, for this reason.
    Failed(String),
    /// It could not be tried here, for this reason.
    Skipped(String),
}

/// Collects outcomes.
pub struct Report {
    as_json: bool,
    started: Instant,
    rows: Vec<Value>,
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Report {
    /// An empty report. With `as_json`, the lines of progress go to standard error.
    pub fn new(as_json: bool) -> Self {
        Self { as_json, started: Instant::now(), rows: vec![], passed: 0, failed: 0, skipped: 0 }
    }

    /// Adds an outcome and tells of it.
    pub fn add(&mut self, outcome: Outcome) {
        let Outcome { lesson, case, result, took } = outcome;
        let (word, why) = match result {
            Result::Passed => ("passed", None),
            Result::Failed(why) => ("failed", Some(why)),
            Result::Skipped(why) => ("skipped", Some(why)),
        };
        match word {
            "passed" => self.passed += 1,
            "failed" => self.failed += 1,
            _ => self.skipped += 1,
        }
        self.tell(&format!("{word:7}  {:5.1} s  {lesson}  {case}", took.as_secs_f64()));
        for line in why.iter().flat_map(|why| why.lines()) {
            self.tell(&format!("    {line}"));
        }
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.rows
            .push(json!({ "lesson": lesson, "case": case, "result": word, "why": why, "took_ms": took_ms }));
    }

    fn tell(&self, line: &str) {
        if self.as_json { eprintln!("{line}") } else { println!("{line}") }
    }

    /// Prints the sum. Failure where a case failed, or where there was none to pass.
    pub fn finish(self) -> ExitCode {
        let Self { passed, failed, skipped, .. } = self;
        self.tell(&format!(
            "{passed} passed, {failed} failed, {skipped} skipped in {:.0} s",
            self.started.elapsed().as_secs_f64()
        ));
        if self.as_json {
            println!(
                "{:#}",
                json!({ "passed": passed, "failed": failed, "skipped": skipped, "cases": self.rows })
            );
        }
        if failed == 0 && passed + skipped > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
