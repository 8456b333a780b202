//! A `/dev/shm` that containers share: a tmpfs that is mounted on the lab host, and bound into each of them.
//!
//! Private ones are not here: the runtime mounts them inside the container, where nobody else can have them.

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The lab host's own.
const HOST: &str = "/dev/shm";

/// Shared memory that a container can give to another.
#[derive(Debug)]
pub enum Shm {
    /// Its own; unmounted on drop, whoever still has it in its tree keeps it.
    Own(PathBuf),
    /// The lab host's, or another container's.
    Borrowed(PathBuf),
}

impl Shm {
    /// Mounts a container's own under its directory.
    pub fn own(directory: &Path, bytes: i64) -> io::Result<Self> {
        let path = directory.join("mounts/shm");
        DirBuilder::new().recursive(true).mode(0o710).create(&path)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let options = CString::new(format!("mode=1777,size={bytes}"))?;
        mount("shm", &path, "tmpfs", flags, options.as_c_str())?;
        Ok(Self::Own(path))
    }

    /// The lab host's own.
    pub fn host() -> Self {
        Self::Borrowed(HOST.into())
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        match self {
            Self::Own(path) | Self::Borrowed(path) => path,
        }
    }
}

impl Drop for Shm {
    fn drop(&mut self) {
        if let Self::Own(path) = self {
            // It fails only where the lab's root has unmounted it already.
            let _ = unmount(&*path, UnmountFlags::DETACH);
        }
    }
}
