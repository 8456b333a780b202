//! `docker push`: an image goes to a registry. A layer that came as an archive goes as it came; one that was packed here is
//! packed again. One that the repository has, or can take from another, is not sent.

use super::manifest::{Blob, manifest};
use super::outlet::Outlet;
use super::refusal::Kind;
use super::registry::Registry;
use super::scratch::Scratch;
use super::slots::Slots;
use crate::aside::aside;
use crate::body;
use crate::error::ApiError;
use crate::image::{Compression, Digest, Hashing, Image, Images, PortableLayer, Reference};
use crate::progress::{Lines, Pace};
use flate2::write::GzEncoder;
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use serde_json::json;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// As many layers go at once; the others wait. It is Docker's number.
const AT_ONCE_MAX: usize = 5;

/// A layer is asked for in as many other repositories before it is sent.
const MOUNTS_MAX: usize = 3;

/// A layer ready to go.
#[derive(Debug)]
struct Packed {
    path: PathBuf,
    blob: Blob,
}

/// Sends an image under a name with a tag, telling of each step.
pub async fn push(
    images: &Arc<Images>,
    image: Arc<Image>,
    reference: &Reference,
    registry: &Registry,
    data_root: &Path,
    lines: &mut Lines<Outlet>,
) -> Result<(), ApiError> {
    // What has to do with rights turns up with the first layer.
    let logged_in = registry.log_in_to_push().await;
    if let Err(refusal) = &logged_in
        && refusal.kind == Kind::Unreached
    {
        return Err(refusal.clone().into());
    }
    for layer in image.layers.iter().rev() {
        lines.of(short(layer), "Preparing")?;
    }
    logged_in?;
    let (own, working) = (Arc::clone(images), Arc::clone(&image));
    let portable = aside(move || own.portable(&working)).await?;
    let scratch = Arc::new(Scratch::new(data_root, "push")?);
    let pushing = Pushing { images, registry, reference, scratch, lines: lines.clone() };
    let layers = pushing.layers(&portable.layers).await?;
    let config = Digest::of(&portable.document);
    let config_bytes = portable.document.len() as u64;
    if !registry.has(&config).await? {
        let content = io::Result::Ok(bytes::Bytes::from(portable.document));
        registry.send(&config, config_bytes, futures_util::stream::iter([content])).await?;
    }
    let (manifest, media_type) = manifest(&config, config_bytes, &layers).map_err(io::Error::from)?;
    let (digest, size) = (Digest::of(&manifest), manifest.len());
    registry.send_manifest(reference, manifest, media_type).await?;
    let tag = reference.tag().unwrap_or_default();
    lines.status(format!("{tag}: digest: {digest} size: {size}"))?;
    images.tag(&image.id, &reference.with_digest(digest.clone()))?;
    let aux = json!({ "Tag": tag, "Digest": digest.to_string(), "Size": size });
    lines.send(&json!({ "progressDetail": {}, "aux": aux }))?;
    Ok(())
}

fn short(layer: &Digest) -> &str {
    &layer.hex()[..12]
}

struct Pushing<'a> {
    images: &'a Arc<Images>,
    registry: &'a Registry,
    reference: &'a Reference,
    scratch: Arc<Scratch>,
    lines: Lines<Outlet>,
}

