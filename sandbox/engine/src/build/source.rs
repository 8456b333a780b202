//! What `COPY` and `ADD` are to copy: files and directories beneath a root, with a digest by which the cache knows them.

use super::context::leads_out;
use super::glob;
use super::sums::{Sums, sum};
use crate::archive::DEPTH_MAX;
use crate::beneath;
use crate::names::hex;
use rustix::fs::{FileType, Mode, OFlags, Stat, openat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// How many files a pattern may name.
const SOURCES_MAX: usize = 10_000;

/// One file or directory to be copied.
#[derive(Debug)]
pub struct Source {
    /// Its path as it was asked for, without a leading slash.
    pub path: PathBuf,
    /// The thing itself; a link was followed.
    pub located: OwnedFd,
    /// Whether its contents are to be copied.
    pub is_directory: bool,
    /// `file:` or `dir:` and a digest of what it is and holds.
    pub digest: String,
}

/// Why a source cannot be had.
#[derive(Debug)]
pub enum Missing {
    /// It is not there.
    Absent(String),
    /// Something else.
    Other(String),
}

impl From<io::Error> for Missing {
    fn from(error: io::Error) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<Errno> for Missing {
    fn from(error: Errno) -> Self {
        io::Error::from(error).into()
    }
}

/// Finds all that these words name beneath a root, in their order; `sums` are those of the archive that it came in. Blocks.
pub fn find(root: BorrowedFd<'_>, words: &[String], sums: Option<&Sums>) -> Result<Vec<Source>, Missing> {
    let mut sources = vec![];
    for word in words {
        if leads_out(word) {
            return Err(Missing::Other(format!("forbidden path outside the build context: {word} ()")));
        }
        let path = word.strip_prefix('/').unwrap_or(word);
        let path = path.strip_prefix("./").unwrap_or(path);
        if glob::is_pattern(path) {
            let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
            let top = beneath::open(root, Path::new(""), OFlags::RDONLY | OFlags::DIRECTORY)?;
            for path in matching(&top, Path::new(""), &parts)? {
                sources.push(one(root, &path, sums)?);
                if sources.len() > SOURCES_MAX {
                    return Err(Missing::Other(format!("{word} names more than {SOURCES_MAX} files")));
                }
            }
        } else {
            sources.push(one(root, Path::new(path), sums)?);
        }
    }
    match sources.is_empty() {
        true => Err(Missing::Other("no source files were specified".into())),
        false => Ok(sources),
    }
}

/// What of a directory matches a pattern, which has a part for each level. Links to directories are not entered.
fn matching(directory: &OwnedFd, above: &Path, parts: &[&str]) -> io::Result<Vec<PathBuf>> {
    let Some((pattern, rest)) = parts.split_first() else { return Ok(vec![]) };
    let mut found = vec![];
    for name in beneath::names(directory)? {
        let text = name.to_string_lossy();
        if !glob::matches(pattern, &text) {
            continue;
        }
        let path = above.join(&name);
        if rest.is_empty() {
            found.push(path);
        } else {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            if let Ok(inner) = openat(directory, &name, flags, Mode::empty()) {
                found.extend(matching(&inner, &path, rest)?);
            }
        }
        if found.len() > SOURCES_MAX {
            break;
        }
    }
    Ok(found)
}

fn one(root: BorrowedFd<'_>, path: &Path, sums: Option<&Sums>) -> Result<Source, Missing> {
    let located = match beneath::locate(root, path) {
        Err(Errno::NOENT | Errno::NOTDIR) => {
            return Err(Missing::Absent(format!("stat {}: file does not exist", path.display())));
        }
        located => located?,
    };
    let is_directory = kind(&beneath::stat(located.as_fd())?) == FileType::Directory;
    let digest = if is_directory {
        let mut digests = digests_below(root, &beneath::cleaned(path), sums, 0)?;
        digests.sort();
        format!("dir:{}", hex(&Sha256::digest(digests.join(","))))
    } else {
        format!("file:{}", sum(root, path, sums)?)
    };
    Ok(Source { path: path.to_owned(), located, is_directory, digest })
}

/// The digest of several sources: of one it is its own.
pub fn digest_of_all(sources: &[Source]) -> String {
    match sources {
        [source] => source.digest.clone(),
        sources => {
            let digests: Vec<_> = sources.iter().map(|source| source.digest.as_str()).collect();
            format!("multi:{}", hex(&Sha256::digest(digests.join(","))))
        }
    }
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// The digests of all that a directory holds, itself included, in the order of their text. What is gone or a link to nothing
/// has none.
fn digests_below(
    root: BorrowedFd<'_>,
    path: &Path,
    sums: Option<&Sums>,
    depth: usize,
) -> io::Result<Vec<String>> {
    if depth > DEPTH_MAX {
        return Err(io::Error::other(format!("directories lie more than {DEPTH_MAX} deep")));
    }
    let mut digests = vec![];
    if !path.as_os_str().is_empty() {
        digests.extend(sum(root, path, sums));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // A link at the top was followed; one below is not entered.
    let flags = if depth == 0 { flags } else { flags | OFlags::NOFOLLOW };
    if let Ok(directory) = beneath::open(root, path, flags) {
        for name in beneath::names(&directory)? {
            digests.extend(digests_below(root, &path.join(name), sums, depth + 1)?);
        }
    }
    Ok(digests)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn root(temp: &tempfile::TempDir) -> OwnedFd {
        rustix::fs::open(temp.path(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    fn paths(root: &OwnedFd, words: &[&str]) -> Result<Vec<String>, String> {
        let words: Vec<_> = words.iter().map(|&word| word.into()).collect();
        let told = |missing| match missing {
            Missing::Absent(why) | Missing::Other(why) => why,
        };
        let sources = find(root.as_fd(), &words, None).map_err(told)?;
        Ok(sources.into_iter().map(|source| source.path.display().to_string()).collect())
    }

    #[test]
    fn patterns_name_files_of_one_depth_in_order() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(temp.path().join("d/e")).unwrap();
        for name in ["b.c", "a.c", "d/x.c", "d/e/y.c"] {
            std::fs::write(temp.path().join(name), name).unwrap();
        }
        symlink("/etc", temp.path().join("link")).unwrap();
        let root = root(&temp);
        assert_eq!(paths(&root, &["*.c"]).unwrap(), ["a.c", "b.c"]);
        assert_eq!(paths(&root, &["/d/*.c", "./b.c"]).unwrap(), ["d/x.c", "b.c"]);
        assert_eq!(paths(&root, &["*/*.c"]).unwrap(), ["d/x.c"]);
        assert_eq!(paths(&root, &["*.h"]).unwrap_err(), "no source files were specified");
        assert_eq!(paths(&root, &["link/passwd"]).unwrap_err(), "stat link/passwd: file does not exist");
        assert_eq!(paths(&root, &["../x"]).unwrap_err(), "forbidden path outside the build context: ../x ()");
    }

    #[test]
    fn a_digest_changes_with_everything_but_the_time() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("d/f");
        std::fs::create_dir(temp.path().join("d")).unwrap();
        std::fs::write(&file, "1").unwrap();
        let root = root(&temp);
        let digest = || find(root.as_fd(), &["d".to_owned()], None).unwrap()[0].digest.clone();
        let first = digest();
        std::fs::write(&file, "1").unwrap();
        assert_eq!(digest(), first);
        std::fs::write(&file, "2").unwrap();
        let second = digest();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o700)).unwrap();
        let third = digest();
        std::fs::rename(&file, temp.path().join("d/g")).unwrap();
        let all = [first, second, third, digest()];
        assert!(all.iter().collect::<std::collections::BTreeSet<_>>().len() == 4, "{all:?}");
    }
}
