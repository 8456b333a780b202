//! A hostile archive becomes files beneath a directory, and nothing elsewhere.

use super::entry::{self, Meta};
use super::ids::Ids;
use super::meter::{self, Metered, Spent};
use super::{DEPTH_MAX, Devices, Limits, OPAQUE_WHITEOUT, WHITEOUT, Whiteouts, remove_all};
use crate::beneath;
use crate::error::go_words;
use rustix::fs::{AtFlags, FileType, OFlags, makedev, statat, utimensat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use tar::EntryType;

/// How an archive is unpacked.
#[derive(Clone, Debug, Default)]
pub struct Unpacking {
    /// What it may cost.
    pub limits: Limits,
    /// What `.wh.x` means.
    pub whiteouts: Whiteouts,
    /// What becomes of device nodes.
    pub devices: Devices,
    /// Whose the ids of the archive are.
    pub ids: Ids,
    /// Gives everything to this owner (as on disk), whatever the archive says.
    pub owner: Option<(u32, u32)>,
    /// Refuses to put a file where a directory is, and the other way round, instead of replacing it.
    pub keep_kinds: bool,
    /// Leaves the directory itself as it is, whatever the archive says of `.`.
    pub keep_top: bool,
}

/// Unpacks an archive into the directory `into` beneath `root` (empty: `root` itself), over what is there. Links that it
/// meets are followed as if `root` were `/`. Returns the bytes of all files. Errors name the entry; what was unpacked so
/// far stays for the caller to keep or remove.
pub fn unpack(archive: impl Read, root: BorrowedFd<'_>, into: &Path, how: &Unpacking) -> io::Result<u64> {
    unpack_seeing(archive, root, into, how, &mut |_, _| Ok(()))
}

/// What an archive says of an entry, as it says it.
#[derive(Debug)]
pub struct Seen<'a> {
    /// Its name, a long one too.
    pub name: &'a [u8],
    /// Likewise where a link leads; empty where it is none.
    pub link: &'a [u8],
    /// How long its content is.
    pub size: u64,
    /// All the rest.
    pub header: &'a tar::Header,
}

/// The same, and `see` is shown every entry with the path that it gets, before it is unpacked.
pub fn unpack_seeing(
    archive: impl Read,
    root: BorrowedFd<'_>,
    into: &Path,
    how: &Unpacking,
    see: &mut dyn FnMut(&Path, &Seen<'_>) -> io::Result<()>,
) -> io::Result<u64> {
    let (reader, allowance) = Metered::new(archive);
    let shown = Path::new("/").join(beneath::cleaned(into));
    let mut unpacked = Unpacked {
        root,
        into: into.to_owned(),
        shown,
        how,
        directories: vec![],
        last_parent: None,
        spent: Spent::default(),
    };
    let mut archive = tar::Archive::new(reader);
    let mut entries = archive.entries().map_err(go_words_of_end)?;
    loop {
        // What is left of the entry before was read to its end; its padding was not.
        meter::look_for_header(&allowance, 512);
        let Some(next) = entries.next() else { break };
        let mut entry = next.map_err(go_words_of_end)?;
        meter::read_content(&allowance);
        unpacked.spent.add(entry.size(), &how.limits)?;
        unpacked.entry(&mut entry, see)?;
        io::copy(&mut entry, &mut io::sink())?;
    }
    unpacked.finish()
}

/// An archive that ends too soon, as Go words it.
fn go_words_of_end(error: io::Error) -> io::Error {
    match error.to_string().as_str() {
        "failed to read entire block" => io::Error::new(io::ErrorKind::UnexpectedEof, "unexpected EOF"),
        _ => error,
    }
}

struct Unpacked<'a> {
    root: BorrowedFd<'a>,
    into: PathBuf,
    /// `into` as messages name it.
    shown: PathBuf,
    how: &'a Unpacking,
    /// Directories and their times, which are set last because every new file changes them.
    directories: Vec<(PathBuf, i64)>,
    /// The parent that was used last: archives go directory by directory.
    last_parent: Option<(PathBuf, OwnedFd)>,
    spent: Spent,
}

