//! The store: what images there are, by whatever they are called.

use super::digest::Digest;
use super::document::{DOCUMENT_BYTES_MAX, Image};
use super::layers::{Held, Layers, NewLayer, Record};
use super::reference::Reference;
use super::shared::{Form, Shared};
use super::tags::{NAMES_MAX, Tags};
use crate::atomic::{Lasting, replace};
use crate::clock;
use crate::error::ApiError;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// More images than this are a mistake or an attack on the lab's memory: each configuration is held in it.
const IMAGES_MAX: usize = 1024;

/// All images of the lab.
#[derive(Debug)]
pub struct Images {
    shared: Shared,
    pub(super) layers: Layers,
    documents: PathBuf,
    names: PathBuf,
    pub(super) state: Mutex<State>,
    /// What the layers of the shared part hold, once somebody has asked.
    sizes: Mutex<BTreeMap<Digest, u64>>,
}

/// What changes.
#[derive(Debug, Default)]
pub(super) struct State {
    /// All images whose layers are here, hidden ones too.
    pub images: BTreeMap<String, Arc<Image>>,
    pub tags: Tags,
}

impl Images {
    /// Opens the store of a data root over the shared images in a directory, if there are some. Errors name the file and what
    /// is wrong with it.
    pub fn open(shared: Option<(&Path, Form)>, data_root: &Path) -> Result<Self, String> {
        let load = |(directory, form)| Shared::load(directory, form);
        let shared = shared.map_or_else(|| Ok(Shared::default()), load)?;
        let root = data_root.join("image/overlay2");
        let told = |error: io::Error| format!("{}: {error}", root.display());
        let documents = root.join("imagedb/content/sha256");
        DirBuilder::new().recursive(true).mode(0o700).create(&documents).map_err(told)?;
        let layers = Layers::open(data_root).map_err(told)?;
        let names = root.join("repositories.json");
        let mut tags: Tags = match std::fs::read(&names) {
            Ok(text) => {
                serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", names.display()))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Tags::default(),
            Err(error) => return Err(format!("{}: {error}", names.display())),
        };
        let mut images: BTreeMap<_, _> =
            shared.images.iter().map(|image| (image.id.clone(), Arc::clone(image))).collect();
        for image in read_documents(&documents).map_err(told)? {
            let is_here = |layer| shared.layer(layer).is_some() || layers.directory(layer).is_some();
            if image.layers.iter().all(is_here) {
                images.entry(image.id.clone()).or_insert_with(|| Arc::new(image));
            }
        }
        tags.take_over(&shared);
        tags.keep_only(|id| images.contains_key(id));
        let state = Mutex::new(State { images, tags });
        let images = Self { shared, layers, documents, names, state, sizes: Mutex::default() };
        images.change(|_| Ok(())).map_err(|error| error.message)?;
        Ok(images)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes names, and writes them down; when that fails, nothing has changed.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut State) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let mut state = self.state();
        let before = state.tags.clone();
        let result = change(&mut state).and_then(|value| {
            let text = serde_json::to_vec(&state.tags).map_err(io::Error::from)?;
            replace(&self.names, &text, Lasting::PowerLoss)?;
            Ok(value)
        });
        if result.is_err() {
            state.tags = before;
        }
        result
    }

    /// All that are listed.
    pub fn all(&self) -> Vec<Arc<Image>> {
        let state = self.state();
        let listed = state.images.values().filter(|image| !state.tags.removed.contains(&image.id));
        listed.cloned().collect()
    }

    /// The names of an image, sorted.
    pub fn names_of(&self, id: &str) -> Vec<Reference> {
        self.state().tags.of(id)
    }

    /// All names with a tag, sorted.
    pub fn tags(&self) -> Vec<String> {
        self.state().tags.names.keys().filter(|name| !name.contains('@')).cloned().collect()
    }

    /// All names in the repository of this one, with a tag or a digest, sorted as Docker sorts them.
    pub fn names_in(&self, repository: &Reference) -> Vec<Reference> {
        let state = self.state();
        let names = state.tags.names.keys().filter_map(|name| Reference::parse(name).ok());
        let mut names: Vec<_> = names.filter(|name| name.name() == repository.name()).collect();
        names.sort_by_key(Reference::full);
        names
    }

    /// What an image was made from here.
    pub fn parent_of(&self, id: &str) -> Option<String> {
        let state = self.state();
        state.tags.parents.get(id).filter(|parent| !state.tags.removed.contains(*parent)).cloned()
    }

    /// Whether images were made from this one.
    pub fn has_children(&self, id: &str) -> bool {
        self.state().tags.children(id).next().is_some()
    }

    /// When an image last got a name here.
    pub fn last_tagged(&self, id: &str) -> Option<String> {
        self.state().tags.tagged.get(id).cloned()
    }

