//! The ports that a running container has published. Dropping them closes them.

use super::firewall::Forward;
use super::list::Networks;
use super::opener::Opener;
use super::packet_filter;
use super::ports::{ALL, Port, Protocol, Wanted, ephemeral};
use super::proxy::{Bound, Proxy, Target};
use super::socket::Socket;
use super::state::{self, State};
use crate::error::ApiError;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

/// A port of a container and where it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The container's.
    pub port: Port,
    /// An address of the lab host's.
    pub address: IpAddr,
    /// The number there.
    pub host: u16,
}

/// All published ports of one container.
#[derive(Debug)]
pub struct PublishedPorts {
    all: Vec<Published>,
    _proxies: Vec<Proxy>,
    /// Where the container is.
    pub target: Arc<Target>,
    state: Arc<Mutex<State>>,
    opener: Opener,
    forwarded: packet_filter::Published,
}

impl PublishedPorts {
    /// Takes the ports that are wanted, or none of them. The errors are Docker's, from where it names the endpoint on.
    pub fn open(networks: &Networks, wanted: &[Wanted], usual: IpAddr) -> Result<Self, ApiError> {
        let mut published = Self {
            all: vec![],
            _proxies: vec![],
            target: Arc::default(),
            state: networks.shared_state(),
            opener: networks.opener().clone(),
            forwarded: networks.filter().published(),
        };
        for one in wanted {
            let address = one.address.unwrap_or(usual);
            let host = published.open_at(one, address)?;
            if one.address.is_none() && usual == ALL {
                published.open_for_ipv6(one.port, host)?;
            }
        }
        Ok(published)
    }

    /// The published ports, in the order in which Docker lists them.
    pub fn all(&self) -> &[Published] {
        &self.all
    }

    fn open_at(&mut self, wanted: &Wanted, address: IpAddr) -> Result<u16, ApiError> {
        let Wanted { port, .. } = *wanted;
        match &wanted.host {
            Some(range) if range.start() == range.end() => {
                let host = *range.start();
                self.take(port, address, host)?;
                Ok(host)
            }
            Some(range) => {
                let mut last = Err(ApiError::internal("all ports are allocated"));
                for host in range.clone() {
                    last = self.take(port, address, host).map(|()| host);
                    if last.is_ok() {
                        break;
                    }
                }
                last
            }
            None => {
                let text =
                    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
                let range = ephemeral(&text);
                // One after the other, as Docker gives them: one that was closed is not another's at once.
                let count = range.clone().count();
                let begin = state::of(&self.state).next_port(port.protocol, &range);
                for step in 0..count {
                    let host = *range.start() + ((usize::from(begin - range.start()) + step) % count) as u16;
                    if self.take(port, address, host).is_ok() {
                        state::of(&self.state).port_given(port.protocol, host);
                        return Ok(host);
                    }
                }
                Err(ApiError::internal("all ports are allocated"))
            }
        }
    }

    /// Docker publishes at all IPv6 addresses too, where there is IPv6.
    fn open_for_ipv6(&mut self, port: Port, host: u16) -> Result<(), ApiError> {
        let all = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        match Bound::open(&self.opener, port.protocol, all, host) {
            Ok(bound) => self.serve(bound, Published { port, address: all, host }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(self.not_bound(port, all, host, &error));
            }
            Err(_) => {}
        }
        Ok(())
    }

    fn take(&mut self, port: Port, address: IpAddr, host: u16) -> Result<(), ApiError> {
        let key = (port.protocol, address, host);
        if state::of(&self.state).ports.contains(&key) {
            return Err(ApiError::internal(format!(
                "Bind for {address}:{host} failed: port is already allocated"
            )));
        }
        let bound = Bound::open(&self.opener, port.protocol, address, host)
            .map_err(|error| self.not_bound(port, address, host, &error))?;
        self.serve(bound, Published { port, address, host });
        Ok(())
    }

    fn serve(&mut self, bound: Bound, published: Published) {
        let Published { port, address, host } = published;
        state::of(&self.state).ports.insert((port.protocol, address, host));
        self._proxies.push(bound.serve(Arc::clone(&self.target), port));
        self.all.push(published);
    }

    /// What Docker says of a port that the kernel does not give.
    fn not_bound(&self, port: Port, address: IpAddr, host: u16, error: &io::Error) -> ApiError {
        let network = match (port.protocol, address) {
            (Protocol::Tcp, IpAddr::V4(_)) => "tcp4",
            (Protocol::Tcp, IpAddr::V6(_)) => "tcp6",
            (Protocol::Udp, IpAddr::V4(_)) => "udp4",
            (Protocol::Udp, IpAddr::V6(_)) => "udp6",
        };
        let at = std::net::SocketAddr::new(address, host);
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => "address already in use".into(),
            io::ErrorKind::AddrNotAvailable => "cannot assign requested address".into(),
            io::ErrorKind::PermissionDenied => "permission denied".into(),
            _ => error.to_string(),
        };
        let rootless = match error.kind() {
            io::ErrorKind::PermissionDenied if self.opener.is_behind() => format!(
                "error while calling PortManager.AddPort(): cannot expose privileged port {host}, you can add \
                 'net.ipv4.ip_unprivileged_port_start={host}' to /etc/sysctl.conf (currently 1024), or choose a larger port \
                 number (>= 1024): "
            ),
            _ => String::new(),
        };
        ApiError::internal(format!(
            "Error starting userland proxy: {rootless}listen {network} {at}: bind: {why}"
        ))
    }

    /// The container is there now; `None`: nowhere.
    pub fn lead_to(&mut self, socket: Option<Socket>) {
        self.target.set(socket.as_ref().map(|socket| socket.address));
        let forward = |socket: &Socket, published: &Published| Forward {
            bridge: socket.bridge.clone(),
            container: socket.address,
            port: published.port,
            address: published.address,
            host: published.host,
        };
        let all = self.all.iter();
        self.forwarded
            .lead(socket.map_or_else(Vec::new, |socket| all.map(|one| forward(&socket, one)).collect()));
    }
}

impl Drop for PublishedPorts {
    fn drop(&mut self) {
        let mut state = state::of(&self.state);
        for Published { port, address, host } in &self.all {
            state.ports.remove(&(port.protocol, *address, *host));
        }
    }
}
