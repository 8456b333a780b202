//! How much a tree holds: the bytes of its files and links, each counted once however many names it has, and nothing for
//! directories, as Docker counts.

use super::DEPTH_MAX;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The bytes of all files beneath a directory, which is open for reading. What goes meanwhile is not counted.
pub fn size_of(directory: BorrowedFd<'_>) -> io::Result<u64> {
    let mut seen = HashSet::new();
    add(directory, &mut seen, 0)
}

/// The same of a directory by its name; nothing where it cannot be read.
pub fn size_below(directory: &Path) -> u64 {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(directory, flags, Mode::empty());
    opened.ok().and_then(|directory| size_of(directory.as_fd()).ok()).unwrap_or(0)
}

fn add(directory: BorrowedFd<'_>, seen: &mut HashSet<(u64, u64)>, depth: usize) -> io::Result<u64> {
    // A container may go deeper than there are descriptors: that far down nothing is counted.
    if depth > DEPTH_MAX {
        return Ok(0);
    }
    let mut bytes = 0;
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            found => found?,
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            if stat.st_nlink < 2 || seen.insert((stat.st_dev, stat.st_ino)) {
                bytes += u64::try_from(stat.st_size).unwrap_or(0);
            }
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(directory, name, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            opened => bytes += add(opened?.as_fd(), seen, depth + 1)?,
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hard_links_count_once_and_links_by_their_length() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("d")).unwrap();
        std::fs::write(root.path().join("d/a"), "four").unwrap();
        std::fs::hard_link(root.path().join("d/a"), root.path().join("b")).unwrap();
        std::os::unix::fs::symlink("/etc", root.path().join("link")).unwrap();
        assert_eq!(size_below(root.path()), 4 + 4);
        assert_eq!(size_below(&root.path().join("missing")), 0);
    }
}
