//! A container's control group, from its start to its end. Where it is, is written down before it is made, so that an engine that
//! comes after one that was killed finds it.

use super::Container;
use crate::error::ApiError;
use crate::machine::Machine;
use isolab_runtime::cgroup::{self, Group};
use std::io;
use std::path::{Path, PathBuf};

/// The file in a container's directory that says where its group is.
const PLACE: &str = "cgroup";

/// The group of a container that runs. Dropped, it is gone, and with it whatever was left in it.
#[derive(Debug)]
pub struct OwnGroup {
    group: Group,
    place: PathBuf,
}

impl OwnGroup {
    /// Makes it; `None` where this machine has none to give.
    pub fn make(container: &Container, machine: &Machine) -> Result<Option<Self>, ApiError> {
        if machine.groups.is_none() {
            return Ok(None);
        }
        let parent = container.request.settings.cgroup_parent.as_deref().unwrap_or(&machine.cgroup_parent);
        let words = format!("{}/{}", parent.trim_end_matches('/'), container.id);
        let told = |error: isolab_runtime::Error| ApiError::internal(error.to_string());
        let path = cgroup::plan(&words).map_err(told)?;
        let place = container.directory.join(PLACE);
        std::fs::write(&place, &words)?;
        let group = Group::make(&path).map_err(told)?;
        Ok(group.map(|group| Self { group, place }))
    }

    /// The group itself.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Whether the kernel has ended a process of it for want of memory.
    pub fn was_out_of_memory(&self) -> bool {
        let file = if self.group.is_unified() { "memory.events" } else { "memory.oom_control" };
        let text = self.group.read("memory", file).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse::<u64>().ok());
        count.is_some_and(|count| count > 0)
    }
}

impl Drop for OwnGroup {
    fn drop(&mut self) {
        match self.group.remove() {
            Ok(()) => drop(std::fs::remove_file(&self.place)),
            Err(error) => eprintln!("isolab-engine: {error}"),
        }
    }
}

/// Removes the groups of containers that an earlier engine of this data root has left, with whatever runs in them.
pub fn sweep(data_root: &Path) -> Result<(), String> {
    let containers = std::fs::read_dir(data_root.join("containers")).into_iter().flatten().flatten();
    for directory in containers.map(|entry| entry.path()) {
        let place = directory.join(PLACE);
        let words = match std::fs::read_to_string(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            read => read.map_err(|error| format!("{}: {error}", place.display()))?,
        };
        let told = |error: isolab_runtime::Error| error.to_string();
        // A word that was torn by a loss of power names no group, and there is none after one.
        if let Ok(path) = cgroup::plan(&words).as_deref()
            && path.file_name() == directory.file_name()
        {
            Group::at(path).and_then(|group| group.remove()).map_err(told)?;
        }
        // What cannot be taken away is looked at again the next time.
        let _ = std::fs::remove_file(place);
    }
    Ok(())
}
