//! Where Isolab keeps things on this machine: names of places, no more.

use std::path::{Path, PathBuf};

/// The state directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    home: PathBuf,
}

impl Store {
    /// The store at this directory.
    pub fn at(home: impl Into<PathBuf>) -> Self {
        Self { home: home.into() }
    }

    /// The store that the environment names: `ISOLAB_HOME`, else /var/lib/isolab for root and the user's data
    /// directory for everyone else. `None` where an ordinary user has no home.
    pub fn from_environment(is_root: bool) -> Option<Self> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(home) = set("ISOLAB_HOME") {
            return Some(Self::at(std::path::absolute(home).ok()?));
        }
        if is_root {
            return Some(Self::at("/var/lib/isolab"));
        }
        let data = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")))?;
        Some(Self::at(data.join("isolab")))
    }

    /// The directory itself.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Where the socket and other things of a running agent are.
    pub fn run(&self) -> PathBuf {
        self.home.join("run")
    }

    /// The agent's socket.
    pub fn socket(&self) -> PathBuf {
        self.run().join("agent.sock")
    }

    /// Where the image recipe puts its results.
    pub fn images(&self) -> PathBuf {
        self.home.join("images")
    }

    /// Where the recipe of lab VMs puts its results.
    pub fn vm_images(&self) -> PathBuf {
        self.home.join("vm")
    }

    /// Where the agent keeps machines that others are restored from.
    pub fn templates(&self) -> PathBuf {
        self.home.join("templates")
    }

    /// The link to the images in use.
    pub fn images_current(&self) -> PathBuf {
        self.images().join("current")
    }
}
