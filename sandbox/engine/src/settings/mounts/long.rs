//! `--mount`, as the client has taken it apart.

use super::{Bind, Mount, Propagation, Source, Volume, absolute, destination, refused};
use crate::error::ApiError;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// One `--mount`. Words are kept as words until they are looked at, for the errors.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Long {
    #[serde(rename = "Type")]
    kind: Option<String>,
    source: Option<String>,
    target: Option<String>,
    read_only: Option<bool>,
    bind_options: Option<BindOptions>,
    volume_options: Option<VolumeOptions>,
    tmpfs_options: Option<TmpfsOptions>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct BindOptions {
    propagation: Option<String>,
    non_recursive: Option<bool>,
    create_mountpoint: Option<bool>,
    read_only_non_recursive: Option<bool>,
    read_only_force_recursive: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct VolumeOptions {
    no_copy: Option<bool>,
    labels: Option<BTreeMap<String, String>>,
    driver_config: Option<Driver>,
    subpath: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Driver {
    name: Option<String>,
    options: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TmpfsOptions {
    size_bytes: Option<i64>,
    mode: Option<u32>,
    options: Option<Vec<Vec<String>>>,
}

/// Reads them all.
pub fn parse(mounts: Option<&Value>) -> Result<Vec<Mount>, ApiError> {
    let Some(mounts) = mounts.filter(|mounts| !mounts.is_null()) else { return Ok(vec![]) };
    let read = Vec::<Long>::deserialize(mounts);
    let read = read.map_err(|error| ApiError::bad_request(format!("invalid JSON: {error}")))?;
    read.into_iter().map(Long::check).collect()
}

impl Long {
    fn check(self) -> Result<Mount, ApiError> {
        let kind = self.kind.clone().unwrap_or_default();
        self.read(&kind).map_err(|why| ApiError::bad_request(refused(&kind, &why)))
    }

    fn read(self, kind: &str) -> Result<Mount, String> {
        let extra = |field: &str| Err(format!("field {field} must not be specified"));
        let destination = destination(self.target.as_deref().unwrap_or_default())?;
        let read_only = self.read_only.unwrap_or(false);
        let source = self.source.unwrap_or_default();
        let (source, mode) = match kind {
            "bind" => {
                if source.is_empty() {
                    return Err("field Source must not be empty".into());
                }
                let options = self.bind_options.unwrap_or_default();
                let propagation = options.propagation()?;
                if self.volume_options.is_some() {
                    return extra("VolumeOptions");
                }
                (Source::Bind(options.bind(absolute(&source)?, propagation)), "")
            }
            "volume" => {
                if self.bind_options.is_some() {
                    return extra("BindOptions");
                }
                if source.is_empty() && read_only {
                    return Err("must not set ReadOnly mode when using anonymous volumes".into());
                }
                (Source::Volume(self.volume_options.unwrap_or_default().volume(source)?), "z")
            }
            "tmpfs" => {
                if self.bind_options.is_some() {
                    return extra("BindOptions");
                }
                if !source.is_empty() {
                    return extra("Source");
                }
                (Source::Tmpfs(self.tmpfs_options.unwrap_or_default().words(read_only)?), "")
            }
            _ => return Err("mount type unknown".into()),
        };
        Ok(Mount { destination, source, read_only, mode: mode.into() })
    }
}

impl BindOptions {
    fn propagation(&self) -> Result<Propagation, String> {
        let word = self.propagation.as_deref().filter(|word| !word.is_empty());
        let read = |word| Propagation::parse(word).ok_or_else(|| format!("invalid propagation mode: {word}"));
        word.map_or(Ok(Propagation::default()), read)
    }

    fn bind(self, path: String, propagation: Propagation) -> Bind {
        let on = |flag: Option<bool>| flag.unwrap_or(false);
        let read_only_recursive = match (on(self.read_only_force_recursive), on(self.read_only_non_recursive))
        {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        };
        Bind {
            path,
            create: on(self.create_mountpoint),
            recursive: !on(self.non_recursive),
            read_only_recursive,
            propagation,
        }
    }
}

impl VolumeOptions {
    fn volume(self, name: String) -> Result<Volume, String> {
        if self.subpath.is_some_and(|path| !path.is_empty()) {
            return Err("field VolumeOptions.Subpath must not be specified".into());
        }
        let driver = self.driver_config.unwrap_or_default();
        Ok(Volume {
            anonymous: name.is_empty(),
            name,
            copy: !self.no_copy.unwrap_or(false),
            driver: driver.name.unwrap_or_default(),
            options: driver.options.unwrap_or_default(),
            labels: self.labels.unwrap_or_default(),
            of_image: false,
        })
    }
}

impl TmpfsOptions {
    /// As words of mount(8).
    fn words(self, read_only: bool) -> Result<Vec<String>, String> {
        if self.options.is_some_and(|options| !options.is_empty()) {
            return Err("field TmpfsOptions.Options must not be specified".into());
        }
        let mut words = vec![];
        if read_only {
            words.push("ro".to_owned());
        }
        if let Some(mode) = self.mode.filter(|&mode| mode != 0) {
            words.push(format!("mode={mode:o}"));
        }
        match self.size_bytes.unwrap_or(0) {
            0 => {}
            size if size < 0 => return Err(format!("invalid tmpfs size: {size}")),
            size => words.push(format!("size={size}")),
        }
        Ok(words)
    }
}
