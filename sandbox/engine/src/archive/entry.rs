//! One entry of an archive: its name checked, and the file, directory or link that it becomes in a directory.

use super::ids::Ids;
use super::{OPAQUE, PATH_BYTES_MAX};
use crate::beneath;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fchown,
    fsetxattr, mkdirat, mknodat, openat, setxattr, symlinkat, utimensat,
};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Where a PAX header keeps an extended attribute.
pub const XATTR_KEY: &str = "SCHILY.xattr.";

/// A file's capabilities.
pub const CAPABILITY: &str = "security.capability";

/// The kernel's bound on one extended attribute.
const XATTR_BYTES_MAX: usize = 65536;

/// The path of an entry below the directory, in plain words. One that would leave it is refused; an absolute one is
/// taken from that directory.
pub fn inside(name: &[u8], shown: &Path) -> io::Result<PathBuf> {
    let path = Path::new(OsStr::from_bytes(name));
    if name.len() > PATH_BYTES_MAX || name.contains(&0) {
        return Err(io::Error::other(format!("a name of {} bytes, or with a zero byte", name.len())));
    }
    let mut kept = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => kept.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir if kept.pop() => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::other(format!("{path:?} is outside of {shown:?}")));
            }
        }
    }
    Ok(kept)
}

/// Whether a link at `path` to `target` leads out of where the archive goes, by its words: Docker refuses it.
pub fn leads_out(path: &Path, target: &Path) -> bool {
    let mut depth = path.parent().map_or(0, |parent| parent.components().count());
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::ParentDir if depth == 0 => return true,
            Component::ParentDir => depth -= 1,
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    false
}

/// What an entry says of itself, besides its content.
#[derive(Debug)]
pub struct Meta {
    pub mode: Mode,
    pub uid: u32,
    pub gid: u32,
    pub mtime: i64,
    pub xattrs: Vec<(String, Vec<u8>)>,
}

impl Meta {
    /// Reads headers.
    pub fn read(
        entry: &mut tar::Entry<'_, impl Read>,
        ids: &Ids,
        owner: Option<(u32, u32)>,
    ) -> io::Result<Self> {
        let xattrs = xattrs(entry)?;
        let header = entry.header();
        let (uid, gid) = match owner {
            Some(owner) => owner,
            None => ids.to_disk(header.uid()?, header.gid()?)?,
        };
        let mode = Mode::from_raw_mode(header.mode()? & 0o7777);
        let mtime = i64::try_from(header.mtime()?).unwrap_or(0);
        let xattrs = xattrs.into_iter().map(|(name, value)| owned_by(name, value, ids)).collect();
        Ok(Self { mode, uid, gid, mtime, xattrs })
    }

