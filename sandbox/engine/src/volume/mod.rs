//! Volumes: directories that outlive containers, under `<data root>/volumes/<name>/_data` as with Docker.
//!
//! Each has its document beside its data, so that an engine that starts anew finds all of them. Who uses which is not
//! kept: containers say so again when they are found again.

mod local;
mod name;

use crate::archive::size_of;
use crate::error::ApiError;
use crate::names;
use local::Options;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// A lab has a few; each costs a little of the engine's memory.
const VOLUMES_MAX: usize = 4096;

/// A document of ours is small; one that is larger was not written by us.
const DOCUMENT_BYTES_MAX: usize = 256 * 1024;

/// The document beside the data.
const DOCUMENT: &str = "volume.json";

/// The data.
const DATA: &str = "_data";

/// One volume, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Volume {
    /// Its name, which is a directory's too.
    pub name: String,
    /// When it was made.
    pub created: SystemTime,
    /// Whatever the client has written on it; `None` where it has sent none.
    pub labels: Option<BTreeMap<String, String>>,
    /// What is mounted over its directory, in the words of the driver `local`; `None` where it has sent none.
    pub options: Option<BTreeMap<String, String>>,
}

#[derive(Debug)]
struct Kept {
    volume: Arc<Volume>,
    /// Ids of the containers that have it.
    holders: BTreeSet<String>,
    /// How many runs have it mounted.
    mounted: usize,
}

/// All volumes.
#[derive(Debug)]
pub struct Volumes {
    directory: PathBuf,
    /// A container's root, where that is not the lab host's: what is empty belongs to it.
    owner: Option<(u32, u32)>,
    list: Mutex<BTreeMap<String, Kept>>,
}

/// A volume that is ready to be bound into a container; what its options have mounted goes when this is dropped and no
/// other run has it.
#[derive(Debug)]
pub struct Attached {
    volumes: Arc<Volumes>,
    name: String,
    path: PathBuf,
}

impl Attached {
    /// Where its data is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let mut list = self.volumes.list();
        if let Some(kept) = list.get_mut(&self.name) {
            kept.mounted -= 1;
            if kept.mounted == 0 {
                local::unmount(&self.path, kept.volume.options.as_ref());
            }
        }
    }
}

