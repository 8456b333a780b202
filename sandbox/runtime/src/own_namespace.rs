//! A user and mount namespace for the calling program itself, and a network of its own where it wants one: "root" that is
//! root of nothing else.

use crate::doll::user_map::IdMaps;
use crate::doll::{identity, network};
use crate::error::{Call, Failed};
use crate::sys::{self, Clone as Side};
use crate::{Error, process};
use nix::libc;
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::process::DumpableBehavior;

pub use crate::doll::user_map::IdRange;

/// Moves the calling program into a new user namespace with these maps and a new mount namespace, and makes it root
/// there. Call it before any other thread exists. The maps are written directly where the caller may, and by
/// `newuidmap` and `newgidmap` otherwise.
pub fn enter(maps: &IdMaps) -> Result<(), Error> {
    try_enter(maps).map_err(|failed| failed.in_step("entering a user namespace of our own"))
}

/// Moves the calling program into a new network namespace with a loopback that is up. Call it as root of the user namespace,
/// before any other thread exists.
pub fn leave_network() -> Result<(), Error> {
    let unshared = sys::unshare(libc::CLONE_NEWNET).call(|| "unshare(CLONE_NEWNET)");
    let done = unshared.and_then(|()| network::loopback_up());
    done.map_err(|failed| failed.in_step("entering a network namespace of our own"))
}

fn try_enter(maps: &IdMaps) -> Result<(), Failed> {
    let (waits, opens) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).call(|| "pipe2()")?;
    let us = std::process::id();
    // The maps have to be written from outside, so a child stays behind to do it.
    let pidfd = match sys::clone(0).call(|| "clone3(0)")? {
        Side::Parent { pidfd, .. } => pidfd,
        Side::Child => {
            drop(opens);
            let written = match rustix::io::read(&waits, &mut [0]) {
                Ok(1) => maps.write(us),
                _ => sys::exit(1),
            };
            if let Err(failed) = written {
                eprintln!("isolab: {}", failed.in_step("mapping user and group ids"));
                sys::exit(1);
            }
            sys::exit(0)
        }
    };
    drop(waits);
    let unshared =
        sys::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS).call(|| "unshare(CLONE_NEWUSER|CLONE_NEWNS)");
    if unshared.is_ok() {
        rustix::io::write(&opens, &[1]).call(|| "write(helper)")?;
    }
    drop(opens);
    let helper = process::wait(pidfd.as_fd())
        .map_err(|error| Failed::because(error.to_string(), Errno::from_raw_os_error(error.errno)))?;
    unshared?;
    if helper.as_shell() != 0 {
        return Err(Failed::because("the ids could not be mapped (see above)", Errno::PERM));
    }
    identity::become_root()?;
    // Where a process that we make gets no keys of its own, it must not have those of whoever started us.
    match sys::join_new_session_keyring() {
        // A user's quota of keys (200) is spent by whoever starts many agents at a time; the kernel gives them back
        // late. Labs have their own ids and quotas, and their filter refuses all calls on keys anyway.
        // So does the filter of a lab in which we may be ourselves (EPERM).
        Err(Errno::NOSYS | Errno::DQUOT | Errno::PERM) => {}
        joined => joined.call(|| "keyctl(KEYCTL_JOIN_SESSION_KEYRING)")?,
    }
    // Changed ids make a process non-dumpable, and then not even it can read all of its own /proc.
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable).call(|| "prctl(PR_SET_DUMPABLE)")
}