impl Unpacked<'_> {
    fn entry(
        &mut self,
        entry: &mut tar::Entry<'_, impl Read>,
        see: &mut dyn FnMut(&Path, &Seen<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let path = entry::inside(&entry.path_bytes(), &self.shown)?;
        if path.components().count() > DEPTH_MAX {
            return Err(io::Error::other(format!("directories lie more than {DEPTH_MAX} deep")));
        }
        see(
            &path,
            &Seen {
                name: &entry.path_bytes(),
                link: &entry.link_name_bytes().unwrap_or_default(),
                size: entry.size(),
                header: entry.header(),
            },
        )?;
        // These two tell by themselves what they are about, in Docker's words.
        self.check_link(kind, entry, &path)?;
        self.check_kinds(kind, &path)?;
        self.place(kind, entry, &path).map_err(|error| about(&self.shown.join(&path), error))
    }

    fn place(
        &mut self,
        kind: EntryType,
        entry: &mut tar::Entry<'_, impl Read>,
        path: &Path,
    ) -> io::Result<()> {
        let how = self.how;
        let meta = Meta::read(entry, &how.ids, how.owner)?;
        let Some(name) = path.file_name() else {
            if kind == EntryType::Directory && !how.keep_top {
                let top = beneath::open(self.root, &self.into, OFlags::RDONLY | OFlags::DIRECTORY)?;
                meta.apply(top.as_fd())?;
                self.directories.push((PathBuf::new(), meta.mtime));
            }
            return Ok(());
        };
        if self.how.whiteouts == Whiteouts::Overlay && self.white_out(path, name)? {
            return Ok(());
        }
        let was_whiteout = self.make_room(path, name, kind == EntryType::Directory)?;
        if kind == EntryType::Link {
            return self.hard_link(entry, path, name);
        }
        let link = entry.link_name_bytes().map(|target| target.into_owned());
        let device = device(entry.header())?;
        let parent = self.parent(path)?.as_fd();
        match kind {
            EntryType::Directory => {
                let made = entry::directory(parent, name, &meta)?;
                if was_whiteout {
                    entry::make_opaque(made.as_fd())?;
                }
                self.directories.push((path.to_owned(), meta.mtime));
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                entry::file(parent, name, &meta, entry)?;
            }
            EntryType::Symlink => entry::symlink(parent, name, &meta, &link.unwrap_or_default())?,
            EntryType::Fifo => drop(entry::node(parent, name, &meta, FileType::Fifo, 0)?),
            EntryType::Char | EntryType::Block => {
                if how.devices == Devices::Refuse {
                    return Err(io::Error::other("a device, which may not be in this archive"));
                }
                let whiteout = kind == EntryType::Char && device == 0;
                let type_ = match kind {
                    EntryType::Char => FileType::CharacterDevice,
                    _ => FileType::BlockDevice,
                };
                // A layer says so with `.wh.`; as a node it would hide a file of whoever is below.
                if !(whiteout && how.whiteouts == Whiteouts::Overlay) {
                    entry::node(parent, name, &meta, type_, device)?;
                }
            }
            other => return Err(io::Error::other(format!("an entry of the unknown kind {other:?}"))),
        }
        Ok(())
    }

    /// Docker's test of a link's words. What keeps us inside is that the kernel resolves every path in the root.
    fn check_link(&self, kind: EntryType, entry: &tar::Entry<'_, impl Read>, path: &Path) -> io::Result<()> {
        let target = entry.link_name_bytes().unwrap_or_default();
        let target = Path::new(OsStr::from_bytes(&target));
        // Where the archive goes to the root itself, nothing can lead out of it by words.
        let at_root = self.shown == Path::new("/");
        if kind == EntryType::Symlink && !at_root && entry::leads_out(path, target) {
            let shown = self.shown.join(path);
            return Err(io::Error::other(format!("invalid symlink {shown:?} -> {target:?}")));
        }
        Ok(())
    }

    fn check_kinds(&mut self, kind: EntryType, path: &Path) -> io::Result<()> {
        let (true, Some(name)) = (self.how.keep_kinds, path.file_name()) else { return Ok(()) };
        let shown = self.shown.clone();
        let is_directory = match statat(self.parent(path)?, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            found => FileType::from_raw_mode(found?.st_mode) == FileType::Directory,
        };
        let at = shown.join(path);
        match (is_directory, kind == EntryType::Directory) {
            (true, false) => Err(io::Error::other(format!(
                "cannot overwrite directory {at:?} with non-directory {shown:?}"
            ))),
            (false, true) => Err(io::Error::other(format!(
                "cannot overwrite non-directory {at:?} with directory {shown:?}"
            ))),
            _ => Ok(()),
        }
    }

    /// Takes away what is at `path`, except a directory that another is to be merged with. Tells whether it was a
    /// whiteout of this layer.
    fn make_room(&mut self, path: &Path, name: &OsStr, for_directory: bool) -> io::Result<bool> {
        let shown = self.shown.clone();
        let parent = self.parent(path)?;
        let stat = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(false),
            found => found?,
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory && for_directory {
            return Ok(false);
        }
        let parent = parent.as_fd();
        let shown = shown.join(path);
        let told = |error| Told(format!("unlinkat {}: {}", shown.display(), go_words(&error)));
        remove_all(parent, name).map_err(|error| io::Error::other(told(error)))?;
        if kind == FileType::Directory {
            // Some of those that we know of are gone.
            self.last_parent = None;
        }
        Ok(kind == FileType::CharacterDevice && stat.st_rdev == 0 && self.how.whiteouts == Whiteouts::Overlay)
    }

    /// Whether it was a whiteout, which is in place then.
    fn white_out(&mut self, path: &Path, name: &OsStr) -> io::Result<bool> {
        let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT.as_bytes()) else { return Ok(false) };
        if name == OPAQUE_WHITEOUT {
            entry::make_opaque(self.parent(path)?.as_fd())?;
            return Ok(true);
        }
        // Other names of this kind were the business of aufs.
        if hidden.starts_with(WHITEOUT.as_bytes()) {
            return Ok(true);
        }
        if hidden.is_empty() || hidden == b"." || hidden == b".." {
            return Err(io::Error::other("a whiteout of nothing"));
        }
        entry::whiteout(self.parent(path)?.as_fd(), OsStr::from_bytes(hidden))?;
        Ok(true)
    }

    fn hard_link(&mut self, entry: &tar::Entry<'_, impl Read>, path: &Path, name: &OsStr) -> io::Result<()> {
        let target = entry.link_name_bytes().unwrap_or_default();
        let target = self.into.join(entry::inside(&target, &self.shown)?);
        let existing = beneath::open(self.root, &target, OFlags::PATH | OFlags::NOFOLLOW)?;
        entry::hard_link(existing.as_fd(), self.parent(path)?.as_fd(), name)
    }

    fn parent(&mut self, path: &Path) -> io::Result<&OwnedFd> {
        let parent = path.parent().unwrap_or(Path::new(""));
        let opened = match self.last_parent.take() {
            Some((last, opened)) if last == parent => opened,
            _ => {
                let (uid, gid) = self.how.owner.unwrap_or(self.how.ids.root());
                let owner = (Some(rustix::fs::Uid::from_raw(uid)), Some(rustix::fs::Gid::from_raw(gid)));
                let mut own = |made: BorrowedFd<'_>| {
                    Ok(rustix::fs::chownat(made, "", owner.0, owner.1, AtFlags::EMPTY_PATH)?)
                };
                beneath::directory(self.root, &self.into.join(parent), &mut own)?
            }
        };
        Ok(&self.last_parent.insert((parent.to_owned(), opened)).1)
    }

    fn finish(self) -> io::Result<u64> {
        for (path, time) in self.directories.iter().rev() {
            // One that a later entry has replaced has no time to set.
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            if let Ok(directory) = beneath::open(self.root, &self.into.join(path), flags) {
                utimensat(&directory, "", &entry::times(*time), AtFlags::EMPTY_PATH)?;
            }
        }
        Ok(self.spent.bytes)
    }
}

/// An error that names what it is about already.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Told(String);

fn about(path: &Path, error: io::Error) -> io::Error {
    match error.get_ref().is_some_and(|inner| inner.is::<Told>()) {
        true => error,
        false => io::Error::new(error.kind(), format!("{}: {}", path.display(), go_words(&error))),
    }
}

fn device(header: &tar::Header) -> io::Result<u64> {
    if !matches!(header.entry_type(), EntryType::Char | EntryType::Block) {
        return Ok(0);
    }
    Ok(makedev(header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0)))
}
