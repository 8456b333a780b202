//! From a create request to a container that is kept, and from what is kept to a container again.

use super::Engine;
use super::remapped::make_passable;
use crate::beneath;
use crate::container::mounts;
use crate::container::record::{Record, State};
use crate::container::{Container, Created, Layer, Parts, Phase, Restarts};
use crate::error::{ApiError, go_words};
use crate::image::Image;
use crate::log::Log;
use crate::network::Attachments;
use crate::remap::Remap;
use crate::settings::{Policy, Request};
use crate::{names, settings};
use rustix::fs::{AtFlags, Gid, Uid, chownat};
use serde_json::Value;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

impl Engine {
    /// Creates a container from a create request. Returns it and the warnings for the client.
    pub fn create(&self, mut body: Value, name: &str) -> Result<(Arc<Container>, Vec<String>), ApiError> {
        let image_name = settings::image_of(&body)?.to_owned();
        let image = self.images.find(&image_name)?;
        let id = names::new_id();
        settings::namespaces::write_ids(&mut body, |other| Ok(self.find(other)?.id.clone()))?;
        let request = settings::parse(body.clone(), &id, &image.config, &self.available())?;
        self.check_links(&request)?;
        let attachments = attachments_of(&body, &request)?;
        let place = self.containers.reserve(name, &id)?;
        let (name, created) = (place.name().to_owned(), SystemTime::now());
        let (directory, layer) = (self.directory_of(&id), self.layer_of(&id, &image)?);
        let record = Record::new(name.clone(), created, image_name.clone(), image.id.clone(), body);
        let mounts = self.make_mounts(&id, &request.mounts)?;
        let made = || -> Result<Log, ApiError> {
            DirBuilder::new().mode(0o710).create(&directory).and_then(|()| layer.create())?;
            if let Some(remap) = &self.remap {
                make_passable(&directory, remap.root().1)?;
            }
            self.make_workdir(&layer, &request.settings.workdir)?;
            self.fill_volumes(&layer, &mounts)?;
            mounts::write(&directory, &mounts)?;
            attachments.save(&directory)?;
            let log = Log::open(log_path(&directory, &id))?;
            // From here on it is there, also for an engine that starts anew.
            record.write(&directory)?;
            Ok(log)
        };
        let log = made().inspect_err(|_refused| {
            // On a full disk, say, what was made of it so far has to go; if that fails too, nothing can be done.
            let _ = layer.remove().and(std::fs::remove_dir_all(&directory));
            self.leave_mounts(&id, &mounts, true);
        })?;
        let warnings = request.warnings.clone();
        let restarts = Restarts::new(request.settings.restart);
        let limits = request.settings.limits.clone();
        let parts = Parts {
            id,
            created,
            name,
            image,
            image_name,
            request,
            mounts,
            directory,
            layer,
            log,
            attachments,
            limits,
        };
        let container = Arc::new(Container::new(parts, Phase::Created(Created::default()), restarts));
        place.fill(Arc::clone(&container));
        self.tell(&container, "create", &[]);
        Ok((container, warnings))
    }

    /// Links are names in networks of one's own; in the predefined ones they are not there.
    fn check_links(&self, request: &Request) -> Result<(), ApiError> {
        let mode = request.host_config.network_mode.as_deref().unwrap_or_default();
        let predefined = matches!(mode, "" | "default" | "bridge" | "none");
        match request.host_config.links.iter().flatten().next().filter(|_| predefined) {
            None => Ok(()),
            Some(link) => {
                let name = link.split(':').next().unwrap_or_default();
                let told = |error: ApiError| {
                    ApiError::internal(format!("could not get container for {name}: {error}"))
                };
                self.find(name).map_err(told)?;
                Err(ApiError::not_yet("--link in the default network (HostConfig.Links)"))
            }
        }
    }

