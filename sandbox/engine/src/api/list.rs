//! `docker ps`.

use super::inspect::mounts;
use super::params::{Filters, Params};
use super::{network_settings, order};
use crate::clock;
use crate::container::{Container, Phase};
use crate::engine::Engine;
use crate::error::ApiError;
use axum::extract::{Query, State};
use axum::response::Response;
use bollard_stubs::models::{
    ContainerSummary, ContainerSummaryHostConfig, ContainerSummaryNetworkSettings, PortBinding,
};
use regex::RegexBuilder;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

const FILTERS: &[&str] = &[
    "id",
    "name",
    "label",
    "status",
    "ancestor",
    "exited",
    "before",
    "since",
    "network",
    "health",
    "is-task",
    "isolation",
    "expose",
    "publish",
    "volume",
];

const STATES: &[&str] = &["created", "restarting", "running", "removing", "paused", "exited", "dead"];

/// A regular expression of a client may not compile to more than this.
pub const REGEX_BYTES_MAX: usize = 64 * 1024;

/// `GET /containers/json`.
pub async fn list(
    State(engine): State<Arc<Engine>>,
    Query(params): Query<Params>,
) -> Result<Response, ApiError> {
    let filters = params.filters()?;
    check(&engine, &filters)?;
    let limit: Option<i64> = params.number("limit")?;
    let limit = limit.and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
    // Asking for states or exit codes, or for the last few, means asking for those that do not run too.
    let all = params.flag("all")
        || limit.is_some()
        || filters.contains_key("status")
        || filters.contains_key("exited");
    let mut containers = engine.all();
    containers.reverse();
    let mut listed = vec![];
    for container in containers {
        if (all || container.is_up()) && matches(&engine, &container, &filters)? {
            listed.push(summary(&engine, &container));
        }
    }
    listed.truncate(limit.unwrap_or(usize::MAX));
    if params.flag("size") {
        for summary in &mut listed {
            add_sizes(&engine, summary).await;
        }
    }
    let listed = serde_json::to_value(listed).map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(order::answer(&listed, &order::CONTAINER_SUMMARY))
}

/// All containers with their sizes.
pub async fn all_with_sizes(engine: &Arc<Engine>) -> Vec<ContainerSummary> {
    let mut listed: Vec<_> = engine.all().iter().rev().map(|container| summary(engine, container)).collect();
    for summary in &mut listed {
        add_sizes(engine, summary).await;
    }
    listed
}

fn check(engine: &Engine, filters: &Filters) -> Result<(), ApiError> {
    for (key, values) in filters {
        if !FILTERS.contains(&key.as_str()) {
            return Err(ApiError::bad_request(format!("Invalid filter '{key}'")));
        }
        for value in values {
            check_value(engine, key, value)?;
        }
        if let ("status", Some(bad)) = (key.as_str(), values.iter().find(|v| !STATES.contains(&v.as_str()))) {
            return Err(ApiError::bad_request(format!("Invalid filter 'status={bad}'")));
        }
    }
    Ok(())
}

/// What can be wrong with a value before any container is looked at, in Docker's words.
fn check_value(engine: &Engine, key: &str, value: &str) -> Result<(), ApiError> {
    let message = match key {
        "health" if !["starting", "healthy", "unhealthy", "none"].contains(&value) => {
            format!("Unrecognised filter value for health: {value}")
        }
        "is-task" if !["0", "1", "true", "false"].contains(&value) => {
            format!("Invalid filter 'is-task=[{value}]'")
        }
        "expose" | "publish" if ports(value).is_none() => {
            let digits = !value.is_empty() && value.bytes().all(|c| c.is_ascii_digit());
            let why = if digits { "value out of range" } else { "invalid syntax" };
            format!("error while looking up for {key} {value}: strconv.ParseUint: parsing {value:?}: {why}")
        }
        "exited" if value.parse::<i32>().is_err() => {
            format!("strconv.Atoi: parsing {value:?}: invalid syntax")
        }
        "before" | "since" if engine.find(value).is_err() => {
            return Err(ApiError::not_found(format!("no such container {value}")));
        }
        _ => return Ok(()),
    };
    Err(ApiError::bad_request(message))
}

/// `80`, `80/udp`, `8000-8080/tcp`: the first port, the last, and the protocol.
fn ports(text: &str) -> Option<(u16, u16, &str)> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last, protocol))
}

/// Whether one of these ports, as `80/tcp`, is among those wanted.
fn has_port<'a>(mut all: impl Iterator<Item = &'a String>, wanted: &str) -> bool {
    let Some((first, last, protocol)) = ports(wanted) else { return false };
    all.any(|port| ports(port).is_some_and(|(from, to, own)| own == protocol && from <= last && first <= to))
}

fn matches(engine: &Engine, container: &Container, filters: &Filters) -> Result<bool, ApiError> {
    for (key, values) in filters {
        let mut found = values.is_empty();
        for value in values {
            found |= matches_one(engine, container, key, value)?;
        }
        // Labels all have to match; of other keys, one value has to.
        let labels = container.request.config.labels.clone().unwrap_or_default();
        if key == "label" && !values.iter().all(|value| has_label(&labels, value)) || !found {
            return Ok(false);
        }
    }
    Ok(true)
}

