//! The containers whose namespaces another one shares (`--network`, `--ipc`, `--pid container:X`): found when that one is
//! started, and held open until it runs.

use super::files::Sandbox;
use super::{Container, Phase, Running};
use crate::error::ApiError;
use crate::settings::{Ipc, Namespaces, Network, Sharing};
use crate::spec::Joined;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a container is given by others.
#[derive(Debug, Default)]
pub struct Donors {
    network: Option<OwnedFd>,
    ipc: Option<OwnedFd>,
    pid: Option<OwnedFd>,
    /// The name and the files of the one whose network it shares.
    pub sandbox: Option<Arc<Sandbox>>,
    /// The `/dev/shm` of the one whose IPC namespace it shares.
    pub shm: Option<PathBuf>,
}

impl Donors {
    /// Finds those that the container `own` needs, with Docker's errors where one is missing, does not run or does not share.
    pub fn find(
        own: &str,
        namespaces: &Namespaces,
        find: impl Fn(&str) -> Result<Arc<Container>, ApiError>,
    ) -> Result<Self, ApiError> {
        let mut donors = Self::default();
        if let Ipc::Missing(mode) = &namespaces.ipc {
            return Err(ApiError::internal(format!("Invalid IPC mode: {mode}")));
        }
        if let Network::Container(id) = &namespaces.network {
            let donor = find(id)?;
            if donor.id == own {
                return Err(ApiError::internal("cannot join own network"));
            }
            let asleep = || {
                let message = format!("cannot join network of a non running container: {}", donor.id);
                ApiError::internal(message)
            };
            with_running(&donor, asleep, |running| {
                donors.network = Some(open(running, "net")?);
                donors.sandbox = Some(Arc::clone(&running.sandbox));
                Ok(())
            })?;
        }
        if let Ipc::Container(id) = &namespaces.ipc {
            let told = |error: ApiError| error.while_doing(&format!("can't join IPC of container {id}"));
            let donor = find(id).map_err(told)?;
            with_running(
                &donor,
                || not_running(&donor.id),
                |running| {
                    let shm = running.shm.as_ref().ok_or_else(|| {
                        let hint = "non-shareable IPC (hint: use IpcMode:shareable for the donor container)";
                        ApiError::internal(hint)
                    })?;
                    donors.shm = Some(shm.path().to_owned());
                    donors.ipc = Some(open(running, "ipc")?);
                    Ok(())
                },
            )
            .map_err(told)?;
        }
        if let Sharing::Container(id) = &namespaces.pid {
            let donor = find(id)?;
            with_running(
                &donor,
                || not_running(&donor.id),
                |running| {
                    donors.pid = Some(open(running, "pid")?);
                    Ok(())
                },
            )?;
        }
        Ok(donors)
    }

    /// Where the runtime finds the namespaces, as long as this is held.
    pub fn joined(&self) -> Joined {
        let path = |file: &Option<OwnedFd>| file.as_ref().map(|file| path_of(file.as_raw_fd()));
        Joined { network: path(&self.network), ipc: path(&self.ipc), pid: path(&self.pid) }
    }
}

/// A descriptor of ours as others find it: unlike the pid of a donor, ours cannot become somebody else's meanwhile.
fn path_of(descriptor: i32) -> PathBuf {
    Path::new("/proc").join(std::process::id().to_string()).join("fd").join(descriptor.to_string())
}

fn not_running(id: &str) -> ApiError {
    ApiError::conflict(format!("container {id} is not running"))
}

/// Looks at a container that has to run.
fn with_running(
    donor: &Container,
    asleep: impl Fn() -> ApiError,
    look: impl FnOnce(&Running) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    match &*donor.phase() {
        // One that has ended and is not yet reaped has no namespaces any more.
        Phase::Running(running) if !has_ended(running)? => {
            look(running).and_then(|()| if has_ended(running)? { Err(asleep()) } else { Ok(()) })
        }
        _ => Err(asleep()),
    }
}

/// Opens a namespace of a container's first process. The caller makes sure afterwards that it was that process still: until
/// it ends, its pid is nobody else's.
fn open(running: &Running, name: &str) -> Result<OwnedFd, ApiError> {
    let path = format!("/proc/{}/ns/{name}", running.pid);
    let told = |error| ApiError::internal(format!("opening {path}: {}", std::io::Error::from(error)));
    rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(told)
}

fn has_ended(running: &Running) -> Result<bool, ApiError> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut ends = [PollFd::from_borrowed_fd(running.pidfd.as_fd(), PollFlags::IN)];
    Ok(poll(&mut ends, Some(&now))? > 0)
}
