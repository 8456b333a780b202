//! `docker update`: another restart policy, other limits.

use super::Engine;
use crate::container::record::Record;
use crate::container::{Container, Phase, Running};
use crate::error::ApiError;
use crate::settings::{self, Policy, Update};
use crate::spec;
use serde_json::Value;

impl Engine {
    /// Changes what can be changed of a container that is there. Returns the warnings for the client.
    pub fn update(&self, container: &Container, body: Value) -> Result<Vec<String>, ApiError> {
        let available = self.available();
        let Update { policy, limits: changes, warnings } = settings::parse_update(body, &available)?;
        let what = format!("Cannot update container {}", container.id);
        if let Some(policy) = policy {
            if container.request.settings.auto_remove && policy != Policy::No {
                let why = "Restart policy cannot be updated because AutoRemove is enabled for the container";
                return Err(ApiError::conflict(why).while_doing(&what));
            }
            Record::change(&container.directory, |record| record.policy = Some(policy))?;
            container.restarts().policy = policy;
        }
        let limits = container.limits().updated(&changes).map_err(|error| error.while_doing(&what))?;
        if *container.limits() != limits {
            if let Phase::Running(Running { group: Some(own), .. }) = &*container.phase() {
                let told = |error: isolab_runtime::Error| ApiError::internal(error.to_string());
                let resources = spec::resources::of_update(&limits)?;
                own.group().limit(&resources).map_err(|error| told(error).while_doing(&what))?;
            }
            Record::change(&container.directory, |record| record.limits = Some(limits.clone()))?;
            *container.limits() = limits;
        }
        self.tell(container, "update", &[]);
        Ok(warnings)
    }
}
