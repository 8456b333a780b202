//! A create request, parsed once into what a container is to be: every word checked, the image's defaults filled in.
//!
//! Pure. What can only be known when a container is started (its address, its user's numbers) is not in here.

pub mod capabilities;
mod choices;
mod defaults;
mod devices;
mod health;
mod isolation;
mod limits;
mod merge;
pub mod mounts;
pub mod namespaces;
mod refuse;
mod restart;
mod security;
pub mod signal;
mod update;

pub use choices::{LogDriver, bytes_of};
pub use defaults::Defaults;
pub use devices::{DeviceMapping, DeviceRule};
pub use health::HealthCheck;
pub use limits::Limits;
pub use merge::overlay as overlay_environment;
pub use namespaces::{Ipc, Namespaces, Network, Sharing};
pub use restart::Policy;
pub use security::Seccomp;
pub use update::{Update, parse_update};

use crate::apparmor;
use crate::error::ApiError;
use crate::network::ports::{self, Port, Wanted};
use bollard_stubs::models::{ContainerConfig, HostConfig, ImageConfig};
use isolab_runtime::cgroup::Support;
use mounts::Mounts;
use oci_spec::runtime::Capabilities;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// The size of `/dev/shm` where nobody asks for another.
const SHM_BYTES_DEFAULT: i64 = 64 * 1024 * 1024;

/// How many bytes of labels a container may have: each of the events that are kept repeats them.
const LABEL_BYTES_MAX: usize = 32 * 1024;

/// How long a hostname is kept: a name in DNS has no more bytes.
const HOSTNAME_BYTES_MAX: usize = 253;

/// What of the machine a request is checked against.
#[derive(Clone, Debug)]
pub struct Available {
    /// What the engine may give away: all capabilities, except on a machine that has fewer itself.
    pub capabilities: Capabilities,
    /// The hostname of the lab host, which `--network host` and `--uts host` show.
    pub hostname: String,
    /// Whether containers get user namespaces of their own (`userns-remap`).
    pub remapped: bool,
    /// What control groups can do; `None` where there are none to make.
    pub groups: Option<Support>,
    /// Whether there is AppArmor.
    pub apparmor: bool,
    /// Processors.
    pub processors: usize,
    /// What is configured for containers of which nobody says otherwise.
    pub defaults: Defaults,
}

/// What a container is to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program and its arguments; never empty.
    pub argv: Vec<String>,
    /// What the image and the request add to the environment (see [`Settings::environment`]).
    pub env: Vec<String>,
    /// `--user`, unresolved.
    pub user: String,
    /// `--group-add`, unresolved.
    pub group_add: Vec<String>,
    /// An absolute path.
    pub workdir: String,
    /// Whether the program gets a terminal.
    pub tty: bool,
    /// Columns and rows of the terminal, as far as the client knows them when it creates the container.
    pub console: (u16, u16),
    /// Whether its input is open.
    pub open_stdin: bool,
    /// Whether its input closes when the first client that gives input leaves.
    pub stdin_once: bool,
    /// What `docker stop` sends first.
    pub stop_signal: i32,
    /// How long `docker stop` waits before it kills.
    pub stop_timeout: Duration,
    /// Whether the container is removed when it ends.
    pub auto_remove: bool,
    /// How it is found out whether it is well.
    pub health: Option<HealthCheck>,
    /// Whether it is started again when it ends, as far as the request says.
    pub restart: Policy,
    /// The hostname inside.
    pub hostname: String,
    /// The domain name, often empty.
    pub domainname: String,
    /// Whose namespaces it has.
    pub namespaces: Namespaces,
    /// The bounding set, which is also what a root user has.
    pub capabilities: Capabilities,
    /// `--privileged`.
    pub privileged: bool,
    /// no_new_privs.
    pub no_new_privileges: bool,
    /// The system-call filter.
    pub seccomp: Seccomp,
    /// `--security-opt apparmor=…`, often empty.
    pub apparmor_asked: String,
    /// The AppArmor profile that confines it, where there is AppArmor.
    pub apparmor: Option<String>,
    /// `--device`.
    pub devices: Vec<DeviceMapping>,
    /// `--device-cgroup-rule`.
    pub device_rules: Vec<DeviceRule>,
    /// What it may use, as far as the request says.
    pub limits: Limits,
    /// `--cgroup-parent`: below which control group its own is to be, where it is asked for.
    pub cgroup_parent: Option<String>,
    /// `--init`: a small first process around the program.
    pub init: bool,
    /// `--oom-score-adj`, where it is asked for.
    pub oom_score: Option<i32>,
    /// `--annotation`, for the Spec.
    pub annotations: BTreeMap<String, String>,
    /// Where what it says is kept.
    pub log: LogDriver,
    /// `--read-only`.
    pub read_only: bool,
    /// Paths that are hidden.
    pub masked_paths: Vec<String>,
    /// Paths that are made read-only.
    pub readonly_paths: Vec<String>,
    /// `--tmpfs`: path and mount options.
    pub tmpfs: BTreeMap<String, String>,
    /// The size of `/dev/shm` in bytes.
    pub shm_bytes: i64,
    /// `--ulimit`: name, soft, hard.
    pub rlimits: Vec<(String, i64, i64)>,
    /// `--sysctl`.
    pub sysctls: BTreeMap<String, String>,
    /// `--add-host`: name and address.
    pub extra_hosts: Vec<(String, IpAddr)>,
    /// `--dns`, `--dns-search`, `--dns-option`.
    pub dns: Dns,
    /// Why it can be created and not started, in Docker's words, where that is so.
    pub unstartable: Option<String>,
    /// `-p`, `-P`: ports that are published.
    pub ports: Vec<Wanted>,
    /// Ports that are only told of.
    pub exposed: Vec<Port>,
}

