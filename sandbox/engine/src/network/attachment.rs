//! Which networks a container is to be in, and how: what was asked for at its creation, and what `docker network connect`
//! has changed since. Kept in the container's directory.

use super::record::Record;
use crate::error::ApiError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

/// The most networks of one container: as many as there can be cables at its start.
const ATTACHMENTS_MAX: usize = 32;
/// How many aliases a container may have in one network, and how long they may be: each lookup of a name sees them all.
const ALIASES_MAX: usize = 64;
const ALIAS_BYTES_MAX: usize = 255;

/// Where in a container's directory its attachments are kept.
const FILE: &str = "networks.json";

/// One network that a container is to be in. The fields are those of the API, which gives them back as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Attachment {
    /// The network as the client named it; its name, once it is known.
    pub network: String,
    /// Its id, once it is known.
    #[serde(rename = "NetworkID")]
    pub network_id: String,
    /// `--ip`: the document, of which only `IPv4Address` means something here.
    #[serde(rename = "IPAMConfig")]
    pub ipam: Option<BTreeMap<String, Value>>,
    /// `--link`.
    pub links: Option<Vec<String>>,
    /// `--network-alias`, and what Docker adds: the short id, and the hostname where it is another.
    pub aliases: Option<Vec<String>>,
    /// `--mac-address`.
    pub mac_address: Option<String>,
    /// `--driver-opt`.
    pub driver_opts: Option<BTreeMap<String, String>>,
}

/// All networks of a container, in the order in which they were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attachments(Vec<Attachment>);

impl Attachment {
    /// Reads `EndpointSettings`. What is wrong with an address is told as when a container is created.
    pub fn parse(network: &str, settings: &Value) -> Result<Self, ApiError> {
        let unreadable = |error: serde_json::Error| ApiError::bad_request(format!("invalid JSON: {error}"));
        let read: Option<Self> = serde_json::from_value(settings.clone()).map_err(unreadable)?;
        let attachment =
            Self { network: network.into(), network_id: String::new(), ..read.unwrap_or_default() };
        if let Some(text) = attachment.address_text("IPv4Address")
            && text.parse::<Ipv4Addr>().is_err()
        {
            return Err(ApiError::bad_request(format!("invalid IPv4 address: {text}")));
        }
        if attachment.address_text("IPv6Address").is_some() {
            return Err(ApiError::bad_request(
                "user specified IP address is supported only when connecting to networks with user configured subnets",
            ));
        }
        attachment.mac()?;
        let aliases = attachment.aliases.iter().chain(&attachment.links).flatten();
        let fit =
            aliases.clone().count() <= ALIASES_MAX && aliases.into_iter().all(|a| a.len() <= ALIAS_BYTES_MAX);
        if !fit {
            return Err(ApiError::bad_request(format!(
                "at most {ALIASES_MAX} aliases and links of at most {ALIAS_BYTES_MAX} bytes"
            )));
        }
        Ok(attachment)
    }

    fn address_text(&self, key: &str) -> Option<&str> {
        self.ipam.as_ref()?.get(key)?.as_str().filter(|text| !text.is_empty())
    }

    /// `--ip`.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.address_text("IPv4Address")?.parse().ok()
    }

    /// `--mac-address`.
    pub fn mac(&self) -> Result<Option<[u8; 6]>, ApiError> {
        let Some(text) = self.mac_address.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
        parse_mac(text).map(Some).ok_or_else(|| ApiError::bad_request(format!("invalid MAC address: {text}")))
    }

    /// `--link NAME:ALIAS`, as alias and name.
    pub fn links_by_alias(&self) -> Vec<(String, String)> {
        let split = |link: &String| match link.split_once(':') {
            Some((name, alias)) => (alias.to_owned(), name.to_owned()),
            None => (link.clone(), link.clone()),
        };
        self.links.iter().flatten().map(split).collect()
    }

    /// Whether this is the network of this record.
    pub fn is_to(&self, record: &Record) -> bool {
        if self.network_id.is_empty() {
            self.network == record.name || self.network == record.id
        } else {
            self.network_id == record.id
        }
    }

    /// Fills in what is known once the network is: its name and id and, in a user-defined one, the aliases that every
    /// container has.
    pub fn resolve(&mut self, record: &Record, short_id: &str, hostname: &str) {
        self.network.clone_from(&record.name);
        self.network_id.clone_from(&record.id);
        if record.is_predefined() {
            return;
        }
        let aliases = self.aliases.get_or_insert_default();
        for usual in [short_id, hostname] {
            if !usual.is_empty() && !aliases.iter().any(|alias| alias == usual) {
                aliases.push(usual.to_owned());
            }
        }
    }
}

/// A hardware address as `02:42:ac:11:00:02`.
fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let byte = |text: &str| match text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        true => u8::from_str_radix(text, 16).ok(),
        false => None,
    };
    let bytes: Option<Vec<u8>> = text.split([':', '-']).map(byte).collect();
    bytes?.try_into().ok()
}

