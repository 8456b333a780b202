//! A container's writable layer: an overlay over its image, under `/var/lib/docker/overlay2/<id>` as with Docker.

use crate::archive::size_below;
use crate::beneath::by_descriptor;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The kernel takes mount options of at most a page.
const OPTIONS_BYTES_MAX: usize = 4095;

/// A larger file of users or groups is not read on: Docker has no bound here, but we are PID 1.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The directories of one container's layer. The caller removes them.
#[derive(Clone, Debug)]
pub struct Layer {
    directory: PathBuf,
    lower: Vec<PathBuf>,
    /// How many have it mounted: a run, and whoever looks at its files meanwhile.
    mounted: Arc<Mutex<usize>>,
    owner: Option<(u32, u32)>,
}

/// A mounted layer; unmounted when the last of these is dropped. Processes that still use it keep it until they end.
#[derive(Debug)]
pub struct Mounted {
    merged: PathBuf,
    mounted: Arc<Mutex<usize>>,
}

fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

/// Makes the layer that lies between every image and its containers, once: mount points, and the file by which
/// programs tell that they are in a Docker container. Returns its directory.
pub fn make_init_layer(overlays: &Path) -> io::Result<PathBuf> {
    let diff = overlays.join("init").join("diff");
    for directory in ["dev/pts", "dev/shm", "etc", "proc", "sys"] {
        make_directory(&diff.join(directory), 0o755)?;
    }
    for file in [".dockerenv", "dev/console", "etc/hosts", "etc/hostname", "etc/resolv.conf"] {
        let file = File::create(diff.join(file))?;
        file.set_permissions(std::fs::Permissions::from_mode(0o755))?;
    }
    match std::os::unix::fs::symlink("/proc/mounts", diff.join("etc/mtab")) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(diff),
    }
}

/// Paths as the kernel takes them.
fn joined(paths: impl Iterator<Item = impl AsRef<Path>>) -> String {
    paths.map(|path| path.as_ref().display().to_string()).collect::<Vec<_>>().join(":")
}

impl Layer {
    /// A layer over `lower`, topmost first, that is not there yet.
    pub fn new(overlays: &Path, id: &str, lower: Vec<PathBuf>) -> Self {
        Self { directory: overlays.join(id), lower, mounted: Arc::default(), owner: None }
    }

    /// The same, belonging to a container's root that is not the lab host's.
    pub fn owned_by(self, owner: Option<(u32, u32)>) -> Self {
        Self { owner, ..self }
    }

    /// Makes its directories.
    pub fn create(&self) -> io::Result<()> {
        make_directory(&self.directory, 0o710)?;
        make_directory(&self.diff(), 0o755)?;
        make_directory(&self.work(), 0o700)?;
        make_directory(&self.merged(), 0o700)?;
        let Some((uid, gid)) = self.owner else { return Ok(()) };
        chown(self.diff(), Some(uid), Some(gid))?;
        // Its root has to get through to what is mounted there.
        chown(&self.directory, None, Some(gid))
    }

    /// What the container has written.
    pub fn diff(&self) -> PathBuf {
        self.directory.join("diff")
    }

    /// The kernel's own scratch space.
    pub fn work(&self) -> PathBuf {
        self.directory.join("work")
    }

    /// Where the container's root is to be seen from the lab host.
    pub fn merged(&self) -> PathBuf {
        self.directory.join("merged")
    }

    /// The directories below, topmost first, as `docker inspect` shows them.
    pub fn lower(&self) -> String {
        joined(self.lower.iter())
    }

    /// The same as they are.
    pub fn lower_directories(&self) -> &[PathBuf] {
        &self.lower
    }

    /// Mounts the overlay, unless it is mounted already: two with the same writable layer would spoil it.
    pub fn mount(&self) -> io::Result<Mounted> {
        let mut mounted = self.mounted.lock().unwrap_or_else(PoisonError::into_inner);
        if *mounted == 0 {
            self.mount_overlay()?;
        }
        *mounted += 1;
        drop(mounted);
        Ok(Mounted { merged: self.merged(), mounted: Arc::clone(&self.mounted) })
    }