/// What `/etc/resolv.conf` is to hold instead of the lab host's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// Addresses of servers.
    pub servers: Vec<IpAddr>,
    /// Search domains.
    pub search: Vec<String>,
    /// Options.
    pub options: Vec<String>,
}

/// A parsed request: the settings, and the documents that `docker inspect` shows.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the engine works with.
    pub settings: Settings,
    /// What is to be mounted.
    pub mounts: Mounts,
    /// `Config` of the inspect document.
    pub config: ContainerConfig,
    /// `HostConfig` of the inspect document.
    pub host_config: HostConfig,
    /// Warnings for the client to print.
    pub warnings: Vec<String>,
}

/// Which image a create request names, before anything else of it is looked at.
pub fn image_of(body: &Value) -> Result<&str, ApiError> {
    let object = body.as_object().filter(|fields| !fields.is_empty());
    let fields = object
        .ok_or_else(|| ApiError::bad_request("Config cannot be empty in order to create a container"))?;
    Ok(fields.get("Image").and_then(Value::as_str).unwrap_or_default())
}

/// Parses a create request for a container with this id from this image.
pub fn parse(
    mut body: Value,
    id: &str,
    image: &ImageConfig,
    available: &Available,
) -> Result<Request, ApiError> {
    let fields = body.as_object_mut().ok_or_else(|| ApiError::bad_request("the request is not an object"))?;
    namespaces::check_conflicts(fields)?;
    refuse::unsupported(fields)?;
    let unreadable = |error: serde_json::Error| ApiError::bad_request(format!("invalid JSON: {error}"));
    let host_config = fields.remove("HostConfig").filter(|value| !value.is_null()).unwrap_or_default();
    let long = mounts::long(host_config.get("Mounts"))?;
    let host_config = if host_config.is_null() { Value::Object(Default::default()) } else { host_config };
    let restart = Policy::parse(&host_config["RestartPolicy"])?;
    choices::check_isolation(&host_config["Isolation"])?;
    let mut host: HostConfig = serde_json::from_value(host_config).map_err(unreadable)?;
    if host.auto_remove.unwrap_or(false) && restart != Policy::No {
        return Err(ApiError::bad_request("can't create 'AutoRemove' container with restart policy"));
    }
    merge::words_to_lists(fields);
    let mut config: ContainerConfig = serde_json::from_value(body).map_err(unreadable)?;

    merge::with_image(&mut config, image);
    let label_bytes: usize = config.labels.iter().flatten().map(|(key, value)| key.len() + value.len()).sum();
    if label_bytes > LABEL_BYTES_MAX {
        return Err(ApiError::bad_request(format!(
            "{label_bytes} bytes of labels; at most {LABEL_BYTES_MAX}"
        )));
    }
    limits::fill_swap(&mut host);
    let mut warnings = limits::check(&mut host, available, false)?;
    choices::check(&host)?;
    available.defaults.fill(&mut host);
    isolation::fill_defaults(&mut host, available.groups.as_ref());
    security::show_label(&mut host);
    let namespaces = Namespaces::parse(&host)?;
    if available.remapped {
        namespaces.check_user(host.privileged == Some(true))?;
    }
    if namespaces.network == Network::Host
        && host.port_bindings.as_ref().is_some_and(|ports| !ports.is_empty())
    {
        warnings.push("Published ports are discarded when using host network mode".into());
    }
    fill_hostname(&mut config, if namespaces.show_host() { &available.hostname } else { &id[..12] })?;
    let settings = Settings { restart, ..settings(&config, &host, namespaces, available)? };
    let mounts = mounts::parse(&config, &host, long)?;
    Ok(Request { settings, mounts, config, host_config: host, warnings })
}

