//! The user doll: which ids of the outside the ids inside a user namespace stand for.

use crate::Error;
use crate::error::{Call, Failed};
use oci_spec::runtime::LinuxIdMapping;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::process::{Command, Stdio};

/// `count` ids from `inside` on stand for as many from `outside` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// The first id inside.
    pub inside: u32,
    /// The first id in the namespace of the writer.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// The maps of a user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMaps {
    /// User ids, at least one range.
    pub uids: Vec<IdRange>,
    /// Group ids, the same.
    pub gids: Vec<IdRange>,
}

/// The kernel takes this many lines; more do not fit in the page that they are written with.
const RANGES_MAX: usize = 340;

/// Reads the maps of a Spec.
pub(crate) fn plan(uids: &[LinuxIdMapping], gids: &[LinuxIdMapping]) -> Result<IdMaps, Error> {
    let read = |name: &str, maps: &[LinuxIdMapping]| {
        if maps.is_empty() || maps.len() > RANGES_MAX {
            let why = format!("a new user namespace needs 1 to {RANGES_MAX} ranges, not {}", maps.len());
            return Err(Error::field(name, why));
        }
        let range = |map: &LinuxIdMapping| IdRange {
            inside: map.container_id(),
            outside: map.host_id(),
            count: map.size(),
        };
        let ranges: Vec<_> = maps.iter().map(range).collect();
        match ranges.iter().find(|r| {
            r.count == 0
                || r.inside.checked_add(r.count).is_none()
                || r.outside.checked_add(r.count).is_none()
        }) {
            Some(bad) => Err(Error::field(name, format!("{bad:?} is empty or goes beyond the last id"))),
            None => Ok(ranges),
        }
    };
    Ok(IdMaps { uids: read("linux.uidMappings", uids)?, gids: read("linux.gidMappings", gids)? })
}

/// Whether an id inside is mapped at all.
pub(crate) fn covers(ranges: &[IdRange], id: u32) -> bool {
    ranges.iter().any(|range| id >= range.inside && id - range.inside < range.count)
}

impl IdMaps {
    /// Writes the maps of the user namespace of process `pid`, which is a child of the caller's.
    /// What the kernel does not let the caller do itself, `newuidmap` and `newgidmap` do for it.
    pub(crate) fn write(&self, pid: u32) -> Result<(), Failed> {
        if may_set_ids()? {
            write_file(pid, "uid_map", &lines(&self.uids))?;
            return write_file(pid, "gid_map", &lines(&self.gids));
        }
        match self.is_only(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()) {
            true => {
                // Without privilege one's own id can be mapped, once groups can no longer be dropped.
                write_file(pid, "setgroups", "deny")?;
                write_file(pid, "uid_map", &lines(&self.uids))?;
                write_file(pid, "gid_map", &lines(&self.gids))
            }
            false => {
                run_helper("newuidmap", pid, &self.uids)?;
                run_helper("newgidmap", pid, &self.gids)
            }
        }
    }

    fn is_only(&self, uid: u32, gid: u32) -> bool {
        let only =
            |ranges: &[IdRange], id| matches!(ranges, [range] if range.count == 1 && range.outside == id);
        only(&self.uids, uid) && only(&self.gids, gid)
    }
}

/// Whether the caller is in another user namespace than the machine's first.
pub(crate) fn in_user_namespace() -> Result<bool, Failed> {
    let map = std::fs::read_to_string("/proc/self/uid_map").call(|| "read(\"/proc/self/uid_map\")")?;
    let words: Vec<_> = map.split_whitespace().collect();
    Ok(words != ["0", "0", "4294967295"])
}

fn may_set_ids() -> Result<bool, Failed> {
    use rustix::thread::CapabilitySet as Set;
    let held = rustix::thread::capabilities(None).call(|| "capget()")?.effective;
    Ok(held.contains(Set::SETUID | Set::SETGID))
}

fn lines(ranges: &[IdRange]) -> String {
    ranges.iter().map(|r| format!("{} {} {}\n", r.inside, r.outside, r.count)).collect()
}

fn write_file(pid: u32, name: &str, text: &str) -> Result<(), Failed> {
    let path = format!("/proc/{pid}/{name}");
    // One write: the kernel takes a map whole or not at all.
    std::fs::write(&path, text).call(|| format!("write({path:?}, {text:?})"))
}

fn run_helper(program: &str, pid: u32, ranges: &[IdRange]) -> Result<(), Failed> {
    let numbers = ranges.iter().flat_map(|r| [r.inside, r.outside, r.count]);
    let arguments: Vec<_> = [pid].into_iter().chain(numbers).map(|n| n.to_string()).collect();
    let words = || format!("{program} {}", arguments.join(" "));
    let output = Command::new(program).args(&arguments).stdin(Stdio::null()).output().call(words)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Failed::because(
        format!("{}: {said} (are the ids in /etc/subuid and /etc/subgid?)", words()),
        Errno::PERM,
    ))
}
