//! The mount doll: OCI mounts, in words of the new mount API.
//!
//! A mount is made detached, given its attributes, and only then attached to a descriptor that was resolved
//! beneath the container's root, so that nothing in between can be swapped. The root itself is in [`super::root`].

use super::{beneath, over_proc};
use crate::Error;
use crate::error::{Call, Failed};
use crate::sys;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, FsWord, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The kernel's own bound on one value given to `fsconfig`, its NUL included.
pub(crate) const OPTION_BYTES_MAX: usize = 256;

const READ_ONLY: u64 = 0x1;
const NO_SUID: u64 = 0x2;
const NO_DEV: u64 = 0x4;
const NO_EXEC: u64 = 0x8;
const ACCESS_TIME: u64 = 0x70;
const NO_ACCESS_TIME: u64 = 0x10;
const STRICT_ACCESS_TIME: u64 = 0x20;
const NO_DIR_ACCESS_TIME: u64 = 0x80;
const NO_SYMLINK_FOLLOW: u64 = 0x20_0000;

/// Mount attributes (`MOUNT_ATTR_*`) to set and to clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attributes {
    pub set: u64,
    pub clear: u64,
}

/// How mounts below this one travel to and from its copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Propagation {
    /// `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED` or `MS_UNBINDABLE`.
    pub kind: u64,
    pub recursive: bool,
}

/// One mount of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mount {
    pub destination: PathBuf,
    pub source: Source,
    pub attributes: Attributes,
    /// Attributes of every mount below a bind as well (`rro`, …).
    pub recursive: Attributes,
    pub propagation: Option<Propagation>,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Source {
    /// A new file system: its type, the name it shows as its source, and its own options.
    New { fstype: String, name: String, options: Vec<(String, Option<String>)> },
    /// A part of the caller's tree.
    Bind { path: PathBuf, recursive: bool },
    /// What is mounted there already; only its attributes change.
    Remount,
}

/// Reads one mount of a Spec. `at` names it in errors: `mounts[3]`.
pub(crate) fn plan(at: &str, mount: &oci_spec::runtime::Mount) -> Result<Mount, Error> {
    let destination = mount.destination();
    if !destination.is_absolute() {
        return Err(Error::field(format!("{at}.destination"), format!("{destination:?} is not absolute")));
    }
    if mount.uid_mappings().is_some() || mount.gid_mappings().is_some() {
        return Err(Error::field(
            format!("{at}.uidMappings"),
            "mounts with their own id maps are not supported",
        ));
    }
    let options = Options::read(at, mount.options().as_deref().unwrap_or_default())?;
    let source = options.source(at, mount)?;
    Ok(Mount {
        destination: destination.clone(),
        source,
        attributes: options.attributes,
        recursive: options.recursive,
        propagation: options.propagation,
    })
}

/// The options of a mount, sorted by who understands them.
#[derive(Default)]
struct Options {
    attributes: Attributes,
    recursive: Attributes,
    propagation: Option<Propagation>,
    bind: Option<bool>,
    remount: bool,
    data: Vec<(String, Option<String>)>,
}

impl Options {
    fn read(at: &str, words: &[String]) -> Result<Self, Error> {
        let mut options = Self::default();
        for word in words {
            options
                .take(word)
                .map_err(|why| Error::field(format!("{at}.options"), format!("{word:?} {why}")))?;
        }
        Ok(options)
    }