    /// Finds an image as `docker run` does: by name (with or without registry and tag), by id, by a prefix of its id.
    pub fn find(&self, text: &str) -> Result<Arc<Image>, ApiError> {
        let missing = |name: &str| Err(ApiError::not_found(format!("No such image: {name}")));
        let state = self.state();
        let by_prefix = |prefix: &str| {
            let listed = state.images.values().filter(|image| !state.tags.removed.contains(&image.id));
            let mut found = listed.filter(|image| image.digest.hex().starts_with(prefix));
            found.next().filter(|_| found.next().is_none()).cloned()
        };
        let is_hex = |text: &str| {
            !text.is_empty()
                && text.len() <= 64
                && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
        };
        if let Some(digits) = text.strip_prefix("sha256:").filter(|digits| is_hex(digits)) {
            return by_prefix(digits).map_or_else(|| missing(text), Ok);
        }
        let reference = Reference::parse(text);
        if let Ok(reference) = &reference
            && let Some(image) =
                state.tags.names.get(&reference.familiar()).and_then(|id| state.images.get(id))
        {
            return Ok(Arc::clone(image));
        }
        match (is_hex(text).then(|| by_prefix(text)).flatten(), reference) {
            (Some(image), _) => Ok(image),
            (None, Ok(reference)) => missing(&reference.familiar()),
            (None, Err(_)) if is_hex(text) => missing(text),
            (None, Err(error)) => Err(ApiError::bad_request(error)),
        }
    }

    /// Finds an image by its whole id, also one that was removed and is here only for the containers made from it.
    pub fn of_container(&self, id: &str) -> Option<Arc<Image>> {
        self.state().images.get(id).cloned()
    }

    /// The directories of an image's layers, topmost first, as overlayfs wants them. Two steps of a build may have made the
    /// same layer, which overlayfs refuses to stack twice: what the upper one says is all that is seen of the lower one.
    pub fn directories(&self, image: &Image) -> Result<Vec<PathBuf>, ApiError> {
        let mut seen = BTreeSet::new();
        let distinct = image.layers.iter().rev().filter(|layer| seen.insert(*layer));
        distinct.map(|layer| self.directory(layer)).collect()
    }

    /// The directory of a layer, with its files in it.
    pub fn directory(&self, layer: &Digest) -> Result<PathBuf, ApiError> {
        if let Some(directory) = self.shared.layer(layer) {
            let told = |error| ApiError::internal(format!("unpacking the layer {layer}: {error}"));
            return self.shared.make_ready(layer).map(|()| directory).map_err(told);
        }
        let directory = self.layers.directory(layer);
        directory.ok_or_else(|| ApiError::internal(format!("layer does not exist: {layer}")))
    }

    /// Whether a layer is one of those that labs share.
    pub fn is_shared(&self, layer: &Digest) -> bool {
        self.shared.layer(layer).is_some()
    }

    /// Whether there is a shared part: whether this is a lab.
    pub fn has_shared(&self) -> bool {
        !self.shared.images.is_empty()
    }

    /// Why an image of this name cannot be had in a lab, and which can.
    pub fn out_of_reach(&self, name: &str) -> String {
        let tags = self.tags().join(", ");
        format!(
            "pull access denied for {name}: this lab has no access to a registry. The images it has: {tags}"
        )
    }

    /// Whether a layer is here.
    pub fn has_layer(&self, layer: &Digest) -> bool {
        self.is_shared(layer) || self.layers.record(layer).is_some()
    }

    /// Holds a layer that is here, so that it is not removed before an image has it. Shared ones need no holding.
    pub fn hold(&self, layer: &Digest) -> Option<Held> {
        self.layers.hold(layer)
    }