fn settings(
    config: &ContainerConfig,
    host: &HostConfig,
    namespaces: Namespaces,
    available: &Available,
) -> Result<Settings, ApiError> {
    let on = |flag: Option<bool>| flag.unwrap_or(false);
    let privileged = on(host.privileged);
    let defaults = &available.defaults;
    let given = host.security_opt.as_deref().unwrap_or_default();
    let options = security::SecurityOptions::parse(given, defaults.security.clone())?;
    let list = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
    let tty = on(config.tty);
    let (mut ports, exposed) = ports::parse(config, host)?;
    if namespaces.network == Network::Host {
        // Docker says so in a warning.
        ports.clear();
    }
    Ok(Settings {
        argv: merge::argv(config)?,
        env: config.env.clone().unwrap_or_default(),
        user: config.user.clone().unwrap_or_default(),
        group_add: list(&host.group_add),
        workdir: merge::workdir(config)?,
        tty,
        console: merge::console(host.console_size.as_deref()),
        open_stdin: on(config.open_stdin),
        stdin_once: on(config.stdin_once),
        stop_signal: signal::parse(
            config.stop_signal.as_deref().filter(|s| !s.is_empty()).unwrap_or("SIGTERM"),
        )?,
        stop_timeout: Duration::from_secs(config.stop_timeout.unwrap_or(10).clamp(0, i32::MAX.into()) as u64),
        auto_remove: on(host.auto_remove),
        restart: Policy::default(),
        health: HealthCheck::parse(config.healthcheck.as_ref(), config.shell.as_deref())?,
        hostname: config.hostname.clone().unwrap_or_default(),
        domainname: config.domainname.clone().unwrap_or_default(),
        capabilities: capabilities::of(
            &list(&host.cap_add),
            &list(&host.cap_drop),
            privileged,
            &available.capabilities,
        )?,
        privileged,
        no_new_privileges: options.no_new_privileges,
        seccomp: if privileged { Seccomp::Unconfined } else { options.seccomp },
        apparmor: available.apparmor.then(|| match (privileged, options.apparmor.as_str()) {
            // Whatever was asked for, as with Docker.
            (true, _) => apparmor::UNCONFINED.to_owned(),
            (false, "") => apparmor::DEFAULT.to_owned(),
            (false, asked) => asked.to_owned(),
        }),
        apparmor_asked: options.apparmor,
        devices: devices::parse(host)?,
        device_rules: devices::rules(host)?,
        limits: Limits::of(host),
        cgroup_parent: host.cgroup_parent.clone().filter(|parent| !parent.is_empty()),
        // In somebody else's pid namespace there is a first process already.
        init: on(host.init) && namespaces.pid == Sharing::Private,
        // Said even where nobody asked: the engine's own score, which spares it, is not its containers'.
        oom_score: Some(host.oom_score_adj.unwrap_or(0) as i32),
        annotations: host.annotations.clone().unwrap_or_default().into_iter().collect(),
        log: LogDriver::parse(host)?,
        unstartable: choices::unstartable(host),
        read_only: on(host.readonly_rootfs),
        masked_paths: list(&host.masked_paths),
        readonly_paths: list(&host.readonly_paths),
        tmpfs: isolation::tmpfs(host)?,
        shm_bytes: host.shm_size.unwrap_or(SHM_BYTES_DEFAULT),
        rlimits: isolation::rlimits(host)?,
        sysctls: isolation::sysctls(host)?,
        extra_hosts: isolation::extra_hosts(host)?,
        dns: isolation::dns(host, defaults)?,
        ports,
        exposed,
        namespaces,
    })
}

impl Settings {
    /// The kernel's environment of a program, before `HOME`, where this is the hostname.
    pub fn environment(&self, hostname: &str) -> Vec<String> {
        merge::environment(&self.env, hostname, self.tty)
    }
}

/// The hostname, where the request leaves it open.
fn fill_hostname(config: &mut ContainerConfig, usual: &str) -> Result<(), ApiError> {
    let given = config.hostname.take().filter(|name| !name.is_empty());
    let name = given.unwrap_or_else(|| usual.to_owned());
    // What can stand in a line of /etc/hosts. That the kernel takes 64 bytes shows at the start, as with Docker.
    if name.len() > HOSTNAME_BYTES_MAX || name.contains(['\n', '\0']) {
        return Err(ApiError::bad_request(format!(
            "invalid hostname: {name:?}: at most {HOSTNAME_BYTES_MAX} bytes, in one line"
        )));
    }
    config.hostname = Some(name);
    Ok(())
}

#[cfg(test)]
mod tests;
