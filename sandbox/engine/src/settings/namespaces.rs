//! Whose namespaces a container has: its own, the lab host's, or those of another container.
//!
//! Pure. Whether that other container runs, and where its namespaces are, is known when the container is started
//! (see [`crate::container::donors`]).

use crate::error::ApiError;
use bollard_stubs::models::HostConfig;
use serde_json::{Map, Value};

/// The namespaces of a container. Its mount namespace is always its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespaces {
    /// The network, with its own namespace or without.
    pub network: Network,
    /// The pid namespace.
    pub pid: Sharing,
    /// The IPC namespace.
    pub ipc: Ipc,
    /// The UTS namespace.
    pub uts: Sharing,
    /// The cgroup namespace.
    pub cgroup: Sharing,
    /// The user namespace: its own where the engine is configured so (`userns-remap`), unless it asks for the lab host's.
    pub user: Sharing,
}

/// Whose a namespace is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// The container's own.
    Private,
    /// The lab host's.
    Host,
    /// That of the container with this id.
    Container(String),
}

/// The network of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// A veth pair into docker0.
    Bridge,
    /// Loopback only.
    None,
    /// The lab host's own.
    Host,
    /// That of the container with this id (or name, where there was none of that name at the creation).
    Container(String),
    /// One that there is not. Docker creates the container all the same, and refuses to start it.
    Missing(String),
}

/// The IPC namespace of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ipc {
    /// Its own, with a `/dev/shm` that nobody else can have.
    Private,
    /// Its own, which other containers may join, `/dev/shm` included.
    Shareable,
    /// Its own, without `/dev/shm`.
    None,
    /// The lab host's.
    Host,
    /// That of the container with this id.
    Container(String),
    /// One that there is not. Docker creates the container all the same, and refuses to start it.
    Missing(String),
}

/// What stands before the name of another container.
const CONTAINER: &str = "container:";

impl Namespaces {
    /// Parses `--network`, `--pid`, `--ipc`, `--uts`, `--cgroupns`.
    pub fn parse(host: &HostConfig) -> Result<Self, ApiError> {
        let uts = Sharing::parse(host.uts_mode.as_deref(), "UTS")?;
        let cgroup = host.cgroupns_mode.map(|mode| mode.to_string());
        let cgroup = Sharing::parse(cgroup.as_deref(), "cgroup namespace")?;
        let user = Sharing::parse(host.userns_mode.as_deref(), "USER")?;
        for (shared, what) in [(&uts, "UTS"), (&cgroup, "cgroup namespace"), (&user, "USER")] {
            if matches!(shared, Sharing::Container(_)) {
                return Err(ApiError::bad_request(format!("invalid {what} mode")));
            }
        }
        Ok(Self {
            network: Network::parse(host.network_mode.as_deref())?,
            pid: Sharing::parse(host.pid_mode.as_deref(), "PID")?,
            ipc: Ipc::parse(host.ipc_mode.as_deref()),
            uts,
            cgroup,
            user,
        })
    }

    /// Where the engine gives each container a user namespace of its own: what cannot be together with that, in Docker's
    /// words.
    pub fn check_user(&self, privileged: bool) -> Result<(), ApiError> {
        let conflict = match self {
            Self { user: Sharing::Host, .. } => return Ok(()),
            _ if privileged => {
                "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when \
                 running privileged mode"
            }
            Self { network: Network::Host, .. } => {
                "cannot share the host's network namespace when user namespaces are enabled"
            }
            Self { pid: Sharing::Host, .. } => {
                "cannot share the host PID namespace when user namespaces are enabled"
            }
            _ => return Ok(()),
        };
        Err(ApiError::bad_request(conflict))
    }

    /// Whether the hostname to show is the lab host's.
    pub fn show_host(&self) -> bool {
        self.network == Network::Host
    }
}

impl Sharing {
    /// Parses one mode. `what` is for the message.
    fn parse(mode: Option<&str>, what: &str) -> Result<Self, ApiError> {
        let mode = mode.unwrap_or_default();
        match (mode, mode.strip_prefix(CONTAINER)) {
            ("" | "private", _) => Ok(Self::Private),
            ("host", _) => Ok(Self::Host),
            (_, Some(other)) if !other.is_empty() => Ok(Self::Container(other.to_owned())),
            _ => Err(ApiError::bad_request(format!("invalid {what} mode"))),
        }
    }
}

