//! The network doll: a loopback that is up, and Ethernet cables (veth pairs) into bridges.
//!
//! Bridges belong to whoever runs containers ([`ensure_bridge`]); a cable belongs to one container and goes with it.
//! What is changed in the network namespace of a container that runs is in [`super::rewire`].

use super::netlink::{Reply, Request, Route, attributes, flag, push_attribute, u16_at, u32_at};
use crate::Error;
use crate::error::Failed;
use isolab_protocol::observation::Link;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr};

/// A veth pair: one end in a bridge of the caller's network namespace, the other in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Veth {
    /// The bridge, which exists.
    pub bridge: String,
    /// The name of the caller's end, at most 15 bytes.
    pub host_name: String,
    /// The name of the container's end: `eth0`, `eth1`, …
    pub inside: String,
    /// The address of that end.
    pub address: Ipv4Addr,
    /// The length of its network's prefix.
    pub prefix: u8,
    /// Where the default route leads, for the one cable that carries it.
    pub gateway: Option<Ipv4Addr>,
    /// The hardware address of the container's end.
    pub mac: [u8; 6],
    /// The longest packet that both ends carry, where it is not the kernel's usual 1500 bytes.
    pub mtu: Option<u32>,
}

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;

/// Attributes of a link (if_link.h).
mod link {
    pub(super) const MAC: u16 = 1;
    pub(super) const NAME: u16 = 3;
    pub(super) const MTU: u16 = 4;
    pub(super) const PEER: u16 = 5;
    pub(super) const MASTER: u16 = 10;
    pub(super) const QUEUE_LENGTH: u16 = 13;
    pub(super) const INFO: u16 = 18;
    pub(super) const NAMESPACE_OF_PID: u16 = 19;
    pub(super) const INFO_KIND: u16 = 1;
    pub(super) const INFO_DATA: u16 = 2;
    pub(super) const VETH_PEER: u16 = 1;
}

/// What goes through a cable waits nowhere: Docker's have no queue either.
const NO_QUEUE: [u8; 4] = [0; 4];
const IFF_UP: u32 = 1;
const ARPHRD_LOOPBACK: u16 = 772;
/// Every network namespace is born with its loopback at this index.
const LOOPBACK: u32 = 1;
/// The kernel's own bound (`IFNAMSIZ`), less the NUL.
const NAME_BYTES_MAX: usize = 15;

