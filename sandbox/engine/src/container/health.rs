//! Whether a container is well, as its checks have found. Pure: the checks are carried out by the engine.

use crate::settings::HealthCheck;
use std::collections::VecDeque;
use std::time::SystemTime;

/// How many results `docker inspect` shows.
const LOG_MAX: usize = 5;

/// How much of what a check writes is kept.
pub const OUTPUT_BYTES_MAX: usize = 4096;

/// The result of a check that came to no end of its own.
pub const NOT_ENDED: i32 = -1;

/// How a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wellness {
    /// No check has said yet.
    Starting,
    /// The last check was well, or those that were not are too few.
    Healthy,
    /// Too many checks in a row have failed.
    Unhealthy,
}

impl Wellness {
    /// Docker's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }

    /// As `docker ps` shows it behind the status.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Starting => "health: starting",
            other => other.word(),
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// When it began.
    pub start: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// Its exit code.
    pub code: i32,
    /// What it wrote.
    pub output: String,
}

/// What is known of a container's health.
#[derive(Clone, Debug)]
pub struct Health {
    /// How it is.
    pub wellness: Wellness,
    /// How many checks in a row have failed.
    pub streak: u32,
    /// The last checks, oldest first.
    pub log: VecDeque<Checked>,
}

impl Default for Health {
    fn default() -> Self {
        Self { wellness: Wellness::Starting, streak: 0, log: VecDeque::new() }
    }
}

impl Health {
    /// The container is started: what was found before is kept to be read, and counts no more.
    pub fn begin(&mut self) {
        (self.wellness, self.streak) = (Wellness::Starting, 0);
    }

    /// Takes a result, for a container that has run since `running_since`. Returns how it is now, if that is news.
    pub fn take(
        &mut self,
        checked: Checked,
        check: &HealthCheck,
        running_since: SystemTime,
    ) -> Option<Wellness> {
        let before = self.wellness;
        let since_start = checked.start.duration_since(running_since).unwrap_or_default();
        if checked.code == 0 {
            (self.wellness, self.streak) = (Wellness::Healthy, 0);
        } else if self.wellness != Wellness::Starting || since_start >= check.start_period {
            self.streak += 1;
            if self.streak >= check.retries {
                self.wellness = Wellness::Unhealthy;
            }
        }
        if self.log.len() == LOG_MAX {
            self.log.pop_front();
        }
        self.log.push_back(checked);
        (self.wellness != before).then_some(self.wellness)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn check() -> HealthCheck {
        HealthCheck {
            argv: vec![],
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            retries: 2,
            start_period: Duration::from_secs(10),
        }
    }

    fn take(health: &mut Health, second: u64, code: i32) -> Option<Wellness> {
        let start = UNIX_EPOCH + Duration::from_secs(second);
        let checked = Checked { start, end: start, code, output: String::new() };
        health.take(checked, &check(), UNIX_EPOCH)
    }

    #[test]
    fn failures_count_after_the_start_period_and_in_a_row() {
        let mut health = Health::default();
        assert_eq!((0..5).map(|s| take(&mut health, s, 1)).collect::<Vec<_>>(), [None; 5]);
        assert_eq!((health.streak, take(&mut health, 10, 1)), (0, None));
        assert_eq!(take(&mut health, 11, 1), Some(Wellness::Unhealthy));
        assert_eq!(take(&mut health, 12, 0), Some(Wellness::Healthy));
        assert_eq!((take(&mut health, 13, 1), take(&mut health, 14, 0)), (None, None));
        assert_eq!((take(&mut health, 15, 1), take(&mut health, 16, 3)), (None, Some(Wellness::Unhealthy)));
        assert_eq!(health.log.len(), LOG_MAX);
        assert_eq!(health.log.back().unwrap().code, 3);
    }

    #[test]
    fn one_success_ends_the_start_period_and_a_start_begins_it() {
        let mut health = Health::default();
        assert_eq!(take(&mut health, 1, 0), Some(Wellness::Healthy));
        assert_eq!((take(&mut health, 2, 1), take(&mut health, 3, 1)), (None, Some(Wellness::Unhealthy)));
        health.begin();
        assert_eq!((health.wellness, health.streak), (Wellness::Starting, 0));
        assert_eq!(take(&mut health, 4, 1), None);
    }
}
