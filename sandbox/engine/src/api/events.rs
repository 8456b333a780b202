//! `docker events`.

use super::list::has_label;
use super::params::{Filters, Params};
use crate::clock;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::events::Event;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::broadcast::error::RecvError;

const FILTERS: &[&str] = &["type", "container", "volume", "network", "event", "image", "label", "scope"];

/// `GET /events`: what was kept since `since`, then what comes, until `until`.
pub async fn stream(
    State(engine): State<Arc<Engine>>,
    Query(params): Query<Params>,
) -> Result<Response, ApiError> {
    let filters = params.filters()?;
    let (since, until) = (params.time("since")?, params.time("until")?);
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        let (since, until) = (params.text("since"), params.text("until"));
        let words = format!("`since` time ({since}) cannot be after `until` time ({until})");
        return Err(ApiError::bad_request(words));
    }
    let (kept, live) = engine.events.listen();
    let past = since.map(|since| {
        let since = clock::unix_nanos(since);
        let until = until.map_or(i64::MAX, clock::unix_nanos);
        kept.into_iter().filter(move |event| (since..=until).contains(&event.time_nano)).collect::<Vec<_>>()
    });
    let coming = futures_util::stream::unfold(live, |mut live| async move {
        loop {
            match live.recv().await {
                Ok(event) => return Some((event, live)),
                // A client too slow for 256 events has lost some, as with Docker.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    let left = until.map(|until| until.duration_since(SystemTime::now()).unwrap_or_default());
    let coming = coming.take_until(async move {
        match left {
            Some(left) => tokio::time::sleep(left.min(Duration::from_secs(u32::MAX.into()))).await,
            None => std::future::pending().await,
        }
    });
    let lines = futures_util::stream::iter(past.unwrap_or_default()).chain(coming).filter_map(move |event| {
        let line = matches(&filters, &event).then(|| line(&event));
        std::future::ready(line.map(Ok::<_, Infallible>))
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::from_stream(lines)).into_response())
}

fn line(event: &Event) -> Bytes {
    let mut text = serde_json::to_string(event).unwrap_or_default();
    text.push('\n');
    text.into()
}

fn matches(filters: &Filters, event: &Event) -> bool {
    let attribute = |name: &str| event.actor.attributes.get(name).map_or("", String::as_str);
    filters.iter().all(|(key, values)| {
        // Docker passes over filters that it does not know.
        values.is_empty()
            || !FILTERS.contains(&key.as_str())
            || values.iter().any(|value| match key.as_str() {
                "type" => event.kind == value,
                // What it happened to, by the beginning of its id or name, whatever kind that is of.
                "container" | "volume" | "network" => {
                    event.id.starts_with(value.as_str()) || attribute("name").starts_with(value.as_str())
                }
                // `exec_start: ls -l` is of the kind `exec_start`.
                "event" => event.action.split(':').next() == Some(value.as_str()) || event.action == *value,
                "image" => {
                    let name = attribute(if event.kind == "image" { "name" } else { "image" });
                    event.id == *value || name == value || name.split(':').next() == Some(value.as_str())
                }
                "label" => has_label(&event.actor.attributes.clone().into_iter().collect(), value),
                _ => event.scope == value,
            })
    })
}
