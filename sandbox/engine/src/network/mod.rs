//! Networks: what containers are plugged into. Records that outlive the engine, addresses, and the links that carry them.
//!
//! [`Networks`] is the list. A container is told which networks it is to be in by its [`Attachments`]; while it runs, its
//! [`Cabling`] holds its places in them, and gives them back when it is dropped. Nothing here knows of containers beyond
//! their ids and names.

mod attachment;
mod cabling;
mod create;
mod dns;
mod endpoint;
mod firewall;
mod ipam;
mod list;
pub mod opener;
mod packet_filter;
pub mod ports;
mod proxy;
mod published;
mod record;
mod resolver;
mod socket;
mod state;
mod subnet;

pub use attachment::{Attachment, Attachments};
pub use cabling::Cabling;
pub use endpoint::Endpoint;
pub use list::Networks;
pub use opener::Opener;
pub use published::Published;
pub use record::{Driver, Record};
pub use socket::Who;
pub use state::View;

use std::net::Ipv4Addr;

/// The bridge of Docker's default network.
pub const BRIDGE: &str = "docker0";
/// Its address, which is its containers' gateway.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 17, 0, 1);
