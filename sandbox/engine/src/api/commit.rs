//! `docker commit`: what a container has written becomes a layer over its image.

use super::document::Document;
use super::images::{apply_changes, give_name, new_name};
use super::params::Params;
use super::system::VERSION;
use crate::aside::aside;
use crate::clock;
use crate::container::Container;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::image::{Image, Reference};
use crate::json::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::SystemTime;

/// The diff id of a layer without a file: such a layer is not made.
const EMPTY: &str = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

/// What a new image is to say of itself.
struct Words {
    author: String,
    comment: String,
    config: Value,
}

/// `POST /commit`.
pub async fn commit(
    State(engine): State<Arc<Engine>>,
    Query(params): Query<Params>,
    body: Document,
) -> Result<Response, ApiError> {
    // One that is not there says nothing.
    let given = match body.read_unclassed() {
        Err(error) if error.message == "EOF" => Value::Null,
        read => read?,
    };
    let container = engine.find(params.text("container"))?;
    let name = match params.text("repo") {
        "" => None,
        repository => Some(new_name(repository, params.text("tag"))?),
    };
    let own = serde_json::to_value(&container.request.config).unwrap_or_default();
    let mut config = if given.is_object() { given } else { own.clone() };
    apply_changes(&mut config, params.all("changes"))?;
    inherit(&mut config, &own);
    let (author, comment) = (params.text("author").to_owned(), params.text("comment").to_owned());
    let words = Words { author, comment, config };
    let pause = params.text("pause").is_empty() || params.flag("pause");
    // In a task of its own: a client that leaves must not leave the container paused.
    let making = tokio::spawn(make_paused(engine, container, words, name, pause));
    let image = making.await.map_err(|error| ApiError::internal(error.to_string()))??;
    Ok((StatusCode::CREATED, Json(json!({ "Id": image.id }))).into_response())
}

/// What the client leaves out of a configuration is the container's.
fn inherit(config: &mut Value, own: &Value) {
    for key in
        ["User", "ExposedPorts", "Env", "Labels", "Cmd", "Entrypoint", "Healthcheck", "WorkingDir", "Volumes"]
    {
        let is_empty = match &config[key] {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        if is_empty && !own[key].is_null() {
            config[key] = own[key].clone();
        }
    }
}

/// Makes the image, names it and tells of it while the container is paused, if that is wanted and it runs.
async fn make_paused(
    engine: Arc<Engine>,
    container: Arc<Container>,
    words: Words,
    name: Option<Reference>,
    pause: bool,
) -> Result<Arc<Image>, ApiError> {
    let pause = pause && container.is_running() && !container.is_paused();
    if pause {
        engine.pause(&container).await?;
    }
    let made = make_and_tell(&engine, &container, words, name).await;
    if pause {
        // It may have ended meanwhile.
        let _ = engine.unpause(&container);
    }
    made
}

async fn make_and_tell(
    engine: &Arc<Engine>,
    container: &Arc<Container>,
    words: Words,
    name: Option<Reference>,
) -> Result<Arc<Image>, ApiError> {
    let comment = words.comment.clone();
    let (working, from) = (Arc::clone(engine), Arc::clone(container));
    let image = aside(move || make(&working, &from, words)).await?;
    let mut more = vec![("comment", comment), ("imageID", image.id.clone())];
    if let Some(name) = name {
        give_name(engine, &image, &name)?;
        more.push(("imageRef", name.familiar()));
    }
    engine.tell(container, "commit", &more);
    Ok(image)
}

fn make(engine: &Engine, container: &Container, words: Words) -> Result<Arc<Image>, ApiError> {
    let held = engine.images.layer_of_directory(&container.layer.diff(), engine.ids())?;
    let base = &container.image;
    let is_empty = held.digest.hex() == EMPTY;
    let own = serde_json::to_value(&container.request.config).unwrap_or_default();
    let now = clock::rfc3339(SystemTime::now());
    let command: Vec<&str> = own["Cmd"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut step = json!({ "created": now, "created_by": command.join(" ") });
    for (key, text) in [("author", &words.author), ("comment", &words.comment)] {
        if !text.is_empty() {
            step[key] = json!(text);
        }
    }
    let mut layers: Vec<_> = base.layers.iter().map(ToString::to_string).collect();
    if is_empty {
        step["empty_layer"] = json!(true);
    } else {
        layers.push(held.digest.to_string());
    }
    let mut document = base.document.clone();
    let mut history = document["history"].as_array().cloned().unwrap_or_default();
    history.push(step);
    for (key, value) in [
        ("author", json!(words.author)),
        ("config", words.config),
        ("container", json!(container.id)),
        ("container_config", own),
        ("created", json!(now)),
        ("docker_version", json!(VERSION)),
        ("history", Value::Array(history)),
        ("rootfs", json!({ "type": "layers", "diff_ids": layers })),
    ] {
        document[key] = value;
    }
    engine.images.create(document.to_string().into_bytes(), Some(&base.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Digest;

    #[test]
    fn an_empty_layer_is_the_end_of_an_archive() {
        assert_eq!(Digest::of(&[0; 1024]).hex(), EMPTY);
    }

    #[test]
    fn a_configuration_inherits_what_it_leaves_out() {
        let mut config = json!({"Cmd": ["mine"], "Env": [], "User": ""});
        inherit(&mut config, &json!({"Cmd": ["own"], "Env": ["A=1"], "User": "5", "WorkingDir": null}));
        assert_eq!(config["Cmd"], json!(["mine"]));
        assert_eq!((&config["Env"], &config["User"]), (&json!(["A=1"]), &json!("5")));
        assert!(config["WorkingDir"].is_null());
    }
}
