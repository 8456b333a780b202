//! `docker save`: images as Docker 20.10 writes them. Everything is known before the first byte goes out, so that it can go
//! straight to the client.

use crate::error::ApiError;
use crate::image::{Digest, Image, Images, PortableLayer, Reference};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use tar::{EntryType, Header};

/// Images ready to be written.
#[derive(Debug)]
pub struct Saving {
    /// Which they are.
    pub images: Vec<Arc<Image>>,
    /// By their names, in which order they are written.
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
enum Entry {
    Directory,
    Bytes(Vec<u8>),
    Layer(PortableLayer),
    /// To a layer that is in the archive already.
    Link(String),
}

impl Saving {
    /// Finds the images of these names: a name without a tag means all its tags, an id no name at all.
    pub fn new(images: &Images, names: &[String]) -> Result<Self, ApiError> {
        let mut chosen: Vec<(Arc<Image>, Vec<Reference>)> = vec![];
        for name in names {
            for (image, reference) in named(images, name)? {
                let place = chosen.iter().position(|(other, _)| other.id == image.id);
                let place = place.unwrap_or_else(|| {
                    chosen.push((image, vec![]));
                    chosen.len() - 1
                });
                chosen[place].1.extend(reference);
            }
        }
        let mut saving = Self { images: vec![], entries: BTreeMap::new() };
        let (mut manifest, mut repositories) = (vec![], Map::new());
        for (image, references) in chosen {
            let (item, top) = saving.add(images, &image, &references)?;
            manifest.push(item);
            for reference in references {
                repositories.entry(reference.name()).or_insert_with(|| json!({}))
                    [reference.tag().unwrap_or_default()] = json!(top);
            }
            saving.images.push(image);
        }
        saving.bytes("manifest.json", Value::Array(manifest).to_string() + "\n");
        if !repositories.is_empty() {
            saving.bytes("repositories", Value::Object(repositories).to_string() + "\n");
        }
        Ok(saving)
    }

    fn bytes(&mut self, name: &str, content: String) {
        self.entries.insert(name.into(), Entry::Bytes(content.into_bytes()));
    }

    /// Adds an image. Returns its item of the manifest, and the directory of its topmost layer.
    fn add(
        &mut self,
        images: &Images,
        image: &Image,
        references: &[Reference],
    ) -> Result<(Value, String), ApiError> {
        let portable = images.portable(image)?;
        let config = Digest::of(&portable.document);
        let (mut parent, mut layers) = (None::<String>, vec![]);
        let count = portable.layers.len();
        for (index, layer) in portable.layers.into_iter().enumerate() {
            let mut legacy = json!({ "created": image.created, "os": image.property("os") });
            if index + 1 == count {
                for key in
                    ["architecture", "author", "config", "container", "container_config", "docker_version"]
                {
                    if let Some(value) = image.document.get(key) {
                        legacy[key] = value.clone();
                    }
                }
            }
            if let Some(parent) = &parent {
                legacy["parent"] = json!(parent);
            }
            let id = Digest::of(format!("{} {legacy}", layer.digest).as_bytes()).hex().to_owned();
            legacy["id"] = json!(id);
            let path = format!("{id}/layer.tar");
            if !self.entries.contains_key(&path) {
                let content = match self.holder_of(&layer.digest) {
                    Some(other) => Entry::Link(format!("../{other}")),
                    None => Entry::Layer(layer),
                };
                self.entries.insert(format!("{id}/"), Entry::Directory);
                self.bytes(&format!("{id}/VERSION"), "1.0".into());
                self.bytes(&format!("{id}/json"), legacy.to_string());
                self.entries.insert(path.clone(), content);
            }
            layers.push(path);
            parent = Some(id);
        }
        let name = format!("{}.json", config.hex());
        self.entries.insert(name.clone(), Entry::Bytes(portable.document));
        let tags: Vec<_> = references.iter().map(Reference::familiar).collect();
        let tags = if tags.is_empty() { Value::Null } else { json!(tags) };
        let item = json!({ "Config": name, "RepoTags": tags, "Layers": layers });
        Ok((item, parent.unwrap_or_default()))
    }

    fn holder_of(&self, digest: &Digest) -> Option<String> {
        let holds = |entry: &Entry| matches!(entry, Entry::Layer(layer) if layer.digest == *digest);
        self.entries.iter().find(|(_, entry)| holds(entry)).map(|(path, _)| path.clone())
    }

    /// Writes the archive.
    pub fn write(&self, images: &Images, out: impl Write) -> io::Result<()> {
        let mut builder = tar::Builder::new(out);
        for (path, entry) in &self.entries {
            let mut header = Header::new_gnu();
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_mode(if matches!(entry, Entry::Directory) { 0o755 } else { 0o644 });
            match entry {
                Entry::Directory => {
                    header.set_entry_type(EntryType::Directory);
                    header.set_size(0);
                    builder.append_data(&mut header, path, io::empty())?;
                }
                Entry::Bytes(bytes) => {
                    header.set_size(bytes.len() as u64);
                    builder.append_data(&mut header, path, bytes.as_slice())?;
                }
                Entry::Link(target) => {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_size(0);
                    builder.append_link(&mut header, path, target)?;
                }
                Entry::Layer(layer) => {
                    header.set_size(layer.tar_bytes);
                    header.set_path(path)?;
                    header.set_cksum();
                    builder.get_mut().write_all(header.as_bytes())?;
                    write_layer(images, layer, builder.get_mut())?;
                }
            }
        }
        builder.finish()
    }
}

fn write_layer(images: &Images, layer: &PortableLayer, out: &mut impl Write) -> io::Result<()> {
    let (digest, bytes) = images.write_layer(&layer.own, &mut *out)?;
    if (&digest, bytes) != (&layer.digest, layer.tar_bytes) {
        return Err(io::Error::other(format!("the layer {} has changed meanwhile", layer.own)));
    }
    let padding = bytes.next_multiple_of(512) - bytes;
    io::copy(&mut io::Read::take(io::repeat(0), padding), out).map(drop)
}

/// An image, and the name by which it was asked for.
type Named = (Arc<Image>, Option<Reference>);

fn named(images: &Images, name: &str) -> Result<Vec<Named>, ApiError> {
    let missing = || ApiError::not_found(format!("No such image: {name}"));
    if name.starts_with("sha256:") {
        return Ok(vec![(images.find(name).map_err(|_| missing())?, None)]);
    }
    match Reference::parse(name) {
        Ok(reference) if reference.is_name_only() => {
            let mut found = vec![];
            for tag in images.tags() {
                let tag = Reference::parse(&tag).map_err(ApiError::internal)?;
                if tag.name() == reference.name() {
                    found.push((images.find(&tag.familiar())?, Some(tag)));
                }
            }
            if found.is_empty() {
                found.push((images.find(name).map_err(|_| missing())?, None));
            }
            Ok(found)
        }
        Ok(reference) => {
            let gone = |_| ApiError::not_found("reference does not exist");
            let image = images.find(&reference.familiar()).map_err(gone)?;
            Ok(vec![(image, Some(reference).filter(|reference| reference.digest().is_none()))])
        }
        // 64 hex digits are an id and no name.
        Err(error) => match images.find(name) {
            Ok(image) => Ok(vec![(image, None)]),
            Err(_) => Err(ApiError::bad_request(error)),
        },
    }
}
