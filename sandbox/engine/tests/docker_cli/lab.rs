//! An engine as PID 1 of fresh namespaces, with a busybox image, and the genuine Docker CLI beside it.

use serde_json::json;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long the engine may take to answer for the first time: a busy machine, an unoptimised build.
pub const START_TIME_MAX: Duration = Duration::from_secs(20);

/// An engine; ended and swept away on drop.
pub struct Lab {
    unshare: Child,
    directory: tempfile::TempDir,
    docker: PathBuf,
    /// The agent's end of the engine's descriptor 3.
    pub agent: UnixStream,
    /// Its containers' control groups.
    pub groups: Groups,
}

/// What a command came to.
#[derive(Debug)]
pub struct Came {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Every Docker CLI here: they differ in what they send.
pub fn clients() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = vec![];
    for candidate in ["/usr/bin/docker", "/usr/local/bin/docker"] {
        if let Ok(path) = fs::canonicalize(candidate)
            && !found.contains(&path)
        {
            found.push(path);
        }
    }
    found
}

/// The first id of the lab's user `remapped`, and how many it has: those of Docker's habit, or some of an ordinary user's.
pub fn remapped_first() -> u32 {
    if rustix::process::getuid().is_root() { 100_000 } else { 10_000 }
}
pub const REMAPPED_COUNT: u32 = 20_000;

