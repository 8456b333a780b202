//! The manifest that a push leaves, to the byte as Docker writes it: its digest and its length are what people compare.

use super::oci::MANIFESTS;
use crate::image::{Compression, Digest};
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// Docker's own manifests know no zstd.
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const OCI_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// A layer as the registry has it.
#[derive(Clone, Debug)]
pub struct Blob {
    pub digest: Digest,
    pub bytes: u64,
    pub compression: Compression,
}

/// The order of the fields is that of the bytes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: &'static str,
    config: Item,
    layers: Vec<Item>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    media_type: &'static str,
    size: u64,
    digest: String,
}

/// The manifest of an image and its media type: Docker's, or OCI's where there is a layer that Docker's cannot name.
pub fn manifest(
    config: &Digest,
    config_bytes: u64,
    layers: &[Blob],
) -> Result<(Vec<u8>, &'static str), serde_json::Error> {
    let [docker, oci] = MANIFESTS;
    let is_oci = layers.iter().any(|layer| layer.compression == Compression::Zstd);
    let (media_type, config_type) = if is_oci { (oci, OCI_CONFIG) } else { (docker, CONFIG) };
    let item = |layer: &Blob| {
        let media_type = match layer.compression {
            Compression::Zstd => OCI_ZSTD,
            _ if is_oci => OCI_LAYER,
            _ => LAYER,
        };
        Item { media_type, size: layer.bytes, digest: layer.digest.to_string() }
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type,
        config: Item { media_type: config_type, size: config_bytes, digest: config.to_string() },
        layers: layers.iter().map(item).collect(),
    };
    let mut bytes = vec![];
    manifest.serialize(&mut Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"   ")))?;
    Ok((bytes, media_type))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn blob(compression: Compression) -> Blob {
        Blob { digest: Digest::of(b"l"), bytes: 5, compression }
    }

    #[test]
    fn a_manifest_is_docker_s_to_the_byte() {
        let (bytes, _) = manifest(&Digest::of(b"c"), 3, &[blob(Compression::Gzip)]).unwrap();
        let wanted = r#"{
   "schemaVersion": 2,
   "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
   "config": {
      "mediaType": "application/vnd.docker.container.image.v1+json",
      "size": 3,
      "digest": "CONFIG"
   },
   "layers": [
      {
         "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
         "size": 5,
         "digest": "LAYER"
      }
   ]
}"#;
        let wanted = wanted.replace("CONFIG", &Digest::of(b"c").to_string());
        let wanted = wanted.replace("LAYER", &Digest::of(b"l").to_string());
        assert_eq!(String::from_utf8(bytes).unwrap(), wanted);
    }

    #[test]
    fn a_manifest_is_docker_s_unless_it_cannot_be() {
        let types = |layers: &[Blob]| {
            let (bytes, media_type) = manifest(&Digest::of(b"c"), 3, layers).unwrap();
            let value: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(value["mediaType"], media_type);
            (media_type, value["layers"][0]["mediaType"].as_str().unwrap().to_owned())
        };
        assert_eq!(types(&[blob(Compression::Gzip)]), (MANIFESTS[0], LAYER.into()));
        assert_eq!(
            types(&[blob(Compression::Gzip), blob(Compression::Zstd)]),
            (MANIFESTS[1], OCI_LAYER.into())
        );
        assert_eq!(types(&[blob(Compression::Zstd)]).1, OCI_ZSTD);
    }
}
