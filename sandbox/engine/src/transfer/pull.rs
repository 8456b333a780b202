//! `docker pull`: an image, or all of a repository, comes from a registry. Nothing of it is believed before its digest is
//! right: the manifest's is the one that was asked for or is told, the manifest names the others, and the configuration those
//! of the layers' content.

use super::fetch::Fetching;
use super::oci::{Descriptor, Document, choose};
use super::outlet::Outlet;
use super::platform::Platform;
use super::registry::{Credentials, Registry, is_loopback};
use crate::error::ApiError;
use crate::image::{DOCUMENT_BYTES_MAX, Digest, Image, Images, Reference};
use crate::progress::Lines;
use axum::http::StatusCode;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// An index points to manifests; one that points to indexes is followed this far.
const NESTED_MAX: usize = 4;

/// A pull that has begun: the registry has what is asked for.
pub struct Pull {
    registry: Registry,
    reference: Reference,
    platform: Platform,
    /// What is pulled: the name itself, or each tag of the repository.
    names: Vec<Reference>,
    /// What the first of them stands for: a document, and its digest.
    first: Option<(Vec<u8>, Digest)>,
}

impl Pull {
    /// Asks the registry of a name what it stands for. A name alone stands for all tags.
    pub async fn begin(
        reference: &Reference,
        platform: Platform,
        credentials: &Credentials,
    ) -> Result<Self, ApiError> {
        let registry = Registry::new(reference, credentials)?;
        registry.log_in_to_pull().await?;
        let names = match reference.is_name_only() {
            true => {
                let tags = registry.tags().await?;
                let tags = tags.iter().map(|tag| reference.with_tag(tag));
                tags.collect::<Result<_, _>>().map_err(ApiError::internal)?
            }
            false => vec![reference.clone()],
        };
        let first = match names.first() {
            Some(name) => Some(registry.manifest(name).await?),
            None => None,
        };
        Ok(Self { registry, reference: reference.clone(), platform, names, first })
    }

    /// Fetches what is not here, telling of each step.
    pub async fn run(
        mut self,
        images: &Arc<Images>,
        data_root: &Path,
        lines: &mut Lines<Outlet>,
    ) -> Result<(), ApiError> {
        let mut is_new = false;
        for name in &self.names {
            let (bytes, digest) = match self.first.take() {
                Some(first) => first,
                None => self.registry.manifest(name).await?,
            };
            // Docker tells a tag alone, but the whole name with a digest.
            let shown = name.tag().map_or_else(|| name.familiar(), str::to_owned);
            let header = format!("Pulling from {}", name.path());
            lines.send(&json!({ "status": header, "id": shown }))?;
            let image = self.fetch(bytes, images, data_root, lines).await?;
            lines.status(format!("Digest: {digest}"))?;
            let known = images.find(&name.familiar()).is_ok_and(|known| known.id == image.id);
            images.tag(&image.id, &name.with_digest(digest))?;
            if !known && name.digest().is_none() {
                images.tag(&image.id, name)?;
            }
            is_new |= !known;
        }
        let outcome = if is_new { "Downloaded newer image for" } else { "Image is up to date for" };
        lines.status(format!("Status: {outcome} {}", self.reference.shown()))?;
        Ok(())
    }

    /// The image of a document. One that is here already is not told of.
    async fn fetch(
        &self,
        document: Vec<u8>,
        images: &Arc<Images>,
        data_root: &Path,
        lines: &mut Lines<Outlet>,
    ) -> Result<Arc<Image>, ApiError> {
        let (config, layers) = self.manifest(document).await?;
        if let Ok(image) = images.find(&config.to_string()) {
            return Ok(image);
        }
        let document = self.registry.document(&config, DOCUMENT_BYTES_MAX).await;
        let document = document.map_err(|error| error.while_doing("error pulling image configuration"))?;
        let document = images.known_again(document);
        let image = Image::parse(document.clone()).map_err(ApiError::internal)?;
        if let Ok(image) = images.find(&image.id) {
            return Ok(image);
        }
        check(&image, &layers)?;
        let repository = self.reference.repository();
        let fetching = Fetching::new(images, &self.registry, repository, data_root, lines.clone())?;
        let held = fetching.layers(&image, &layers).await?;
        let image = images.create(document, None)?;
        drop(held);
        Ok(image)
    }

    /// The manifest of one image: the document itself, or the one for the platform that an index names.
    async fn manifest(&self, mut document: Vec<u8>) -> Result<(Digest, Vec<Descriptor>), ApiError> {
        let platform = &self.platform;
        for _ in 0..NESTED_MAX {
            match Document::parse(&document).map_err(ApiError::internal)? {
                Document::Manifest { config, layers } => {
                    return Ok((config.checked().map_err(ApiError::internal)?, layers));
                }
                Document::Index(entries) => {
                    let missing = || {
                        ApiError::not_found(format!(
                            "no matching manifest for {platform} in the manifest list entries"
                        ))
                    };
                    let chosen = choose(&entries, platform).ok_or_else(missing)?;
                    let digest = chosen.checked().map_err(ApiError::internal)?;
                    document = self.registry.manifest_by(&digest).await?;
                }
            }
        }
        Err(ApiError::internal("the registry's indexes are nested too deep"))
    }
}

fn check(image: &Image, layers: &[Descriptor]) -> Result<(), ApiError> {
    if image.property("os") != "linux" {
        let message =
            format!("image operating system {:?} cannot be used on this platform", image.property("os"));
        return Err(ApiError::internal(message));
    }
    match image.layers.len() == layers.len() {
        true => Ok(()),
        false => Err(ApiError::internal("layers from manifest don't match image configuration")),
    }
}

/// Whether an error says that there is no way to a registry, as in a lab, which has images of its own instead. There is one
/// to the machine's own.
pub fn is_out_of_reach(images: &Images, reference: &Reference, error: &ApiError) -> bool {
    error.status == StatusCode::BAD_GATEWAY && images.has_shared() && !is_loopback(reference.registry())
}

/// Why an image cannot be had. In a lab that has no way to its registry, that is told with what can be had.
pub fn why_not(images: &Images, reference: &Reference, error: ApiError) -> ApiError {
    if is_out_of_reach(images, reference, &error) {
        return ApiError::not_found(images.out_of_reach(&reference.name()));
    }
    // That there was no answer is told as any other failure.
    let status = match error.status {
        StatusCode::BAD_GATEWAY => StatusCode::INTERNAL_SERVER_ERROR,
        status => status,
    };
    ApiError { status, ..error }
}
