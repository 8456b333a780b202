//! What an engine that was killed has left behind: processes of its containers, their control groups, and mounts. The next engine of the same
//! data root ends them before it begins.
//!
//! As PID 1 of a lab host this finds nothing, because all ends with the engine there. What is on disk is not looked at.

use crate::container::group;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long killed processes are waited for. The kernel needs milliseconds, except when it is out of breath.
const KILL_TIME_MAX: Duration = Duration::from_secs(10);

/// How often it is looked whether they have ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A container that its owner has filled with mounts could make a list without end of this; ours is in the first lines.
const MOUNTS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The right to use a data root. Another engine gets it when this one has ended, however it ended.
#[derive(Debug)]
pub struct Claim {
    _lock: File,
}

/// Claims a data root, so that no two engines take each other's containers for leftovers.
pub fn claim(data_root: &Path) -> Result<Claim, String> {
    let path = data_root.join("engine.lock");
    let told = |error: io::Error| format!("{}: {error}", path.display());
    let lock = File::options().create(true).truncate(false).write(true).open(&path).map_err(told)?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Claim { _lock: lock }),
        Err(Errno::WOULDBLOCK) => {
            Err(format!("another engine runs with the data root {}", data_root.display()))
        }
        Err(error) => Err(told(error.into())),
    }
}

/// Ends what is left of containers of this data root. It waits, so call it before anybody is served.
pub fn end(data_root: &Path) -> Result<(), String> {
    // First, because what is frozen in its group does not end.
    group::sweep(data_root)?;
    let overlays = data_root.join("overlay2");
    let began = Instant::now();
    loop {
        let left = processes(&overlays);
        if left.is_empty() {
            break;
        }
        if began.elapsed() > KILL_TIME_MAX {
            let pids: Vec<_> = left.iter().map(|(pid, _)| pid.to_string()).collect();
            return Err(format!(
                "processes of an earlier engine's containers do not end: {}",
                pids.join(" ")
            ));
        }
        for (_, pidfd) in &left {
            // One that has ended meanwhile needs no killing.
            let _ = pidfd_send_signal(pidfd, Signal::KILL);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    // The innermost first.
    let own =
        std::fs::read_to_string("/proc/self/mountinfo").map_err(|e| format!("/proc/self/mountinfo: {e}"))?;
    // Roots, and what containers have in common with others, such as shared memory.
    let ours =
        |place: &PathBuf| place.starts_with(&overlays) || place.starts_with(data_root.join("containers"));
    for place in own.lines().filter_map(place_of).filter(ours).rev() {
        match unmount(&place, UnmountFlags::DETACH) {
            // It has gone meanwhile: at a restart, the engine before may still be taking a container down.
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            Err(error) => return Err(format!("unmounting {}: {error}", place.display())),
        }
    }
    Ok(())
}

/// The processes that live in a mount namespace other than ours in which an overlay has its writable layer below here,
/// each held by a descriptor so that no number is taken for another's.
fn processes(overlays: &Path) -> Vec<(u32, OwnedFd)> {
    let namespace = |pid: &str| std::fs::metadata(format!("/proc/{pid}/ns/mnt")).ok().map(|m| m.ino());
    let own = namespace("self");
    let is_ours = |pid: u32| {
        namespace(&pid.to_string()) != own
            && read_bounded(&format!("/proc/{pid}/mountinfo")).lines().any(|line| is_layer(line, overlays))
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let held = pids.filter_map(|pid| {
        let pidfd = pidfd_open(Pid::from_raw(pid.cast_signed())?, PidfdFlags::empty()).ok()?;
        is_ours(pid).then_some((pid, pidfd))
    });
    held.collect()
}

fn read_bounded(path: &str) -> String {
    use std::io::Read;
    let mut bytes = vec![];
    let read = File::open(path).and_then(|file| file.take(MOUNTS_BYTES_MAX as u64).read_to_end(&mut bytes));
    // The process may have ended.
    read.map(|_| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Where a line of mountinfo is mounted. Paths of ours have nothing in them that the kernel writes in another way, unless
/// the data root has; then nothing is found, and it stays.
fn place_of(line: &str) -> Option<PathBuf> {
    line.split(' ').nth(4).map(PathBuf::from)
}

/// Whether a line of mountinfo is the root of a container with its writable layer below `overlays`.
fn is_layer(line: &str, overlays: &Path) -> bool {
    let Some((_, rest)) = line.split_once(" - overlay ") else { return false };
    let upper = rest.split([' ', ',']).find_map(|word| word.strip_prefix("upperdir="));
    upper.is_some_and(|upper| Path::new(upper).starts_with(overlays))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "80 70 0:50 / / rw,relatime - overlay overlay \
                        rw,lowerdir=/d/overlay2/init/diff,upperdir=/d/overlay2/ab/diff,workdir=/d/overlay2/ab/work,userxattr";

    #[test]
    fn a_container_is_known_by_its_layer() {
        assert!(is_layer(ROOT, Path::new("/d/overlay2")));
        assert!(!is_layer(ROOT, Path::new("/d/overlay")));
        assert!(!is_layer(ROOT, Path::new("/other/overlay2")));
        assert!(!is_layer("30 1 8:1 /d/overlay2/ab / rw - ext4 /dev/a rw", Path::new("/d/overlay2")));
        assert_eq!(place_of(ROOT), Some("/".into()));
    }

    #[test]
    fn a_data_root_has_one_engine() {
        let root = tempfile::tempdir().unwrap();
        let first = claim(root.path()).unwrap();
        assert!(claim(root.path()).unwrap_err().contains("another engine"));
        drop(first);
        claim(root.path()).unwrap();
    }

    #[test]
    fn nothing_of_ours_is_taken_for_a_container() {
        let root = tempfile::tempdir().unwrap();
        end(root.path()).unwrap();
    }
}
