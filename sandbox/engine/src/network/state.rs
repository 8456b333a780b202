//! What networks there are at this moment, and who is in them. Nothing here makes or removes a link.

use super::attachment::Attachment;
use super::ipam::{IpamConfig, Pool, default_pools};
use super::ports::Protocol;
use super::record::{Driver, Record};
use super::socket::Socket;
use super::subnet::Subnet;
use crate::error::ApiError;
use crate::names;
use isolab_runtime::addresses;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// All networks.
#[derive(Debug, Default)]
pub struct State {
    /// All of them, oldest first.
    pub all: Vec<Network>,
    /// Where the search for a free default pool begins: a pool that has become free is not given at once again.
    next_pool: usize,
    /// The ports of the lab host's that containers have published.
    pub ports: BTreeSet<(Protocol, IpAddr, u16)>,
    /// The last port that was given unasked.
    last_ports: BTreeMap<Protocol, u16>,
}

/// One network and who is in it.
#[derive(Debug)]
pub struct Network {
    /// What it is.
    pub record: Record,
    /// Its addresses, where it has any.
    pub pool: Option<Pool>,
    /// By the ids of their endpoints.
    pub members: BTreeMap<String, Member>,
    /// Why nobody can be plugged in, where that is so.
    pub missing: Option<String>,
}

/// A container in a network.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its id.
    pub container: String,
    /// Its name.
    pub name: String,
    /// Its address, with the length of the network's prefix.
    pub address: Option<(Ipv4Addr, u8)>,
    /// Its hardware address.
    pub mac: String,
    /// What else it is called there.
    pub aliases: Vec<String>,
    /// What it calls others there: `--link`, as alias and name.
    pub links: Vec<(String, String)>,
}

/// A network and who is in it, at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// The network.
    pub record: Record,
    /// Who is in it, by the ids of their endpoints.
    pub members: BTreeMap<String, Member>,
}

/// The state behind its lock. A panic elsewhere leaves it whole: each change is one step.
pub fn of(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What Docker says of addresses that another network has.
pub const OVERLAP: &str = "Pool overlaps with other one on this address space";

/// The 404 of a network.
pub fn not_found(reference: &str) -> ApiError {
    ApiError::not_found(format!("network {reference} not found"))
}

impl State {
    /// The user-defined networks that a container is in, with what it is there.
    fn networks_of<'a>(&'a self, container: &'a str) -> impl Iterator<Item = (&'a Network, &'a Member)> {
        let user_defined = self.all.iter().filter(|network| !network.record.is_predefined());
        user_defined.filter_map(move |network| {
            let own = network.members.values().find(|member| member.container == container)?;
            Some((network, own))
        })
    }

    /// The addresses of a name as a container asks for it: in the first of its networks that knows it.
    pub fn addresses_of(&self, asker: &str, name: &str) -> Option<Vec<Ipv4Addr>> {
        for (network, own) in self.networks_of(asker) {
            // `web` is found, and so is `web.NETWORK`.
            let local = name.len().checked_sub(network.record.name.len() + 1).and_then(|end| {
                let (local, rest) = (name.get(..end)?, name.get(end + 1..)?);
                (name.as_bytes()[end] == b'.' && rest.eq_ignore_ascii_case(&network.record.name))
                    .then_some(local)
            });
            for name in [Some(name), local].into_iter().flatten() {
                let linked = own.links.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
                let name = linked.map_or(name, |(_, name)| name);
                let called = network.members.values().filter(|member| member.is_called(name));
                let addresses: Vec<_> = called.filter_map(|member| Some(member.address?.0)).collect();
                if !addresses.is_empty() {
                    return Some(addresses);
                }
            }
        }
        None
    }

    /// The name of an address as a container asks for it.
    pub fn name_of(&self, asker: &str, address: Ipv4Addr) -> Option<String> {
        self.networks_of(asker).find_map(|(network, _)| {
            let mut members = network.members.values();
            let member = members.find(|member| member.address.is_some_and(|(other, _)| other == address))?;
            Some(format!("{}.{}", member.name, network.record.name))
        })
    }

    /// Where the search for a free port begins.
    pub fn next_port(&self, protocol: Protocol, range: &RangeInclusive<u16>) -> u16 {
        let next = self.last_ports.get(&protocol).and_then(|last| last.checked_add(1));
        next.filter(|next| range.contains(next)).unwrap_or(*range.start())
    }

    /// A port was given to a container that did not ask for this one.
    pub fn port_given(&mut self, protocol: Protocol, port: u16) {
        self.last_ports.insert(protocol, port);
    }

    /// Gives a place back.
    pub(super) fn leave(&mut self, network: &str, endpoint: &str) {
        let Some(network) = self.all.iter_mut().find(|other| other.record.id == network) else { return };
        let member = network.members.remove(endpoint);
        if let (Some(pool), Some((address, _))) =
            (&mut network.pool, member.and_then(|member| member.address))
        {
            pool.free(address);
        }
    }

    /// Finds a network by id, by name, or by the only id that begins so.
    pub fn find(&self, reference: &str) -> Result<&Network, ApiError> {
        let by = |what: &dyn Fn(&Record) -> bool| self.all.iter().find(|network| what(&network.record));
        let exact = by(&|record| record.id == reference).or_else(|| by(&|record| record.name == reference));
        if let Some(network) = exact {
            return Ok(network);
        }
        let mut by_prefix =
            self.all.iter().filter(|n| !reference.is_empty() && n.record.id.starts_with(reference));
        match (by_prefix.next(), by_prefix.count()) {
            (Some(network), 0) => Ok(network),
            (Some(_), more) => {
                let count = more + 1;
                let message =
                    format!("network {reference} is ambiguous ({count} matches found based on ID prefix)");
                Err(ApiError::bad_request(message))
            }
            (None, _) => Err(not_found(reference)),
        }
    }

    /// Whether a network has some of these addresses.
    pub fn overlapping(&self, subnet: Subnet) -> bool {
        self.all.iter().filter_map(|network| network.pool.as_ref()).any(|pool| pool.subnet.overlaps(subnet))
    }

    /// The addresses that a new network asks for, or the next default pool that is free here and on the lab host's links.
    pub fn choose_pool(&mut self, record: &mut Record) -> Result<Pool, ApiError> {
        if record.subnet_chosen {
            let pool = Pool::new(record.ipam.as_ref().unwrap_or(&IpamConfig::default()))?;
            return if self.overlapping(pool.subnet) { Err(ApiError::forbidden(OVERLAP)) } else { Ok(pool) };
        }
        let links: Vec<_> = addresses()
            .map_err(|error| ApiError::internal(error.to_string()))?
            .into_iter()
            .filter_map(|(address, prefix)| match address {
                IpAddr::V4(address) => Some(Subnet::around(address, prefix)),
                IpAddr::V6(_) => None,
            })
            .collect();
        let pools: Vec<_> = default_pools().collect();
        let free =
            |subnet: Subnet| !self.overlapping(subnet) && !links.iter().any(|link| link.overlaps(subnet));
        let mut places = (0..pools.len()).map(|step| (self.next_pool + step) % pools.len());
        let place = places.find(|&place| free(pools[place])).ok_or_else(|| {
            ApiError::internal(
                "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
            )
        })?;
        let mut config = record.ipam.take().unwrap_or_default();
        config.subnet = pools[place].to_string();
        let pool = Pool::new(&config)?;
        config.gateway = pool.gateway.to_string();
        record.ipam = Some(config);
        self.next_pool = place + 1;
        Ok(pool)
    }
}

