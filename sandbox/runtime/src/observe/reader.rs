//! One lab, read: its processes, sorted into the lab host and its containers, and what is told once per container.

use super::executable::{Digests, Trusted};
use super::ids::{IdTranslation, Maps, compose};
use super::process::{self, Translations};
use super::procfs::Procfs;
use super::text;
use crate::Error;
use isolab_protocol::observation::{IdMapping, Mount, PROCESSES_MAX, Process};
use rustix::fd::OwnedFd;
use std::collections::{HashMap, HashSet};

/// How many mounts of a container are kept. Docker makes about 30; a learner can make 100000.
const MOUNTS_MAX: usize = 256;

/// Enough for [`MOUNTS_MAX`] lines of the longest paths that are not meant to waste our time.
const MOUNTINFO_BYTES_MAX: usize = 256 * 1024;

/// An id map has at most 340 lines of 33 bytes.
const MAP_BYTES_MAX: usize = 16 * 1024;

/// The lab host's first process, in its own pid namespace.
const INIT: u32 = 1;

/// What starts the kernel's own threads, where they can be seen.
const KTHREADD: u32 = 2;

/// Reads one lab, again and again.
#[derive(Debug)]
pub struct Reader {
    procfs: Procfs,
    machine: Maps,
    digests: Digests,
    /// The process that makes containers: the first one, where the lab host is a container itself.
    engine: u32,
    /// Whether the procfs shows the kernel's own threads, which are nobody's processes.
    has_kernel_threads: bool,
}

/// A container that has processes: what the kernel says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Inhabited {
    /// Its processes, the first one first, then by pid. Never empty.
    pub processes: Vec<Process>,
    /// Its uid map, as seen from the lab host.
    pub uid_map: Vec<IdMapping>,
    /// Its gid map, the same.
    pub gid_map: Vec<IdMapping>,
    /// What is mounted in it.
    pub mounts: Vec<Mount>,
}

/// A lab at one moment: what the kernel says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The processes in the lab host's own mount namespace, by pid. Never empty: its PID 1 is the first.
    pub host: Vec<Process>,
    /// The lab host's uid map, as seen from the machine.
    pub uid_map: Vec<IdMapping>,
    /// Its gid map, the same.
    pub gid_map: Vec<IdMapping>,
    /// The containers, oldest first.
    pub containers: Vec<Inhabited>,
    /// Whether there were more processes than [`PROCESSES_MAX`].
    pub truncated: bool,
}

impl Reader {
    /// A reader of the lab whose pid namespace `procfs` shows. `machine` is the caller's own maps
    /// ([`Maps::of_self`]). An error says that the descriptor is no procfs.
    pub fn new(procfs: OwnedFd, machine: Maps) -> Result<Self, Error> {
        let (procfs, digests) = (Procfs::new(procfs)?, Digests::default());
        Ok(Self { procfs, machine, digests, engine: INIT, has_kernel_threads: false })
    }

    /// A reader of the whole machine that `procfs` shows, in which `engine` makes the containers.
    pub fn of_machine(procfs: OwnedFd, machine: Maps, engine: u32) -> Result<Self, Error> {
        Ok(Self { engine, has_kernel_threads: true, ..Self::new(procfs, machine)? })
    }

    /// The procfs, for instance to open a namespace in it.
    pub fn procfs(&self) -> &Procfs {
        &self.procfs
    }

    /// Reads the lab. `None` where its PID 1 has ended.
    pub fn read(&mut self, trusted: &dyn Trusted) -> Option<Reading> {
        self.digests.begin_reading();
        let maps = self.maps(INIT)?;
        let ids =
            Translations { uid: IdTranslation::inwards(&maps.uid), gid: IdTranslation::inwards(&maps.gid) };
        let (pids, truncated) = self.procfs.pids(PROCESSES_MAX).ok()?;
        let mut processes = Vec::with_capacity(pids.len());
        for pid in pids {
            processes.extend(process::read(&self.procfs, pid, &ids, &mut self.digests, trusted));
        }
        if self.has_kernel_threads {
            processes.retain(|process: &Process| process.pid != KTHREADD && process.ppid != KTHREADD);
        }
        let being_set_up = self.being_set_up(&processes);
        let (host, groups) = group(processes, &being_set_up)?;
        let containers = groups.into_iter().map(|processes| self.inhabited(processes, &ids)).collect();
        Some(Reading {
            host,
            uid_map: compose(&maps.uid, &self.machine.uid),
            gid_map: compose(&maps.gid, &self.machine.gid),
            containers,
            truncated,
        })
    }

    /// Processes in another mount namespace that still execute the engine's own file: the engine's children on their way
    /// to becoming a container. They count as the lab host's until they execute their program.
    fn being_set_up(&self, processes: &[Process]) -> HashSet<u32> {
        let Some(maker) = processes.iter().find(|process| process.pid == self.engine) else {
            return HashSet::new();
        };
        let elsewhere = |process: &&Process| process.namespaces.mnt.inode != maker.namespaces.mnt.inode;
        let same_name = |process: &&Process| file_name(process) == file_name(maker);
        let mut suspects = processes.iter().filter(elsewhere).filter(same_name).peekable();
        if suspects.peek().is_none() {
            return HashSet::new();
        }
        let engine = process::executable_identity(&self.procfs, self.engine);
        let executes_engine =
            |pid: &u32| engine.is_some() && process::executable_identity(&self.procfs, *pid) == engine;
        suspects.map(|process| process.pid).filter(executes_engine).collect()
    }

