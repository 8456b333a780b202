//! The mounts of a container while it is made and when it goes: other containers' mounts are taken over, volumes are
//! made, held, filled from the image, and left again.

use super::Engine;
use crate::container::copy_up::copy_up;
use crate::container::{Container, Layer};
use crate::error::ApiError;
use crate::settings::mounts::{LOCAL, MOUNTS_MAX, Mount, Mounts, Source, Volume};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

impl Engine {
    /// Whether to create a container may take long, because volumes have to be filled. The request is not checked yet.
    pub fn fills_volumes(&self, body: &Value) -> bool {
        let holds = |value: &Value| match value {
            Value::Array(list) => !list.is_empty(),
            Value::Object(map) => !map.is_empty(),
            _ => false,
        };
        let host = &body["HostConfig"];
        let image = body["Image"].as_str().and_then(|name| self.images.find(name).ok());
        [&body["Volumes"], &host["Binds"], &host["Mounts"]].into_iter().any(holds)
            || image.is_some_and(|image| image.config.volumes.iter().flatten().next().is_some())
    }

    /// Turns what a request wants into the mounts of the container `id`: each volume has its name, is there, and is held.
    pub(super) fn make_mounts(&self, id: &str, wanted: &Mounts) -> Result<Vec<Mount>, ApiError> {
        let mut mounts: Vec<Mount> = vec![];
        for from in &wanted.volumes_from {
            // Not a 404: the client would take it for a missing image.
            let other = self.find(&from.container).map_err(|error| ApiError::bad_request(error.message))?;
            for mount in &other.mounts {
                let mut mount = mount.clone();
                mount.read_only |= from.read_only;
                if let Source::Volume(volume) = &mut mount.source {
                    volume.copy = false;
                }
                put(&mut mounts, mount);
            }
        }
        for mount in &wanted.named {
            if let Source::Bind(bind) = &mount.source
                && !bind.create
                && !Path::new(&bind.path).exists()
            {
                return Err(ApiError::bad_request(format!(
                    "invalid mount config for type \"bind\": bind source path does not exist: {}",
                    bind.path
                )));
            }
            put(&mut mounts, mount.clone());
        }
        for destination in &wanted.anonymous {
            if !mounts.iter().any(|mount| mount.destination == *destination) {
                mounts.push(of_image(destination));
            }
        }
        if mounts.len() > MOUNTS_MAX {
            return Err(ApiError::bad_request(format!("a container has at most {MOUNTS_MAX} mounts")));
        }
        for index in 0..mounts.len() {
            if let Source::Volume(volume) = &mut mounts[index].source
                && let Err(error) = self.make_volume(id, volume)
            {
                self.leave_mounts(id, &mounts[..index], true);
                return Err(error);
            }
        }
        Ok(mounts)
    }

    fn make_volume(&self, container: &str, volume: &mut Volume) -> Result<(), ApiError> {
        let some = |map: &BTreeMap<String, String>| (!map.is_empty()).then(|| map.clone());
        let (made, new) =
            self.volumes.create(&volume.name, &volume.driver, some(&volume.labels), some(&volume.options))?;
        volume.name.clone_from(&made.name);
        if new {
            self.tell_of_volume("create", &made.name, &[]);
        }
        self.volumes.hold(&made.name, container)
    }

    /// Copies what the image has at their destinations into volumes that are empty.
    pub(super) fn fill_volumes(&self, layer: &Layer, mounts: &[Mount]) -> Result<(), ApiError> {
        let volumes: Vec<_> = mounts.iter().filter_map(volume_to_fill).collect();
        if volumes.is_empty() {
            return Ok(());
        }
        let root = layer.mount()?;
        for (destination, volume) in volumes {
            let attached = self.volumes.attach(&volume.name)?;
            copy_up(&root, destination, volume, attached.path())?;
        }
        Ok(())
    }

    /// The container is gone, or will never be: it has its volumes no more. Where asked, those that nobody has named go
    /// too, unless another container has them.
    pub(super) fn leave_mounts(&self, id: &str, mounts: &[Mount], with_anonymous: bool) {
        self.volumes.release(id);
        for mount in mounts {
            if let Source::Volume(volume) = &mount.source
                && volume.anonymous
                && with_anonymous
                && self.volumes.remove(&volume.name).is_ok()
            {
                self.tell_of_volume("destroy", &volume.name, &[]);
            }
        }
    }

    /// A container of an earlier engine has its volumes again.
    pub(super) fn hold_mounts(&self, container: &Container) {
        for mount in &container.mounts {
            if let Source::Volume(volume) = &mount.source
                && let Err(error) = self.volumes.hold(&volume.name, &container.id)
            {
                eprintln!("isolab-engine: volume {} of container {}: {error}", volume.name, container.id);
            }
        }
    }

    /// Tells that the volumes of a container are mounted for its run.
    pub(super) fn tell_of_mounts(&self, container: &Container) {
        for mount in &container.mounts {
            if let Source::Volume(volume) = &mount.source {
                let more = [
                    ("container", container.id.clone()),
                    ("destination", mount.destination.clone()),
                    ("propagation", String::new()),
                    ("read/write", (!mount.read_only).to_string()),
                ];
                self.tell_of_volume("mount", &volume.name, &more);
            }
        }
    }

    /// Tells that they are not any more.
    pub(super) fn tell_of_unmounts(&self, container: &Container) {
        for mount in &container.mounts {
            if let Source::Volume(volume) = &mount.source {
                self.tell_of_volume("unmount", &volume.name, &[("container", container.id.clone())]);
            }
        }
    }

    /// Tells of what has happened to a volume.
    pub fn tell_of_volume(&self, action: &str, name: &str, more: &[(&str, String)]) {
        let mut attributes = BTreeMap::from([("driver".to_owned(), LOCAL.to_owned())]);
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        self.events.tell_of("volume", action.into(), name, attributes);
    }
}

/// A later mount takes the place of one that another container had there.
fn put(mounts: &mut Vec<Mount>, mount: Mount) {
    mounts.retain(|other| other.destination != mount.destination);
    mounts.push(mount);
}

/// The new volume of a `VOLUME` or `-v /path`.
fn of_image(destination: &str) -> Mount {
    let volume = Volume { anonymous: true, copy: true, of_image: true, ..Volume::default() };
    Mount {
        destination: destination.into(),
        source: Source::Volume(volume),
        read_only: false,
        mode: String::new(),
    }
}

fn volume_to_fill(mount: &Mount) -> Option<(&str, &Volume)> {
    match &mount.source {
        Source::Volume(volume) if volume.copy || volume.of_image => Some((&mount.destination, volume)),
        _ => None,
    }
}
