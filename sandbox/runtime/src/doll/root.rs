//! What becomes a container's `/`, and the change over to it.

use super::beneath;
use super::mounts::{self, OPTION_BYTES_MAX, Propagation};
use crate::Error;
use crate::error::{Call, Failed};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount,
    unmount,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What becomes a container's `/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rootfs {
    /// A directory, bind-mounted as it is.
    Directory(PathBuf),
    /// An overlay of `lower` (topmost first) under a writable `upper`.
    Overlay {
        /// Directories, topmost first, at least one.
        lower: Vec<PathBuf>,
        /// Where what the container writes goes.
        upper: Upper,
    },
}

/// The writable layer of an overlay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Upper {
    /// Two directories on one file system, which the caller keeps and removes.
    Kept {
        /// The writable layer itself.
        upper: PathBuf,
        /// Overlayfs's own work directory.
        work: PathBuf,
    },
    /// A tmpfs of this size, gone with the container.
    Ephemeral {
        /// Its size.
        bytes_max: u64,
        /// How many files it can hold.
        inodes_max: u64,
    },
}

/// An error where a root cannot be, told of the options of a plan.
pub(crate) fn check(rootfs: &Rootfs) -> Result<(), Error> {
    let absolute = |what: &str, path: &Path| match path.is_absolute() {
        true => Ok(()),
        false => Err(Error::field(what, format!("{path:?} is not absolute"))),
    };
    match rootfs {
        Rootfs::Directory(path) => absolute("rootfs", path),
        Rootfs::Overlay { lower, upper } => {
            if lower.is_empty() {
                return Err(Error::field("rootfs.lower", "an overlay needs at least one lower directory"));
            }
            for path in lower {
                absolute("rootfs.lower", path)?;
                let text = path.as_os_str().as_encoded_bytes();
                if text.len() >= OPTION_BYTES_MAX || text.iter().any(|b| b":,\\".contains(b)) {
                    let why = format!("{path:?} is longer than 255 bytes or has a colon, comma or backslash");
                    return Err(Error::field("rootfs.lower", why));
                }
            }
            match upper {
                Upper::Kept { upper, work } => {
                    absolute("rootfs.upper", upper).and(absolute("rootfs.work", work))
                }
                Upper::Ephemeral { .. } => Ok(()),
            }
        }
    }
}