impl Network {
    /// Parses `--network`.
    pub fn parse(mode: Option<&str>) -> Result<Self, ApiError> {
        let mode = mode.unwrap_or_default();
        match (mode, mode.split_once(':')) {
            ("" | "default" | "bridge", _) => Ok(Self::Bridge),
            ("none", _) => Ok(Self::None),
            ("host", _) => Ok(Self::Host),
            ("container", _) | (_, Some(("container", ""))) => Err(ApiError::bad_request(
                "Invalid network mode: invalid container format container:<name|id>",
            )),
            (_, Some(("container", other))) => Ok(Self::Container(other.to_owned())),
            (other, _) => Ok(Self::Missing(other.to_owned())),
        }
    }

    /// The network's name in `docker inspect`; another container's network is none.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Bridge => Some("bridge"),
            Self::None => Some("none"),
            Self::Host => Some("host"),
            Self::Container(_) => None,
            Self::Missing(name) => Some(name),
        }
    }
}

impl Ipc {
    /// Parses `--ipc`.
    fn parse(mode: Option<&str>) -> Self {
        let mode = mode.unwrap_or_default();
        match (mode, mode.strip_prefix(CONTAINER)) {
            ("" | "private", _) => Self::Private,
            ("shareable", _) => Self::Shareable,
            ("none", _) => Self::None,
            ("host", _) => Self::Host,
            (_, Some(other)) if !other.is_empty() => Self::Container(other.to_owned()),
            _ => Self::Missing(mode.to_owned()),
        }
    }
}

/// Writes ids for the names of other containers, as Docker does when a container is created: a rename later changes
/// nothing. `id_of` finds one by its name. A network's container may be missing until the start.
pub fn write_ids(body: &mut Value, id_of: impl Fn(&str) -> Result<String, ApiError>) -> Result<(), ApiError> {
    let Some(Value::Object(host)) = body.get_mut("HostConfig") else { return Ok(()) };
    let named = |host: &Map<String, Value>, key| {
        let name = host.get(key).and_then(Value::as_str).and_then(|mode| mode.strip_prefix(CONTAINER));
        name.filter(|name| !name.is_empty()).map(&id_of)
    };
    for key in ["IpcMode", "PidMode"] {
        if let Some(id) = named(host, key) {
            // Not Docker's usual 404, which to its client means that the image is missing.
            let id = id.map_err(|error| ApiError::bad_request(error.message))?;
            host.insert(key.into(), Value::String(format!("{CONTAINER}{id}")));
        }
    }
    if let Some(Ok(id)) = named(host, "NetworkMode") {
        host.insert("NetworkMode".into(), Value::String(format!("{CONTAINER}{id}")));
    }
    Ok(())
}

