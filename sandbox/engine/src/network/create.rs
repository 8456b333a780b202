//! A request for a network, parsed once into a record, in Docker's words where it is wrong. Pure.

use super::ipam::IpamConfig;
use super::record::{Driver, Record, is_predefined};
use crate::error::ApiError;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// How many bytes of name, labels and options a network may have: all of it is kept in memory and on disk.
const WORDS_BYTES_MAX: usize = 32 * 1024;

/// The body of `POST /networks/create`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Body {
    name: String,
    driver: Option<String>,
    internal: bool,
    attachable: bool,
    ingress: bool,
    config_only: bool,
    config_from: Option<Value>,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: Option<bool>,
    #[serde(rename = "IPAM")]
    ipam: Option<Ipam>,
    options: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Ipam {
    driver: Option<String>,
    options: Option<BTreeMap<String, String>>,
    config: Option<Vec<IpamConfig>>,
}

/// The record that a request describes. Where it leaves the subnet open, the record has none yet.
pub fn parse(body: Value) -> Result<Record, ApiError> {
    let unreadable = |error: serde_json::Error| ApiError::bad_request(format!("invalid JSON: {error}"));
    let body: Body = serde_json::from_value(body).map_err(unreadable)?;
    if is_predefined(&body.name) {
        let message = format!("operation is not permitted on predefined {} network ", body.name);
        return Err(ApiError::forbidden(message));
    }
    if body.name.trim().is_empty() {
        return Err(ApiError::bad_request(format!("invalid name: {}", body.name)));
    }
    check_driver(body.driver.as_deref().unwrap_or_default())?;
    for (what, asked) in [
        ("ingress networks (docker swarm)", body.ingress),
        ("--config-only", body.config_only),
        (
            "--config-from",
            body.config_from.as_ref().is_some_and(|from| from["Network"].as_str().unwrap_or_default() != ""),
        ),
    ] {
        if asked {
            return Err(ApiError::not_yet(what));
        }
    }
    let ipam = body.ipam.unwrap_or_default();
    if let Some(driver) = ipam.driver.as_deref().filter(|driver| !matches!(*driver, "" | "default")) {
        return Err(no_plugin(driver));
    }
    let configs = ipam.config.unwrap_or_default();
    let mut configs = configs.into_iter().filter(|config| *config != IpamConfig::default());
    let config = configs.next();
    if configs.next().is_some() {
        return Err(ApiError::bad_request("bridge driver doesn't support multiple subnets"));
    }
    if body.enable_ipv6 == Some(true) {
        return Err(match &config {
            Some(config) if config.subnet.contains(':') => {
                ApiError::not_yet("IPv6 networks (docker network create --ipv6)")
            }
            _ => ApiError::internal(
                "could not find an available, non-overlapping IPv6 address pool among the defaults to assign to the network",
            ),
        });
    }
    let record = Record {
        internal: body.internal,
        attachable: body.attachable,
        labels: body.labels.unwrap_or_default(),
        options: body.options.unwrap_or_default(),
        ipam_options: Some(ipam.options.unwrap_or_default()),
        subnet_chosen: config.as_ref().is_some_and(|config| !config.subnet.is_empty()),
        ipam: config,
        ..Record::new(&body.name, Driver::Bridge)
    };
    check_words(&record)?;
    Ok(record)
}

fn check_driver(driver: &str) -> Result<(), ApiError> {
    match driver {
        "" | "default" | "bridge" => Ok(()),
        "host" | "null" => {
            Err(ApiError::forbidden(format!("only one instance of \"{driver}\" network is allowed")))
        }
        "overlay" => Err(ApiError::forbidden(
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node \
             to swarm and try again.",
        )),
        "macvlan" | "ipvlan" => {
            Err(ApiError::not_yet(&format!("{driver} networks (docker network create --driver)")))
        }
        other => Err(no_plugin(other)),
    }
}

fn no_plugin(name: &str) -> ApiError {
    ApiError::not_found(format!("plugin {name:?} not found"))
}

fn check_words(record: &Record) -> Result<(), ApiError> {
    let pairs = record.labels.iter().chain(&record.options).chain(record.ipam_options.iter().flatten());
    let bytes = record.name.len() + pairs.map(|(key, value)| key.len() + value.len()).sum::<usize>();
    if bytes > WORDS_BYTES_MAX {
        return Err(ApiError::bad_request(format!(
            "{bytes} bytes of name, labels and options; at most {WORDS_BYTES_MAX}"
        )));
    }
    for (option, word) in [
        ("com.docker.network.bridge.enable_icc", "bool"),
        ("com.docker.network.bridge.enable_ip_masquerade", "bool"),
        ("com.docker.network.driver.mtu", "number"),
        ("com.docker.network.bridge.host_binding_ipv4", "address"),
    ] {
        let Some(value) = record.option(option) else { continue };
        let good = match word {
            "bool" => parse_bool(value).is_some(),
            // Ethernet's least, and the most that the kernel gives a veth.
            "number" => value.parse::<u32>().is_ok_and(|mtu| (68..=65535).contains(&mtu)),
            _ => value.parse::<std::net::Ipv4Addr>().is_ok(),
        };
        if !good {
            return Err(ApiError::bad_request(format!(
                "invalid value for option {option:?}: {value:?} is no {word}"
            )));
        }
    }
    Ok(())
}

/// A switch as Go reads it.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_request_becomes_a_record() {
        let record = parse(json!({
            "Name": "web", "CheckDuplicate": true, "Driver": "bridge", "Internal": true, "Labels": {"a": "b"},
            "IPAM": {"Driver": "default", "Config": [{"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.9"}]}, "Options": {},
        }))
        .unwrap();
        assert!(record.internal && record.subnet_chosen && !record.attachable);
        assert_eq!(record.ipam.unwrap().gateway, "10.0.0.9");
        let plain = parse(json!({ "Name": "web", "IPAM": { "Config": [{}] }, "Labels": null })).unwrap();
        assert!(plain.ipam.is_none() && !plain.subnet_chosen);
    }

    #[test]
    fn what_is_wrong_is_told_in_docker_s_words() {
        let two = json!({ "Config": [{"Subnet": "10.0.0.0/24"}, {"Subnet": "10.0.1.0/24"}] });
        for (body, status, words) in [
            (json!({"Name": "bridge"}), 403, "operation is not permitted on predefined bridge network "),
            (json!({"Name": " "}), 400, "invalid name:  "),
            (json!({"Name": "a", "Driver": "foo"}), 404, "plugin \"foo\" not found"),
            (json!({"Name": "a", "Driver": "host"}), 403, "only one instance of \"host\" network is allowed"),
            (json!({"Name": "a", "IPAM": {"Driver": "foo"}}), 404, "plugin \"foo\" not found"),
            (json!({"Name": "a", "IPAM": two}), 400, "bridge driver doesn't support multiple subnets"),
        ] {
            let error = parse(body.clone()).unwrap_err();
            assert_eq!((error.status.as_u16(), error.message.as_str()), (status, words), "{body}");
        }
        for body in [
            json!({"Name": "a", "Labels": {"x": "y".repeat(WORDS_BYTES_MAX)}}),
            json!({"Name": "a", "Options": {"com.docker.network.driver.mtu": "1"}}),
            json!({"Name": 1}),
            json!([]),
            json!(null),
        ] {
            assert_eq!(parse(body.clone()).unwrap_err().status.as_u16(), 400, "{body}");
        }
    }
}
