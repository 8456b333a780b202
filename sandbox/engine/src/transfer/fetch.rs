//! The layers of an image come from a registry: some at a time, each into a file until its digest is known to be right; then
//! they are unpacked, the lowest first.

use super::oci::Descriptor;
use super::outlet::Outlet;
use super::registry::Registry;
use super::scratch::Scratch;
use super::slots::Slots;
use crate::aside::aside;
use crate::error::ApiError;
use crate::image::{Digest, Held, Image, Images, Origin};
use crate::progress::{Lines, Pace, Told};
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

/// As many layers come at once; the others wait. It is Docker's number.
const AT_ONCE_MAX: usize = 3;

/// What is needed to fetch layers.
pub struct Fetching<'a> {
    images: &'a Arc<Images>,
    registry: &'a Registry,
    /// Where they come from, as `registry/path`.
    repository: String,
    scratch: Scratch,
    lines: Lines<Outlet>,
}

/// A layer that is to come.
struct Wanted {
    /// The digest of its content.
    own: Digest,
    /// The digest of its blob.
    digest: Digest,
    size: u64,
}

impl Wanted {
    /// What it is called to the client.
    fn shown(&self) -> &str {
        &self.digest.hex()[..12]
    }
}

impl<'a> Fetching<'a> {
    /// Makes ready to fetch layers from a repository.
    pub fn new(
        images: &'a Arc<Images>,
        registry: &'a Registry,
        repository: String,
        data_root: &Path,
        lines: Lines<Outlet>,
    ) -> Result<Self, ApiError> {
        Ok(Self { images, registry, repository, scratch: Scratch::new(data_root, "pull")?, lines })
    }

    /// Fetches those layers of an image that are not here, and holds all of them.
    pub async fn layers(mut self, image: &Image, layers: &[Descriptor]) -> Result<Vec<Held>, ApiError> {
        let (mut held, mut wanted): (Vec<Held>, Vec<Wanted>) = (vec![], vec![]);
        for (own, descriptor) in image.layers.iter().zip(layers) {
            let digest = descriptor.checked().map_err(ApiError::internal)?;
            let layer = Wanted { own: own.clone(), digest, size: descriptor.size };
            let kept = self.images.hold(own);
            // To Docker a layer is what it is with all below it: above a missing one there is nothing. What labs share is
            // not fetched all the same.
            if (wanted.is_empty() && kept.is_some()) || self.images.is_shared(own) {
                held.extend(kept);
                self.remember(&layer)?;
                self.lines.of(layer.shown(), "Already exists")?;
            } else if let Some(same) = wanted.iter().find(|same| same.digest == layer.digest) {
                // It comes once, and is not told of again.
                if same.own != layer.own {
                    return Err(mismatch());
                }
            } else {
                self.lines.of(layer.shown(), "Pulling fs layer")?;
                wanted.push(layer);
            }
        }
        let slots = Slots::new(AT_ONCE_MAX);
        let (this, slots) = (&self, &slots);
        let (coming, come): (Vec<_>, Vec<_>) = wanted
            .iter()
            .map(|layer| {
                let (done, come) = oneshot::channel();
                let coming = async move {
                    let path = this.download(layer, slots).await?;
                    // Whoever waits for it is gone only with all of this.
                    let _ = done.send(path);
                    Ok::<(), ApiError>(())
                };
                (coming, come)
            })
            .unzip();
        let unpacking = async {
            for (layer, come) in wanted.iter().zip(come) {
                let path = come.await.map_err(|_| ApiError::internal("a layer did not come"))?;
                held.push(this.unpack(layer, path).await?);
            }
            Ok(held)
        };
        tokio::try_join!(try_join_all(coming), unpacking).map(|(_, held)| held)
    }

    /// Fetches a layer into a file. What is in the file is what was asked for.
    async fn download(&self, layer: &Wanted, slots: &Slots) -> Result<PathBuf, ApiError> {
        let mut lines = self.lines.clone();
        let _turn = slots.turn(|| lines.of(layer.shown(), "Waiting")).await?;
        let mut stream = self.registry.layer(&layer.digest).await?;
        let path = self.scratch.path().join(layer.digest.hex());
        let mut file = tokio::fs::File::create(&path).await?;
        let (mut read, mut pace) = (0, Pace::default());
        while let Some(piece) = stream.next().await {
            let piece = piece?;
            read += piece.len() as u64;
            if read > layer.size {
                return Err(ApiError::internal(format!(
                    "the layer has more than the {} bytes it was to have",
                    layer.size
                )));
            }
            file.write_all(&piece).await?;
            if pace.is_due(read) {
                lines.far(layer.shown(), "Downloading", read, layer.size)?;
            }
        }
        file.flush().await?;
        // The end of the stream has told that it is so.
        lines.of(layer.shown(), "Verifying Checksum")?;
        lines.of(layer.shown(), "Download complete")?;
        Ok(path)
    }

    /// Makes a layer of a file, which is gone afterwards.
    async fn unpack(&self, layer: &Wanted, path: PathBuf) -> Result<Held, ApiError> {
        let mut lines = self.lines.clone();
        let (images, total, shown) = (Arc::clone(self.images), layer.size, layer.shown().to_owned());
        let mut told = self.lines.clone();
        let made = aside(move || {
            let file = File::open(&path)?;
            std::fs::remove_file(&path)?;
            let file = Told::new(file, move |read| told.far(&shown, "Extracting", read, total));
            Ok(images.layer_of_archive(file, Origin::Elsewhere)?)
        })
        .await?;
        if made.archive != layer.digest {
            return Err(ApiError::internal(format!("the layer {} has changed meanwhile", layer.digest)));
        }
        if made.held.digest != layer.own {
            return Err(mismatch());
        }
        self.remember(layer)?;
        lines.of(layer.shown(), "Pull complete")?;
        Ok(made.held)
    }

    /// Remembers that this repository has a layer: under that digest under which the layer would be pushed, or not at all.
    fn remember(&self, layer: &Wanted) -> Result<(), ApiError> {
        let archive = self.images.record(&layer.own).and_then(|(record, _)| record.archive);
        let known = archive.map(|archive| archive.digest);
        let known = known.or_else(|| self.images.sent(&layer.own).map(|sent| sent.digest));
        if known.is_some_and(|known| known == layer.digest.to_string()) {
            self.images.remember_sent(&layer.own, &layer.digest, layer.size, &self.repository)?;
        }
        Ok(())
    }
}

fn mismatch() -> ApiError {
    ApiError::internal("layers from manifest don't match image configuration")
}
