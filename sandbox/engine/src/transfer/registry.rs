//! A repository of a registry, spoken to through `oci-client`.
//!
//! A registry on the loopback device is spoken to over plain HTTP, as Docker does with registries that it calls insecure;
//! any other over TLS.

use super::oci::{INDEXES, MANIFESTS};
use super::refusal::{Asker, Kind, Refusal};
use crate::error::ApiError;
use crate::image::{DOCKER_HUB, Digest, Reference};
use axum::http::{HeaderValue, StatusCode};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{DigestError, OciDistributionError as Failure};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference as Name, RegistryOperation};
use std::io;
use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How long a connection may take. Docker waits for half a minute.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(30);

/// How long a registry may say nothing at all.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// A manifest is a few KiB; Docker's own registry takes at most 4 MiB.
const MANIFEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a person has logged in with.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Credentials {
    pub username: String,
    pub password: String,
    pub identitytoken: String,
    pub registrytoken: String,
    pub serveraddress: String,
}

impl Credentials {
    fn auth(&self) -> RegistryAuth {
        match self {
            Self { registrytoken, .. } if !registrytoken.is_empty() => {
                RegistryAuth::Bearer(registrytoken.clone())
            }
            Self { username, password, .. } if !username.is_empty() => {
                RegistryAuth::Basic(username.clone(), password.clone())
            }
            _ => RegistryAuth::Anonymous,
        }
    }
}

/// One repository of a registry.
pub struct Registry {
    client: Client,
    name: Name,
    auth: RegistryAuth,
    /// What is asked for.
    reference: Reference,
    /// Whether the registry has given a token.
    has_token: AtomicBool,
}

