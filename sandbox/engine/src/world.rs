//! What an engine is made of, read from the disk: at the start of the program, and whenever the engine is started anew.

use crate::apparmor;
use crate::config::Config;
use crate::engine::{Configured, Engine, remapped};
use crate::image::Form;
use crate::machine::Machine;
use crate::network::{Networks, Opener};
use crate::options::{Options, Rootless};
use crate::reaper::Reaper;
use crate::remap::{self, Remap};
use crate::{image, leftovers, transfer};
use isolab_runtime::Zygote;
use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

/// What outlives a restart of the engine: all else is made anew, from what is on disk.
#[derive(Debug)]
pub struct World {
    options: Options,
    zygote: Zygote,
    reaper: Reaper,
    opener: Opener,
}

impl World {
    /// The world of a program with these options.
    pub fn new(options: Options, zygote: Zygote, reaper: Reaper, opener: Opener) -> Self {
        Self { options, zygote, reaper, opener }
    }

    fn is_rootless(&self) -> bool {
        self.options.rootless != Rootless::No
    }

    /// What the configuration says, as it is now.
    pub fn configured(&self) -> Result<Configured, String> {
        let config = self.options.config.as_deref().map_or(Ok(Config::default()), Config::read)?;
        let remap = match config.userns_remap.as_str() {
            "" => None,
            _ if self.is_rootless() => {
                return Err(
                    "userns-remap cannot be set when rootless mode is enabled: it has ids of its own already"
                        .into(),
                );
            }
            words => Some(Remap::find(words, &remap::Files::of_host())?),
        };
        Ok(Configured { config, remap })
    }

    /// An engine with this configuration, and the containers that it had when it ran before.
    pub fn engine(&self, configured: Configured) -> Result<Arc<Engine>, String> {
        let Configured { config, remap } = &configured;
        let base = &self.options.data_root;
        let data_root = remap.as_ref().map_or(base.clone(), |remap| remap.data_root(base));
        let told = |error: std::io::Error| format!("{}: {error}", data_root.display());
        if remap.is_some() {
            // Containers have to get through to what is theirs below.
            std::fs::set_permissions(base, PermissionsExt::from_mode(0o711)).map_err(told)?;
            DirBuilder::new().recursive(true).mode(0o710).create(&data_root).map_err(told)?;
            leftovers::end(&data_root)?;
        }
        transfer::Scratch::sweep(&data_root).map_err(told)?;
        let form = || match self.is_rootless() {
            true => Form::Archives(data_root.join(remapped::COPIES)),
            false => Form::Directories,
        };
        let shared = self.options.images.as_deref().map(|images| (images, form()));
        let images = image::Images::open(shared, &data_root)?;
        let networks = Networks::open(
            &base.join("network"),
            may_bridge(&self.options),
            config.may_talk,
            self.opener.clone(),
        );
        let networks = networks.map_err(told)?;
        let (zygote, reaper) = (self.zygote.clone(), self.reaper.clone());
        let machine = Machine { rootless: self.is_rootless(), ..Machine::read(&self.options.cgroup_parent) };
        if machine.apparmor
            && let Err(error) = apparmor::make_ready(apparmor::DEFAULT)
        {
            // Whoever starts a container is told as well.
            eprintln!("isolab-engine: {}", error.message);
        }
        let engine = Engine::new(data_root.clone(), zygote, reaper, machine, images, networks, configured);
        let engine = Arc::new(engine.map_err(told)?);
        engine.restore().map_err(told)?;
        Ok(engine)
    }
}

/// Has packets forwarded, where bridges are wanted, and says whether they were not before. Without bridges, containers have no
/// bridge networks, and are told why.
fn may_bridge(options: &Options) -> Result<bool, String> {
    if !options.bridge {
        return Err("the engine was started with --no-bridge".into());
    }
    // A lab without it works all the same: containers reach each other over a bridge, not through it.
    let switch = Path::new("/proc/sys/net/ipv4/ip_forward");
    let was_off = std::fs::read_to_string(switch).is_ok_and(|text| text.trim() == "0");
    Ok(std::fs::write(switch, "1").is_ok() && was_off)
}
