//! The seccomp doll: which system calls a container may make.
//!
//! From Docker's profile format ([`Profile`]) to the OCI Spec's [`LinuxSeccomp`] to one BPF program
//! ([`CompiledFilter`]). All of it is pure; the program is installed by `sys.rs`. The compiler is our own rather than
//! `seccompiler`, which scans system calls one by one (slow to install: the kernel runs a filter once per call
//! number when it is installed), knows one errno and one architecture per filter, and kills every other
//! architecture. Ours makes one binary-search program over all of them, as libseccomp and runc would decide.

mod cache;
#[cfg(test)]
mod installed;
mod profile;
mod program;
mod rules;
#[cfg(test)]
mod simulate;
mod syscalls;
mod table;

pub use cache::FilterCache;
pub use profile::{Machine, Profile};
pub use syscalls::Architecture;

use crate::Error;
use oci_spec::runtime::{Capability, LinuxSeccomp, LinuxSeccompFilterFlag};
use serde::{Deserialize, Serialize};

/// One instruction of classic BPF, laid out as the kernel's `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
#[allow(missing_docs, reason = "the names are those of linux/filter.h")]
pub struct SockFilter {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

/// A program ready for `seccomp(SECCOMP_SET_MODE_FILTER, flags, &program)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompiledFilter {
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
    /// The program, at most [`INSTRUCTIONS_MAX`] long.
    pub program: Vec<SockFilter>,
}

/// The kernel's own bound on the length of a filter (`BPF_MAXINSNS`).
pub const INSTRUCTIONS_MAX: usize = 4096;

/// Docker's own profile, unchanged (see `NOTICE` beside it).
const DOCKER_PROFILE: &str = include_str!("../../assets/seccomp/default.json");

/// What the lab host may not call, although it holds every capability. Each reaches kernel code that user
/// namespaces have opened to strangers before or that is not namespaced at all, and no lesson of the sandbox
/// tier needs it.
const KEPT_FROM_LAB_HOST: &[&str] = &[
    "add_key",
    "bpf",
    "delete_module",
    "finit_module",
    "init_module",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "open_by_handle_at",
    "perf_event_open",
    "request_key",
    "swapoff",
    "swapon",
    "syslog",
    "userfaultfd",
];

/// What the lab host may call beyond Docker's profile: a host makes containers and debugs programs, and so
/// needs what a container does not.
const GIVEN_TO_LAB_HOST: &[&str] = &[
    "cachestat",
    "fchmodat2",
    "file_getattr",
    "file_setattr",
    "getxattrat",
    "listmount",
    "listxattrat",
    "mseal",
    "open_tree_attr",
    "personality",
    "pivot_root",
    "removexattrat",
    "setxattrat",
    "statmount",
];

/// Compiles a Spec's seccomp section for this machine's architecture and those of its subarchitectures that the
/// section lists. Names of calls that no kernel has are ignored, as runc does. Errors name the rule that cannot be.
pub fn compile(seccomp: &LinuxSeccomp) -> Result<CompiledFilter, Error> {
    let tables = rules::tables(seccomp)?;
    let program = program::assemble(&tables)?;
    Ok(CompiledFilter { flags: flags(seccomp), program })
}

/// Docker's default profile for a container with this bounding set, on this machine.
pub fn docker_default(bounding: impl IntoIterator<Item = Capability>) -> LinuxSeccomp {
    docker_profile().resolve(&Machine::this(), bounding)
}

/// Docker's default profile itself.
pub fn docker_profile() -> Profile {
    Profile::parse(DOCKER_PROFILE).expect("the profile that we ship parses: a test says so")
}

/// The outer filter of a lab host: Docker's profile for all capabilities, less what opens the machine's kernel and
/// plus what making containers takes.
pub fn lab_host() -> LinuxSeccomp {
    let mut profile = docker_profile();
    profile.take_away(KEPT_FROM_LAB_HOST);
    profile.give(GIVEN_TO_LAB_HOST);
    profile.resolve_with_all_capabilities(&Machine::this())
}

fn flags(seccomp: &LinuxSeccomp) -> u32 {
    let bit = |flag: &LinuxSeccompFilterFlag| match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 1,
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => 2,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => 4,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => 32,
    };
    seccomp.flags().iter().flatten().map(bit).fold(0, |all, one| all | one)
}

/// A rule that cannot be compiled, told as a step that failed with EINVAL.
fn invalid(what: impl Into<String>) -> Error {
    const EINVAL: i32 = 22;
    Error { step: "compiling the seccomp filter".into(), call: what.into(), errno: EINVAL }
}

#[cfg(test)]
mod tests;
