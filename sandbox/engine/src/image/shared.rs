//! The images that all labs of a machine share: `index.json` and one directory per layer, read-only.
//!
//! The files in those directories belong to the lab's ids. An engine in a user namespace of its own (rootless) sees nobody's
//! files there, so it unpacks each layer that it needs from the archive that lies beside them, once.

use super::digest::Digest;
use super::document::Image;
use super::reference::Reference;
use crate::archive::{Unpacking, size_below, unpack};
use crate::atomic;
use rustix::fs::{Mode, OFlags};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// An index larger than this is not one that our recipe wrote.
const INDEX_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What `index.json` holds.
#[derive(Debug, Deserialize)]
struct Index {
    images: Vec<IndexedImage>,
}

#[derive(Debug, Deserialize)]
struct IndexedImage {
    tags: Vec<String>,
    layers: Vec<String>,
    config: serde_json::Value,
}

/// In which form layers are taken.
#[derive(Clone, Debug, Default)]
pub enum Form {
    /// As the directories `layers/<diff id>`.
    #[default]
    Directories,
    /// From `archives/<diff id>.tar`, unpacked below this directory, which is the engine's own.
    Archives(PathBuf),
}

/// The lower part of the store.
#[derive(Debug, Default)]
pub struct Shared {
    directory: PathBuf,
    form: Form,
    /// Held while a layer is unpacked.
    unpacking: Mutex<()>,
    /// Its images.
    pub images: Vec<Arc<Image>>,
    /// The names that they come with, in the familiar form, and whose they are.
    pub tags: BTreeMap<String, Digest>,
    layers: BTreeSet<Digest>,
}

impl Shared {
    /// Reads `index.json` of a directory. Errors name the file and what is wrong with it.
    pub fn load(directory: &Path, form: Form) -> Result<Self, String> {
        let path = directory.join("index.json");
        let tell = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let size = std::fs::metadata(&path).map_err(|e| tell(&e))?.len();
        if size > INDEX_BYTES_MAX {
            return Err(tell(&format!("{size} bytes are more than an index has")));
        }
        let text = std::fs::read(&path).map_err(|e| tell(&e))?;
        let index: Index = serde_json::from_slice(&text).map_err(|e| tell(&e))?;
        let mut shared = Self { directory: directory.to_owned(), form, ..Self::default() };
        for image in index.images {
            shared.add(image).map_err(|e| tell(&e))?;
        }
        Ok(shared)
    }

    fn add(&mut self, indexed: IndexedImage) -> Result<(), String> {
        let IndexedImage { tags, layers, config: mut document, .. } = indexed;
        let digest = |layer: &String| Digest::of_hex(layer).or_else(|| Digest::parse(layer));
        let layers: Option<Vec<_>> = layers.iter().map(digest).collect();
        let layers = layers.ok_or_else(|| format!("a layer of {tags:?} is not a diff id"))?;
        let listed: Vec<_> = layers.iter().map(Digest::to_string).collect();
        document["rootfs"] = serde_json::json!({ "type": "layers", "diff_ids": listed });
        let image = Image::parse(document.to_string().into_bytes())
            .map_err(|e| format!("config of {tags:?}: {e}"))?;
        for tag in tags {
            self.tags.insert(Reference::parse(&tag)?.familiar(), image.digest.clone());
        }
        self.layers.extend(layers);
        self.images.push(Arc::new(image));
        Ok(())
    }

    /// The directory of a layer, if it is one of these. Before it is used it has to be made [ready](Self::make_ready).
    pub fn layer(&self, digest: &Digest) -> Option<PathBuf> {
        self.layers.contains(digest).then(|| match &self.form {
            Form::Directories => self.directory.join("layers").join(digest.hex()),
            Form::Archives(unpacked) => unpacked.join(digest.hex()),
        })
    }

