//! The list of all containers: each id and each name is there once, and there is an end to it.
//!
//! It knows nothing of what containers do; that is the engine's.

use crate::container::Container;
use crate::container::record::Record;
use crate::error::ApiError;
use crate::names;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A lesson has a handful of containers, and a test of a cluster some hundreds. An idle one costs the engine some ten KiB and
/// a few descriptors, so that so many cost it a few MiB; more is a mistake, or an attack on the lab's memory.
pub const CONTAINERS_MAX: usize = 512;

/// All containers, oldest first.
#[derive(Debug, Default)]
pub struct Containers(Mutex<List>);

/// What is listed, and the names and ids of those that are being made.
#[derive(Debug, Default)]
struct List {
    all: Vec<Arc<Container>>,
    reserved: Vec<(String, String)>,
}

/// A name and a place on the list, for a container that is being made. Dropped without being filled, both are free again.
#[derive(Debug)]
pub struct Place<'a> {
    list: &'a Containers,
    name: String,
}

impl Containers {
    fn list(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, oldest first.
    pub fn all(&self) -> Vec<Arc<Container>> {
        self.list().all.clone()
    }

    /// Finds a container by id, by name (with or without a slash), or by the only id that begins so.
    pub fn find(&self, reference: &str) -> Result<Arc<Container>, ApiError> {
        let list = self.list();
        let containers = &list.all;
        let name = reference.strip_prefix('/').unwrap_or(reference);
        let exact = containers
            .iter()
            .find(|c| c.id == reference)
            .or_else(|| containers.iter().find(|c| c.name() == name));
        if let Some(container) = exact {
            return Ok(Arc::clone(container));
        }
        let mut by_prefix =
            containers.iter().filter(|c| !reference.is_empty() && c.id.starts_with(reference));
        match (by_prefix.next(), by_prefix.next()) {
            (Some(container), None) => Ok(Arc::clone(container)),
            (Some(_), Some(_)) => {
                let message = format!("Multiple IDs found with provided prefix: {reference}");
                Err(ApiError::bad_request(message))
            }
            _ => Err(ApiError::no_such_container(reference)),
        }
    }

    /// Takes a place under the name asked for, or under a new one.
    pub fn reserve(&self, asked: &str, id: &str) -> Result<Place<'_>, ApiError> {
        let mut list = self.list();
        if list.all.len() + list.reserved.len() >= CONTAINERS_MAX {
            let message =
                format!("this lab holds at most {CONTAINERS_MAX} containers: remove some with docker rm");
            return Err(ApiError::conflict(message));
        }
        let name = list.choose_name(asked)?;
        list.reserved.push((name.clone(), id.to_owned()));
        Ok(Place { list: self, name })
    }

    /// Takes a container of an earlier engine onto the list. An error where its id or its name is there already, which an
    /// engine never writes.
    pub fn take_back(&self, container: Arc<Container>) -> Result<(), ApiError> {
        let mut list = self.list();
        let name = container.name();
        if list.all.iter().any(|other| other.id == container.id || other.name() == name) {
            return Err(ApiError::conflict(format!("its name {name:?} or its id is another's")));
        }
        list.all.push(container);
        Ok(())
    }

    /// Takes a container off the list.
    pub fn remove(&self, id: &str) -> Result<(), ApiError> {
        let mut list = self.list();
        let place = list.all.iter().position(|container| container.id == id);
        list.all.remove(place.ok_or_else(|| ApiError::no_such_container(id))?);
        Ok(())
    }

    /// Gives a container another name. Returns the one that it had.
    pub fn rename(&self, container: &Container, name: &str) -> Result<String, ApiError> {
        let name = name.strip_prefix('/').unwrap_or(name);
        let old = container.name();
        if name.is_empty() {
            return Err(ApiError::bad_request("Neither old nor new names may be empty"));
        }
        if name == old {
            return Err(ApiError::bad_request("Renaming a container with the same name as its current name"));
        }
        let list = self.list();
        let chosen = list
            .choose_name(&format!("/{name}"))
            .map_err(|error| error.while_doing("Error when allocating new name"))?;
        Record::change(&container.directory, |record| record.name.clone_from(&chosen))?;
        container.rename(&chosen);
        Ok(old)
    }
}

impl Place<'_> {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The container is made: from now on it is on the list.
    pub fn fill(self, container: Arc<Container>) {
        self.list.list().all.push(container);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.list.list().reserved.retain(|(name, _)| *name != self.name);
    }
}

impl List {
    /// The name asked for, checked, or a new one.
    fn choose_name(&self, asked: &str) -> Result<String, ApiError> {
        let holder = |name: &str| {
            let listed = self.all.iter().find(|container| container.name() == name).map(|c| c.id.clone());
            listed.or_else(|| self.reserved.iter().find(|(other, _)| other == name).map(|(_, id)| id.clone()))
        };
        if asked.is_empty() {
            return Ok(names::new_name(|name| holder(name).is_some()));
        }
        let name = asked.strip_prefix('/').unwrap_or(asked);
        if !names::is_valid(name) {
            let message =
                format!("Invalid container name ({asked}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
            return Err(ApiError::bad_request(message));
        }
        match holder(name) {
            None => Ok(name.to_owned()),
            Some(id) => Err(ApiError::conflict(format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You have to remove (or \
                 rename) that container to be able to reuse that name."
            ))),
        }
    }
}