impl Volumes {
    /// Finds the volumes that are kept in a directory, which is made.
    pub fn load(directory: PathBuf, owner: Option<(u32, u32)>) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o701).create(&directory)?;
        let mut list = BTreeMap::new();
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name::check(&name).is_err() || !entry.path().join(DATA).is_dir() {
                continue;
            }
            let volume = match read(&entry.path().join(DOCUMENT)) {
                Some(volume) => Volume { name: name.clone(), ..volume },
                // Half made when the engine was killed, or not by us: the data counts.
                None => {
                    let created = entry.metadata()?.modified()?;
                    Volume { name: name.clone(), created, labels: None, options: None }
                }
            };
            // An engine that was killed has left it mounted.
            local::unmount(&entry.path().join(DATA), volume.options.as_ref());
            let kept = Kept { volume: Arc::new(volume), holders: BTreeSet::new(), mounted: 0 };
            list.insert(name, kept);
        }
        Ok(Self { directory, owner, list: Mutex::new(list) })
    }

    fn list(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Arc<Volume>> {
        self.list().values().map(|kept| Arc::clone(&kept.volume)).collect()
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Result<Arc<Volume>, ApiError> {
        let list = self.list();
        let kept = list.get(name).ok_or_else(|| missing(name))?;
        Ok(Arc::clone(&kept.volume))
    }

    /// Where a volume's data is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name).join(DATA)
    }

    /// Makes a volume, under a new name where none is given. One that is there already is taken as it is. Returns it, and
    /// whether it is new.
    pub fn create(
        &self,
        name: &str,
        driver: &str,
        labels: Option<BTreeMap<String, String>>,
        options: Option<BTreeMap<String, String>>,
    ) -> Result<(Arc<Volume>, bool), ApiError> {
        let name = if name.is_empty() { names::new_id() } else { name.to_owned() };
        let told = |error: ApiError| error.while_doing(&format!("create {name}"));
        if !matches!(driver, "" | "local") {
            let message = format!("error looking up volume plugin {driver}: plugin {driver:?} not found");
            return Err(told(ApiError::not_found(message)));
        }
        let mut list = self.list();
        if let Some(kept) = list.get(&name) {
            return Ok((Arc::clone(&kept.volume), false));
        }
        name::check(&name).map_err(|why| told(ApiError::bad_request(why)))?;
        Options::parse(options.as_ref()).map_err(|why| told(ApiError::bad_request(why)))?;
        if list.len() >= VOLUMES_MAX {
            let message =
                format!("there are {VOLUMES_MAX} volumes already: remove some with docker volume rm");
            return Err(told(ApiError::conflict(message)));
        }
        let volume = Volume { name: name.clone(), created: SystemTime::now(), labels, options };
        self.write(&volume).inspect_err(|_full| {
            // On a full disk, what was made of it so far has to go; if that fails too, nothing can be done.
            let _ = std::fs::remove_dir_all(self.directory.join(&name));
        })?;
        let volume = Arc::new(volume);
        let kept = Kept { volume: Arc::clone(&volume), holders: BTreeSet::new(), mounted: 0 };
        list.insert(name, kept);
        Ok((volume, true))
    }

    fn write(&self, volume: &Volume) -> io::Result<()> {
        let directory = self.directory.join(&volume.name);
        let document = serde_json::to_vec(volume)?;
        if document.len() > DOCUMENT_BYTES_MAX {
            return Err(io::Error::other(format!(
                "labels and options of more than {DOCUMENT_BYTES_MAX} bytes"
            )));
        }
        DirBuilder::new().recursive(true).mode(0o701).create(&directory)?;
        std::fs::write(directory.join(DOCUMENT), document)?;
        // Last: a directory without it is not a volume yet.
        DirBuilder::new().recursive(true).mode(0o755).create(directory.join(DATA))?;
        match self.owner {
            Some((uid, gid)) => std::os::unix::fs::chown(directory.join(DATA), Some(uid), Some(gid)),
            None => Ok(()),
        }
    }

    /// A container has this volume until [`Volumes::release`]. Whoever lists a container that was there before says so
    /// again. A volume that is gone is made anew, empty, as with Docker.
    pub fn hold(&self, name: &str, container: &str) -> Result<(), ApiError> {
        self.create(name, "", None, None)?;
        if let Some(kept) = self.list().get_mut(name) {
            kept.holders.insert(container.to_owned());
        }
        Ok(())
    }

    /// A container is gone, and has no volume any more.
    pub fn release(&self, container: &str) {
        for kept in self.list().values_mut() {
            kept.holders.remove(container);
        }
    }

    /// The containers that have a volume.
    pub fn holders(&self, name: &str) -> Vec<String> {
        self.list().get(name).map(|kept| kept.holders.iter().cloned().collect()).unwrap_or_default()
    }

    /// Makes a volume ready for a run: what its options ask for is mounted.
    pub fn attach(self: &Arc<Self>, name: &str) -> Result<Attached, ApiError> {
        let path = self.path(name);
        let mut list = self.list();
        let kept = list.get_mut(name).ok_or_else(|| missing(name))?;
        if kept.mounted == 0 {
            let options = Options::parse(kept.volume.options.as_ref()).map_err(ApiError::bad_request)?;
            let told = |why: String| {
                let message = format!("error while mounting volume '{}': {why}", path.display());
                ApiError::internal(message)
            };
            options.map_or(Ok(()), |options| options.mount(&path)).map_err(told)?;
        }
        kept.mounted += 1;
        drop(list);
        Ok(Attached { volumes: Arc::clone(self), name: name.to_owned(), path })
    }

    /// How many bytes a volume holds; 0 where it cannot be measured.
    pub fn size(&self, name: &str) -> u64 {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(self.path(name), flags, Mode::empty());
        opened.ok().and_then(|data| size_of(data.as_fd()).ok()).unwrap_or(0)
    }

    /// Removes a volume that nobody has. It can take a while.
    pub fn remove(&self, name: &str) -> Result<(), ApiError> {
        let mut list = self.list();
        let kept = list.get(name).ok_or_else(|| missing(name))?;
        if !kept.holders.is_empty() || kept.mounted > 0 {
            let holders: Vec<_> = kept.holders.iter().map(String::as_str).collect();
            let message = format!("remove {name}: volume is in use - [{}]", holders.join(", "));
            return Err(ApiError::conflict(message));
        }
        list.remove(name);
        drop(list);
        // Out of the way first, so that a new one of this name can be made at once.
        let old = self.directory.join(format!(".{}", names::new_id()));
        let told = |error: io::Error| ApiError::internal(format!("remove {name}: {error}"));
        std::fs::rename(self.directory.join(name), &old).map_err(told)?;
        std::fs::remove_dir_all(&old).map_err(told)
    }
}

