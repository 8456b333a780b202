//! From a [`Reading`] to the protocol's observation: the kernel's facts, and the labels that go with them. Pure.

use super::reader::{Inhabited, Reading};
use isolab_protocol::LabId;
use isolab_protocol::observation::{Container, Host, Kernel, Link, Observation, Process};
use std::collections::{BTreeMap, HashMap};

/// What the lab's engine calls a container. It is the learner's engine: these are the learner's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// 64 hex digits.
    pub id: String,
    /// Without the slash.
    pub name: String,
    /// As the learner gave it.
    pub image: String,
}

/// What is known of a lab beyond what its processes tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The engine's labels, by the pid (on the lab host) of the container's first process.
    pub labels: HashMap<u32, Label>,
    /// Hostnames by the inode of the UTS namespace.
    pub hostnames: HashMap<u64, String>,
    /// Links by the inode of the network namespace.
    pub links: HashMap<u64, Vec<Link>>,
}

/// When an observation was taken, and of what.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// The lab.
    pub lab: LabId,
    /// Counts up by one whenever the state has changed.
    pub seq: u64,
    /// In milliseconds since 1970.
    pub taken_at_ms: u64,
    /// See [`super::kernel`].
    pub kernel: Kernel,
}

impl Reading {
    /// The observation of this reading. Its `seq` and `taken_at_ms` are the only fields that change by themselves.
    pub fn assemble(self, moment: Moment, surroundings: &Surroundings) -> Observation {
        let Moment { lab, seq, taken_at_ms, kernel } = moment;
        let init = &self.host[0];
        let host = Host {
            namespaces: init.namespaces.clone(),
            hostname: surroundings.hostname(init),
            links: surroundings.links(init),
            processes: self.host,
            uid_map: self.uid_map,
            gid_map: self.gid_map,
            root_device: self.root_device,
            limit_events: self.limit_events,
        };
        let containers =
            self.containers.into_iter().map(|container| container.assemble(surroundings)).collect();
        // What was refused is no state to read: whoever follows the kernel's tracing adds it.
        let (refusals, refusals_lost) = (Vec::new(), 0);
        let truncated = self.truncated;
        Observation { lab, seq, taken_at_ms, kernel, host, containers, truncated, refusals, refusals_lost }
    }

    /// A process for each pair of network and UTS namespaces, by `(net, uts)`: where to survey hostnames and links.
    pub fn namespaces_to_survey(&self) -> BTreeMap<(u64, u64), u32> {
        let mut found = BTreeMap::new();
        let containers = self.containers.iter().flat_map(|container| &container.processes);
        for process in self.host.iter().chain(containers) {
            let (net, uts) = (process.namespaces.net.inode, process.namespaces.uts.inode);
            if net != 0 && uts != 0 {
                found.entry((net, uts)).or_insert(process.pid);
            }
        }
        found
    }
}

impl Inhabited {
    fn assemble(self, surroundings: &Surroundings) -> Container {
        let init = self.processes[0].clone();
        let label = self.processes.iter().find_map(|process| surroundings.labels.get(&process.pid));
        let Label { id, name, image } = label.cloned().unwrap_or_default();
        Container {
            id,
            name,
            image,
            hostname: surroundings.hostname(&init),
            namespaces: init.namespaces.clone(),
            links: surroundings.links(&init),
            init,
            processes: self.processes,
            uid_map: self.uid_map,
            gid_map: self.gid_map,
            mounts: self.mounts,
            limits: self.limits,
        }
    }
}

impl Surroundings {
    fn hostname(&self, of: &Process) -> String {
        self.hostnames.get(&of.namespaces.uts.inode).cloned().unwrap_or_default()
    }

    fn links(&self, of: &Process) -> Vec<Link> {
        self.links.get(&of.namespaces.net.inode).cloned().unwrap_or_default()
    }
}
