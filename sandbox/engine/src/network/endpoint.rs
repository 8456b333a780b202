//! A running container's place in one network. Dropping it gives its address back.

use super::record::Driver;
use super::socket::Socket;
use super::state::{self, State};
use std::sync::{Arc, Mutex};

/// A place in a network.
#[derive(Debug)]
pub struct Endpoint {
    /// 64 hex digits.
    pub id: String,
    /// The network's id.
    pub network_id: String,
    /// The network's name.
    pub network: String,
    /// How the network carries packets.
    pub driver: Driver,
    /// Where it is plugged in, in a bridge network.
    pub socket: Option<Socket>,
    /// Where it is to be given back.
    pub(super) state: Arc<Mutex<State>>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        state::of(&self.state).leave(&self.network_id, &self.id);
    }
}
