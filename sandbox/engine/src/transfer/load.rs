//! `docker load`: archives as Docker writes them, and OCI image layouts. Their order is anything, and so the archive is
//! unpacked first; after that nothing in it is believed before its digest is right.

use super::oci::{Descriptor, Document, choose};
use super::platform::Platform;
use super::scratch::Scratch;
use crate::archive::{Devices, Unpacking, unpack};
use crate::error::ApiError;
use crate::image::{Digest, Held, Image, Images, Origin, Reference, decompress};
use crate::progress::{Lines, Told};
use serde::Deserialize;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

/// Indexes point to indexes; real ones do so once.
const NESTED_MAX: usize = 4;

/// The annotations by which an OCI layout names an image, the better one first.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// An image that was loaded, and what it is called now.
#[derive(Debug)]
pub struct Loaded {
    pub image: Arc<Image>,
    pub names: Vec<Reference>,
}

/// Loads all images of an archive. With `quiet`, layers are not told of.
pub fn load(
    images: &Images,
    archive: impl Read,
    data_root: &Path,
    lines: &mut Lines<impl Write>,
    quiet: bool,
) -> Result<Vec<Loaded>, ApiError> {
    let scratch = Scratch::new(data_root, "docker-import")?;
    let broken =
        |error: io::Error| ApiError::internal(format!("Error processing tar file(exit status 1): {error}"));
    let (_, content) = decompress(archive).map_err(broken)?;
    // What is in it is ours, whoever has packed it: the layers inside tell of owners, the archive itself does not.
    let owner = Some((rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()));
    let how = Unpacking { devices: Devices::Refuse, owner, ..Unpacking::default() };
    unpack(content, scratch.root().as_fd(), Path::new(""), &how).map_err(broken)?;
    let mut loading = Loading { images, scratch: &scratch, lines, quiet, loaded: vec![] };
    if scratch.holds("manifest.json") {
        loading.docker()?;
    } else if scratch.holds("index.json") {
        loading.layout()?;
    } else {
        // The words of Docker, which looks for its oldest form last.
        scratch.open("repositories")?;
        return Err(ApiError::bad_request(
            "the archive has the form of Docker before 1.10, without manifest.json: save it anew with a newer Docker",
        ));
    }
    Ok(loading.loaded)
}

struct Loading<'a, W> {
    images: &'a Images,
    scratch: &'a Scratch,
    lines: &'a mut Lines<W>,
    quiet: bool,
    loaded: Vec<Loaded>,
}

/// An item of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

/// A file with a layer, and the digest that it has to have.
struct Source {
    path: String,
    digest: Option<Digest>,
}

