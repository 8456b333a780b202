//! Rootless mode: the engine as an ordinary user's own. It is root in a user namespace in which 0 is that user and the rest are
//! the user's subordinate ids, with mounts and a network of its own; escaping from its containers leads no further than to
//! that user.
//!
//! Only the way in is here. Once inside, the engine does what it always does; the ports that containers publish are opened by
//! a process that stays behind in the network of the lab host.
//!
//! The program executes itself again once it is inside. The kernel counts the memory of a program to the user namespace in
//! which it was executed, and lets only its root look into the processes of its containers while they are being set up.

use crate::network::{Opener, opener};
use isolab_runtime::subid::{self, Range};
use isolab_runtime::{IdMaps, IdRange, own_namespace};
use rustix::io::FdFlags;
use rustix::process::{getegid, geteuid};
use std::convert::Infallible;
use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// What the program is told when it executes itself again, with the number of the descriptor that leads to who stayed behind.
pub const INSIDE: &str = "--rootless-inside";

/// Enters the namespaces and begins the program anew, with these arguments. To be called once, before there is any thread.
pub fn enter(arguments: impl Iterator<Item = OsString>) -> Result<Infallible, String> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    if uid == 0 {
        return Err("refusing to run as root: rootless mode is for an ordinary user".into());
    }
    let told = |error: std::io::Error| format!("/etc/passwd, /etc/subuid or /etc/subgid: {error}");
    let name = subid::user_name(uid).map_err(told)?;
    let ranges = subid::ranges(&name, uid).map_err(told)?;
    let name = if name.is_empty() { uid.to_string() } else { name };
    let maps = IdMaps { uids: map(uid, &ranges.uids), gids: map(gid, &ranges.gids) };
    for (file, map) in [("subuid", &maps.uids), ("subgid", &maps.gids)] {
        if map.len() < 2 {
            return Err(format!(
                "{name} has no line in /etc/{file}: the administrator adds one, such as {name}:100000:65536"
            ));
        }
    }
    let behind =
        opener::leave_behind().map_err(|error| format!("leaving a process for ports behind: {error}"))?;
    own_namespace::enter(&maps).map_err(|error| error.to_string())?;
    own_namespace::leave_network().map_err(|error| error.to_string())?;
    rustix::io::fcntl_setfd(&behind, FdFlags::empty()).map_err(|error| error.to_string())?;
    let mut again = Command::new("/proc/self/exe");
    again.args(arguments).arg(format!("{INSIDE}={}", behind.as_raw_fd()));
    if let Some(name) = std::env::args_os().next() {
        again.arg0(name);
    }
    Err(format!("executing our own program in its namespaces: {}", again.exec()))
}

/// Who opens ports, for a program that is inside.
pub fn opener(descriptor: i32) -> Result<Opener, String> {
    let socket = isolab_runtime::process::inherited(descriptor).map_err(|error| error.to_string())?;
    Ok(Opener::behind(socket))
}

/// 0 is the user, the rest are the user's subordinate ids, range after range.
fn map(own: u32, ranges: &[Range]) -> Vec<IdRange> {
    let mut all = vec![IdRange { inside: 0, outside: own, count: 1 }];
    let mut inside = 1_u32;
    for range in ranges {
        let Some(next) = inside.checked_add(range.count) else { break };
        all.push(IdRange { inside, outside: range.start, count: range.count });
        inside = next;
    }
    all
}

/// Says that the engine is ready, and how it is reached: who starts it in a terminal is waiting for that.
pub fn tell(sockets: &[PathBuf]) {
    for socket in sockets {
        eprintln!("API listen on {0}\nTo use it: export DOCKER_HOST=unix://{0}", socket.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_root_and_the_ranges_follow_without_a_gap() {
        let ranges = [Range { start: 100_000, count: 10 }, Range { start: 300_000, count: 5 }];
        let range = |inside, outside, count| IdRange { inside, outside, count };
        assert_eq!(map(1000, &ranges), [range(0, 1000, 1), range(1, 100_000, 10), range(11, 300_000, 5)]);
        assert_eq!(map(7, &[]), [range(0, 7, 1)]);
        assert_eq!(map(7, &[Range { start: 1, count: u32::MAX }]), [range(0, 7, 1)]);
    }
}
