//! What this machine's control groups can do for whoever asks: read once, from the files that are there.

use super::hierarchy::{self, Hierarchy};
use super::{device_rules, write};
use crate::doll::user_map;
use rustix::fs::Access;
use std::path::{Path, PathBuf};

/// The group into which the processes of a version 2 root go, so that there can be groups beside them.
const LEAF: &str = "init";

/// How the machine counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy for each controller, or for a few.
    One,
    /// One hierarchy.
    #[default]
    Two,
}

/// What there is. Without any of it, containers can still be put into groups, and frozen in version 2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Support {
    /// Which version.
    pub version: Version,
    /// Memory.
    pub memory: bool,
    /// Memory and swap.
    pub swap: bool,
    /// Memory below which a container is spared.
    pub reservation: bool,
    /// How gladly memory is swapped out.
    pub swappiness: bool,
    /// Whether a container may wait for memory where others are killed.
    pub oom_kill_disable: bool,
    /// What the network's buffers take.
    pub kernel_memory_tcp: bool,
    /// Shares of processor time.
    pub cpu_shares: bool,
    /// Quotas of processor time.
    pub cpu_quota: bool,
    /// The processors and memory nodes to choose from, as the kernel lists them.
    pub cpuset: Option<(String, String)>,
    /// How many processes.
    pub pids: bool,
    /// Weights of disks.
    pub block_io_weight: bool,
    /// Rules about devices.
    pub devices: bool,
    /// Whether processes can be stopped where they are.
    pub freezer: bool,
}

impl Support {
    /// What the caller may use; `None` where no groups are mounted, or it may not make any.
    ///
    /// In a user namespace version 1 has nothing to give: its rules are the machine's own.
    pub fn of_machine() -> Option<Self> {
        let hierarchies = hierarchy::all().ok().filter(|all| !all.is_empty())?;
        let writable = |one: &Hierarchy| rustix::fs::access(one.mounted_at(), Access::WRITE_OK).is_ok();
        if !hierarchies.iter().all(writable) {
            return None;
        }
        match hierarchies.iter().find(|one| one.is_unified()) {
            Some(unified) => Some(Self::version_2(unified.mounted_at())),
            None if user_map::in_user_namespace().unwrap_or(true) => None,
            None => Some(Self::version_1(&hierarchies)),
        }
    }

    fn version_1(hierarchies: &[Hierarchy]) -> Self {
        let of = |controller: &str| {
            hierarchies.iter().find(|one| one.has(controller)).map(|one| one.mounted_at().to_owned())
        };
        let there = |controller: &str, file: &str| of(controller).is_some_and(|at| at.join(file).exists());
        let cpuset = |at: PathBuf| (list(&at, "cpuset.cpus"), list(&at, "cpuset.mems"));
        Self {
            version: Version::One,
            memory: of("memory").is_some(),
            swap: there("memory", "memory.memsw.limit_in_bytes"),
            reservation: there("memory", "memory.soft_limit_in_bytes"),
            swappiness: there("memory", "memory.swappiness"),
            oom_kill_disable: there("memory", "memory.oom_control"),
            kernel_memory_tcp: there("memory", "memory.kmem.tcp.limit_in_bytes"),
            cpu_shares: there("cpu", "cpu.shares"),
            cpu_quota: there("cpu", "cpu.cfs_quota_us"),
            cpuset: of("cpuset").map(cpuset),
            pids: of("pids").is_some(),
            block_io_weight: there("blkio", "blkio.weight"),
            devices: of("devices").is_some(),
            freezer: of("freezer").is_some(),
        }
    }

    fn version_2(root: &Path) -> Self {
        let text = std::fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        let has = |controller: &str| text.split_whitespace().any(|word| word == controller);
        let cpuset = || (list(root, "cpuset.cpus.effective"), list(root, "cpuset.mems.effective"));
        Self {
            version: Version::Two,
            memory: has("memory"),
            swap: has("memory") && Path::new("/proc/swaps").exists(),
            reservation: has("memory"),
            cpu_shares: has("cpu"),
            cpu_quota: has("cpu"),
            cpuset: has("cpuset").then(cpuset),
            pids: has("pids"),
            block_io_weight: has("io") && root.join("io.weight").exists(),
            devices: !user_map::in_user_namespace().unwrap_or(true) && device_rules::are_possible(),
            freezer: true,
            ..Self::default()
        }
    }
}

fn list(root: &Path, file: &str) -> String {
    std::fs::read_to_string(root.join(file)).unwrap_or_default().trim().to_owned()
}

/// Version 2 gives controllers only to groups below one without processes, unless that is the machine's root: where the
/// groups that the caller sees begin with one that was handed over, all its processes go into a group below it.
pub fn make_room() {
    let unified = hierarchy::all().unwrap_or_default().into_iter().find(Hierarchy::is_unified);
    let Some(root) = unified.map(|one| one.mounted_at().to_owned()) else { return };
    // Only the machine's root has no type.
    if !root.join("cgroup.type").exists() || std::fs::create_dir(root.join(LEAF)).is_err() {
        return;
    }
    let processes = std::fs::read_to_string(root.join("cgroup.procs")).unwrap_or_default();
    for pid in processes.lines() {
        // One that cannot be moved keeps controllers from being given, which is told when something is to be limited.
        let _ = write(&root.join(LEAF).join("cgroup.procs"), pid);
    }
}