impl<W: Write> Loading<'_, W> {
    /// What `docker save` writes.
    fn docker(&mut self) -> Result<(), ApiError> {
        let items: Vec<Item> = serde_json::from_slice(&self.scratch.read("manifest.json")?)
            .map_err(|error| ApiError::bad_request(format!("manifest.json: {error}")))?;
        for item in items {
            let document = self.scratch.read(&item.config)?;
            let layers = item.layers.unwrap_or_default();
            let sources = layers.into_iter().map(|path| Source { path, digest: None }).collect();
            let names = item
                .repo_tags
                .unwrap_or_default()
                .iter()
                .map(|tag| parse_tag(tag))
                .collect::<Result<_, _>>()?;
            self.image(document, sources, names)?;
        }
        Ok(())
    }

    /// An OCI image layout.
    fn layout(&mut self) -> Result<(), ApiError> {
        let index = self.scratch.read("index.json")?;
        let Document::Index(entries) = Document::parse(&index).map_err(ApiError::bad_request)? else {
            return Err(ApiError::bad_request("index.json: it is not an index"));
        };
        for entry in entries {
            let names = NAMES.iter().find_map(|key| entry.annotations.get(*key));
            // A tag alone names no image.
            let names =
                names.filter(|name| name.contains([':', '/'])).map(|name| parse_tag(name)).transpose()?;
            self.entry(entry, names.into_iter().collect(), NESTED_MAX)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: Descriptor, names: Vec<Reference>, depth: usize) -> Result<(), ApiError> {
        match Document::parse(&self.blob(&entry)?).map_err(ApiError::bad_request)? {
            Document::Index(entries) => {
                let own = Platform::own();
                let missing = || ApiError::not_found(format!("the archive has no image for {own}"));
                let chosen = choose(&entries, &own).ok_or_else(missing)?.clone();
                let deeper = depth
                    .checked_sub(1)
                    .ok_or_else(|| ApiError::bad_request("indexes are nested too deep"))?;
                self.entry(chosen, names, deeper)
            }
            Document::Manifest { config, layers } => {
                let document = self.blob(&config)?;
                let source = |layer: &Descriptor| {
                    let digest = layer.checked().map_err(ApiError::bad_request)?;
                    Ok(Source { path: blob_path(&digest), digest: Some(digest) })
                };
                let sources = layers.iter().map(source).collect::<Result<_, ApiError>>()?;
                self.image(document, sources, names)
            }
        }
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ApiError> {
        let digest = descriptor.checked().map_err(ApiError::bad_request)?;
        let bytes = self.scratch.read(&blob_path(&digest))?;
        match Digest::of(&bytes) == digest {
            true => Ok(bytes),
            false => Err(ApiError::bad_request(format!("the blob {digest} does not have that digest"))),
        }
    }

    fn image(
        &mut self,
        document: Vec<u8>,
        sources: Vec<Source>,
        names: Vec<Reference>,
    ) -> Result<(), ApiError> {
        let document = self.images.known_again(document);
        let image = Image::parse(document.clone()).map_err(ApiError::bad_request)?;
        if image.property("os") != "linux" {
            let os = image.property("os");
            return Err(ApiError::bad_request(format!(
                "cannot load {os} image on linux, or its configuration does not name an operating system"
            )));
        }
        if image.layers.len() != sources.len() {
            return Err(ApiError::bad_request(format!(
                "invalid manifest, layers length mismatch: expected {}, got {}",
                image.layers.len(),
                sources.len()
            )));
        }
        let mut held = vec![];
        for (index, (layer, source)) in image.layers.iter().zip(sources).enumerate() {
            held.push(self.layer(index, layer, &source)?);
        }
        let image = self.images.create(document, None)?;
        drop(held);
        for name in &names {
            if let Some(before) = self.images.tag(&image.id, name)? {
                let text = format!(
                    "The image {} already exists, renaming the old one with ID {before} to empty string\n",
                    name.familiar()
                );
                self.lines.stream(&text)?;
            }
            self.lines.stream(&format!("Loaded image: {}\n", name.familiar()))?;
        }
        if names.is_empty() {
            self.lines.stream(&format!("Loaded image ID: {}\n", image.id))?;
        }
        self.loaded.push(Loaded { image, names });
        Ok(())
    }

    fn layer(&mut self, index: usize, layer: &Digest, source: &Source) -> Result<Option<Held>, ApiError> {
        if self.images.has_layer(layer) {
            return Ok(self.images.hold(layer));
        }
        let (file, total) = self.scratch.open(&source.path)?;
        let shown = layer.hex()[..12].to_owned();
        let mut file = Told::new(file, |read| match self.quiet {
            true => Ok(()),
            false => self.lines.far(&shown, "Loading layer", read, total),
        });
        let made = self.images.layer_of_archive(&mut file, Origin::Elsewhere)?;
        if made.held.digest != *layer {
            return Err(ApiError::bad_request(format!(
                "invalid diffID for layer {index}: expected \"{layer}\", got \"{}\"",
                made.held.digest
            )));
        }
        if source.digest.as_ref().is_some_and(|digest| *digest != made.archive) {
            return Err(ApiError::bad_request(format!(
                "the layer {layer} does not have the digest of its blob"
            )));
        }
        if !self.quiet {
            self.lines.far(&shown, "Loading layer", total, total)?;
        }
        Ok(Some(made.held))
    }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn parse_tag(text: &str) -> Result<Reference, ApiError> {
    let reference =
        Reference::parse(text).map_err(|error| ApiError::bad_request(format!("{text:?}: {error}")))?;
    match reference.digest() {
        None => Ok(reference),
        Some(_) => Err(ApiError::bad_request(format!("invalid tag {text:?}"))),
    }
}

#[cfg(test)]
mod tests;
