//! Nothing that a client asks for is silently ignored: a create request may hold only fields that the engine does,
//! or fields at a value that asks for nothing.

use crate::error::ApiError;
use serde_json::{Map, Value};

/// Fields of the request itself that the engine does, or that are labels for `docker inspect` only.
const CONFIG: &[&str] = &[
    "Hostname",
    "Domainname",
    "User",
    "AttachStdin",
    "AttachStdout",
    "AttachStderr",
    "Tty",
    "OpenStdin",
    "StdinOnce",
    "Env",
    "Cmd",
    "ArgsEscaped",
    "Image",
    "WorkingDir",
    "Entrypoint",
    "OnBuild",
    "Labels",
    "StopSignal",
    "StopTimeout",
    "Shell",
    "ExposedPorts",
    "Volumes",
    "HostConfig",
    "Healthcheck",
    "NetworkingConfig",
    "MacAddress",
];

/// Fields of `HostConfig` that the engine does. `ContainerIDFile` and `ConsoleSize` are the client's own business, and
/// the limits are those that the engine discards with Docker's own warning (see `limits.rs`).
const HOST_CONFIG: &[&str] = &[
    "NetworkMode",
    "PortBindings",
    "PublishAllPorts",
    "Links",
    "AutoRemove",
    "CapAdd",
    "CapDrop",
    "CgroupnsMode",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "ExtraHosts",
    "GroupAdd",
    "IpcMode",
    "PidMode",
    "Privileged",
    "ReadonlyRootfs",
    "SecurityOpt",
    "Tmpfs",
    "UTSMode",
    "ShmSize",
    "Sysctls",
    "Ulimits",
    "MaskedPaths",
    "ReadonlyPaths",
    "Binds",
    "Mounts",
    "VolumesFrom",
    "VolumeDriver",
    "ContainerIDFile",
    "ConsoleSize",
    "Memory",
    "MemorySwap",
    "MemoryReservation",
    "MemorySwappiness",
    "PidsLimit",
    "NanoCpus",
    "CpuShares",
    "CpuPeriod",
    "CpuQuota",
    "CpusetCpus",
    "CpusetMems",
    "BlkioWeight",
    "RestartPolicy",
    "Devices",
    "DeviceCgroupRules",
    "Init",
    "OomScoreAdj",
    "OomKillDisable",
    "Runtime",
    "Isolation",
    "StorageOpt",
    "LogConfig",
    "CgroupParent",
    "Annotations",
    "UsernsMode",
    "DeviceRequests",
];

/// What people type for a field, for the message.
const FLAGS: &[(&str, &str)] =
    &[("KernelMemory", "--kernel-memory"), ("BlkioDeviceReadBps", "--device-read-bps")];

/// Refuses a create request that asks for what the engine does not do, naming the field.
pub fn unsupported(request: &Map<String, Value>) -> Result<(), ApiError> {
    for (key, value) in request {
        if !CONFIG.contains(&key.as_str()) && !is_empty(value) {
            return Err(refusal("", key));
        }
    }
    if let Some(Value::Object(host_config)) = request.get("HostConfig") {
        for (key, value) in host_config {
            if !HOST_CONFIG.contains(&key.as_str()) && !is_empty(value) {
                return Err(refusal("HostConfig.", key));
            }
        }
    }
    Ok(())
}

fn refusal(section: &str, key: &str) -> ApiError {
    match FLAGS.iter().find(|(field, _)| *field == key) {
        Some((_, flag)) => ApiError::not_yet(&format!("{flag} ({section}{key})")),
        None => ApiError::not_yet(&format!("{section}{key}")),
    }
}

/// Null, false, zero, or made of nothing else: what asks for nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.iter().all(is_empty),
        Value::Object(fields) => fields.values().all(is_empty),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn verdict(request: Value) -> Result<(), String> {
        unsupported(request.as_object().unwrap()).map_err(|error| {
            assert_eq!(error.status.as_u16(), 501);
            error.message
        })
    }

    #[test]
    fn what_asks_for_nothing_passes() {
        let quiet = json!({
            "Image": "x", "Volumes": {}, "Healthcheck": {"Test": ["NONE"]},
            "NetworkingConfig": {"EndpointsConfig": {"default": {"IPAMConfig": null, "Aliases": null, "MacAddress": ""}}},
            "HostConfig": {
                "Binds": null, "PortBindings": {}, "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
                "LogConfig": {"Type": "", "Config": {}}, "Devices": [], "OomKillDisable": false, "OomScoreAdj": 0,
                "Isolation": "", "UsernsMode": "host", "SomethingNew": 0,
            },
        });
        assert_eq!(verdict(quiet), Ok(()));
    }

    #[test]
    fn what_we_do_not_do_is_named() {
        let refused = |field: &str, value: Value| verdict(json!({"HostConfig": {field: value}})).unwrap_err();
        assert_eq!(
            refused("KernelMemory", json!(67_108_864)),
            "Isolab's engine does not do --kernel-memory (HostConfig.KernelMemory) yet"
        );
        let message = refused("SomethingNew", json!("yes"));
        assert!(message.contains("HostConfig.SomethingNew"), "{message}");
    }
}