    /// Gives a file or directory what belongs to it, in this order: a change of owner takes set-user-ID bits and
    /// capabilities away.
    pub fn apply(&self, to: BorrowedFd<'_>) -> io::Result<()> {
        fchown(to, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))?;
        fchmod(to, self.mode)?;
        for (name, value) in &self.xattrs {
            match fsetxattr(to, name.as_str(), value, XattrFlags::empty()) {
                // A file system without them, as with Docker.
                Ok(()) | Err(Errno::NOTSUP) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn apply_to_name(&self, parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        self.set_time(parent, name)
    }

    /// Sets the times of an entry.
    pub fn set_time(&self, parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        Ok(utimensat(parent, name, &times(self.mtime), AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// Both times of a file.
pub fn times(seconds: i64) -> Timestamps {
    let at = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Timestamps { last_access: at, last_modification: at }
}

/// The attributes that a file may have: its capabilities and what users say of it. Overlayfs keeps its own knowledge
/// under `user.overlay.`; an archive that could set it would choose which directories of ours a container sees.
fn is_allowed(name: &str) -> bool {
    name == CAPABILITY || (name.starts_with("user.") && !name.starts_with("user.overlay."))
}

fn xattrs(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut found = vec![];
    for extension in entry.pax_extensions()?.into_iter().flatten() {
        let extension = extension?;
        let name = extension.key().ok().and_then(|key| key.strip_prefix(XATTR_KEY));
        if let Some(name) = name.filter(|name| is_allowed(name) && name.len() < 256) {
            let value = extension.value_bytes();
            if value.len() > XATTR_BYTES_MAX {
                return Err(io::Error::other(format!(
                    "the attribute {name} has more than {XATTR_BYTES_MAX} bytes"
                )));
            }
            found.push((name.to_owned(), value.to_vec()));
        }
    }
    Ok(found)
}

/// Version 2 and version 3 of the kernel's `vfs_cap_data`, told in its first four bytes; the third names whose root the
/// file's capabilities are for.
const CAPABILITY_V2: u32 = 0x0200_0000;
const CAPABILITY_V3: u32 = 0x0300_0000;
const CAPABILITY_VERSION: u32 = 0xff00_0000;
const CAPABILITY_V2_BYTES: usize = 20;

/// Capabilities in an archive are for whoever is root; where ids are mapped, that has to be said.
fn owned_by(name: String, mut value: Vec<u8>, ids: &Ids) -> (String, Vec<u8>) {
    if name == CAPABILITY
        && matches!(ids, Ids::Mapped(_))
        && let Some(word) = version(&value).filter(|word| word & CAPABILITY_VERSION == CAPABILITY_V2)
    {
        value.truncate(CAPABILITY_V2_BYTES);
        value[..4].copy_from_slice(&((word & !CAPABILITY_VERSION) | CAPABILITY_V3).to_le_bytes());
        value.extend(ids.root().0.to_le_bytes());
    }
    (name, value)
}

/// The same for an archive, where nobody's root is named.
pub fn without_owner(mut capability: Vec<u8>) -> Vec<u8> {
    if let Some(word) = version(&capability).filter(|word| word & CAPABILITY_VERSION == CAPABILITY_V3) {
        capability.truncate(CAPABILITY_V2_BYTES);
        capability[..4].copy_from_slice(&((word & !CAPABILITY_VERSION) | CAPABILITY_V2).to_le_bytes());
    }
    capability
}

fn version(capability: &[u8]) -> Option<u32> {
    let word = capability.first_chunk::<4>().filter(|_| capability.len() >= CAPABILITY_V2_BYTES)?;
    Some(u32::from_le_bytes(*word))
}

/// Makes a directory, or takes the one that is there.
pub fn directory(parent: BorrowedFd<'_>, name: &OsStr, meta: &Meta) -> io::Result<OwnedFd> {
    match mkdirat(parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = openat(parent, name, flags, Mode::empty())?;
    meta.apply(made.as_fd())?;
    Ok(made)
}

/// Makes a file with this content.
pub fn file(parent: BorrowedFd<'_>, name: &OsStr, meta: &Meta, content: &mut impl Read) -> io::Result<()> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?);
    io::copy(content, &mut file)?;
    meta.apply(file.as_fd())?;
    Ok(rustix::fs::futimens(&file, &times(meta.mtime))?)
}

/// Makes a symbolic link.
pub fn symlink(parent: BorrowedFd<'_>, name: &OsStr, meta: &Meta, target: &[u8]) -> io::Result<()> {
    symlinkat(OsStr::from_bytes(target), parent, name)?;
    meta.apply_to_name(parent, name)
}

/// Makes another name for a file that was located before.
pub fn hard_link(existing: BorrowedFd<'_>, parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    // By descriptor, so that the name cannot lead anywhere else than where it was found.
    let by_fd = beneath::by_descriptor(existing);
    Ok(rustix::fs::linkat(rustix::fs::CWD, &by_fd, parent, name, AtFlags::SYMLINK_FOLLOW)?)
}

/// Makes a device or a fifo. `false` where the kernel does not let us.
pub fn node(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    meta: &Meta,
    kind: FileType,
    device: u64,
) -> io::Result<bool> {
    match mknodat(parent, name, kind, meta.mode, device) {
        Err(Errno::PERM) if kind != FileType::Fifo => return Ok(false),
        done => done?,
    }
    meta.apply_to_name(parent, name)?;
    // The umask had its say when it was made. chmodat follows links: what is there is what we have made, or what the
    // container has put there since, in its own root and never a link out of it.
    let located = openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if FileType::from_raw_mode(beneath::stat(located.as_fd())?.st_mode) == kind {
        rustix::fs::chmod(beneath::by_descriptor(located.as_fd()), meta.mode)?;
    }
    Ok(true)
}

/// Overlayfs's whiteout: `name` is not there, whatever lower layers say.
pub fn whiteout(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0) {
        // This very layer has it: a whiteout is about those below.
        Err(Errno::EXIST) => Ok(()),
        done => Ok(done?),
    }
}

/// Hides what lower layers have in this directory.
pub fn make_opaque(directory: BorrowedFd<'_>) -> io::Result<()> {
    Ok(setxattr(beneath::by_descriptor(directory), OPAQUE, b"y", XattrFlags::empty())?)
}