    /// Sees to it that the files of a layer are there, which takes a moment when they are first asked for.
    pub fn make_ready(&self, digest: &Digest) -> io::Result<()> {
        let Form::Archives(unpacked) = &self.form else { return Ok(()) };
        let done = unpacked.join(digest.hex());
        let _one_at_a_time = self.unpacking.lock().unwrap_or_else(PoisonError::into_inner);
        if done.is_dir() {
            return Ok(());
        }
        let archive = self.archive(digest);
        let told = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", archive.display()));
        let half = unpacked.join("half");
        DirBuilder::new().recursive(true).mode(0o710).create(unpacked)?;
        atomic::directory(&done, &half, || {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root = rustix::fs::open(&half, flags, Mode::empty())?;
            let file = File::open(&archive).map_err(told)?;
            unpack(io::BufReader::new(file), root.as_fd(), Path::new(""), &Unpacking::default())
                .map(drop)
                .map_err(told)
        })
    }

    /// The bytes of a layer's files. They are counted, which takes a while.
    pub fn layer_bytes(&self, digest: &Digest) -> u64 {
        match &self.form {
            Form::Directories => self.layer(digest).map_or(0, |directory| size_below(&directory)),
            // What is not unpacked yet need not be for its size.
            Form::Archives(_) => File::open(self.archive(digest)).and_then(size_in_archive).unwrap_or(0),
        }
    }

    fn archive(&self, digest: &Digest) -> PathBuf {
        self.directory.join("archives").join(format!("{}.tar", digest.hex()))
    }
}

fn size_in_archive(file: File) -> io::Result<u64> {
    let mut archive = tar::Archive::new(io::BufReader::new(file));
    archive.entries_with_seek()?.map(|entry| Ok(entry?.size())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_index_is_read_and_its_layers_are_named_safely() {
        let (directory, layer) = (tempfile::tempdir().unwrap(), "ab".repeat(32));
        let load = |layer: &str| {
            let image =
                json!({"tags": ["docker.io/library/a"], "layers": [layer], "config": {"os": "linux"}});
            let text = json!({ "images": [image] }).to_string();
            std::fs::write(directory.path().join("index.json"), text).unwrap();
            Shared::load(directory.path(), Form::Directories)
        };
        for text in [layer.clone(), format!("sha256:{layer}")] {
            let shared = load(&text).unwrap();
            let path = shared.layer(&shared.images[0].layers[0]).unwrap();
            assert_eq!(path, directory.path().join("layers").join(&layer));
            assert_eq!(shared.tags["a:latest"], shared.images[0].digest);
        }
        assert!(load("../../etc").unwrap_err().contains("index.json"));
    }

    #[test]
    fn a_layer_is_unpacked_from_its_archive_once() {
        let (directory, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (layer, absent) = ("ab".repeat(32), "cd".repeat(32));
        let image = json!({"tags": ["a"], "layers": [layer, absent], "config": {"os": "linux"}});
        std::fs::write(directory.path().join("index.json"), json!({ "images": [image] }).to_string())
            .unwrap();
        std::fs::create_dir(directory.path().join("archives")).unwrap();
        let mut tar =
            tar::Builder::new(File::create(directory.path().join(format!("archives/{layer}.tar"))).unwrap());
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        header.set_mode(0o640);
        header.set_uid(rustix::process::getuid().as_raw().into());
        header.set_gid(rustix::process::getgid().as_raw().into());
        tar.append_data(&mut header, "file", &b"words"[..]).unwrap();
        tar.finish().unwrap();
        let unpacked = own.path().join("unpacked");
        let shared = Shared::load(directory.path(), Form::Archives(unpacked.clone())).unwrap();
        let [layer, absent] = [&layer, &absent].map(|hex| Digest::of_hex(hex).unwrap());
        assert_eq!((shared.layer_bytes(&layer), unpacked.exists()), (5, false));
        std::fs::create_dir_all(unpacked.join("half/of an earlier engine")).unwrap();
        shared.make_ready(&layer).unwrap();
        let file = shared.layer(&layer).unwrap().join("file");
        assert_eq!(std::fs::read(&file).unwrap(), b"words");
        std::fs::remove_file(&file).unwrap();
        shared.make_ready(&layer).unwrap();
        assert!(!file.exists() && !unpacked.join("half").exists());
        let error = shared.make_ready(&absent).unwrap_err().to_string();
        assert!(error.contains(&format!("archives/{}.tar", absent.hex())), "{error}");
    }
}
