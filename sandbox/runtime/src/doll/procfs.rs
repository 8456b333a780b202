//! Writing to procfs, where it is known to be one: an image or a volume can bring a `/proc` of its own.

use super::mounts;
use crate::error::{Call, Failed};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags};

const PROC_SUPER_MAGIC: rustix::fs::FsWord = 0x9fa0;

/// The procfs that the caller sees at `/proc`. Errors: there is something else.
pub(crate) fn own() -> Result<OwnedFd, Failed> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let procfs =
        rustix::fs::openat(rustix::fs::CWD, "/proc", flags, Mode::empty()).call(|| "open(\"/proc\")")?;
    mounts::must_be_on(procfs.as_fd(), PROC_SUPER_MAGIC, "/proc")?;
    Ok(procfs)
}

/// Writes a file of a procfs, in one call. What is mounted over it, or leads out of it, is an error.
pub(crate) fn write(procfs: BorrowedFd<'_>, path: &str, value: &[u8]) -> Result<(), Failed> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat2(procfs, path, flags, Mode::empty(), resolve)
        .call(|| format!("openat2(procfs, {path:?})"))?;
    rustix::io::write(&file, value)
        .call(|| format!("write({path:?}, {:?})", String::from_utf8_lossy(value)))
        .map(drop)
}
