//! Images for others: with layers that really have the digests that the configuration names.
//!
//! A shared layer was packed by the recipe, and only its files are here: packed again it has another digest. What leaves the
//! lab therefore names that one, and the image has another id there. When such an image comes back it is known again.

use super::digest::Digest;
use super::document::Image;
use super::store::Images;
use crate::error::ApiError;
use serde_json::{Value, json};
use std::io;

/// An image as others get it.
#[derive(Debug)]
pub struct Portable {
    /// Its configuration.
    pub document: Vec<u8>,
    /// Its layers, bottom first.
    pub layers: Vec<PortableLayer>,
}

/// A layer as others get it.
#[derive(Clone, Debug)]
pub struct PortableLayer {
    /// What it is called here.
    pub own: Digest,
    /// The digest of the archive that [`Images::write_layer`] writes.
    pub digest: Digest,
    /// How long that is.
    pub tar_bytes: u64,
}

impl Images {
    /// An image for others. Shared layers are packed once to learn their digests, which takes a while.
    pub fn portable(&self, image: &Image) -> Result<Portable, ApiError> {
        let layers = image.layers.iter().map(|layer| self.portable_layer(layer));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let document = match layers.iter().all(|layer| layer.own == layer.digest) {
            true => image.bytes().to_vec(),
            false => with_layers(&image.document, layers.iter().map(|layer| &layer.digest)),
        };
        Ok(Portable { document, layers })
    }

    fn portable_layer(&self, layer: &Digest) -> Result<PortableLayer, ApiError> {
        let made = |digest, tar_bytes| Ok(PortableLayer { own: layer.clone(), digest, tar_bytes });
        if let Some((record, _)) = self.record(layer) {
            return made(layer.clone(), record.tar_bytes);
        }
        if let Some((digest, tar_bytes)) = self.packed(layer) {
            return made(digest, tar_bytes);
        }
        let (digest, tar_bytes) = self.write_layer(layer, io::sink())?;
        self.remember_packed(layer, &digest, tar_bytes)?;
        made(digest, tar_bytes)
    }

    /// A configuration from outside, as it is called here: shared layers that were packed here are named as themselves. So
    /// an image that comes back has the id that it had, and what labs share is not stored a second time.
    pub fn known_again(&self, document: Vec<u8>) -> Vec<u8> {
        let Ok(image) = Image::parse(document.clone()) else { return document };
        let own: Vec<_> =
            image.layers.iter().map(|layer| self.unpacked(layer).unwrap_or_else(|| layer.clone())).collect();
        if own == image.layers { document } else { with_layers(&image.document, own.iter()) }
    }
}

fn with_layers<'a>(document: &Value, layers: impl Iterator<Item = &'a Digest>) -> Vec<u8> {
    let mut document = document.clone();
    let listed: Vec<_> = layers.map(|layer| json!(layer.to_string())).collect();
    document["rootfs"]["diff_ids"] = Value::Array(listed);
    document.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::shared::Form;
    use super::*;
    use std::path::Path;

    #[test]
    fn a_shared_image_leaves_and_is_known_when_it_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let (shared, data) = (directory.path().join("shared"), directory.path().join("data"));
        let layer = "ab".repeat(32);
        std::fs::create_dir_all(shared.join("layers").join(&layer)).unwrap();
        std::fs::write(shared.join("layers").join(&layer).join("file"), "content").unwrap();
        let index = json!({ "images": [{ "tags": ["a"], "layers": [layer], "config": { "os": "linux" } }] });
        std::fs::write(shared.join("index.json"), index.to_string()).unwrap();
        let open = || Images::open(Some((Path::new(&shared), Form::Directories)), &data).unwrap();
        let images = open();
        let image = images.find("a").unwrap();
        let portable = images.portable(&image).unwrap();
        let mut packed = vec![];
        images.write_layer(&image.layers[0], &mut packed).unwrap();
        let digest = Digest::of(&packed);
        assert_eq!(
            (&portable.layers[0].digest, portable.layers[0].tar_bytes),
            (&digest, packed.len() as u64)
        );
        assert_eq!(Image::parse(portable.document.clone()).unwrap().layers, [digest]);
        drop(images);
        let images = open();
        assert_eq!(images.known_again(portable.document.clone()), image.bytes());
        let other = json!({ "rootfs": { "diff_ids": [Digest::of(b"other").to_string()] } }).to_string();
        assert_eq!(
            images.known_again(other.clone().into_bytes()),
            other.as_bytes(),
            "nothing of it is shared"
        );
    }
}
