//! What may be mounted over `/proc`, or inside it: next to nothing.
//!
//! Whoever decides what `/proc` shows decides what is read and written there: a volume of an image's own
//! (CVE-2019-16884, CVE-2019-19921) would let it answer for the kernel, and lie over what is masked. The rules are those of runc,
//! but they are asked of the descriptor that is mounted over, so that no link leads past them.

use super::beneath;
use crate::error::{Call, Failed};
use rustix::fd::BorrowedFd;
use rustix::fs::FsWord;
use rustix::io::Errno;
use std::path::Path;

const PROC_SUPER_MAGIC: FsWord = 0x9fa0;

/// The inode of every procfs's own root.
const PROC_ROOT_INODE: u64 = 1;

/// Files that lxcfs and its like answer with a container's own figures.
const MAY_BE_REPLACED: [&str; 10] = [
    "proc/cpuinfo",
    "proc/diskstats",
    "proc/meminfo",
    "proc/stat",
    "proc/swaps",
    "proc/uptime",
    "proc/loadavg",
    "proc/slabinfo",
    "proc/sys/kernel/ns_last_pid",
    "proc/sys/crypto/fips_enabled",
];

const TMPFS_MAGIC: FsWord = 0x0102_1994;

/// An error unless `mounted` may be attached over `target`, which is what `destination` has led to. `new` is a file system
/// of its own, and no part of the machine's tree.
pub(crate) fn check(
    destination: &Path,
    new: bool,
    mounted: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
) -> Result<(), Failed> {
    let words = beneath::cleaned(destination);
    let refuse = |why: &str| {
        Err(Failed::because(format!("{destination:?} cannot be mounted because it is {why}"), Errno::PERM))
    };
    if words == Path::new("proc") {
        return match is_whole_procfs(mounted)? {
            true => Ok(()),
            false => refuse("not of type proc"),
        };
    }
    if !is_on(target, PROC_SUPER_MAGIC)? {
        return Ok(());
    }
    let allowed = match new && is_on(mounted, TMPFS_MAGIC)? {
        // Docker's `--tmpfs /proc/acpi` hides what it is put over; but settings have to be settings.
        true => words.starts_with("proc") && !words.starts_with("proc/sys"),
        false => MAY_BE_REPLACED.iter().any(|path| words == Path::new(path)),
    };
    if allowed { Ok(()) } else { refuse("inside /proc") }
}

fn is_on(of: BorrowedFd<'_>, magic: FsWord) -> Result<bool, Failed> {
    Ok(rustix::fs::fstatfs(of).call(|| "fstatfs")?.f_type == magic)
}

/// A procfs from its root on, new or another's: not a part of one.
fn is_whole_procfs(of: BorrowedFd<'_>) -> Result<bool, Failed> {
    Ok(is_on(of, PROC_SUPER_MAGIC)? && beneath::stat(of)?.st_ino == PROC_ROOT_INODE)
}