/// Refuses what cannot be together with the network or the UTS namespace of somebody else, in Docker's words and order.
/// The fields are the request's own: what an image exposes is nobody's wish.
pub fn check_conflicts(request: &Map<String, Value>) -> Result<(), ApiError> {
    let empty = Map::new();
    let host = request.get("HostConfig").and_then(Value::as_object).unwrap_or(&empty);
    let given = |fields: &Map<String, Value>, key: &str| match fields.get(key) {
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(fields)) => !fields.is_empty(),
        Some(Value::Bool(on)) => *on,
        _ => false,
    };
    let mode = |key: &str| host.get(key).and_then(Value::as_str).unwrap_or_default();
    let in_host = mode("NetworkMode") == "host";
    let in_container = mode("NetworkMode").starts_with(CONTAINER);
    let refused = [
        (in_container && given(request, "Hostname"), "hostname and the network mode"),
        (
            in_container && given(host, "Links"),
            "container type network can't be used with links. This would result in undefined behavior",
        ),
        (in_container && given(host, "Dns"), "dns and the network mode"),
        (in_container && given(host, "ExtraHosts"), "custom host-to-IP mapping and the network mode"),
        ((in_container || in_host) && given(request, "MacAddress"), "mac-address and the network mode"),
        (
            in_container && (given(host, "PortBindings") || given(host, "PublishAllPorts")),
            "port publishing and the container type network mode",
        ),
        (in_container && given(request, "ExposedPorts"), "port exposing and the container type network mode"),
        (mode("UTSMode") == "host" && given(request, "Hostname"), "hostname and the UTS mode"),
        (
            in_host && given(host, "Links"),
            "host type networking can't be used with links. This would result in undefined behavior",
        ),
    ];
    match refused.into_iter().find(|(conflict, _)| *conflict) {
        Some((_, what)) => Err(ApiError::bad_request(format!("conflicting options: {what}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(host: Value) -> Result<Namespaces, String> {
        Namespaces::parse(&serde_json::from_value(host).unwrap()).map_err(|error| error.message)
    }

    #[test]
    fn each_namespace_is_its_own_the_host_s_or_another_container_s() {
        let own = parse(json!({})).unwrap();
        assert_eq!((own.network, own.pid, own.ipc), (Network::Bridge, Sharing::Private, Ipc::Private));
        let shared = parse(json!({
            "NetworkMode": "container:a", "PidMode": "container:b", "IpcMode": "container:c", "UTSMode": "host",
            "CgroupnsMode": "host",
        }));
        let shared = shared.unwrap();
        assert_eq!(shared.network, Network::Container("a".into()));
        assert_eq!(shared.pid, Sharing::Container("b".into()));
        assert_eq!(shared.ipc, Ipc::Container("c".into()));
        assert_eq!((shared.uts, shared.cgroup), (Sharing::Host, Sharing::Host));
        assert_eq!(parse(json!({"IpcMode": "shareable"})).unwrap().ipc, Ipc::Shareable);
        assert_eq!(parse(json!({"IpcMode": "foo"})).unwrap().ipc, Ipc::Missing("foo".into()));
        for (host, message) in [
            (json!({"PidMode": "container:"}), "invalid PID mode"),
            (json!({"UTSMode": "container:a"}), "invalid UTS mode"),
            (
                json!({"NetworkMode": "container:"}),
                "Invalid network mode: invalid container format container:<name|id>",
            ),
        ] {
            assert_eq!(parse(host).unwrap_err(), message);
        }
    }

    #[test]
    fn names_become_ids_and_only_a_network_may_wait_for_its_container() {
        let id_of = |name: &str| match name {
            "a" => Ok("aaaa".to_owned()),
            other => Err(ApiError::no_such_container(other)),
        };
        let mut body = json!({"HostConfig": {"PidMode": "container:a", "NetworkMode": "container:b"}});
        write_ids(&mut body, id_of).unwrap();
        assert_eq!(body["HostConfig"], json!({"PidMode": "container:aaaa", "NetworkMode": "container:b"}));
        let mut body = json!({"HostConfig": {"IpcMode": "container:b"}});
        assert_eq!(write_ids(&mut body, id_of).unwrap_err(), ApiError::bad_request("No such container: b"));
        write_ids(&mut json!({"HostConfig": null}), id_of).unwrap();
    }

    #[test]
    fn what_belongs_to_another_s_network_cannot_be_asked_for() {
        let conflict = |body: Value| {
            check_conflicts(body.as_object().unwrap()).err().map(|error| error.message).unwrap_or_default()
        };
        let joined = |key: &str, value: Value| {
            conflict(json!({"HostConfig": {"NetworkMode": "container:a", key: value}}))
        };
        assert_eq!(joined("Dns", json!(["1.1.1.1"])), "conflicting options: dns and the network mode");
        assert_eq!(joined("Dns", json!([])), "");
        assert_eq!(
            joined("PublishAllPorts", json!(true)),
            "conflicting options: port publishing and the container type network mode"
        );
        assert_eq!(
            conflict(json!({"Hostname": "a", "HostConfig": {"UTSMode": "host"}})),
            "conflicting options: hostname and the UTS mode"
        );
        assert_eq!(conflict(json!({"Hostname": "a", "HostConfig": {"NetworkMode": "host"}})), "");
        assert_eq!(
            conflict(json!({"MacAddress": "02:42:ac:11:00:09", "HostConfig": {"NetworkMode": "host"}})),
            "conflicting options: mac-address and the network mode"
        );
    }
}
