//! The layers that the lab itself has: `<data-root>/overlay2/<diff id>/diff`, with a record of each in
//! `<data-root>/image/overlay2/layerdb/<diff id>.json`.
//!
//! A layer is made in a directory `overlay2/new-<id>`, gets its record, and is then renamed. Whatever a crash leaves is
//! told by that: a directory that is still called so, or a record without a directory. Both are swept away at the next start.
//! Other directories in `overlay2` belong to containers and are not touched.

use super::digest::Digest;
use crate::atomic::{Lasting, replace};
use crate::names;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the directories of half-made layers are called.
const NEW: &str = "new-";

/// What is known of a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The bytes of its files.
    pub size_bytes: u64,
    /// The bytes of its archive, not compressed.
    #[serde(default)]
    pub tar_bytes: u64,
    /// The archive that it came as, kept beside it. A layer without one was packed here, and packing it again gives the same
    /// bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Archive>,
}

/// A kept archive: `<data-root>/image/overlay2/layerdb/<diff id>.tar`, compressed as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// `gzip`, `zstd` or `none`.
    pub compression: super::compression::Compression,
    /// The digest of the compressed bytes, by which registries know it.
    pub digest: String,
    /// How many they are.
    pub size_bytes: u64,
}

/// A layer that is in use: the store does not remove it while somebody holds this.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its diff id.
    pub digest: Digest,
    /// The bytes of its files.
    #[allow(dead_code, reason = "tests look at it")]
    pub size_bytes: u64,
    _pin: Arc<()>,
}

impl Held {
    /// A layer that needs no holding: a shared one.
    pub fn shared(digest: Digest, size_bytes: u64) -> Self {
        Self { digest, size_bytes, _pin: Arc::default() }
    }
}

#[derive(Debug)]
struct Known {
    record: Record,
    pin: Arc<()>,
}

/// All layers of the lab's own.
#[derive(Debug)]
pub struct Layers {
    overlays: PathBuf,
    records: PathBuf,
    known: Mutex<BTreeMap<Digest, Known>>,
}

/// A layer being made. Dropped before it is finished, it leaves nothing behind.
#[derive(Debug)]
pub struct NewLayer {
    directory: PathBuf,
    archive: PathBuf,
}

impl NewLayer {
    /// Where its content goes, in overlayfs' own form: whiteouts are devices, opaque directories have an attribute.
    pub fn diff(&self) -> PathBuf {
        self.directory.join("diff")
    }

    /// Where the archive that it came as may be kept.
    pub fn archive(&self) -> &Path {
        &self.archive
    }
}

impl Drop for NewLayer {
    fn drop(&mut self) {
        // After `finish` neither is there; otherwise the next start tries again.
        let _ = std::fs::remove_dir_all(&self.directory);
        let _ = std::fs::remove_file(&self.archive);
    }
}

