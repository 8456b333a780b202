//! What a step leaves: an image with one more line of history; and the cache, which is nothing but the images there are.

use super::configuration::Configuration;
use crate::clock;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::image::{Held, Image};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::SystemTime;

/// What a packed directory with nothing in it has for a digest: a step that has changed no file makes no layer.
const EMPTY: &str = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

/// The configuration of the container that a step is, or would be, run in. By it the cache knows the step.
pub fn container_config(configuration: &Configuration, command: Vec<String>, runs: bool) -> Value {
    let mut config = configuration.config.clone();
    if runs && !command.is_empty() {
        config.entrypoint = None;
    }
    config.cmd = Some(command);
    json!(config)
}

/// Makes the image that a step leaves.
pub fn make(
    engine: &Engine,
    parent: Option<&Image>,
    configuration: &Configuration,
    container: (&str, Value),
    layer: Option<&Held>,
) -> Result<Arc<Image>, ApiError> {
    let now = clock::rfc3339(SystemTime::now());
    let layer = layer.filter(|layer| layer.digest.hex() != EMPTY);
    let property = |name: &str, own: &str| parent.map_or(own, |image| image.property(name)).to_owned();
    let mut layers: Vec<String> =
        parent.iter().flat_map(|image| &image.layers).map(ToString::to_string).collect();
    layers.extend(layer.map(|layer| layer.digest.to_string()));
    let words = container.1["Cmd"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut said = json!({ "created": now, "created_by": words.collect::<Vec<_>>().join(" ") });
    if layer.is_none() {
        said["empty_layer"] = json!(true);
    }
    let author = match configuration.author.as_str() {
        "" => property("author", ""),
        author => author.to_owned(),
    };
    if !configuration.author.is_empty() {
        said["author"] = json!(configuration.author);
    }
    let mut history =
        parent.and_then(|image| image.document["history"].as_array().cloned()).unwrap_or_default();
    history.push(said);
    let mut document = json!({
        "architecture": property("architecture", engine.machine.go_architecture()),
        "config": configuration.config,
        "container": container.0,
        "container_config": container.1,
        "created": now,
        "docker_version": env!("CARGO_PKG_VERSION"),
        "history": history,
        "os": property("os", "linux"),
        "rootfs": { "type": "layers", "diff_ids": layers },
    });
    if !author.is_empty() {
        document["author"] = json!(author);
    }
    engine.images.create(document.to_string().into_bytes(), parent.map(|image| image.id.as_str()))
}

/// Looks steps up among the images that there are.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    /// Whether a step was not found: those after it are not looked for.
    missed: bool,
    /// `--cache-from`: only these images and what they were made from count.
    sources: Option<Vec<String>>,
}

impl Cache {
    /// The cache of one stage.
    pub fn new(engine: &Engine, disabled: bool, from: &[String]) -> Self {
        let chain = |name: &String| {
            let image = engine.images.find(name).ok().map(|image| image.id.clone());
            std::iter::successors(image, |id| engine.images.parent_of(id)).collect::<Vec<_>>()
        };
        let sources = (!from.is_empty()).then(|| from.iter().flat_map(chain).collect());
        Self { missed: disabled, sources }
    }

    /// The image that this step has left before, if it is there.
    pub fn find(
        &mut self,
        engine: &Engine,
        parent: Option<&Image>,
        container_config: &Value,
    ) -> Option<Arc<Image>> {
        if self.missed {
            return None;
        }
        let parent = parent.map(|image| image.id.clone());
        let all = engine.images.all();
        let same = all.into_iter().filter(|image| {
            image.document.get("container_config") == Some(container_config)
                && engine.images.parent_of(&image.id) == parent
                && self.sources.as_ref().is_none_or(|ids| ids.contains(&image.id))
        });
        let found = same.max_by_key(|image| clock::parse_rfc3339(&image.created));
        self.missed = found.is_none();
        found
    }
}