fn missing(name: &str) -> ApiError {
    ApiError::not_found(format!("get {name}: no such volume"))
}

fn read(path: &Path) -> Option<Volume> {
    let size = std::fs::metadata(path).ok()?.len();
    if size > DOCUMENT_BYTES_MAX as u64 {
        return None;
    }
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Option<BTreeMap<String, String>> {
        Some(pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect())
    }

    #[test]
    fn volumes_are_found_again() {
        let root = tempfile::tempdir().unwrap();
        let volumes = Volumes::load(root.path().join("volumes"), None).unwrap();
        let labels = map(&[("a", "b")]);
        assert!(volumes.create("data", "local", labels.clone(), None).unwrap().1);
        assert!(!volumes.create("data", "", None, None).unwrap().1);
        std::fs::write(volumes.path("data").join("file"), "kept").unwrap();
        let (anonymous, _) = volumes.create("", "", None, None).unwrap();
        assert_eq!(anonymous.name.len(), 64);
        // What is not a volume is not taken for one.
        std::fs::create_dir(root.path().join("volumes/half")).unwrap();
        std::fs::create_dir_all(root.path().join("volumes/.old/_data")).unwrap();
        drop(volumes);
        let volumes = Volumes::load(root.path().join("volumes"), None).unwrap();
        assert_eq!(volumes.all().len(), 2);
        assert_eq!(volumes.get("data").unwrap().labels, labels);
        assert_eq!(std::fs::read_to_string(volumes.path("data").join("file")).unwrap(), "kept");
    }

    #[test]
    fn a_volume_in_use_stays() {
        let root = tempfile::tempdir().unwrap();
        let volumes = Arc::new(Volumes::load(root.path().join("volumes"), None).unwrap());
        volumes.create("data", "", None, None).unwrap();
        volumes.hold("data", "c1").unwrap();
        let told = volumes.remove("data").unwrap_err();
        assert_eq!((told.status.as_u16(), &*told.message), (409, "remove data: volume is in use - [c1]"));
        volumes.release("c1");
        let attached = volumes.attach("data").unwrap();
        assert!(volumes.remove("data").is_err());
        drop(attached);
        volumes.remove("data").unwrap();
        assert_eq!(volumes.remove("data").unwrap_err().message, "get data: no such volume");
        assert_eq!(std::fs::read_dir(root.path().join("volumes")).unwrap().count(), 0);
    }

    #[test]
    fn wrong_requests_are_refused_in_docker_s_words() {
        let root = tempfile::tempdir().unwrap();
        let volumes = Volumes::load(root.path().join("volumes"), None).unwrap();
        let refused = |name: &str, driver: &str, options: &[(&str, &str)]| {
            volumes.create(name, driver, None, map(options)).unwrap_err().message
        };
        assert_eq!(
            refused("x", "", &[]),
            "create x: volume name is too short, names should be at least two alphanumeric characters"
        );
        assert_eq!(
            refused("a/b", "", &[]),
            "create a/b: \"a/b\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" \
             are allowed. If you intended to pass a host directory, use absolute path"
        );
        assert_eq!(
            refused("vx", "nosuch", &[]),
            "create vx: error looking up volume plugin nosuch: plugin \"nosuch\" not found"
        );
        assert_eq!(refused("vx", "", &[("foo", "bar")]), "create vx: invalid option: \"foo\"");
        assert_eq!(refused("vx", "", &[("type", "tmpfs")]), "create vx: missing required option: \"device\"");
        for name in ["..", ".hidden", "a b", &"a".repeat(256)] {
            assert!(volumes.create(name, "", None, None).is_err(), "{name}");
        }
        assert!(volumes.all().is_empty());
    }
}
