//! The engine's state, and what can be done with containers: one file per stage of their lives. The HTTP API is a
//! thin layer over this.

mod connect;
mod create;
mod health;
mod images;
mod mounts;
mod pause;
pub mod remapped;
mod remove;
mod restore;
mod run;
mod stop;
mod update;

use crate::config::Config;
use crate::container::{Container, make_init_layer};
use crate::containers::Containers;
use crate::error::ApiError;
use crate::events::Events;
use crate::exec::{Exec, Execs};
use crate::image::Images;
use crate::machine::Machine;
use crate::network::{Networks, Record};
use crate::reaper::Reaper;
use crate::remap::Remap;
use crate::settings::Available;
use crate::volume::Volumes;
use isolab_runtime::Zygote;
use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// What the configuration comes to on this lab host.
#[derive(Clone, Debug, Default)]
pub struct Configured {
    /// What it says.
    pub config: Config,
    /// What the ids of containers stand for (`userns-remap`).
    pub remap: Option<Remap>,
}

/// What an engine is made of.
#[derive(Debug)]
pub struct Engine {
    /// Where it keeps containers.
    pub data_root: PathBuf,
    /// Makes processes.
    pub zygote: Zygote,
    /// Waits for them.
    pub reaper: Reaper,
    /// The lab host.
    pub machine: Machine,
    /// What containers are made from.
    pub images: Arc<Images>,
    /// What they are plugged into.
    pub networks: Networks,
    /// Where containers keep what is to outlive them.
    pub volumes: Arc<Volumes>,
    /// What has happened.
    pub events: Events,
    /// What is executed in them.
    pub execs: Execs,
    /// What the ids of containers stand for (`userns-remap`).
    pub remap: Option<Remap>,
    /// What else is configured.
    pub config: Config,
    /// Held while layers are copied for other ids.
    copying: Mutex<()>,
    init_layer: PathBuf,
    containers: Containers,
}

impl Engine {
    /// An engine over a data root, whose directories are made.
    pub fn new(
        data_root: PathBuf,
        zygote: Zygote,
        reaper: Reaper,
        machine: Machine,
        images: Images,
        networks: Networks,
        Configured { config, remap }: Configured,
    ) -> std::io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o710).create(data_root.join("containers"))?;
        let volumes = Arc::new(Volumes::load(data_root.join("volumes"), remap.as_ref().map(Remap::root))?);
        crate::container::view::sweep(&data_root)?;
        let init_layer = make_init_layer(&data_root.join("overlay2"))?;
        if let Some(remap) = &remap {
            remapped::prepare(&data_root, &init_layer, remap)?;
        }
        Ok(Self {
            data_root,
            zygote,
            reaper,
            machine,
            images: Arc::new(images),
            networks,
            volumes,
            events: Events::default(),
            execs: Execs::default(),
            remap,
            config,
            copying: Mutex::default(),
            init_layer,
            containers: Containers::default(),
        })
    }

    /// What a request is checked against.
    fn available(&self) -> Available {
        self.machine.available(self.remap.is_some(), &self.config.defaults)
    }

    /// All containers, oldest first.
    pub fn all(&self) -> Vec<Arc<Container>> {
        self.containers.all()
    }

    /// Finds a container by id, by name (with or without a slash), or by the only id that begins so.
    pub fn find(&self, reference: &str) -> Result<Arc<Container>, ApiError> {
        self.containers.find(reference)
    }

    /// Tells of what has happened to a container.
    pub fn tell(&self, container: &Container, action: &str, more: &[(&str, String)]) {
        let mut attributes: BTreeMap<String, String> =
            container.request.config.labels.clone().unwrap_or_default().into_iter().collect();
        attributes.insert("image".into(), container.image_name.clone());
        attributes.insert("name".into(), container.name());
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        self.events.tell(action.into(), &container.id, attributes);
    }

    /// Tells of what has happened to a network, and to which container in it.
    pub fn tell_of_network(&self, record: &Record, action: &str, container: Option<&str>) {
        let mut attributes = BTreeMap::from([
            ("name".to_owned(), record.name.clone()),
            ("type".to_owned(), record.driver.word().to_owned()),
        ]);
        attributes.extend(container.map(|id| ("container".to_owned(), id.to_owned())));
        self.events.tell_of("network", action.into(), &record.id, attributes);
    }

    /// Starts an exec and sees it to its end.
    pub fn start_exec(self: &Arc<Self>, exec: &Arc<Exec>, attached: bool) -> Result<(), ApiError> {
        tokio::spawn(self.run_exec(exec, attached)?);
        Ok(())
    }

    /// Starts an exec. The future sees it to its end, and tells its exit code.
    fn run_exec(
        self: &Arc<Self>,
        exec: &Arc<Exec>,
        attached: bool,
    ) -> Result<impl Future<Output = i32> + Send + use<>, ApiError> {
        let finished =
            exec.start(&self.zygote, &self.reaper, &self.machine, self.remap.as_ref(), attached)?;
        let action = format!("exec_start: {}", exec.command());
        self.tell(&exec.container, &action, &[("execID", exec.id.clone())]);
        let (engine, exec) = (Arc::clone(self), Arc::clone(exec));
        Ok(async move {
            let code = finished.await;
            let more = [("execID", exec.id.clone()), ("exitCode", code.to_string())];
            engine.tell(&exec.container, "exec_die", &more);
            code
        })
    }
}
