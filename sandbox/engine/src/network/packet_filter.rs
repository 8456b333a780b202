//! Has the kernel take the rules of [`super::firewall`], through `iptables-save` and `iptables-restore` of the lab host: the same
//! programs that Docker uses, so that what they list is what Docker's users know.
//!
//! A lab host without them, or with a kernel that filters nothing, works all the same: see there.

use super::firewall::{Forward, Rules, Walls, rules, script};
use crate::programs::run;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The filter; a handle that is cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct PacketFilter(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// Whether there is anything to fill it for: no bridges, no rules.
    wanted: bool,
    /// Whether forwarding was switched on by us: then what no rule allows is not forwarded.
    closed: bool,
    networks: Vec<Walls>,
    /// By the numbers that [`PacketFilter::published`] gave.
    forwards: BTreeMap<u64, Vec<Forward>>,
    next: u64,
    applied: Rules,
    /// Whether it was told already that rules cannot be made here.
    told: bool,
}

impl PacketFilter {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins with these networks, oldest first, in a thread of its own: nobody waits for it but who changes something.
    pub fn begin(&self, networks: Vec<Walls>, closed: bool) {
        {
            let mut inner = self.inner();
            (inner.wanted, inner.closed, inner.networks) = (true, closed, networks);
        }
        let filter = self.clone();
        // Where there is no thread to be had, the next change brings the rules.
        let _ = std::thread::Builder::new().spawn(move || filter.inner().apply());
    }

    /// A network is there.
    pub fn add(&self, network: Walls) {
        let mut inner = self.inner();
        inner.networks.push(network);
        inner.apply();
    }

    /// The network of this bridge has gone.
    pub fn remove(&self, bridge: &str) {
        let mut inner = self.inner();
        inner.networks.retain(|network| network.bridge != bridge);
        inner.apply();
    }

    /// A place for the ports of one container. They lead nowhere yet.
    pub fn published(&self) -> Published {
        let mut inner = self.inner();
        inner.next += 1;
        Published { filter: self.clone(), number: inner.next }
    }
}

/// Ports that the filter leads to a container, until this is dropped.
#[derive(Debug)]
pub struct Published {
    filter: PacketFilter,
    number: u64,
}

impl Published {
    /// From now on they lead there, and nowhere else.
    pub fn lead(&self, forwards: Vec<Forward>) {
        let mut inner = self.filter.inner();
        inner.forwards.insert(self.number, forwards);
        inner.apply();
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        let mut inner = self.filter.inner();
        inner.forwards.remove(&self.number);
        inner.apply();
    }
}

impl Inner {
    fn apply(&mut self) {
        if !self.wanted {
            return;
        }
        let forwards: Vec<_> = self.forwards.values().flatten().cloned().collect();
        let wanted = rules(&self.networks, &forwards);
        // Most containers publish nothing: they shall not wait for two programs that change nothing.
        if wanted == self.applied {
            return;
        }
        let done = run("iptables-save", "").and_then(|saved| {
            run("iptables-restore --noflush", &script(&saved, &wanted, &self.applied, self.closed))
        });
        match done {
            Ok(_) => self.applied = wanted,
            Err(why) if !self.told => {
                self.told = true;
                eprintln!("isolab-engine: no iptables rules (ports and networks work without them): {why}");
            }
            Err(_) => {}
        }
    }
}
