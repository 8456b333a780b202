//! The kernel's own file systems as the agent reads them: mounts that are in nobody's namespace.
//!
//! The learner is the machine's real root and can mount anything over `/proc/PID/status` or a file of a control group. What is
//! opened here was never mounted at any place, so that there is none to mount something over.

use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// The processes, as the agent's own pid namespace numbers them.
pub fn processes() -> Result<OwnedFd, Errno> {
    detached("proc")
}

/// The control groups of version 2.
pub fn control_groups() -> Result<OwnedFd, Errno> {
    detached("cgroup2")
}

fn detached(kind: &str) -> Result<OwnedFd, Errno> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(context.as_fd())?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags)
}
