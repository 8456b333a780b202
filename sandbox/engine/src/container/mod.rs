//! One container: what it is to be, where it is in its life, its streams and its log.

pub mod changes;
pub mod copy;
pub mod copy_up;
pub mod devices;
pub mod donors;
pub mod files;
pub mod freeze;
pub mod group;
pub mod health;
mod init;
pub mod launch;
mod layer;
pub mod mounts;
mod phase;
mod pids;
pub mod processes;
pub mod program;
pub mod record;
mod restarts;
mod shm;
pub mod usage;
pub mod view;
pub mod words;

pub use layer::{Layer, Mounted, make_init_layer};
pub use phase::{Created, Exited, Phase, Restarting, Running};
pub use pids::pids_in;
pub use restarts::Restarts;

use crate::error::ApiError;
use crate::image::Image;
use crate::log::Log;
use crate::network::{Attachments, Who};
use crate::settings::mounts::Mount;
use crate::settings::{Limits, LogDriver, Request, Sharing};
use crate::streams::Streams;
use health::Health;
use isolab_runtime::process;
use record::State;
use rustix::io::Errno;
use rustix::process::Signal;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::{oneshot, watch};

/// How often a container has ended, for those who wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// How many times.
    pub count: u64,
    /// The last exit code.
    pub code: i32,
    /// Whether it is removed.
    pub removed: bool,
}

/// One container.
#[derive(Debug)]
pub struct Container {
    /// 64 hex digits.
    pub id: String,
    /// When it was created.
    pub created: SystemTime,
    /// What it was made from.
    pub image: Arc<Image>,
    /// The image's name as the client gave it.
    pub image_name: String,
    /// What it is to be.
    pub request: Request,
    /// What is mounted in it, besides its root and what every container has.
    pub mounts: Vec<Mount>,
    /// Its directory under `containers/`.
    pub directory: PathBuf,
    /// Its writable layer.
    pub layer: Layer,
    /// Its standard streams.
    pub streams: Arc<Streams>,
    /// Its log.
    pub log: Log,
    name: Mutex<String>,
    attachments: Mutex<Attachments>,
    phase: Mutex<Phase>,
    restarts: Mutex<Restarts>,
    limits: Mutex<Limits>,
    health: Mutex<Option<Health>>,
    /// The id of its network sandbox, the last one where it does not run, and Docker's path of it.
    sandbox: Mutex<(String, String)>,
    ends: watch::Sender<Ends>,
}

/// What a new container is made of.
#[derive(Debug)]
pub struct Parts {
    pub id: String,
    pub created: SystemTime,
    pub name: String,
    pub image: Arc<Image>,
    pub image_name: String,
    pub request: Request,
    /// What is mounted in it, besides its root and what every container has.
    pub mounts: Vec<Mount>,
    pub directory: PathBuf,
    pub layer: Layer,
    pub log: Log,
    pub attachments: Attachments,
    /// What it may use, as it was asked for or changed since.
    pub limits: Limits,
}

/// A container is to be started again.
#[derive(Debug)]
pub struct Again {
    /// After this time.
    pub pause: Duration,
    /// Unless this ends before.
    pub given_up: oneshot::Receiver<()>,
}

impl Container {
    /// A container that was never started, or, from an earlier engine, one in this phase.
    pub fn new(parts: Parts, phase: Phase, restarts: Restarts) -> Self {
        let Parts {
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
        } = parts;
        Self {
            id,
            created,
            image,
            image_name,
            request,
            mounts,
            directory,
            layer,
            streams: Arc::default(),
            log,
            name: Mutex::new(name),
            attachments: Mutex::new(attachments),
            phase: Mutex::new(phase),
            restarts: Mutex::new(restarts),
            limits: Mutex::new(limits),
            health: Mutex::default(),
            sandbox: Mutex::default(),
            ends: watch::Sender::default(),
        }
    }

