//! A daemon in a network, mount and pid namespace of its own, with all that it keeps on a tmpfs there: when its namespaces
//! end, nothing of it is left. It is not their init, and so is a plain daemon.

use crate::CLIENT;
use crate::images::Images;
use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a daemon may take to answer for the first time: dockerd starts containerd first.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// How long it may take to end all containers and itself.
const END_TIME_MAX: Duration = Duration::from_secs(30);

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The oracle.
    Docker,
    /// What is compared with it.
    Isolab,
}

/// A running daemon; ended on drop, with its containers.
pub struct Daemon {
    kind: Kind,
    unshare: Child,
    pid: u32,
    folder: PathBuf,
    socket: PathBuf,
}

/// The shell is the init of the namespace: it reaps whatever the daemon leaves, and ends with the daemon.
const INIT: &str = r#"
ip link set lo up
mount -t tmpfs tmpfs /run
mkdir /run/data
"$@" &
daemon=$!
wait $daemon
"#;

impl Daemon {
    /// Starts it and gives it the images.
    pub fn start(kind: Kind, place: &Path, programs: &Path, images: &Images) -> Result<Self, String> {
        let name = match kind {
            Kind::Docker => "docker",
            Kind::Isolab => "isolab",
        };
        let folder = place.join(name);
        let socket = folder.join(format!("{name}.sock"));
        let made = std::fs::create_dir(&folder).and_then(|()| File::create(folder.join("log")));
        let log = made.map_err(|error| format!("{}: {error}", folder.display()))?;
        let host = format!("unix://{}", socket.display());
        let group = format!("--cgroup-parent={}", kind.control_group());
        let words: Vec<String> = match kind {
            Kind::Docker => ["dockerd", "--data-root=/run/data", "--pidfile=/run/pid", &group, "-H", &host]
                .map(str::to_owned)
                .into(),
            Kind::Isolab => {
                let engine = programs.join("isolab-engine");
                let engine = engine.to_string_lossy();
                let unpacked = images.unpacked.to_string_lossy();
                [&engine, "--data-root=/run/data", &group, "--images", &unpacked, "--host", &host]
                    .map(str::to_owned)
                    .into()
            }
        };
        let unshare = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"])
            .args(["--propagation", "private", "sh", "-c", INIT, "sh"])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone().map_err(|error| error.to_string())?))
            .stderr(Stdio::from(log))
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let mut daemon = Self { kind, unshare, pid: 0, folder, socket };
        daemon.await_answer()?;
        daemon.pid = daemon.find_pid()?;
        if kind == Kind::Docker {
            daemon.docker(&["load", "--quiet", "--input", &images.archive.to_string_lossy()])?;
        }
        Ok(daemon)
    }

    fn await_answer(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        while UnixStream::connect(&self.socket).is_err() || self.docker(&["version"]).is_err() {
            if begun.elapsed() > START_TIME_MAX || !matches!(self.unshare.try_wait(), Ok(None)) {
                return Err(format!("{:?} does not answer:\n{}", self.kind, self.log()));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// The daemon's number outside: the child of the child of `unshare`.
    fn find_pid(&self) -> Result<u32, String> {
        let child = |pid: u32| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
            text.split_whitespace().next()?.parse().ok()
        };
        let found = child(self.unshare.id()).and_then(child);
        found.ok_or_else(|| format!("{:?} has no process:\n{}", self.kind, self.log()))
    }

    fn docker(&self, arguments: &[&str]) -> Result<(), String> {
        let output = Command::new(CLIENT).args(arguments).env("DOCKER_HOST", self.host()).output();
        match output {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(format!("docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr))),
            Err(error) => Err(format!("docker: {error}")),
        }
    }

    /// Where clients connect.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Its process, as this machine numbers it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// A folder of its own, outside its namespaces.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it has complained of.
    pub fn log(&self) -> String {
        let text = std::fs::read(self.folder.join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let last: Vec<&str> = text.lines().rev().take(20).collect();
        last.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// An error where it has ended or panicked.
    pub fn check_alive(&self) -> Result<(), String> {
        let text = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        if UnixStream::connect(&self.socket).is_err() || text.contains("panicked") {
            return Err(format!("{:?} has ended or panicked:\n{}", self.kind, self.log()));
        }
        Ok(())
    }

    fn ask_to_end(&mut self) {
        let Some(daemon) = rustix::process::Pid::from_raw(self.pid.cast_signed()) else { return };
        // Whatever this fails with, the namespaces are ended below.
        let _ = rustix::process::kill_process(daemon, rustix::process::Signal::TERM);
        let begun = Instant::now();
        while matches!(self.unshare.try_wait(), Ok(None)) && begun.elapsed() < END_TIME_MAX {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.ask_to_end();
        // Its children die with it (--kill-child), and with the shell all of its pid namespace.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        remove_control_groups(&self.kind.control_group());
    }
}

impl Kind {
    /// The control group that it puts containers into: its own, so that nobody else's is removed. Both names are as long.
    fn control_group(self) -> String {
        let of = if self == Self::Docker { "d" } else { "i" };
        format!("/isolab-parity-{of}{}", std::process::id())
    }
}

/// A daemon leaves its groups behind, empty.
fn remove_control_groups(group: &str) {
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    for hierarchy in hierarchies.map(|entry| entry.path()).chain(["/sys/fs/cgroup".into()]) {
        let group = hierarchy.join(&group[1..]);
        for container in std::fs::read_dir(&group).into_iter().flatten().flatten() {
            // Files of the group are no directories, and stay until it goes.
            let _ = std::fs::remove_dir(container.path());
        }
        let _ = std::fs::remove_dir(group);
    }
}
