//! The list of all networks: what there is, who is in it, and the bridges that belong to it.
//!
//! A record is written before its bridge is made and removed after it, so that an engine that is killed in between finds
//! the record when it starts again, and with it whatever is there of the bridge.

use super::attachment::Attachment;
use super::endpoint::Endpoint;
use super::firewall::Walls;
use super::ipam::{IpamConfig, Pool};
use super::opener::Opener;
use super::packet_filter::PacketFilter;
use super::record::{Driver, Record};
use super::socket::{Socket, Who};
use super::state::{self, Member, Network, OVERLAP, State, View, not_found};
use super::{BRIDGE, create};
use crate::error::ApiError;
use crate::names;
use isolab_runtime::{ensure_bridge, fence, link_exists, remove_link, unfence};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// A lab has a handful of networks, and Docker's default pools are 31; each is a link of the kernel's.
const NETWORKS_MAX: usize = 64;

/// The kernel's own bound (IFNAMSIZ), without the NUL.
const LINK_NAME_BYTES_MAX: usize = 15;

/// All networks; a handle that is cheap to clone.
#[derive(Clone, Debug)]
pub struct Networks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    state: Arc<Mutex<State>>,
    opener: Opener,
    filter: PacketFilter,
}

impl Networks {
    /// The packet filter.
    pub(super) fn filter(&self) -> &PacketFilter {
        &self.0.filter
    }

    /// Who opens the ports that are published.
    pub(super) fn opener(&self) -> &Opener {
        &self.0.opener
    }

    /// The state, for those who look things up or give things back later.
    pub(super) fn shared_state(&self) -> Arc<Mutex<State>> {
        Arc::clone(&self.0.state)
    }

