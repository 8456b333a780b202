//! What is kept of a container on disk, so that an engine that was killed at any moment finds it again.
//!
//! Two documents in the container's directory. `config.json` says what it is to be: it is written when all else of the
//! container is there, and is the first that goes when it is removed, so that a directory without one is only a half-made
//! or half-removed container. `state.json` says where it is in its life, changes often, and may be missing: the container
//! counts as never started then. Both are replaced atomically.
//!
//! The create request is kept as the client sent it and is parsed again: whatever a request may ask for is kept with no
//! further code. What was chosen when the container was made and does not follow from the request (a generated name)
//! needs a field of its own here, with a default.

use super::phase::{Created, Exited, Phase, Restarting};
use super::restarts::Restarts;
use crate::atomic::{self, Lasting};
use crate::settings::{Limits, Policy};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The version of both documents. An engine does not guess at those of another version.
const VERSION: u32 = 1;

/// A request has at most 1 MiB; what the engine adds is small. More was not written by us.
const DOCUMENT_BYTES_MAX: u64 = 4 * 1024 * 1024;

const CONFIG: &str = "config.json";
const STATE: &str = "state.json";

/// The exit code of a container whose end nobody saw: Docker's.
pub const END_UNSEEN: i32 = 255;

/// What a container is to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    /// Its name, without the slash.
    pub name: String,
    /// When it was created.
    pub created: SystemTime,
    /// The image's name as the client gave it.
    pub image_name: String,
    /// The image's id: `sha256:` and 64 hex digits.
    pub image: String,
    /// The create request.
    pub body: Value,
    /// The restart policy, where `docker update` has changed it.
    #[serde(default)]
    pub policy: Option<Policy>,
    /// What it may use, where `docker update` has changed it.
    #[serde(default)]
    pub limits: Option<Limits>,
}

/// Where a container is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    status: Status,
    code: i32,
    error: String,
    started: SystemTime,
    finished: SystemTime,
    restarts: u32,
    stopped_by_hand: bool,
    #[serde(default)]
    out_of_memory: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Created,
    Running,
    Restarting,
    Exited,
}

impl Record {
    /// The record of a new container.
    pub fn new(name: String, created: SystemTime, image_name: String, image: String, body: Value) -> Self {
        Self { version: VERSION, name, created, image_name, image, body, policy: None, limits: None }
    }

