//! The order of the fields of an answer. Docker writes them as its Go structs have them, and people read `docker inspect` in
//! that order: the name comes first. What is a map there (labels, ports, networks) is in the order of its keys, as all of ours is.
//!
//! Fields that are not named here come behind those that are.

use crate::json::Json;
use Shape::{Each, Fields};
use axum::response::{IntoResponse, Response};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// In which order an object's fields come, and what they hold. A list has the shape of its items.
#[derive(Debug)]
pub enum Shape {
    /// The fields, by their names with spaces between, and the shapes of those that have one.
    Fields(&'static str, &'static [(&'static str, &'static Shape)]),
    /// A map, whose values all have this shape.
    Each(&'static Shape),
}

/// An answer whose fields are in the order of a shape.
#[derive(Debug)]
pub struct Ordered<'a>(pub &'a Value, pub Option<&'static Shape>);

/// An answer of this shape.
pub fn answer(value: &Value, shape: &'static Shape) -> Response {
    Json(Ordered(value, Some(shape))).into_response()
}

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(value, shape) = *self;
        match value {
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&Ordered(item, shape))?;
                }
                list.end()
            }
            Value::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                let names = shape.map_or("", Shape::names);
                for name in names.split_ascii_whitespace() {
                    if let Some(value) = fields.get(name) {
                        map.serialize_entry(name, &Ordered(value, shape.and_then(|shape| shape.of(name))))?;
                    }
                }
                for (name, value) in fields {
                    if !names.split_ascii_whitespace().any(|other| other == name) {
                        map.serialize_entry(name, &Ordered(value, shape.and_then(|shape| shape.of(name))))?;
                    }
                }
                map.end()
            }
            plain => plain.serialize(serializer),
        }
    }
}

impl Shape {
    fn names(&self) -> &'static str {
        match self {
            Fields(names, _) => names,
            Each(_) => "",
        }
    }

    fn of(&self, name: &str) -> Option<&'static Self> {
        match self {
            Fields(_, shapes) => shapes.iter().find(|(field, _)| *field == name).map(|(_, shape)| *shape),
            Each(shape) => Some(shape),
        }
    }
}

/// `docker inspect`.
pub static CONTAINER: Shape = Fields(
    "Id Created Path Args State Image ResolvConfPath HostnamePath HostsPath LogPath Name RestartCount Driver Platform \
     MountLabel ProcessLabel AppArmorProfile ExecIDs HostConfig GraphDriver SizeRw SizeRootFs Mounts Config NetworkSettings",
    &[
        ("State", &STATE),
        ("HostConfig", &HOST_CONFIG),
        ("Mounts", &MOUNT_POINT),
        ("Config", &CONFIG),
        ("NetworkSettings", &NETWORK_SETTINGS),
    ],
);

/// `docker ps`.
pub static CONTAINER_SUMMARY: Shape = Fields(
    "Id Names Image ImageID Command Created Ports SizeRw SizeRootFs Labels State Status HostConfig NetworkSettings Mounts",
    &[("NetworkSettings", &NETWORK_SETTINGS), ("Mounts", &MOUNT_POINT)],
);

/// `docker image inspect`.
pub static IMAGE: Shape = Fields(
    "Id RepoTags RepoDigests Parent Comment Created Container ContainerConfig DockerVersion Author Config Architecture \
     Variant Os OsVersion Size VirtualSize GraphDriver RootFS Metadata",
    &[("ContainerConfig", &CONFIG), ("Config", &CONFIG), ("RootFS", &Fields("Type Layers", &[]))],
);

/// `docker network inspect`.
pub static NETWORK: Shape = Fields(
    "Name Id Created Scope Driver EnableIPv6 IPAM Internal Attachable Ingress ConfigFrom ConfigOnly Containers Options Labels",
    &[
        (
            "IPAM",
            &Fields(
                "Driver Options Config",
                &[("Config", &Fields("Subnet IPRange Gateway AuxiliaryAddresses", &[]))],
            ),
        ),
        ("Containers", &Each(&Fields("Name EndpointID MacAddress IPv4Address IPv6Address", &[]))),
    ],
);

/// How clients learn how an exec has ended.
pub static EXEC: Shape = Fields(
    "ID Running ExitCode ProcessConfig OpenStdin OpenStderr OpenStdout CanRemove ContainerID DetachKeys Pid",
    &[("ProcessConfig", &Fields("tty entrypoint arguments privileged user", &[]))],
);

