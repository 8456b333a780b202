//! The processes of one container, each held by a descriptor, so that no signal reaches a process that got the number of
//! one that has ended.
//!
//! A container with a pid namespace of its own is looked at through a procfs of that namespace, out of the container's
//! reach: it shows all processes, also those that have gone into namespaces of their own below it. Those that belong to
//! other containers, which have joined it, are left out. A container that shares the pid namespace of others has only its
//! mount namespace to be known by.

use rustix::fs::{AtFlags, Dir, Mode, OFlags, StatxFlags, openat, statx};
use rustix::process::{Signal, pidfd_send_signal};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// `stat` is one line of some three hundred bytes.
const STAT_BYTES_MAX: u64 = 4096;

/// Tables of procfs that are longer (a container with hundreds of links) are not read to their end.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Where to look for a container's processes.
#[derive(Debug)]
pub struct Processes {
    /// A procfs: the container's own, or the lab host's.
    procfs: OwnedFd,
    /// Which of the processes there are meant.
    which: Which,
}

#[derive(Debug)]
enum Which {
    /// All but those in these mount namespaces.
    AllBut(Vec<u64>),
    /// Those in this mount namespace.
    In(u64),
}

/// A process as it is told from all others: its number, and when it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    pid: u32,
    started: u64,
}

/// A process that is held.
#[derive(Debug)]
pub struct Handle {
    /// Which one it is.
    pub process: Process,
    directory: OwnedFd,
}

/// What `stat` says of a process or of one of its threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// One letter.
    pub state: u8,
    /// Time in user mode and in the kernel, in ticks, of the process and of all its children that it has waited for.
    pub ticks: [u64; 2],
    /// Its threads.
    pub threads: u64,
    /// When it was started, in ticks since the machine was.
    pub started: u64,
}

impl Processes {
    /// Those of the pid namespace of which this is a procfs, except those in the mount namespaces of other containers.
    pub fn of_namespace(procfs: BorrowedFd<'_>, others: Vec<u64>) -> io::Result<Self> {
        Ok(Self { procfs: procfs.try_clone_to_owned()?, which: Which::AllBut(others) })
    }

    /// Those in a mount namespace, of all that the lab host has.
    pub fn in_mount_namespace(inode: u64) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let procfs = rustix::fs::open("/proc", flags, Mode::empty())?;
        Ok(Self { procfs, which: Which::In(inode) })
    }

    /// All that there are at this moment.
    pub fn list(&self) -> io::Result<Vec<Handle>> {
        let mut handles = vec![];
        for entry in Dir::read_from(directory(&self.procfs, ".")?)? {
            let entry = entry?;
            let name = entry.file_name().to_str().ok();
            let Some(pid) = name.and_then(|name| name.parse::<u32>().ok()) else { continue };
            // Those that end meanwhile are none any more.
            let held = directory(&self.procfs, &pid.to_string());
            handles.extend(held.ok().and_then(|directory| self.hold(pid, directory)));
        }
        Ok(handles)
    }

    fn hold(&self, pid: u32, directory: OwnedFd) -> Option<Handle> {
        let namespace = || {
            let found = statx(&directory, "ns/mnt", AtFlags::empty(), StatxFlags::INO);
            found.ok().map(|found| found.stx_ino)
        };
        let meant = match &self.which {
            Which::AllBut(others) if others.is_empty() => true,
            Which::AllBut(others) => !namespace().is_some_and(|inode| others.contains(&inode)),
            Which::In(inode) => namespace() == Some(*inode),
        };
        let started = stat(directory.as_fd(), "stat").filter(|_| meant)?.started;
        Some(Handle { process: Process { pid, started }, directory })
    }
}

impl Handle {
    /// What `stat` says of it; `None` when it has ended.
    pub fn stat(&self) -> Option<Stat> {
        stat(self.directory.as_fd(), "stat")
    }

    /// A file of procfs about it, at most a page or two; empty where there is nothing to read.
    pub fn read(&self, name: &str) -> String {
        let file = openat(&self.directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let mut bytes = vec![];
        let read = file.map(|file| File::from(file).take(FILE_BYTES_MAX).read_to_end(&mut bytes));
        // A process that ends, or that may not be looked at, tells nothing.
        read.map(|_| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Whether it will do nothing by itself: all of its threads are stopped, or have ended.
    pub fn stands_still(&self) -> bool {
        let Ok(tasks) = directory(&self.directory, "task").and_then(|tasks| Ok(Dir::read_from(tasks)?))
        else {
            return true;
        };
        tasks.flatten().all(|entry| match entry.file_name().to_str() {
            Ok(task) if task.bytes().all(|c| c.is_ascii_digit()) => {
                // T and t: stopped; Z and X: over.
                stat(self.directory.as_fd(), &format!("task/{task}/stat"))
                    .is_none_or(|stat| matches!(stat.state, b'T' | b't' | b'Z' | b'X'))
            }
            _ => true,
        })
    }

    /// Sends it a signal. One that has ended needs none.
    pub fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.directory, signal);
    }
}

fn directory(at: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(openat(at, name, flags, Mode::empty())?)
}

fn stat(at: BorrowedFd<'_>, name: &str) -> Option<Stat> {
    let file = openat(at, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut bytes = vec![];
    File::from(file).take(STAT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    parse(&bytes)
}

/// Reads a line of `stat`. The name, which a process chooses, stands in brackets and may hold brackets itself.
fn parse(line: &[u8]) -> Option<Stat> {
    let end = line.iter().rposition(|&c| c == b')')?;
    let rest = std::str::from_utf8(&line[end + 1..]).ok()?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // The first of these is the third of proc(5).
    let number = |place: usize| fields.get(place - 3)?.parse::<u64>().ok();
    let state = *fields.first()?.as_bytes().first()?;
    Some(Stat {
        state,
        ticks: [number(14)? + number(16)?, number(15)? + number(17)?],
        threads: number(20)?,
        started: number(22)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    #[test]
    fn a_name_with_brackets_does_not_mislead() {
        let line = b"77 (a) R 1 (b) T 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21";
        let stat = parse(line).unwrap();
        assert_eq!((stat.state, stat.ticks, stat.threads, stat.started), (b'T', [24, 26], 17, 19));
        for bad in [&b""[..], b"77 (a", b"77 (a)", b"77 (a) T 1 2", b"77 (a) T x"] {
            assert_eq!(parse(bad), None);
        }
    }

    fn own_mount_namespace() -> Processes {
        use std::os::unix::fs::MetadataExt;
        let inode = std::fs::metadata("/proc/self/ns/mnt").unwrap().ino();
        Processes::in_mount_namespace(inode).unwrap()
    }

    struct Sleeper(Child);

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_process_is_stopped_and_continued() {
        let sleeper = Sleeper(Command::new("sleep").arg("60").spawn().unwrap());
        let find = || {
            let mut all = own_mount_namespace().list().unwrap().into_iter();
            all.find(|handle| handle.process.pid == sleeper.0.id()).unwrap()
        };
        let wait_until = |still: bool| while find().stands_still() != still {};
        find().signal(Signal::STOP);
        wait_until(true);
        find().signal(Signal::CONT);
        wait_until(false);
    }
}
