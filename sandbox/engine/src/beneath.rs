//! Paths inside a container's root, whose contents may be an attacker's, as the engine resolves them.
//!
//! The kernel resolves a path once, to a descriptor (`openat2` with `RESOLVE_IN_ROOT`: links are followed as if the root
//! were `/`), and everything after that goes by the descriptor. Nothing in here acts on a name that it has looked at
//! before. (The runtime has its own, for the process that sets a container up.)

use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags, Stat, mkdirat, openat2, statat};
use rustix::io::Errno;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// A rename anywhere on the machine makes the kernel give up a resolution with `..` in it. Try again, but not for ever:
/// the container may be the one who renames.
const TRIES_MAX: u32 = 128;

/// Whatever is at `path` beneath `root`. A link at the very end is followed unless `flags` say `NOFOLLOW`.
pub fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    for _ in 1..TRIES_MAX {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            done => return done,
        }
    }
    Err(Errno::AGAIN)
}

/// The names in a directory, in order: archives and digests of equal trees are equal.
pub fn names(directory: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut names = vec![];
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    names.sort();
    Ok(names)
}

/// A descriptor of `path` that can be looked at and opened again, and of which nothing else is known.
pub fn locate(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    open(root, path, OFlags::PATH)
}

/// The directory at `path`, made with all its missing parents (mode 0755) where it is absent. `made` is told of each
/// that was made.
pub fn directory(
    root: BorrowedFd<'_>,
    path: &Path,
    made: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<()>,
) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    match open(root, path, flags) {
        Err(Errno::NOENT) => {}
        found => return Ok(found?),
    }
    let mut so_far = PathBuf::new();
    let mut parent = open(root, &so_far, flags)?;
    for name in cleaned(path).iter() {
        so_far.push(name);
        parent = match open(root, &so_far, flags) {
            Err(Errno::NOENT) => {
                let new = match mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) => true,
                    Err(Errno::EXIST) => false,
                    Err(error) => return Err(error.into()),
                };
                // Without following: a link that was put there meanwhile, or that leads nowhere, is not a directory.
                let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let here = rustix::fs::openat(&parent, name, flags, Mode::empty())?;
                if new {
                    made(here.as_fd())?;
                }
                here
            }
            found => found?,
        };
    }
    Ok(parent)
}

/// The file at `path` to mount another over: made empty, with its missing parents, where it is absent.
pub fn file(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    match locate(root, path) {
        Err(Errno::NOENT) => {}
        found => return Ok(found?),
    }
    let path = cleaned(path);
    let name = path.file_name().ok_or(Errno::ISDIR)?;
    let parent = directory(root, path.parent().unwrap_or(Path::new("")), &mut |_| Ok(()))?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o644))?;
    Ok(locate(root, &path)?)
}

/// `path` without `.`, `..` and leading slashes, resolved by its words alone.
pub fn cleaned(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    clean
}

/// `fstat`, also of a descriptor that only locates.
pub fn stat(of: BorrowedFd<'_>) -> Result<Stat, Errno> {
    statat(of, "", AtFlags::EMPTY_PATH)
}

/// The path by which the kernel finds what a descriptor is, for calls that take no descriptor of this kind.
pub fn by_descriptor(of: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", of.as_raw_fd()))
}

/// Opens what a descriptor has located, to read or to write it. Look first whether it is a file or a directory: to open
/// a device can already do something.
pub fn reopen(located: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::open(by_descriptor(located), flags | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn root(of: &tempfile::TempDir) -> OwnedFd {
        rustix::fs::open(of.path(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    #[test]
    fn a_link_to_the_machine_stays_inside_the_root() {
        let temp = tempfile::tempdir().unwrap();
        symlink("/etc", temp.path().join("out")).unwrap();
        symlink("../../../../etc", temp.path().join("up")).unwrap();
        let root = root(&temp);
        for path in ["out/passwd", "up/passwd", "../../etc/passwd", "/etc/passwd"] {
            assert_eq!(locate(root.as_fd(), Path::new(path)).unwrap_err(), Errno::NOENT, "{path}");
        }
        std::fs::create_dir(temp.path().join("etc")).unwrap();
        std::fs::write(temp.path().join("etc/passwd"), "ours").unwrap();
        for path in ["out/passwd", "up/passwd", "../../etc/passwd", "/etc/passwd"] {
            let found = locate(root.as_fd(), Path::new(path)).unwrap();
            assert_eq!(stat(found.as_fd()).unwrap().st_size, 4, "{path}");
        }
    }

    #[test]
    fn missing_directories_are_made_inside() {
        let temp = tempfile::tempdir().unwrap();
        symlink("/real", temp.path().join("link")).unwrap();
        symlink("/nowhere", temp.path().join("dangling")).unwrap();
        std::fs::create_dir(temp.path().join("real")).unwrap();
        let root = root(&temp);
        let mut count = 0;
        let mut made = |_: BorrowedFd<'_>| {
            count += 1;
            Ok(())
        };
        directory(root.as_fd(), Path::new("/link/a/../b/c"), &mut made).unwrap();
        assert!(temp.path().join("real/b/c").is_dir() && !temp.path().join("real/a").exists());
        file(root.as_fd(), Path::new("/link/f/file")).unwrap();
        assert!(temp.path().join("real/f/file").is_file());
        assert!(file(root.as_fd(), Path::new("dangling")).is_err());
        assert!(directory(root.as_fd(), Path::new("dangling/x"), &mut made).is_err());
        assert!(!temp.path().join("nowhere").exists());
        assert_eq!(count, 2);
    }
}