/// An error where a cable cannot be, told of the options of a plan.
pub(crate) fn check(veth: &Veth) -> Result<(), Error> {
    let names =
        [("veth.bridge", &veth.bridge), ("veth.host_name", &veth.host_name), ("veth.inside", &veth.inside)];
    for (field, name) in names {
        check_name(name).map_err(|why| Error::field(field, why))?;
    }
    match veth.prefix {
        1..=32 => Ok(()),
        other => Err(Error::field("veth.prefix", format!("{other} is not 1 to 32"))),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX && name != "." && name != "..";
    let plain = !name.bytes().any(|b| b == 0 || b == b'/' || b == b':' || b.is_ascii_whitespace());
    match fits && plain {
        true => Ok(()),
        false => Err(format!("{name:?} is not the name of a link (1 to {NAME_BYTES_MAX} bytes)")),
    }
}

/// Makes a bridge with this address (as `172.17.0.1/16`) and brings it up; one that is there already is kept.
/// The caller needs `CAP_NET_ADMIN` in its network namespace.
pub fn ensure_bridge(name: &str, address: Ipv4Addr, prefix: u8, mtu: Option<u32>) -> Result<(), Error> {
    let step = || format!("making the bridge {name}");
    check_name(name).map_err(|why| Error::field("bridge", why))?;
    let make = || {
        let route = Route::open()?;
        let [a, b, c, d] = address.octets();
        let mut info = Vec::new();
        push_attribute(&mut info, link::INFO_KIND, b"bridge");
        let request = Request::new(NEW_LINK, flag::CREATE | flag::EXCLUSIVE, &link_header(0, 0))
            .with(link::NAME, &terminated(name))
            // Without an address of its own a bridge takes that of a port, and changes it as containers come and go.
            .with(link::MAC, &[0x02, 0x42, a, b, c, d])
            .with(link::INFO, &info);
        existing_is_fine(ask(&route, &request, "add a bridge"))?;
        let index = index_of(&route, name)?;
        // Another kind of link of that name is somebody else's, and gets no address of ours.
        if !links_over(&route)?.iter().any(|link| link.index == index && link.kind == "bridge") {
            return Err(Failed::because(format!("{name} is there and is not a bridge"), Errno::EXIST));
        }
        existing_is_fine(add_address(&route, index, address, prefix))?;
        if let Some(mtu) = mtu {
            let request =
                Request::new(NEW_LINK, 0, &link_header(index, 0)).with(link::MTU, &mtu.to_ne_bytes());
            ask(&route, &request, "set the MTU of a bridge")?;
        }
        bring_up(&route, index)
    };
    make().map_err(|failed: Failed| failed.in_step(step()))
}

/// The addresses of all links of the caller's network namespace, with the lengths of their prefixes.
pub fn addresses() -> Result<Vec<(IpAddr, u8)>, Error> {
    let read = || {
        let replies = Route::open()?.dump(&Request::new(GET_ADDRESS, 0, &[0; 8]), "list addresses")?;
        Ok(replies.iter().filter_map(read_address).map(|(_, address, prefix)| (address, prefix)).collect())
    };
    read().map_err(|failed: Failed| failed.in_step("listing addresses"))
}

/// Whether the caller's network namespace has a link of this name.
pub fn link_exists(name: &str) -> Result<bool, Error> {
    check_name(name).map_err(|why| Error::field("link", why))?;
    match Route::open().and_then(|route| index_of(&route, name)) {
        Ok(_) => Ok(true),
        Err(failed) if failed.errno() == Errno::NODEV => Ok(false),
        Err(failed) => Err(failed.in_step(format!("looking for the link {name}"))),
    }
}

/// Removes a link of the caller's network namespace; that there is none is no error.
pub fn remove_link(name: &str) -> Result<(), Error> {
    let remove = || {
        let request = Request::new(DELETE_LINK, 0, &link_header(0, 0)).with(link::NAME, &terminated(name));
        match ask(&Route::open()?, &request, "delete a link") {
            Err(failed) if failed.errno() == Errno::NODEV => Ok(()),
            done => done,
        }
    };
    remove().map_err(|failed: Failed| failed.in_step(format!("removing the link {name}")))
}

fn existing_is_fine(done: Result<(), Failed>) -> Result<(), Failed> {
    match done {
        Err(failed) if failed.errno() == Errno::EXIST => Ok(()),
        done => done,
    }
}

/// Lays the cable from the network namespace of `route` into that of process `pid`.
pub(crate) fn lay_cable(route: &Route, veth: &Veth, pid: u32) -> Result<(), Failed> {
    let bridge = index_of(route, &veth.bridge)?;
    let mut peer = link_header(0, 0);
    push_attribute(&mut peer, link::NAME, &terminated(&veth.inside));
    push_attribute(&mut peer, link::MAC, &veth.mac);
    push_attribute(&mut peer, link::QUEUE_LENGTH, &NO_QUEUE);
    push_attribute(&mut peer, link::NAMESPACE_OF_PID, &pid.to_ne_bytes());
    if let Some(mtu) = veth.mtu {
        push_attribute(&mut peer, link::MTU, &mtu.to_ne_bytes());
    }
    let mut data = Vec::new();
    push_attribute(&mut data, link::VETH_PEER, &peer);
    let mut info = Vec::new();
    push_attribute(&mut info, link::INFO_KIND, b"veth");
    push_attribute(&mut info, link::INFO_DATA, &data);
    let mut request = Request::new(NEW_LINK, flag::CREATE | flag::EXCLUSIVE, &link_header(0, IFF_UP))
        .with(link::NAME, &terminated(&veth.host_name))
        .with(link::QUEUE_LENGTH, &NO_QUEUE)
        .with(link::MASTER, &bridge.to_ne_bytes());
    if let Some(mtu) = veth.mtu {
        request = request.with(link::MTU, &mtu.to_ne_bytes());
    }
    let request = request.with(link::INFO, &info);
    ask(route, &request, &format!("add the veth pair {} – {}", veth.host_name, veth.inside))
}

/// Takes a cable away, by its end in the network namespace of `route`.
pub(crate) fn cut_cable(route: &Route, veth: &Veth) -> Result<(), Failed> {
    let request =
        Request::new(DELETE_LINK, 0, &link_header(0, 0)).with(link::NAME, &terminated(&veth.host_name));
    ask(route, &request, "delete a link")
}

/// In a new network namespace: brings the loopback up.
pub(crate) fn loopback_up() -> Result<(), Failed> {
    bring_up(&Route::open()?, LOOPBACK)
}

/// In the network namespace that the cable leads to: gives its end the address and, where it carries it, the default
/// route.
pub(crate) fn plug_in(veth: &Veth) -> Result<(), Failed> {
    let route = Route::open()?;
    let index = index_of(&route, &veth.inside)?;
    add_address(&route, index, veth.address, veth.prefix)?;
    bring_up(&route, index)?;
    match veth.gateway {
        None => Ok(()),
        Some(gateway) => ask(
            &route,
            &default_route(NEW_ROUTE, flag::CREATE | flag::EXCLUSIVE)
                .with(5, &gateway.octets())
                .with(4, &index.to_ne_bytes()),
            &format!("add the default route via {gateway}"),
        ),
    }
}

/// In a container's network namespace: lets the default route lead through `gateway` at the link `inside`, or nowhere.
pub(crate) fn lead_default_route(to: Option<(&str, Ipv4Addr)>) -> Result<(), Failed> {
    let route = Route::open()?;
    let Some((inside, gateway)) = to else {
        return match ask(&route, &default_route(DELETE_ROUTE, 0), "delete the default route") {
            Err(failed) if failed.errno() == Errno::SRCH => Ok(()),
            done => done,
        };
    };
    let index = index_of(&route, inside)?;
    let request = default_route(NEW_ROUTE, flag::CREATE | flag::REPLACE)
        .with(5, &gateway.octets())
        .with(4, &index.to_ne_bytes());
    ask(&route, &request, &format!("lead the default route via {gateway}"))
}

/// A request about the IPv4 route to everywhere: family, prefix lengths of destination and source, service, table (main),
/// protocol (boot), scope, type (unicast).
fn default_route(kind: u16, flags: u16) -> Request {
    Request::new(kind, flags, &[2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0])
}

fn bring_up(route: &Route, index: u32) -> Result<(), Failed> {
    ask(route, &Request::new(NEW_LINK, 0, &link_header(index, IFF_UP)), "bring a link up")
}

fn add_address(route: &Route, index: u32, address: Ipv4Addr, prefix: u8) -> Result<(), Failed> {
    let mut header = vec![2, prefix, 0, 0];
    header.extend(index.to_ne_bytes());
    let mask = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    let broadcast = Ipv4Addr::from(u32::from(address) | mask);
    let request = Request::new(NEW_ADDRESS, flag::CREATE | flag::EXCLUSIVE, &header)
        .with(2, &address.octets())
        .with(1, &address.octets())
        .with(4, &broadcast.octets());
    ask(route, &request, &format!("add the address {address}/{prefix}"))
}

fn ask(route: &Route, request: &Request, words: &str) -> Result<(), Failed> {
    route.ask(request, words).map(drop)
}

fn index_of(route: &Route, name: &str) -> Result<u32, Failed> {
    let request = Request::new(GET_LINK, 0, &link_header(0, 0)).with(link::NAME, &terminated(name));
    let replies = route.ask(&request, &format!("find the link {name}"))?;
    let index = replies.first().and_then(|reply| u32_at(&reply.body, 4));
    index.ok_or_else(|| Failed::because(format!("there is no link {name}"), Errno::NODEV))
}

/// `struct ifinfomsg`.
fn link_header(index: u32, flags: u32) -> Vec<u8> {
    let mut header = vec![0; 4];
    header.extend(index.to_ne_bytes());
    header.extend(flags.to_ne_bytes());
    header.extend(flags.to_ne_bytes());
    header
}

fn terminated(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

/// The links of the caller's network namespace, with their addresses.
pub(crate) fn links() -> Result<Vec<Link>, Failed> {
    links_over(&Route::open()?)
}

fn links_over(route: &Route) -> Result<Vec<Link>, Failed> {
    let replies = route.dump(&Request::new(GET_LINK, 0, &link_header(0, 0)), "list links")?;
    let mut links: Vec<_> = replies.iter().filter(|r| r.kind == NEW_LINK).filter_map(read_link).collect();
    for reply in route.dump(&Request::new(GET_ADDRESS, 0, &[0; 8]), "list addresses")? {
        let Some((index, address, prefix)) = read_address(&reply) else { continue };
        if let Some((link, _)) = links.iter_mut().find(|(link, _)| link.index == index) {
            link.addresses.push(format!("{address}/{prefix}"));
        }
    }
    let names: Vec<_> = links.iter().map(|(link, _)| (link.index, link.name.clone())).collect();
    let name_of = |index| names.iter().find(|(i, _)| *i == index).map(|(_, name)| name.clone());
    Ok(links.into_iter().map(|(link, master)| Link { bridge: master.and_then(name_of), ..link }).collect())
}

/// A link, and the index of the bridge that it is plugged into.
fn read_link(reply: &Reply) -> Option<(Link, Option<u32>)> {
    let body = &reply.body;
    let mut link = Link {
        name: String::new(),
        index: u32_at(body, 4)?,
        kind: if u16_at(body, 2)? == ARPHRD_LOOPBACK { "loopback".into() } else { String::new() },
        up: u32_at(body, 8)? & IFF_UP != 0,
        peer_index: None,
        bridge: None,
        addresses: vec![],
    };
    let (mut master, mut peer) = (None, None);
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            link::NAME => link.name = text(value),
            link::MASTER => master = u32_at(value, 0),
            link::PEER => peer = u32_at(value, 0),
            link::INFO => {
                if let Some((_, kind)) = attributes(value).find(|(kind, _)| *kind == link::INFO_KIND) {
                    link.kind = text(kind);
                }
            }
            _ => {}
        }
    }
    link.peer_index = peer.filter(|_| link.kind == "veth");
    Some((link, master))
}

