//! The calling program's own file, put where no container can write to it.
//!
//! A container that gets its maker to execute `/proc/self/exe` (a script that names it as its interpreter does) has
//! the maker's own file within reach, and, being root, could write to it (CVE-2019-5736). Copying the file
//! into memory at each start is one remedy; this one costs less: the program executes itself again through a
//! read-only mount of that one file which is attached nowhere, so that nobody can make it writable again.

use crate::Error;
use crate::doll::mounts::{self, Attributes};
use crate::doll::user_map;
use crate::error::{Call, Failed};
use crate::sys;
use oci_spec::runtime::LinuxIdMapping;
use rustix::fd::AsFd;
use rustix::fs::StatVfsMountFlags;
use rustix::io::Errno;
use rustix::thread::CapabilitySet;
use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;

const OWN: &str = "/proc/self/exe";

const STEP: &str = "protecting our own program from containers";

/// Sees to it, and goes on from the beginning of the program where it has to. Call it before the program has had any
/// effect, with no other thread. Only root of the machine needs it: to everybody else's containers the file belongs
/// to a stranger.
pub fn seal() -> Result<(), Error> {
    try_seal().map_err(|failed| failed.in_step(STEP))
}

/// [`seal`], unless the file belongs to a stranger for this container as well: its user namespace maps `uids`, and the
/// file's owner is not among them. `None` is a container without a user namespace of its own.
pub fn seal_against(uids: Option<&[LinuxIdMapping]>) -> Result<(), Error> {
    let a_strangers = uids.map_or(Ok(false), a_strangers).map_err(|failed| failed.in_step(STEP))?;
    if a_strangers { Ok(()) } else { seal() }
}

fn a_strangers(uids: &[LinuxIdMapping]) -> Result<bool, Failed> {
    let file = rustix::fs::stat(OWN).call(|| format!("stat({OWN:?})"))?;
    let maps = |map: &LinuxIdMapping| {
        file.st_uid >= map.host_id() && u64::from(file.st_uid - map.host_id()) < u64::from(map.size())
    };
    const OTHERS_MAY_WRITE: u32 = 0o022;
    Ok(file.st_mode & OTHERS_MAY_WRITE == 0 && !uids.iter().any(maps))
}

fn try_seal() -> Result<(), Failed> {
    // Without this capability there are no containers to be afraid of, except in user namespaces.
    let held = rustix::thread::capabilities(None).call(|| "capget()")?.effective;
    if !held.contains(CapabilitySet::SYS_ADMIN) || user_map::in_user_namespace()? {
        return Ok(());
    }
    let flags = rustix::fs::statvfs(OWN).call(|| format!("statvfs({OWN:?})"))?.f_flag;
    if flags.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    let file = mounts::clone_tree(OWN.as_ref(), false)?;
    Attributes::read_only().apply(file.as_fd(), false)?;
    let arguments = std::env::args_os().map(|argument| CString::new(argument.into_vec()));
    let arguments: Vec<_> = arguments
        .collect::<Result<_, _>>()
        .map_err(|_| Failed::because("an argument with a NUL", Errno::INVAL))?;
    Err(sys::execute_file(file.as_fd(), &arguments)).call(|| "execveat(own program)")
}
