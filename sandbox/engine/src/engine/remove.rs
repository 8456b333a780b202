//! Removing containers, and giving them another name.

use super::Engine;
use super::stop::not_running_is_fine;
use crate::container::{Container, Phase};
use crate::error::ApiError;
use axum::http::StatusCode;
use rustix::process::Signal;

impl Engine {
    /// Removes a container, by force also one that runs, and where asked the volumes that nobody has named.
    pub async fn remove(
        &self,
        container: &Container,
        force: bool,
        with_volumes: bool,
    ) -> Result<(), ApiError> {
        if let Some((state, remedy)) = in_the_way(&container.phase()).filter(|_| !force) {
            return Err(ApiError::conflict(format!(
                "You cannot remove a {state} container {}. {remedy} before attempting removal or force remove",
                container.id
            )));
        }
        if container.is_up() {
            self.kill(container, Signal::KILL.as_raw()).await.or_else(not_running_is_fine)?;
        }
        match self.forget(container, with_volumes) {
            // It was to be removed at its end (--rm), and has been.
            Err(error) if force && error.status == StatusCode::NOT_FOUND => Ok(()),
            removed => removed,
        }
    }

    /// Takes a container that does not run off the list and removes what it has written.
    pub(super) fn forget(&self, container: &Container, with_volumes: bool) -> Result<(), ApiError> {
        self.containers.remove(&container.id)?;
        container.removed();
        self.execs.forget(&container.id);
        let removed = self.remove_from_disk(&container.id);
        self.leave_mounts(&container.id, &container.mounts, with_volumes);
        self.tell(container, "destroy", &[]);
        let told =
            |error| ApiError::internal(format!("unable to remove filesystem for {}: {error}", container.id));
        removed.map_err(told)
    }

    /// Gives a container another name.
    pub fn rename(&self, container: &Container, name: &str) -> Result<(), ApiError> {
        let old = self.containers.rename(container, name)?;
        self.networks.renamed(&container.id, &container.name());
        self.tell(container, "rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    }
}

/// What a container is that cannot be removed just so, and what to do about it.
fn in_the_way(phase: &Phase) -> Option<(&'static str, &'static str)> {
    match phase {
        Phase::Running(running) if running.frozen.is_some() => {
            Some(("paused", "Unpause and then stop the container"))
        }
        Phase::Running(_) => Some(("running", "Stop the container")),
        Phase::Restarting(_) => Some(("restarting", "Stop the container")),
        Phase::Created(_) | Phase::Exited(_) | Phase::Removing => None,
    }
}
