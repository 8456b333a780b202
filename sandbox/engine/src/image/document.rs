//! One image: its configuration document, parsed once. The document's digest is the image's id, so it is kept to the byte.

use super::digest::{Digest, chain_id};
use bollard_stubs::models::ImageConfig;
use serde_json::Value;

/// A larger configuration is no image's: those of large images have some 20 KiB.
pub const DOCUMENT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// As many layers as Docker takes: overlayfs could stack more.
pub const LAYERS_MAX: usize = 125;

/// One image. Its names are the store's affair: they change, an image does not.
#[derive(Clone, Debug)]
pub struct Image {
    /// `sha256:` and 64 hex digits: the digest of its configuration.
    pub id: String,
    /// The same.
    pub digest: Digest,
    /// Diff ids, bottom first, as in the OCI configuration.
    pub layers: Vec<Digest>,
    /// The OCI configuration as it is.
    pub document: Value,
    /// Its `config` part: what a container inherits.
    pub config: ImageConfig,
    /// RFC 3339; empty where the configuration does not tell.
    pub created: String,
    bytes: Vec<u8>,
}

impl Image {
    /// Parses a configuration. The error says what is wrong with it.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
            return Err(format!("a configuration of {} bytes is larger than any image's", bytes.len()));
        }
        let document: Value = serde_json::from_slice(&bytes)
            .map_err(|error| format!("invalid image configuration: {error}"))?;
        let Some(Value::Array(diff_ids)) = document.pointer("/rootfs/diff_ids") else {
            return Err("invalid image JSON, no RootFS key".into());
        };
        if diff_ids.len() > LAYERS_MAX {
            return Err("max depth exceeded".into());
        }
        let layer = |id: &Value| {
            let digest = id.as_str().and_then(Digest::parse);
            digest.ok_or_else(|| format!("invalid image configuration: {id} is no diff id"))
        };
        let layers = diff_ids.iter().map(layer).collect::<Result<Vec<_>, _>>()?;
        let config = match document.get("config") {
            Some(config) if !config.is_null() => serde_json::from_value(config.clone())
                .map_err(|error| format!("invalid image configuration: config: {error}"))?,
            _ => ImageConfig::default(),
        };
        let created = document["created"].as_str().unwrap_or_default().to_owned();
        let digest = Digest::of(&bytes);
        Ok(Self { id: digest.to_string(), digest, layers, document, config, created, bytes })
    }

    /// The configuration to the byte.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A word of the configuration: `architecture`, `os`, `author`.
    pub fn property(&self, name: &str) -> &str {
        self.document[name].as_str().unwrap_or_default()
    }

    /// The steps that the configuration tells of, oldest first, each with its layer if it made one.
    pub fn history(&self) -> Vec<(&Value, Option<&Digest>)> {
        let mut layers = self.layers.iter();
        let steps = self.document["history"].as_array().map(Vec::as_slice).unwrap_or_default();
        let made = |step: &Value| step["empty_layer"].as_bool() != Some(true);
        steps.iter().map(|step| (step, if made(step) { layers.next() } else { None })).collect()
    }

    /// The chain ids of its stacks of layers, topmost first: what Docker tells of when it deletes them.
    pub fn chains(&self) -> Vec<Digest> {
        (1..=self.layers.len()).rev().filter_map(|height| chain_id(&self.layers[..height])).collect()
    }

    /// Twelve digits, as tables show it.
    pub fn short_id(&self) -> &str {
        &self.digest.hex()[..12]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_configuration_is_kept_to_the_byte() {
        let text = format!(r#"{{ "rootfs" : {{"type":"layers","diff_ids":["{}"]}} }}"#, Digest::of(b"l"));
        let image = Image::parse(text.clone().into_bytes()).unwrap();
        assert_eq!(image.bytes(), text.as_bytes());
        assert_eq!(image.id, Digest::of(text.as_bytes()).to_string());
        assert_eq!(image.chains(), [Digest::of(b"l")]);
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        let parse = |value: Value| Image::parse(value.to_string().into_bytes());
        for bad in [
            json!({}),
            json!([]),
            json!({"rootfs": {"diff_ids": ["../../etc"]}}),
            json!({"rootfs": {"diff_ids": [1]}}),
            json!({"rootfs": {"diff_ids": []}, "config": {"Cmd": 5}}),
            json!({"rootfs": {"diff_ids": vec![Digest::of(b"").to_string(); LAYERS_MAX + 1]}}),
        ] {
            assert!(parse(bad.clone()).is_err(), "{bad}");
        }
        assert!(Image::parse(b"{".to_vec()).is_err());
        assert!(parse(json!({"rootfs": {"diff_ids": []}, "config": null})).is_ok());
    }

    #[test]
    fn empty_steps_take_no_layer() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let document = json!({
            "rootfs": {"diff_ids": [a.to_string(), b.to_string()]},
            "history": [{"created_by": "1"}, {"created_by": "2", "empty_layer": true}, {"created_by": "3"}, {}],
        });
        let image = Image::parse(document.to_string().into_bytes()).unwrap();
        let layers: Vec<_> = image.history().into_iter().map(|(_, layer)| layer.cloned()).collect();
        assert_eq!(layers, [Some(a), None, Some(b), None]);
    }
}
