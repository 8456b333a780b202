//! What a process executes, and whether that is the file that Isolab's own images hold at that path.
//!
//! The bytes are digested through the kernel's link to the very file that is executed, so that no name, mount or
//! overlay of the lab's can stand in for it.

use super::procfs::ProcessDir;
use isolab_protocol::observation::Executable;
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Stat, fstat};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// What knows the images: whether a file of them has these bytes at this path.
pub trait Trusted {
    /// `digest` is the SHA-256 of the bytes that are executed.
    fn pristine(&self, path: &str, digest: &[u8; 32]) -> bool;
}

impl<F: Fn(&str, &[u8; 32]) -> bool> Trusted for F {
    fn pristine(&self, path: &str, digest: &[u8; 32]) -> bool {
        self(path, digest)
    }
}

/// The largest file that is digested; a larger one is not pristine. The images' largest program has 50 MiB
/// (the docker CLI).
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How much is digested in one reading of a lab before what remains is put off to the next one. A learner who
/// makes new programs all the time costs a bounded share of the agent's time; an honest lab's programs fit.
const BYTES_PER_READING: u64 = 64 * 1024 * 1024;

/// How many digests are kept: a lab's few dozen programs many times over.
const DIGESTS_MAX: usize = 1024;

/// A digest is kept only if the file had been left alone for this long when it was read: a file that is written twice
/// within one tick of the kernel's file clock (at most 10 ms) looks unchanged.
const SETTLED_MS: i64 = 100;

/// What tells a file's bytes from others. Its ctime cannot be set back, unlike its mtime, which is the lab's to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Identity {
    device: u64,
    inode: u64,
    changed: (i64, i64),
    bytes: u64,
}

/// The digests of the programs of one lab.
#[derive(Debug, Default)]
pub struct Digests {
    kept: HashMap<Identity, [u8; 32]>,
    spent: u64,
}

impl Digests {
    /// Allows the next reading its share of digesting.
    pub(super) fn begin_reading(&mut self) {
        self.spent = 0;
    }

    /// Reads what a process executes. Empty and not pristine for a zombie and a kernel thread.
    pub(super) fn executable(&mut self, process: &ProcessDir, trusted: &dyn Trusted) -> Executable {
        let path = process.executable_path();
        let digest = if path.is_empty() { None } else { self.digest(process).ok().flatten() };
        // The kernel marks a file that has no name any more; no image holds such a path.
        let pristine = digest.is_some_and(|digest| trusted.pristine(&path, &digest));
        Executable { path, pristine }
    }

    fn digest(&mut self, process: &ProcessDir) -> Result<Option<[u8; 32]>, Errno> {
        let identity = Identity::of(&process.executable_stat()?);
        if let Some(digest) = self.kept.get(&identity) {
            return Ok(Some(*digest));
        }
        if identity.bytes > FILE_BYTES_MAX || self.spent >= BYTES_PER_READING {
            return Ok(None);
        }
        self.spent += identity.bytes;
        let file = process.executable()?;
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let Some(digest) = digest(&file)? else { return Ok(None) };
        if Identity::of(&stat) == identity
            && Identity::of(&fstat(&file)?) == identity
            && identity.is_settled()
        {
            self.keep(identity, digest);
        }
        Ok(Some(digest))
    }

    fn keep(&mut self, identity: Identity, digest: [u8; 32]) {
        if self.kept.len() >= DIGESTS_MAX {
            self.kept.clear();
        }
        self.kept.insert(identity, digest);
    }
}

impl Identity {
    fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            changed: (stat.st_ctime, stat.st_ctime_nsec as i64),
            bytes: stat.st_size as u64,
        }
    }

    fn is_settled(&self) -> bool {
        let now = clock_gettime(ClockId::Realtime);
        let ms = |seconds: i64, nanoseconds: i64| seconds.saturating_mul(1000) + nanoseconds / 1_000_000;
        ms(now.tv_sec, now.tv_nsec as i64) - ms(self.changed.0, self.changed.1) > SETTLED_MS
    }
}

/// The SHA-256 of a file; `None` where it turns out longer than [`FILE_BYTES_MAX`].
fn digest(file: &OwnedFd) -> Result<Option<[u8; 32]>, Errno> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut read = 0;
    loop {
        let got = rustix::io::pread(file, &mut buffer, read)?;
        if got == 0 {
            return Ok(Some(hasher.finalize().into()));
        }
        hasher.update(&buffer[..got]);
        read += got as u64;
        if read > FILE_BYTES_MAX {
            return Ok(None);
        }
    }
}