    /// Its name, without the slash.
    pub fn name(&self) -> String {
        self.name.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives it another name.
    pub fn rename(&self, name: &str) {
        name.clone_into(&mut self.name.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The networks that it is to be in. The guard must not be held across an await.
    pub fn attachments(&self) -> MutexGuard<'_, Attachments> {
        self.attachments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Itself, as networks know it.
    pub fn who(&self) -> Who {
        Who { id: self.id.clone(), name: self.name(), hostname: self.request.settings.hostname.clone() }
    }

    /// Where it is in its life. The guard must not be held across an await.
    pub fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of its restarts. The guard must not be held across an await.
    pub fn restarts(&self) -> MutexGuard<'_, Restarts> {
        self.restarts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it may use. The guard must not be held across an await.
    pub fn limits(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its health; `None` where it is not checked, or was never started. The guard must not be held across an await.
    pub fn health(&self) -> MutexGuard<'_, Option<Health>> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its network sandbox's id and path; the guard must not be held across an await.
    pub fn sandbox(&self) -> MutexGuard<'_, (String, String)> {
        self.sandbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its log, where it has one.
    pub fn kept_log(&self) -> Option<&Log> {
        (self.request.settings.log != LogDriver::None).then_some(&self.log)
    }

    /// Whether it has a first process.
    pub fn is_running(&self) -> bool {
        matches!(*self.phase(), Phase::Running(_))
    }

    /// Whether its processes are stopped.
    pub fn is_paused(&self) -> bool {
        matches!(&*self.phase(), Phase::Running(running) if running.frozen.is_some())
    }

    /// Docker's word for what it is that nothing can be executed in it, where that is so.
    pub fn check_unpaused(&self) -> Result<(), &'static str> {
        match &*self.phase() {
            Phase::Restarting(_) => Err("restarting"),
            Phase::Running(running) if running.frozen.is_some() => Err("paused"),
            _ => Ok(()),
        }
    }

    /// Whether it is in the pid namespace of others.
    pub fn is_sharing_pids(&self) -> bool {
        self.request.settings.namespaces.pid != Sharing::Private
    }

    /// Whether it runs in Docker's sense: it has a first process, or will get one again by itself.
    pub fn is_up(&self) -> bool {
        matches!(*self.phase(), Phase::Running(_) | Phase::Restarting(_))
    }

    /// Writes down where it is in its life. A disk that is full costs the memory of it, never the container.
    pub fn save(&self) {
        let state = State::of(&self.phase(), &self.restarts());
        if let Some(Err(error)) = state.map(|state| state.write(&self.directory)) {
            eprintln!("isolab-engine: state of container {}: {error}", self.id);
        }
    }

    /// Its ends, past and to come.
    pub fn ends(&self) -> watch::Receiver<Ends> {
        self.ends.subscribe()
    }

    /// Its first process has ended, or was never executed though it was there. The phase becomes `Exited`, or
    /// `Restarting` where its policy says so, and those who wait are told.
    pub fn ended(&self, code: i32) -> Option<Again> {
        let mut phase = self.phase();
        let now = SystemTime::now();
        let last = match std::mem::replace(&mut *phase, Phase::Removing) {
            Phase::Running(running) => running.exited(code),
            Phase::Created(_) | Phase::Exited(_) | Phase::Restarting(_) => {
                Exited { code, started: now, finished: now, error: String::new(), out_of_memory: false }
            }
            Phase::Removing => return None,
        };
        let ran_for = last.finished.duration_since(last.started).unwrap_or_default();
        let again = self.restarts().after_end(code, ran_for).map(|pause| {
            let (wait, given_up) = oneshot::channel();
            (wait, Again { pause, given_up })
        });
        let (next, again) = match again {
            Some((_wait, again)) => (Phase::Restarting(Restarting { last, _wait }), Some(again)),
            None => (Phase::Exited(last), None),
        };
        *phase = next;
        drop(phase);
        self.save();
        self.tell_end(code);
        again
    }

    /// It waits to be started again, and shall not. Returns whether it did wait.
    pub fn give_up_restarting(&self) -> bool {
        let mut phase = self.phase();
        let Phase::Restarting(Restarting { last, .. }) = &*phase else { return false };
        let last = last.clone();
        let code = last.code;
        *phase = Phase::Exited(last);
        drop(phase);
        self.save();
        self.tell_end(code);
        true
    }

    fn tell_end(&self, code: i32) {
        self.log.set_quiet(!matches!(*self.phase(), Phase::Restarting(_)));
        self.streams.close();
        self.ends.send_modify(|ends| {
            ends.count += 1;
            ends.code = code;
        });
    }

    /// It is gone.
    pub fn removed(&self) {
        *self.phase() = Phase::Removing;
        self.streams.close();
        self.log.set_quiet(true);
        self.ends.send_modify(|ends| ends.removed = true);
    }

    /// Whether a signal sent by hand means that its end is wanted: its own stop signal does, and where it has none, any.
    pub fn ends_by(&self, signal: i32) -> bool {
        let own = self.request.config.stop_signal.as_deref().unwrap_or_default();
        own.is_empty() || signal == self.request.settings.stop_signal
    }

    /// Sends a signal to its first process.
    pub fn signal(&self, number: i32) -> Result<(), ApiError> {
        check_signal(number)?;
        match &*self.phase() {
            Phase::Running(running) => match process::signal(running.pidfd.as_fd(), number) {
                // It has ended already; that will be told in its turn.
                Err(error) if error.errno == Errno::SRCH.raw_os_error() => Ok(()),
                sent => sent.map_err(|error| ApiError::internal(error.to_string())),
            },
            _ => Err(ApiError::not_running(&self.id)),
        }
    }

    /// Ends its first process, and with it all others of its pid namespace.
    pub fn kill(&self) -> Result<(), ApiError> {
        self.signal(Signal::KILL.as_raw())
    }
}

/// An error unless Linux has a signal of this number.
pub fn check_signal(number: i32) -> Result<(), ApiError> {
    match number {
        1..=64 => Ok(()),
        _ => Err(ApiError::bad_request(format!("The linux daemon does not support signal {number}"))),
    }
}