/// Mounts the new root; the old one stays reachable by path until [`pivot`]. A directory is mounted over itself, where it hides
/// nothing that a volume could be: over the old root it would lie over a volume of the whole machine (`-v /:/host`) as well,
/// which is a copy of all that is mounted there. An overlay has no place of its own and goes over the old root; who asks for
/// one does not ask for such a volume. `propagation` is `linux.rootfsPropagation`.
pub(crate) fn mount(
    rootfs: &Rootfs,
    propagation: Option<Propagation>,
    in_user_namespace: bool,
) -> Result<OwnedFd, Failed> {
    keep_mounts_from_spreading(propagation)?;
    let (root, place) = match rootfs {
        Rootfs::Directory(path) => (mounts::clone_tree(path, true)?, path.as_path()),
        Rootfs::Overlay { lower, upper } => (overlay(lower, upper, in_user_namespace)?, Path::new("/")),
    };
    // The root's parent must be private for pivot_root, and so must the root.
    mounts::propagation("rprivate").map_or(Ok(()), |private| private.apply(root.as_fd()))?;
    if is_shared(propagation) {
        make_mount_private(place)?;
    }
    move_mount(root.as_fd(), "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .call(|| format!("move_mount(root, {place:?})"))?;
    Ok(root)
}

/// Mounts that the container makes must not appear in the machine's tree, nor must our taking the old root away.
fn keep_mounts_from_spreading(propagation: Option<Propagation>) -> Result<(), Failed> {
    let flags = if is_shared(propagation) {
        // Volumes are to stay shared with the machine; only the mounts that we attach to must not be.
        MountPropagationFlags::PRIVATE
    } else {
        MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC
    };
    mount_change("/", flags).call(|| format!("mount(\"/\", {flags:?})"))
}

/// Makes the mount private that this path is on.
fn make_mount_private(path: &Path) -> Result<(), Failed> {
    for above in path.ancestors() {
        match mount_change(above, MountPropagationFlags::PRIVATE) {
            // It is where a mount begins that has to be named.
            Err(Errno::INVAL) => {}
            done => return done.call(|| format!("mount({above:?}, MS_PRIVATE)")),
        }
    }
    Ok(())
}

/// Makes the new root `/` for good, and takes the old one away. `propagation` is that of [`mount`].
pub(crate) fn pivot(root: BorrowedFd<'_>, propagation: Option<Propagation>) -> Result<(), Failed> {
    let old = beneath::open_root()?;
    rustix::process::fchdir(root).call(|| "fchdir(root)")?;
    rustix::process::pivot_root(".", ".").call(|| "pivot_root(\".\", \".\")")?;
    // The old root now lies over the new one.
    rustix::process::fchdir(&old).call(|| "fchdir(old root)")?;
    if is_shared(propagation) {
        // What of it is still shared with the machine must not go away there as well.
        let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        mount_change(".", slave).call(|| "mount(\".\", MS_SLAVE|MS_REC)")?;
    }
    unmount(".", UnmountFlags::DETACH).call(|| "umount2(\".\", MNT_DETACH)")?;
    rustix::process::chdir("/").call(|| "chdir(\"/\")")
}

fn is_shared(propagation: Option<Propagation>) -> bool {
    propagation.is_some_and(|p| Some(p.kind) == mounts::propagation("shared").map(|s| s.kind))
}

fn overlay(lower: &[PathBuf], upper: &Upper, in_user_namespace: bool) -> Result<OwnedFd, Failed> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).call(|| "fsopen(\"overlay\")")?;
    let set = |key: &str, value: &Path| {
        fsconfig_set_string(context.as_fd(), key, value)
            .call(|| format!("fsconfig(overlay, {key}={value:?})"))
    };
    set("source", Path::new("overlay"))?;
    let joined = lower.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>().join(":");
    if joined.len() < OPTION_BYTES_MAX {
        set("lowerdir", Path::new(&joined))?;
    } else {
        lower.iter().try_for_each(|path| set("lowerdir+", path))?;
    }
    match upper {
        Upper::Kept { upper, work } => {
            set("upperdir", upper)?;
            set("workdir", work)?;
        }
        Upper::Ephemeral { bytes_max, inodes_max } => {
            ephemeral(*bytes_max, *inodes_max)?;
            set("upperdir", Path::new("upper"))?;
            set("workdir", Path::new("work"))?;
        }
    }
    if in_user_namespace {
        // trusted.* attributes are the initial namespace's; overlayfs keeps its own as user.* then.
        fsconfig_set_flag(context.as_fd(), "userxattr").call(|| "fsconfig(overlay, userxattr)")?;
    }
    fsconfig_create(context.as_fd())
        .call(|| format!("fsconfig(overlay, create) of {joined} and {upper:?}"))?;
    if matches!(upper, Upper::Ephemeral { .. }) {
        // The overlay has its own hold on it. What stayed over the old root would later be taken for the old root.
        unmount("/", UnmountFlags::DETACH).call(|| "umount2(tmpfs, MNT_DETACH)")?;
    }
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        .call(|| "fsmount(overlay)")
}

/// A tmpfs with the directories `upper` and `work`, attached over `/` (an overlay's layers have to be), and made the
/// working directory, so that the names in the overlay's options are short.
fn ephemeral(bytes_max: u64, inodes_max: u64) -> Result<(), Failed> {
    let options = [
        ("size".to_owned(), Some(bytes_max.to_string())),
        ("nr_inodes".to_owned(), Some(inodes_max.to_string())),
        ("mode".to_owned(), Some("0755".to_owned())),
    ];
    let tmpfs = mounts::new("tmpfs", "lab", &options, 0)?;
    move_mount(tmpfs.as_fd(), "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .call(|| "move_mount(tmpfs, \"/\")")?;
    for name in ["upper", "work"] {
        rustix::fs::mkdirat(&tmpfs, name, Mode::from_raw_mode(0o755)).call(|| format!("mkdirat({name})"))?;
    }
    rustix::process::fchdir(&tmpfs).call(|| "fchdir(tmpfs)")
}

/// Makes the working directory beneath the root where it is absent, as Docker does.
pub(crate) fn make_working_directory(root: BorrowedFd<'_>, path: &Path) -> Result<(), Failed> {
    let found = beneath::directory(root, path)?;
    match beneath::is_directory(found.as_fd())? {
        true => Ok(()),
        false => Err(Failed::because(format!("{path:?} is not a directory"), Errno::NOTDIR)),
    }
}