impl Pushing<'_> {
    /// Sees to it that the repository has all layers, the topmost first. Returns them as it has them, the lowest first.
    async fn layers(&self, layers: &[PortableLayer]) -> Result<Vec<Blob>, ApiError> {
        let mut distinct: Vec<&PortableLayer> = vec![];
        for layer in layers.iter().rev() {
            if !distinct.iter().any(|known| known.own == layer.own) {
                distinct.push(layer);
            }
        }
        let slots = Slots::new(AT_ONCE_MAX);
        let blobs = try_join_all(distinct.iter().map(|layer| self.layer(layer, &slots))).await?;
        let blob_of = |layer: &PortableLayer| {
            let place = distinct.iter().position(|known| known.own == layer.own);
            place.and_then(|place| blobs.get(place)).cloned()
        };
        Ok(layers.iter().filter_map(blob_of).collect())
    }

    async fn layer(&self, layer: &PortableLayer, slots: &Slots) -> Result<Blob, ApiError> {
        let mut lines = self.lines.clone();
        let _turn = slots.turn(|| lines.of(short(&layer.own), "Waiting")).await?;
        let (blob, outcome) = match self.present(layer).await? {
            Some(present) => present,
            None => (self.send(layer).await?, "Pushed".to_owned()),
        };
        lines.of(short(&layer.own), &outcome)?;
        let repository = self.reference.repository();
        self.images.remember_sent(&layer.own, &blob.digest, blob.bytes, &repository)?;
        Ok(blob)
    }

    /// Finds a layer in the repository, or has it taken from another one. Docker, too, asks only for what it knows from a
    /// push or a pull of its own.
    async fn present(&self, layer: &PortableLayer) -> Result<Option<(Blob, String)>, ApiError> {
        let Some(sent) = self.images.sent(&layer.own) else { return Ok(None) };
        let Some(digest) = Digest::parse(&sent.digest) else { return Ok(None) };
        let archive = self.images.record(&layer.own).and_then(|(record, _)| record.archive);
        let compression = archive.map_or(Compression::Gzip, |archive| archive.compression);
        let blob = Blob { digest, bytes: sent.size_bytes, compression };
        if self.registry.has(&blob.digest).await? {
            return Ok(Some((blob, "Layer already exists".to_owned())));
        }
        let own = self.reference.repository();
        if sent.repositories.contains(&own) {
            self.images.forget_sent(&layer.own, &own)?;
        }
        for path in sources(&sent.repositories, self.reference) {
            if self.registry.mount(&blob.digest, path).await {
                return Ok(Some((blob, format!("Mounted from {path}"))));
            }
        }
        Ok(None)
    }

    async fn send(&self, layer: &PortableLayer) -> Result<Blob, ApiError> {
        let (images, scratch) = (Arc::clone(self.images), Arc::clone(&self.scratch));
        let working = layer.clone();
        let packed = aside(move || pack(&images, &working, scratch.path())).await?;
        let stream = told(&packed, self.lines.clone(), short(&layer.own).to_owned());
        self.registry.send(&packed.blob.digest, packed.blob.bytes, stream).await?;
        Ok(packed.blob)
    }
}

/// The paths of other repositories of the same registry: those that share more of their path first, and of these the one
/// that was seen last.
fn sources<'a>(repositories: &'a [String], target: &Reference) -> Vec<&'a str> {
    let own = target.repository();
    let alike = |path: &str| {
        let parts = path.split('/').zip(target.path().split('/'));
        parts.take_while(|(one, other)| one == other).count()
    };
    let others = repositories.iter().rev().filter(|other| **other != own);
    let prefix = format!("{}/", target.registry());
    let mut paths: Vec<&str> = others.filter_map(|other| other.strip_prefix(&prefix)).collect();
    paths.sort_by_key(|path| std::cmp::Reverse(alike(path)));
    paths.truncate(MOUNTS_MAX);
    paths
}

/// A layer as a file: the one that is kept, or a new one.
fn pack(images: &Images, layer: &PortableLayer, scratch: &Path) -> Result<Packed, ApiError> {
    if let Some((record, path)) = images.record(&layer.own)
        && let Some(archive) = record.archive
    {
        let digest = Digest::parse(&archive.digest)
            .ok_or_else(|| ApiError::internal(format!("the record of the layer {} is broken", layer.own)))?;
        let blob = Blob { digest, bytes: archive.size_bytes, compression: archive.compression };
        return Ok(Packed { path, blob });
    }
    let path = scratch.join(layer.own.hex());
    let out = Hashing::new(File::create(&path)?);
    let mut encoder = GzEncoder::new(out, flate2::Compression::fast());
    let (written, _) = images.write_layer(&layer.own, &mut encoder)?;
    if written != layer.digest {
        return Err(ApiError::internal(format!("the layer {} has changed meanwhile", layer.own)));
    }
    let (digest, bytes) = encoder.finish()?.finish();
    Ok(Packed { path, blob: Blob { digest, bytes, compression: Compression::Gzip } })
}

/// The bytes of a layer, told of while they go.
fn told(
    packed: &Packed,
    mut lines: Lines<Outlet>,
    shown: String,
) -> impl futures_util::Stream<Item = io::Result<bytes::Bytes>> + Send + 'static {
    let (path, total) = (packed.path.clone(), packed.blob.bytes);
    let body = body::written_by(move |out| io::copy(&mut File::open(&path)?, out).map(drop));
    let (mut sent, mut pace) = (0, Pace::default());
    body.into_data_stream().map(move |piece| {
        let piece = piece.map_err(io::Error::other)?;
        sent += piece.len() as u64;
        if pace.is_due(sent) {
            lines.far(&shown, "Pushing", sent, total)?;
        }
        Ok(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_asked_for_where_it_is_likeliest() {
        let target = Reference::parse("r.io/team/app").unwrap();
        let seen =
            ["r.io/team/old", "q.io/team/app", "r.io/other", "r.io/team/app", "r.io/team/new", "r.io/last"];
        let seen = seen.map(str::to_owned);
        assert_eq!(sources(&seen, &target), ["team/new", "team/old", "last"]);
        assert!(sources(&[], &target).is_empty());
    }
}
