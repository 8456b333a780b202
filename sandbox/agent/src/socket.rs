//! The agent's socket: one agent for each, for its owner alone.

use crate::refusal::{Kind, Refusal};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, open};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A socket that is listened on. Its file is removed when this is dropped.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    /// Taken out by the server.
    listener: Option<UnixListener>,
    /// Held for as long as the agent runs; the kernel gives it back however the agent ends.
    _lock: OwnedFd,
}

impl Socket {
    /// Listens at `path`. A socket that an agent left behind is replaced; one that answers is not.
    /// To be called while there are no threads, because it changes the program's umask for a moment.
    pub fn bind(path: &Path) -> Result<Self, Refusal> {
        let taken = || {
            let message = format!("An agent is serving at {} already.", path.display());
            Refusal::new(Kind::Conflict, message).mend("Use that one, or give another --socket.")
        };
        let failed = |error: io::Error| {
            Refusal::new(Kind::Unavailable, format!("The socket {} cannot be made: {error}.", path.display()))
                .mend("Its directory has to exist and be yours; its name has at most 107 bytes.")
        };
        let lock = lock(path).map_err(failed)?.ok_or_else(taken)?;
        if UnixStream::connect(path).is_ok() {
            return Err(taken());
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let before = rustix::process::umask(Mode::from_raw_mode(0o177));
        let bound = UnixListener::bind(path);
        rustix::process::umask(before);
        Ok(Self { path: path.to_owned(), listener: Some(bound.map_err(failed)?), _lock: lock })
    }

    /// The listener, once.
    pub fn take(&mut self) -> io::Result<UnixListener> {
        self.listener.take().ok_or_else(|| io::Error::other("the listener was taken already"))
    }
}

/// How often to begin again when the lock's file was removed by an agent that ended at that moment.
const LOCK_TRIES: usize = 16;

/// `None` where another agent holds it.
fn lock(path: &Path) -> io::Result<Option<OwnedFd>> {
    let path = lock_path(path);
    for _ in 0..LOCK_TRIES {
        let lock = open(&path, OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // A lock on a file that has no name any more keeps nobody out.
        let named = std::fs::metadata(&path).map(|found| found.ino()).ok();
        if named == Some(fstat(&lock)?.st_ino) {
            return Ok(Some(lock));
        }
    }
    Ok(None)
}

fn lock_path(socket: &Path) -> PathBuf {
    let mut name = socket.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

impl Drop for Socket {
    fn drop(&mut self) {
        // In a directory of somebody else they stay, and the next agent there finds that nobody answers. The lock goes
        // last, while it is still held.
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_file(lock_path(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a listener that is gone leaves its file");
        let socket = Socket::bind(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Socket::bind(&path).unwrap_err().kind, Kind::Conflict);
        drop(socket);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left");
        let _other = UnixListener::bind(&path).unwrap();
        assert_eq!(
            Socket::bind(&path).unwrap_err().kind,
            Kind::Conflict,
            "whoever listens there is left alone"
        );
    }
}
