//! `docker container prune`.

use super::images::until;
use super::list::has_label;
use super::params::{Params, check};
use crate::clock;
use crate::container::Container;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::json::Json;
use axum::extract::{Query, State};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const FILTERS: &[&str] = &["label", "label!", "until"];

/// `POST /containers/prune`: removes all containers that do not run.
pub async fn prune(
    State(engine): State<Arc<Engine>>,
    Query(params): Query<Params>,
) -> Result<Json<Value>, ApiError> {
    let filters = params.filters()?;
    check(&filters, FILTERS)?;
    let values = |key: &str| filters.get(key).map(Vec::as_slice).unwrap_or_default();
    let before = match values("until") {
        [] => None,
        [text] => Some(until(text)?),
        _ => return Err(ApiError::bad_request("more than one until filter specified")),
    };
    let matches = |container: &Container| {
        let labels = container.request.config.labels.clone().unwrap_or_default();
        before.is_none_or(|before| clock::unix_seconds(container.created) <= before)
            && values("label").iter().all(|label| has_label(&labels, label))
            && !values("label!").iter().any(|label| has_label(&labels, label))
    };
    let (mut deleted, mut reclaimed) = (vec![], 0);
    for container in engine.all().into_iter().filter(|container| !container.is_up() && matches(container)) {
        let bytes = container.layer.bytes().await;
        // One that was started or removed meanwhile is none of these any more.
        if engine.remove(&container, false, false).await.is_ok() {
            deleted.push(container.id.clone());
            reclaimed += bytes;
        }
    }
    let attributes = BTreeMap::from([("reclaimed".to_owned(), reclaimed.to_string())]);
    engine.events.tell_of("container", "prune".into(), "", attributes);
    let deleted = if deleted.is_empty() { Value::Null } else { json!(deleted) };
    Ok(Json(json!({ "ContainersDeleted": deleted, "SpaceReclaimed": reclaimed })))
}
