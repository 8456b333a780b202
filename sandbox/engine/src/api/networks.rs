//! `docker network`: list, inspect, create, remove, connect, disconnect, prune.

use super::document::Document;
use super::list::has_label;
use super::order;
use super::params::{Filters, Params, check};
use crate::clock;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::json::Json;
use crate::network::{Attachment, Record, View};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

fn document(view: &View, with_members: bool) -> Value {
    let View { record, members } = view;
    let mut containers = Map::new();
    for (endpoint, member) in members.iter().filter(|_| with_members) {
        let address = member.address.map(|(address, prefix)| format!("{address}/{prefix}"));
        containers.insert(
            member.container.clone(),
            json!({
                "Name": member.name, "EndpointID": endpoint, "MacAddress": member.mac,
                "IPv4Address": address.unwrap_or_default(), "IPv6Address": "",
            }),
        );
    }
    json!({
        "Name": record.name, "Id": record.id, "Created": clock::rfc3339(record.created), "Scope": "local",
        "Driver": record.driver.word(), "EnableIPv6": false,
        "IPAM": {
            "Driver": "default", "Options": record.ipam_options,
            "Config": record.ipam.iter().collect::<Vec<_>>(),
        },
        "Internal": record.internal, "Attachable": record.attachable, "Ingress": false,
        "ConfigFrom": { "Network": "" }, "ConfigOnly": false, "Containers": containers,
        "Options": record.options, "Labels": record.labels,
    })
}

/// `docker network ls`. As with Docker, who is in a network is told by `inspect` only.
pub async fn list(
    State(engine): State<Arc<Engine>>,
    Query(params): Query<Params>,
) -> Result<Response, ApiError> {
    let filters = params.filters()?;
    check(&filters, &["dangling", "driver", "id", "label", "name", "scope", "type"])?;
    let mut found = vec![];
    for view in engine.networks.all() {
        if matches(&view, &filters)? {
            found.push(document(&view, false));
        }
    }
    Ok(order::answer(&Value::from(found), &order::NETWORK))
}

fn matches(view: &View, filters: &Filters) -> Result<bool, ApiError> {
    let record = &view.record;
    let labels = record.labels.clone().into_iter().collect();
    for (key, values) in filters.iter().filter(|(_, values)| !values.is_empty()) {
        let mut found = false;
        for value in values {
            found |= match key.as_str() {
                "dangling" => {
                    // Docker's networks are dangling where nobody is in them, and never the predefined ones.
                    let dangling = view.members.is_empty() && !record.is_predefined();
                    switch(value)? == dangling && !record.is_predefined()
                }
                "driver" => record.driver.word() == value,
                "id" => record.id.starts_with(value.as_str()),
                "name" => record.name.contains(value.as_str()),
                "scope" => value == "local",
                "label" => has_label(&labels, value),
                _ => match value.as_str() {
                    "builtin" => record.is_predefined(),
                    "custom" => !record.is_predefined(),
                    other => return Err(ApiError::bad_request(format!("invalid filter: 'type'='{other}'"))),
                },
            };
        }
        if !found || key == "label" && !values.iter().all(|value| has_label(&labels, value)) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn switch(value: &str) -> Result<bool, ApiError> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(ApiError::bad_request(
            "invalid value for filter 'dangling', must be \"true\" (or \"1\"), or \"false\" (or \"0\")",
        )),
    }
}

/// `docker network inspect`.
pub async fn inspect(
    State(engine): State<Arc<Engine>>,
    Path(name): Path<String>,
    Query(params): Query<Params>,
) -> Result<Response, ApiError> {
    let view = engine.networks.find(&name)?;
    match params.text("scope") {
        "" | "local" => Ok(order::answer(&document(&view, true), &order::NETWORK)),
        _ => Err(ApiError::not_found(format!("network {name} not found"))),
    }
}

/// `docker network create`.
pub async fn create(
    State(engine): State<Arc<Engine>>,
    body: Document,
) -> Result<impl IntoResponse, ApiError> {
    let record = engine.networks.create(body.read()?)?;
    engine.tell_of_network(&record, "create", None);
    Ok((StatusCode::CREATED, Json(json!({ "Id": record.id, "Warning": "" }))))
}

/// `docker network rm`.
pub async fn remove(
    State(engine): State<Arc<Engine>>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let record = engine.networks.find(&name)?.record;
    engine.networks.remove(&record.id)?;
    engine.tell_of_network(&record, "destroy", None);
    Ok(StatusCode::NO_CONTENT)
}

/// The network and the container of `connect` and `disconnect`.
fn named(
    engine: &Engine,
    name: &str,
    body: &Value,
) -> Result<(Record, Arc<crate::container::Container>), ApiError> {
    let record = engine.networks.find(name)?.record;
    match body["Container"].as_str().unwrap_or_default() {
        "" => Err(ApiError::bad_request("invalid name or ID supplied: \"\"")),
        reference => Ok((record, engine.find(reference)?)),
    }
}

/// `docker network connect`.
pub async fn connect(
    State(engine): State<Arc<Engine>>,
    Path(name): Path<String>,
    body: Document,
) -> Result<StatusCode, ApiError> {
    let body = body.read()?;
    let (record, container) = named(&engine, &name, &body)?;
    let attachment = Attachment::parse(&record.name, &body["EndpointConfig"])?;
    engine.connect(&container, &record, attachment)?;
    Ok(StatusCode::OK)
}

/// `docker network disconnect`.
pub async fn disconnect(
    State(engine): State<Arc<Engine>>,
    Path(name): Path<String>,
    body: Document,
) -> Result<StatusCode, ApiError> {
    let (record, container) = named(&engine, &name, &body.read()?)?;
    engine.disconnect(&container, &record)?;
    Ok(StatusCode::OK)
}

/// `docker network prune`.
pub async fn prune(
    State(engine): State<Arc<Engine>>,
    Query(params): Query<Params>,
) -> Result<Json<Value>, ApiError> {
    let filters = params.filters()?;
    check(&filters, &["label", "label!", "until"])?;
    let none = vec![];
    let values = |key: &str| filters.get(key).unwrap_or(&none);
    let until = match values("until").as_slice() {
        [] => None,
        [time] => Some(
            clock::parse_unix(time).or_else(|| clock::parse_rfc3339(time)).or_else(|| ago(time)).ok_or_else(
                || ApiError::bad_request(format!("failed to parse value as time or duration: {time:?}")),
            )?,
        ),
        _ => return Err(ApiError::bad_request("more than one until filter specified")),
    };
    let mut removed = vec![];
    for View { record, members } in engine.networks.all() {
        let labels = record.labels.clone().into_iter().collect();
        let kept = record.is_predefined()
            || !members.is_empty()
            || until.is_some_and(|until| record.created > until)
            || !values("label").iter().all(|label| has_label(&labels, label))
            || values("label!").iter().any(|label| has_label(&labels, label));
        // One that cannot be removed is left, and the others are not kept for it.
        if !kept && engine.networks.remove(&record.id).is_ok() {
            engine.tell_of_network(&record, "destroy", None);
            removed.push(record.name);
        }
    }
    Ok(Json(json!({ "NetworksDeleted": if removed.is_empty() { Value::Null } else { json!(removed) } })))
}

/// A moment given as its distance from now, as Go writes durations: `24h`, `1h30m`.
fn ago(text: &str) -> Option<SystemTime> {
    let (mut seconds, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * unit;
        rest = after;
    }
    let duration = Duration::try_from_secs_f64(seconds).ok().filter(|_| !text.is_empty())?;
    SystemTime::now().checked_sub(duration)
}