    /// The bytes of a layer's files. For a shared layer they are counted when first asked for, which takes a while.
    pub fn layer_bytes(&self, layer: &Digest) -> u64 {
        if let Some(record) = self.layers.record(layer) {
            return record.size_bytes;
        }
        let sizes = || self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&bytes) = sizes().get(layer) {
            return bytes;
        }
        let bytes = if self.is_shared(layer) { self.shared.layer_bytes(layer) } else { 0 };
        sizes().insert(layer.clone(), bytes);
        bytes
    }

    /// The bytes of all of an image's layers.
    pub fn image_bytes(&self, image: &Image) -> u64 {
        image.layers.iter().map(|layer| self.layer_bytes(layer)).sum()
    }

    /// What is known of a layer of the lab's own, and where the archive that it came as is kept.
    pub fn record(&self, layer: &Digest) -> Option<(Record, PathBuf)> {
        Some((self.layers.record(layer)?, self.layers.archive_path(layer)))
    }

    /// The digest and length that a shared layer has when it is packed here, once that is known.
    pub(super) fn packed(&self, layer: &Digest) -> Option<(Digest, u64)> {
        let state = self.state();
        let (digest, bytes) = state.tags.packed.get(&layer.to_string())?;
        Some((Digest::parse(digest)?, *bytes))
    }

    /// Remembers that.
    pub(super) fn remember_packed(
        &self,
        layer: &Digest,
        digest: &Digest,
        bytes: u64,
    ) -> Result<(), ApiError> {
        self.change(|state| {
            state.tags.packed.insert(layer.to_string(), (digest.to_string(), bytes));
            Ok(())
        })
    }

    /// The shared layer that was packed to this.
    pub(super) fn unpacked(&self, digest: &Digest) -> Option<Digest> {
        let (state, digest) = (self.state(), digest.to_string());
        let (layer, _) = state.tags.packed.iter().find(|(_, (packed, _))| *packed == digest)?;
        Digest::parse(layer).filter(|layer| self.is_shared(layer))
    }

    /// Begins a layer: what is put into its directory is there for good once it is [finished](Self::finish_layer).
    pub fn new_layer(&self) -> io::Result<NewLayer> {
        self.layers.begin()
    }

    /// Finishes a layer under its diff id. Hold what this returns until an image has the layer.
    pub fn finish_layer(&self, new: NewLayer, digest: Digest, record: Record) -> io::Result<Held> {
        match self.shared.layer(&digest) {
            Some(_) => Ok(Held::shared(digest, record.size_bytes)),
            None => self.layers.finish(new, digest, record),
        }
    }

    /// Makes an image of a configuration, whose layers have to be here. One that is here already is returned.
    pub fn create(&self, document: Vec<u8>, parent: Option<&str>) -> Result<Arc<Image>, ApiError> {
        let image = Image::parse(document).map_err(ApiError::bad_request)?;
        if let Some(absent) = image.layers.iter().find(|layer| !self.has_layer(layer)) {
            return Err(ApiError::internal(format!("layer does not exist: {absent}")));
        }
        let path = self.documents.join(image.digest.hex());
        self.change(|state| {
            state.tags.removed.remove(&image.id);
            if let Some(parent) = parent.filter(|parent| *parent != image.id) {
                state.tags.parents.insert(image.id.clone(), parent.to_owned());
            }
            if let Some(known) = state.images.get(&image.id) {
                return Ok(Arc::clone(known));
            }
            if state.images.len() >= IMAGES_MAX {
                let message =
                    format!("this lab holds at most {IMAGES_MAX} images: remove some with docker rmi");
                return Err(ApiError::conflict(message));
            }
            replace(&path, image.bytes(), Lasting::PowerLoss)?;
            let image = Arc::new(image);
            state.images.insert(image.id.clone(), Arc::clone(&image));
            Ok(image)
        })
    }

    /// Gives an image a name, taking it from another that may have had it: that one's id is returned.
    pub fn tag(&self, id: &str, name: &Reference) -> Result<Option<String>, ApiError> {
        self.change(|state| {
            if state.tags.names.len() >= NAMES_MAX {
                return Err(ApiError::conflict(format!(
                    "this lab's images have at most {NAMES_MAX} names: remove some with docker rmi"
                )));
            }
            state.tags.tagged.insert(id.to_owned(), clock::rfc3339(SystemTime::now()));
            let before = state.tags.names.insert(name.familiar(), id.to_owned());
            Ok(before.filter(|before| before != id))
        })
    }

    /// Removes what is left of images that nobody has any more. `used` tells which images containers were made from.
    pub fn collect(&self, used: &[Arc<Image>]) -> Result<Vec<(Digest, u64)>, ApiError> {
        self.change(|state| {
            let State { images, tags } = state;
            let is_used = |id: &str| used.iter().any(|image| image.id == id);
            let is_shared = |id: &str| self.shared.images.iter().any(|image| image.id == id);
            let gone: Vec<_> =
                tags.removed.iter().filter(|id| !is_used(id) && !is_shared(id)).cloned().collect();
            for id in &gone {
                if let Some(image) = images.remove(id) {
                    std::fs::remove_file(self.documents.join(image.digest.hex()))?;
                }
            }
            tags.keep_only(|id| images.contains_key(id));
            let gone = self.layers.collect(|layer| images.values().any(|image| image.layers.contains(layer)));
            gone.iter().for_each(|(layer, _)| drop(tags.sent.remove(&layer.to_string())));
            Ok(gone)
        })
    }
}

/// All configurations in a directory. One whose name is not its digest is passed over: it is not what it was.
fn read_documents(directory: &Path) -> io::Result<Vec<Image>> {
    let mut images = vec![];
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(digest) = name.to_str().and_then(Digest::of_hex) else {
            std::fs::remove_file(entry.path())?;
            continue;
        };
        let mut bytes = vec![];
        std::fs::File::open(entry.path())?.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        images.extend(Image::parse(bytes).ok().filter(|image| image.digest == digest));
    }
    Ok(images)
}

#[cfg(test)]
mod tests;
