//! `docker inspect`.

use super::params::Params;
use super::{network_settings, order};
use crate::clock;
use crate::container::health::{Checked, Health, Wellness};
use crate::container::mounts::effective;
use crate::container::{Container, Phase, Restarting};
use crate::engine::Engine;
use crate::error::ApiError;
use crate::settings::LogDriver;
use crate::settings::mounts::{LOCAL, Mount, Source};
use axum::extract::{self, Query, State};
use axum::response::Response;
use bollard_stubs::models::{
    ContainerInspectResponse, ContainerState, DriverData, Health as HealthModel, HealthStatusEnum,
    HealthcheckResult, HostConfig, MountPoint,
};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// `GET /containers/{id}/json`.
pub async fn inspect(
    State(engine): State<Arc<Engine>>,
    extract::Path(reference): extract::Path<String>,
    Query(params): Query<Params>,
) -> Result<Response, ApiError> {
    let container = engine.find(&reference)?;
    let sizes = match params.flag("size") {
        true => Some((container.layer.bytes().await, engine.images.image_bytes(&container.image))),
        false => None,
    };
    let execs = engine.execs.running_in(&container.id);
    let phase = container.phase();
    let document = document(&engine, &container, &phase, execs);
    let mut value = serde_json::to_value(document).map_err(|error| ApiError::internal(error.to_string()))?;
    value["NetworkSettings"] = network_settings::document(&container, &phase);
    if let Some((written, below)) = sizes {
        value["SizeRw"] = json!(written);
        value["SizeRootFs"] = json!(written + below);
    }
    fill(&mut value, r#"{ "ExecIDs": null }"#);
    if value["Config"]["ExposedPorts"] == json!({}) {
        value["Config"].as_object_mut().map(|config| config.remove("ExposedPorts"));
    }
    fill(&mut value["HostConfig"], USUAL_HOST_CONFIG);
    if value["HostConfig"]["LogConfig"]["Type"] == json!("") {
        // So older clients ask for the usual log, and are told which that is.
        value["HostConfig"]["LogConfig"]["Type"] = json!("json-file");
    }
    fill(&mut value["Config"], USUAL_CONFIG);
    Ok(order::answer(&value, &order::CONTAINER))
}

fn document(
    engine: &Engine,
    container: &Container,
    phase: &Phase,
    execs: Vec<String>,
) -> ContainerInspectResponse {
    let settings = &container.request.settings;
    let argv = &settings.argv;
    let sandbox = match phase {
        Phase::Running(running) => Some(&running.sandbox),
        _ => None,
    };
    let files = sandbox.map_or(&container.directory, |sandbox| &sandbox.files);
    // Docker makes them, and tells of them, when the container is started for the first time.
    let made = !matches!(phase, Phase::Created(_));
    let told = |path: &Path| Some(if made { path.display().to_string() } else { String::new() });
    let file = |name: &str| told(&files.join(name));
    let mut config = container.request.config.clone();
    if let Some(sandbox) = sandbox {
        config.hostname = Some(sandbox.hostname.clone());
        config.domainname = Some(sandbox.domainname.clone());
    }
    let layer = &container.layer;
    let restarts = container.restarts().clone();
    let data = [
        ("LowerDir", layer.lower()),
        ("MergedDir", layer.merged().display().to_string()),
        ("UpperDir", layer.diff().display().to_string()),
        ("WorkDir", layer.work().display().to_string()),
    ];
    let mut host_config = HostConfig {
        restart_policy: Some(restarts.policy.as_model()),
        ..container.request.host_config.clone()
    };
    container.limits().show(&mut host_config);
    ContainerInspectResponse {
        id: Some(container.id.clone()),
        created: Some(clock::rfc3339(container.created)),
        path: argv.first().cloned(),
        args: Some(argv[1..].to_vec()),
        state: Some(state(phase, container.health().as_ref())),
        image: Some(container.image.id.clone()),
        resolv_conf_path: file("resolv.conf"),
        hostname_path: file("hostname"),
        hosts_path: file("hosts"),
        log_path: match settings.log {
            LogDriver::JsonFile => told(container.log.path()),
            LogDriver::Local | LogDriver::None => Some(String::new()),
        },
        name: Some(format!("/{}", container.name())),
        restart_count: Some(restarts.count.into()),
        driver: Some("overlay2".into()),
        platform: Some("linux".into()),
        mount_label: Some(String::new()),
        process_label: Some(String::new()),
        // Which one it comes to shows when it is started.
        app_armor_profile: Some(match made {
            true => settings.apparmor.clone().unwrap_or_default(),
            false => settings.apparmor_asked.clone(),
        }),
        exec_ids: (!execs.is_empty()).then_some(execs),
        host_config: Some(host_config),
        graph_driver: Some(DriverData {
            name: "overlay2".into(),
            data: data.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        }),
        mounts: Some(mounts(engine, container)),
        config: Some(config),
        ..ContainerInspectResponse::default()
    }
}

/// `Mounts`: what is mounted besides what every container has.
pub fn mounts(engine: &Engine, container: &Container) -> Vec<MountPoint> {
    let one = |mount: &Mount| {
        let shown = |text: &str| Some(text.to_owned());
        let (kind, name, source, driver, propagation) = match &mount.source {
            Source::Bind(bind) => {
                let propagation = effective(bind, &engine.data_root).word();
                ("bind", None, bind.path.clone(), None, propagation)
            }
            Source::Volume(volume) => {
                let path = engine.volumes.path(&volume.name).display().to_string();
                ("volume", Some(volume.name.clone()), path, shown(LOCAL), "")
            }
            Source::Tmpfs(_) => ("tmpfs", None, String::new(), None, ""),
        };
        MountPoint {
            typ: shown(kind),
            name,
            source: Some(source),
            destination: shown(&mount.destination),
            driver,
            mode: shown(&mount.mode),
            rw: Some(!mount.read_only),
            propagation: shown(propagation),
        }
    };
    container.mounts.iter().map(one).collect()
}

fn state(phase: &Phase, found: Option<&Health>) -> ContainerState {
    let started = match phase {
        Phase::Running(running) => Some(running.started),
        Phase::Exited(exited) | Phase::Restarting(Restarting { last: exited, .. }) => Some(exited.started),
        Phase::Created(_) | Phase::Removing => None,
    };
    let finished = phase.finished();
    let time = |time: Option<_>| Some(time.map_or_else(|| clock::NEVER.into(), clock::rfc3339));
    let (pid, error) = match phase {
        Phase::Running(running) => (running.pid, String::new()),
        Phase::Created(created) => {
            (0, created.failure.as_ref().map(|(_, why)| why.clone()).unwrap_or_default())
        }
        Phase::Exited(exited) => (0, exited.error.clone()),
        _ => (0, String::new()),
    };
    ContainerState {
        status: Some(phase.status()),
        running: Some(matches!(phase, Phase::Running(_) | Phase::Restarting(_))),
        paused: Some(matches!(phase, Phase::Running(running) if running.frozen.is_some())),
        restarting: Some(matches!(phase, Phase::Restarting(_))),
        oom_killed: Some(match phase {
            Phase::Exited(exited) | Phase::Restarting(Restarting { last: exited, .. }) => {
                exited.out_of_memory
            }
            _ => false,
        }),
        dead: Some(false),
        pid: Some(pid.into()),
        exit_code: Some(phase.exit_code().into()),
        error: Some(error),
        started_at: time(started),
        finished_at: time(finished),
        health: found.map(health),
    }
}

fn health(found: &Health) -> HealthModel {
    let result = |checked: &Checked| HealthcheckResult {
        start: Some(clock::rfc3339(checked.start)),
        end: Some(clock::rfc3339(checked.end)),
        exit_code: Some(checked.code.into()),
        output: Some(checked.output.clone()),
    };
    HealthModel {
        status: Some(match found.wellness {
            Wellness::Starting => HealthStatusEnum::STARTING,
            Wellness::Healthy => HealthStatusEnum::HEALTHY,
            Wellness::Unhealthy => HealthStatusEnum::UNHEALTHY,
        }),
        failing_streak: Some(found.streak.into()),
        log: Some(found.log.iter().map(result).collect()),
    }
}

/// What Docker writes in these sections where nothing was asked for.
const USUAL_HOST_CONFIG: &str = include_str!("../../assets/host_config.json");
const USUAL_CONFIG: &str = include_str!("../../assets/config.json");

/// Adds fields that are absent. Clients and templates take for granted that Docker writes each of them.
fn fill(value: &mut Value, usual: &str) {
    if let (Value::Object(fields), Ok(Value::Object(usual))) = (value, serde_json::from_str(usual)) {
        for (key, value) in usual {
            fields.entry(key).or_insert(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn absent_fields_are_filled_and_others_kept() {
        let mut value = json!({ "Memory": 5 });
        fill(&mut value, USUAL_HOST_CONFIG);
        assert_eq!((&value["Memory"], &value["LogConfig"]["Type"]), (&json!(5), &json!("json-file")));
        fill(&mut value, USUAL_CONFIG);
        assert_eq!(value["Labels"], json!({}));
    }
}
