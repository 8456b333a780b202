//! What the kernel says of a lab, read by the agent from outside it.
//!
//! One JSON document drives the live picture, the checks and the tests alike. Facts (numbers, sets,
//! inodes, executables) come from the kernel; `name`, `id` and `image` of a container are labels that the
//! learner's own engine supplies, and are to be treated as the learner's words.

use crate::lab::LabId;
use crate::refusal::Refusal;
use serde::{Deserialize, Serialize};

/// The state of one lab at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Observation {
    /// The lab.
    pub lab: LabId,
    /// Counts up by one whenever the state has changed.
    pub seq: u64,
    /// When it was read, in milliseconds since 1970.
    pub taken_at_ms: u64,
    /// The one kernel under everything.
    pub kernel: Kernel,
    /// The lab host.
    pub host: Host,
    /// The containers on it, oldest first.
    pub containers: Vec<Container>,
    /// Whether a limit cut the picture short (see [`PROCESSES_MAX`]).
    pub truncated: bool,
    /// What the kernel refused to containers' processes of late, the newest last (see [`crate::refusal::REFUSALS_MAX`]). Empty
    /// in the sandbox tier, where the kernel is everybody's and nobody may trace it.
    #[serde(default)]
    pub refusals: Vec<Refusal>,
    /// How many events of the kernel's were lost to a limit or were not understood, so that a refusal may be missing; rounded as
    /// [`Refusal::count`] is.
    #[serde(default)]
    pub refusals_lost: u64,
}

/// The most processes that an observation holds: beyond it `truncated` is set. A learner's lab has a dozen;
/// a fork bomb has thousands, and must not make the agent or the page slow.
pub const PROCESSES_MAX: usize = 512;

/// The kernel, as `uname` tells it from outside the lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Kernel {
    /// `uname -r`.
    pub release: String,
    /// `uname -v`.
    pub version: String,
    /// `/proc/sys/kernel/random/boot_id`: the same for all that share this boot of this kernel.
    pub boot_id: String,
}

/// The lab host: what the learner calls "the host".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Host {
    /// The namespaces of its PID 1.
    pub namespaces: Namespaces,
    /// Its hostname, read from its UTS namespace.
    pub hostname: String,
    /// Its processes that are in no container, by pid.
    pub processes: Vec<Process>,
    /// Its network links.
    pub links: Vec<Link>,
    /// Its uid map, as seen from the machine.
    pub uid_map: Vec<IdMapping>,
    /// Its gid map, the same.
    pub gid_map: Vec<IdMapping>,
    /// The device that its root is on, as `major:minor`; empty where the kernel does not tell.
    pub root_device: String,
    /// How often limits were reached in all of its containers' control groups, those that are gone included. Absent where it has
    /// none of version 2, and where there never was a container.
    pub limit_events: Option<LimitEvents>,
}

/// A container: the processes that share a mount namespace other than the lab host's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Container {
    /// The engine's id for it, 64 hex digits, or empty where the engine knows nothing of it. A label.
    pub id: String,
    /// The engine's name for it, without the slash. A label.
    pub name: String,
    /// The image's name as the learner gave it. A label.
    pub image: String,
    /// Its hostname, read from its UTS namespace.
    pub hostname: String,
    /// Its first process.
    pub init: Process,
    /// All of its processes, `init` first, then by pid.
    pub processes: Vec<Process>,
    /// The namespaces of `init`, each with whether the lab host shares it.
    pub namespaces: Namespaces,
    /// Its uid map, as seen from the lab host.
    pub uid_map: Vec<IdMapping>,
    /// Its gid map, the same.
    pub gid_map: Vec<IdMapping>,
    /// What is mounted in it, in mount order.
    pub mounts: Vec<Mount>,
    /// What its first process's control group allows; absent where there are none of version 2.
    pub limits: Option<Limits>,
    /// Its network links.
    pub links: Vec<Link>,
}

/// What a control group allows, by the controllers of version 2. A limit is absent where the group itself sets none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Limits {
    /// The most memory, in bytes (`memory.max`).
    pub memory_max: Option<u64>,
    /// The most swap, in bytes (`memory.swap.max`).
    pub swap_max: Option<u64>,
    /// The most processes and threads (`pids.max`).
    pub pids_max: Option<u64>,
    /// The most processor time in each period, in microseconds (`cpu.max`).
    pub cpu_quota_us: Option<u64>,
    /// How long a period is (`cpu.max`).
    pub cpu_period_us: Option<u64>,
    /// Its share where processors are short (`cpu.weight`).
    pub cpu_weight: Option<u64>,
    /// How often the limits were reached, in the groups below it too.
    pub events: LimitEvents,
}