/// Says why a test cannot run here, past libtest's capture. `ISOLAB_REQUIRE_ALL_TESTS=1` makes it a failure.
pub fn skip<T>(why: &str) -> Option<T> {
    assert!(std::env::var_os("ISOLAB_REQUIRE_ALL_TESTS").is_none(), "cannot run: {why}");
    let _ = writeln!(std::io::stderr(), "SKIPPED, because {why}");
    None
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The arguments of `unshare` with which the caller gets namespaces in which it is root.
pub fn namespaces() -> Result<Vec<&'static str>, String> {
    let mut arguments =
        vec!["--mount", "--net", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--mount-proc"];
    if !rustix::process::getuid().is_root() {
        arguments.extend(["--user", "--map-root-user", "--map-auto"]);
    }
    let probe: Vec<_> = arguments.iter().copied().chain(["mount", "-t", "tmpfs", "tmpfs", "/mnt"]).collect();
    match runs("unshare", &probe) {
        true => Ok(arguments),
        false => Err(format!("`unshare {}` does not work here", probe.join(" "))),
    }
}

impl Lab {
    /// Starts an engine; `None`, with the reason told, where this machine cannot.
    pub fn start(docker: &Path) -> Option<Self> {
        let namespaces = match namespaces() {
            Ok(namespaces) => namespaces,
            Err(why) => return skip(&why),
        };
        if !Path::new("/usr/bin/busybox").exists() || !runs("busybox", &["true"]) {
            return skip("there is no /usr/bin/busybox (Debian's busybox-static)");
        }
        let directory = tempfile::tempdir().unwrap();
        let groups = Groups::new();
        make_image(directory.path());
        let (agent, theirs) = UnixStream::pair().unwrap();
        // The image is copied to where the data root is, so that all of it belongs to the namespaces' ids.
        let script = "exec 3<&0 </dev/null && mount -t tmpfs tmpfs /mnt && mkdir /mnt/data && cp -a \"$1\" /mnt/images && \
                      echo \"remapped:$4\" >/mnt/subid && for file in /etc/subuid /etc/subgid; do \
                      if [ -e $file ]; then mount --bind /mnt/subid $file; fi; done && \
                      exec \"$2\" --agent --cgroup-parent \"$6\" --socket \"$3\" --data-root /mnt/data --images /mnt/images --config-file \"$5\"";
        let unshare = Command::new("unshare")
            .args(namespaces)
            .args(["sh", "-c", script, "sh"])
            .arg(directory.path().join("images"))
            .arg(env!("CARGO_BIN_EXE_isolab-engine"))
            .arg(directory.path().join("docker.sock"))
            .arg(format!("{}:{}", remapped_first(), REMAPPED_COUNT))
            .arg(directory.path().join("daemon.json"))
            .arg(groups.path())
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stderr(File::create(directory.path().join("engine.log")).unwrap())
            .spawn()
            .unwrap();
        let lab = Self { unshare, directory, docker: docker.to_owned(), agent, groups };
        let begun = Instant::now();
        while UnixStream::connect(lab.socket()).is_err() {
            assert!(begun.elapsed() < START_TIME_MAX, "the engine does not answer: {}", lab.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(lab)
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    /// What the engine has complained of.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("engine.log")).unwrap_or_default()
    }

    /// `docker …`, to be started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.arg("60").arg(&self.docker).args(arguments);
        command.env("DOCKER_HOST", format!("unix://{}", self.socket().display()));
        command.env("DOCKER_CONFIG", self.directory.path()).stdin(Stdio::null());
        command
    }

    /// Runs `docker …` to its end.
    pub fn docker(&self, arguments: &[&str]) -> Came {
        came(self.command(arguments).output().unwrap())
    }

    /// Runs `docker …` with this on its standard input.
    pub fn docker_with_input(&self, arguments: &[&str], input: &[u8]) -> Came {
        let mut command = self.command(arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        let _ = writer.join();
        came(output)
    }

    /// Runs `docker …`, which has to succeed, and returns its trimmed output.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        let came = self.docker(arguments);
        assert_eq!(came.code, 0, "docker {arguments:?}: {came:?}\n{}", self.log());
        came.out.trim().to_owned()
    }

    /// The engine, as this machine numbers it: `/proc/…/root` of it shows what it sees.
    pub fn inside(&self) -> u32 {
        self.processes()[0]
    }

    /// The engine and its zygote, as this machine numbers them.
    pub fn processes(&self) -> Vec<u32> {
        let children = |pid: u32| {
            let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
            text.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<u32>>()
        };
        let engine = children(self.unshare.id());
        engine.iter().copied().chain(engine.iter().flat_map(|&pid| children(pid))).collect()
    }
}

impl Lab {
    /// What an id of this machine is to the engine, which as an ordinary user's has a user namespace of its own.
    pub fn id_inside(&self, map: &str, outside: u32) -> u32 {
        let text = fs::read_to_string(format!("/proc/{}/{map}", self.processes()[0])).unwrap();
        let range = |line: &str| {
            let mut numbers = line.split_whitespace().map(|number| number.parse::<u32>().unwrap());
            let (first, to, count) = (numbers.next()?, numbers.next()?, numbers.next()?);
            outside.checked_sub(to).filter(|&at| at < count).map(|at| first + at)
        };
        text.lines().find_map(range).unwrap_or_else(|| panic!("{outside} is not mapped: {text}"))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Its children die with it (--kill-child), and with the engine all of its pid namespace.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

/// A control group of its own for an engine's containers, below which nothing is left when this is dropped.
pub struct Groups(String);

impl Groups {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        Self(format!("/isolab-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    pub fn path(&self) -> &str {
        &self.0
    }

    /// Where it is there, in each hierarchy.
    pub fn directories(&self) -> Vec<PathBuf> {
        let all = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
        let all = all.chain(["/sys/fs/cgroup".into()]).map(|hierarchy| hierarchy.join(&self.0[1..]));
        all.filter(|group| group.exists()).collect()
    }
}

impl Drop for Groups {
    /// The engine's namespaces have ended: what it could not remove any more is empty, or about to be.
    fn drop(&mut self) {
        for parent in self.directories() {
            let begun = Instant::now();
            while !removed(&parent) && begun.elapsed() < START_TIME_MAX {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// Removes a group with those below it; whether it is gone.
fn removed(group: &Path) -> bool {
    for below in fs::read_dir(group).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if below.is_dir() {
            removed(&below);
        }
    }
    // What was paused when its engine was killed does not end before this; elsewhere there is no such file.
    if group.join("freezer.state").exists() {
        let _ = fs::write(group.join("freezer.state"), "THAWED");
    }
    // Files go with their group.
    fs::remove_dir(group).is_ok()
}

pub fn came(output: Output) -> Came {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Came { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// Sends bytes to a socket and reads all that comes until it is closed or silent for a while. Where nothing comes, how it ended.
pub fn raw(mut stream: UnixStream, request: &[u8]) -> String {
    // An answer may be long in coming on a busy machine; what belongs to it then comes at once.
    stream.set_read_timeout(Some(START_TIME_MAX)).unwrap();
    // A server that refuses early closes before it has read everything.
    let _ = stream.write_all(request);
    let (mut answer, mut buffer) = (vec![], [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(length @ 1..) => {
                answer.extend_from_slice(&buffer[..length]);
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            }
            // The kernel never goes on by itself with a read that has a timeout (signal(7)).
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            ended if answer.is_empty() => return format!("no answer: {ended:?}"),
            _ => return String::from_utf8_lossy(&answer).into_owned(),
        }
    }
}

pub fn make_image(directory: &Path) {
    let layer = "9b".repeat(32);
    let root = directory.join("images/layers").join(&layer);
    for path in ["bin", "etc", "dev", "proc", "sys", "root", "tmp", "home/app"] {
        fs::create_dir_all(root.join(path)).unwrap();
    }
    fs::copy("/usr/bin/busybox", root.join("bin/busybox")).unwrap();
    let applets = Command::new("busybox").arg("--list").output().unwrap();
    for applet in String::from_utf8(applets.stdout).unwrap().lines().filter(|&name| name != "busybox") {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n")
        .unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nwheel:x:10:app\napp:x:1000:\n").unwrap();
    fs::write(root.join("etc/plain"), "not a program").unwrap();
    let index = json!({
        "recipe": "test",
        "images": [{
            "tags": ["busybox:latest", "ubuntu:latest"],
            "layers": [format!("sha256:{layer}")],
            "config": {
                "os": "linux",
                "architecture": "amd64",
                "config": { "Cmd": ["sh"] },
                "history": [{ "created": "2026-11-01T00:00:00Z", "created_by": "test" }],
            },
            "size_bytes": 2_000_000,
            "created": "2026-11-01T00:00:00Z",
        }],
    });
    fs::write(directory.join("images/index.json"), index.to_string()).unwrap();
}
