//! The section `NetworkSettings` of `docker inspect`, and the networks of `docker ps`.

use crate::container::{Container, Phase};
use crate::network::ports::{Port, Protocol};
use crate::network::{Attachment, Cabling, Endpoint, Published};
use bollard_stubs::models::{PortSummary, PortSummaryTypeEnum};
use serde_json::{Map, Value, json};

/// The section for a container in this phase.
pub fn document(container: &Container, phase: &Phase) -> Value {
    let cabling = cabling(phase);
    let first =
        cabling.and_then(|cabling| cabling.endpoints().iter().find(|endpoint| endpoint.network == "bridge"));
    let (sandbox, key) = container.sandbox().clone();
    let mut settings = json!({
        "Bridge": "", "SandboxID": sandbox,
        "HairpinMode": false, "LinkLocalIPv6Address": "", "LinkLocalIPv6PrefixLen": 0, "Ports": ports(container, cabling),
        "SandboxKey": key,
        "SecondaryIPAddresses": null, "SecondaryIPv6Addresses": null,
        "Networks": networks(container, phase),
    });
    // What tutorials read (`{{.NetworkSettings.IPAddress}}`): the address in the default network.
    if let (Some(settings), Value::Object(first)) = (settings.as_object_mut(), addresses(first)) {
        settings.extend(first);
    }
    settings
}

/// The ports of a container that runs: where they are published, or null for those that are only exposed.
fn ports(container: &Container, cabling: Option<&Cabling>) -> Value {
    let Some(cabling) = cabling else { return json!({}) };
    let mut ports = Map::new();
    for port in &container.request.settings.exposed {
        ports.insert(port.to_string(), Value::Null);
    }
    for Published { port, address, host } in cabling.published() {
        let places = ports.entry(port.to_string()).or_insert_with(|| json!([]));
        if let Value::Array(places) = places {
            places.push(json!({ "HostIp": address.to_string(), "HostPort": host.to_string() }));
        }
    }
    Value::Object(ports)
}

/// The same for `docker ps`.
pub fn port_summaries(container: &Container, phase: &Phase) -> Vec<PortSummary> {
    let Some(cabling) = cabling(phase) else { return vec![] };
    let of = |port: &Port, public: Option<&Published>| PortSummary {
        ip: public.map(|published| published.address.to_string()),
        private_port: port.number,
        public_port: public.map(|published| published.host),
        typ: Some(match port.protocol {
            Protocol::Tcp => PortSummaryTypeEnum::TCP,
            Protocol::Udp => PortSummaryTypeEnum::UDP,
        }),
    };
    let published = cabling.published().iter().map(|published| of(&published.port, Some(published)));
    published.chain(container.request.settings.exposed.iter().map(|port| of(port, None))).collect()
}

fn cabling(phase: &Phase) -> Option<&Cabling> {
    match phase {
        Phase::Running(running) => Some(&running.cabling),
        _ => None,
    }
}

/// The networks that a container is in, by their names.
pub fn networks(container: &Container, phase: &Phase) -> Value {
    let attachments = container.attachments();
    let entry = |attachment: &Attachment| {
        let endpoints = cabling(phase).into_iter().flat_map(|cabling| cabling.endpoints());
        let endpoint = endpoints.into_iter().find(|endpoint| endpoint.network_id == attachment.network_id);
        let mut entry = addresses(endpoint);
        entry["IPAMConfig"] = json!(attachment.ipam);
        entry["Links"] = json!(attachment.links);
        entry["Aliases"] = json!(attachment.aliases);
        entry["NetworkID"] = json!(attachment.network_id);
        entry["DriverOpts"] = json!(attachment.driver_opts);
        (attachment.network.clone(), entry)
    };
    Value::Object(attachments.iter().map(entry).collect::<Map<_, _>>())
}

/// The addresses of an endpoint; empty words where there is none, as Docker has it.
fn addresses(endpoint: Option<&Endpoint>) -> Value {
    let socket = endpoint.and_then(|endpoint| endpoint.socket.as_ref());
    let gateway = socket.and_then(|socket| socket.gateway).map(|gateway| gateway.to_string());
    json!({
        "EndpointID": endpoint.map(|endpoint| endpoint.id.as_str()).unwrap_or_default(),
        "Gateway": gateway.unwrap_or_default(),
        "IPAddress": socket.map(|socket| socket.address.to_string()).unwrap_or_default(),
        "IPPrefixLen": socket.map_or(0, |socket| socket.prefix),
        "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0,
        "MacAddress": socket.map(|socket| socket.mac_text()).unwrap_or_default(),
    })
}
