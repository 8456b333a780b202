//! The containers of an earlier engine, which was killed or has ended: they are listed again, as ended, and those whose
//! policy says so are started. What is half-made or half-removed goes.
//!
//! Processes and mounts are gone by now: see `leftovers`.

use super::Engine;
use crate::container::{Container, Phase};
use std::io;
use std::sync::Arc;

impl Engine {
    /// Reads back what is on disk. Call it before anybody is served. A container that cannot be read back is told of and
    /// left as it is: it may be of use to its owner, or to another engine.
    pub fn restore(self: &Arc<Self>) -> io::Result<()> {
        let mut found = vec![];
        for entry in std::fs::read_dir(self.containers_directory())? {
            let name = entry?.file_name();
            let Some(id) = name.to_str().filter(|name| is_id(name)) else { continue };
            match self.read_back(id) {
                Ok(Some(container)) => found.push(Arc::new(container)),
                Ok(None) => self.sweep(id),
                Err(error) => eprintln!("isolab-engine: container {id} cannot be read back: {error}"),
            }
        }
        found.sort_by_key(|container| container.created);
        for container in found {
            self.take_back(&container);
        }
        Ok(())
    }

    fn take_back(self: &Arc<Self>, container: &Arc<Container>) {
        let (code, was_started) = {
            let phase = container.phase();
            (phase.exit_code(), !matches!(*phase, Phase::Created(_)))
        };
        if container.request.settings.auto_remove && was_started {
            // It was to go when it ended, and it has.
            self.sweep(&container.id);
            self.leave_mounts(&container.id, &container.mounts, true);
            return;
        }
        if let Err(error) = self.containers.take_back(Arc::clone(container)) {
            eprintln!("isolab-engine: container {} is not listed: {error}", container.id);
            return;
        }
        self.hold_mounts(container);
        container.save();
        if container.restarts().with_engine(code)
            && let Err(error) = self.start(container)
        {
            eprintln!("isolab-engine: container {} is not started: {error}", container.id);
        }
    }

    fn sweep(&self, id: &str) {
        if let Err(error) = self.remove_from_disk(id) {
            eprintln!("isolab-engine: what is left of container {id}: {error}");
        }
    }
}

/// Whether a directory is named as those of containers are.
fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_are_containers() {
        assert!(is_id(&crate::names::new_id()));
        for other in ["", "lost+found", "..", &"A".repeat(64), &"a".repeat(63)] {
            assert!(!is_id(other), "{other}");
        }
    }
}
