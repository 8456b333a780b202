//! One file per doll: each knows how a container puts it on.
//!
//! The pure half of a doll turns its part of the OCI Spec into steps; the other half carries such a step out in the
//! new process. Reading dolls back from the kernel is in [`crate::observe`].

pub(crate) mod apparmor;
pub(crate) mod beneath;
pub(crate) mod capabilities;
pub mod cgroup;
pub(crate) mod cgroup_mounts;
pub mod console;
pub(crate) mod devices;
pub mod fence;
pub(crate) mod identity;
pub(crate) mod limits;
pub(crate) mod mounts;
pub(crate) mod namespaces;
pub(crate) mod netlink;
pub mod network;
mod over_proc;
pub(crate) mod paths;
pub(crate) mod procfs;
pub mod rewire;
pub mod root;
pub mod seccomp;
pub mod user_map;
