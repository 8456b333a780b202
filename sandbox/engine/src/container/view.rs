//! A container's files as `docker cp` has them: its root with its volumes and binds in place, whether it runs or not.
//!
//! The view is a mount of its own that the container never sees, and in which every path is resolved by descriptor: a
//! container that runs can rename and replace what it likes and changes only what is its own. Processes, tmpfs and the
//! kernel's file systems are not in it, as with Docker.

use super::layer::Mounted;
use super::{Container, Phase};
use crate::beneath;
use crate::names;
use crate::settings::mounts::{Mount, Source};
use crate::volume::{Attached, Volumes};
use rustix::fs::{FileType, Mode, OFlags, StatVfsMountFlags, fstatvfs};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount_bind, mount_bind_recursive, mount_change,
    mount_remount, unmount,
};
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where views are mounted, below the data root.
const DIRECTORY: &str = "views";

/// A container's files; gone on drop.
#[derive(Debug)]
pub struct View {
    root: OwnedFd,
    place: PathBuf,
    /// What is mounted in it, for those who have to know what a path lies on.
    mounts: Vec<Mount>,
    read_only: bool,
    layer: Mounted,
    _attached: Vec<Attached>,
}

impl View {
    /// Opens a view. It mounts, so call it where it may block.
    pub fn open(container: &Container, volumes: &Arc<Volumes>, data_root: &Path) -> io::Result<Self> {
        let layer = container.layer.mount()?;
        let place = data_root.join(DIRECTORY).join(names::new_id());
        DirBuilder::new().recursive(true).mode(0o700).create(&place)?;
        let mounted = mount_bind(layer.path(), &place).map_err(io::Error::from);
        mounted.inspect_err(|_| drop(std::fs::remove_dir(&place)))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&place, flags, Mode::empty());
        let mut view = Self {
            root: root.inspect_err(|_| close(&place))?,
            place,
            mounts: vec![],
            read_only: container.request.settings.read_only,
            layer,
            _attached: vec![],
        };
        view.fill(container, volumes)?;
        Ok(view)
    }

    /// From here on, dropping the view takes away what was mounted so far.
    fn fill(&mut self, container: &Container, volumes: &Arc<Volumes>) -> io::Result<()> {
        // Nothing of it may appear elsewhere, and its end must not end anything elsewhere.
        mount_change(&self.place, MountPropagationFlags::PRIVATE)?;
        let mut mounts = container.mounts.clone();
        mounts.sort_by_key(|mount| mount.destination.matches('/').count());
        for mount in mounts {
            let source = match &mount.source {
                Source::Tmpfs(_) => continue,
                Source::Bind(bind) => PathBuf::from(&bind.path),
                Source::Volume(volume) => {
                    let attached = volumes.attach(&volume.name);
                    let attached = attached.map_err(|error| io::Error::other(error.message))?;
                    let path = attached.path().to_owned();
                    self._attached.push(attached);
                    path
                }
            };
            self.attach(&source, &mount.destination, mount.read_only)?;
            self.mounts.push(mount);
        }
        let files = match &*container.phase() {
            Phase::Running(running) => running.sandbox.files.clone(),
            _ => container.directory.clone(),
        };
        for name in ["resolv.conf", "hostname", "hosts"] {
            let (source, destination) = (files.join(name), format!("/etc/{name}"));
            let taken = self.mounts.iter().any(|mount| mount.destination == destination);
            if source.exists() && !taken {
                self.attach(&source, &destination, false)?;
            }
        }
        if self.read_only {
            make_read_only(self.root.as_fd())?;
        }
        Ok(())
    }

    fn attach(&self, source: &Path, destination: &str, read_only: bool) -> io::Result<()> {
        let metadata = match std::fs::metadata(source) {
            // It is made when the container is started, or was never there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found?,
        };
        let destination = Path::new(destination);
        let target = match metadata.is_dir() {
            true => beneath::directory(self.root.as_fd(), destination, &mut |_| Ok(()))?,
            false => beneath::file(self.root.as_fd(), destination)?,
        };
        let kind = FileType::from_raw_mode(beneath::stat(target.as_fd())?.st_mode);
        if (kind == FileType::Directory) != metadata.is_dir() {
            // The container could not be started with that either.
            return Ok(());
        }
        let target = beneath::by_descriptor(target.as_fd());
        mount_bind_recursive(source, &target)?;
        let mounted = beneath::locate(self.root.as_fd(), destination)?;
        let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change(beneath::by_descriptor(mounted.as_fd()), flags)?;
        if read_only { make_read_only(mounted.as_fd()) } else { Ok(()) }
    }

    /// Its top directory.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The container's own root, without what is mounted in it.
    pub fn layer(&self) -> &Mounted {
        &self.layer
    }

    /// What a descriptor is called in the container.
    pub fn path_of(&self, located: BorrowedFd<'_>) -> io::Result<PathBuf> {
        let path = std::fs::read_link(beneath::by_descriptor(located))?;
        let inside = path.strip_prefix(&self.place);
        Ok(Path::new("/").join(inside.map_err(|_| io::Error::other("it was moved out of the container"))?))
    }

    /// Why nothing can be written at a path, in Docker's words.
    pub fn why_not_writable(&self, path: &Path) -> Option<&'static str> {
        let mut above = self.mounts.iter().filter(|mount| path.starts_with(&mount.destination)).peekable();
        if above.peek().is_some() {
            return above.any(|mount| mount.read_only).then_some("mounted volume is marked read-only");
        }
        self.read_only.then_some("container rootfs is marked read-only")
    }
}

impl Drop for View {
    fn drop(&mut self) {
        close(&self.place);
    }
}

/// Both fail only where somebody has done it already.
fn close(place: &Path) {
    let _ = unmount(place, UnmountFlags::DETACH);
    let _ = std::fs::remove_dir(place);
}

/// Takes away the views of an engine that was killed. Nothing is removed but empty directories.
pub fn sweep(data_root: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(data_root.join(DIRECTORY)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        close(&entry?.path());
    }
    Ok(())
}

/// Makes one mount read-only, and leaves its other flags, some of which may be locked.
fn make_read_only(mounted: BorrowedFd<'_>) -> io::Result<()> {
    let has = fstatvfs(mounted)?.f_flag;
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    for (seen, flag) in [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ] {
        flags.set(flag, has.contains(seen));
    }
    Ok(mount_remount(beneath::by_descriptor(mounted), flags, "")?)
}
