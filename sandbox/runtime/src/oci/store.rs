//! The state of containers on disk: one directory each, under one root.
//!
//! A container's directory is made by a `mkdir` that fails if it is there, which makes a name unique; the state in it
//! is written whole and renamed into place, so that a reader never sees half of it.

use super::Failure;
use super::process::Identity;
use crate::doll::cgroup::Group;
use oci_spec::runtime::{ContainerState, Spec, State};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The longest name of a container. Docker's have 64 characters, podman's too.
const NAME_BYTES_MAX: usize = 128;

/// A state is a few hundred bytes; annotations are what an engine makes of them.
const STATE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The directory that holds the containers.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
}

/// What is remembered of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub id: String,
    pub bundle: PathBuf,
    /// Its first process.
    pub init: Identity,
    /// In milliseconds since 1970.
    pub created_at_ms: u64,
    pub annotations: Option<HashMap<String, String>>,
    /// Its control group, where it has one of its own.
    pub group: Option<Group>,
    /// What it was made from, for `exec` and for hooks: the bundle may have changed or gone since.
    pub spec: Spec,
}

/// The directory of one container.
#[derive(Debug)]
pub struct Home {
    dir: PathBuf,
}

impl Store {
    /// Opens the store, `given` or the default one, and makes it if need be.
    pub fn open(given: Option<&Path>) -> Result<Self, Failure> {
        let root = given.map_or_else(default_root, Path::to_owned);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&root);
        made.map_err(|error| Failure::new(format!("making the directory {root:?}"), error))?;
        let metadata = fs::metadata(&root).map_err(|error| Failure::new(format!("{root:?}"), error))?;
        let own = rustix::process::geteuid().as_raw();
        if metadata.uid() != own && metadata.uid() != 0 {
            return Err(Failure::plain(format!(
                "{root:?} belongs to uid {}: give another --root",
                metadata.uid()
            )));
        }
        Ok(Self { root })
    }

    /// Takes a name for a new container.
    pub fn claim(&self, id: &str) -> Result<Home, Failure> {
        let dir = self.dir(id)?;
        match fs::DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => Ok(Home { dir }),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(Failure::plain(format!("container with id exists: {id}")))
            }
            Err(error) => Err(Failure::new(format!("making the directory {dir:?}"), error)),
        }
    }

    /// A container that is there.
    pub fn get(&self, id: &str) -> Result<(Home, Record), Failure> {
        let home = self.home(id)?;
        let record = home.load()?;
        Ok((home, record))
    }

    /// The directory of a container that is there, whatever is in it.
    pub fn home(&self, id: &str) -> Result<Home, Failure> {
        let dir = self.dir(id)?;
        if !dir.is_dir() {
            return Err(Failure::absent(format!("container does not exist: {id}")));
        }
        Ok(Home { dir })
    }

    /// All containers, by name. One whose state cannot be read is being made or removed, and left out.
    pub fn list(&self) -> Result<Vec<(Home, Record)>, Failure> {
        let entries = fs::read_dir(&self.root)
            .map_err(|error| Failure::new(format!("reading {:?}", self.root), error))?;
        let homes = entries.flatten().map(|entry| Home { dir: entry.path() });
        let mut all: Vec<_> =
            homes.filter_map(|home| home.load().ok().map(|record| (home, record))).collect();
        all.sort_by(|(_, a), (_, b)| a.id.cmp(&b.id));
        Ok(all)
    }

    fn dir(&self, id: &str) -> Result<PathBuf, Failure> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || b"_+-.".contains(&c);
        let fits = !id.is_empty() && id.len() <= NAME_BYTES_MAX && id != "." && id != "..";
        match fits && id.bytes().all(allowed) {
            true => Ok(self.root.join(id)),
            false => Err(Failure::plain(format!(
                "invalid container id {id:?}: 1 to {NAME_BYTES_MAX} of letters, digits, _ + - and ."
            ))),
        }
    }
}

impl Home {
    /// Where a created container waits for its start; it is there until then.
    pub fn start_socket(&self) -> PathBuf {
        self.dir.join("start.sock")
    }

