//! Which addresses a network has, and who has which of them: Docker's default IPAM driver. Pure.

use super::subnet::Subnet;
use crate::error::ApiError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// The addresses of one network as a client asks for them and `docker network inspect` shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct IpamConfig {
    /// All of them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subnet: String,
    /// Those that containers get unasked.
    #[serde(rename = "IPRange", skip_serializing_if = "String::is_empty")]
    pub ip_range: String,
    /// The bridge's own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    /// Those that are somebody else's, by names that mean nothing here.
    #[serde(rename = "AuxiliaryAddresses", skip_serializing_if = "BTreeMap::is_empty")]
    pub auxiliary: BTreeMap<String, String>,
}

/// The pools that networks get when nobody asks for a subnet, in the order in which they are given: Docker's own.
pub fn default_pools() -> impl Iterator<Item = Subnet> + Clone {
    let large = (17..=31).map(|second| Subnet::around([172, second, 0, 0].into(), 16));
    let small = (0..16).map(|third| Subnet::around([192, 168, third * 16, 0].into(), 20));
    large.chain(small)
}

/// The addresses of one network.
#[derive(Clone, Debug)]
pub struct Pool {
    /// All of them.
    pub subnet: Subnet,
    /// The bridge's own.
    pub gateway: Ipv4Addr,
    range: Subnet,
    taken: BTreeSet<u32>,
}

const EXHAUSTED: &str = "No available addresses on this pool";

impl Pool {
    /// The pool that a configuration describes. Its subnet is given.
    pub fn new(config: &IpamConfig) -> Result<Self, ApiError> {
        let told = |what: &str, text: &str, why: String| {
            ApiError::bad_request(format!("Invalid {what} {text} : {why}"))
        };
        let parse =
            |what: &str, text: &str| text.parse::<Subnet>().map_err(|why| told(what, text, why.to_string()));
        let subnet = parse("subnet", &config.subnet)?;
        let range = match config.ip_range.as_str() {
            "" => subnet,
            text => parse("range", text)?,
        };
        if !subnet.holds(first(range)) || range.prefix() < subnet.prefix() {
            return Err(told("range", &config.ip_range, format!("it is not in the subnet {subnet}")));
        }
        let mut pool = Self { subnet, gateway: Ipv4Addr::UNSPECIFIED, range, taken: BTreeSet::new() };
        for address in config.auxiliary.values() {
            let address = address
                .parse()
                .map_err(|_| told("auxiliary address", address, "invalid IP address".into()))?;
            pool.take(address)
                .map_err(|error| error.while_doing("failed to allocate secondary ip address"))?;
        }
        let gateway = match config.gateway.as_str() {
            "" => pool.give(),
            text => text
                .parse()
                .map_err(|_| told("gateway", text, "invalid IP address".into()))
                .and_then(|address| pool.take(address).map(|()| address)),
        };
        pool.gateway = gateway.map_err(|error| {
            error.while_doing(&format!("failed to allocate gateway ({})", config.gateway))
        })?;
        Ok(pool)
    }

    /// The addresses that are nobody's own: the network's and that for broadcasts.
    fn is_reserved(&self, address: u32) -> bool {
        let all = self.subnet.addresses();
        address == *all.start() || address == *all.end()
    }

    /// Takes the lowest address that is free.
    pub fn give(&mut self) -> Result<Ipv4Addr, ApiError> {
        let free = |address: &u32| !self.taken.contains(address) && !self.is_reserved(*address);
        // The set has as many members as there are containers: the search ends soon.
        let address = self.range.addresses().find(free).ok_or_else(|| ApiError::internal(EXHAUSTED))?;
        self.taken.insert(address);
        Ok(address.into())
    }

    /// Takes this address.
    pub fn take(&mut self, address: Ipv4Addr) -> Result<(), ApiError> {
        if !self.subnet.holds(address) || self.is_reserved(address.into()) {
            return Err(ApiError::bad_request("Requested address is out of range"));
        }
        match self.taken.insert(address.into()) {
            true => Ok(()),
            false => Err(ApiError::forbidden("Address already in use")),
        }
    }

    /// Gives an address back.
    pub fn free(&mut self, address: Ipv4Addr) {
        self.taken.remove(&address.into());
    }
}

fn first(subnet: Subnet) -> Ipv4Addr {
    (*subnet.addresses().start()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(subnet: &str, range: &str, gateway: &str) -> Result<Pool, ApiError> {
        let (subnet, ip_range, gateway) = (subnet.into(), range.into(), gateway.into());
        Pool::new(&IpamConfig { subnet, ip_range, gateway, auxiliary: BTreeMap::new() })
    }

    #[test]
    fn the_default_pools_are_docker_s() {
        let all: Vec<_> = default_pools().map(|pool| pool.to_string()).collect();
        assert_eq!((all.len(), all[0].as_str(), all[1].as_str()), (31, "172.17.0.0/16", "172.18.0.0/16"));
        assert_eq!((all[15].as_str(), all[30].as_str()), ("192.168.0.0/20", "192.168.240.0/20"));
    }

    #[test]
    fn addresses_are_given_from_the_lowest_and_come_back() {
        let mut pool = pool("172.18.0.0/16", "", "").unwrap();
        assert_eq!(pool.gateway, Ipv4Addr::new(172, 18, 0, 1));
        let (first, second) = (pool.give().unwrap(), pool.give().unwrap());
        assert_eq!((first, second), ([172, 18, 0, 2].into(), [172, 18, 0, 3].into()));
        pool.free(first);
        assert_eq!(pool.give().unwrap(), first);
        assert_eq!(pool.take(second).unwrap_err().message, "Address already in use");
        pool.take([172, 18, 255, 254].into()).unwrap();
        for outside in [[172, 18, 0, 0], [172, 18, 255, 255], [172, 19, 0, 1]] {
            assert_eq!(pool.take(outside.into()).unwrap_err().message, "Requested address is out of range");
        }
    }

    #[test]
    fn a_range_bounds_what_is_given_unasked_only() {
        let mut pool = pool("172.30.0.0/24", "172.30.0.128/30", "172.30.0.254").unwrap();
        let given: Vec<_> =
            std::iter::from_fn(|| pool.give().ok()).map(|address| address.octets()[3]).collect();
        assert_eq!(given, [128, 129, 130, 131]);
        assert_eq!(pool.give().unwrap_err().message, EXHAUSTED);
        pool.take([172, 30, 0, 77].into()).unwrap();
    }

    #[test]
    fn what_cannot_be_is_refused_in_docker_s_words() {
        for (subnet, range, gateway, words) in [
            ("1.2.3", "", "", "Invalid subnet 1.2.3 : invalid CIDR address: 1.2.3"),
            ("10.0.0.0/32", "", "", "failed to allocate gateway (): No available addresses on this pool"),
            ("10.0.0.0/31", "", "", "failed to allocate gateway (): No available addresses on this pool"),
            (
                "10.0.0.0/24",
                "10.0.0.0/16",
                "",
                "Invalid range 10.0.0.0/16 : it is not in the subnet 10.0.0.0/24",
            ),
            (
                "10.0.0.0/24",
                "",
                "x",
                "failed to allocate gateway (x): Invalid gateway x : invalid IP address",
            ),
        ] {
            assert_eq!(pool(subnet, range, gateway).unwrap_err().message, words);
        }
    }
}
