//! Which ports of a container are to be reached from outside: `-p`, `-P`, `EXPOSE`. Pure.

use crate::error::ApiError;
use bollard_stubs::models::{ContainerConfig, HostConfig};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

/// The most ports that one container publishes: each is a socket of the engine's, or two.
const PORTS_MAX: usize = 256;

/// What runs over a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

/// A port of a container: `80/tcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// Its number.
    pub number: u16,
    /// What runs over it.
    pub protocol: Protocol,
}

/// A port that is to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The container's.
    pub port: Port,
    /// Where; `None`: at all addresses.
    pub address: Option<IpAddr>,
    /// One of these; `None`: whichever is free.
    pub host: Option<RangeInclusive<u16>>,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol.word())
    }
}

impl Protocol {
    /// Docker's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl Port {
    /// Reads `80/tcp`, or `80`.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let number =
            number.parse().map_err(|_| ApiError::bad_request(format!("Invalid containerPort: {number}")))?;
        let protocol = match protocol.to_ascii_lowercase().as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => return Err(ApiError::not_yet("ports of SCTP")),
            _ => return Err(ApiError::bad_request(format!("invalid port specification: {text:?}"))),
        };
        Ok(Self { number, protocol })
    }
}

/// The ports that a request wants to be published, in order, and those that it only exposes.
pub fn parse(config: &ContainerConfig, host: &HostConfig) -> Result<(Vec<Wanted>, Vec<Port>), ApiError> {
    let mut wanted = vec![];
    for (text, bindings) in host.port_bindings.iter().flatten() {
        let port = Port::parse(text)?;
        for binding in bindings.iter().flatten() {
            let address = match binding.host_ip.as_deref().unwrap_or_default() {
                "" | "0.0.0.0" if binding.host_ip.as_deref() != Some("0.0.0.0") => None,
                text => Some(text.parse().map_err(|_| {
                    ApiError::bad_request(format!("invalid IP address in port binding: {text:?}"))
                })?),
            };
            wanted.push(Wanted {
                port,
                address,
                host: host_ports(binding.host_port.as_deref().unwrap_or_default())?,
            });
        }
        if bindings.as_ref().is_none_or(Vec::is_empty) {
            wanted.push(Wanted { port, address: None, host: None });
        }
    }
    let mut exposed =
        config.exposed_ports.iter().flatten().map(|text| Port::parse(text)).collect::<Result<Vec<_>, _>>()?;
    exposed.sort();
    if host.publish_all_ports == Some(true) {
        let bound = |port: &Port| wanted.iter().any(|wanted: &Wanted| wanted.port == *port);
        let others: Vec<_> = exposed.iter().filter(|port| !bound(port)).copied().collect();
        wanted.extend(others.into_iter().map(|port| Wanted { port, address: None, host: None }));
    }
    wanted.sort_by_key(|wanted| wanted.port);
    if wanted.len() > PORTS_MAX {
        return Err(ApiError::bad_request(format!("a container publishes at most {PORTS_MAX} ports")));
    }
    exposed.retain(|port| !wanted.iter().any(|wanted| wanted.port == *port));
    Ok((wanted, exposed))
}

/// `8080`, `8080-8090`, or nothing.
fn host_ports(text: &str) -> Result<Option<RangeInclusive<u16>>, ApiError> {
    let bad = || ApiError::bad_request(format!("invalid port specification: {text:?}"));
    let number = |text: &str| text.parse::<u16>().map_err(|_| bad());
    let range = match text.split_once('-') {
        None if text.is_empty() => return Ok(None),
        None => number(text)?..=number(text)?,
        Some((first, last)) => number(first)?..=number(last)?,
    };
    match (range.is_empty(), *range.start()) {
        (true, _) => Err(bad()),
        (false, 0) => Ok(None),
        _ => Ok(Some(range)),
    }
}

/// Where ports that nobody chose begin and end: the kernel's own ephemeral ports, as with Docker.
pub fn ephemeral(text: &str) -> RangeInclusive<u16> {
    let mut numbers = text.split_whitespace().filter_map(|word| word.parse::<u16>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(first), Some(last)) if first <= last && first > 0 => first..=last,
        _ => 49153..=65535,
    }
}

/// The address that stands for all of a kind.
pub const ALL: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn wanted(bindings: Value, exposed: &[&str], all: bool) -> Result<(Vec<Wanted>, Vec<Port>), ApiError> {
        let host =
            serde_json::from_value(json!({ "PortBindings": bindings, "PublishAllPorts": all })).unwrap();
        let exposed_ports = Some(exposed.iter().map(|&port| port.to_owned()).collect());
        parse(&ContainerConfig { exposed_ports, ..ContainerConfig::default() }, &host)
    }

    #[test]
    fn ports_are_read() {
        let bindings = json!({
            "80/tcp": [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": "8000-8010"}],
            "53/udp": [{"HostPort": "0"}],
        });
        let (wanted, exposed) = wanted(bindings, &["81/tcp", "80/tcp"], false).unwrap();
        let summary: Vec<_> =
            wanted.iter().map(|w| (w.port.to_string(), w.address, w.host.clone())).collect();
        assert_eq!(
            summary,
            [
                ("53/udp".into(), None, None),
                ("80/tcp".into(), None, Some(8080..=8080)),
                ("80/tcp".into(), Some("127.0.0.1".parse().unwrap()), Some(8000..=8010)),
            ]
        );
        assert_eq!(exposed.iter().map(Port::to_string).collect::<Vec<_>>(), ["81/tcp"]);
    }

    #[test]
    fn all_exposed_ports_can_be_wanted() {
        let (all, exposed) =
            wanted(json!({"80/tcp": [{"HostPort": "8080"}]}), &["80/tcp", "82/tcp"], true).unwrap();
        assert_eq!(
            all.iter().map(|w| (w.port.number, w.host.is_some())).collect::<Vec<_>>(),
            [(80, true), (82, false)]
        );
        assert!(exposed.is_empty());
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for bad in [
            json!({"x/tcp": [{"HostPort": "1"}]}),
            json!({"80/foo": [{"HostPort": "1"}]}),
            json!({"80/tcp": [{"HostPort": "x"}]}),
            json!({"80/tcp": [{"HostPort": "9-8"}]}),
            json!({"80/tcp": [{"HostPort": "99999"}]}),
            json!({"80/tcp": [{"HostIp": "x", "HostPort": "1"}]}),
        ] {
            assert!(wanted(bad.clone(), &[], false).is_err(), "{bad}");
        }
        let many: Vec<_> = (0..=PORTS_MAX).map(|_| json!({"HostPort": ""})).collect();
        assert!(wanted(json!({ "80/tcp": many }), &[], false).is_err());
        assert_eq!(ephemeral("32768\t60999\n"), 32768..=60999);
        assert_eq!(ephemeral("x"), 49153..=65535);
    }
}
