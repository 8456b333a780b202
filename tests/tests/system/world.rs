//! What all tests share: the programs, and the machine as it was before the first test.

use isolab_tests::harness::Stop;
use isolab_tests::programs::{self, Ended, WAIT_MAX};
use isolab_tests::traces::{Look, Owner};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The programs under test, and a look at the machine before anything ran.
pub struct World {
    folder: PathBuf,
    home: PathBuf,
    pub owner: Owner,
    pub before: Look,
}

impl World {
    /// Errors: the programs are not built.
    pub fn new() -> io::Result<Self> {
        let folder = programs::folder()?;
        if !folder.join("isolab").is_file() {
            let what = format!("no isolab in {}: run `make build`", folder.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, what));
        }
        let owner = Owner::caller();
        let before = Look::now(&owner);
        Ok(Self { folder, home: state_directory(), owner, before })
    }

    /// The state directory that the programs use by themselves.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// `isolab` with arguments, not yet started.
    pub fn isolab(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.folder.join("isolab"));
        command.args(arguments);
        command
    }

    /// The end of `isolab` with arguments.
    pub fn run(&self, arguments: &[&str]) -> io::Result<Ended> {
        programs::run(&mut self.isolab(arguments), WAIT_MAX)
    }

    /// The end of a shell script on a fresh lab host, as its root.
    pub fn lab(&self, script: &str) -> io::Result<Ended> {
        self.run(&["lab", "-c", script])
    }

    /// What a script prints on a fresh lab host; it has to end well.
    pub fn prints(&self, script: &str) -> Result<String, Stop> {
        let ended = self.lab(script)?;
        if ended.code() == 0 {
            return Ok(ended.stdout);
        }
        let (code, out, err) = (ended.code(), ended.stdout, ended.stderr);
        Err(Stop::Failed(format!("`{script}` ended with {code}, and printed: {out}{err}")))
    }
}

/// As README.md says: `ISOLAB_HOME`, else a place that depends on who asks.
fn state_directory() -> PathBuf {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(home) = named("ISOLAB_HOME") {
        return home;
    }
    if rustix::process::getuid().is_root() {
        return PathBuf::from("/var/lib/isolab");
    }
    let data =
        named("XDG_DATA_HOME").unwrap_or_else(|| named("HOME").unwrap_or_default().join(".local/share"));
    data.join("isolab")
}
