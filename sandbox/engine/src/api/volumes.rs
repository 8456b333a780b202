//! `docker volume`.

use super::document::Document;
use super::list::has_label;
use super::params::{Filters, Params, check};
use crate::aside::aside;
use crate::clock;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::json::Json;
use crate::settings::mounts::LOCAL;
use crate::volume::Volume;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// A volume as clients see it.
pub fn document(engine: &Engine, volume: &Volume) -> Value {
    let created = volume.created.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let created = UNIX_EPOCH + std::time::Duration::from_secs(created);
    json!({
        "CreatedAt": clock::rfc3339(created), "Driver": LOCAL, "Labels": volume.labels,
        "Mountpoint": engine.volumes.path(&volume.name), "Name": volume.name, "Options": volume.options,
        "Scope": "local",
    })
}

/// `docker volume ls`.
pub async fn list(
    State(engine): State<Arc<Engine>>,
    Query(params): Query<Params>,
) -> Result<Json<Value>, ApiError> {
    let filters = params.filters()?;
    check(&filters, &["dangling", "name", "driver", "label"])?;
    let mut listed = vec![];
    for volume in engine.volumes.all() {
        if matches(&engine, &volume, &filters)? {
            listed.push(document(&engine, &volume));
        }
    }
    Ok(Json(json!({ "Volumes": listed, "Warnings": null })))
}

fn matches(engine: &Engine, volume: &Volume, filters: &Filters) -> Result<bool, ApiError> {
    let labels = labels_of(volume);
    for (key, values) in filters {
        let any = |is: &dyn Fn(&String) -> bool| values.is_empty() || values.iter().any(is);
        let matched = match key.as_str() {
            "dangling" => {
                let wanted = switch(key, values)?;
                wanted.is_none_or(|wanted| wanted == engine.volumes.holders(&volume.name).is_empty())
            }
            "name" => any(&|value| volume.name.contains(value.as_str())),
            "driver" => any(&|value| value == LOCAL),
            // Labels all have to match, `label!` none.
            "label!" => !values.iter().any(|value| has_label(&labels, value)),
            _ => values.iter().all(|value| has_label(&labels, value)),
        };
        if !matched {
            return Ok(false);
        }
    }
    Ok(true)
}

fn labels_of(volume: &Volume) -> HashMap<String, String> {
    volume.labels.clone().unwrap_or_default().into_iter().collect()
}

/// A filter that is on or off.
fn switch(key: &str, values: &[String]) -> Result<Option<bool>, ApiError> {
    match values.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(None),
        ["1" | "true"] => Ok(Some(true)),
        ["0" | "false"] => Ok(Some(false)),
        _ => {
            let message = format!("Invalid filter '{key}=[{}]'", values.join(" "));
            Err(ApiError::bad_request(message))
        }
    }
}

/// `docker volume inspect`.
pub async fn inspect(
    State(engine): State<Arc<Engine>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(document(&engine, &*engine.volumes.get(&name)?)))
}

/// What a client asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Asked {
    name: Option<String>,
    driver: Option<String>,
    driver_opts: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
    cluster_volume_spec: Option<Value>,
}

/// `docker volume create`.
pub async fn create(
    State(engine): State<Arc<Engine>>,
    body: Document,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let asked: Asked = body.typed()?;
    if asked.cluster_volume_spec.is_some_and(|spec| !spec.is_null()) {
        return Err(ApiError::not_yet("volumes of a cluster (ClusterVolumeSpec)"));
    }
    let driver = asked.driver.unwrap_or_default();
    let name = asked.name.unwrap_or_default();
    let (volume, new) = engine.volumes.create(&name, &driver, asked.labels, asked.driver_opts)?;
    if new {
        engine.tell_of_volume("create", &volume.name, &[]);
    }
    Ok((StatusCode::CREATED, Json(document(&engine, &volume))))
}

/// `docker volume rm`.
pub async fn remove(
    State(engine): State<Arc<Engine>>,
    Path(name): Path<String>,
    Query(params): Query<Params>,
) -> Result<StatusCode, ApiError> {
    let force = params.flag("force");
    match aside(move || engine.volumes.remove(&name).map(|()| engine.tell_of_volume("destroy", &name, &[])))
        .await
    {
        Err(error) if !(force && error.status == StatusCode::NOT_FOUND) => Err(error),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

/// `docker volume prune`: the volumes that no container has. Those that mount something are left, as with Docker: it
/// may be another machine's.
pub async fn prune(
    State(engine): State<Arc<Engine>>,
    Query(params): Query<Params>,
) -> Result<Json<Value>, ApiError> {
    let mut filters = params.filters()?;
    // Newer clients say that they mean named ones too, which is what this version of the API does anyway.
    filters.remove("all");
    check(&filters, &["label", "label!"])?;
    aside(move || {
        let (mut removed, mut bytes) = (vec![], 0);
        for volume in engine.volumes.all() {
            let mounts = volume.options.as_ref().is_some_and(|options| !options.is_empty());
            if mounts || !matches(&engine, &volume, &filters)? {
                continue;
            }
            let size = engine.volumes.size(&volume.name);
            if engine.volumes.remove(&volume.name).is_ok() {
                engine.tell_of_volume("destroy", &volume.name, &[]);
                bytes += size;
                removed.push(volume.name.clone());
            }
        }
        let reclaimed = BTreeMap::from([("reclaimed".to_owned(), bytes.to_string())]);
        engine.events.tell_of("volume", "prune".into(), "", reclaimed);
        let removed = if removed.is_empty() { Value::Null } else { json!(removed) };
        Ok(Json(json!({ "VolumesDeleted": removed, "SpaceReclaimed": bytes })))
    })
    .await
}
