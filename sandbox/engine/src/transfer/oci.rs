//! Manifests and indexes, OCI's and Docker's: they differ in their media types only.

use super::platform::Platform;
use crate::image::Digest;
use serde::Deserialize;
use std::collections::BTreeMap;

/// One image.
pub const MANIFESTS: [&str; 2] =
    ["application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json"];

/// Several.
pub const INDEXES: [&str; 2] =
    ["application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.oci.image.index.v1+json"];

/// As many entries as anybody has; each costs memory.
const ENTRIES_MAX: usize = 1024;

/// A pointer to a document or a layer.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub digest: String,
    #[serde(default)]
    pub size: u64,
    #[serde(default)]
    pub platform: Option<Platform>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Its digest, checked.
    pub fn checked(&self) -> Result<Digest, String> {
        Digest::parse(&self.digest).ok_or_else(|| format!("invalid digest {:?}", self.digest))
    }
}

/// What a document turned out to be.
#[derive(Debug)]
pub enum Document {
    /// One image: configuration and layers, bottom first.
    Manifest { config: Descriptor, layers: Vec<Descriptor> },
    /// Several.
    Index(Vec<Descriptor>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    schema_version: u32,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

impl Document {
    /// Parses one. A document that could be taken for both is refused: two parties could see two different images in it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let raw: Raw = serde_json::from_slice(bytes).map_err(|error| format!("invalid manifest: {error}"))?;
        if raw.schema_version != 2 {
            return Err(format!("manifests of schema version {} are not supported", raw.schema_version));
        }
        match (raw.config, raw.layers, raw.manifests) {
            (Some(config), layers, None) => {
                let layers = layers.unwrap_or_default();
                match layers.len() {
                    0..=ENTRIES_MAX => Ok(Self::Manifest { config, layers }),
                    count => Err(format!("a manifest of {count} layers")),
                }
            }
            (None, None, Some(manifests)) if manifests.len() <= ENTRIES_MAX => Ok(Self::Index(manifests)),
            _ => Err("invalid manifest: it is neither of one image nor of several".into()),
        }
    }
}

/// The entry of an index that is for a platform.
pub fn choose<'a>(entries: &'a [Descriptor], wanted: &Platform) -> Option<&'a Descriptor> {
    let exact = entries.iter().find(|entry| entry.platform.as_ref() == Some(wanted));
    let fits = |entry: &&Descriptor| entry.platform.as_ref().is_some_and(|platform| wanted.takes(platform));
    exact.or_else(|| entries.iter().find(fits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_are_told_apart_by_what_they_hold() {
        let digest = Digest::of(b"").to_string();
        let parse = |value: serde_json::Value| Document::parse(value.to_string().as_bytes());
        let one = json!({"schemaVersion": 2, "config": {"digest": digest}, "layers": []});
        assert!(matches!(parse(one.clone()), Ok(Document::Manifest { .. })));
        assert!(matches!(parse(json!({"schemaVersion": 2, "manifests": []})), Ok(Document::Index(_))));
        let mut both = one;
        both["manifests"] = json!([]);
        for bad in
            [both, json!({"schemaVersion": 2}), json!({"schemaVersion": 1, "manifests": []}), json!([])]
        {
            assert!(parse(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_machine_s_own_image_is_chosen() {
        let entry = |os: &str, architecture: &str| json!({"digest": format!("{os}/{architecture}"), "platform": {"os": os, "architecture": architecture}});
        let entries: Vec<Descriptor> = serde_json::from_value(json!([
            entry("unknown", "unknown"),
            entry("linux", "s390x"),
            entry("linux", "amd64"),
            {"digest": "none"},
        ]))
        .unwrap();
        let wanted = Platform::parse("linux/amd64").unwrap();
        assert_eq!(choose(&entries, &wanted).unwrap().digest, "linux/amd64");
        assert!(choose(&entries, &Platform::parse("linux/arm64").unwrap()).is_none());
    }
}
