//! Which servers run for a home: each holds a locked file with its pid while it lives, however it ends.

use crate::home::Home;
use rustix::process::Pid;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Says that this server runs, until it is dropped or the process ends.
pub struct Presence {
    path: PathBuf,
    _locked: File,
}

impl Presence {
    /// Announces the server that listens on `port`.
    pub fn announce(home: &Home, port: u16) -> io::Result<Self> {
        let path = home.run().join(format!("{PREFIX}{port}"));
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
        file.try_lock()?;
        file.set_len(0)?;
        write!(file, "{}", std::process::id())?;
        Ok(Self { path, _locked: file })
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        // A file that stays behind is one that nobody holds, and is removed by whoever looks next.
        let _ = fs::remove_file(&self.path);
    }
}

/// The files' names begin so; the port follows.
const PREFIX: &str = "server-";

/// The pids of the servers that run for a home. Files that a killed server left are removed.
pub fn servers(home: &Home) -> io::Result<Vec<Pid>> {
    let entries = match fs::read_dir(home.run()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        entries => entries?,
    };
    let paths = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    Ok(paths.filter_map(|entry| running(&entry.path())).collect())
}

fn running(path: &Path) -> Option<Pid> {
    let mut file = File::open(path).ok()?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid).ok()?;
            Pid::from_raw(pid.parse().ok()?)
        }
        _ => {
            // Nobody holds it: the next server of that port makes a new one.
            let _ = fs::remove_file(path);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_seen_while_it_lives() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::find(Some(folder.path().to_owned()));
        assert_eq!(servers(&home).unwrap(), []);
        home.make().unwrap();
        let presence = Presence::announce(&home, 8080).unwrap();
        let own = Pid::from_raw(std::process::id().try_into().unwrap()).unwrap();
        assert_eq!(servers(&home).unwrap(), [own]);
        drop(presence);
        assert_eq!(servers(&home).unwrap(), []);
    }
}
