//! What the kernel refused to a container's process, and which wall it was that refused.
//!
//! The kernel's own words, taken from its tracing while the refused call was still under way; nothing here is guessed from
//! what a program printed.

use serde::{Deserialize, Serialize};

/// The most refusals that an observation holds: a page shows a handful, and a check asks about one.
pub const REFUSALS_MAX: usize = 32;

/// One system call that a wall made fail, or many that are alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Refusal {
    /// The container's id: the name of its cgroup, or what the engine calls the one with this mount namespace. Empty where
    /// neither is known.
    pub container: String,
    /// The container's name, where it was seen while it had one. A label.
    pub name: String,
    /// The inode of the mount namespace that the process was in: which container it is, as the kernel tells them apart.
    pub mnt: u64,
    /// The pid of the thread on the lab host: of the first where there were several.
    pub pid: u32,
    /// Its name (`comm`) at that time; the process can rewrite it.
    pub comm: String,
    /// The system call: `mount`; its number where it has no name.
    pub syscall: String,
    /// What it failed with: `EPERM`, `EACCES`, `EROFS`, …; `SIGSYS` where the caller was killed for it.
    pub errno: String,
    /// The wall that refused.
    pub wall: Wall,
    /// The capability that was missing, or (`user_namespace`) held without effect; for `file_permission`, the one that
    /// would have overridden the file's mode.
    pub capability: Option<String>,
    /// The AppArmor profile.
    pub profile: Option<String>,
    /// What AppArmor was asked for (`open`, `mount`), or which device: `b 8:0 r`.
    pub operation: Option<String>,
    /// How often, at least. Told exactly up to four, then as the power of two below: a loop of a million refusals
    /// changes the observation twenty times, not a million times.
    pub count: u64,
}

/// What keeps a container's process from doing something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Wall {
    /// The capability is not in the effective set.
    Capability,
    /// The capability is in the effective set, and counts in the process's own user namespace only; the object belongs to
    /// another one.
    UserNamespace,
    /// A profile of AppArmor's.
    Apparmor,
    /// A filter on system calls.
    Seccomp,
    /// The file system, or the mount of it, is read-only.
    ReadOnly,
    /// The device rules of the container's cgroup.
    Device,
    /// The mode, owner or access list of a file, for a process that is not root.
    FilePermission,
    /// Yama, which restricts who may trace whom.
    Yama,
    /// Lockdown, which protects the running kernel from its own root.
    Lockdown,
    /// Something else: the call was refused, and none of the walls above spoke.
    Other,
}
