//! Settings and place → OCI runtime Spec: what Docker would hand to runc, written in the standard's own words.
//!
//! Pure: equal arguments give equal Specs, and nothing is looked up.

mod mounts;
pub mod resources;
pub mod seccomp;

pub use mounts::tmpfs_options;

use crate::error::ApiError;
use crate::remap::Remap;
use crate::settings::{Ipc, Namespaces, Network, Settings, Sharing};
use crate::user::User;
use isolab_runtime::IdRange;
use oci_spec::runtime::{Capabilities, LinuxDevice, Process, Spec};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// What is known only when a container is started.
#[derive(Clone, Debug)]
pub struct Placement<'a> {
    /// Its root directory, mounted.
    pub root: &'a Path,
    /// The directory with its `hostname`, `hosts` and `resolv.conf`.
    pub files: &'a Path,
    /// The hostname to set, its own or that of the container whose network it shares.
    pub hostname: &'a str,
    /// The domain name to set, often empty.
    pub domainname: &'a str,
    /// Where the `/dev/shm` is that it has in common with others.
    pub shm: Option<&'a Path>,
    /// What is mounted besides what every container has.
    pub mounts: &'a [UserMount],
    /// Where the namespaces of other containers are that it shares.
    pub joined: &'a Joined,
    /// What its ids stand for, where it has a user namespace of its own.
    pub remap: Option<&'a Remap>,
    /// Whom it runs as.
    pub user: &'a User,
    /// The highest group id of the lab: the kernel refuses a ping_group_range that ends beyond it.
    pub gid_max: u32,
    /// Whether the kernel has IPv6.
    pub ipv6: bool,
    /// The devices of the lab host, which a privileged container gets.
    pub devices: &'a [LinuxDevice],
    /// The devices that were asked for.
    pub given: &'a [Given],
    /// The program that is bound as its init, where it is to have one.
    pub init: Option<&'a Path>,
    /// Whether the engine is nobody in the lab host's own namespaces: what they show cannot be mounted anew, only bound.
    pub rootless: bool,
}

/// Where the runtime finds namespaces of other containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// The network namespace.
    pub network: Option<PathBuf>,
    /// The IPC namespace.
    pub ipc: Option<PathBuf>,
    /// The pid namespace.
    pub pid: Option<PathBuf>,
}

/// One mount that the container asks for, as the Spec has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserMount {
    /// Where in the container.
    pub destination: String,
    /// `bind` or `tmpfs`.
    pub kind: &'static str,
    /// A path of the lab host, or `tmpfs`.
    pub source: PathBuf,
    /// In words of mount(8).
    pub options: Vec<String>,
}

/// A device of the lab host that a container is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// Where it is on the lab host.
    pub source: PathBuf,
    /// What it is, and where in the container.
    pub device: LinuxDevice,
    /// What may be done with it: some of `rwm`.
    pub access: String,
}

/// What an exec asks for, beyond what the container has anyway.
#[derive(Clone, Debug, Default)]
pub struct Joining {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Added to the container's environment.
    pub env: Vec<String>,
    /// Instead of the container's.
    pub workdir: Option<String>,
    /// Whether it gets a terminal.
    pub tty: bool,
    /// All capabilities; the filter stays the container's.
    pub privileged: bool,
}

/// The Spec of a container.
pub fn of_container(settings: &Settings, place: &Placement<'_>) -> Result<Spec, ApiError> {
    let document = json!({
        "ociVersion": "1.0.2",
        "process": process(settings, place.user, &arguments(settings, place.init), &settings.environment(place.hostname),
            &settings.workdir, settings.tty, &settings.capabilities),
        "root": { "path": place.root, "readonly": settings.read_only },
        "hostname": own_name(settings, place.hostname),
        "domainname": own_name(settings, place.domainname),
        "mounts": mounts::of(settings, place)?,
        "annotations": settings.annotations,
        "linux": {
            "namespaces": namespaces(&settings.namespaces, place),
            "uidMappings": place.remap.map(|remap| mappings(&remap.maps.uids)),
            "gidMappings": place.remap.map(|remap| mappings(&remap.maps.gids)),
            "sysctl": sysctls(settings, place)?,
            "devices": devices(settings, place),
            "maskedPaths": settings.masked_paths,
            "readonlyPaths": settings.readonly_paths,
            "rootfsPropagation": mounts::propagation(place.mounts),
        },
    });
    let filter = seccomp::of(settings)?;
    let mut spec: Spec = serde_json::from_value(document).map_err(impossible)?;
    if let Some(linux) = spec.linux_mut() {
        linux.set_seccomp(filter);
    }
    Ok(spec)
}

/// The process of an exec.
pub fn of_exec(
    settings: &Settings,
    joining: &Joining,
    hostname: &str,
    user: &User,
    available: &Capabilities,
) -> Result<Process, ApiError> {
    let capabilities = if joining.privileged { available } else { &settings.capabilities };
    let mut env = settings.environment(hostname);
    if joining.tty && !env.iter().any(|entry| entry.starts_with("TERM=")) {
        // Where Docker has it: behind the two variables that it begins with.
        env.insert(env.len().min(2), "TERM=xterm".into());
    }
    let env = crate::settings::overlay_environment(env, &joining.env);
    let workdir = joining.workdir.as_ref().unwrap_or(&settings.workdir);
    let document = process(settings, user, &joining.argv, &env, workdir, joining.tty, capabilities);
    serde_json::from_value(document).map_err(impossible)
}

