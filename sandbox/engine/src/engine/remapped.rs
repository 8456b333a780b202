//! Layers for containers in a user namespace: copies that belong to the namespace's ids, made once for each layer.
//!
//! The kernel could map owners on a mount instead, but only for who is privileged over the file system that a layer lies on,
//! which a lab host is not over that of images. A copy works in a lab and on a machine alike; Docker does the same.

use super::Engine;
use crate::archive::{Devices, Ids, Packing, Unpacking, Whiteouts, pack, unpack};
use crate::atomic;
use crate::error::ApiError;
use crate::image::Digest;
use crate::remap::Remap;
use rustix::fs::{Gid, Mode, OFlags, Uid};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

impl Engine {
    /// What the owners on disk of what containers have stand for. Of those that ask for the lab host's ids as well: they are
    /// made of the same layers.
    pub fn ids(&self) -> Ids {
        self.remap.as_ref().map_or(Ids::Same, |remap| Ids::Mapped(remap.maps.clone()))
    }

    /// The layers as containers can have them: themselves, or copies. Copying can take a while.
    pub(super) fn owned_layers(&self, layers: Vec<PathBuf>) -> Result<Vec<PathBuf>, ApiError> {
        let Some(remap) = &self.remap else { return Ok(layers) };
        layers.into_iter().map(|layer| self.owned_copy(&layer, remap)).collect()
    }

    fn owned_copy(&self, layer: &Path, remap: &Remap) -> Result<PathBuf, ApiError> {
        let told = |error: io::Error| {
            ApiError::internal(format!("copying the layer {} for other ids: {error}", layer.display()))
        };
        // A layer's directory is called by its digest, directly or one level up.
        let parts = layer.iter().rev().filter(|part| *part != "diff");
        let name = parts.take(1).next().ok_or_else(|| ApiError::internal("a layer without a name"))?;
        let done = self.data_root.join(COPIES).join(name);
        let _one_at_a_time = self.copying.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if done.is_dir() {
            return Ok(done);
        }
        let half = self.data_root.join(HALF);
        let copy = || {
            copy_tree(&open(layer)?, &open(&half)?, &remap.maps)?;
            give_top(layer, &half, remap)
        };
        atomic::directory(&done, &half, copy).map_err(told)?;
        Ok(done)
    }

    /// Removes the copies of layers that no image and no container has any more. It can take a while.
    pub fn forget_copies(&self) -> io::Result<()> {
        let _one_at_a_time = self.copying.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let containers = self.all();
        let images = self.images.all();
        let used = containers.iter().map(|container| &container.image).chain(&images);
        let wanted: BTreeSet<_> = used.flat_map(|image| image.layers.iter().map(Digest::hex)).collect();
        let half = self.data_root.join(HALF);
        let entries = match std::fs::read_dir(self.data_root.join(COPIES)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let unwanted =
                name.to_str().and_then(Digest::of_hex).is_some_and(|layer| !wanted.contains(layer.hex()));
            if unwanted {
                atomic::take_away(&entry.path(), &half)?;
            }
        }
        Ok(())
    }
}

/// Where copies are, each called by its layer's diff id; an engine in a user namespace of its own (rootless) unpacks layers there.
pub const COPIES: &str = "layers";

/// Where one is while it is not whole.
const HALF: &str = "layers.half";

/// Makes a data root such that containers can reach what is theirs in it.
pub fn prepare(data_root: &Path, init_layer: &Path, remap: &Remap) -> io::Result<()> {
    let (_, gid) = remap.root();
    for path in ["", "containers", "overlay2", COPIES] {
        make_passable(&data_root.join(path), gid)?;
    }
    give_tree(init_layer, remap.root())
}

/// A directory that a container's root may pass through, and no more: it has to reach what lies beneath.
pub fn make_passable(path: &Path, gid: u32) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o710).create(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o710))?;
    chown(path, Some(0), Some(gid))
}

/// Gives a small tree that is ours to a container's root.
fn give_tree(path: &Path, owner: (u32, u32)) -> io::Result<()> {
    rustix::fs::chownat(
        rustix::fs::CWD,
        path,
        Some(Uid::from_raw(owner.0)),
        Some(Gid::from_raw(owner.1)),
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )?;
    if path.symlink_metadata()?.is_dir() {
        for entry in std::fs::read_dir(path)? {
            give_tree(&entry?.path(), owner)?;
        }
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Out of the one directory as an archive, into the other as its new owner.
fn copy_tree(from: &OwnedFd, to: &OwnedFd, maps: &isolab_runtime::IdMaps) -> io::Result<()> {
    let (reader, writer) = io::pipe()?;
    let packing = Packing { whiteouts: Whiteouts::Overlay, ids: Ids::Same };
    let unpacking = Unpacking {
        whiteouts: Whiteouts::Overlay,
        devices: Devices::Make,
        ids: Ids::Mapped(maps.clone()),
        ..Unpacking::default()
    };
    std::thread::scope(|scope| {
        let packed = scope.spawn(move || pack(from.as_fd(), &packing, writer).map(drop));
        let unpacked = unpack(reader, to.as_fd(), Path::new(""), &unpacking).map(drop);
        let packed = packed.join().map_err(|_| io::Error::other("the packer has ended"))?;
        // Where unpacking ends early, the packer only has nobody to write to.
        unpacked.and(packed)
    })
}

/// The directory itself, which is not in the archive.
fn give_top(from: &Path, to: &Path, remap: &Remap) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(from)?;
    let owner = remap.outside(found.uid(), found.gid()).unwrap_or_else(|| remap.root());
    std::fs::set_permissions(to, found.permissions())?;
    chown(to, Some(owner.0), Some(owner.1))
}
