//! Who is plugged in where: a container, and its end of a cable in a bridge network. Pure.

use isolab_runtime::Veth;
use std::net::Ipv4Addr;

/// A container, as networks know it.
#[derive(Clone, Debug)]
pub struct Who {
    /// 64 hex digits.
    pub id: String,
    /// Its name, without the slash.
    pub name: String,
    /// The hostname inside.
    pub hostname: String,
}

impl Who {
    /// Its id as people write it.
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }
}

/// A place in a bridge network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// The container's address.
    pub address: Ipv4Addr,
    /// The length of its network's prefix.
    pub prefix: u8,
    /// The way out, for a network that has one.
    pub gateway: Option<Ipv4Addr>,
    /// The container's hardware address.
    pub mac: [u8; 6],
    /// The name of the container's end of the cable.
    pub inside: String,
    /// The name of our end.
    pub host_name: String,
    /// The bridge.
    pub bridge: String,
    /// The longest packet, where it is not the usual.
    pub mtu: Option<u32>,
}

impl Socket {
    /// The hardware address that Docker derives from the address: 02:42 and its four bytes.
    pub fn usual_mac(address: Ipv4Addr) -> [u8; 6] {
        let [a, b, c, d] = address.octets();
        [0x02, 0x42, a, b, c, d]
    }

    /// The hardware address as text.
    pub fn mac_text(&self) -> String {
        self.mac.map(|byte| format!("{byte:02x}")).join(":")
    }

    /// The pair that the runtime is to make. It carries the default route if `default_route` says so.
    pub fn veth(&self, default_route: bool) -> Veth {
        Veth {
            bridge: self.bridge.clone(),
            host_name: self.host_name.clone(),
            inside: self.inside.clone(),
            address: self.address,
            prefix: self.prefix,
            gateway: self.gateway.filter(|_| default_route),
            mac: self.mac,
            mtu: self.mtu,
        }
    }
}
