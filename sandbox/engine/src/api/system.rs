//! `/_ping`, `/version`, `/info`: what the engine is and what it cannot do.

use super::{API_VERSION, API_VERSION_MIN};
use crate::clock;
use crate::engine::Engine;
use crate::json::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use bollard_stubs::models::{
    LocalNodeState, PluginsInfo, RegistryServiceConfig, Runtime, SwarmInfo, SystemInfo,
    SystemInfoCgroupDriverEnum, SystemInfoCgroupVersionEnum, SystemVersion, SystemVersionComponents,
    SystemVersionPlatform,
};
use isolab_runtime::cgroup::{Support, Version};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

/// What the engine calls itself.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where images come from whose names tell no other place.
const INDEX: &str = "https://index.docker.io/v1/";

/// `OK`.
pub async fn ping() -> impl IntoResponse {
    let plain = (header::CONTENT_TYPE, "text/plain; charset=utf-8");
    // No BuildKit here: clients then send builds the classic way.
    let builder = (header::HeaderName::from_static("builder-version"), "1");
    ([plain, (header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"), builder], "OK")
}

/// `docker version`.
pub async fn version(State(engine): State<Arc<Engine>>) -> Json<SystemVersion> {
    let machine = &engine.machine;
    let details = [
        ("ApiVersion", API_VERSION),
        ("MinAPIVersion", API_VERSION_MIN),
        ("Os", "linux"),
        ("Arch", machine.go_architecture()),
        ("KernelVersion", &machine.kernel),
        ("Experimental", "false"),
    ];
    let component = SystemVersionComponents {
        name: "Engine".into(),
        version: VERSION.into(),
        details: serde_json::to_value(HashMap::from(details))
            .ok()
            .and_then(|value| serde_json::from_value(value).ok()),
    };
    Json(SystemVersion {
        platform: Some(SystemVersionPlatform { name: "Isolab Engine".into() }),
        components: Some(vec![component]),
        version: Some(VERSION.into()),
        api_version: Some(API_VERSION.into()),
        min_api_version: Some(API_VERSION_MIN.into()),
        git_commit: Some(String::new()),
        go_version: Some("none (written in Rust)".into()),
        os: Some("linux".into()),
        arch: Some(machine.go_architecture().into()),
        kernel_version: Some(machine.kernel.clone()),
        experimental: Some(false),
        build_time: Some(String::new()),
    })
}

/// `docker info`.
pub async fn info(State(engine): State<Arc<Engine>>) -> Json<SystemInfo> {
    let machine = &engine.machine;
    let containers = engine.all();
    let paused = containers.iter().filter(|container| container.is_paused()).count();
    let running = containers.iter().filter(|container| container.is_running()).count() - paused;
    let pair = |key: &str, value: &str| vec![key.to_owned(), value.to_owned()];
    let list = |words: &[&str]| Some(words.iter().map(|&word| word.to_owned()).collect());
    let plugins = PluginsInfo {
        network: list(&["bridge", "host", "null"]),
        log: list(&["json-file"]),
        ..PluginsInfo::default()
    };
    let none = Support::default();
    let can = machine.groups.as_ref().unwrap_or(&none);
    Json(SystemInfo {
        containers: Some(containers.len() as i64),
        containers_running: Some(running as i64),
        containers_paused: Some(paused as i64),
        containers_stopped: Some((containers.len() - running - paused) as i64),
        images: Some(engine.images.all().len() as i64),
        driver: Some("overlay2".into()),
        driver_status: Some(vec![pair("Supports d_type", "true"), pair("userxattr", "true")]),
        docker_root_dir: Some(engine.data_root.display().to_string()),
        plugins: Some(plugins),
        memory_limit: Some(can.memory),
        swap_limit: Some(can.swap),
        cpu_cfs_period: Some(can.cpu_quota),
        cpu_cfs_quota: Some(can.cpu_quota),
        cpu_shares: Some(can.cpu_shares),
        cpu_set: Some(can.cpuset.is_some()),
        pids_limit: Some(can.pids),
        oom_kill_disable: Some(can.oom_kill_disable),
        ipv4_forwarding: Some(reads_one("/proc/sys/net/ipv4/ip_forward")),
        debug: Some(engine.config.debug),
        system_time: Some(clock::rfc3339(SystemTime::now())),
        logging_driver: Some(engine.config.defaults.log_driver.clone().unwrap_or("json-file".into())),
        cgroup_driver: Some(match &machine.groups {
            Some(_) => SystemInfoCgroupDriverEnum::CGROUPFS,
            None => SystemInfoCgroupDriverEnum::NONE,
        }),
        cgroup_version: Some(match can.version {
            Version::One => SystemInfoCgroupVersionEnum::_1,
            Version::Two => SystemInfoCgroupVersionEnum::_2,
        }),
        kernel_version: Some(machine.kernel.clone()),
        operating_system: Some(machine.system.clone()),
        os_version: Some(machine.system_version.clone()),
        os_type: Some("linux".into()),
        architecture: Some(machine.architecture.clone()),
        ncpu: Some(machine.processors as i64),
        mem_total: Some(machine.memory_bytes as i64),
        name: Some(machine.hostname()),
        labels: Some(engine.config.labels.clone()),
        experimental_build: Some(false),
        server_version: Some(VERSION.into()),
        runtimes: Some(HashMap::from([(
            "runc".into(),
            Runtime { path: Some("isolab-runtime".into()), ..Runtime::default() },
        )])),
        default_runtime: Some("runc".into()),
        swarm: Some(SwarmInfo { local_node_state: Some(LocalNodeState::INACTIVE), ..SwarmInfo::default() }),
        index_server_address: Some(INDEX.into()),
        init_binary: Some(crate::init::NAME.into()),
        registry_config: Some(RegistryServiceConfig {
            // The machine's own registries are spoken to over plain HTTP.
            insecure_registry_cidrs: Some(vec!["127.0.0.0/8".into()]),
            ..RegistryServiceConfig::default()
        }),
        live_restore_enabled: Some(false),
        security_options: Some(security_options(&engine, can)),
        warnings: Some(warnings(can, machine.is_machines_root)),
        ..SystemInfo::default()
    })
}

/// The walls that containers have, in Docker's words and order.
fn security_options(engine: &Engine, can: &Support) -> Vec<String> {
    let profile = match engine.config.seccomp_profile.as_str() {
        "" => "default",
        profile => profile,
    };
    let apparmor = engine.machine.apparmor.then(|| "name=apparmor".into());
    let mut options: Vec<_> = apparmor.into_iter().collect();
    options.push(format!("name=seccomp,profile={profile}"));
    options.extend(engine.remap.as_ref().map(|_| "name=userns".into()));
    options.extend(engine.machine.rootless.then(|| "name=rootless".into()));
    // Where it is what a container gets when nobody asks for another.
    options.extend((can.version == Version::Two).then(|| "name=cgroupns".into()));
    options
}

/// What cannot be limited, in Docker's words and order, and what Docker can always do.
fn warnings(can: &Support, is_machines_root: bool) -> Vec<String> {
    let first = can.version == Version::One;
    let all = [
        (!can.memory, "memory limit"),
        (!can.swap, "swap limit"),
        (first && !can.kernel_memory_tcp, "kernel memory TCP limit"),
        (first && !can.oom_kill_disable, "oom kill disable"),
        (!can.cpu_quota, "cpu cfs quota"),
        (!can.cpu_quota, "cpu cfs period"),
        (!can.cpu_shares, "cpu shares"),
        (can.cpuset.is_none(), "cpuset"),
        (!can.pids, "pids limit"),
    ];
    let lacking = all.iter().filter(|(lacking, _)| *lacking);
    let mut told: Vec<_> = lacking.map(|(_, what)| format!("WARNING: No {what} support")).collect();
    if is_machines_root && !can.devices {
        // In a user namespace no node of a device can be opened that was made there.
        told.push(
            "WARNING: No rules about devices: root of a container can open every device of this machine"
                .into(),
        );
    }
    told
}

fn reads_one(path: &str) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "1")
}