impl Layers {
    /// Finds what is there, and sweeps away what was half made.
    pub fn open(data_root: &Path) -> io::Result<Self> {
        let overlays = data_root.join("overlay2");
        let records = data_root.join("image/overlay2/layerdb");
        for directory in [&overlays, &records] {
            DirBuilder::new().recursive(true).mode(0o710).create(directory)?;
        }
        for entry in std::fs::read_dir(&overlays)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(NEW) {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        let mut known = BTreeMap::new();
        let mut names: Vec<String> = vec![];
        for entry in std::fs::read_dir(&records)? {
            names.extend(entry?.file_name().to_str().map(str::to_owned));
        }
        for name in &names {
            let Some(digest) = name.strip_suffix(".json").and_then(Digest::of_hex) else { continue };
            let record = std::fs::read(records.join(name)).ok();
            let record = record.and_then(|text| serde_json::from_slice(&text).ok());
            match record.filter(|_| overlays.join(digest.hex()).join("diff").is_dir()) {
                Some(record) => drop(known.insert(digest, Known { record, pin: Arc::default() })),
                None => std::fs::remove_file(records.join(name))?,
            }
        }
        for name in names.iter().filter(|name| !name.ends_with(".json")) {
            let kept = name.strip_suffix(".tar").and_then(Digest::of_hex);
            if !kept.is_some_and(|digest| known.contains_key(&digest)) {
                std::fs::remove_file(records.join(name))?;
            }
        }
        Ok(Self { overlays, records, known: Mutex::new(known) })
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Digest, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a layer.
    pub fn begin(&self) -> io::Result<NewLayer> {
        let name = format!("{NEW}{}", names::new_id());
        let new = NewLayer { archive: self.records.join(&name), directory: self.overlays.join(&name) };
        DirBuilder::new().mode(0o710).create(&new.directory)?;
        DirBuilder::new().mode(0o755).create(new.diff())?;
        Ok(new)
    }

    /// The layer is made: from now on it is found by its diff id. One that is here already is kept, and the new one dropped.
    pub fn finish(&self, new: NewLayer, digest: Digest, record: Record) -> io::Result<Held> {
        let mut known = self.known();
        if !known.contains_key(&digest) {
            if record.archive.is_some() {
                std::fs::rename(&new.archive, self.archive_path(&digest))?;
            }
            let text = serde_json::to_vec(&record)?;
            replace(&self.records.join(format!("{}.json", digest.hex())), &text, Lasting::PowerLoss)?;
            std::fs::rename(&new.directory, self.overlays.join(digest.hex()))?;
            known.insert(digest.clone(), Known { record, pin: Arc::default() });
        }
        drop(known);
        self.hold(&digest)
            .ok_or_else(|| io::Error::other(format!("the layer {digest} was removed meanwhile")))
    }

    /// Holds a layer, if it is here.
    pub fn hold(&self, digest: &Digest) -> Option<Held> {
        let known = self.known();
        let Known { record, pin } = known.get(digest)?;
        Some(Held { digest: digest.clone(), size_bytes: record.size_bytes, _pin: Arc::clone(pin) })
    }

    /// What is known of a layer, if it is here.
    pub fn record(&self, digest: &Digest) -> Option<Record> {
        self.known().get(digest).map(|known| known.record.clone())
    }

    /// The directory of a layer, if it is here.
    pub fn directory(&self, digest: &Digest) -> Option<PathBuf> {
        self.known().contains_key(digest).then(|| self.overlays.join(digest.hex()).join("diff"))
    }

    /// Where the archive of a layer is kept, if it is.
    pub fn archive_path(&self, digest: &Digest) -> PathBuf {
        self.records.join(format!("{}.tar", digest.hex()))
    }

    /// Removes all layers that nobody holds and `wanted` does not name. Returns them.
    pub fn collect(&self, wanted: impl Fn(&Digest) -> bool) -> Vec<(Digest, u64)> {
        let mut known = self.known();
        let unwanted =
            |(digest, layer): &(&Digest, &Known)| !wanted(digest) && Arc::strong_count(&layer.pin) == 1;
        let gone: Vec<_> =
            known.iter().filter(unwanted).map(|(d, layer)| (d.clone(), layer.record.size_bytes)).collect();
        for (digest, _) in &gone {
            known.remove(digest);
            // The directory first gets a name by which the next start would know it; the rest cannot go wrong for good.
            let dying = self.overlays.join(format!("{NEW}{}", digest.hex()));
            let _ = std::fs::rename(self.overlays.join(digest.hex()), &dying);
            let _ = std::fs::remove_file(self.records.join(format!("{}.json", digest.hex())));
            let _ = std::fs::remove_file(self.archive_path(digest));
            let _ = std::fs::remove_dir_all(&dying);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(layers: &Layers, content: &str) -> Digest {
        let new = layers.begin().unwrap();
        std::fs::write(new.diff().join("file"), content).unwrap();
        let digest = Digest::of(content.as_bytes());
        layers.finish(new, digest.clone(), Record::default()).unwrap();
        digest
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_layer_is_found_again_and_half_made_ones_are_swept_away() {
        let root = tempfile::tempdir().unwrap();
        let layers = Layers::open(root.path()).unwrap();
        let (first, second) = (make(&layers, "1"), make(&layers, "2"));
        std::mem::forget(layers.begin().unwrap());
        std::fs::write(root.path().join("image/overlay2/layerdb/new-x"), "").unwrap();
        // A container's layer has a name of the same form and no record.
        std::fs::create_dir(root.path().join("overlay2").join("c".repeat(64))).unwrap();
        // Its directory was not renamed any more.
        std::fs::remove_dir_all(root.path().join("overlay2").join(second.hex())).unwrap();
        let layers = Layers::open(root.path()).unwrap();
        let content = std::fs::read(layers.directory(&first).unwrap().join("file")).unwrap();
        assert_eq!(content, b"1");
        assert!(layers.record(&second).is_none());
        let mut left = vec!["c".repeat(64), first.hex().to_owned()];
        left.sort();
        assert_eq!(names(&root.path().join("overlay2")), left);
        assert_eq!(names(&root.path().join("image/overlay2/layerdb")), [format!("{}.json", first.hex())]);
    }

    #[test]
    fn a_dropped_layer_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let layers = Layers::open(root.path()).unwrap();
        let new = layers.begin().unwrap();
        std::fs::write(new.archive(), "x").unwrap();
        drop(new);
        assert!(names(&root.path().join("overlay2")).is_empty());
        assert!(names(&root.path().join("image/overlay2/layerdb")).is_empty());
    }

    #[test]
    fn only_what_nobody_holds_or_wants_is_collected() {
        let root = tempfile::tempdir().unwrap();
        let layers = Layers::open(root.path()).unwrap();
        let [held, wanted, gone] = ["held", "wanted", "gone"].map(|name| make(&layers, name));
        let pin = layers.hold(&held).unwrap();
        assert_eq!(layers.collect(|digest| *digest == wanted), [(gone.clone(), 0)]);
        assert!(layers.directory(&gone).is_none() && !root.path().join("overlay2").join(gone.hex()).exists());
        drop(pin);
        assert_eq!(layers.collect(|digest| *digest == wanted), [(held, 0)]);
    }
}
