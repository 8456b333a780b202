//! A directory tree becomes an archive, as Docker writes it: PAX, times in whole seconds, no owner named but root.

use super::entry::{CAPABILITY, XATTR_KEY, without_owner};
use super::ids::Ids;
use super::{DEPTH_MAX, OPAQUE, OPAQUE_WHITEOUT, WHITEOUT, Whiteouts};
use crate::beneath;
use rustix::fs::{FileType, Mode, OFlags, Stat, fgetxattr, major, minor, openat, readlinkat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

/// What fits into a header itself; longer names go into a record before it.
const NAME_BYTES_MAX: usize = 100;

/// How an archive is written.
#[derive(Clone, Debug, Default)]
pub struct Packing {
    /// What a character device 0:0 means.
    pub whiteouts: Whiteouts,
    /// Whose the ids on disk are.
    pub ids: Ids,
}

/// Writes what lies in a directory, the directory itself left out, and ends the archive.
pub fn pack<W: Write>(directory: BorrowedFd<'_>, how: &Packing, out: W) -> io::Result<W> {
    let mut packer = Packer::new(how, out);
    packer.children(&beneath::reopen(directory, OFlags::RDONLY | OFlags::DIRECTORY)?, Path::new(""), 0)?;
    packer.end()
}

/// Writes one file, link or tree, which `located` (opened with `O_PATH`) is, under a name, and ends the archive.
/// A link is written, not followed.
pub fn pack_entry<W: Write>(located: BorrowedFd<'_>, name: &Path, how: &Packing, out: W) -> io::Result<W> {
    let mut packer = Packer::new(how, out);
    packer.entry(located, name, 0)?;
    packer.end()
}

struct Packer<'a, W: Write> {
    how: &'a Packing,
    builder: Builder<W>,
    /// Where a file with several names was written first.
    links: HashMap<(u64, u64), PathBuf>,
}

impl<'a, W: Write> Packer<'a, W> {
    fn new(how: &'a Packing, out: W) -> Self {
        Self { how, builder: Builder::new(out), links: HashMap::new() }
    }

    fn end(self) -> io::Result<W> {
        self.builder.into_inner()
    }

    fn children(&mut self, directory: &OwnedFd, path: &Path, depth: usize) -> io::Result<()> {
        let names = beneath::names(directory)?;
        for name in names {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat(directory, &name, flags, Mode::empty()) {
                // Removed meanwhile.
                Err(Errno::NOENT) => {}
                located => self.entry(located?.as_fd(), &path.join(&name), depth)?,
            }
        }
        Ok(())
    }