    /// The networks that are kept in a directory, and the three that there always are. `bridge` says why bridges cannot be
    /// made, where that is so; where they can, whether forwarding was switched on for them. `may_talk` says whether containers in
    /// the default network may reach each other, where that is configured.
    pub fn open(
        directory: &Path,
        bridge: Result<bool, String>,
        may_talk: Option<bool>,
        opener: Opener,
    ) -> std::io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let mut records = Record::load_all(directory)?;
        for (name, driver) in [("none", Driver::Null), ("host", Driver::Host), ("bridge", Driver::Bridge)] {
            let found = records.iter().position(|record| record.name == name);
            let mut record = found.map_or_else(|| Record::new(name, driver), |place| records.remove(place));
            if driver == Driver::Bridge {
                fill_default_bridge(&mut record, may_talk.unwrap_or(true));
            }
            record.save(directory)?;
            records.insert(0, record);
        }
        let mut state = State::default();
        for record in records {
            let overlaps = |pool: &Pool| state.overlapping(pool.subnet);
            let pool = record.ipam.as_ref().map(Pool::new).transpose();
            let (pool, missing) = match (&bridge, pool) {
                (_, Err(error)) => (None, Some(error.message)),
                (_, Ok(Some(pool))) if overlaps(&pool) => (None, Some(OVERLAP.into())),
                (Ok(_), Ok(Some(pool))) => {
                    let made = make_bridge(&record, &pool);
                    (Some(pool), made.err().map(|error| error.to_string()))
                }
                (Err(why), Ok(Some(pool))) => (Some(pool), Some(why.clone())),
                (_, Ok(None)) => (None, None),
            };
            state.all.push(Network { record, pool, members: BTreeMap::new(), missing });
        }
        let filter = PacketFilter::default();
        if let Ok(closed) = bridge {
            filter.begin(state.all.iter().filter_map(walls).collect(), closed);
        }
        let state = Arc::new(Mutex::new(state));
        let shared = Shared { directory: directory.to_owned(), state, opener, filter };
        Ok(Self(Arc::new(shared)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        state::of(&self.0.state)
    }

    /// All of them, oldest first.
    pub fn all(&self) -> Vec<View> {
        self.state().all.iter().map(Network::view).collect()
    }

    /// Finds a network by id, by name, or by the only id that begins so.
    pub fn find(&self, reference: &str) -> Result<View, ApiError> {
        self.state().find(reference).map(Network::view)
    }

    /// Creates a network from a create request.
    pub fn create(&self, body: Value) -> Result<Record, ApiError> {
        let mut record = create::parse(body)?;
        let mut state = self.state();
        if state.all.iter().any(|network| network.record.name == record.name) {
            return Err(ApiError::conflict(format!("network with name {} already exists", record.name)));
        }
        if state.all.len() >= NETWORKS_MAX {
            let message =
                format!("this lab holds at most {NETWORKS_MAX} networks: remove some with docker network rm");
            return Err(ApiError::conflict(message));
        }
        let why = state.all.iter().find(|network| network.record.name == "bridge");
        if let Some(why) = why.and_then(|network| network.missing.clone()) {
            return Err(ApiError::internal(format!("bridges cannot be made here: {why}")));
        }
        let bridge = record.bridge();
        if let Some(other) =
            state.all.iter().find(|other| other.has_bridge() && other.record.bridge() == bridge)
        {
            return Err(ApiError::forbidden(format!(
                "cannot create network {} ({bridge}): conflicts with network {} ({bridge}): networks have same bridge name",
                record.id, other.record.id
            )));
        }
        if bridge.len() > LINK_NAME_BYTES_MAX {
            let message = "failed to check bridge interface existence: numerical result out of range";
            return Err(ApiError::internal(message));
        }
        let pool = state.choose_pool(&mut record)?;
        let told = |error: isolab_runtime::Error| ApiError::internal(error.to_string());
        record.owns_link = !link_exists(&bridge).map_err(told)?;
        record.save(&self.0.directory)?;
        let made = make_bridge(&record, &pool);
        if let Err(error) = made {
            // The reason why there is none is what the client has to hear.
            let _ = release_link(&record, Some(&pool))
                .and(record.forget(&self.0.directory).map_err(ApiError::from));
            return Err(told(error));
        }
        let network =
            Network { record: record.clone(), pool: Some(pool), members: BTreeMap::new(), missing: None };
        if let Some(walls) = walls(&network) {
            self.filter().add(walls);
        }
        state.all.push(network);
        Ok(record)
    }

    /// Removes a network that nobody is in.
    pub fn remove(&self, id: &str) -> Result<(), ApiError> {
        let mut state = self.state();
        let place = state.all.iter().position(|network| network.record.id == id);
        let place = place.ok_or_else(|| not_found(id))?;
        let Network { record, members, pool, .. } = &state.all[place];
        if record.is_predefined() {
            let message = format!("{} is a pre-defined network and cannot be removed", record.name);
            return Err(ApiError::forbidden(message));
        }
        if !members.is_empty() {
            return Err(ApiError::forbidden(format!(
                "error while removing network: network {} id {id} has active endpoints",
                record.name
            )));
        }
        release_link(record, pool.as_ref())?;
        record.forget(&self.0.directory)?;
        let bridge = record.bridge();
        state.all.remove(place);
        self.filter().remove(&bridge);
        Ok(())
    }

    /// Takes a place in the network of an attachment, which learns the network's name and id.
    pub(super) fn join(
        &self,
        who: &Who,
        attachment: &mut Attachment,
        inside: String,
    ) -> Result<Endpoint, ApiError> {
        let mut state = self.state();
        let network = state.all.iter_mut().find(|network| attachment.is_to(&network.record));
        let wanted = Some(&attachment.network_id).filter(|id| !id.is_empty()).unwrap_or(&attachment.network);
        let network = network.ok_or_else(|| not_found(wanted))?;
        network.record.check(attachment, network.pool.as_ref())?;
        if network.members.values().any(|member| member.container == who.id) {
            let Record { name, .. } = &network.record;
            return Err(ApiError::forbidden(format!(
                "endpoint with name {} already exists in network {name}",
                who.name
            )));
        }
        let socket = network.plug(attachment, inside)?;
        attachment.resolve(&network.record, who.short_id(), &who.hostname);
        let id = names::new_id();
        let member = Member {
            container: who.id.clone(),
            name: who.name.clone(),
            address: socket.as_ref().map(|socket| (socket.address, socket.prefix)),
            mac: socket.as_ref().map(Socket::mac_text).unwrap_or_default(),
            aliases: attachment.aliases.clone().unwrap_or_default(),
            links: attachment.links_by_alias(),
        };
        network.members.insert(id.clone(), member);
        Ok(Endpoint {
            id,
            network_id: network.record.id.clone(),
            network: network.record.name.clone(),
            driver: network.record.driver,
            socket,
            state: Arc::clone(&self.0.state),
        })
    }

    /// An error where a container could not be in this network as it asks to be.
    pub fn check(&self, record: &Record, attachment: &Attachment) -> Result<(), ApiError> {
        let state = self.state();
        let network = state.find(&record.id)?;
        network.record.check(attachment, network.pool.as_ref())
    }

    /// The address at which a network's ports are published where nobody chooses one.
    pub(super) fn usual_address(&self, id: &str) -> IpAddr {
        let state = self.state();
        let record = state.all.iter().map(|network| &network.record).find(|record| record.id == id);
        let chosen = record.and_then(|record| record.option("com.docker.network.bridge.host_binding_ipv4"));
        chosen.and_then(|text| text.parse().ok()).unwrap_or(super::ports::ALL)
    }

    /// A container has another name now.
    pub fn renamed(&self, container: &str, name: &str) {
        let mut state = self.state();
        let members = state.all.iter_mut().flat_map(|network| network.members.values_mut());
        members
            .filter(|member| member.container == container)
            .for_each(|member| name.clone_into(&mut member.name));
    }
}

/// What Docker says of its default bridge.
fn fill_default_bridge(record: &mut Record, may_talk: bool) {
    let options = [
        ("com.docker.network.bridge.default_bridge", "true"),
        ("com.docker.network.bridge.enable_icc", if may_talk { "true" } else { "false" }),
        ("com.docker.network.bridge.enable_ip_masquerade", "true"),
        ("com.docker.network.bridge.host_binding_ipv4", "0.0.0.0"),
        ("com.docker.network.bridge.name", BRIDGE),
        ("com.docker.network.driver.mtu", "1500"),
    ];
    record.options = options.map(|(name, value)| (name.into(), value.into())).into();
    let (subnet, gateway) = ("172.17.0.0/16".into(), super::GATEWAY.to_string());
    record.ipam = Some(IpamConfig { subnet, gateway, ..IpamConfig::default() });
}

/// What the packet filter has to know of a network; nothing of one without a bridge.
fn walls(network: &Network) -> Option<Walls> {
    let Network { record, pool: Some(pool), missing: None, .. } = network else { return None };
    let says_no =
        |option: &str| record.option(&format!("com.docker.network.bridge.{option}")) == Some("false");
    Some(Walls {
        bridge: record.bridge(),
        subnet: pool.subnet,
        internal: record.internal,
        may_talk: !says_no("enable_icc"),
        masquerade: !says_no("enable_ip_masquerade"),
    })
}

/// Makes a network's bridge and its fence.
fn make_bridge(record: &Record, pool: &Pool) -> Result<(), isolab_runtime::Error> {
    let bridge = record.bridge();
    ensure_bridge(&bridge, pool.gateway, pool.subnet.prefix(), record.mtu())?;
    fence(&bridge, pool.subnet.parts(), record.internal)
}

fn release_link(record: &Record, pool: Option<&Pool>) -> Result<(), ApiError> {
    if let Some(pool) = pool {
        unfence(&record.bridge(), pool.subnet.parts(), record.internal)
            .map_err(|error| ApiError::internal(error.to_string()))?;
    }
    if !record.owns_link {
        return Ok(());
    }
    remove_link(&record.bridge()).map_err(|error| ApiError::internal(error.to_string()))
}
