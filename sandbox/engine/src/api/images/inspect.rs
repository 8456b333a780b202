//! `docker image inspect` and `docker history`.

use super::{names, seconds};
use crate::api::order;
use crate::aside::aside;
use crate::clock;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::image::Image;
use crate::json::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;

/// `GET /images/{name}/json`. Docker tells a missing image twice here, in two of its layers.
pub async fn inspect(engine: Arc<Engine>, name: &str) -> Result<Response, ApiError> {
    let told = |error: ApiError| match error.status {
        StatusCode::NOT_FOUND => error.while_doing(&format!("no such image: {name}")),
        _ => error,
    };
    let image = engine.images.find(name).map_err(told)?;
    let document = aside(move || document(&engine, &image)).await?;
    Ok(order::answer(&document, &order::IMAGE))
}

fn document(engine: &Engine, image: &Image) -> Result<Value, ApiError> {
    let (tags, digests) = names(&engine.images.names_of(&image.id));
    let comment = image.history().last().and_then(|(step, _)| step["comment"].as_str()).unwrap_or_default();
    let size = engine.images.image_bytes(image);
    let layers: Vec<_> = image.layers.iter().map(ToString::to_string).collect();
    let from = |key: &str| image.document[key].clone();
    let text = |key: &str| json!(image.property(key));
    let mut document = json!({
        "Id": image.id,
        "RepoTags": tags,
        "RepoDigests": digests,
        "Parent": engine.images.parent_of(&image.id).unwrap_or_default(),
        "Comment": image.document["comment"].as_str().unwrap_or(comment),
        "Created": if image.created.is_empty() { clock::NEVER } else { &image.created },
        "Container": text("container"),
        "ContainerConfig": configuration(&from("container_config")),
        "DockerVersion": text("docker_version"),
        "Author": text("author"),
        "Config": configuration(&from("config")),
        "Architecture": text("architecture"),
        "Os": text("os"),
        "Size": size,
        "VirtualSize": size,
        "GraphDriver": { "Name": "overlay2", "Data": directories(engine, image)? },
        "RootFS": { "Type": "layers", "Layers": layers },
        "Metadata": { "LastTagTime": engine.images.last_tagged(&image.id).unwrap_or(clock::NEVER.into()) },
    });
    for (key, field) in [("variant", "Variant"), ("os.version", "OsVersion")] {
        if let Some(value) = image.document[key].as_str().filter(|value| !value.is_empty()) {
            document[field] = json!(value);
        }
    }
    Ok(document)
}

/// A `Config` with every field that Docker writes; those that it leaves out where they are empty stay out.
fn configuration(given: &Value) -> Value {
    let mut whole = json!({
        "Hostname": "", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": false,
        "AttachStderr": false, "Tty": false, "OpenStdin": false, "StdinOnce": false, "Env": null, "Cmd": null,
        "Image": "", "Volumes": null, "WorkingDir": "", "Entrypoint": null, "OnBuild": null, "Labels": null,
    });
    for (key, value) in given.as_object().unwrap_or(&Map::new()) {
        if !value.is_null() {
            whole[key] = value.clone();
        }
    }
    whole
}

fn directories(engine: &Engine, image: &Image) -> Result<Value, ApiError> {
    let directories = engine.images.directories(image)?;
    let Some((top, lower)) = directories.split_first() else { return Ok(Value::Null) };
    let beside = |name: &str| json!(top.parent().unwrap_or(Path::new("/")).join(name).display().to_string());
    let mut data = Map::new();
    if !lower.is_empty() {
        let lower: Vec<_> = lower.iter().map(|path| path.display().to_string()).collect();
        data.insert("LowerDir".into(), json!(lower.join(":")));
    }
    let is_shared = image.layers.last().is_some_and(|layer| engine.images.is_shared(layer));
    data.insert("UpperDir".into(), json!(top.display().to_string()));
    if !is_shared {
        data.insert("MergedDir".into(), beside("merged"));
        data.insert("WorkDir".into(), beside("work"));
    }
    Ok(Value::Object(data))
}

/// `GET /images/{name}/history`.
pub async fn history(engine: Arc<Engine>, name: &str) -> Result<Response, ApiError> {
    let image = engine.images.find(name)?;
    let items = aside(move || Ok(steps(&engine, image))).await?;
    Ok(Json(items).into_response())
}

/// What the image's configuration tells of its making, newest first. Of the images between, those are named that are here.
fn steps(engine: &Engine, image: Arc<Image>) -> Vec<Value> {
    let mut next = Some(image.id.clone());
    let mut items = vec![];
    for (step, layer) in image.history().into_iter().rev() {
        let id = next.take();
        let tags =
            id.as_deref().map(|id| names(&engine.images.names_of(id)).0).filter(|tags| !tags.is_empty());
        let created = step["created"].as_str().unwrap_or(&image.created);
        items.push(json!({
            "Id": id.as_deref().unwrap_or("<missing>"),
            "Created": seconds(created),
            "CreatedBy": step["created_by"].as_str().unwrap_or_default(),
            "Tags": tags,
            "Size": layer.map_or(0, |layer| engine.images.layer_bytes(layer)),
            "Comment": step["comment"].as_str().unwrap_or_default(),
        }));
        next = id.and_then(|id| engine.images.parent_of(&id));
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_has_every_field() {
        let whole = configuration(&json!({"Cmd": ["sh"], "Env": null, "Healthcheck": {"Test": ["NONE"]}}));
        assert_eq!(whole["Cmd"], json!(["sh"]));
        assert_eq!((&whole["Env"], &whole["Tty"]), (&Value::Null, &json!(false)));
        assert!(whole.get("Healthcheck").is_some() && whole.get("Shell").is_none());
    }
}
