//! Which processes of the lab host are a container's: those in its mount namespace.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

/// A mount namespace, by whose number processes are known. It is held: the kernel gives a number that is free again to the next one that is
/// made, and a container's would be free as soon as its processes have ended.
#[derive(Debug)]
pub struct MountNamespace {
    inode: u64,
    _held: File,
}

impl MountNamespace {
    /// That of a process; `None` for one that has ended.
    pub fn of(pid: u32) -> Option<Self> {
        let held = File::open(format!("/proc/{pid}/ns/mnt")).ok()?;
        Some(Self { inode: held.metadata().ok()?.ino(), _held: held })
    }

    /// Its number.
    pub fn inode(&self) -> u64 {
        self.inode
    }
}

/// The pids whose mount namespace has this inode, as the lab host numbers them.
pub fn pids_in(mount_namespace: u64) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| namespace_of(pid) == Some(mount_namespace)).collect()
}

/// The inode of a process's mount namespace; `None` for one that has ended.
fn namespace_of(pid: u32) -> Option<u64> {
    std::fs::metadata(format!("/proc/{pid}/ns/mnt")).ok().map(|metadata| metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};

    struct InNew(Child);

    impl InNew {
        /// A process in a mount namespace of its own, which says so when it is there.
        fn begin() -> Self {
            let mut command = Command::new("unshare");
            command.args(["--map-root-user", "--mount", "sh", "-c", "echo; exec sleep 60"]);
            let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
            let mut said = [0];
            std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
            Self(child)
        }
    }

    impl Drop for InNew {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_namespace_that_is_held_keeps_its_number_to_itself() {
        for _ in 0..20 {
            let first = InNew::begin();
            let held = MountNamespace::of(first.0.id()).unwrap();
            assert_eq!(pids_in(held.inode()), [first.0.id()]);
            drop(first);
            // Whoever comes next gets the lowest number that is free.
            let next: Vec<_> = (0..3).map(|_| InNew::begin()).collect();
            assert!(next.iter().all(|next| namespace_of(next.0.id()) != Some(held.inode())));
            assert!(pids_in(held.inode()).is_empty());
        }
        assert!(MountNamespace::of(u32::MAX).is_none());
    }
}
