//! Whether a container that has ended is started again, and when. Pure: it decides, and the engine does.

use crate::settings::Policy;
use std::time::Duration;

/// How long is waited before the first restart; each further one in a row waits twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(100);

/// No restart waits longer than this: Docker's bound.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A container that ran for so long was well: the next pause is the first again.
const WELL_TIME: Duration = Duration::from_secs(10);

/// What is known of a container's restarts.
#[derive(Clone, Debug, Default)]
pub struct Restarts {
    /// The policy at present: `docker update` changes it.
    pub policy: Policy,
    /// How often it was started again since it was last started by hand: `RestartCount` of `docker inspect`.
    pub count: u32,
    /// Whether it was stopped or killed by hand since then.
    pub stopped_by_hand: bool,
    /// Whether it is restarted by hand at this moment: its end does not remove it then, even with `--rm`.
    pub stays: bool,
    /// Whether its next end is wanted, whatever the policy.
    wanted_end: bool,
    pause: Duration,
}

impl Restarts {
    /// A container with this policy that was never started.
    pub fn new(policy: Policy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// It is started by hand: all is forgotten.
    pub fn started_by_hand(&mut self) {
        *self = Self::new(self.policy);
    }

    /// Somebody stops it or kills it: its end, which may be long in coming, is the last.
    pub fn stop_by_hand(&mut self) {
        (self.stopped_by_hand, self.wanted_end) = (true, true);
    }

    /// The engine itself stops it, because it ends.
    pub fn stop_with_engine(&mut self) {
        self.wanted_end = true;
    }

    /// It has ended. Returns how long to wait before it is started again, or that it is not.
    pub fn after_end(&mut self, code: i32, ran_for: Duration) -> Option<Duration> {
        if ran_for >= WELL_TIME {
            self.pause = Duration::ZERO;
        }
        if self.wanted_end || !self.wanted(code) {
            return None;
        }
        self.pause = if self.pause.is_zero() { PAUSE_FIRST } else { (self.pause * 2).min(PAUSE_MAX) };
        self.count += 1;
        Some(self.pause)
    }

    /// Whether an engine that starts anew is to start it. `always` means it, even where it was stopped by hand.
    pub fn with_engine(&self, code: i32) -> bool {
        self.wanted(code)
    }

    fn wanted(&self, code: i32) -> bool {
        match self.policy {
            Policy::No => false,
            Policy::Always => true,
            Policy::UnlessStopped => !self.stopped_by_hand,
            Policy::OnFailure(max) => code != 0 && (max == 0 || self.count < max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(5);

    #[test]
    fn pauses_double_up_to_a_minute_and_begin_anew_after_a_good_run() {
        let mut restarts = Restarts::new(Policy::Always);
        let pauses: Vec<_> = (0..12).map(|_| restarts.after_end(0, SHORT).unwrap().as_millis()).collect();
        assert_eq!(pauses[..4], [100, 200, 400, 800]);
        assert_eq!(pauses[9..], [51_200, 60_000, 60_000]);
        assert_eq!(restarts.after_end(0, WELL_TIME).unwrap(), PAUSE_FIRST);
        assert_eq!(restarts.count, 13);
    }

    #[test]
    fn failures_are_counted() {
        let mut restarts = Restarts::new(Policy::OnFailure(2));
        assert_eq!(restarts.after_end(0, SHORT), None);
        assert!(restarts.after_end(1, SHORT).is_some() && restarts.after_end(1, SHORT).is_some());
        assert_eq!((restarts.after_end(1, SHORT), restarts.count), (None, 2));
        restarts.started_by_hand();
        assert!(restarts.after_end(1, SHORT).is_some(), "a start by hand begins to count anew");
        let mut endless = Restarts::new(Policy::OnFailure(0));
        assert!((0..50).all(|_| endless.after_end(9, SHORT).is_some()));
    }

    #[test]
    fn a_stop_by_hand_is_the_end_until_the_engine_starts_anew() {
        for (policy, anew) in [(Policy::Always, true), (Policy::UnlessStopped, false), (Policy::No, false)] {
            let mut restarts = Restarts::new(policy);
            restarts.stop_by_hand();
            assert_eq!(restarts.after_end(137, SHORT), None, "{policy:?}");
            assert_eq!(restarts.with_engine(137), anew, "{policy:?}");
        }
    }
}
