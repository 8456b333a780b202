//! The networks of a container that runs: its places in them, and the changes of them while it runs.

use super::attachment::{Attachment, Attachments};
use super::endpoint::Endpoint;
use super::list::Networks;
use super::ports::Wanted;
use super::published::{Published, PublishedPorts};
use super::record::{Driver, Record};
use super::resolver::{self, Resolver};
use super::socket::{Socket, Who};
use crate::error::ApiError;
use crate::names;
use isolab_runtime::{Rewiring, Veth, Zygote, remove_link};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::BorrowedFd;

/// All places of one running container. Dropping it gives them back.
#[derive(Debug)]
pub struct Cabling {
    /// Docker calls this a sandbox, and shows its id: 64 hex digits.
    pub id: String,
    endpoints: Vec<Endpoint>,
    ports: Option<PublishedPorts>,
    resolver: Option<Resolver>,
    /// The number of the next link inside: they are not given twice in one run.
    next_link: u32,
}

impl Cabling {
    /// Takes the places that a container is to have. `attachments` learn the names and ids of their networks.
    pub fn new(networks: &Networks, who: &Who, attachments: &mut Attachments) -> Result<Self, ApiError> {
        let mut cabling =
            Self { id: names::new_id(), endpoints: vec![], ports: None, resolver: None, next_link: 0 };
        for attachment in attachments.iter_mut() {
            cabling.take_place(networks, who, attachment)?;
        }
        Ok(cabling)
    }

    /// Takes the ports that are to be published. There are none in a network without a way out, or without a bridge.
    pub fn publish(&mut self, networks: &Networks, who: &Who, wanted: &[Wanted]) -> Result<(), ApiError> {
        let Some(way_out) = self.way_out().filter(|_| !wanted.is_empty()) else { return Ok(()) };
        let usual = networks.usual_address(&way_out.network_id);
        let ports = PublishedPorts::open(networks, wanted, usual).map_err(|error| {
            let place = format!("{} ({})", who.name, way_out.id);
            error.while_doing(&format!("driver failed programming external connectivity on endpoint {place}"))
        })?;
        self.ports = Some(ports);
        self.lead_ports();
        Ok(())
    }

    /// Lets published ports lead to where the container is now.
    fn lead_ports(&mut self) {
        let socket = self.way_out().and_then(|endpoint| endpoint.socket.clone());
        if let Some(ports) = &mut self.ports {
            ports.lead_to(socket);
        }
    }

    /// The published ports.
    pub fn published(&self) -> &[Published] {
        self.ports.as_ref().map_or(&[], PublishedPorts::all)
    }

