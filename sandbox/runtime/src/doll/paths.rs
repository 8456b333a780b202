//! The path doll: what of `/proc` and `/sys` a container may not see, or may not write.

use super::mounts::Attributes;
use super::{beneath, devices, mounts};
use crate::error::{Call, Failed};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::path::PathBuf;

/// Hides each path that exists: a file under the null device, a directory under one empty read-only tmpfs.
pub(crate) fn mask(root: BorrowedFd<'_>, paths: &[PathBuf]) -> Result<(), Failed> {
    let (mut null, mut empty) = (None, None);
    for path in paths {
        let Some(target) = existing(root, path)? else { continue };
        let (kept, make): (_, fn() -> _) = match beneath::is_directory(target.as_fd())? {
            true => (&mut empty, empty_directory),
            false => (&mut null, devices::null_mount),
        };
        // The first cover is made, and further ones are copies of it: only what is attached can be copied.
        let cover = match kept {
            Some(first) => mounts::clone_descriptor(OwnedFd::as_fd(first)),
            None => make(),
        };
        let attach = |cover: OwnedFd| mounts::attach(cover.as_fd(), target.as_fd()).map(|()| cover);
        kept.get_or_insert(cover.and_then(attach).map_err(|failed| failed.about(path))?);
    }
    Ok(())
}

fn empty_directory() -> Result<OwnedFd, Failed> {
    let options = [("size".to_owned(), Some("0".to_owned())), ("nr_inodes".to_owned(), Some("1".to_owned()))];
    mounts::new("tmpfs", "tmpfs", &options, Attributes::read_only().set)
}

/// Makes each path that exists read-only, with whatever is mounted below it.
pub(crate) fn make_read_only(root: BorrowedFd<'_>, paths: &[PathBuf]) -> Result<(), Failed> {
    for path in paths {
        let Some(target) = existing(root, path)? else { continue };
        let cover = || {
            let copy = clone_recursively(target.as_fd())?;
            Attributes::read_only().apply(copy.as_fd(), true)?;
            mounts::attach(copy.as_fd(), target.as_fd())
        };
        cover().map_err(|failed| failed.about(path))?;
    }
    Ok(())
}

fn existing(root: BorrowedFd<'_>, path: &std::path::Path) -> Result<Option<OwnedFd>, Failed> {
    match beneath::open(root, path) {
        Ok(found) => Ok(Some(found)),
        // ENOTDIR: a parent is a file, so the path does not exist either.
        Err(failed) if matches!(failed.errno(), Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(failed) => Err(failed),
    }
}

fn clone_recursively(of: BorrowedFd<'_>) -> Result<OwnedFd, Failed> {
    use rustix::mount::OpenTreeFlags as Flags;
    let flags =
        Flags::OPEN_TREE_CLONE | Flags::OPEN_TREE_CLOEXEC | Flags::AT_EMPTY_PATH | Flags::AT_RECURSIVE;
    rustix::mount::open_tree(of, "", flags).call(|| "open_tree(fd, OPEN_TREE_CLONE|AT_RECURSIVE)")
}
