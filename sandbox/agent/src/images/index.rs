//! The list of container images that the recipe has made: `index.json`.
//!
//! The agent needs only the names of the layers; the rest is for the engine, which reads the same file.

use crate::refusal::{Kind, Refusal};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

/// The largest index that is read, in bytes; the recipe's own has about 10 KiB.
const INDEX_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The most layers of all images together: each becomes a mount of every lab.
const LAYERS_MAX: usize = 128;

/// `index.json`, as far as the agent reads it.
#[derive(Debug, Deserialize)]
pub struct Index {
    images: Vec<Image>,
}

#[derive(Debug, Deserialize)]
struct Image {
    layers: Vec<String>,
}

impl Index {
    /// Reads the index in this directory.
    pub fn read(images: &Path) -> Result<Self, Refusal> {
        let path = images.join("index.json");
        let broken = |why: String| {
            Refusal::new(Kind::Unavailable, format!("{} cannot be used: {why}.", path.display()))
                .mend("Build the images again: rm -r the directory it is in, then `make images`.")
        };
        let file = std::fs::File::open(&path).map_err(|e| broken(e.to_string()))?;
        let mut text = String::new();
        file.take(INDEX_BYTES_MAX).read_to_string(&mut text).map_err(|e| broken(e.to_string()))?;
        let index: Self = serde_json::from_str(&text).map_err(|e| broken(e.to_string()))?;
        let layers = index.layers();
        if layers.len() > LAYERS_MAX {
            return Err(broken(format!("it names {} layers, more than {LAYERS_MAX}", layers.len())));
        }
        match layers.iter().find(|layer| !is_digest(layer)) {
            Some(bad) => Err(broken(format!("\"{bad}\" is no layer's digest"))),
            None => Ok(index),
        }
    }

    /// The layers of all images, each once.
    pub fn layers(&self) -> BTreeSet<String> {
        self.images.iter().flat_map(|image| image.layers.iter().cloned()).collect()
    }
}

/// Whether this is the hexadecimal SHA-256 that names a layer, and so is safe in a path.
fn is_digest(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, wanted: Result<usize, &str>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("index.json"), json).unwrap();
        match (Index::read(dir.path()), wanted) {
            (Ok(index), Ok(count)) => assert_eq!(index.layers().len(), count),
            (Err(refusal), Err(part)) => assert!(refusal.message.contains(part), "{}", refusal.message),
            (got, wanted) => panic!("{got:?}, wanted {wanted:?}"),
        }
    }

    #[test]
    fn an_index_names_its_layers_once_and_safely() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        check(&format!(r#"{{"images":[{{"layers":["{a}"]}},{{"tags":[],"layers":["{a}","{b}"]}}]}}"#), Ok(2));
        check(r#"{"images":[]}"#, Ok(0));
        check(r#"{"images":[{"layers":["../../etc"]}]}"#, Err("no layer's digest"));
        check("{", Err("cannot be used"));
    }
}
