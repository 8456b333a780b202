//! `docker network connect` and `disconnect`: other networks for a container that is there already.

use super::Engine;
use crate::container::{Container, Phase, files};
use crate::error::ApiError;
use crate::network::{Attachment, Driver, Record};
use std::os::fd::AsFd;

const SHARED: &str = "container sharing network namespace with another container or host cannot be connected to any other network";
const HOST: &str = "container cannot be disconnected from host network or connected to host network";
const NONE: &str =
    "container cannot be connected to multiple networks with one of the networks in private (none) mode";

impl Engine {
    /// Puts a container into one more network: at once if it runs, else when it is started.
    pub fn connect(
        &self,
        container: &Container,
        record: &Record,
        mut attachment: Attachment,
    ) -> Result<(), ApiError> {
        let mut phase = container.phase();
        let mode = container.request.host_config.network_mode.as_deref().unwrap_or_default();
        if mode.starts_with("container:") || mode == "host" && record.driver != Driver::Host {
            return Err(ApiError::bad_request(SHARED));
        }
        if record.driver == Driver::Host && mode != "host" {
            return Err(ApiError::bad_request(HOST));
        }
        let mut attachments = container.attachments().clone();
        let others = attachments.iter().filter(|other| !other.is_to(record)).collect::<Vec<_>>();
        let is_none = |other: &&Attachment| {
            self.networks.find(&other.network).is_ok_and(|n| n.record.driver == Driver::Null)
        };
        if !others.is_empty() && (record.driver == Driver::Null || others.iter().any(is_none)) {
            return Err(ApiError::bad_request(NONE));
        }
        match &mut *phase {
            Phase::Removing => {
                return Err(ApiError::conflict(format!(
                    "Container {} is marked for removal and cannot be connected or disconnected to the network",
                    container.id
                )));
            }
            Phase::Running(running) => {
                let (who, pidfd) = (container.who(), running.pidfd.as_fd());
                let address =
                    running.cabling.connect(&self.networks, &who, &mut attachment, &self.zygote, pidfd)?;
                let dns = &container.request.settings.dns;
                let servers = files::name_servers(dns);
                if running.cabling.serve_names(&self.networks, &who, &servers, &self.zygote, pidfd)? {
                    files::lead_to_resolver(&container.directory, dns)?;
                }
                if let Some(address) = address {
                    files::add_address(&container.directory, &container.request.settings, address)?;
                }
                self.tell_of_network(record, "connect", Some(&container.id));
            }
            _ => {
                let who = container.who();
                self.networks.check(record, &attachment)?;
                attachment.resolve(record, who.short_id(), &who.hostname);
                attachment.network_id.clear();
            }
        }
        attachments.put(attachment, record)?;
        attachments.save(&container.directory)?;
        *container.attachments() = attachments;
        Ok(())
    }

    /// Takes a container out of a network.
    pub fn disconnect(&self, container: &Container, record: &Record) -> Result<(), ApiError> {
        let mut phase = container.phase();
        let mut attachments = container.attachments().clone();
        match &mut *phase {
            Phase::Running(running) => {
                let mode = container.request.host_config.network_mode.as_deref();
                if mode == Some("host") && record.driver == Driver::Host {
                    return Err(ApiError::bad_request(HOST));
                }
                if !running.cabling.holds(record) {
                    return Err(ApiError::internal(format!(
                        "container {} is not connected to network {}",
                        container.id, record.name
                    )));
                }
                let address = running.cabling.disconnect(record, &self.zygote, running.pidfd.as_fd())?;
                if let Some(address) = address {
                    files::remove_address(&container.directory, address)?;
                }
                self.tell_of_network(record, "disconnect", Some(&container.id));
            }
            _ if !attachments.holds(record) => {
                return Err(ApiError::internal(format!(
                    "container {} is not connected to the network {}",
                    container.id, record.name
                )));
            }
            _ => {}
        }
        attachments.remove(record);
        attachments.save(&container.directory)?;
        *container.attachments() = attachments;
        Ok(())
    }
}
