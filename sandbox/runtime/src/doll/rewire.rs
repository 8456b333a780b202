//! Changes in the network namespace of a container that runs: one more cable, another default route, sockets of ours.
//!
//! A process of its own makes them, which joins that namespace for good (see [`crate::Zygote::rewire`]). It keeps a netlink
//! socket of the namespace that it came from, so that a cable is laid between the two without any pid that could
//! meanwhile be another's.

use super::namespaces::{self, Kind};
use super::netlink::Route;
use super::network::{self, Veth};
use crate::error::{Call, Failed};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddrV4};

/// How many connections to a socket of ours may wait to be accepted: resolvers in a container ask over TCP only for
/// what does not fit into a datagram.
const BACKLOG: i32 = 16;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rewiring {
    /// Lays a cable and gives its end its address. All of it or nothing.
    PlugIn(Veth),
    /// Lets the default route lead through this gateway at the link of this name; `None`: there is none.
    DefaultRoute(Option<(String, Ipv4Addr)>),
    /// Opens a UDP socket and a listening TCP socket at this address, which come back in this order, not blocking.
    Listen(SocketAddrV4),
}

/// Makes the changes in the network namespace of `of`, a pidfd, one after the other; returns the sockets. The calling
/// process is in that namespace afterwards.
pub(crate) fn perform(of: BorrowedFd<'_>, changes: &[Rewiring]) -> Result<Vec<OwnedFd>, Failed> {
    let before = Route::open()?;
    namespaces::join_of(of, Kind::Network)?;
    let mut sockets = vec![];
    for change in changes {
        match change {
            Rewiring::PlugIn(veth) => {
                network::lay_cable(&before, veth, std::process::id())?;
                if let Err(failed) = network::plug_in(veth) {
                    // What is told is why it could not be plugged in.
                    let _ = network::cut_cable(&before, veth);
                    return Err(failed);
                }
            }
            Rewiring::DefaultRoute(to) => {
                network::lead_default_route(
                    to.as_ref().map(|(inside, gateway)| (inside.as_str(), *gateway)),
                )?;
            }
            Rewiring::Listen(address) => {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                for kind in [SocketType::DGRAM, SocketType::STREAM] {
                    let socket =
                        socket_with(AddressFamily::INET, kind, flags, None).call(|| "socket(AF_INET)")?;
                    // A program of the container's may have the same port at all other addresses.
                    set_socket_reuseaddr(&socket, true).call(|| "setsockopt(SO_REUSEADDR)")?;
                    bind(&socket, address).call(|| format!("bind({address})"))?;
                    if kind == SocketType::STREAM {
                        listen(&socket, BACKLOG).call(|| format!("listen({address})"))?;
                    }
                    sockets.push(socket);
                }
            }
        }
    }
    Ok(sockets)
}
