//! A tar becomes a directory that labs can use: owners shifted to the labs' ids, file capabilities kept.
//!
//! It runs as "root" of the agent's own user namespace, so that no root of the machine is needed. A hostile archive
//! can fill the directory, and nothing else: no path leaves it and no symbolic link is followed.

use crate::ids;
use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fchown,
    fsetxattr, linkat, mkdirat, open, openat2, symlinkat, syncfs, utimensat,
};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use tar::EntryType;

/// The most entries of one archive; a whole distribution with a desktop has about 300,000.
const ENTRIES_MAX: u64 = 1_000_000;

/// The extended attribute that holds a file's capabilities; the only one that images need.
const CAPABILITY: &str = "security.capability";

/// Unpacks an archive into an existing, empty directory, and waits until the disk has it.
/// Errors name the entry; what was unpacked so far stays for the caller to remove.
pub fn unpack(archive: impl Read, into: &Path) -> io::Result<()> {
    unpack_as(archive, into, ids::of_lab)
}

fn unpack_as(archive: impl Read, into: &Path, shift: Shift) -> io::Result<()> {
    let root = open(into, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut unpacking = Unpacking { root, directories: Vec::new(), last_parent: None, shift };
    let mut count = 0;
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        count += 1;
        if count > ENTRIES_MAX {
            return Err(io::Error::other(format!("more than {ENTRIES_MAX} entries")));
        }
        let path = inside(&entry.path()?)?;
        unpacking.entry(&mut entry, &path).map_err(|error| about(&path, &error))?;
    }
    unpacking.finish()
}

fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// The path below the root; one that would leave it is refused.
fn inside(path: &Path) -> io::Result<PathBuf> {
    let mut kept = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => kept.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::other(format!("{} leaves the archive", path.display())));
            }
        }
    }
    Ok(kept)
}

struct Owner {
    uid: Uid,
    gid: Gid,
}

/// Which id of the agent's namespace an id of the archive becomes.
type Shift = fn(u64) -> Option<u32>;

struct Unpacking {
    root: OwnedFd,
    /// Directories and their times, which are set last because every new file changes them.
    directories: Vec<(PathBuf, u64)>,
    /// The parent that was used last: archives go directory by directory.
    last_parent: Option<(PathBuf, OwnedFd)>,
    shift: Shift,
}

impl Unpacking {
    fn entry(&mut self, entry: &mut tar::Entry<'_, impl Read>, path: &Path) -> io::Result<()> {
        let mode = Mode::from_raw_mode(entry.header().mode()? & 0o7777);
        let time = entry.header().mtime()?;
        let owner = self.owner(entry.header())?;
        let Some(name) = path.file_name() else {
            chownat(&self.root, ".", Some(owner.uid), Some(owner.gid), AtFlags::empty())?;
            fchmod(&self.root, mode)?;
            self.directories.push((PathBuf::from("."), time));
            return Ok(());
        };
        let parent = self.parent(path)?;
        match entry.header().entry_type() {
            EntryType::Directory => {
                directory(parent, name, mode, &owner)?;
                self.directories.push((path.to_owned(), time));
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                file(parent, name, mode, &owner, time, entry)?;
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().ok_or_else(|| io::Error::other("a link to nothing"))?;
                symlinkat(OsStr::from_bytes(&target), parent, name)?;
                chownat(parent, name, Some(owner.uid), Some(owner.gid), AtFlags::SYMLINK_NOFOLLOW)?;
                utimensat(parent, name, &times(time), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            EntryType::Link => {
                let target = entry.link_name()?.ok_or_else(|| io::Error::other("a link to nothing"))?;
                let target = inside(&target)?;
                let existing = self.open(&target, OFlags::PATH | OFlags::NOFOLLOW)?;
                let parent = self.parent(path)?;
                // By descriptor, so that the name cannot lead anywhere else than where it was checked.
                let by_fd = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&existing));
                linkat(rustix::fs::CWD, by_fd.as_str(), parent, name, AtFlags::SYMLINK_FOLLOW)?;
            }
            // A user namespace cannot make devices, and labs get theirs from the runtime. Sockets and pipes of a
            // file system at rest have no use.
            EntryType::Char | EntryType::Block | EntryType::Fifo => {}
            other => return Err(io::Error::other(format!("an entry of the unknown kind {other:?}"))),
        }
        Ok(())
    }

    fn owner(&self, header: &tar::Header) -> io::Result<Owner> {
        let shifted = |id: u64| {
            let no_such = || io::Error::other(format!("it belongs to {id}, which no lab has"));
            (self.shift)(id).ok_or_else(no_such)
        };
        Ok(Owner { uid: Uid::from_raw(shifted(header.uid()?)?), gid: Gid::from_raw(shifted(header.gid()?)?) })
    }

