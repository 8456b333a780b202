//! The limit doll: resource limits, the out-of-memory score, and kernel settings of the container's own namespaces.

use super::procfs;
use crate::Error;
use crate::error::{Call, Failed};
use oci_spec::runtime::PosixRlimit;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// One resource limit; `u64::MAX` is no limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limit {
    /// As the Spec names it: `RLIMIT_NOFILE`.
    pub name: String,
    pub soft: u64,
    pub hard: u64,
}

/// Reads the limits of a Spec.
pub(crate) fn plan(limits: &[PosixRlimit]) -> Result<Vec<Limit>, Error> {
    let read = |(index, limit): (usize, &PosixRlimit)| {
        let (soft, hard) = (limit.soft(), limit.hard());
        let name = limit.typ().to_string();
        if soft > hard {
            let why = format!("{name}: the soft limit {soft} is above the hard limit {hard}");
            return Err(Error::field(format!("process.rlimits[{index}]"), why));
        }
        match by_name(&name) {
            Some(_) => Ok(Limit { name, soft, hard }),
            None => Err(Error::field(format!("process.rlimits[{index}]"), format!("{name} is not known"))),
        }
    };
    limits.iter().enumerate().map(read).collect()
}

fn by_name(name: &str) -> Option<Resource> {
    Some(match name {
        "RLIMIT_AS" => Resource::As,
        "RLIMIT_CORE" => Resource::Core,
        "RLIMIT_CPU" => Resource::Cpu,
        "RLIMIT_DATA" => Resource::Data,
        "RLIMIT_FSIZE" => Resource::Fsize,
        "RLIMIT_LOCKS" => Resource::Locks,
        "RLIMIT_MEMLOCK" => Resource::Memlock,
        "RLIMIT_MSGQUEUE" => Resource::Msgqueue,
        "RLIMIT_NICE" => Resource::Nice,
        "RLIMIT_NOFILE" => Resource::Nofile,
        "RLIMIT_NPROC" => Resource::Nproc,
        "RLIMIT_RSS" => Resource::Rss,
        "RLIMIT_RTPRIO" => Resource::Rtprio,
        "RLIMIT_RTTIME" => Resource::Rttime,
        "RLIMIT_SIGPENDING" => Resource::Sigpending,
        "RLIMIT_STACK" => Resource::Stack,
        _ => return None,
    })
}

impl Limit {
    /// Sets it on the calling process.
    pub(crate) fn perform(&self) -> Result<(), Failed> {
        let Some(resource) = by_name(&self.name) else {
            return Err(Failed::because(format!("{} is not known", self.name), rustix::io::Errno::INVAL));
        };
        let bound = |value: u64| (value != u64::MAX).then_some(value);
        setrlimit(resource, Rlimit { current: bound(self.soft), maximum: bound(self.hard) })
            .call(|| format!("setrlimit({}, {}, {})", self.name, self.soft, self.hard))
    }
}

/// Runs `action` with another soft limit on the number of processes, which is set back afterwards (in the caller
/// and in what `action` clones). Only the soft limit,
/// because no privilege is then needed to go back.
pub(crate) fn with_processes_max<T>(
    processes_max: Option<u64>,
    action: impl FnOnce() -> Result<T, Failed>,
) -> Result<T, Failed> {
    let Some(wanted) = processes_max else { return action() };
    let before = getrlimit(Resource::Nproc);
    let during = before.maximum.map_or(wanted, |hard| wanted.min(hard));
    let set = |current| setrlimit(Resource::Nproc, Rlimit { current, maximum: before.maximum });
    set(Some(during)).call(|| format!("setrlimit(RLIMIT_NPROC, {during})"))?;
    let done = action();
    set(before.current).call(|| "setrlimit(RLIMIT_NPROC, as before)")?;
    done
}

/// A kernel setting as a file of procfs: `net.ipv4.ip_forward` is `sys/net/ipv4/ip_forward`. An error unless it
/// belongs to a namespace of the container's own: anything else would change the machine.
pub(crate) fn plan_setting(
    name: &str,
    new_network: bool,
    new_ipc: bool,
    new_uts: bool,
) -> Result<String, Error> {
    let at = || format!("linux.sysctl.{name}");
    // Some names have dots within a part (an interface `eth0.1`), and then slashes as separators.
    let path = if name.contains('/') { name.to_owned() } else { name.replace('.', "/") };
    if path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Err(Error::field(at(), "is not the name of a setting"));
    }
    let of_ipc = path.starts_with("fs/mqueue/")
        || matches!(
            path.as_str(),
            "kernel/msgmax"
                | "kernel/msgmnb"
                | "kernel/msgmni"
                | "kernel/sem"
                | "kernel/shmall"
                | "kernel/shmmax"
                | "kernel/shmmni"
                | "kernel/shm_rmid_forced"
        );
    let owned = (path.starts_with("net/") && new_network)
        || (of_ipc && new_ipc)
        || (path == "kernel/domainname" && new_uts);
    match owned {
        true => Ok(path),
        false => Err(Error::field(at(), "is not in a namespace that is the container's own")),
    }
}

/// Writes a setting, through a procfs that is known to be one.
pub(crate) fn write_setting(procfs: BorrowedFd<'_>, path: &str, value: &str) -> Result<(), Failed> {
    let path = format!("sys/{path}");
    procfs::write(procfs, &path, value.as_bytes())
}

/// How willing the kernel is to kill the calling process when memory runs out. Lowering it needs a privilege outside,
/// and not having that is no error: the process then keeps its maker's score.
pub(crate) fn set_oom_score(score: i32) -> Result<(), Failed> {
    let procfs = procfs::own()?;
    match procfs::write(procfs.as_fd(), "self/oom_score_adj", score.to_string().as_bytes()) {
        Err(failed) if matches!(failed.errno(), rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => {
            Ok(())
        }
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_sets_what_is_its_own_and_nothing_of_the_machine() {
        let own = |name| plan_setting(name, true, true, true);
        assert_eq!(
            own("net.ipv4.ip_unprivileged_port_start").unwrap(),
            "net/ipv4/ip_unprivileged_port_start"
        );
        assert_eq!(own("kernel.shm_rmid_forced").unwrap(), "kernel/shm_rmid_forced");
        assert_eq!(own("net/ipv4/conf/eth0.1/forwarding").unwrap(), "net/ipv4/conf/eth0.1/forwarding");
        for name in [
            "kernel.core_pattern",
            "vm.swappiness",
            "net/../kernel/core_pattern",
            "kernel.modprobe",
            "net..x",
        ] {
            assert!(own(name).unwrap_err().call.contains("linux.sysctl"), "{name}");
        }
        // CVE-2022-0811: with the machine's own namespaces nothing is the container's.
        assert!(plan_setting("net.ipv4.ip_forward", false, true, true).is_err());
        assert!(plan_setting("kernel.sem", true, false, true).is_err());
    }
}