    /// Makes the working directory, which is there from then on, whatever is mounted over it later.
    fn make_workdir(&self, layer: &Layer, workdir: &str) -> Result<(), ApiError> {
        if workdir == "/" {
            return Ok(());
        }
        let mounted = layer.mount()?;
        let root = mounted.root()?;
        let owner = self.remap.as_ref().map(Remap::root);
        let made = beneath::directory(root.as_fd(), Path::new(workdir), &mut |new| match owner {
            Some((uid, gid)) => {
                Ok(chownat(new, "", Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::EMPTY_PATH)?)
            }
            None => Ok(()),
        });
        match made {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                // The last of its parts is a file, or one before that.
                Err(match beneath::locate(root.as_fd(), Path::new(workdir)) {
                    Ok(_) => ApiError::internal(format!("Cannot mkdir: {workdir} is not a directory")),
                    Err(_) => {
                        let path = mounted.path().display();
                        ApiError::internal(format!("lstat {path}{workdir}: not a directory"))
                    }
                })
            }
            Err(error) => Err(ApiError::internal(format!("mkdir {workdir}: {}", go_words(&error)))),
        }
    }

    /// A container of an earlier engine; `None` where it was only half-made, or half-removed.
    pub(super) fn read_back(&self, id: &str) -> io::Result<Option<Container>> {
        let directory = self.directory_of(id);
        let Some(record) = Record::read(&directory)? else { return Ok(None) };
        let Record { name, created, image_name, image, body, policy, limits, .. } = record;
        let gone = || io::Error::other(format!("its image {image} is gone"));
        let image = self.images.of_container(&image).ok_or_else(gone)?;
        let told = |error: ApiError| io::Error::other(error.message);
        let request = settings::parse(body.clone(), id, &image.config, &self.available()).map_err(told)?;
        let attachments = match Attachments::load(&directory) {
            Some(attachments) => attachments,
            None => attachments_of(&body, &request).map_err(told)?,
        };
        let limits = limits.unwrap_or_else(|| request.settings.limits.clone());
        let policy: Policy = policy.unwrap_or(request.settings.restart);
        let unstarted = || (Phase::Created(Created::default()), Restarts::new(policy));
        let (phase, restarts) =
            State::read(&directory).map_or_else(unstarted, |state| state.restored(policy));
        let (layer, log) =
            (self.layer_of(id, &image).map_err(io::Error::other)?, Log::open(log_path(&directory, id))?);
        let mounts = mounts::read(&directory)?;
        let id = id.to_owned();
        let parts = Parts {
            id,
            created,
            name,
            image,
            image_name,
            request,
            mounts,
            directory,
            layer,
            log,
            attachments,
            limits,
        };
        Ok(Some(Container::new(parts, phase, restarts)))
    }

    /// Removes what is on disk of a container, so that at every moment it is there or not.
    pub(super) fn remove_from_disk(&self, id: &str) -> io::Result<()> {
        let directory = self.directory_of(id);
        Record::remove(&directory)?;
        let layer = Layer::new(&self.overlays(), id, vec![]).remove();
        match std::fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => layer.and(Err(error)),
            _ => layer,
        }
    }

    /// Where containers are kept.
    pub(super) fn containers_directory(&self) -> PathBuf {
        self.data_root.join("containers")
    }

    fn directory_of(&self, id: &str) -> PathBuf {
        self.containers_directory().join(id)
    }

    fn overlays(&self) -> PathBuf {
        self.data_root.join("overlay2")
    }

    fn layer_of(&self, id: &str, image: &Image) -> Result<Layer, ApiError> {
        let mut lower = vec![self.init_layer.clone()];
        lower.extend(self.owned_layers(self.images.directories(image)?)?);
        Ok(Layer::new(&self.overlays(), id, lower).owned_by(self.remap.as_ref().map(Remap::root)))
    }
}

/// The networks that a create request asks for.
fn attachments_of(body: &Value, request: &Request) -> Result<Attachments, ApiError> {
    let mode = request.host_config.network_mode.as_deref().unwrap_or_default();
    Attachments::parse(mode, body.get("NetworkingConfig"), body.get("MacAddress").and_then(Value::as_str))
}

fn log_path(directory: &Path, id: &str) -> PathBuf {
    directory.join(format!("{id}-json.log"))
}
