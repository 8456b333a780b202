//! A container's own mounts: kept beside it, and made ready for a run.

use crate::atomic::{self, Lasting};
use crate::error::{ApiError, go_words};
use crate::settings::mounts::{Bind, Mount, Propagation, Source};
use crate::spec::UserMount;
use crate::volume::{Attached, Volumes};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is kept in a container's directory.
const DOCUMENT: &str = "mounts.json";

/// Keeps the mounts that a container was made with: volumes have their names, other containers' mounts are its own.
pub fn write(directory: &Path, mounts: &[Mount]) -> io::Result<()> {
    // Most have none, and need not wait for the disk.
    match mounts {
        [] => Ok(()),
        _ => atomic::replace(&directory.join(DOCUMENT), &serde_json::to_vec(mounts)?, Lasting::PowerLoss),
    }
}

/// Finds them again.
pub fn read(directory: &Path) -> io::Result<Vec<Mount>> {
    match std::fs::read(directory.join(DOCUMENT)) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        Err(error) => Err(error),
    }
}

/// Mounts that are ready: what the Spec says of them, and what has to be held while the container runs.
#[derive(Debug, Default)]
pub struct Ready {
    /// For the Spec.
    pub mounts: Vec<UserMount>,
    /// For the container.
    pub attached: Vec<Attached>,
}

/// Makes the mounts of a container ready: missing sources are made, volumes mounted, propagation checked.
pub fn prepare(mounts: &[Mount], volumes: &Arc<Volumes>, data_root: &Path) -> Result<Ready, ApiError> {
    let mut ready = Ready::default();
    for mount in mounts {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let (kind, source, mut options) = match &mount.source {
            Source::Tmpfs(options) => ("tmpfs", PathBuf::from("tmpfs"), options.clone()),
            Source::Volume(volume) => {
                let attached = volumes.attach(&volume.name)?;
                let path = attached.path().to_owned();
                ready.attached.push(attached);
                ("bind", path, words(&["rbind"]))
            }
            Source::Bind(bind) => {
                if bind.create {
                    make_source(&bind.path)?;
                }
                check_propagation(bind)?;
                let kind = if bind.recursive { "rbind" } else { "bind" };
                let mut options = words(&[kind, effective(bind, data_root).word()]);
                if mount.read_only && bind.read_only_recursive == Some(true) {
                    options.push("rro".into());
                }
                ("bind", PathBuf::from(&bind.path), options)
            }
        };
        if mount.read_only && !options.iter().any(|word| word == "ro") {
            options.push("ro".into());
        }
        ready.mounts.push(UserMount { destination: mount.destination.clone(), kind, source, options });
    }
    Ok(ready)
}

/// The propagation that a bind gets. One that shows the engine's own directory must not keep the mounts of containers
/// busy, and lets their end through.
pub fn effective(bind: &Bind, data_root: &Path) -> Propagation {
    match bind.propagation {
        Propagation::RPrivate if bind.recursive && data_root.starts_with(&bind.path) => Propagation::RSlave,
        given => given,
    }
}

/// `-v` makes a directory of root's where nothing is.
fn make_source(path: &str) -> Result<(), ApiError> {
    match std::fs::metadata(path) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {}
        Err(_) => {}
    }
    let made = DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(|error| {
        let why = go_words(&error);
        ApiError::internal(format!("error while creating mount source path '{path}': mkdir {path}: {why}"))
    })
}

/// Mounts can only be shared through a mount that is.
fn check_propagation(bind: &Bind) -> Result<(), ApiError> {
    let (shared, slave) = (bind.propagation.is_shared(), bind.propagation.is_slave());
    if !shared && !slave {
        return Ok(());
    }
    let path = std::fs::canonicalize(&bind.path).unwrap_or_else(|_| PathBuf::from(&bind.path));
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let (at, fields) = mount_of(&table, &path);
    let has = |word: &str| fields.iter().any(|field| field.starts_with(word));
    if has("shared:") || (slave && has("master:")) {
        return Ok(());
    }
    let wanted = if shared { "shared" } else { "shared or slave" };
    let message = format!("path {} is mounted on {at} but it is not a {wanted} mount", bind.path);
    Err(ApiError::internal(message))
}

/// The mount that a path lies on, and its optional fields: the last one whose place is the longest.
fn mount_of<'a>(table: &'a str, path: &Path) -> (String, Vec<&'a str>) {
    let mut found = ("/".to_owned(), vec![], 0);
    for line in table.lines() {
        let mut words = line.split(' ');
        let Some(place) = words.nth(4).map(unescape) else { continue };
        let depth = Path::new(&place).components().count();
        if path.starts_with(&place) && depth >= found.2 {
            let optional = words.skip(1).take_while(|&word| word != "-").collect();
            found = (place, optional, depth);
        }
    }
    (found.0, found.1)
}

/// The kernel writes blanks, tabs, newlines and backslashes of a path as three octal digits.
fn unescape(word: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(word.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/a rw\n\
                         21 20 0:5 / /mnt rw - tmpfs tmpfs rw\n\
                         22 21 0:6 / /mnt/a\\040b rw,nosuid shared:2 master:3 - tmpfs tmpfs rw\n\
                         23 20 0:7 / /mnt rw master:9 - tmpfs tmpfs rw\n";

    #[test]
    fn the_mount_of_a_path_is_the_topmost() {
        let of = |path: &str| mount_of(TABLE, Path::new(path));
        assert_eq!(of("/etc/x"), ("/".into(), vec!["shared:1"]));
        assert_eq!(of("/mntx"), ("/".into(), vec!["shared:1"]));
        assert_eq!(of("/mnt/y"), ("/mnt".into(), vec!["master:9"]));
        assert_eq!(of("/mnt/a b/c"), ("/mnt/a b".into(), vec!["shared:2", "master:3"]));
    }

    #[test]
    fn a_bind_that_shows_the_engine_s_own_directory_is_a_slave() {
        let bind = |path: &str| Bind { path: path.into(), recursive: true, ..Bind::default() };
        let root = Path::new("/var/lib/docker");
        assert_eq!(effective(&bind("/"), root), Propagation::RSlave);
        assert_eq!(effective(&bind("/var/lib"), root), Propagation::RSlave);
        assert_eq!(effective(&bind("/var/li"), root), Propagation::RPrivate);
        let private = Bind { propagation: Propagation::Private, ..bind("/") };
        assert_eq!(effective(&private, root), Propagation::Private);
    }
}
