//! A harness with three outcomes: passed, failed, and skipped because of something that is said aloud and counted.
//! The standard harness knows no skip, and a skip that looks like a pass is a lie.
//!
//! Tests run one after another: they look at the whole machine, and would see each other's traces.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

/// Why a test did not pass.
#[derive(Debug)]
pub enum Stop {
    /// What was wanted and what was seen.
    Failed(String),
    /// What this machine lacks for the test to mean anything.
    Skipped(String),
}

/// What a test returns.
pub type Outcome = Result<(), Stop>;

impl<E: std::error::Error> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Ends the test as failed unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::harness::Stop::Failed(format!($($message)+)));
        }
    };
}

/// Ends the test as skipped, with the reason.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)+) => {
        return Err($crate::harness::Stop::Skipped(format!($($reason)+)))
    };
}

/// A test and its name; `W` is what all tests share.
pub struct Test<W> {
    /// `group::what_holds`.
    pub name: String,
    /// The test itself.
    pub run: fn(&W) -> Outcome,
}

/// A list of tests, named after their functions: `tests![World; lab::exit_status, lab::output]`.
#[macro_export]
macro_rules! tests {
    ($($function:path),+ $(,)?) => {
        [$($crate::harness::Test { name: stringify!($function).replace(' ', ""), run: $function }),+]
    };
}

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those that passed.
    pub passed: usize,
    /// Those that failed.
    pub failed: usize,
    /// Those that could not be tried here.
    pub skipped: usize,
}

impl Tally {
    /// Success only if something passed and nothing failed: an empty run proves nothing.
    pub fn exit_code(self) -> ExitCode {
        if self.failed == 0 && self.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Runs the tests whose name contains one of `filters` (all, if there is none), and says how each ended.
pub fn run<W>(world: &W, tests: &[Test<W>], filters: &[String], say: &mut dyn FnMut(&str)) -> Tally {
    let mut tally = Tally::default();
    let wanted =
        |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    for test in tests.iter().filter(|test| wanted(&test.name)) {
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| (test.run)(world)))
            .unwrap_or_else(|_| Err(Stop::Failed("it panicked; the message is above".to_owned())));
        let seconds = began.elapsed().as_secs_f32();
        match outcome {
            Ok(()) => {
                tally.passed += 1;
                say(&format!("ok      {} ({seconds:.1} s)", test.name));
            }
            Err(Stop::Failed(why)) => {
                tally.failed += 1;
                say(&format!("FAILED  {} ({seconds:.1} s): {why}", test.name));
            }
            Err(Stop::Skipped(why)) => {
                tally.skipped += 1;
                say(&format!("SKIPPED {}, because {why}", test.name));
            }
        }
    }
    say(&format!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped));
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(_: &()) -> Outcome {
        Ok(())
    }

    fn fails(_: &()) -> Outcome {
        ensure!(1 + 1 == 3, "one and one is {}", 1 + 1);
        Ok(())
    }

    fn skips(_: &()) -> Outcome {
        skip!("there is no {}", "moon")
    }

    fn panics(_: &()) -> Outcome {
        panic!("on purpose, to see that the harness counts it")
    }

    #[test]
    fn each_outcome_is_counted_and_said() {
        let mut said = String::new();
        let tests = tests![passes, fails, skips, panics];
        let tally = run(&(), &tests, &[], &mut |line| said.push_str(&format!("{line}\n")));
        assert_eq!(tally, Tally { passed: 1, failed: 2, skipped: 1 });
        assert!(said.contains("because there is no moon") && said.contains("one and one is 2"), "{said}");
        assert!(said.ends_with("1 passed, 2 failed, 1 skipped\n"), "{said}");
    }

    #[test]
    fn only_a_run_in_which_something_passed_and_nothing_failed_succeeds() {
        let success = |passed, failed| {
            format!("{:?}", Tally { passed, failed, skipped: 9 }.exit_code())
                == format!("{:?}", ExitCode::SUCCESS)
        };
        assert!(success(1, 0) && !success(0, 0) && !success(5, 1));
    }

    #[test]
    fn a_filter_chooses_tests() {
        let tally = run(&(), &tests![passes, fails], &["pass".to_owned()], &mut |_| {});
        assert_eq!(tally, Tally { passed: 1, failed: 0, skipped: 0 });
    }
}