    /// Whether names are looked up through the engine: in networks that a user has defined.
    pub fn resolves_names(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.socket.is_some() && endpoint.network != "bridge")
    }

    /// Opens the DNS server of the container whose first process is behind `pidfd`, where it is to have one and has none.
    /// Says whether it did.
    pub fn serve_names(
        &mut self,
        networks: &Networks,
        who: &Who,
        servers: &[IpAddr],
        zygote: &Zygote,
        pidfd: BorrowedFd<'_>,
    ) -> Result<bool, ApiError> {
        if self.resolver.is_some() || !self.resolves_names() {
            return Ok(false);
        }
        let told = |error: &dyn std::fmt::Display| {
            ApiError::internal(format!("failed to start the resolver: {error}"))
        };
        let listen = vec![Rewiring::Listen(resolver::ADDRESS)];
        let sockets = zygote.rewire(pidfd, listen).map_err(|error| told(&error))?;
        let resolver = Resolver::serve(sockets, networks.shared_state(), &who.id, servers);
        self.resolver = Some(resolver.map_err(|error| told(&error))?);
        Ok(true)
    }

    fn take_place(
        &mut self,
        networks: &Networks,
        who: &Who,
        attachment: &mut Attachment,
    ) -> Result<&Endpoint, ApiError> {
        let inside = format!("eth{}", self.next_link);
        let endpoint = networks.join(who, attachment, inside)?;
        if endpoint.socket.is_some() {
            self.next_link += 1;
        }
        self.endpoints.push(endpoint);
        self.endpoints.last().ok_or_else(|| ApiError::internal("the endpoint is gone"))
    }

    /// Docker's name for the network namespace. There is no file of that name here: nothing but the container holds it.
    pub fn sandbox_key(&self) -> String {
        let host = self.endpoints.iter().any(|endpoint| endpoint.driver == Driver::Host);
        format!("/var/run/docker/netns/{}", if host { "default" } else { &self.id[..12] })
    }

    /// The places.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Where it is plugged in, in the order of its links.
    pub fn sockets(&self) -> impl Iterator<Item = &Socket> {
        self.endpoints.iter().filter_map(|endpoint| endpoint.socket.as_ref())
    }

    /// The endpoint through which the default route leads. Docker takes, of the networks that have a way out, the one
    /// whose name comes first.
    fn way_out(&self) -> Option<&Endpoint> {
        let with_gateway =
            |endpoint: &&Endpoint| endpoint.socket.as_ref().is_some_and(|s| s.gateway.is_some());
        self.endpoints.iter().filter(with_gateway).min_by(|a, b| a.network.cmp(&b.network))
    }

    /// The pairs that the runtime is to make.
    pub fn veths(&self) -> Vec<Veth> {
        let way_out = self.way_out().map(|endpoint| endpoint.id.clone());
        let plugged =
            self.endpoints.iter().filter_map(|endpoint| Some((endpoint, endpoint.socket.as_ref()?)));
        plugged.map(|(endpoint, socket)| socket.veth(Some(&endpoint.id) == way_out.as_ref())).collect()
    }

    /// Where the default route is to lead now.
    fn default_route(&self) -> Rewiring {
        let socket = self.way_out().and_then(|endpoint| endpoint.socket.as_ref());
        Rewiring::DefaultRoute(socket.and_then(|socket| Some((socket.inside.clone(), socket.gateway?))))
    }

    /// Plugs the running container, whose first process is behind `pidfd`, into one more network. Returns its address.
    pub fn connect(
        &mut self,
        networks: &Networks,
        who: &Who,
        attachment: &mut Attachment,
        zygote: &Zygote,
        pidfd: BorrowedFd<'_>,
    ) -> Result<Option<Ipv4Addr>, ApiError> {
        let socket = self.take_place(networks, who, attachment)?.socket.clone();
        if let Some(socket) = &socket {
            let changes = vec![Rewiring::PlugIn(socket.veth(false)), self.default_route()];
            if let Err(error) = zygote.rewire(pidfd, changes) {
                // It may be there without its route; the error that is told is the first.
                let _ = remove_link(&socket.host_name);
                self.endpoints.pop();
                return Err(ApiError::internal(format!(
                    "failed to add interface {} to sandbox: {error}",
                    socket.inside
                )));
            }
        }
        self.lead_ports();
        Ok(socket.map(|socket| socket.address))
    }

    /// Whether it is in this network.
    pub fn holds(&self, record: &Record) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.network_id == record.id)
    }

    /// Unplugs the running container from a network. Returns the address that it had there.
    pub fn disconnect(
        &mut self,
        record: &Record,
        zygote: &Zygote,
        pidfd: BorrowedFd<'_>,
    ) -> Result<Option<Ipv4Addr>, ApiError> {
        let Some(place) = self.endpoints.iter().position(|endpoint| endpoint.network_id == record.id) else {
            return Ok(None);
        };
        let endpoint = self.endpoints.remove(place);
        let Some(socket) = &endpoint.socket else { return Ok(None) };
        let told = |error: isolab_runtime::Error| ApiError::internal(error.to_string());
        // The link goes with both its ends and all routes over it.
        remove_link(&socket.host_name).map_err(told)?;
        zygote.rewire(pidfd, vec![self.default_route()]).map_err(told)?;
        self.lead_ports();
        Ok(Some(socket.address))
    }
}

impl Drop for Cabling {
    fn drop(&mut self) {
        // The kernel takes links away with the container's network namespace, but in its own time, and never while another
        // container shares it.
        let links: Vec<_> = self.sockets().map(|socket| socket.host_name.clone()).collect();
        if links.is_empty() {
            return;
        }
        let remove = move || {
            for link in links {
                // One that is gone already is as it should be, and there is nobody to tell of others.
                let _ = remove_link(&link);
            }
        };
        // The kernel waits until no processor uses a link any more: milliseconds that clients need not wait. Where there is
        // no thread to be had, it happens when the namespace goes.
        let _ = std::thread::Builder::new().name("cables".into()).spawn(remove);
    }
}