fn matches_one(engine: &Engine, container: &Container, key: &str, value: &str) -> Result<bool, ApiError> {
    let name = container.name();
    Ok(match key {
        "id" => container.id.starts_with(value) || pattern(value)?.is_match(&container.id),
        "name" => {
            let pattern = pattern(value)?;
            pattern.is_match(&name) || pattern.is_match(&format!("/{name}"))
        }
        "label" => true,
        "status" => container.phase().status().to_string() == value,
        "exited" => {
            let bad = |_| ApiError::internal(format!("strconv.Atoi: parsing {value:?}: invalid syntax"));
            let code: i32 = value.parse().map_err(bad)?;
            matches!(&*container.phase(), Phase::Exited(exited) if exited.code == code)
        }
        "ancestor" => engine.images.find(value).is_ok_and(|image| image.id == container.image.id),
        "health" => {
            let word = container.health().as_ref().map_or("none", |health| health.wellness.word());
            word == value
        }
        // There is no swarm whose tasks containers could be, and no isolation but the one.
        "is-task" => matches!(value, "0" | "false"),
        "isolation" => value.is_empty() || value == "default",
        "expose" => has_port(container.request.config.exposed_ports.iter().flatten(), value),
        "publish" => has_port(asked_ports(container).iter(), value),
        "before" => container.created < engine.find(value)?.created,
        "volume" => mounts(engine, container).iter().any(|mount| {
            [&mount.name, &mount.source, &mount.destination].iter().any(|word| word.as_deref() == Some(value))
        }),
        "since" => container.created > engine.find(value)?.created,
        _ => container.request.settings.namespaces.network.name() == Some(value),
    })
}

/// The ports of the lab host's that a container asks for, as `80/tcp`: those that it leaves to the engine are none.
fn asked_ports(container: &Container) -> Vec<String> {
    let bindings = container.request.host_config.port_bindings.iter().flatten();
    let of = |(port, places): (&String, &Option<Vec<PortBinding>>)| {
        let protocol = port.split_once('/').map_or("tcp", |(_, protocol)| protocol).to_owned();
        let hosts = places.iter().flatten().filter_map(|place| place.host_port.clone());
        hosts
            .filter(|host| !host.is_empty())
            .map(move |host| format!("{host}/{protocol}"))
            .collect::<Vec<_>>()
    };
    bindings.flat_map(of).collect()
}

fn pattern(text: &str) -> Result<regex::Regex, ApiError> {
    let built = RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build();
    built.map_err(|_| ApiError::bad_request(format!("invalid filter: {text:?} is not a regular expression")))
}

/// Whether `key` or `key=value` is among labels.
pub fn has_label(labels: &HashMap<String, String>, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
        None => labels.contains_key(wanted),
    }
}

/// How much a container has written, and how much there is with its image.
async fn add_sizes(engine: &Engine, summary: &mut ContainerSummary) {
    let Some(container) = summary.id.as_ref().and_then(|id| engine.find(id).ok()) else { return };
    let (written, below) = (container.layer.bytes().await, engine.images.image_bytes(&container.image));
    // Docker leaves out what is zero.
    summary.size_rw = Some(written as i64).filter(|&bytes| bytes != 0);
    summary.size_root_fs = Some((written + below) as i64);
}

/// The command as Docker shows it: arguments with a space in them stand between quotes.
fn command(argv: &[String]) -> String {
    let quoted = |word: &String| if word.contains(' ') { format!("'{word}'") } else { word.clone() };
    let words = argv.iter().take(1).cloned().chain(argv.iter().skip(1).map(quoted));
    words.collect::<Vec<_>>().join(" ")
}

fn summary(engine: &Engine, container: &Container) -> ContainerSummary {
    let phase = container.phase();
    let words = command(&container.request.settings.argv);
    let state = serde_json::to_value(phase.status()).ok().and_then(|word| serde_json::from_value(word).ok());
    ContainerSummary {
        id: Some(container.id.clone()),
        names: Some(vec![format!("/{}", container.name())]),
        image: Some(container.image_name.clone()),
        image_id: Some(container.image.id.clone()),
        command: Some(words),
        created: Some(clock::unix_seconds(container.created)),
        ports: Some(network_settings::port_summaries(container, &phase)),
        labels: Some(container.request.config.labels.clone().unwrap_or_default()),
        state,
        status: Some(status(container, &phase)),
        host_config: Some(ContainerSummaryHostConfig {
            network_mode: container.request.host_config.network_mode.clone(),
            annotations: None,
        }),
        network_settings: Some(ContainerSummaryNetworkSettings {
            networks: serde_json::from_value(network_settings::networks(container, &phase)).ok(),
        }),
        mounts: Some(mounts(engine, container)),
        ..ContainerSummary::default()
    }
}

/// The STATUS column: what runs, and is checked, also says how it is.
fn status(container: &Container, phase: &Phase) -> String {
    let words = phase.in_words(SystemTime::now());
    let health = container.health().as_ref().map(|health| health.wellness.in_words());
    match (phase, health) {
        (Phase::Running(running), Some(health)) if running.frozen.is_none() => format!("{words} ({health})"),
        _ => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_found_in_ranges() {
        let all = ["80/tcp".to_owned(), "53/udp".to_owned(), "8000-8010/tcp".to_owned()];
        for (wanted, found) in [
            ("80", true),
            ("80/udp", false),
            ("53/udp", true),
            ("8005", true),
            ("79-81/tcp", true),
            ("81", false),
        ] {
            assert_eq!(has_port(all.iter(), wanted), found, "{wanted}");
        }
        for bad in ["", "x", "99999", "2-1", "80-"] {
            assert!(ports(bad).is_none(), "{bad}");
        }
    }
}