    /// Keeps a record.
    pub fn save(&self, record: &Record) -> Result<(), Failure> {
        let (temporary, path) = (self.dir.join("state.json.new"), self.state_file());
        let json = serde_json::to_vec(record)
            .map_err(|error| Failure::plain(format!("encoding the state: {error}")))?;
        fs::write(&temporary, json)
            .and_then(|()| fs::rename(&temporary, &path))
            .map_err(|error| Failure::new(format!("writing {path:?}"), error))
    }

    /// Whether the container still waits for its start.
    pub fn awaits_start(&self) -> bool {
        self.start_socket().exists()
    }

    /// Forgets the container.
    pub fn remove(self) -> Result<(), Failure> {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Failure::new(format!("removing {:?}", self.dir), error))
            }
            _ => Ok(()),
        }
    }

    fn load(&self) -> Result<Record, Failure> {
        let path = self.state_file();
        let failed = |error| Failure::new(format!("reading {path:?}"), error);
        let length = fs::metadata(&path).map_err(failed)?.len();
        if length > STATE_BYTES_MAX {
            return Err(Failure::plain(format!("{path:?} has {length} bytes")));
        }
        let bytes = fs::read(&path).map_err(failed)?;
        serde_json::from_slice(&bytes).map_err(|error| Failure::plain(format!("{path:?}: {error}")))
    }

    fn state_file(&self) -> PathBuf {
        self.dir.join("state.json")
    }
}

impl Record {
    /// Where the container is in its life.
    pub fn status(&self, home: &Home) -> ContainerState {
        match (self.init.is_alive(), home.awaits_start()) {
            (false, _) => ContainerState::Stopped,
            (true, true) => ContainerState::Created,
            (true, false) => ContainerState::Running,
        }
    }

    /// The state as the OCI Spec has it.
    pub fn state(&self, status: ContainerState) -> State {
        let mut state = State::default();
        state
            .set_version("1.0.2".into())
            .set_id(self.id.clone())
            .set_status(status)
            .set_pid(Some(if status == ContainerState::Stopped { 0 } else { self.init.pid as i32 }))
            .set_bundle(self.bundle.clone())
            .set_annotations(self.annotations.clone());
        state
    }
}

fn default_root() -> PathBuf {
    let uid = rustix::process::geteuid().as_raw();
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    match runtime_dir {
        _ if uid == 0 => PathBuf::from("/run/isolab-runtime"),
        Some(dir) => Path::new(&dir).join("isolab-runtime"),
        None => std::env::temp_dir().join(format!("isolab-runtime-{uid}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(Some(root.path())).unwrap();
        for bad in ["", ".", "..", "a/b", "../x", "a b", "ä", "a\0", &"a".repeat(129)] {
            assert!(store.claim(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "a.b", "...", "A_b-c+d.9", &"a".repeat(128)] {
            store.claim(good).unwrap();
        }
    }

    #[test]
    fn a_name_is_taken_once() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(Some(root.path())).unwrap();
        let home = store.claim("a").unwrap();
        assert!(store.claim("a").unwrap_err().to_string().contains("exists"));
        home.remove().unwrap();
        store.claim("a").unwrap();
        assert!(store.get("b").unwrap_err().is_absent());
    }

    #[test]
    fn a_record_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(Some(root.path())).unwrap();
        let home = store.claim("a").unwrap();
        let record = Record {
            id: "a".into(),
            bundle: "/b".into(),
            init: Identity::of(std::process::id()).unwrap(),
            created_at_ms: 7,
            annotations: None,
            group: None,
            spec: Spec::default(),
        };
        home.save(&record).unwrap();
        let (home, loaded) = store.get("a").unwrap();
        assert_eq!(loaded, record);
        assert_eq!(loaded.status(&home), ContainerState::Running);
        std::fs::write(home.start_socket(), "").unwrap();
        assert_eq!(loaded.status(&home), ContainerState::Created);
        assert_eq!(store.list().unwrap().len(), 1);
        assert_eq!(loaded.state(ContainerState::Stopped).pid(), &Some(0));
    }
}