    fn mount_overlay(&self) -> io::Result<()> {
        let options_over = |lower: &str| {
            format!(
                "lowerdir={lower},upperdir={},workdir={},userxattr",
                self.diff().display(),
                self.work().display()
            )
        };
        let mut opened = vec![];
        let mut options = options_over(&self.lower());
        if options.len() > OPTIONS_BYTES_MAX {
            // The layers' names do not fit where those of their descriptors do.
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let open = |path: &PathBuf| rustix::fs::open(path, flags, Mode::empty());
            opened = self.lower.iter().map(open).collect::<Result<_, _>>()?;
            options = options_over(&joined(opened.iter().map(|layer| by_descriptor(layer.as_fd()))));
        }
        if options.len() > OPTIONS_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "max depth exceeded"));
        }
        let merged = self.merged();
        let data = CString::new(options.clone())?;
        let told = |error| {
            io::Error::other(format!("mounting overlay at {} ({options}): {error}", merged.display()))
        };
        let mounted = mount("overlay", &merged, "overlay", MountFlags::empty(), data.as_c_str());
        drop(opened);
        mounted.map_err(told)
    }

    /// How much the container has written: the bytes of its files.
    pub async fn bytes(&self) -> u64 {
        let diff = self.diff();
        // It may be a whole system: not on the engine's thread.
        tokio::task::spawn_blocking(move || size_below(&diff)).await.unwrap_or(0)
    }

    /// Removes all that the container has written.
    pub fn remove(&self) -> io::Result<()> {
        // Whoever looks at its files keeps what he has opened; what is removed is the layer and not the overlay over it.
        let _ = unmount(self.merged(), UnmountFlags::DETACH);
        match std::fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Mounted {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.merged
    }

    /// Its top directory, to resolve paths in.
    pub fn root(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::open(&self.merged, flags, Mode::empty())?)
    }

    /// Whether something has this name in the container.
    pub fn holds(&self, path: &Path) -> bool {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let open = |root| Ok(openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?);
        self.root().and_then(open).is_ok()
    }

    /// The text of a file in the container; empty where there is none. The container may have put symbolic links
    /// anywhere: they are followed, but not out of its root.
    pub fn read(&self, path: &str) -> io::Result<String> {
        let root = self.root()?;
        // NONBLOCK: a fifo in its place must not stop the engine.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let file = match openat2(&root, path, flags, Mode::empty(), resolve) {
            Ok(file) => File::from(file),
            Err(_missing) => return Ok(String::new()),
        };
        if !file.metadata()?.is_file() {
            return Ok(String::new());
        }
        let mut bytes = vec![];
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let mut mounted = self.mounted.lock().unwrap_or_else(PoisonError::into_inner);
        *mounted -= 1;
        if *mounted == 0 {
            // It fails only where the lab's root has unmounted it already.
            let _ = unmount(&self.merged, UnmountFlags::DETACH);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_init_layer_can_be_made_twice() {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let diff = make_init_layer(directory.path()).unwrap();
            assert!(diff.join(".dockerenv").is_file() && diff.join("etc/mtab").is_symlink());
        }
    }

    #[test]
    fn a_file_is_read_inside_the_root_only() {
        let root = tempfile::tempdir().unwrap();
        let mounted =
            std::mem::ManuallyDrop::new(Mounted { merged: root.path().into(), mounted: Arc::default() });
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/real", root.path().join("etc/passwd")).unwrap();
        std::fs::write(root.path().join("etc/real"), "inside").unwrap();
        std::os::unix::fs::symlink("../../../../../../../etc/hostname", root.path().join("etc/group"))
            .unwrap();
        assert_eq!(mounted.read("etc/passwd").unwrap(), "inside");
        assert_eq!(mounted.read("etc/group").unwrap(), "");
        assert_eq!(mounted.read("etc").unwrap(), "");
    }
}
