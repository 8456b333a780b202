//! `docker system df`: what images, containers and volumes take of the disk.

use super::{images, list, volumes};
use crate::aside::aside;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::json::Json;
use axum::extract::State;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// `GET /system/df`.
pub async fn df(State(engine): State<Arc<Engine>>) -> Result<Json<Value>, ApiError> {
    let containers = list::all_with_sizes(&engine).await;
    let measured = aside(move || {
        let (layers, images) = of_images(&engine);
        Ok(json!({
            "LayersSize": layers, "Images": images, "Containers": containers, "Volumes": of_volumes(&engine),
            "BuildCache": null, "BuilderSize": 0,
        }))
    });
    measured.await.map(Json)
}

/// The bytes of all layers, each counted once, and the images, each with what it shares with others and how many
/// containers were made from it.
fn of_images(engine: &Engine) -> (u64, Vec<Value>) {
    let mut users: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let all = engine.images.all();
    for image in &all {
        for layer in &image.layers {
            users.entry(layer.to_string()).or_default().insert(image.id.clone());
        }
    }
    let (mut bytes, mut seen) = (0, BTreeSet::new());
    let mut shared: BTreeMap<&str, u64> = BTreeMap::new();
    for image in &all {
        for layer in &image.layers {
            let size = engine.images.layer_bytes(layer);
            let name = layer.to_string();
            if users.get(&name).is_some_and(|users| users.len() > 1) {
                *shared.entry(&image.id).or_default() += size;
            }
            if seen.insert(name) {
                bytes += size;
            }
        }
    }
    let mut listed = images::all(engine);
    for document in &mut listed {
        let id = document["Id"].as_str().unwrap_or_default().to_owned();
        let containers = engine.all().iter().filter(|container| container.image.id == id).count();
        document["Containers"] = json!(containers);
        document["SharedSize"] = json!(shared.get(id.as_str()).copied().unwrap_or(0));
    }
    (bytes, listed)
}

fn of_volumes(engine: &Engine) -> Vec<Value> {
    let one = |volume: &crate::volume::Volume| {
        let mut document = volumes::document(engine, volume);
        let holders = engine.volumes.holders(&volume.name).len();
        document["UsageData"] = json!({ "RefCount": holders, "Size": engine.volumes.size(&volume.name) });
        document
    };
    engine.volumes.all().iter().map(|volume| one(volume)).collect()
}
