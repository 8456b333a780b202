//! The refusals of a lab that are remembered, bounded in number and in how often they change.
//!
//! A learner can have a million calls refused in a second, each a little different from the last. What is told changes once per
//! [`CHANGE_EVERY`] at most, once the first few changes have been told at once.

use isolab_protocol::Refusal;
use isolab_protocol::refusal::REFUSALS_MAX;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often what is told may change for long. A follower is sent the whole observation at each change.
const CHANGE_EVERY: Duration = Duration::from_secs(1);

/// How many changes may come at once: a learner's script that runs into one wall after the other is told of as it runs.
const CHANGES_AT_ONCE: u32 = 10;

/// What is remembered, and what is told of it.
#[derive(Debug, Default)]
pub struct Ledger {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: VecDeque<Entry>,
    lost: u64,
    told: Told,
    /// Whether something is to be told that has not been.
    stale: bool,
    /// How many changes of late, as of `counted_at`.
    changes: u32,
    counted_at: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    refusal: Refusal,
    /// How often in fact; `refusal.count` is rounded.
    times: u64,
}

/// What an observation takes over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The refusals, the newest last.
    pub refusals: Vec<Refusal>,
    /// How many events were lost, rounded.
    pub lost: u64,
}

impl Ledger {
    /// Remembers a refusal.
    pub fn record(&self, refusal: Refusal) {
        self.with(|inner| inner.record(refusal));
    }

    /// So many events were lost.
    pub fn lose(&self, count: u64) {
        self.with(|inner| inner.lose(count));
    }

    /// The container with this mount namespace has this id and this name.
    pub fn name(&self, mnt: u64, id: &str, name: &str) {
        self.with(|inner| inner.name(mnt, id, name));
    }

    /// What is to be told at this moment.
    pub fn tell(&self, now: Instant) -> Told {
        self.with(|inner| inner.tell(now))
    }

    /// Begins anew, for another lab.
    pub fn forget(&self) {
        self.with(|inner| *inner = Inner::default());
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    fn record(&mut self, refusal: Refusal) {
        if let Some(at) = self.entries.iter().position(|entry| entry.is_like(&refusal)) {
            let entry = &mut self.entries[at];
            entry.times = entry.times.saturating_add(1);
            if rounded(entry.times) == entry.refusal.count {
                return;
            }
            entry.refusal.count = rounded(entry.times);
            // It is the newest again.
            let entry = self.entries.remove(at);
            self.entries.extend(entry);
        } else {
            if self.entries.len() == REFUSALS_MAX {
                self.entries.pop_front();
            }
            self.entries.push_back(Entry { refusal, times: 1 });
        }
        self.stale = true;
    }

    fn lose(&mut self, count: u64) {
        let before = rounded(self.lost);
        self.lost = self.lost.saturating_add(count);
        self.stale |= rounded(self.lost) != before;
    }

    fn name(&mut self, mnt: u64, id: &str, name: &str) {
        let is_its = |refusal: &Refusal| {
            refusal.mnt == mnt && (refusal.container.is_empty() || id.is_empty() || refusal.container == id)
        };
        for Entry { refusal, .. } in self.entries.iter_mut().filter(|entry| is_its(&entry.refusal)) {
            if refusal.name.is_empty() && !name.is_empty() {
                name.clone_into(&mut refusal.name);
                self.stale = true;
            }
            if refusal.container.is_empty() && !id.is_empty() {
                id.clone_into(&mut refusal.container);
                self.stale = true;
            }
        }
    }

    fn tell(&mut self, now: Instant) -> Told {
        if self.stale && self.may_change(now) {
            let refusals = self.entries.iter().map(|entry| entry.refusal.clone()).collect();
            self.told = Told { refusals, lost: rounded(self.lost) };
            self.stale = false;
        }
        self.told.clone()
    }

    fn may_change(&mut self, now: Instant) -> bool {
        let since = self.counted_at.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        let recovered = u32::try_from(since.as_millis() / CHANGE_EVERY.as_millis()).unwrap_or(u32::MAX);
        if recovered > 0 {
            self.changes = self.changes.saturating_sub(recovered);
            self.counted_at = Some(now);
        }
        let may = self.changes < CHANGES_AT_ONCE;
        self.changes += u32::from(may);
        may
    }
}

impl Entry {
    /// Whether it differs in nothing that is told but in who was first, and how often.
    fn is_like(&self, other: &Refusal) -> bool {
        let known = &self.refusal;
        // The kernel gives a namespace's number to another container once this one is gone.
        let is_same = |one: &str, two: &str| one == two || one.is_empty() || two.is_empty();
        is_same(&known.container, &other.container)
            && (known.mnt, &known.comm, &known.syscall, &known.errno, known.wall)
                == (other.mnt, &other.comm, &other.syscall, &other.errno, other.wall)
            && (&known.capability, &known.profile, &known.operation)
                == (&other.capability, &other.profile, &other.operation)
    }
}

/// Exact up to four, then the power of two below.
fn rounded(count: u64) -> u64 {
    match count {
        0..=4 => count,
        _ => 1 << count.ilog2(),
    }
}

#[cfg(test)]
mod tests;
