//! `COPY` and `ADD`: sources are put where the destination says, by Docker's rules.
//!
//! Both ends may be hostile: an image's links lead where they like. Everything goes by descriptors beneath a root.

use super::overlay::Overlay;
use super::source::Source;
use crate::archive::{Packing, Unpacking, pack, pack_entry, unpack};
use crate::beneath;
use crate::image::decompress;
use rustix::fs::{AtFlags, Gid, OFlags, Uid};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// As much of a file is looked at to tell whether it is an archive: one header, and the extensions before it.
const ARCHIVE_HEAD_BYTES: u64 = 1024 * 1024;

/// Where to.
#[derive(Clone, Debug)]
pub struct Destination {
    /// An absolute path.
    pub path: PathBuf,
    /// Whether it was written with a slash at its end: then it is a directory.
    pub is_directory: bool,
}

/// Whose the copies become: `--chown`, looked up in the image.
pub fn owner(chown: &str, overlay: &Overlay) -> Result<(u32, u32), String> {
    let parts: Vec<&str> = chown.split(':').collect();
    let (user, group) = match parts[..] {
        [user] => (user, user),
        [user, group] => (user, group),
        _ => return Err(format!("invalid chown string format: {chown}")),
    };
    let entry = |file: &str, name: &str| -> Result<Option<u32>, String> {
        let text = overlay.read(file).map_err(|error| error.to_string())?;
        let line = text.lines().find(|line| line.split(':').next() == Some(name));
        Ok(line.and_then(|line| line.split(':').nth(2)?.parse().ok()))
    };
    let lookup = |what: &str, id: &str, file: &str, name: &str| match name.parse() {
        Ok(number) => Ok(number),
        Err(_) => entry(file, name)?
            .ok_or_else(|| format!("can't find {id} for {what} {name}: no such {what}: {name}")),
    };
    Ok((lookup("user", "uid", "etc/passwd", user)?, lookup("group", "gid", "etc/group", group)?))
}

/// Copies one source, to this owner where there is one. With `add`, an archive is unpacked instead. Errors are in Docker's
/// words, but name paths as the image has them. Blocks.
pub fn copy(
    root: BorrowedFd<'_>,
    source: &Source,
    to: &Destination,
    owner: Option<(u32, u32)>,
    add: bool,
) -> Result<(), String> {
    let how = Unpacking { owner, keep_top: true, ..Unpacking::default() };
    let shown = to.path.display();
    if source.is_directory {
        make_directory(root, &to.path, owner)
            .map_err(|error| format!("failed to copy directory: mkdir {shown}: {}", words(&error)))?;
        let open = || {
            let from = beneath::reopen(source.located.as_fd(), OFlags::RDONLY | OFlags::DIRECTORY)?;
            let write = |pipe| pack(from.as_fd(), &Packing::default(), pipe).map(drop);
            through(write, root, &to.path, &how)
        };
        return open().map_err(|error| format!("failed to copy directory: {}", words(&error)));
    }
    if add && let Some(archive) = archive(source).map_err(|error| words(&error))? {
        let how = Unpacking { keep_top: true, ..Unpacking::default() };
        let made = make_directory(root, &to.path, None);
        return made
            .and_then(|()| unpack(archive, root, &to.path, &how).map(drop))
            .map_err(|error| words(&error));
    }
    let is_directory = || beneath::open(root, &to.path, OFlags::PATH | OFlags::DIRECTORY).is_ok();
    let target = match to.is_directory || is_directory() {
        true => to.path.join(source.path.file_name().unwrap_or_default()),
        false => to.path.clone(),
    };
    let target = through_links(root, target);
    let parent = target.parent().unwrap_or(Path::new("/"));
    let name = target.file_name().unwrap_or(OsStr::new("."));
    make_directory(root, parent, owner).map_err(|error| match to.is_directory {
        true => format!("failed to create new directory: mkdir {}: {}", parent.display(), words(&error)),
        false => format!("lstat {}: {}", target.display(), words(&error)),
    })?;
    let write =
        |pipe| pack_entry(source.located.as_fd(), Path::new(name), &Packing::default(), pipe).map(drop);
    through(write, root, parent, &how).map_err(|error| words(&error))
}

/// An error of the kernel as Go words it.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(_) => text.split(" (os error").next().unwrap_or_default().to_lowercase(),
        None => text,
    }
}

/// Where a path leads in the end: a link at its end that leads to nothing is followed too, and the file made there.
fn through_links(root: BorrowedFd<'_>, mut path: PathBuf) -> PathBuf {
    // As many as the kernel follows.
    for _ in 0..40 {
        let Ok(located) = beneath::open(root, &path, OFlags::PATH | OFlags::NOFOLLOW) else { break };
        let Ok(target) = rustix::fs::readlinkat(&located, "", vec![]) else { break };
        let target = OsString::from_vec(target.into_bytes());
        // What is absolute replaces the path; what it then leads to is resolved beneath the root again.
        path = Path::new("/").join(beneath::cleaned(&path.parent().unwrap_or(Path::new("/")).join(target)));
    }
    path
}

/// Makes a directory and those above it, as far as they are missing.
fn make_directory(root: BorrowedFd<'_>, path: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    let mut own = |made: BorrowedFd<'_>| {
        let (uid, gid) = owner.unwrap_or_default();
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        Ok(rustix::fs::chownat(made, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?)
    };
    beneath::directory(root, path, &mut own).map(drop)
}

/// Packs and unpacks at the same time, through a pipe.
fn through(
    write: impl FnOnce(io::PipeWriter) -> io::Result<()> + Send,
    root: BorrowedFd<'_>,
    into: &Path,
    how: &Unpacking,
) -> io::Result<()> {
    let (reader, writer) = io::pipe()?;
    std::thread::scope(|scope| {
        let packing = scope.spawn(move || write(writer));
        let unpacked = unpack(reader, root, into, how);
        let packed = packing.join().map_err(|_| io::Error::other("packing has failed"))?;
        // Where unpacking fails, packing finds its pipe closed: the first failure is the one to tell of.
        unpacked?;
        packed
    })
}

/// The content of a source that is an archive, compressed or not.
fn archive(source: &Source) -> io::Result<Option<impl Read>> {
    let open = || beneath::reopen(source.located.as_fd(), OFlags::RDONLY | OFlags::NONBLOCK).map(File::from);
    if !open()?.metadata()?.is_file() {
        return Ok(None);
    }
    let (_, content) = decompress(open()?)?;
    let mut head = tar::Archive::new(content.take(ARCHIVE_HEAD_BYTES));
    let is_archive = head.entries()?.next().is_some_and(|entry| entry.is_ok());
    if !is_archive {
        return Ok(None);
    }
    decompress(open()?).map(|(_, content)| Some(content))
}
