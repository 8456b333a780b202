//! `docker image prune`.

use super::change::told;
use super::list::dangling;
use super::{Params, seconds, users};
use crate::api::list::has_label;
use crate::api::params::check;
use crate::aside::aside;
use crate::clock;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::image::Image;
use crate::json::Json;
use axum::extract::{Query, State};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

const FILTERS: &[&str] = &["dangling", "label", "label!", "until"];

/// `POST /images/prune`: images without a name, or (`dangling=false`) all that no container was made from.
pub async fn prune(
    State(engine): State<Arc<Engine>>,
    Query(params): Query<Params>,
) -> Result<Json<Value>, ApiError> {
    let filters = params.filters()?;
    check(&filters, FILTERS)?;
    let values = |key: &str| filters.get(key).cloned().unwrap_or_default();
    let nameless = dangling(&values("dangling")).map_or(true, |only| only.unwrap_or(true));
    let until = match &values("until")[..] {
        [] => None,
        [text] => Some(until(text)?),
        _ => return Err(ApiError::bad_request("more than one until filter specified")),
    };
    let (with, without) = (values("label"), values("label!"));
    let matches = move |image: &Image| {
        let labels = image.config.labels.clone().unwrap_or_default();
        until.is_none_or(|until| seconds(&image.created) <= until)
            && with.iter().all(|label| has_label(&labels, label))
            && !without.iter().any(|label| has_label(&labels, label))
    };
    let working = Arc::clone(&engine);
    let (removed, bytes) = aside(move || {
        let users = users(&working);
        let images = &working.images;
        let before = all_bytes(&working);
        let mut removed = vec![];
        for image in images.all() {
            let names = images.names_of(&image.id);
            let used = users.iter().any(|user| user.image.id == image.id);
            let wanted = if nameless { names.is_empty() } else { !used } && !images.has_children(&image.id);
            if !wanted || !matches(&image) {
                continue;
            }
            let names: Vec<_> = match names.is_empty() {
                true => vec![image.id.clone()],
                false => names.iter().map(|name| name.familiar()).collect(),
            };
            for name in names {
                // What is in use in the meantime, or by a stopped container, is left alone.
                removed.extend(images.remove(&name, false, true, &users).unwrap_or_default());
            }
        }
        working.forget_copies()?;
        Ok((removed, before.saturating_sub(all_bytes(&working))))
    })
    .await?;
    let items = told(&engine, &removed);
    let items = if items.is_empty() { Value::Null } else { json!(items) };
    Ok(Json(json!({ "ImagesDeleted": items, "SpaceReclaimed": bytes })))
}

/// The bytes of all layers of listed images, each once.
pub fn all_bytes(engine: &Engine) -> u64 {
    let mut layers = BTreeMap::new();
    for image in engine.images.all() {
        for layer in &image.layers {
            layers.entry(layer.clone()).or_insert_with(|| engine.images.layer_bytes(layer));
        }
    }
    layers.values().sum()
}

/// A point in time: seconds since 1970, an RFC 3339 time, or a duration before now, as Go writes it.
pub fn until(text: &str) -> Result<i64, ApiError> {
    let bad = || ApiError::bad_request(format!("failed to parse value as time or duration: {text:?}"));
    if let Some(time) = clock::parse_unix(text).or_else(|| clock::parse_rfc3339(text)) {
        return Ok(clock::unix_seconds(time));
    }
    let ago = duration_seconds(text).ok_or_else(bad)?;
    Ok(clock::unix_seconds(SystemTime::now()).saturating_sub(ago))
}

/// `1h30m`, `10m`, `1.5s`: whole seconds of a Go duration.
fn duration_seconds(text: &str) -> Option<i64> {
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let factor = match &rest[..unit] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number * factor;
        rest = &rest[unit..];
    }
    (!text.is_empty()).then_some(seconds as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_go_s() {
        for (text, seconds) in [("1h30m", 5400), ("10m", 600), ("1.5s", 1), ("90s", 90), ("24h", 86_400)] {
            assert_eq!(duration_seconds(text), Some(seconds), "{text}");
        }
        for bad in ["", "zz", "1", "1d", "h", "1hh", "-1h"] {
            assert_eq!(duration_seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn points_in_time_are_read_in_each_form() {
        assert_eq!(until("1795486335").unwrap(), 1_795_486_335);
        assert_eq!(until("2026-11-24T02:12:15Z").unwrap(), 1_795_486_335);
        assert!(until("zz").unwrap_err().message.contains("\"zz\""));
    }
}