    fn open(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?)
    }

    fn parent(&mut self, path: &Path) -> io::Result<&OwnedFd> {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let opened = match self.last_parent.take() {
            Some((last, opened)) if last == parent => opened,
            _ => self.open(parent, OFlags::PATH | OFlags::DIRECTORY)?,
        };
        Ok(&self.last_parent.insert((parent.to_owned(), opened)).1)
    }

    fn finish(self) -> io::Result<()> {
        for (path, time) in self.directories.iter().rev() {
            utimensat(&self.root, path.as_path(), &times(*time), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        // The caller renames the directory next: after a crash there must not be a complete-looking empty image.
        Ok(syncfs(&self.root)?)
    }
}

fn directory(parent: &OwnedFd, name: &OsStr, mode: Mode, owner: &Owner) -> io::Result<()> {
    match mkdirat(parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    fchown(&made, Some(owner.uid), Some(owner.gid))?;
    Ok(fchmod(&made, mode)?)
}

fn file(
    parent: &OwnedFd,
    name: &OsStr,
    mode: Mode,
    owner: &Owner,
    time: u64,
    entry: &mut tar::Entry<'_, impl Read>,
) -> io::Result<()> {
    let capability = capability(entry)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?);
    io::copy(entry, &mut file)?;
    // In this order: a change of owner takes set-user-ID bits and capabilities away.
    fchown(&file, Some(owner.uid), Some(owner.gid))?;
    fchmod(&file, mode)?;
    if let Some(value) = capability {
        fsetxattr(file.as_fd(), CAPABILITY, &value, XattrFlags::empty())?;
    }
    Ok(utimensat(parent, name, &times(time), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn capability(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Option<Vec<u8>>> {
    let key = format!("SCHILY.xattr.{CAPABILITY}");
    let Some(extensions) = entry.pax_extensions()? else { return Ok(None) };
    for extension in extensions {
        let extension = extension?;
        if extension.key_bytes() == key.as_bytes() {
            return Ok(Some(extension.value_bytes().to_vec()));
        }
    }
    Ok(None)
}

fn times(seconds: u64) -> Timestamps {
    let at = Timespec { tv_sec: i64::try_from(seconds).unwrap_or(0), tv_nsec: 0 };
    Timestamps { last_access: at, last_modification: at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use tar::Header;

    /// Everything belongs to whoever runs the test, so that no privileges are needed.
    fn to_me(_: u64) -> Option<u32> {
        Some(rustix::process::geteuid().as_raw())
    }

    fn entry(kind: EntryType, path: &str, link: &str, body: &[u8]) -> Vec<u8> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(body.len() as u64);
        // Written as they are: the tar crate refuses to write a hostile name.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(body);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn run(entries: &[Vec<u8>]) -> (tempfile::TempDir, io::Result<()>) {
        let outside = tempfile::tempdir().unwrap();
        let into = outside.path().join("into");
        std::fs::create_dir(&into).unwrap();
        let result = unpack_as(entries.concat().as_slice(), &into, to_me);
        (outside, result)
    }

    #[test]
    fn files_links_and_directories_come_out_as_they_went_in() {
        let (dir, result) = run(&[
            entry(EntryType::Directory, "./", "", b""),
            entry(EntryType::Directory, "./bin", "", b""),
            entry(EntryType::Regular, "./bin/true", "", b"#!"),
            entry(EntryType::Link, "./bin/yes", "./bin/true", b""),
            entry(EntryType::Symlink, "./sh", "/bin/true", b""),
            entry(EntryType::Char, "./null", "", b""),
        ]);
        result.unwrap();
        let into = dir.path().join("into");
        let (first, second) = (into.join("bin/true"), into.join("bin/yes"));
        assert_eq!(std::fs::read(&first).unwrap(), b"#!");
        assert_eq!(first.metadata().unwrap().permissions().mode() & 0o7777, 0o755);
        assert_eq!(first.metadata().unwrap().ino(), second.metadata().unwrap().ino());
        assert_eq!(into.join("bin").metadata().unwrap().mtime(), 1_700_000_000);
        assert_eq!(std::fs::read_link(into.join("sh")).unwrap(), Path::new("/bin/true"));
        assert!(!into.join("null").exists(), "devices are left out");
    }

    #[test]
    fn nothing_leaves_the_directory() {
        let hostile: [&[Vec<u8>]; 5] = [
            &[entry(EntryType::Regular, "../escaped", "", b"x")],
            &[entry(EntryType::Regular, "a/../../escaped", "", b"x")],
            &[entry(EntryType::Symlink, "up", "..", b""), entry(EntryType::Regular, "up/escaped", "", b"x")],
            &[entry(EntryType::Symlink, "up", "..", b""), entry(EntryType::Directory, "up", "", b"")],
            &[entry(EntryType::Link, "escaped", "../../../../etc/passwd", b"")],
        ];
        for entries in hostile {
            let (dir, result) = run(entries);
            assert!(result.is_err(), "{entries:?}");
            assert!(!dir.path().join("escaped").exists());
        }
        let (dir, result) = run(&[entry(EntryType::Regular, "/absolute", "", b"x")]);
        result.unwrap();
        assert!(
            dir.path().join("into/absolute").exists(),
            "an absolute name is taken from the root of the image"
        );
    }

    #[test]
    fn a_hard_link_through_a_symbolic_link_does_not_follow_it() {
        let (_dir, result) = run(&[
            entry(EntryType::Symlink, "etc", "/etc", b""),
            entry(EntryType::Link, "passwd", "etc/passwd", b""),
        ]);
        assert!(result.is_err());
    }

    #[test]
    fn a_cut_archive_is_an_error() {
        let mut cut = entry(EntryType::Regular, "big", "", &[1; 4096]);
        cut.truncate(2048);
        assert!(run(&[cut]).1.is_err());
    }
}
