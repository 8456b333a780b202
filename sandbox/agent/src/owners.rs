//! The ids that own user namespaces: one for each lab and each QEMU, because the kernel counts processes per owner.

use crate::ids;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Gives out owners; clones share what is taken.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    next: u32,
    taken: BTreeSet<u32>,
}

/// An id that nobody else has, for as long as this lives.
#[derive(Debug)]
pub struct Owner {
    id: u32,
    owners: Owners,
}

impl Owners {
    /// An owner that nobody else is.
    pub fn one(&self) -> Owner {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // There are far more owners than labs, so that a free one is soon found.
        let id = loop {
            let id = ids::OWNER_FIRST + state.next % ids::OWNER_COUNT;
            state.next = state.next.wrapping_add(1);
            if state.taken.insert(id) {
                break id;
            }
        };
        Owner { id, owners: self.clone() }
    }
}

impl Owner {
    /// The id, in the agent's own user namespace.
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.owners.state.lock().unwrap_or_else(PoisonError::into_inner).taken.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_nobody_elses_until_it_is_given_back() {
        let owners = Owners::default();
        let first = owners.one();
        let all: Vec<Owner> = (1..ids::OWNER_COUNT).map(|_| owners.one()).collect();
        assert_eq!(owners.state.lock().unwrap().taken.len() as u32, ids::OWNER_COUNT);
        let id = first.id();
        drop(first);
        assert_eq!(owners.one().id(), id, "the only one that is free");
        drop(all);
        assert!(owners.state.lock().unwrap().taken.is_empty());
    }
}