fn read_address(reply: &Reply) -> Option<(u32, IpAddr, u8)> {
    let body = &reply.body;
    let (prefix, index) = (*body.get(1)?, u32_at(body, 4)?);
    let find = |wanted| attributes(body.get(8..)?).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    // IFA_LOCAL, where there is one: IFA_ADDRESS is the other end of a point-to-point link.
    let bytes = find(2).or_else(|| find(1))?;
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        _ => return None,
    };
    Some((index, address, prefix))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|&b| b == 0).next().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_loopback_is_listed_with_its_address() {
        let links = links().unwrap();
        let loopback = links.iter().find(|link| link.name == "lo").unwrap();
        assert_eq!((loopback.index, loopback.kind.as_str()), (1, "loopback"));
        if loopback.up {
            assert!(loopback.addresses.contains(&"127.0.0.1/8".to_owned()), "{loopback:?}");
        }
    }

    #[test]
    fn a_link_that_is_not_there_is_an_error_that_names_it() {
        let failed = index_of(&Route::open().unwrap(), "nosuchlink0").unwrap_err();
        assert_eq!(failed.errno(), Errno::NODEV);
    }

    #[test]
    fn names_that_the_kernel_would_refuse_are_refused_first() {
        let veth = Veth {
            bridge: "docker0".into(),
            host_name: "veth0123456".into(),
            inside: "eth0".into(),
            address: [172, 17, 0, 2].into(),
            prefix: 16,
            gateway: Some([172, 17, 0, 1].into()),
            mac: [2, 66, 172, 17, 0, 2],
            mtu: None,
        };
        check(&veth).unwrap();
        for name in ["", "a/b", "sixteen-bytes-xx", "a b", ".."] {
            let error = check(&Veth { host_name: name.into(), ..veth.clone() }).unwrap_err();
            assert!(error.call.contains("veth.host_name"), "{name}");
        }
        assert!(check(&Veth { prefix: 33, ..veth }).unwrap_err().call.contains("veth.prefix"));
    }
}