    /// Writes it. From the first time on, the container is there.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        atomic::replace(&directory.join(CONFIG), &serde_json::to_vec(self)?, Lasting::PowerLoss)
    }

    /// Reads it; `None` where there is none, because the container is half-made or half-removed.
    pub fn read(directory: &Path) -> io::Result<Option<Self>> {
        let record: Option<Self> = read(&directory.join(CONFIG))?;
        record.map(|record| check(record.version, record)).transpose()
    }

    /// Changes what is written.
    pub fn change(directory: &Path, change: impl FnOnce(&mut Self)) -> io::Result<()> {
        let mut record = Self::read(directory)?.ok_or(io::ErrorKind::NotFound)?;
        change(&mut record);
        record.write(directory)
    }

    /// Takes it away. From now on, what is left in the directory is nobody's.
    pub fn remove(directory: &Path) -> io::Result<()> {
        match std::fs::remove_file(directory.join(CONFIG)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl State {
    /// The state of a container in this phase; a container that is being removed has none.
    pub fn of(phase: &Phase, restarts: &Restarts) -> Option<Self> {
        let never = UNIX_EPOCH;
        let (status, code, error, started, finished) = match phase {
            Phase::Created(Created { failure: None }) => (Status::Created, 0, "", never, never),
            Phase::Created(Created { failure: Some((code, why)) }) => {
                (Status::Created, *code, why.as_str(), never, never)
            }
            Phase::Running(running) => {
                let finished = running.finished_before.unwrap_or(never);
                (Status::Running, 0, "", running.started, finished)
            }
            Phase::Restarting(restarting) => {
                let Exited { code, started, finished, .. } = restarting.last;
                (Status::Restarting, code, "", started, finished)
            }
            Phase::Exited(exited) => {
                (Status::Exited, exited.code, exited.error.as_str(), exited.started, exited.finished)
            }
            Phase::Removing => return None,
        };
        Some(Self {
            version: VERSION,
            status,
            code,
            error: error.into(),
            started,
            finished,
            restarts: restarts.count,
            stopped_by_hand: restarts.stopped_by_hand,
            out_of_memory: match phase {
                Phase::Restarting(Restarting { last: exited, .. }) | Phase::Exited(exited) => {
                    exited.out_of_memory
                }
                _ => false,
            },
        })
    }

    /// Writes it.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        atomic::replace(&directory.join(STATE), &serde_json::to_vec(self)?, Lasting::Kill)
    }

    /// Reads it; `None` where there is none, or one that nobody can make sense of (after a loss of power).
    pub fn read(directory: &Path) -> Option<Self> {
        let state: Self = read(&directory.join(STATE)).ok().flatten()?;
        (state.version == VERSION).then_some(state)
    }

    /// The phase and the restarts of a container that an earlier engine has left so. Nothing of that engine's runs any
    /// more.
    pub fn restored(self, policy: Policy) -> (Phase, Restarts) {
        let mut restarts = Restarts::new(policy);
        (restarts.count, restarts.stopped_by_hand) = (self.restarts, self.stopped_by_hand);
        let Self { started, out_of_memory, .. } = self;
        let exited =
            |code, finished, error| Phase::Exited(Exited { code, started, finished, error, out_of_memory });
        let phase = match self.status {
            Status::Created => {
                let failure = (!self.error.is_empty()).then_some((self.code, self.error));
                Phase::Created(Created { failure })
            }
            Status::Running => exited(END_UNSEEN, SystemTime::now().max(self.started), String::new()),
            Status::Restarting | Status::Exited => exited(self.code, self.finished, self.error),
        };
        (phase, restarts)
    }
}

fn check<T>(version: u32, document: T) -> io::Result<T> {
    match version {
        VERSION => Ok(document),
        other => Err(io::Error::other(format!("{CONFIG} is of version {other}, not {VERSION}"))),
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = vec![];
    file.take(DOCUMENT_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn record() -> Record {
        let body = serde_json::json!({ "Image": "x", "Labels": { "ä": "\u{0}" } });
        Record::new("web".into(), SystemTime::now(), "x".into(), "sha256:ab".into(), body)
    }

    #[test]
    fn a_record_is_read_back_and_changed() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Record::read(directory.path()).unwrap().is_none());
        record().write(directory.path()).unwrap();
        Record::change(directory.path(), |record| record.name = "other".into()).unwrap();
        let read = Record::read(directory.path()).unwrap().unwrap();
        assert_eq!((read.name.as_str(), &read.body), ("other", &record().body));
        Record::remove(directory.path()).unwrap();
        Record::remove(directory.path()).unwrap();
        assert!(Record::read(directory.path()).unwrap().is_none());
    }

    #[test]
    fn another_version_and_a_torn_document_are_not_guessed_at() {
        let directory = tempfile::tempdir().unwrap();
        Record { version: VERSION + 1, ..record() }.write(directory.path()).unwrap();
        assert!(Record::read(directory.path()).unwrap_err().to_string().contains("version 2"));
        std::fs::write(directory.path().join(CONFIG), "{\"version\":1,").unwrap();
        assert!(Record::read(directory.path()).is_err());
        std::fs::write(directory.path().join(STATE), "").unwrap();
        assert_eq!(State::read(directory.path()), None);
    }

    #[test]
    fn what_ran_has_ended_unseen_and_the_rest_is_as_it_was() {
        let started = UNIX_EPOCH + Duration::from_secs(7);
        let of = |phase| State::of(&phase, &Restarts::default()).unwrap().restored(Policy::No).0;
        let exited = Exited { code: 3, started, finished: started, error: "why".into(), out_of_memory: true };
        let Phase::Exited(same) = of(Phase::Exited(exited.clone())) else { panic!() };
        assert_eq!((same.code, same.started, same.finished), (3, started, started));
        assert_eq!((same.error.as_str(), same.out_of_memory), ("why", true));
        let failed = Phase::Created(Created { failure: Some((127, "no such program".into())) });
        let Phase::Created(same) = of(failed) else { panic!() };
        assert_eq!(same.failure.unwrap(), (127, "no such program".into()));
        let mut ran = State::of(&Phase::Exited(exited), &Restarts::default()).unwrap();
        ran.status = Status::Running;
        let Phase::Exited(ended) = ran.restored(Policy::No).0 else { panic!() };
        assert!(ended.code == END_UNSEEN && ended.started == started && ended.finished > started);
    }
}
