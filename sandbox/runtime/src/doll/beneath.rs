//! Paths inside a container's root, whose contents may be an attacker's.
//!
//! A path is resolved once, by the kernel, to a descriptor (`openat2` with `RESOLVE_IN_ROOT`), and everything
//! after that goes by the descriptor: a link that is swapped in later changes nothing. Nothing in here resolves a
//! path by name and then acts on the name.

use crate::error::{Call, Failed};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::path::{Component, Path, PathBuf};

/// The descriptor of whatever is at `path` beneath `root`, links followed as if `root` were `/`.
pub(crate) fn open(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Failed> {
    open_with(root, path, OFlags::PATH, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// The same for a place where a link has no business, such as `/proc`: a link anywhere is an error (ELOOP).
pub(crate) fn open_without_links(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
) -> Result<OwnedFd, Failed> {
    open_with(root, path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS)
}

fn open_with(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Failed> {
    // A rename anywhere on the machine makes the kernel give up a resolution with `..` in it: try again, but not
    // for ever, because the container may be the one who renames.
    const TRIES_MAX: u32 = 128;
    for _ in 1..TRIES_MAX {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            done => return done.call(|| format!("openat2(root, {path:?}, {flags:?}, {resolve:?})")),
        }
    }
    Err(Failed::because(
        format!("openat2(root, {path:?}): renamed {TRIES_MAX} times meanwhile"),
        Errno::AGAIN,
    ))
}

/// Whatever is `/` to the calling process now.
pub(crate) fn open_root() -> Result<OwnedFd, Failed> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(rustix::fs::CWD, "/", flags, Mode::empty()).call(|| "open(\"/\")")
}

/// The directory at `path`, made with all its missing parents (mode 0755) where it is absent.
pub(crate) fn directory(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Failed> {
    match open(root, path) {
        Err(failed) if failed.errno() == Errno::NOENT => {}
        found => return found,
    }
    let mut parent: Option<OwnedFd> = None;
    let mut so_far = PathBuf::new();
    for name in cleaned(path).iter() {
        so_far.push(name);
        let here = match open(root, &so_far) {
            Err(failed) if failed.errno() == Errno::NOENT => {
                let within = parent.as_ref().map_or(root, |p| p.as_fd());
                match rustix::fs::mkdirat(within, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(errno).call(|| format!("mkdirat({so_far:?}, 0755)")),
                }
                open(root, &so_far)?
            }
            found => found?,
        };
        parent = Some(here);
    }
    parent.map_or_else(|| open(root, Path::new("/")), Ok)
}

/// The file at `path` to mount another file over: made empty, with its missing parents, where it is absent.
pub(crate) fn file(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Failed> {
    match open(root, path) {
        Err(failed) if failed.errno() == Errno::NOENT => {}
        found => return found,
    }
    let path = cleaned(path);
    let name =
        path.file_name().ok_or_else(|| Failed::because(format!("{path:?} names no file"), Errno::ISDIR))?;
    let parent = directory(root, path.parent().unwrap_or(Path::new("")))?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o644))
        .call(|| format!("openat({path:?}, O_CREAT|O_EXCL)"))?;
    open(root, &path)
}

/// `path` without `.`, `..` and leading slashes, resolved by its words alone, as Docker cleans a mount's target.
pub(crate) fn cleaned(path: &Path) -> PathBuf {
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

/// `fstat`.
pub(crate) fn stat(of: BorrowedFd<'_>) -> Result<Stat, Failed> {
    rustix::fs::statat(of, "", AtFlags::EMPTY_PATH).call(|| "fstat")
}

/// Whether a descriptor is a directory.
pub(crate) fn is_directory(of: BorrowedFd<'_>) -> Result<bool, Failed> {
    Ok(FileType::from_raw_mode(stat(of)?.st_mode) == FileType::Directory)
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
        for path in ["out/passwd", "up/passwd", "../../etc/passwd"] {
            let failed = open(root.as_fd(), Path::new(path)).unwrap_err();
            assert_eq!(failed.errno(), Errno::NOENT, "{path}");
        }
        std::fs::create_dir(temp.path().join("etc")).unwrap();
        std::fs::write(temp.path().join("etc/passwd"), "ours").unwrap();
        for path in ["out/passwd", "up/passwd", "../../etc/passwd"] {
            let found = open(root.as_fd(), Path::new(path)).unwrap();
            assert_eq!(stat(found.as_fd()).unwrap().st_size, 4, "{path}");
        }
    }

    #[test]
    fn a_missing_target_is_made_with_its_parents_and_inside() {
        let temp = tempfile::tempdir().unwrap();
        symlink("/real", temp.path().join("link")).unwrap();
        std::fs::create_dir(temp.path().join("real")).unwrap();
        let root = root(&temp);
        file(root.as_fd(), Path::new("/link/a/b/file")).unwrap();
        assert!(temp.path().join("real/a/b/file").is_file());
        directory(root.as_fd(), Path::new("/x/../y/z")).unwrap();
        assert!(temp.path().join("y/z").is_dir() && !temp.path().join("x").exists());
    }

    #[test]
    fn a_dangling_link_is_refused_rather_than_followed_out() {
        let temp = tempfile::tempdir().unwrap();
        symlink("/nowhere", temp.path().join("link")).unwrap();
        let failed = directory(root(&temp).as_fd(), Path::new("link")).unwrap_err();
        assert_eq!(failed.errno(), Errno::NOENT);
        assert!(!temp.path().join("nowhere").exists());
    }

    #[test]
    fn where_links_have_no_business_one_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        symlink("real", temp.path().join("proc")).unwrap();
        std::fs::create_dir(temp.path().join("real")).unwrap();
        let failed = open_without_links(root(&temp).as_fd(), Path::new("/proc"), OFlags::PATH).unwrap_err();
        assert_eq!(failed.errno(), Errno::LOOP);
    }
}
