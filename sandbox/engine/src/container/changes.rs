//! `docker diff`: the writable layer against the layers below it.
//!
//! What counts as a change is what Docker counts: of a directory its mode and owner, and whatever changes beneath it; of
//! other things their size and time too.

use crate::archive::{DEPTH_MAX, OPAQUE};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fgetxattr, open, openat, statat};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A container can make files without end; this many are more than anybody reads.
const CHANGES_MAX: usize = 500_000;

/// How a path has changed, as Docker numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Modified = 0,
    Added = 1,
    Deleted = 2,
}

/// One change: an absolute path of the container.
pub type Change = (PathBuf, Kind);

/// All changes, in the order of their paths; a directory comes before what it holds.
pub fn changes(upper: &Path, lower: &[PathBuf]) -> io::Result<Vec<Change>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let lower = lower.iter().map(|path| Ok(open(path, flags, Mode::empty())?));
    let lower = lower.collect::<io::Result<Vec<OwnedFd>>>()?;
    let mut comparison = Comparison { changes: vec![] };
    comparison.directory(&open(upper, flags, Mode::empty())?, &lower, Path::new("/"), 0)?;
    Ok(comparison.changes)
}

struct Comparison {
    changes: Vec<Change>,
}

/// What lies below a name: what it is, and, of a directory, all directories that are merged there, topmost first.
struct Below {
    stat: Stat,
    merged: Vec<OwnedFd>,
}

impl Comparison {
    fn tell(&mut self, path: PathBuf, kind: Kind) -> io::Result<()> {
        if self.changes.len() >= CHANGES_MAX {
            return Err(io::Error::other(format!("more than {CHANGES_MAX} changes")));
        }
        self.changes.push((path, kind));
        Ok(())
    }

    /// Compares a directory with those that are merged below it.
    fn directory(&mut self, upper: &OwnedFd, lower: &[OwnedFd], path: &Path, depth: usize) -> io::Result<()> {
        if depth > DEPTH_MAX {
            return Err(io::Error::other(format!("directories lie more than {DEPTH_MAX} deep")));
        }
        let mut here = names(upper)?;
        let opaque = is_opaque(upper)?;
        if opaque {
            for directory in lower {
                here.extend(names(directory)?);
            }
        }
        for name in here {
            let path = path.join(&name);
            let below = below(lower, &name)?;
            match look(upper.as_fd(), &name)? {
                Some(stat) if is_whiteout(&stat) => {
                    if below.is_some() {
                        self.tell(path, Kind::Deleted)?;
                    }
                }
                // Only lower layers have it, which this directory hides.
                None => {
                    if below.is_some() {
                        self.tell(path, Kind::Deleted)?;
                    }
                }
                Some(stat) => self.entry(upper, &name, &stat, below, path, depth)?,
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        upper: &OwnedFd,
        name: &OsStr,
        stat: &Stat,
        below: Option<Below>,
        path: PathBuf,
        depth: usize,
    ) -> io::Result<()> {
        let is_directory = kind(stat) == FileType::Directory;
        let told = self.changes.len();
        let (changed, how) = match &below {
            None => (true, Kind::Added),
            Some(below) => (differ(stat, &below.stat), Kind::Modified),
        };
        // Its place is before what it holds, even where it turns out only then that it has changed.
        self.tell(path.clone(), how)?;
        if is_directory {
            let merged = below.map(|below| below.merged).unwrap_or_default();
            self.directory(&open_directory(upper.as_fd(), name)?, &merged, &path, depth + 1)?;
        } else if let Some(below) = below {
            for directory in &below.merged {
                for name in names(directory)? {
                    self.tell(path.join(name), Kind::Deleted)?;
                }
            }
        }
        if !changed && self.changes.len() == told + 1 {
            self.changes.pop();
        }
        Ok(())
    }
}

/// What lower layers have under a name, seen through their own whiteouts.
fn below(lower: &[OwnedFd], name: &OsStr) -> io::Result<Option<Below>> {
    let mut found: Option<Below> = None;
    for directory in lower {
        let Some(stat) = look(directory.as_fd(), name)? else { continue };
        if is_whiteout(&stat) || (found.is_some() && kind(&stat) != FileType::Directory) {
            break;
        }
        let below = found.get_or_insert(Below { stat, merged: vec![] });
        if kind(&stat) != FileType::Directory {
            break;
        }
        let opened = open_directory(directory.as_fd(), name)?;
        let ends = is_opaque(&opened)?;
        below.merged.push(opened);
        if ends {
            break;
        }
    }
    Ok(found)
}

fn look(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<Stat>> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        found => Ok(Some(found?)),
    }
}

fn open_directory(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

fn names(directory: &OwnedFd) -> io::Result<BTreeSet<OsString>> {
    let mut names = BTreeSet::new();
    for entry in Dir::read_from(directory)? {
        let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
        if name != "." && name != ".." {
            names.insert(name);
        }
    }
    Ok(names)
}

fn is_opaque(directory: &OwnedFd) -> io::Result<bool> {
    let mut value = [0; 1];
    match fgetxattr(directory, OPAQUE, &mut value) {
        Ok(length) => Ok(&value[..length] == b"y"),
        Err(Errno::NODATA | Errno::NOTSUP | Errno::RANGE) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn is_whiteout(stat: &Stat) -> bool {
    kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn differ(new: &Stat, old: &Stat) -> bool {
    let identity = |stat: &Stat| (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_rdev);
    if identity(new) != identity(old) {
        return true;
    }
    let content = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
    kind(new) != FileType::Directory && content(new) != content(old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn told(upper: &Path, lower: &[PathBuf]) -> Vec<String> {
        let letter = |kind| ["C", "A", "D"][kind as usize];
        let changes = changes(upper, lower).unwrap();
        changes.iter().map(|(path, kind)| format!("{} {}", letter(*kind), path.display())).collect()
    }

    #[test]
    fn changes_are_docker_s() {
        let temp = tempfile::tempdir().unwrap();
        let (upper, low, lowest) = (temp.path().join("u"), temp.path().join("l1"), temp.path().join("l2"));
        for path in ["l1/etc", "l2/etc/deep/er", "l2/tmp", "l2/var", "u/etc/deep", "u/new/dir", "u/tmp"] {
            fs::create_dir_all(temp.path().join(path)).unwrap();
        }
        fs::write(low.join("etc/same"), "a").unwrap();
        fs::copy(low.join("etc/same"), upper.join("etc/same")).unwrap();
        let time = fs::metadata(low.join("etc/same")).unwrap().modified().unwrap();
        fs::File::options().write(true).open(upper.join("etc/same")).unwrap().set_modified(time).unwrap();
        assert_eq!(told(&upper, &[low.clone(), lowest.clone()]), ["A /new", "A /new/dir"]);
        fs::write(lowest.join("etc/deep/er/file"), "a").unwrap();
        fs::create_dir(upper.join("etc/deep/er")).unwrap();
        fs::write(upper.join("etc/deep/er/file"), "ab").unwrap();
        symlink("x", upper.join("var")).unwrap();
        fs::write(lowest.join("var/old"), "").unwrap();
        fs::set_permissions(upper.join("tmp"), PermissionsExt::from_mode(0o700)).unwrap();
        assert_eq!(
            told(&upper, &[low, lowest]),
            [
                "C /etc",
                "C /etc/deep",
                "C /etc/deep/er",
                "C /etc/deep/er/file",
                "A /new",
                "A /new/dir",
                "C /tmp",
                "C /var",
                "D /var/old",
            ]
        );
    }
}