    fn take(&mut self, word: &str) -> Result<(), &'static str> {
        match word {
            "bind" => self.bind = Some(false),
            "rbind" => self.bind = Some(true),
            "remount" => self.remount = true,
            "defaults" | "async" | "noiversion" | "nomand" | "loud" => {}
            "tmpcopyup" | "idmap" | "ridmap" => return Err("is not supported"),
            _ => {
                if let Some((set, clear)) = attribute(word) {
                    self.attributes.add(set, clear);
                } else if let Some((set, clear)) = word.strip_prefix('r').and_then(attribute) {
                    self.recursive.add(set, clear);
                } else if let Some(propagation) = propagation(word) {
                    self.propagation = Some(propagation);
                } else {
                    self.data.push(match word.split_once('=') {
                        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                        None => (word.to_owned(), None),
                    });
                    if word.len() >= OPTION_BYTES_MAX {
                        return Err("is longer than the kernel takes (255 bytes)");
                    }
                }
            }
        }
        Ok(())
    }

    fn source(&self, at: &str, mount: &oci_spec::runtime::Mount) -> Result<Source, Error> {
        let fstype = mount.typ().as_deref().unwrap_or_default();
        if self.remount {
            return Ok(Source::Remount);
        }
        if self.bind.is_some() || fstype == "bind" {
            let path = mount.source().clone().unwrap_or_default();
            if !path.is_absolute() {
                return Err(Error::field(format!("{at}.source"), format!("{path:?} is not absolute")));
            }
            return Ok(Source::Bind { path, recursive: self.bind.unwrap_or(false) });
        }
        // A Spec says "cgroup" for whichever version the machine has; only the second works in a user namespace.
        let fstype = match fstype {
            "" => return Err(Error::field(format!("{at}.type"), "is missing")),
            "cgroup" => "cgroup2",
            other => other,
        };
        let name = mount.source().as_ref().and_then(|s| s.to_str()).unwrap_or(fstype);
        Ok(Source::New { fstype: fstype.into(), name: name.into(), options: self.data.clone() })
    }
}

impl Attributes {
    /// The later word wins, as in mount(8).
    fn add(&mut self, set: u64, clear: u64) {
        self.set = (self.set & !clear) | set;
        self.clear = (self.clear & !set) | clear;
    }
}

/// What a word of mount(8) sets and clears.
fn attribute(word: &str) -> Option<(u64, u64)> {
    Some(match word {
        "ro" => (READ_ONLY, 0),
        "rw" => (0, READ_ONLY),
        "nosuid" => (NO_SUID, 0),
        "suid" => (0, NO_SUID),
        "nodev" => (NO_DEV, 0),
        "dev" => (0, NO_DEV),
        "noexec" => (NO_EXEC, 0),
        "exec" => (0, NO_EXEC),
        "nosymfollow" => (NO_SYMLINK_FOLLOW, 0),
        "symfollow" => (0, NO_SYMLINK_FOLLOW),
        "nodiratime" => (NO_DIR_ACCESS_TIME, 0),
        "diratime" => (0, NO_DIR_ACCESS_TIME),
        "noatime" => (NO_ACCESS_TIME, ACCESS_TIME),
        "strictatime" => (STRICT_ACCESS_TIME, ACCESS_TIME),
        // The kernel's default; access times are a field of several values, which is cleared as a whole.
        "relatime" | "atime" | "norelatime" | "nostrictatime" => (0, ACCESS_TIME),
        _ => return None,
    })
}

/// What a word says of propagation.
pub(crate) fn propagation(word: &str) -> Option<Propagation> {
    const UNBINDABLE: u64 = 1 << 17;
    const PRIVATE: u64 = 1 << 18;
    const SLAVE: u64 = 1 << 19;
    const SHARED: u64 = 1 << 20;
    let kind = |word| match word {
        "private" => Some(PRIVATE),
        "slave" => Some(SLAVE),
        "shared" => Some(SHARED),
        "unbindable" => Some(UNBINDABLE),
        _ => None,
    };
    let plain = kind(word).map(|kind| Propagation { kind, recursive: false });
    plain.or_else(|| kind(word.strip_prefix('r')?).map(|kind| Propagation { kind, recursive: true }))
}

