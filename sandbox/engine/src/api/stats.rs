//! `docker stats`.

use super::params::Params;
use crate::clock;
use crate::container::usage::{self, Usage};
use crate::container::{Container, Phase, Running};
use crate::engine::Engine;
use crate::error::ApiError;
use crate::settings::Network;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often a client gets numbers: as often as with Docker.
const EVERY: Duration = Duration::from_secs(1);

/// What was counted, of a container and of the machine.
#[derive(Clone, Debug)]
struct Sample {
    read: SystemTime,
    usage: Usage,
    machine_cpu: u64,
}

/// `GET /containers/{id}/stats`: once (`stream=0`), or every second until the container is removed.
pub async fn stats(
    State(engine): State<Arc<Engine>>,
    Path(reference): Path<String>,
    Query(params): Query<Params>,
) -> Result<Response, ApiError> {
    let container = engine.find(&reference)?;
    // Where a client says nothing it wants a stream.
    let streams = params.text("stream").is_empty() || params.flag("stream");
    let body = if streams {
        follow(engine, container)
    } else {
        let first = sample(&engine, &container);
        let (last, first) = match first {
            // A share of processor time needs two looks.
            Some(first) if !params.flag("one-shot") => {
                tokio::time::sleep(EVERY).await;
                (sample(&engine, &container), Some(first))
            }
            only => (only, None),
        };
        Body::from(line(&engine, &container, last.as_ref(), first.as_ref()))
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

fn follow(engine: Arc<Engine>, container: Arc<Container>) -> Body {
    let state = (engine, container, None::<Sample>, false);
    let lines = futures_util::stream::unfold(state, |(engine, container, before, begun)| async move {
        if begun {
            tokio::time::sleep(EVERY).await;
        }
        if container.ends().borrow().removed {
            return None;
        }
        let now = sample(&engine, &container);
        let line = line(&engine, &container, now.as_ref(), before.as_ref());
        Some((Ok::<_, Infallible>(line), (engine, container, now, true)))
    });
    Body::from_stream(lines)
}

/// Counts; `None` where the container does not run.
fn sample(engine: &Engine, container: &Container) -> Option<Sample> {
    let network = &container.request.settings.namespaces.network;
    let own_network = !matches!(network, Network::Host | Network::None | Network::Container(_));
    let mut usage = usage::count(&engine.processes_of(container).ok()?, own_network).ok()?;
    if let Phase::Running(Running { group: Some(own), .. }) = &*container.phase() {
        usage::count_group(own.group(), &mut usage);
    }
    Some(Sample { read: SystemTime::now(), usage, machine_cpu: usage::machine_cpu() })
}

fn line(engine: &Engine, container: &Container, now: Option<&Sample>, before: Option<&Sample>) -> Bytes {
    let mut text = document(engine, container, now, before).to_string();
    text.push('\n');
    text.into()
}

fn document(engine: &Engine, container: &Container, now: Option<&Sample>, before: Option<&Sample>) -> Value {
    let time = |sample: Option<&Sample>| sample.map_or(clock::NEVER.into(), |s| clock::rfc3339(s.read));
    let mut document = json!({
        "read": time(now),
        "preread": time(before),
        "pids_stats": {},
        "blkio_stats": blkio(now),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": cpu(now, engine.machine.processors),
        "precpu_stats": cpu(before, engine.machine.processors),
        "memory_stats": {},
        "name": format!("/{}", container.name()),
        "id": container.id,
    });
    if let Some(Sample { usage, .. }) = now {
        let there = engine.machine.memory_bytes;
        let limit = usage.memory_limit.map_or(there, |limit| limit.min(there));
        document["pids_stats"] = json!({ "current": usage.threads });
        if let Some(limit) = usage.threads_limit {
            document["pids_stats"]["limit"] = json!(limit);
        }
        document["memory_stats"] =
            json!({ "usage": usage.memory, "stats": usage.memory_details, "limit": limit });
        if let Some(peak) = usage.memory_peak {
            document["memory_stats"]["max_usage"] = json!(peak);
        }
        if !usage.links.is_empty() {
            document["networks"] = json!(usage.links);
        }
    }
    document
}

fn cpu(sample: Option<&Sample>, processors: usize) -> Value {
    let [periods, held, held_for] = sample.map_or([0; 3], |sample| sample.usage.throttled);
    let throttling = json!({ "periods": periods, "throttled_periods": held, "throttled_time": held_for });
    let [user, kernel] = sample.map_or([0, 0], |sample| sample.usage.cpu);
    let usage = json!({
        "total_usage": user + kernel, "usage_in_kernelmode": kernel, "usage_in_usermode": user
    });
    let mut cpu = json!({ "cpu_usage": usage, "throttling_data": throttling });
    if let Some(sample) = sample {
        cpu["system_cpu_usage"] = json!(sample.machine_cpu);
        cpu["online_cpus"] = json!(processors);
    }
    cpu
}

fn blkio(sample: Option<&Sample>) -> Value {
    const KINDS: [&str; 7] = [
        "io_serviced_recursive",
        "io_queue_recursive",
        "io_service_time_recursive",
        "io_wait_time_recursive",
        "io_merged_recursive",
        "io_time_recursive",
        "sectors_recursive",
    ];
    let nothing = if sample.is_some() { json!([]) } else { Value::Null };
    let mut all: serde_json::Map<_, _> = KINDS.iter().map(|kind| ((*kind).into(), nothing.clone())).collect();
    // Of which disk it was, a process is not told.
    let entry = |(op, value): (&str, u64)| json!({ "major": 0, "minor": 0, "op": op, "value": value });
    let bytes = sample.map(|sample| {
        let [read, written] = sample.usage.disk;
        [("read", read), ("write", written)].map(entry)
    });
    all.insert("io_service_bytes_recursive".into(), bytes.map_or(Value::Null, |bytes| json!(bytes)));
    Value::Object(all)
}
