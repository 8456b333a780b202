//! Which processes of the lab host are a container's: those in its mount namespace.

use std::os::unix::fs::MetadataExt;

/// The pids whose mount namespace has this inode, as the lab host numbers them.
pub fn pids_in(mount_namespace: u64) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| namespace_of(pid) == Some(mount_namespace)).collect()
}

/// The inode of a process's mount namespace; `None` for one that has ended.
pub fn namespace_of(pid: u32) -> Option<u64> {
    std::fs::metadata(format!("/proc/{pid}/ns/mnt")).ok().map(|metadata| metadata.ino())
}
