//! Pausing a container and letting it go on.

use super::Engine;
use crate::container::freeze::{self, Frozen};
use crate::container::processes::Processes;
use crate::container::{Container, Phase};
use crate::error::ApiError;
use std::os::fd::AsFd;

impl Engine {
    /// Stops all processes of a container.
    pub async fn pause(&self, container: &Container) -> Result<(), ApiError> {
        container.check_unpaused().map_err(|state| match state {
            "paused" => ApiError::conflict(format!("Container {} is already paused", container.id)),
            _ => ApiError::restarting(&container.id),
        })?;
        let told = |error| ApiError::internal(format!("Cannot pause container {}: {error}", container.id));
        let freezer = self.machine.groups.as_ref().is_some_and(|groups| groups.freezer);
        let group = match &*container.phase() {
            Phase::Running(running) => running.group.as_ref().map(|own| own.group().clone()),
            _ => None,
        };
        let frozen = match group.filter(|_| freezer) {
            Some(group) => freeze::freeze_group(group).await,
            None => freeze::freeze(&self.processes_of(container)?).await,
        };
        let frozen = frozen.map_err(told)?;
        match &mut *container.phase() {
            Phase::Running(running) => running.frozen = Some(frozen),
            _ => return Err(ApiError::not_running(&container.id)),
        }
        self.tell(container, "pause", &[]);
        Ok(())
    }

    /// Continues all processes of a container.
    pub fn unpause(&self, container: &Container) -> Result<(), ApiError> {
        let processes = self.processes_of(container);
        let frozen = match &mut *container.phase() {
            Phase::Running(running) => running.frozen.take(),
            _ => None,
        };
        let frozen: Frozen =
            frozen.ok_or_else(|| ApiError::internal(format!("Container {} is not paused", container.id)))?;
        freeze::thaw(&processes?, &frozen)?;
        self.tell(container, "unpause", &[]);
        Ok(())
    }

    /// The processes of a container that runs.
    pub fn processes_of(&self, container: &Container) -> Result<Processes, ApiError> {
        let shares = container.is_sharing_pids();
        let others = if shares { vec![] } else { self.mount_namespaces_but(container) };
        match &*container.phase() {
            Phase::Running(running) => Ok(match &running.procfs {
                Some(procfs) => Processes::of_namespace(procfs.as_fd(), others)?,
                None => Processes::in_mount_namespace(running.mount_namespace())?,
            }),
            _ => Err(ApiError::not_running(&container.id)),
        }
    }

    /// The mount namespaces of all other containers that share somebody's pid namespace: theirs are the processes that
    /// may be in this one's.
    fn mount_namespaces_but(&self, container: &Container) -> Vec<u64> {
        let others =
            self.all().into_iter().filter(|other| other.id != container.id && other.is_sharing_pids());
        let inodes = others.filter_map(|other| match &*other.phase() {
            Phase::Running(running) => Some(running.mount_namespace()),
            _ => None,
        });
        inodes.collect()
    }
}
