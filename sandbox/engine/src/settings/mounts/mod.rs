//! `-v`, `--mount`, `--volumes-from` and `VOLUME`: what a create request and its image want to be mounted, in Docker's
//! own terms, and every wrong word refused as Docker refuses it.
//!
//! Pure. What a volume's name stands for, what other containers have, and whether a path is there, is looked up by
//! whoever makes the container.

mod long;
mod short;

use crate::error::ApiError;
use bollard_stubs::models::{ContainerConfig, HostConfig};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Component, Path};

/// How many mounts one container may have. Docker has no bound; a person writes some ten.
pub const MOUNTS_MAX: usize = 256;

/// The one driver of volumes that there is.
pub const LOCAL: &str = "local";

/// One mount that a container is to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where in the container: an absolute path without `..`.
    pub destination: String,
    /// What is mounted.
    pub source: Source,
    /// Whether the container may not write to it.
    pub read_only: bool,
    /// `Mode` of the inspect document: the third part of `-v`.
    pub mode: String,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A path of the lab host.
    Bind(Bind),
    /// A volume.
    Volume(Volume),
    /// `--mount type=tmpfs`, with the options of mount(8).
    Tmpfs(Vec<String>),
}

/// A path of the lab host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// Absolute, without `..`.
    pub path: String,
    /// Whether a directory is made where nothing is: `-v` does, `--mount` does not.
    pub create: bool,
    /// Whether what is mounted below it comes along.
    pub recursive: bool,
    /// Whether those are made read-only too (`None`: where the kernel can).
    pub read_only_recursive: Option<bool>,
    /// Asked for, or Docker's default.
    pub propagation: Propagation,
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name; empty for a new one that nobody names.
    pub name: String,
    /// Whether nobody has named it: such a one goes with its container on request.
    pub anonymous: bool,
    /// Whether what the image has at the destination is copied into it while it is empty.
    pub copy: bool,
    /// Its driver, where one is named.
    pub driver: String,
    /// For the driver, should it be made.
    pub options: BTreeMap<String, String>,
    /// Should it be made.
    pub labels: BTreeMap<String, String>,
    /// Whether it is there because of `VOLUME` or `-v /path`.
    pub of_image: bool,
}

/// How mounts below a bind travel between the lab host and the container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    Private,
    /// Docker's default.
    #[default]
    RPrivate,
    Slave,
    RSlave,
    Shared,
    RShared,
}

impl Propagation {
    /// Reads Docker's word.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "private" => Self::Private,
            "rprivate" => Self::RPrivate,
            "slave" => Self::Slave,
            "rslave" => Self::RSlave,
            "shared" => Self::Shared,
            "rshared" => Self::RShared,
            _ => return None,
        })
    }

    /// Docker's word, which is also the OCI Spec's.
    pub fn word(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::RPrivate => "rprivate",
            Self::Slave => "slave",
            Self::RSlave => "rslave",
            Self::Shared => "shared",
            Self::RShared => "rshared",
        }
    }

    /// Whether mounts go from the container to the lab host.
    pub fn is_shared(self) -> bool {
        matches!(self, Self::Shared | Self::RShared)
    }

    /// Whether mounts come from the lab host.
    pub fn is_slave(self) -> bool {
        matches!(self, Self::Slave | Self::RSlave)
    }
}

/// All that a request wants to be mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    /// The containers of which all mounts are taken over first.
    pub volumes_from: Vec<VolumesFrom>,
    /// What the request itself names.
    pub named: Vec<Mount>,
    /// Destinations of `VOLUME` and `-v /path`, which get a new volume unless something else is mounted there.
    pub anonymous: Vec<String>,
}

/// One word of `--volumes-from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumesFrom {
    /// A name or an id.
    pub container: String,
    /// Whether all of its mounts become read-only.
    pub read_only: bool,
}

/// Reads `HostConfig.Mounts` as the client sent it: the API's own types know fewer words than clients, and would not
/// say what is wrong with one.
pub fn long(mounts: Option<&Value>) -> Result<Vec<Mount>, ApiError> {
    long::parse(mounts)
}

/// Reads the rest of a request, whose image's volumes are in `config` already. `long` comes from [`long`].
pub fn parse(config: &ContainerConfig, host: &HostConfig, long: Vec<Mount>) -> Result<Mounts, ApiError> {
    let volumes_from = host.volumes_from.iter().flatten().map(|word| short::volumes_from(word));
    let volumes_from = volumes_from.collect::<Result<_, _>>()?;
    let driver = host.volume_driver.as_deref().unwrap_or_default();
    let mut named: Vec<Mount> = vec![];
    for word in host.binds.iter().flatten() {
        let mount = short::parse(word, driver)?;
        check_free(&named, host, &mount.destination)?;
        named.push(mount);
    }
    for mount in long {
        check_free(&named, host, &mount.destination)?;
        named.push(mount);
    }
    let mut anonymous = vec![];
    for path in config.volumes.iter().flatten() {
        // A path that is not absolute is taken from the root, as with Docker.
        let destination = clean(&format!("/{path}"));
        if destination == "/" {
            return Err(ApiError::bad_request("invalid specification: destination can't be '/'"));
        }
        if !anonymous.contains(&destination) {
            anonymous.push(destination);
        }
    }
    anonymous.sort();
    if named.len() + anonymous.len() > MOUNTS_MAX {
        return Err(ApiError::bad_request(format!("a container has at most {MOUNTS_MAX} mounts")));
    }
    Ok(Mounts { volumes_from, named, anonymous })
}

fn check_free(named: &[Mount], host: &HostConfig, destination: &str) -> Result<(), ApiError> {
    let tmpfs = |path: &String| clean(path) == destination;
    let taken = named.iter().any(|mount| mount.destination == destination)
        || host.tmpfs.iter().flatten().any(|(path, _)| tmpfs(path));
    match taken {
        true => Err(ApiError::bad_request(format!("Duplicate mount point: {destination}"))),
        false => Ok(()),
    }
}

/// A path without `.`, `..` and double slashes, by its words alone: Go's `path.Clean` of an absolute one.
pub fn clean(path: &str) -> String {
    let mut kept: Vec<&str> = vec![];
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => kept.push(name.to_str().unwrap_or_default()),
            Component::ParentDir => drop(kept.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    format!("/{}", kept.join("/"))
}

/// What Docker says of a mount that cannot be: `kind` is the type that was asked for.
fn refused(kind: &str, why: &str) -> String {
    format!("invalid mount config for type {kind:?}: {why}")
}

/// The destination of a mount, or why it cannot be one.
fn destination(path: &str) -> Result<String, String> {
    if path.is_empty() {
        return Err("field Target must not be empty".into());
    }
    if path.contains('\0') {
        return Err("a zero byte in the destination".into());
    }
    if matches!(clean(path).as_str(), "/") && path.starts_with('/') {
        return Err("invalid specification: destination can't be '/'".into());
    }
    absolute(path)
}

/// A clean absolute path, or why it is none.
fn absolute(path: &str) -> Result<String, String> {
    match path.starts_with('/') {
        true => Ok(clean(path)),
        false => Err(format!("invalid mount path: '{path}' mount path must be absolute")),
    }
}

#[cfg(test)]
mod tests;