static STATE: Shape = Fields(
    "Status Running Paused Restarting OOMKilled Dead Pid ExitCode Error StartedAt FinishedAt Health",
    &[("Health", &Fields("Status FailingStreak Log", &[("Log", &Fields("Start End ExitCode Output", &[]))]))],
);

static MOUNT_POINT: Shape = Fields("Type Name Source Destination Driver Mode RW Propagation", &[]);

static HOST_CONFIG: Shape = Fields(
    "Binds ContainerIDFile LogConfig NetworkMode PortBindings RestartPolicy AutoRemove VolumeDriver VolumesFrom CapAdd \
     CapDrop CgroupnsMode Dns DnsOptions DnsSearch ExtraHosts GroupAdd IpcMode Cgroup Links OomScoreAdj PidMode Privileged \
     PublishAllPorts ReadonlyRootfs SecurityOpt StorageOpt Tmpfs UTSMode UsernsMode ShmSize Sysctls Runtime ConsoleSize \
     Isolation CpuShares Memory NanoCpus CgroupParent BlkioWeight BlkioWeightDevice BlkioDeviceReadBps BlkioDeviceWriteBps \
     BlkioDeviceReadIOps BlkioDeviceWriteIOps CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime CpusetCpus CpusetMems \
     Devices DeviceCgroupRules DeviceRequests KernelMemory KernelMemoryTCP MemoryReservation MemorySwap MemorySwappiness \
     OomKillDisable PidsLimit Ulimits CpuCount CpuPercent IOMaximumIOps IOMaximumBandwidth Mounts MaskedPaths ReadonlyPaths \
     Init",
    &[
        ("LogConfig", &Fields("Type Config", &[])),
        ("RestartPolicy", &Fields("Name MaximumRetryCount", &[])),
        ("Devices", &Fields("PathOnHost PathInContainer CgroupPermissions", &[])),
        ("DeviceRequests", &Fields("Driver Count DeviceIDs Capabilities Options", &[])),
        ("Ulimits", &Fields("Name Hard Soft", &[])),
        ("BlkioWeightDevice", &Fields("Path Weight", &[])),
        (
            "Mounts",
            &Fields(
                "Type Source Target ReadOnly Consistency BindOptions VolumeOptions TmpfsOptions",
                &[("VolumeOptions", &Fields("NoCopy Labels DriverConfig", &[]))],
            ),
        ),
    ],
);

static CONFIG: Shape = Fields(
    "Hostname Domainname User AttachStdin AttachStdout AttachStderr ExposedPorts Tty OpenStdin StdinOnce Env Cmd Healthcheck \
     ArgsEscaped Image Volumes WorkingDir Entrypoint NetworkDisabled MacAddress OnBuild Labels StopSignal StopTimeout Shell",
    &[("Healthcheck", &Fields("Test Interval Timeout StartPeriod Retries", &[]))],
);

static NETWORK_SETTINGS: Shape = Fields(
    "Bridge SandboxID HairpinMode LinkLocalIPv6Address LinkLocalIPv6PrefixLen Ports SandboxKey SecondaryIPAddresses \
     SecondaryIPv6Addresses EndpointID Gateway GlobalIPv6Address GlobalIPv6PrefixLen IPAddress IPPrefixLen IPv6Gateway \
     MacAddress Networks",
    &[(
        "Networks",
        &Each(&Fields(
            "IPAMConfig Links Aliases NetworkID EndpointID Gateway IPAddress IPPrefixLen IPv6Gateway GlobalIPv6Address \
             GlobalIPv6PrefixLen MacAddress DriverOpts",
            &[],
        )),
    )],
);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn named_fields_come_first_and_maps_in_the_order_of_their_keys() {
        static SHAPE: Shape = Fields("Z A", &[("A", &Each(&Fields("y x", &[])))]);
        let value = json!([{ "B": {"b": 1, "a": 2}, "A": {"m": {"x": 1, "y": 2}, "c": null}, "Z": [1] }]);
        let text = serde_json::to_string(&Ordered(&value, Some(&SHAPE))).unwrap();
        assert_eq!(text, r#"[{"Z":[1],"A":{"c":null,"m":{"y":2,"x":1}},"B":{"a":2,"b":1}}]"#);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
