//! The device doll: the few device nodes and links of a container's `/dev`.
//!
//! Nodes are made where the kernel allows it. A user namespace refuses `mknod`: there they are bound from the machine's own
//! `/dev`, whose owner and mode a container cannot change then, because they are none of its ids'.

use super::{beneath, mounts};
use crate::Error;
use crate::error::{Call, Failed};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Gid, Mode, Uid, makedev};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A device node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Device {
    /// Where it is, in the container as on the machine.
    pub path: PathBuf,
    /// A block device; otherwise a character device.
    pub block: bool,
    pub major: u32,
    pub minor: u32,
    /// For a node that has to be made.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// The nodes that every container has, by the OCI Spec.
const STANDARD: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/tty", 5, 0),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
];

/// Not every kernel has it.
const KERNEL_MEMORY: &str = "/proc/kcore";

/// The links that every container has, by the OCI Spec and by Docker's habit.
pub(crate) const LINKS: [(&str, &str); 6] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/core", KERNEL_MEMORY),
    ("/dev/ptmx", "pts/ptmx"),
];

/// The standard nodes, then those of the Spec.
pub(crate) fn plan(devices: &[LinuxDevice]) -> Result<Vec<Device>, Error> {
    let standard = STANDARD.map(|(path, major, minor)| Device {
        path: path.into(),
        block: false,
        major,
        minor,
        mode: 0o666,
        uid: 0,
        gid: 0,
    });
    let mut all = standard.to_vec();
    for (index, device) in devices.iter().enumerate() {
        let planned = read(&format!("linux.devices[{index}]"), device)?;
        all.retain(|other| other.path != planned.path);
        all.push(planned);
    }
    Ok(all)
}

fn read(at: &str, device: &LinuxDevice) -> Result<Device, Error> {
    let block = match device.typ() {
        LinuxDeviceType::B => true,
        LinuxDeviceType::C | LinuxDeviceType::U => false,
        other => return Err(Error::field(format!("{at}.type"), format!("{other:?} is not a device"))),
    };
    let number = |name: &str, value: i64| {
        u32::try_from(value)
            .map_err(|_| Error::field(format!("{at}.{name}"), format!("{value} is no number of a device")))
    };
    if !device.path().is_absolute() {
        return Err(Error::field(format!("{at}.path"), format!("{:?} is not absolute", device.path())));
    }
    Ok(Device {
        path: device.path().clone(),
        block,
        major: number("major", device.major())?,
        minor: number("minor", device.minor())?,
        mode: device.file_mode().unwrap_or(0o666),
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    })
}

impl Device {
    /// Puts the node beneath `root`.
    pub(crate) fn perform(&self, root: BorrowedFd<'_>) -> Result<(), Failed> {
        match self.make(root) {
            // Who has no power to make one, or finds something there already.
            Err(failed) if matches!(failed.errno(), Errno::PERM | Errno::EXIST) => {}
            done => return done,
        }
        let node = bound(&self.path, self.block, self.major, self.minor)?;
        let target = beneath::file(root, &self.path)?;
        mounts::attach(node.as_fd(), target.as_fd())
    }

    fn make(&self, root: BorrowedFd<'_>) -> Result<(), Failed> {
        let path = beneath::cleaned(&self.path);
        let name =
            path.file_name().ok_or_else(|| Failed::because("a device without a name", Errno::INVAL))?;
        let parent = beneath::directory(root, path.parent().unwrap_or(&path))?;
        let device = makedev(self.major, self.minor);
        rustix::fs::mknodat(&parent, name, kind(self.block), Mode::from_raw_mode(self.mode), device)
            .call(|| format!("mknodat({path:?}, {}:{})", self.major, self.minor))?;
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(&parent, name, Some(uid), Some(gid), flags)
            .call(|| format!("fchownat({path:?})"))?;
        // Whatever our umask has left of it.
        rustix::fs::chmodat(&parent, name, Mode::from_raw_mode(self.mode), rustix::fs::AtFlags::empty())
            .call(|| format!("fchmodat({path:?})"))
    }
}

/// Puts the standard links beneath `root`; one that an image already has is left alone.
pub(crate) fn link(root: BorrowedFd<'_>) -> Result<(), Failed> {
    let directory = beneath::directory(root, "/dev".as_ref())?;
    let there = |target: &str| target != KERNEL_MEMORY || std::path::Path::new(KERNEL_MEMORY).exists();
    for (path, target) in LINKS.into_iter().filter(|(_, target)| there(target)) {
        let name = path.trim_start_matches("/dev/");
        match rustix::fs::symlinkat(target, &directory, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).call(|| format!("symlinkat({target:?}, {path:?})")),
        }
    }
    Ok(())
}

/// The machine's own null device, as a detached mount of one file. Not the container's: that one could be anything.
pub(crate) fn null_mount() -> Result<OwnedFd, Failed> {
    let node = bound("/dev/null".as_ref(), false, 1, 3)?;
    // It can be written to all the same, and its mode and owner, which are the machine's, cannot be changed.
    mounts::Attributes::read_only().apply(node.as_fd(), false)?;
    Ok(node)
}

/// A detached mount of the machine's node at `path`, which is made sure to be the device it is called: the tree that
/// we bind from may itself be a learner's.
fn bound(path: &Path, block: bool, major: u32, minor: u32) -> Result<OwnedFd, Failed> {
    let node = mounts::clone_tree(path, false)?;
    let found = beneath::stat(node.as_fd())?;
    if FileType::from_raw_mode(found.st_mode) != kind(block) || found.st_rdev != makedev(major, minor) {
        return Err(Failed::because(format!("{path:?} is not the device {major}:{minor}"), Errno::NODEV));
    }
    Ok(node)
}

fn kind(block: bool) -> FileType {
    if block { FileType::BlockDevice } else { FileType::CharacterDevice }
}
