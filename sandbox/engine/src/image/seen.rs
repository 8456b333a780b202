//! What the store remembers of layers in registries: see [`super::sent`].

use super::digest::Digest;
use super::sent::Sent;
use super::store::Images;
use crate::error::ApiError;

impl Images {
    /// What is known of a layer in registries.
    pub fn sent(&self, layer: &Digest) -> Option<Sent> {
        self.state().tags.sent.get(&layer.to_string()).cloned()
    }

    /// A repository has a layer as this blob.
    pub fn remember_sent(
        &self,
        layer: &Digest,
        blob: &Digest,
        size_bytes: u64,
        repository: &str,
    ) -> Result<(), ApiError> {
        self.change(|state| {
            let sent = state.tags.sent.entry(layer.to_string()).or_default();
            // Another blob was seen elsewhere: nothing says that this one is there too.
            if sent.digest != blob.to_string() {
                *sent = Sent { digest: blob.to_string(), size_bytes, repositories: vec![] };
            }
            sent.see(repository);
            Ok(())
        })
    }

    /// A repository no longer has a layer.
    pub fn forget_sent(&self, layer: &Digest, repository: &str) -> Result<(), ApiError> {
        self.change(|state| {
            if let Some(sent) = state.tags.sent.get_mut(&layer.to_string()) {
                sent.repositories.retain(|known| known != repository);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::sent::REPOSITORIES_MAX;
    use super::*;

    #[test]
    fn the_repositories_seen_last_are_remembered_across_a_restart() {
        let data = tempfile::tempdir().unwrap();
        let open = || Images::open(None, data.path()).unwrap();
        let images = open();
        let new = images.new_layer().unwrap();
        let layer = Digest::of(b"layer");
        let held = images.finish_layer(new, layer.clone(), Default::default()).unwrap();
        let blob = Digest::of(b"blob");
        for number in 0..=REPOSITORIES_MAX {
            images.remember_sent(&layer, &blob, 5, &format!("r/{number}")).unwrap();
        }
        images.remember_sent(&layer, &blob, 5, "r/1").unwrap();
        images.forget_sent(&layer, "r/2").unwrap();
        let sent = open().sent(&layer).unwrap();
        assert_eq!((sent.digest.clone(), sent.size_bytes), (blob.to_string(), 5));
        assert_eq!(sent.repositories.len(), REPOSITORIES_MAX - 1);
        assert_eq!((&*sent.repositories[0], &*sent.repositories[14]), ("r/3", "r/1"));
        images.remember_sent(&layer, &Digest::of(b"other"), 6, "r/9").unwrap();
        assert_eq!(images.sent(&layer).unwrap().repositories, ["r/9"], "another blob is another matter");
        images.collect(&[]).unwrap();
        assert!(images.sent(&layer).is_some(), "the layer is held");
        drop(held);
        images.collect(&[]).unwrap();
        assert_eq!(images.sent(&layer), None);
    }
}