impl Mount {
    /// Mounts it beneath `root`, and returns the mount where it is a new one.
    pub(crate) fn perform(&self, root: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Failed> {
        let mount = match &self.source {
            Source::New { fstype, name, options } => new(fstype, name, options, self.attributes.set)?,
            Source::Bind { path, recursive } => {
                let tree = clone_tree(path, *recursive)?;
                self.attributes.apply(tree.as_fd(), false)?;
                tree
            }
            Source::Remount => {
                let mounted = beneath::open(root, &self.destination)?;
                self.attributes.apply(mounted.as_fd(), false)?;
                self.finish(mounted.as_fd())?;
                return Ok(None);
            }
        };
        self.finish(mount.as_fd())?;
        let target = self.target(root, mount.as_fd())?;
        let new = matches!(self.source, Source::New { .. });
        over_proc::check(&self.destination, new, mount.as_fd(), target.as_fd())?;
        attach(mount.as_fd(), target.as_fd())?;
        Ok(Some(mount))
    }

    /// Whether it becomes the container's `/proc`.
    pub(crate) fn is_over_proc(&self) -> bool {
        !matches!(self.source, Source::Remount) && beneath::cleaned(&self.destination) == Path::new("proc")
    }

    pub(super) fn finish(&self, mount: BorrowedFd<'_>) -> Result<(), Failed> {
        self.recursive.apply(mount, true)?;
        self.propagation.map_or(Ok(()), |propagation| propagation.apply(mount))
    }

    fn target(&self, root: BorrowedFd<'_>, mount: BorrowedFd<'_>) -> Result<OwnedFd, Failed> {
        match &self.source {
            // A `/proc` or `/sys` that leads elsewhere would let an image choose where later writes go.
            Source::New { fstype, .. } if fstype == "proc" || fstype == "sysfs" => {
                drop(beneath::directory(root, &self.destination)?);
                let flags = OFlags::PATH | OFlags::DIRECTORY;
                beneath::open_without_links(root, &self.destination, flags)
            }
            Source::Bind { .. } if !beneath::is_directory(mount)? => beneath::file(root, &self.destination),
            _ => beneath::directory(root, &self.destination),
        }
    }
}

impl Attributes {
    pub(crate) fn apply(self, mount: BorrowedFd<'_>, recursive: bool) -> Result<(), Failed> {
        if self == Self::default() {
            return Ok(());
        }
        // Access time is one field of several values: to set one, the field has to be cleared.
        let clear = self.clear | if self.set & ACCESS_TIME != 0 { ACCESS_TIME } else { 0 };
        sys::mount_setattr(mount, recursive, self.set, clear, 0)
            .call(|| format!("mount_setattr(set 0x{:x}, clear 0x{clear:x})", self.set))
    }

    pub(crate) const fn read_only() -> Self {
        Self { set: READ_ONLY, clear: 0 }
    }
}

impl Propagation {
    pub(crate) fn apply(self, mount: BorrowedFd<'_>) -> Result<(), Failed> {
        sys::mount_setattr(mount, self.recursive, 0, 0, self.kind)
            .call(|| format!("mount_setattr(propagation 0x{:x})", self.kind))
    }
}

/// A new file system as a detached mount with these attributes.
pub(crate) fn new(
    fstype: &str,
    name: &str,
    options: &[(String, Option<String>)],
    attributes: u64,
) -> Result<OwnedFd, Failed> {
    let context = fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC).call(|| format!("fsopen({fstype:?})"))?;
    fsconfig_set_string(context.as_fd(), "source", name).call(|| format!("fsconfig(source={name})"))?;
    for (key, value) in options {
        match value {
            Some(value) => fsconfig_set_string(context.as_fd(), key.as_str(), value.as_str()),
            None => fsconfig_set_flag(context.as_fd(), key.as_str()),
        }
        .call(|| format!("fsconfig({fstype}, {key}={})", value.as_deref().unwrap_or("")))?;
    }
    fsconfig_create(context.as_fd()).call(|| format!("fsconfig({fstype}, create)"))?;
    let attributes = MountAttrFlags::from_bits_retain(attributes as u32);
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).call(|| format!("fsmount({fstype})"))
}

/// A detached copy of what is mounted at `path` in the caller's tree.
pub(crate) fn clone_tree(path: &Path, recursive: bool) -> Result<OwnedFd, Failed> {
    let recursive = if recursive { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | recursive;
    open_tree(CWD, path, flags).call(|| format!("open_tree({path:?}, {flags:?})"))
}

/// A detached copy of the one mount (or the one file) behind a descriptor.
pub(crate) fn clone_descriptor(of: BorrowedFd<'_>) -> Result<OwnedFd, Failed> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(of, "", flags).call(|| "open_tree(fd, OPEN_TREE_CLONE)")
}

/// Attaches a detached mount over what `target` is.
pub(crate) fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Failed> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", flags).call(|| "move_mount")
}

/// An error unless the file behind `of` is on a file system of this kind (`*_SUPER_MAGIC`).
pub(crate) fn must_be_on(of: BorrowedFd<'_>, magic: FsWord, what: &str) -> Result<(), Failed> {
    let found = rustix::fs::fstatfs(of).call(|| "fstatfs")?.f_type;
    if found == magic {
        return Ok(());
    }
    Err(Failed::because(format!("{what} is on another file system (magic 0x{found:x})"), Errno::XDEV))
}