/// How often limits were reached. Counts are exact below ten, and from there rounded down to their first digit: what happens a thousand
/// times a second is no news each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct LimitEvents {
    /// Memory had to be won back because a group was full (`max` of `memory.events`).
    pub memory_max: u64,
    /// None could be won back (`oom` of `memory.events`). Where the machine itself ran out, this does not count.
    pub oom: u64,
    /// The kernel killed a process for want of memory, of the group's or of the machine's (`oom_kill` of `memory.events`).
    pub oom_kill: u64,
    /// A fork was refused (`max` of `pids.events`).
    pub pids_max: u64,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Process {
    /// Its pid on the lab host.
    pub pid: u32,
    /// Its pid in its own pid namespace: 1 for a container's first process.
    pub pid_inside: u32,
    /// Its pid in each pid namespace from the lab host's inwards (`NSpid`).
    pub pids: Vec<u32>,
    /// Its parent's pid on the lab host; 0 where the parent is outside.
    pub ppid: u32,
    /// Its arguments. The process can rewrite them: rest no grade on them without `executable`.
    pub argv: Vec<String>,
    /// Its name (`comm`), at most 15 bytes; the process can rewrite it.
    pub comm: String,
    /// What it executes.
    pub executable: Executable,
    /// Its state letter, as `ps` prints it: R, S, D, T, Z, …
    pub state: String,
    /// When it started, in milliseconds since the kernel's boot.
    pub started_at_ms: u64,
    /// Its user ids, as seen from the lab host.
    pub uid: Ids,
    /// Its group ids, the same.
    pub gid: Ids,
    /// Its supplementary groups, the same.
    pub groups: Vec<u32>,
    /// Its five capability sets.
    pub capabilities: CapabilitySets,
    /// Whether it can never gain privileges by exec (`PR_SET_NO_NEW_PRIVS`).
    pub no_new_privs: bool,
    /// Its system-call filter.
    pub seccomp: Seccomp,
    /// Its label from AppArmor or SELinux; absent where the kernel has neither.
    pub lsm_label: Option<String>,
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// Its cgroup, as `/proc/PID/cgroup` tells it for the unified hierarchy; empty where there is none.
    pub cgroup: String,
}

/// The file that a process executes, as the kernel knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Executable {
    /// Its path in the process's own mount namespace; empty for a zombie.
    pub path: String,
    /// Whether its bytes are those that Isolab's own images hold at that path: `false` for a file that the learner
    /// made, changed, or put under another program's name.
    pub pristine: bool,
}

/// Real, effective, saved and file-system id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
#[allow(missing_docs, reason = "the names are those of proc_pid_status(5)")]
pub struct Ids {
    pub real: u32,
    pub effective: u32,
    pub saved: u32,
    pub filesystem: u32,
}

/// The capability sets of a process, each as 16 hex digits, as `/proc/PID/status` prints them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
#[allow(missing_docs, reason = "the names are those of capabilities(7)")]
pub struct CapabilitySets {
    pub inheritable: String,
    pub permitted: String,
    pub effective: String,
    pub bounding: String,
    pub ambient: String,
}

/// The system-call filter of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Seccomp {
    /// 0 none, 1 strict, 2 filter (`Seccomp:` of proc_pid_status(5)).
    pub mode: u32,
    /// How many filters are stacked, those of the lab host included.
    pub filters: u32,
}

/// The namespaces of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
#[allow(missing_docs, reason = "the names are those of namespaces(7)")]
pub struct Namespaces {
    pub user: Namespace,
    pub pid: Namespace,
    pub mnt: Namespace,
    pub net: Namespace,
    pub uts: Namespace,
    pub ipc: Namespace,
    pub cgroup: Namespace,
    pub time: Namespace,
}

/// One namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Namespace {
    /// Its inode number: the number in `pid:[4026532811]`. 0 where it could not be read (a zombie).
    pub inode: u64,
    /// Whether it is the lab host's own.
    pub shared: bool,
}

/// One line of a uid or gid map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct IdMapping {
    /// The first id inside.
    pub inside: u32,
    /// The first id outside.
    pub outside: u32,
    /// How many ids.
    pub count: u32,
}

/// One mount, from `/proc/PID/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Mount {
    /// Where it is mounted, as the container sees it.
    pub target: String,
    /// The file system's type.
    pub fstype: String,
    /// The device that it is on, as `major:minor`; with a major of 0 where that is no device.
    pub device: String,
    /// The part of the file system that is mounted; `/` for all of it.
    pub root: String,
    /// Mount options: `ro`, `nosuid`, …
    pub options: Vec<String>,
}

/// One network link, with its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its index in its own network namespace.
    pub index: u32,
    /// `loopback`, `veth`, `bridge`, or the kernel's own word for its kind.
    pub kind: String,
    /// Whether it is up.
    pub up: bool,
    /// For a veth: the index of the other end, in the other end's network namespace.
    pub peer_index: Option<u32>,
    /// The name of the bridge it is plugged into, where it is.
    pub bridge: Option<String>,
    /// Its addresses, as `172.17.0.2/16`.
    pub addresses: Vec<String>,
}