impl Registry {
    /// Makes ready to speak to the registry of a name. Nothing is sent yet.
    pub fn new(reference: &Reference, credentials: &Credentials) -> Result<Self, ApiError> {
        // A second time it is there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let insecure = is_loopback(reference.registry());
        let config = ClientConfig {
            protocol: if insecure { ClientProtocol::Http } else { ClientProtocol::Https },
            // Nobody asks for certificates over plain HTTP; and a lab host that has none can speak to its own registry.
            accept_invalid_certificates: insecure,
            connect_timeout: Some(CONNECT_TIME_MAX),
            read_timeout: Some(SILENCE_MAX),
            user_agent: concat!("isolab/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config)
            .map_err(|error| ApiError::internal(format!("preparing to speak to a registry: {error}")))?;
        Ok(Self {
            client,
            name: name_of(reference),
            auth: credentials.auth(),
            reference: reference.clone(),
            has_token: AtomicBool::new(false),
        })
    }

    /// Makes sure that there is a registry, and that one may pull: a pull begins with this.
    pub async fn log_in_to_pull(&self) -> Result<(), ApiError> {
        let done = self.log_in_to(RegistryOperation::Pull).await;
        done.map_err(|refusal| refusal.of_pull(&self.reference, &format!("Get \"{}/v2/\"", self.address())))
    }

    /// Makes sure that there is a registry, and that one may push: a push begins with this.
    pub async fn log_in_to_push(&self) -> Result<(), Refusal> {
        self.log_in_to(RegistryOperation::Push).await
    }

    async fn log_in_to(&self, operation: RegistryOperation) -> Result<(), Refusal> {
        let token = self.client.auth(&self.name, &self.auth, operation).await;
        self.has_token.store(token.map_err(|error| self.told(error))?.is_some(), Relaxed);
        Ok(())
    }

    /// `https://registry`.
    fn address(&self) -> String {
        let scheme = if is_loopback(self.reference.registry()) { "http" } else { "https" };
        format!("{scheme}://{}", self.name.resolve_registry())
    }

    /// The names of all tags.
    pub async fn tags(&self) -> Result<Vec<String>, ApiError> {
        let listed = self.client.list_tags(&self.name, &self.auth, None, None).await;
        let request = || format!("Get \"{}/v2/{}/tags/list\"", self.address(), self.reference.path());
        let listed = listed.map_err(|error| self.told(error).of_pull(&self.reference, &request()))?;
        Ok(listed.tags)
    }

    /// The manifest, or index, of a name in the repository.
    pub async fn manifest(&self, reference: &Reference) -> Result<(Vec<u8>, Digest), ApiError> {
        self.manifest_of(&name_of(reference)).await
    }

    /// A manifest by its digest.
    pub async fn manifest_by(&self, digest: &Digest) -> Result<Vec<u8>, ApiError> {
        self.manifest_of(&self.name.clone_with_digest(digest.to_string())).await.map(|(bytes, _)| bytes)
    }

    async fn manifest_of(&self, name: &Name) -> Result<(Vec<u8>, Digest), ApiError> {
        let accepted = [MANIFESTS, INDEXES].concat();
        let pulled = self.client.pull_manifest_raw(name, &self.auth, &accepted).await;
        let (bytes, _) = pulled.map_err(|error| {
            // Docker asks for the digest of a tag first.
            let (method, which) = match (name.digest(), name.tag()) {
                (Some(digest), _) => ("Get", digest),
                (None, tag) => ("Head", tag.unwrap_or_default()),
            };
            let request =
                format!("{method} \"{}/v2/{}/manifests/{which}\"", self.address(), self.reference.path());
            self.told(error).of_pull(&self.reference, &request)
        })?;
        let digest = Digest::of(&bytes);
        let wanted = name.digest().and_then(Digest::parse);
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(ApiError::internal(format!("a manifest of {} bytes", bytes.len())));
        }
        // Whatever the registry says: this is what was asked for, or it is not taken.
        match wanted {
            Some(wanted) if wanted != digest => Err(ApiError::internal(format!(
                "image verification failed for digest {wanted}: the registry sent {digest}"
            ))),
            _ => Ok((bytes.to_vec(), digest)),
        }
    }

    /// A layer as it comes. Its digest is checked at the end of the stream: an error there means that it was another.
    pub async fn layer(
        &self,
        digest: &Digest,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>, ApiError> {
        self.blob(digest, "filesystem layer").await
    }

    async fn blob(
        &self,
        digest: &Digest,
        what: &'static str,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>, ApiError> {
        let (text, digest) = (digest.to_string(), digest.clone());
        let stream = self.client.pull_blob_stream(&self.name, text.as_str()).await;
        let stream = stream.map_err(|error| self.told(error))?;
        Ok(stream.map(move |piece| piece.map_err(|error| unverified(error, what, &digest))).boxed())
    }

    /// A small blob, as a whole.
    pub async fn document(&self, digest: &Digest, bytes_max: u64) -> Result<Vec<u8>, ApiError> {
        let what = "image config";
        let mut stream = self.blob(digest, what).await?;
        let mut bytes = vec![];
        while let Some(piece) = stream.next().await {
            bytes.extend_from_slice(&piece?);
            if bytes.len() as u64 > bytes_max {
                return Err(ApiError::internal(format!(
                    "the configuration {digest} has more than {bytes_max} bytes"
                )));
            }
        }
        match Digest::of(&bytes) == *digest {
            true => Ok(bytes),
            false => Err(ApiError::internal(format!("{what} verification failed for digest {digest}"))),
        }
    }

    /// Whether the repository has a blob.
    pub async fn has(&self, digest: &Digest) -> Result<bool, Refusal> {
        self.client.blob_exists(&self.name, &digest.to_string()).await.map_err(|error| self.told(error))
    }

    /// Has the repository take a blob from another one of the registry. It may not, for any reason: then the blob is sent.
    pub async fn mount(&self, digest: &Digest, path: &str) -> bool {
        let source = Name::with_tag(self.name.registry().to_owned(), path.to_owned(), "latest".to_owned());
        self.client.mount_blob(&self.name, &source, &digest.to_string()).await.is_ok()
    }

    /// Sends a blob.
    pub async fn send(
        &self,
        digest: &Digest,
        size: u64,
        stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), Refusal> {
        let stream = stream.map(|piece| piece.map_err(Failure::from));
        let sent = self.client.push_blob_stream(&self.name, stream, &digest.to_string(), Some(size)).await;
        sent.map(drop).map_err(|error| self.told(error))
    }

    /// Sends a manifest under a name in the repository.
    pub async fn send_manifest(
        &self,
        reference: &Reference,
        bytes: Vec<u8>,
        media_type: &'static str,
    ) -> Result<(), Refusal> {
        let media_type = HeaderValue::from_static(media_type);
        let sent = self.client.push_manifest_raw(&name_of(reference), bytes, media_type).await;
        sent.map(drop).map_err(|error| self.told(error))
    }

    /// Whether credentials are taken (`docker login`). Only what has to do with them is an error.
    pub async fn log_in(&self) -> Result<(), ApiError> {
        let address = self.address();
        let unauthorized = |message| ApiError { status: StatusCode::UNAUTHORIZED, message };
        self.log_in_to(RegistryOperation::Pull).await.map_err(|refusal| match refusal.kind {
            Kind::Unreached => ApiError::internal(ApiError::from(refusal).message),
            _ => unauthorized(format!("Get \"{address}/v2/\": {}", ApiError::from(refusal))),
        })?;
        // A password is only looked at with a request; whether there is such an image does not matter.
        let accepted = [MANIFESTS, INDEXES].concat();
        let asked = self.client.pull_manifest_raw(&self.name, &self.auth, &accepted).await;
        match asked.map_err(|error| self.told(error).kind) {
            Err(Kind::Unauthorized | Kind::NoCredentials) => Err(unauthorized(format!(
                "login attempt to {address}/v2/ failed with status: 401 Unauthorized"
            ))),
            _ => Ok(()),
        }
    }

    fn told(&self, failure: Failure) -> Refusal {
        let asker = match (&self.auth, self.has_token.load(Relaxed)) {
            (_, true) => Asker::Bearer,
            (RegistryAuth::Anonymous, _) => Asker::Nobody,
            _ => Asker::Person,
        };
        Refusal::of(failure, asker)
    }
}

/// A name as the library wants it.
fn name_of(reference: &Reference) -> Name {
    let registry = if reference.registry() == DOCKER_HUB { "docker.io" } else { reference.registry() };
    let (registry, path) = (registry.to_owned(), reference.path().to_owned());
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => Name::with_digest(registry, path, digest.to_string()),
        (None, tag) => Name::with_tag(registry, path, tag.unwrap_or("latest").to_owned()),
    }
}

/// What the library says of a blob with another digest, in Docker's words.
fn unverified(error: io::Error, what: &str, digest: &Digest) -> io::Error {
    match error.get_ref().is_some_and(|inner| inner.is::<DigestError>()) {
        true => io::Error::other(format!("{what} verification failed for digest {digest}")),
        false => error,
    }
}

/// Whether a registry is on this very machine, and so is spoken to over plain HTTP.
pub fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|c| c.is_ascii_digit()) => host,
        _ => registry,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_plain() {
        for own in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"] {
            assert!(is_loopback(own), "{own}");
        }
        for other in
            ["docker.io", "10.0.0.1:5000", "localhost.example", "127.0.0.1.example:80", "registry:5000"]
        {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