impl Member {
    fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
            || self.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
            || self.container.eq_ignore_ascii_case(name)
    }
}

impl Network {
    /// It and who is in it, at this moment.
    pub fn view(&self) -> View {
        View { record: self.record.clone(), members: self.members.clone() }
    }

    /// Whether it has a bridge.
    pub fn has_bridge(&self) -> bool {
        self.record.driver == Driver::Bridge
    }

    /// Takes an address and names the ends of a cable; `None` in a network that has no bridge.
    pub fn plug(&mut self, attachment: &Attachment, inside: String) -> Result<Option<Socket>, ApiError> {
        if let Some(why) = &self.missing {
            let bridge = self.record.bridge();
            return Err(ApiError::internal(format!(
                "there is no bridge {bridge} ({why}): use --network none or --network host"
            )));
        }
        let Some(pool) = &mut self.pool else { return Ok(None) };
        let mac = attachment.mac()?;
        let address = match attachment.address() {
            Some(address) => pool.take(address).map(|()| address),
            None => pool.give(),
        }?;
        Ok(Some(Socket {
            address,
            prefix: pool.subnet.prefix(),
            gateway: Some(pool.gateway).filter(|_| !self.record.internal),
            mac: mac.unwrap_or_else(|| Socket::usual_mac(address)),
            inside,
            host_name: format!("veth{}", &names::new_id()[..7]),
            bridge: self.record.bridge(),
            mtu: self.record.mtu(),
        }))
    }
}

impl Record {
    /// An error, in Docker's words, where a container cannot be in this network as it asks to be.
    pub(super) fn check(&self, attachment: &Attachment, pool: Option<&Pool>) -> Result<(), ApiError> {
        let address = attachment.address();
        let words = match (self.is_predefined(), address, pool) {
            (true, Some(_), _) => {
                "user specified IP address is supported on user defined networks only".into()
            }
            (true, None, _) if attachment.aliases.as_ref().is_some_and(|aliases| !aliases.is_empty()) => {
                "network-scoped alias is supported only for containers in user defined networks".into()
            }
            (false, Some(_), _) if !self.subnet_chosen => {
                "user specified IP address is supported only when connecting to \
                                                           networks with user configured subnets"
                    .into()
            }
            (false, Some(address), Some(pool)) if !pool.subnet.holds(address) => {
                format!("Invalid address {address}: It does not belong to any of this network's subnets")
            }
            _ => return Ok(()),
        };
        Err(ApiError::bad_request(words))
    }
}
