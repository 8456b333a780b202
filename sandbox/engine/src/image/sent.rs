//! What is known of layers in registries: the blob that a layer is there, and in which repositories it was seen. A push need
//! not send such a layer again, and one repository can take it from another.

use serde::{Deserialize, Serialize};

/// Of more repositories than this, those seen last are remembered: they are the likeliest to have the layer still.
pub const REPOSITORIES_MAX: usize = 16;

/// A layer as registries have it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The digest of its blob, `sha256:…`.
    pub digest: String,
    /// How long that is.
    pub size_bytes: u64,
    /// Where it was seen, as `registry/path`; the last one last.
    pub repositories: Vec<String>,
}

impl Sent {
    /// It was seen there just now.
    pub fn see(&mut self, repository: &str) {
        self.repositories.retain(|known| known != repository);
        self.repositories.push(repository.to_owned());
        let too_many = self.repositories.len().saturating_sub(REPOSITORIES_MAX);
        self.repositories.drain(..too_many);
    }
}