    fn inhabited(&self, processes: Vec<Process>, ids: &Translations) -> Inhabited {
        let init = processes[0].pid;
        let maps = self.maps(init).unwrap_or_default();
        let mut buffer = Vec::new();
        let mountinfo =
            self.procfs.process(init).and_then(|dir| dir.read("mountinfo", MOUNTINFO_BYTES_MAX, &mut buffer));
        let mounts = if mountinfo.is_ok() { text::mounts(&buffer, MOUNTS_MAX) } else { vec![] };
        Inhabited { processes, uid_map: ids.uid.map(&maps.uid), gid_map: ids.gid.map(&maps.gid), mounts }
    }

    /// The maps of a process's user namespace, as the reader sees them.
    fn maps(&self, pid: u32) -> Option<Maps> {
        let dir = self.procfs.process(pid).ok()?;
        let mut buffer = Vec::new();
        let mut map = |file: &str| {
            dir.read(file, MAP_BYTES_MAX, &mut buffer).ok()?;
            Some(text::id_map(&buffer))
        };
        Some(Maps { uid: map("uid_map")?, gid: map("gid_map")? })
    }
}

/// The last part of the executable's path. A bind mount keeps the inode and may change the directory.
fn file_name(process: &Process) -> Option<&str> {
    process.executable.path.rsplit('/').next().filter(|name| !name.is_empty())
}

/// Sorts processes into the lab host's and, by mount namespace, the containers', and tells what is shared. `None`
/// where PID 1 is missing or a zombie.
pub(super) fn group(
    mut processes: Vec<Process>,
    being_set_up: &HashSet<u32>,
) -> Option<(Vec<Process>, Vec<Vec<Process>>)> {
    let init = processes.iter().find(|process| process.pid == INIT && process.namespaces.mnt.inode != 0)?;
    let of_host = init.namespaces.clone();
    let homes = homes(&processes, of_host.mnt.inode, being_set_up);
    processes.iter_mut().for_each(|process| tell_shared(process, &of_host));
    let mut host = Vec::new();
    let mut groups: HashMap<u64, Vec<Process>> = HashMap::new();
    for process in processes {
        match homes[&process.pid] {
            home if home == of_host.mnt.inode => host.push(process),
            home => groups.entry(home).or_default().push(process),
        }
    }
    host.sort_by_key(|process| process.pid);
    let mut containers: Vec<Vec<Process>> = groups.into_values().collect();
    containers.iter_mut().for_each(|container| init_first(container));
    containers.sort_by_key(|container| (container[0].started_at_ms, container[0].pid));
    Some((host, containers))
}

/// For each pid, the mount namespace that it counts for. A zombie has left all namespaces and counts for that of its
/// nearest ancestor which has not.
fn homes(processes: &[Process], host: u64, being_set_up: &HashSet<u32>) -> HashMap<u32, u64> {
    let own: HashMap<u32, (u64, u32)> = processes
        .iter()
        .map(|process| {
            let inode = if being_set_up.contains(&process.pid) { host } else { process.namespaces.mnt.inode };
            (process.pid, (inode, process.ppid))
        })
        .collect();
    let home = |pid: u32| {
        let mut at = pid;
        // Parents change while we read, so that a ring is possible: no more steps than there are processes.
        for _ in 0..own.len() {
            match own.get(&at) {
                Some((0, parent)) => at = *parent,
                Some((inode, _)) => return *inode,
                None => break,
            }
        }
        host
    };
    processes.iter().map(|process| (process.pid, home(process.pid))).collect()
}

/// Puts a container's first process in front: the oldest, and of those that the clock does not tell apart the one with
/// the lowest pid inside. A zombie is first only where nothing else is left.
fn init_first(container: &mut [Process]) {
    let is_zombie = |process: &Process| process.namespaces.mnt.inode == 0;
    container.sort_by_key(|process| process.pid);
    let first = (0..container.len()).min_by_key(|&at| {
        let process = &container[at];
        (is_zombie(process), process.started_at_ms, process.pid_inside, process.pid)
    });
    container[..=first.unwrap_or(0)].rotate_right(1);
}

fn tell_shared(process: &mut Process, host: &isolab_protocol::observation::Namespaces) {
    let own = &mut process.namespaces;
    let pairs = [
        (&mut own.user, &host.user),
        (&mut own.pid, &host.pid),
        (&mut own.mnt, &host.mnt),
        (&mut own.net, &host.net),
        (&mut own.uts, &host.uts),
        (&mut own.ipc, &host.ipc),
        (&mut own.cgroup, &host.cgroup),
        (&mut own.time, &host.time),
    ];
    for (own, host) in pairs {
        own.shared = own.inode != 0 && own.inode == host.inode;
    }
}

#[cfg(test)]
mod tests;
