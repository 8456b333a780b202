//! A procfs by descriptor: bounded reads of the files of one process.

use crate::Error;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, Stat, openat, readlinkat, statat};
use rustix::io::Errno;
use std::mem::MaybeUninit;

/// `PROC_SUPER_MAGIC` of linux/magic.h.
const PROC_MAGIC: i64 = 0x9fa0;

/// A procfs that was mounted for a pid namespace. The pids in it are that namespace's.
#[derive(Debug)]
pub struct Procfs {
    root: OwnedFd,
}

/// The directory of one process, held open: a later process with the same pid is not read through it.
#[derive(Debug)]
pub struct ProcessDir {
    dir: OwnedFd,
}

/// The kinds of namespaces, by the names of their files in `/proc/PID/ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of namespaces(7)")]
pub enum NamespaceKind {
    User,
    Pid,
    Mnt,
    Net,
    Uts,
    Ipc,
    Cgroup,
    Time,
}

impl NamespaceKind {
    fn file(self) -> &'static str {
        match self {
            Self::User => "ns/user",
            Self::Pid => "ns/pid",
            Self::Mnt => "ns/mnt",
            Self::Net => "ns/net",
            Self::Uts => "ns/uts",
            Self::Ipc => "ns/ipc",
            Self::Cgroup => "ns/cgroup",
            Self::Time => "ns/time",
        }
    }
}

impl Procfs {
    /// Takes the root directory of a procfs. Anything else is refused, whatever its files are called.
    pub fn new(root: OwnedFd) -> Result<Self, Error> {
        let failed = |call: &str, errno: Errno| Error {
            step: "opening a lab's procfs".into(),
            call: call.into(),
            errno: errno.raw_os_error(),
        };
        let file_system = rustix::fs::fstatfs(&root).map_err(|errno| failed("fstatfs", errno))?;
        if file_system.f_type as i64 != PROC_MAGIC {
            return Err(failed("fstatfs: this is no procfs", Errno::INVAL));
        }
        Ok(Self { root })
    }

    /// The pids in ascending order, the lowest `max` of them, and whether there are more.
    pub fn pids(&self, max: usize) -> Result<(Vec<u32>, bool), Errno> {
        let dir =
            openat(&self.root, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mut buffer = [MaybeUninit::<u8>::uninit(); 16 * 1024];
        let mut entries = RawDir::new(dir, &mut buffer);
        let mut pids = Vec::new();
        while let Some(entry) = entries.next() {
            let name = entry?;
            let Some(pid) = name.file_name().to_str().ok().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if pids.len() == max {
                return Ok((pids, true));
            }
            // The kernel lists pids in ascending order, so that the first ones are the lowest.
            pids.push(pid);
        }
        Ok((pids, false))
    }

    /// The directory of a process; an error where it has gone.
    pub(super) fn process(&self, pid: u32) -> Result<ProcessDir, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(ProcessDir { dir: openat(&self.root, pid.to_string(), flags, Mode::empty())? })
    }

    /// The inode of a namespace of a process; 0 where it cannot be read.
    pub fn namespace_inode(&self, pid: u32, kind: NamespaceKind) -> u64 {
        self.process(pid).map_or(0, |dir| dir.namespace_inode(kind))
    }

    /// A namespace of a process, to be entered with `setns`.
    pub fn namespace(&self, pid: u32, kind: NamespaceKind) -> Result<OwnedFd, Errno> {
        let dir = self.process(pid)?;
        openat(dir.dir, kind.file(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    }
}

impl ProcessDir {
    /// At most the first `max` bytes of a file of many records (`mountinfo`, `uid_map`), put in `buffer` in place of
    /// what it held.
    pub fn read(&self, file: &str, max: usize, buffer: &mut Vec<u8>) -> Result<(), Errno> {
        self.read_until(file, max, buffer, |got, _| got == 0)
    }

    /// The same for a file that the kernel prints as one record, where a short read is the end.
    pub fn read_record(&self, file: &str, max: usize, buffer: &mut Vec<u8>) -> Result<(), Errno> {
        self.read_until(file, max, buffer, |got, asked| got < asked)
    }

    fn read_until(
        &self,
        file: &str,
        max: usize,
        buffer: &mut Vec<u8>,
        is_end: impl Fn(usize, usize) -> bool,
    ) -> Result<(), Errno> {
        /// Most files of a process are shorter.
        const CHUNK: usize = 4096;
        let fd = openat(&self.dir, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        buffer.clear();
        while buffer.len() < max {
            let filled = buffer.len();
            let asked = CHUNK.min(max - filled);
            buffer.resize(filled + asked, 0);
            let got = rustix::io::read(fd.as_fd(), &mut buffer[filled..])?;
            buffer.truncate(filled + got);
            if is_end(got, asked) {
                break;
            }
        }
        Ok(())
    }

    /// The inode of a namespace; 0 where it cannot be read, as that of a zombie.
    pub fn namespace_inode(&self, kind: NamespaceKind) -> u64 {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 64];
        let Ok((link, _)) = rustix::fs::readlinkat_raw(&self.dir, kind.file(), &mut buffer) else { return 0 };
        let text = std::str::from_utf8(link).unwrap_or_default();
        let number = text.split_once('[').and_then(|(_, rest)| rest.strip_suffix(']'));
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// Where `exe` points to, as the process's own mount namespace names it; empty where it cannot be read.
    pub fn executable_path(&self) -> String {
        match readlinkat(&self.dir, "exe", Vec::new()) {
            Ok(path) => path.to_string_lossy().into_owned(),
            Err(_) => String::new(),
        }
    }

    /// What the kernel says of the file that the process executes, through its own link rather than by a name.
    pub fn executable_stat(&self) -> Result<Stat, Errno> {
        statat(&self.dir, "exe", AtFlags::empty())
    }

    /// That file, opened for reading.
    pub fn executable(&self) -> Result<OwnedFd, Errno> {
        openat(&self.dir, "exe", OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
    }
}
