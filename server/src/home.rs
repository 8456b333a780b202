//! The state directory: where it is, and what this crate keeps in it. (The agent keeps images there too.)

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Isolab's state directory.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

impl Home {
    /// The directory named on the command line, else by `ISOLAB_HOME`, else the usual place: `/var/lib/isolab`
    /// for root, `~/.local/share/isolab` for everybody else.
    pub fn find(named: Option<PathBuf>) -> Self {
        let from_environment = || env::var_os("ISOLAB_HOME").filter(|v| !v.is_empty()).map(PathBuf::from);
        let home = named.or_else(from_environment).unwrap_or_else(usual);
        Self(std::path::absolute(&home).unwrap_or(home))
    }

    /// Makes the directory and its `run` where they are missing. Only the owner may enter `run`: the agent's
    /// socket is in it, and who can reach that can open labs.
    pub fn make(&self) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(&self.0)?;
        let run = self.run();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&run)?;
        fs::set_permissions(&run, fs::Permissions::from_mode(0o700))
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Sockets, locks and logs of what runs now.
    pub fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    /// The socket of the agent that all commands of this home share.
    pub fn agent_socket(&self) -> PathBuf {
        self.run().join("agent.sock")
    }

    /// The database of learners and progress.
    pub fn database(&self) -> PathBuf {
        self.0.join("isolab.db")
    }
}

fn usual() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/isolab");
    }
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .unwrap_or_else(|| PathBuf::from("/tmp"))
        .join("isolab")
}