impl Attachments {
    /// What a create request asks for: the network of its mode, with what `NetworkingConfig` says of it, and the hardware
    /// address of the container's own configuration.
    pub fn parse(mode: &str, networking: Option<&Value>, mac: Option<&str>) -> Result<Self, ApiError> {
        if mode.starts_with("container:") {
            // Whatever the other one is in.
            return Ok(Self::default());
        }
        let endpoints = networking.and_then(|config| config["EndpointsConfig"].as_object());
        let endpoints: Vec<_> = endpoints.into_iter().flatten().collect();
        if endpoints.len() > 1 {
            let names: Vec<_> = endpoints.iter().map(|(name, _)| name.as_str()).collect();
            let message = format!("Container cannot be connected to network endpoints: {}", names.join(", "));
            return Err(ApiError::bad_request(message));
        }
        let network = if matches!(mode, "" | "default") { "bridge" } else { mode };
        let mut attachment = match endpoints.first() {
            Some((name, settings)) => {
                let name = if name.as_str() == "default" { "bridge" } else { name.as_str() };
                Attachment::parse(name, settings)?
            }
            None => Attachment { network: network.into(), ..Attachment::default() },
        };
        if let Some(mac) = mac.filter(|mac| !mac.is_empty()) {
            if network == "host" {
                return Err(ApiError::bad_request("conflicting options: mac-address and the network mode"));
            }
            attachment.mac_address = Some(mac.to_owned());
            attachment.mac()?;
        }
        Ok(Self(vec![attachment]))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Attachment> {
        self.0.iter()
    }

    /// All of them, to be resolved.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Attachment> {
        self.0.iter_mut()
    }

    /// Whether the container is to be in this network.
    pub fn holds(&self, record: &Record) -> bool {
        self.0.iter().any(|attachment| attachment.is_to(record))
    }

    /// Adds a network, or replaces what was asked for it.
    pub fn put(&mut self, attachment: Attachment, record: &Record) -> Result<(), ApiError> {
        self.0.retain(|other| !other.is_to(record));
        if self.0.len() >= ATTACHMENTS_MAX {
            return Err(ApiError::forbidden(format!("a container is in at most {ATTACHMENTS_MAX} networks")));
        }
        self.0.push(attachment);
        Ok(())
    }

    /// Takes a network off.
    pub fn remove(&mut self, record: &Record) {
        self.0.retain(|other| !other.is_to(record));
    }

    /// Writes them into a container's directory.
    pub fn save(&self, directory: &Path) -> std::io::Result<()> {
        let new = directory.join(format!("{FILE}.new"));
        std::fs::write(&new, serde_json::to_vec(self)?)?;
        std::fs::rename(new, directory.join(FILE))
    }

    /// What was written into a container's directory; `None` where nothing was, or nothing that can be read.
    pub fn load(directory: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(directory.join(FILE)).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Driver;
    use super::*;
    use serde_json::json;

    fn parse(mode: &str, endpoints: Value) -> Result<Attachment, String> {
        let config = json!({ "EndpointsConfig": endpoints });
        let parsed = Attachments::parse(mode, Some(&config), None).map_err(|error| error.message)?;
        Ok(parsed.iter().next().unwrap().clone())
    }

    #[test]
    fn a_request_names_one_network() {
        assert_eq!(parse("default", json!({})).unwrap().network, "bridge");
        let named =
            json!({"web": {"IPAMConfig": {"IPv4Address": "10.0.0.9"}, "Aliases": ["x"], "Links": null}});
        let attachment = parse("web", named).unwrap();
        assert_eq!((attachment.network.as_str(), attachment.address()), ("web", Some([10, 0, 0, 9].into())));
        assert_eq!(parse("web", json!({"web": null})).unwrap().network, "web");
        assert_eq!(
            parse("a", json!({"a": {}, "b": {}})).unwrap_err(),
            "Container cannot be connected to network endpoints: a, b"
        );
        let bad = json!({"web": {"IPAMConfig": {"IPv4Address": "999.1"}}});
        assert_eq!(parse("web", bad).unwrap_err(), "invalid IPv4 address: 999.1");
        assert!(parse("web", json!({"web": {"Aliases": vec!["a"; 65]}})).is_err());
        assert!(parse("web", json!({"web": {"MacAddress": "02:42"}})).is_err());
    }

    #[test]
    fn hardware_addresses_are_read() {
        assert_eq!(parse_mac("02:42:ac:11:00:55"), Some([2, 0x42, 0xac, 0x11, 0, 0x55]));
        for bad in [
            "",
            "02:42",
            "02:42:ac:11:00:55:66",
            "02:42:ac:11:00:5",
            "zz:42:ac:11:00:55",
            "+2:42:ac:11:00:55",
        ] {
            assert_eq!(parse_mac(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_usual_aliases_are_added_once_and_only_in_user_defined_networks() {
        let mut attachment = parse("web", json!({"web": {"Aliases": ["x"]}})).unwrap();
        let web = Record::new("web", Driver::Bridge);
        for _ in 0..2 {
            attachment.resolve(&web, "0123456789ab", "0123456789ab");
        }
        assert_eq!(attachment.aliases.as_deref().unwrap(), ["x", "0123456789ab"]);
        assert!(attachment.is_to(&web) && !attachment.is_to(&Record::new("web", Driver::Bridge)));
        let mut plain = parse("default", json!({})).unwrap();
        plain.resolve(&Record::new("bridge", Driver::Bridge), "0123456789ab", "h");
        assert_eq!(plain.aliases, None);
    }

    #[test]
    fn attachments_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Attachments::load(directory.path()), None);
        let attachments = Attachments::parse("web", None, Some("02:42:ac:11:00:55")).unwrap();
        attachments.save(directory.path()).unwrap();
        assert_eq!(Attachments::load(directory.path()), Some(attachments));
    }
}
