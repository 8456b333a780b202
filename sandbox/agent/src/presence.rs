//! Who is attached to a lab, and since when nobody is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Counts who is attached. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Presence {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    attached: usize,
    last_seen: Instant,
}

/// Somebody is attached while this lives.
#[derive(Debug)]
pub struct Attached {
    shared: Arc<Shared>,
}

impl Default for Presence {
    fn default() -> Self {
        let state = Mutex::new(State { attached: 0, last_seen: Instant::now() });
        Self { shared: Arc::new(Shared { state, changed: Notify::new() }) }
    }
}

impl Presence {
    /// Somebody comes.
    pub fn attach(&self) -> Attached {
        self.shared.state().attached += 1;
        Attached { shared: Arc::clone(&self.shared) }
    }

    /// Somebody was here for a moment.
    pub fn touch(&self) {
        drop(self.attach());
    }

    /// How long until nobody will have been here for `idle`; `None` while somebody is.
    pub fn left(&self, idle: Duration) -> Option<Duration> {
        let state = self.shared.state();
        (state.attached == 0).then(|| idle.saturating_sub(state.last_seen.elapsed()))
    }

    /// Returns once nobody has been here for `idle`.
    pub async fn idle_for(&self, idle: Duration) {
        loop {
            let changed = self.shared.changed.notified();
            match self.left(idle) {
                Some(Duration::ZERO) => return,
                Some(left) => {
                    tokio::select! {
                        () = changed => {}
                        () = sleep_until(Instant::now() + left) => {}
                    }
                }
                None => changed.await,
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.attached -= 1;
        state.last_seen = Instant::now();
        drop(state);
        self.shared.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_clock_starts_when_the_last_one_leaves() {
        let presence = Presence::default();
        let idle = Duration::from_secs(60);
        let (first, second) = (presence.attach(), presence.attach());
        assert_eq!(presence.left(idle), None);
        tokio::time::advance(Duration::from_secs(600)).await;
        drop(first);
        assert_eq!(presence.left(idle), None);
        drop(second);
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(presence.left(idle), Some(Duration::from_secs(40)));
        presence.touch();
        assert_eq!(presence.left(idle), Some(idle));
    }

    #[tokio::test(start_paused = true)]
    async fn idleness_is_noticed_and_put_off_by_a_visit() {
        let presence = Presence::default();
        let visitor = presence.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(50)).await;
            let visit = visitor.attach();
            tokio::time::sleep(Duration::from_secs(100)).await;
            drop(visit);
        });
        let began = Instant::now();
        presence.idle_for(Duration::from_secs(60)).await;
        assert_eq!(began.elapsed().as_secs(), 210);
    }
}
