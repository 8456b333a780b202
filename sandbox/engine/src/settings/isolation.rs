//! The walls that a create request chooses beside namespaces: filters, limits and mounts, parsed into types.

use super::{Defaults, Dns};
use crate::error::ApiError;
use bollard_stubs::models::{HostConfig, HostConfigCgroupnsModeEnum};
use isolab_runtime::cgroup::{Support, Version};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What Docker hides in a container's `/proc` and `/sys`.
const MASKED_PATHS: &[&str] = &[
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];

/// What Docker makes read-only.
const READONLY_PATHS: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The resources of `--ulimit`.
const RLIMITS: &[&str] = &[
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Fills in what Docker shows in `docker inspect` where the client leaves it open.
pub fn fill_defaults(host: &mut HostConfig, groups: Option<&Support>) {
    host.shm_size = host.shm_size.filter(|&bytes| bytes > 0).or(Some(super::SHM_BYTES_DEFAULT));
    let mode = |mode: &mut Option<String>, usual: &str| {
        if mode.as_ref().is_none_or(String::is_empty) {
            *mode = Some(usual.into());
        }
    };
    mode(&mut host.network_mode, "default");
    mode(&mut host.ipc_mode, "private");
    mode(&mut host.runtime, "runc");
    if host.cgroupns_mode.is_none_or(|mode| mode == HostConfigCgroupnsModeEnum::EMPTY) {
        // Programs of the days of version 1 find their limits by the whole path of their group.
        let first = groups.is_some_and(|groups| groups.version == Version::One);
        host.cgroupns_mode = Some(match first {
            true => HostConfigCgroupnsModeEnum::HOST,
            false => HostConfigCgroupnsModeEnum::PRIVATE,
        });
    }
    let paths = |list: &[&str]| list.iter().map(|&path| path.to_owned()).collect::<Vec<_>>();
    if host.privileged == Some(true) {
        (host.masked_paths, host.readonly_paths) = (None, None);
    } else {
        // An empty list means none (`systempaths=unconfined`); an absent one the usual.
        host.masked_paths.get_or_insert_with(|| paths(MASKED_PATHS));
        host.readonly_paths.get_or_insert_with(|| paths(READONLY_PATHS));
    }
}

/// `--tmpfs`.
pub fn tmpfs(host: &HostConfig) -> Result<BTreeMap<String, String>, ApiError> {
    for path in host.tmpfs.iter().flatten().map(|(path, _)| path) {
        if !path.starts_with('/') {
            return Err(ApiError::bad_request(format!(
                "invalid mount path: '{path}' mount path must be absolute"
            )));
        }
        if path.split('/').all(|part| part.is_empty() || part == ".") {
            return Err(ApiError::bad_request("invalid specification: destination can't be '/'"));
        }
    }
    Ok(host.tmpfs.clone().unwrap_or_default().into_iter().collect())
}

/// `--ulimit`.
pub fn rlimits(host: &HostConfig) -> Result<Vec<(String, i64, i64)>, ApiError> {
    let parse = |limit: &bollard_stubs::models::ResourcesUlimits| {
        let name = limit.name.clone().unwrap_or_default();
        let (soft, hard) = (limit.soft.unwrap_or(0), limit.hard.unwrap_or(0));
        if !RLIMITS.contains(&name.as_str()) {
            return Err(ApiError::bad_request(format!("invalid ulimit type: {name}")));
        }
        if hard != -1 && (soft > hard || soft == -1) {
            let message =
                format!("ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}");
            return Err(ApiError::bad_request(message));
        }
        Ok((name, soft, hard))
    };
    host.ulimits.iter().flatten().map(parse).collect()
}

/// `--sysctl`, of which Docker allows those that belong to a namespace. Whether that is the container's own is asked when it is
/// started (see [`crate::spec`]).
pub fn sysctls(host: &HostConfig) -> Result<BTreeMap<String, String>, ApiError> {
    const IPC: &[&str] = &[
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    for name in host.sysctls.iter().flatten().map(|(name, _)| name) {
        let net = name.starts_with("net.") && !name.contains("..") && !name.contains('/');
        let ipc = IPC.contains(&name.as_str()) || (name.starts_with("fs.mqueue.") && !name.contains('/'));
        if !(net || ipc) {
            let message = format!("sysctl \"{name}\" is not in a separate kernel namespace");
            return Err(ApiError::bad_request(message));
        }
    }
    Ok(host.sysctls.clone().unwrap_or_default().into_iter().collect())
}

/// `--add-host name:address`.
pub fn extra_hosts(host: &HostConfig) -> Result<Vec<(String, IpAddr)>, ApiError> {
    let parse = |entry: &String| {
        let bad = || ApiError::bad_request(format!("bad format for add-host: {entry:?}"));
        let (name, address) = entry.split_once(':').filter(|(name, _)| !name.is_empty()).ok_or_else(bad)?;
        if address == "host-gateway" {
            return Ok((name.to_owned(), IpAddr::V4(crate::network::GATEWAY)));
        }
        let invalid = |_| ApiError::bad_request(format!("invalid IP address in add-host: {address:?}"));
        Ok((name.to_owned(), address.parse().map_err(invalid)?))
    };
    host.extra_hosts.iter().flatten().map(parse).collect()
}

/// `--dns` and its companions.
pub fn dns(host: &HostConfig, defaults: &Defaults) -> Result<Dns, ApiError> {
    let parse = |text: &String| {
        text.parse().map_err(|_| ApiError::bad_request(format!("{text} is not an ip address")))
    };
    let or = |own: &Option<Vec<String>>, usual: &[String]| {
        own.clone().filter(|words| !words.is_empty()).unwrap_or_else(|| usual.to_vec())
    };
    let one_line = |words: Vec<String>| {
        let bad = words.iter().find(|word| word.contains(['\n', '\0']));
        bad.map_or(Ok(words.clone()), |word| Err(ApiError::bad_request(format!("{word:?} is not one line"))))
    };
    Ok(Dns {
        servers: or(&host.dns, &defaults.dns).iter().map(parse).collect::<Result<_, _>>()?,
        search: one_line(or(&host.dns_search, &defaults.dns_search))?,
        options: one_line(or(&host.dns_options, &defaults.dns_options))?,
    })
}