/// A Spec that the standard's own types refuse.
fn impossible(error: serde_json::Error) -> ApiError {
    ApiError::internal(format!("the container's OCI Spec is not valid: {error}"))
}

fn process(
    settings: &Settings,
    user: &User,
    argv: &[String],
    env: &[String],
    workdir: &str,
    tty: bool,
    capabilities: &Capabilities,
) -> Value {
    let mut env = env.to_vec();
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        env.push(format!("HOME={}", user.home));
    }
    // What execve leaves to a user other than root: nothing but the bounding set. Docker sets no ambient and, since
    // 20.10.14, no inheritable capabilities.
    let mut sets = Map::new();
    sets.insert("bounding".into(), json!(capabilities));
    if user.uid == 0 {
        sets.insert("permitted".into(), json!(capabilities));
        sets.insert("effective".into(), json!(capabilities));
    }
    let limit = |value: i64| if value < 0 { u64::MAX } else { value as u64 };
    let rlimits = settings.rlimits.iter().map(|(name, soft, hard)| {
        json!({ "type": format!("RLIMIT_{}", name.to_uppercase()), "soft": limit(*soft), "hard": limit(*hard) })
    });
    json!({
        "terminal": tty,
        "user": { "uid": user.uid, "gid": user.gid, "additionalGids": user.groups },
        "args": argv,
        "env": env,
        "cwd": workdir,
        "capabilities": sets,
        "rlimits": rlimits.collect::<Vec<_>>(),
        "oomScoreAdj": settings.oom_score,
        "noNewPrivileges": settings.no_new_privileges,
        "apparmorProfile": settings.apparmor,
    })
}

/// With the lab host's UTS namespace there is no name to set: it is the lab host's own.
fn own_name<'a>(settings: &Settings, name: &'a str) -> Option<&'a str> {
    (settings.namespaces.uts == Sharing::Private && !name.is_empty()).then_some(name)
}

fn mappings(ranges: &[IdRange]) -> Vec<Value> {
    let mapping = |r: &IdRange| json!({ "containerID": r.inside, "hostID": r.outside, "size": r.count });
    ranges.iter().map(mapping).collect()
}

/// A namespace that is listed with a path is joined, one without is new, and one that is not listed is the lab host's.
fn namespaces(wanted: &Namespaces, place: &Placement<'_>) -> Vec<Value> {
    let joined = place.joined;
    [
        ("user", place.remap.is_some(), &None),
        ("mount", true, &None),
        ("pid", wanted.pid != Sharing::Host, &joined.pid),
        ("network", wanted.network != Network::Host, &joined.network),
        ("uts", wanted.uts != Sharing::Host, &None),
        ("ipc", wanted.ipc != Ipc::Host, &joined.ipc),
        ("cgroup", wanted.cgroup != Sharing::Host, &None),
    ]
    .into_iter()
    .filter(|(_, listed, _)| *listed)
    .map(|(name, _, path)| match path {
        Some(path) => json!({ "type": name, "path": path }),
        None => json!({ "type": name }),
    })
    .collect()
}

/// The program and its arguments, behind an init where there is one.
fn arguments(settings: &Settings, init: Option<&Path>) -> Vec<String> {
    let before = init.map(|_| [crate::init::PATH.to_owned(), "--".to_owned()]);
    before.into_iter().flatten().chain(settings.argv.iter().cloned()).collect()
}

/// A privileged container has all devices, another those that were asked for. One that has another name inside is bound
/// (see [`mounts`]): a user namespace would refuse to make it.
fn devices<'a>(settings: &Settings, place: &'a Placement<'_>) -> Vec<&'a LinuxDevice> {
    if settings.privileged {
        return place.devices.iter().collect();
    }
    place
        .given
        .iter()
        .filter(|given| given.source == *given.device.path())
        .map(|given| &given.device)
        .collect()
}

/// A setting of a namespace that is the lab host's, in the words of Docker's runtime.
fn refuse_host_settings(settings: &Settings) -> Result<(), ApiError> {
    for name in settings.sysctls.keys() {
        let net = name.starts_with("net.");
        let why = match (net, &settings.namespaces) {
            (true, Namespaces { network: Network::Host, .. }) => "not allowed in host network namespace",
            (false, Namespaces { ipc: Ipc::Host, .. }) => "is not allowed in the hosts ipc namespace",
            _ => continue,
        };
        let message = format!(
            "failed to create shim task: OCI runtime create failed: runc create failed: sysctl {name:?} {why}: unknown"
        );
        return Err(ApiError::internal(message));
    }
    Ok(())
}

/// Docker ≥ 20.10 opens low ports and ping to everyone in a container's own network namespace, and switches IPv6 off, as no
/// network has addresses of that kind.
fn sysctls(settings: &Settings, place: &Placement<'_>) -> Result<Value, ApiError> {
    refuse_host_settings(settings)?;
    let mut all = Map::new();
    if settings.namespaces.network != Network::Host {
        all.insert("net.ipv4.ip_unprivileged_port_start".into(), json!("0"));
        all.insert("net.ipv4.ping_group_range".into(), json!(format!("0 {}", place.gid_max)));
        if place.ipv6 && place.joined.network.is_none() {
            all.insert("net.ipv6.conf.all.disable_ipv6".into(), json!("1"));
        }
    }
    for (name, value) in &settings.sysctls {
        all.insert(name.clone(), json!(value));
    }
    Ok(Value::Object(all))
}

#[cfg(test)]
mod tests;
