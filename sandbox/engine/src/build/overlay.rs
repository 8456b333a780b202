//! An image's files, mounted for as long as a step reads or changes them.

use crate::container::{Layer, Mounted};
use crate::engine::Engine;
use crate::error::ApiError;
use crate::image::Image;
use crate::names;
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// A writable view of an image, or an empty directory where there is none yet. What was written in it is in
/// [`Overlay::written`] until it is dropped.
#[derive(Debug)]
pub struct Overlay {
    // Before the layer: it has to be unmounted first.
    mounted: Option<Mounted>,
    layer: Layer,
}

impl Overlay {
    /// Over an image. Blocks.
    pub fn over(engine: &Engine, image: Option<&Image>) -> Result<Self, ApiError> {
        let lower = image.map(|image| engine.images.directories(image)).transpose()?.unwrap_or_default();
        let is_empty = lower.is_empty();
        // By such a name it would be swept away at the next start.
        let name = format!("new-{}", names::new_id());
        let layer = Layer::new(&engine.data_root.join("overlay2"), &name, lower);
        let mut overlay = Self { mounted: None, layer };
        overlay.layer.create()?;
        if !is_empty {
            overlay.mounted = Some(overlay.layer.mount()?);
        }
        Ok(overlay)
    }

    /// The top directory of the view.
    pub fn root(&self) -> io::Result<OwnedFd> {
        let path = self.mounted.as_ref().map_or_else(|| self.layer.diff(), |mounted| mounted.path().into());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::open(path, flags, Mode::empty())?)
    }

    /// Where what was written lies, in overlayfs' own form.
    pub fn written(&self) -> PathBuf {
        self.layer.diff()
    }

    /// The text of a file; empty where there is none.
    pub fn read(&self, path: &str) -> io::Result<String> {
        self.mounted.as_ref().map_or_else(|| Ok(String::new()), |mounted| mounted.read(path))
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        self.mounted = None;
        // What is left is swept away at the next start.
        let _ = self.layer.remove();
    }
}