    fn entry(&mut self, located: BorrowedFd<'_>, path: &Path, depth: usize) -> io::Result<()> {
        let stat = beneath::stat(located)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let mut header = self.header(&stat);
        if kind == FileType::Directory {
            return self.directory(located, path, header, depth);
        }
        if self.how.whiteouts == Whiteouts::Overlay {
            // A file whose name a reader would take for a whiteout; Docker cannot tell of it either.
            if path.file_name().is_some_and(|name| name.as_bytes().starts_with(WHITEOUT.as_bytes())) {
                return Ok(());
            }
            if kind == FileType::CharacterDevice && stat.st_rdev == 0 {
                return self.whiteout(path, &stat);
            }
        }
        if stat.st_nlink > 1 {
            let identity = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&identity).cloned() {
                header.set_entry_type(EntryType::Link);
                return self.write(header, path, Some(first.as_os_str()), &[], 0, io::empty());
            }
            self.links.insert(identity, path.to_owned());
        }
        match kind {
            FileType::RegularFile => {
                let file = beneath::reopen(located, OFlags::RDONLY)?;
                let extended: Vec<_> = capability(&file)?.into_iter().collect();
                header.set_entry_type(EntryType::Regular);
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                self.write(header, path, None, &extended, size, File::from(file))
            }
            FileType::Symlink => {
                let target = OsString::from_vec(readlinkat(located, "", vec![])?.into_bytes());
                header.set_entry_type(EntryType::Symlink);
                self.write(header, path, Some(&target), &[], 0, io::empty())
            }
            FileType::Fifo => {
                header.set_entry_type(EntryType::Fifo);
                self.write(header, path, None, &[], 0, io::empty())
            }
            FileType::CharacterDevice | FileType::BlockDevice => {
                let is_character = kind == FileType::CharacterDevice;
                header.set_entry_type(if is_character { EntryType::Char } else { EntryType::Block });
                header.set_device_major(major(stat.st_rdev))?;
                header.set_device_minor(minor(stat.st_rdev))?;
                self.write(header, path, None, &[], 0, io::empty())
            }
            // A socket means nothing without who listens on it. Docker leaves it out.
            _ => Ok(()),
        }
    }

    fn directory(
        &mut self,
        located: BorrowedFd<'_>,
        path: &Path,
        mut header: Header,
        depth: usize,
    ) -> io::Result<()> {
        if depth >= DEPTH_MAX {
            let message = format!("{}: directories lie more than {DEPTH_MAX} deep", path.display());
            return Err(io::Error::other(message));
        }
        let directory = beneath::reopen(located, OFlags::RDONLY | OFlags::DIRECTORY)?;
        header.set_entry_type(EntryType::Directory);
        let mut name = path.as_os_str().to_owned();
        if !name.as_bytes().ends_with(b"/") {
            name.push("/");
        }
        self.write(header.clone(), Path::new(&name), None, &[], 0, io::empty())?;
        if self.how.whiteouts == Whiteouts::Overlay && is_opaque(&directory)? {
            header.set_entry_type(EntryType::Regular);
            header.set_mode(0o600);
            self.write(header, &path.join(OPAQUE_WHITEOUT), None, &[], 0, io::empty())?;
        }
        self.children(&directory, path, depth + 1)
    }

    fn whiteout(&mut self, path: &Path, stat: &Stat) -> io::Result<()> {
        let mut name = OsString::from(WHITEOUT);
        name.push(path.file_name().unwrap_or_default());
        let mut header = self.header(stat);
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        // Of a whiteout only the name means anything, and nothing else of it is kept when it is unpacked: the archive of a
        // layer has to be the same each time.
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        self.write(header, &path.with_file_name(name), None, &[], 0, io::empty())
    }

    fn header(&self, stat: &Stat) -> Header {
        let mut header = Header::new_gnu();
        let (uid, gid) = self.how.ids.to_archive(stat.st_uid, stat.st_gid);
        // With the bits of the file's kind, as Docker writes it.
        header.set_mode(stat.st_mode);
        header.set_uid(uid.into());
        header.set_gid(gid.into());
        // A name goes before a number where an archive is unpacked; this one is the same everywhere.
        for (id, field) in [(uid, 0), (gid, 1)] {
            let named = if id == 0 { "root" } else { "" };
            // It fails only for a name that does not fit.
            let _ = if field == 0 { header.set_username(named) } else { header.set_groupname(named) };
        }
        header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
        header
    }

    /// Writes one entry; its content has exactly `size` bytes, whatever a container does to the file meanwhile.
    fn write(
        &mut self,
        mut header: Header,
        path: &Path,
        link: Option<&OsStr>,
        extended: &[(String, Vec<u8>)],
        size: u64,
        content: impl Read,
    ) -> io::Result<()> {
        let name = path.as_os_str().as_bytes();
        let link = link.map(OsStr::as_bytes).unwrap_or_default();
        let mut records: Vec<(&str, &[u8])> =
            extended.iter().map(|(key, value)| (key.as_str(), value.as_slice())).collect();
        for (key, words) in [("path", name), ("linkpath", link)] {
            if words.len() >= NAME_BYTES_MAX {
                records.push((key, words));
            }
        }
        if !records.is_empty() {
            self.builder.append_pax_extensions(records)?;
        }
        header.set_size(size);
        let fields = header.as_old_mut();
        for (field, words) in [(&mut fields.name, name), (&mut fields.linkname, link)] {
            let length = words.len().min(NAME_BYTES_MAX - 1);
            field[..length].copy_from_slice(&words[..length]);
        }
        header.set_cksum();
        self.builder.append(&header, content.chain(io::repeat(0)).take(size))
    }
}

fn is_opaque(directory: &OwnedFd) -> io::Result<bool> {
    Ok(attribute::<1>(directory, OPAQUE)?.is_some_and(|value| value == b"y"))
}

fn capability(file: &OwnedFd) -> io::Result<Option<(String, Vec<u8>)>> {
    // Version 3 of `vfs_cap_data`, the longest.
    let value = attribute::<24>(file, CAPABILITY)?;
    Ok(value.map(|value| (format!("{XATTR_KEY}{CAPABILITY}"), without_owner(value))))
}

fn attribute<const BYTES_MAX: usize>(of: &OwnedFd, name: &str) -> io::Result<Option<Vec<u8>>> {
    let mut value = [0; BYTES_MAX];
    match fgetxattr(of.as_fd(), name, &mut value) {
        Ok(length) => Ok(Some(value[..length].to_vec())),
        // Longer than what it should be is something else's.
        Err(Errno::NODATA | Errno::NOTSUP | Errno::RANGE) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
