//! `-v [source:]destination[:mode]` and `--volumes-from container[:mode]`.

use super::{Bind, Mount, Propagation, Source, Volume, VolumesFrom, absolute, destination, refused};
use crate::error::ApiError;

/// The third part of `-v`, read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Mode {
    read_only: bool,
    no_copy: bool,
    propagation: Option<Propagation>,
}

impl Mode {
    /// At most one word of each kind; an unknown one is an error.
    fn parse(words: &str) -> Result<Self, ApiError> {
        let bad = || ApiError::bad_request(format!("invalid mode: {words}"));
        let mut mode = Self::default();
        let mut seen = [false; 5];
        let mut once = |kind: usize| match std::mem::replace(&mut seen[kind], true) {
            true => Err(bad()),
            false => Ok(()),
        };
        for word in words.split(',').filter(|_| !words.is_empty()) {
            match word {
                "ro" | "rw" => {
                    once(0)?;
                    mode.read_only = word == "ro";
                }
                // Labels of SELinux, which no machine of ours has: nothing to do, as with Docker there.
                "z" | "Z" => once(1)?,
                "nocopy" => {
                    once(2)?;
                    mode.no_copy = true;
                }
                // Hints for Docker Desktop.
                "consistent" | "cached" | "delegated" => once(3)?,
                _ => {
                    once(4)?;
                    mode.propagation = Some(Propagation::parse(word).ok_or_else(bad)?);
                }
            }
        }
        Ok(mode)
    }
}

/// Reads one `-v`. `driver` is `--volume-driver`.
pub fn parse(raw: &str, driver: &str) -> Result<Mount, ApiError> {
    let invalid = || format!("invalid volume specification: '{raw}'");
    let parts: Vec<&str> = raw.split(':').collect();
    let (source, target, words) = match parts[..] {
        ["", ..] => return Err(ApiError::bad_request(invalid())),
        [target] => ("", target, ""),
        // A volume that nobody names has no mode.
        [_, mode] if Mode::parse(mode).is_ok() => return Err(ApiError::bad_request(invalid())),
        [source, target] => (source, target, ""),
        [source, target, mode] => (source, target, mode),
        _ => return Err(ApiError::bad_request(invalid())),
    };
    let mode = Mode::parse(words)?;
    let kind = if source.starts_with('/') { "bind" } else { "volume" };
    let told = |why: String| ApiError::bad_request(format!("{}: {}", invalid(), refused(kind, &why)));
    let destination = destination(target).map_err(told)?;
    let source = match kind {
        "bind" if mode.no_copy => return Err(told("field VolumeOptions must not be specified".into())),
        "bind" => Source::Bind(Bind {
            path: absolute(source).map_err(told)?,
            create: true,
            recursive: true,
            read_only_recursive: None,
            propagation: mode.propagation.unwrap_or_default(),
        }),
        _ if mode.propagation.is_some() => {
            return Err(told("field BindOptions must not be specified".into()));
        }
        _ if source.is_empty() && mode.read_only => {
            return Err(told("must not set ReadOnly mode when using anonymous volumes".into()));
        }
        _ => Source::Volume(Volume {
            name: source.into(),
            anonymous: source.is_empty(),
            copy: !mode.no_copy,
            driver: driver.into(),
            ..Volume::default()
        }),
    };
    // Docker labels volumes for all to share where nobody says otherwise.
    let is_volume = matches!(source, Source::Volume(_));
    let shown = if words.is_empty() && is_volume { "z" } else { words };
    Ok(Mount { destination, source, read_only: mode.read_only, mode: shown.into() })
}

/// Reads one `--volumes-from`.
pub fn volumes_from(word: &str) -> Result<VolumesFrom, ApiError> {
    if word.is_empty() {
        return Err(ApiError::bad_request("volumes-from specification cannot be an empty string"));
    }
    let (container, words) = word.split_once(':').unwrap_or((word, ""));
    let mode = Mode::parse(words)?;
    if mode.no_copy || mode.propagation.is_some() {
        return Err(ApiError::bad_request(format!("invalid mode: {words}")));
    }
    if container.is_empty() {
        return Err(ApiError::bad_request("invalid name or ID supplied: \"\""));
    }
    Ok(VolumesFrom { container: container.into(), read_only: mode.read_only })
}
