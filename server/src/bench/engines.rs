//! Two daemons that serve the same API, for measurements with one docker command line: a real dockerd, and our engine as root's
//! daemon. Each is in network, mount and pid namespaces of its own with all that it keeps on a tmpfs there, so that
//! nothing of it is left when it ends.

use super::bundle;
use super::race::Contender;
use anyhow::{Context, bail, ensure};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a daemon may take to answer for the first time: dockerd starts containerd first.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// How long it may take to end its containers and itself.
const END_TIME_MAX: Duration = Duration::from_secs(60);

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is started in containers.
pub const IMAGE: &str = "isolab-bench";

/// The commands that the image's busybox is called by.
const COMMANDS: [&str; 3] = ["sh", "true", "sleep"];

/// The shell is the init of the namespaces: it reaps whatever the daemon leaves, and ends with the daemon.
const INIT: &str = r#"
ip link set lo up
mount -t tmpfs tmpfs /run
mkdir /run/data
"$@" &
daemon=$!
trap 'kill $daemon' TERM
wait $daemon
wait $daemon
"#;

/// A running daemon; ended on drop, with its containers.
pub struct Engine {
    /// What it is called in the report.
    pub name: &'static str,
    docker: PathBuf,
    unshare: Child,
    folder: PathBuf,
    group: String,
}

impl Engine {
    /// Our engine, as root's daemon.
    pub fn ours(folder: &Path, docker: &Path, program: &Path) -> anyhow::Result<Self> {
        Self::start("isolab-engine", folder, docker, program)
    }

    /// The real one.
    pub fn dockers(folder: &Path, docker: &Path, program: &Path) -> anyhow::Result<Self> {
        Self::start("dockerd", folder, docker, program)
    }

    fn start(name: &'static str, folder: &Path, docker: &Path, program: &Path) -> anyhow::Result<Self> {
        let folder = folder.join(name);
        fs::create_dir(&folder)?;
        let log = File::create(folder.join("log"))?;
        let group = format!("/isolab-bench-{name}-{}", std::process::id());
        let unshare = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"])
            .args(["--propagation", "private", "sh", "-c", INIT, "sh"])
            .arg(program)
            .args(["--data-root=/run/data", "--pidfile=/run/pid"])
            .arg(format!("--cgroup-parent={group}"))
            .arg(format!("--host=unix://{}", folder.join("socket").display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("unshare")?;
        let mut engine = Self { name, docker: docker.to_owned(), unshare, folder, group };
        engine.await_answer()?;
        Ok(engine)
    }

    fn await_answer(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while UnixStream::connect(self.folder.join("socket")).is_err() || self.docker(&["version"]).is_err() {
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            ensure!(begun.elapsed() < START_TIME_MAX, "{} does not answer: {}", self.name, log());
            if let Some(status) = self.unshare.try_wait()? {
                bail!("{} has ended ({status}): {}", self.name, log());
            }
            sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Gives it the image, which is an archive.
    pub fn import(&self, archive: &Path) -> anyhow::Result<()> {
        self.docker(&["import", &archive.to_string_lossy(), IMAGE]).map(drop)
    }

    /// A docker command for it.
    pub fn contender(&self, arguments: &[&str]) -> Contender {
        let words =
            [self.docker.clone().into_os_string()].into_iter().chain(arguments.iter().map(OsString::from));
        let mut contender = Contender::new(self.name, words);
        contender.environment =
            vec![("DOCKER_HOST".into(), self.host()), ("DOCKER_CONFIG".into(), self.folder.clone().into())];
        contender
    }

    /// Runs a docker command: what it printed.
    pub fn docker(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(&self.docker);
        command.args(arguments).env("DOCKER_HOST", self.host()).env("DOCKER_CONFIG", &self.folder);
        let output = command.stdin(Stdio::null()).output().context("docker")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: docker {arguments:?}: {}", self.name, errors.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn host(&self) -> OsString {
        format!("unix://{}", self.folder.join("socket").display()).into()
    }

    /// The proportional set size in KiB of the daemon with all its helpers, but for the containers' own processes, which are in
    /// pid namespaces of their own.
    pub fn memory_kib(&self) -> anyhow::Result<u64> {
        let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let init = child_of(self.unshare.id()).context("the daemon has ended")?;
        let own = namespace(init);
        let pids =
            fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let ours = pids.filter(|&pid| pid != init && own.is_some() && namespace(pid) == own);
        let sizes: Vec<u64> = ours
            .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok())
            .filter_map(|text| pss(&text))
            .collect();
        ensure!(!sizes.is_empty(), "the memory of {} cannot be read", self.name);
        Ok(sizes.iter().sum())
    }
}

/// The line `Pss:` of an `smaps_rollup`, in KiB.
fn pss(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("Pss:"))?.split_whitespace().next()?.parse().ok()
}

fn child_of(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

impl Drop for Engine {
    fn drop(&mut self) {
        let signal = |pid: u32, signal| {
            let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
            // One that has ended already needs none.
            let _ = pid.map(|pid| rustix::process::kill_process(pid, signal));
        };
        if let Some(init) = child_of(self.unshare.id()) {
            signal(init, rustix::process::Signal::TERM);
        }
        let begun = Instant::now();
        while begun.elapsed() < END_TIME_MAX && matches!(self.unshare.try_wait(), Ok(None)) {
            sleep(LOOK_EVERY);
        }
        // With it ends whatever is left in its namespaces.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        remove_groups(&self.group);
    }
}

/// Removes the control groups of a daemon's containers, in every hierarchy; the kernel is a moment behind the processes.
fn remove_groups(group: &str) {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    for hierarchy in hierarchies.chain([root.to_owned()]) {
        let parent = hierarchy.join(&group[1..]);
        let inside = fs::read_dir(&parent).into_iter().flatten().flatten().map(|entry| entry.path());
        for directory in inside.filter(|path| path.is_dir()).chain([parent.clone()]) {
            for _ in 0..100 {
                if fs::remove_dir(&directory).is_ok() || !directory.exists() {
                    break;
                }
                sleep(LOOK_EVERY);
            }
        }
    }
}

/// An archive for `docker import`, with a static busybox and a few of its names.
pub fn make_image(folder: &Path) -> anyhow::Result<PathBuf> {
    let (root, archive) = (folder.join("image"), folder.join("image.tar"));
    fs::create_dir_all(root.join("bin"))?;
    fs::copy(bundle::busybox()?, root.join("bin/busybox")).context("copying busybox")?;
    for name in COMMANDS {
        symlink("busybox", root.join("bin").join(name))?;
    }
    let made =
        Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".").status().context("tar")?;
    ensure!(made.success(), "tar: {made}");
    Ok(archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_memory_is_read() {
        assert_eq!(
            pss("00400000-7ffc r--p [rollup]\nRss:   900 kB\nPss:   512 kB\nPss_Anon: 1 kB\n"),
            Some(512)
        );
        assert_eq!(pss(""), None);
    }
}
