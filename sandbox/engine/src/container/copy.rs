//! `docker cp`: paths of a container looked at, packed and unpacked, in Docker's words.

use super::view::View;
use crate::archive::{Ids, Packing, Unpacking, pack_entry, unpack};
use crate::beneath;
use crate::clock;
use crate::error::{ApiError, go_words};
use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;
use serde::Serialize;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// What clients are told of a path before they copy it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PathStat {
    name: String,
    size: i64,
    /// As Go numbers it.
    mode: u32,
    mtime: String,
    link_target: String,
}

/// A path of a container that was found.
#[derive(Debug)]
pub struct Found {
    /// What is told of it.
    pub stat: PathStat,
    located: OwnedFd,
}

/// A path as a client wrote it, made absolute, without `..`; a slash or a dot at its end stays, and means that it has to
/// be a directory.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    clean: PathBuf,
    /// `/`, `/.` or nothing.
    tail: &'static str,
}

impl Asked {
    fn parse(path: &str) -> Self {
        let clean = Path::new("/").join(beneath::cleaned(Path::new(path)));
        let tail = match path {
            _ if path == "." || path.ends_with("/.") => "/.",
            _ if path.ends_with('/') && clean != Path::new("/") => "/",
            _ => "",
        };
        Self { clean, tail }
    }

    /// Go's `filepath.Base` of it.
    fn base(&self) -> String {
        match (self.tail, self.clean.file_name()) {
            ("/.", _) => ".".into(),
            (_, Some(name)) => name.to_string_lossy().into_owned(),
            (_, None) => "/".into(),
        }
    }

    fn shown(&self, view: &View) -> String {
        format!("{}{}{}", view.layer().path().display(), self.clean.display(), self.tail)
    }
}

/// Looks a path up. A link at its end is not followed, unless a slash or a dot comes after it.
pub fn find(view: &View, path: &str, container: &str) -> Result<Found, ApiError> {
    let asked = Asked::parse(path);
    let flags = match asked.tail {
        "" => OFlags::PATH | OFlags::NOFOLLOW,
        _ => OFlags::PATH | OFlags::DIRECTORY,
    };
    let located = beneath::open(view.root(), &asked.clean, flags).map_err(|error| match error {
        Errno::NOENT => missing(path, container),
        error => ApiError::internal(format!("lstat {}: {}", asked.shown(view), go_words(&error.into()))),
    })?;
    let stat = beneath::stat(located.as_fd())?;
    let link_target = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => link_target(view, &asked.clean)?,
        _ => String::new(),
    };
    let mtime =
        UNIX_EPOCH + Duration::new(u64::try_from(stat.st_mtime).unwrap_or(0), stat.st_mtime_nsec as u32);
    let stat = PathStat {
        name: asked.base(),
        size: stat.st_size,
        mode: go_mode(&stat),
        mtime: clock::rfc3339(mtime),
        link_target,
    };
    Ok(Found { stat, located })
}

fn missing(path: &str, container: &str) -> ApiError {
    ApiError::not_found(format!("Could not find the file {path} in container {container}"))
}

/// Where a link leads in the container; where nothing is there, where its words lead.
fn link_target(view: &View, link: &Path) -> Result<String, ApiError> {
    let path = match beneath::locate(view.root(), link) {
        Ok(found) => view.path_of(found.as_fd())?,
        Err(_) => {
            let located = beneath::open(view.root(), link, OFlags::PATH | OFlags::NOFOLLOW)?;
            let words = rustix::fs::readlinkat(&located, "", vec![])?.to_string_lossy().into_owned();
            let from = link.parent().unwrap_or(Path::new("/")).join(words);
            Path::new("/").join(beneath::cleaned(&from))
        }
    };
    Ok(path.display().to_string())
}

/// Go's `os.FileMode`.
fn go_mode(stat: &Stat) -> u32 {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => 1 << 31,
        FileType::Symlink => 1 << 27,
        FileType::BlockDevice => 1 << 26,
        FileType::CharacterDevice => 1 << 26 | 1 << 21,
        FileType::Fifo => 1 << 25,
        FileType::Socket => 1 << 24,
        _ => 0,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special = special.iter().filter(|(bit, _)| stat.st_mode & bit != 0).map(|(_, go)| go);
    kind | special.sum::<u32>() | (stat.st_mode & 0o777)
}

impl Found {
    /// Writes it as an archive, with the owners that the container sees.
    pub fn pack(&self, ids: Ids, out: impl Write) -> io::Result<()> {
        let name = PathBuf::from(&self.stat.name);
        pack_entry(self.located.as_fd(), &name, &Packing { ids, ..Packing::default() }, out)?.flush()
    }
}

/// How an archive is put into a container.
#[derive(Clone, Debug, Default)]
pub struct Putting {
    /// A file does not take a directory's place, nor a directory a file's.
    pub keep_kinds: bool,
    /// Whose everything becomes (`docker cp -a` into a container that runs as somebody else than root).
    pub owner: Option<(u32, u32)>,
    /// Whose the ids of the archive are.
    pub ids: Ids,
}

/// Unpacks an archive into a directory of a container.
pub fn put(
    view: &View,
    path: &str,
    container: &str,
    how: &Putting,
    archive: impl Read,
) -> Result<(), ApiError> {
    let asked = Asked::parse(path);
    let located = beneath::locate(view.root(), &asked.clean).map_err(|error| match error {
        Errno::NOENT => missing(path, container),
        error => ApiError::internal(format!("lstat {}: {}", asked.shown(view), go_words(&error.into()))),
    })?;
    if FileType::from_raw_mode(beneath::stat(located.as_fd())?.st_mode) != FileType::Directory {
        return Err(ApiError::internal("extraction point is not a directory"));
    }
    let into = view.path_of(located.as_fd())?;
    if let Some(why) = view.why_not_writable(&into) {
        return Err(ApiError::internal(why));
    }
    let unpacking = Unpacking {
        ids: how.ids.clone(),
        owner: how.owner,
        keep_kinds: how.keep_kinds,
        keep_top: true,
        ..Unpacking::default()
    };
    let told = |error: io::Error| {
        ApiError::internal(format!("Error processing tar file(exit status 1): {}", go_words(&error)))
    };
    unpack(archive, view.root(), &into, &unpacking).map(drop).map_err(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_keep_what_their_end_means() {
        for (path, clean, tail, base) in [
            ("/etc/passwd", "/etc/passwd", "", "passwd"),
            ("etc/", "/etc", "/", "etc"),
            ("/etc/.", "/etc", "/.", "."),
            ("/", "/", "", "/"),
            (".", "/", "/.", "."),
            ("../../x/../etc//hosts", "/etc/hosts", "", "hosts"),
        ] {
            let asked = Asked::parse(path);
            assert_eq!(
                (asked.clean.to_str().unwrap(), asked.tail, asked.base().as_str()),
                (clean, tail, base),
                "{path}"
            );
        }
    }

    #[test]
    fn modes_are_go_s() {
        let mut stat = beneath::stat(tempfile::tempfile().unwrap().as_fd()).unwrap();
        for (unix, go) in [
            (0o100644, 0o644),
            (0o120777, 134_218_239),
            (0o104755, 1 << 23 | 0o755),
            (0o041777, 1 << 31 | 1 << 20 | 0o777),
            (0o020666, 1 << 26 | 1 << 21 | 0o666),
        ] {
            stat.st_mode = unix;
            assert_eq!(go_mode(&stat), go, "{unix:o}");
        }
    }
}
