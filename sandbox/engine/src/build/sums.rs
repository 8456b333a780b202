//! The digests by which Docker's builder tells whether a file is still the same, and which an image's history shows: of what
//! a tar header says of it, all but its times, and of its content.

use crate::archive::Seen;
use crate::beneath;
use crate::names::hex;
use rustix::fs::{FileType, OFlags, Stat, major, minor, readlinkat};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What an archive has said of the files that came in it. Their content is read when it is asked for.
#[derive(Debug, Default)]
pub struct Sums(BTreeMap<PathBuf, (Sha256, bool)>);

impl Sums {
    /// Takes down what the archive says of an entry.
    pub fn note(&mut self, path: &Path, seen: &Seen<'_>) -> io::Result<()> {
        let header = seen.header;
        let kind = match header.entry_type().as_byte() {
            0 => b'0',
            kind => kind,
        };
        let text = |bytes: Option<&[u8]>| bytes.unwrap_or_default().to_vec();
        // Some write nothing where there is no device.
        let number = |read: io::Result<Option<u32>>| read.ok().flatten().unwrap_or(0);
        let said = Said {
            name: seen.name.to_vec(),
            mode: header.mode()?,
            owner: (header.uid()?, header.gid()?),
            size: seen.size,
            kind,
            link: seen.link.to_vec(),
            names: (text(header.username_bytes()), text(header.groupname_bytes())),
            device: (number(header.device_major()), number(header.device_minor())),
        };
        self.0.insert(path.to_owned(), (said.digest(), kind == b'0'));
        Ok(())
    }

    /// The digest of one file, which a path that was followed has led to. What came without an entry of its own is known by
    /// its path only.
    fn of(&self, path: &Path, located: BorrowedFd<'_>) -> io::Result<String> {
        match self.0.get(path) {
            Some((begun, true)) => finished(begun.clone(), Some(located)),
            Some((begun, false)) => finished(begun.clone(), None),
            None => Ok(path.display().to_string()),
        }
    }
}

/// The digest of a file beneath a root that `path` leads to. Without the `sums` of an archive the header is the one that the
/// file would get in one.
pub fn sum(root: BorrowedFd<'_>, path: &Path, sums: Option<&Sums>) -> io::Result<String> {
    let located = beneath::locate(root, path)?;
    let top = std::fs::read_link(beneath::by_descriptor(root))?;
    let led_to = std::fs::read_link(beneath::by_descriptor(located.as_fd()))?;
    let path = led_to.strip_prefix(top).unwrap_or(path);
    match sums {
        Some(sums) => sums.of(path, located.as_fd()),
        None => {
            let stat = beneath::stat(located.as_fd())?;
            let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
            finished(Said::of(path, &stat, located.as_fd())?.digest(), is_file.then_some(located.as_fd()))
        }
    }
}

fn finished(mut begun: Sha256, content: Option<BorrowedFd<'_>>) -> io::Result<String> {
    if let Some(located) = content {
        let mut file = File::from(beneath::reopen(located, OFlags::RDONLY | OFlags::NONBLOCK)?);
        let mut buffer = vec![0; 64 * 1024];
        while let length @ 1.. = file.read(&mut buffer)? {
            begun.update(&buffer[..length]);
        }
    }
    Ok(hex(&begun.finalize()))
}

/// The fields of a tar header that count.
struct Said {
    name: Vec<u8>,
    mode: u32,
    owner: (u64, u64),
    size: u64,
    kind: u8,
    link: Vec<u8>,
    names: (Vec<u8>, Vec<u8>),
    device: (u32, u32),
}

impl Said {
    fn of(path: &Path, stat: &Stat, located: BorrowedFd<'_>) -> io::Result<Self> {
        let (mut name, mut link, mut size) = (path.as_os_str().as_bytes().to_vec(), vec![], 0);
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                name.push(b'/');
                b'5'
            }
            FileType::Symlink => {
                link = readlinkat(located, "", vec![])?.into_bytes();
                b'2'
            }
            FileType::CharacterDevice => b'3',
            FileType::BlockDevice => b'4',
            FileType::Fifo => b'6',
            _ => {
                size = u64::try_from(stat.st_size).unwrap_or(0);
                b'0'
            }
        };
        let device = match kind {
            b'3' | b'4' => (major(stat.st_rdev), minor(stat.st_rdev)),
            _ => (0, 0),
        };
        // Docker looks owners up on its own machine, where few but root are known.
        let called = |id: u32| if id == 0 { b"root".to_vec() } else { vec![] };
        let (uid, gid) = (stat.st_uid, stat.st_gid);
        Ok(Self {
            name,
            mode: stat.st_mode,
            owner: (uid.into(), gid.into()),
            size,
            kind,
            link,
            names: (called(uid), called(gid)),
            device,
        })
    }

    fn digest(&self) -> Sha256 {
        let number = |value: u64| value.to_string().into_bytes();
        let mut hasher = Sha256::new();
        for (key, value) in [
            ("name", self.name.clone()),
            ("mode", number(self.mode.into())),
            ("uid", number(self.owner.0)),
            ("gid", number(self.owner.1)),
            ("size", number(self.size)),
            ("typeflag", vec![self.kind]),
            ("linkname", self.link.clone()),
            ("uname", self.names.0.clone()),
            ("gname", self.names.1.clone()),
            ("devmajor", number(self.device.0.into())),
            ("devminor", number(self.device.1.into())),
        ] {
            hasher.update(key);
            hasher.update(value);
        }
        hasher
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_an_image_has_the_digest_that_docker_gives_it() {
        let said = Said {
            name: b"w/env".to_vec(),
            mode: 0o100_644,
            owner: (0, 0),
            size: 12,
            kind: b'0',
            link: vec![],
            names: (b"root".to_vec(), b"root".to_vec()),
            device: (0, 0),
        };
        let digest = said.digest().chain_update("1 two words\n");
        // As `docker history` of dockerd 20.10 shows it.
        assert!(hex(&digest.finalize()).starts_with("18551399f5c05fca"));
    }
}
