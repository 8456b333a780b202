//! The OCI command line, as an engine uses it: real containers, as root or as an ordinary user.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod failures;
mod i386;
mod overwrite;

use rustix::fs::StatVfsMountFlags;
use rustix::io::Errno;
use serde_json::{Value, json};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const BUSYBOX: &str = "/bin/busybox";

/// A bundle and a directory for states, gone when dropped.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    /// A bundle that executes `args`.
    fn new(args: &[&str]) -> Self {
        let place = Self { dir: tempfile::Builder::new().prefix("isolab-oci-").tempdir().unwrap() };
        std::fs::set_permissions(place.dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        for name in ["bin", "proc", "dev", "sys", "tmp"] {
            std::fs::create_dir_all(place.root().join(name)).unwrap();
        }
        std::fs::copy(BUSYBOX, place.root().join("bin/busybox")).expect("apt-get install busybox-static");
        for name in ["sh", "true", "sleep", "cat", "id", "kill", "grep", "tty", "mkdir"] {
            symlink("busybox", place.root().join("bin").join(name)).unwrap();
        }
        let made = place.call(&["spec", "--rootless", "--bundle", place.bundle().to_str().unwrap()]);
        assert!(made.status.success(), "{made:?}");
        place.change(|spec| {
            spec["process"]["args"] = json!(args);
            spec["root"]["readonly"] = json!(false);
            // Which other file systems there are is not what is tested here.
            let mounts = spec["mounts"].as_array_mut().unwrap();
            mounts.retain(|mount| {
                ["/proc", "/dev", "/dev/pts"].contains(&mount["destination"].as_str().unwrap())
            });
        });
        place
    }

    fn bundle(&self) -> PathBuf {
        self.dir.path().join("bundle")
    }

    fn root(&self) -> PathBuf {
        self.bundle().join("rootfs")
    }

    fn change(&self, change: impl FnOnce(&mut Value)) {
        let path = self.bundle().join("config.json");
        let mut spec = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut spec);
        std::fs::write(path, spec.to_string()).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_isolab-runtime"));
        command.arg("--root").arg(self.dir.path().join("state")).args(words).stdin(Stdio::null());
        command
    }

    fn call(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// What a command prints; it must succeed.
    fn good(&self, words: &[&str]) -> String {
        let output = self.call(words);
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// What a command complains about; it must fail.
    fn bad(&self, words: &[&str]) -> String {
        let output = self.call(words);
        assert!(!output.status.success(), "{words:?} succeeded: {}", text(&output.stdout));
        text(&output.stderr)
    }

    fn run(&self) -> Output {
        self.call(&["run", "--bundle", self.bundle().to_str().unwrap(), "c"])
    }

    /// `create` with streams that nobody holds, as an engine gives them.
    fn create(&self) {
        let bundle = self.bundle();
        let words = ["create", "--bundle", bundle.to_str().unwrap(), "c"];
        let status = self.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success());
    }

    fn state(&self) -> Value {
        serde_json::from_str(&self.good(&["state", "c"])).unwrap()
    }

    /// Waits until the container has written a file.
    fn wait_for_file(&self, name: &str) {
        let path = self.root().join(name);
        let there = (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            std::fs::metadata(&path).is_ok_and(|file| file.len() > 0)
        });
        assert!(there, "{path:?} was not written");
    }

    fn wait_for(&self, status: &str) {
        for _ in 0..500 {
            if self.state()["status"] == status {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it is {} and not {status}", self.state());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.call(&["delete", "--force", "c"]);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn is_gone(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn run_gives_the_output_and_the_status_and_leaves_nothing() {
    let place = Place::new(&["sh", "-c", "echo out; echo err >&2; exit 7"]);
    let output = place.run();
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("out\n", Some(7)), "{output:?}");
    assert_eq!(text(&output.stderr), "err\n");
    assert_eq!(place.good(&["list", "--quiet"]), "");
    place.change(|spec| spec["process"]["args"] = json!(["sh", "-c", "kill -KILL $$; echo survived"]));
    // PID 1 cannot be killed from inside.
    assert_eq!(text(&place.run().stdout), "survived\n");
}

#[test]
fn a_containers_life_in_steps() {
    let place = Place::new(&["sh", "-c", "echo started > /started; exec sleep 1000"]);
    place.create();
    let state = place.state();
    assert_eq!((&state["status"], &state["id"]), (&json!("created"), &json!("c")));
    assert!(!place.root().join("started").exists(), "its program waits");
    assert!(place.bad(&["create", "--bundle", "/", "c"]).contains("c"));
    place.good(&["start", "c"]);
    place.wait_for("running");
    place.wait_for_file("started");
    let pid = place.state()["pid"].as_u64().unwrap() as u32;
    assert!(place.bad(&["start", "c"]).contains("running state"));
    assert!(place.bad(&["delete", "c"]).contains("running"));
    let listed: Value = serde_json::from_str(&place.good(&["list", "--format", "json"])).unwrap();
    assert_eq!((&listed[0]["id"], &listed[0]["pid"]), (&json!("c"), &json!(pid)));
    place.good(&["kill", "c", "KILL"]);
    place.wait_for("stopped");
    assert!(place.bad(&["start", "c"]).contains("stopped"));
    assert!(place.bad(&["kill", "c"]).contains("not running"));
    place.good(&["delete", "c"]);
    assert!(place.bad(&["state", "c"]).contains("does not exist"));
    place.good(&["delete", "--force", "c"]);
}

#[test]
fn a_created_container_can_be_deleted() {
    let place = Place::new(&["sleep", "1000"]);
    place.create();
    let pid = place.state()["pid"].as_u64().unwrap() as u32;
    place.good(&["delete", "c"]);
    // Whoever adopted it reaps it; until then it is a zombie.
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    assert!(is_gone(pid) || status.contains("Z (zombie)"), "{status}");
}

#[test]
fn exec_joins_the_container_under_its_filter() {
    let place = Place::new(&["sh", "-c", "echo first > /tmp/x; exec sleep 1000"]);
    place.create();
    assert!(place.bad(&["exec", "c", "true"]).contains("not running"));
    place.good(&["start", "c"]);
    place.wait_for_file("tmp/x");
    let own = place.good(&[
        "exec",
        "c",
        "sh",
        "-c",
        "grep -E 'NSpid|Seccomp|CapBnd|NoNewPrivs' /proc/self/status /proc/1/status",
    ]);
    let lines = |of: &str| {
        let of_one =
            own.lines().filter_map(|line| line.strip_prefix(of)).filter(|line| !line.contains("NSpid"));
        of_one.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines("/proc/self/status:"), lines("/proc/1/status:"));
    assert!(own.contains("Seccomp:\t2"), "{own}");
    let output = place.call(&[
        "exec",
        "--env",
        "A=b",
        "--cwd",
        "/tmp",
        "c",
        "sh",
        "-c",
        "echo $A $PWD; cat x; exit 9",
    ]);
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("b /tmp\nfirst\n", Some(9)));
    assert!(place.bad(&["exec", "c", "no-such-program"]).contains("executable file not found"));
    assert!(place.bad(&["exec", "c", "/etc/no"]).contains("no such file or directory"));
}

#[test]
fn a_program_that_cannot_be_executed_is_told_in_dockers_words() {
    let place = Place::new(&["no-such-program"]);
    assert!(text(&place.run().stderr).contains("executable file not found in $PATH"));
    assert_eq!(place.good(&["list", "--quiet"]), "");
    place.change(|spec| spec["process"]["args"] = json!(["/proc"]));
    assert!(text(&place.run().stderr).contains("permission denied"));
    // As runc does: a program that is not there is told before the container is.
    let bundle = place.bundle();
    let create = ["create", "--bundle", bundle.to_str().unwrap(), "c"];
    assert!(place.bad(&create).contains("permission denied"));
    assert_eq!(place.good(&["list", "--quiet"]), "");
    // What only the kernel can tell is told at the start: this is no program of any format.
    std::fs::write(place.root().join("bin/odd"), "\x7fodd").unwrap();
    std::fs::set_permissions(place.root().join("bin/odd"), PermissionsExt::from_mode(0o755)).unwrap();
    place.change(|spec| spec["process"]["args"] = json!(["odd"]));
    place.create();
    assert!(place.bad(&["start", "c"]).contains("Exec format error"));
    place.wait_for("stopped");
}

#[test]
fn errors_go_to_the_log_as_json() {
    let place = Place::new(&["true"]);
    let log = place.dir.path().join("log");
    place.bad(&["--log", log.to_str().unwrap(), "--log-format", "json", "start", "nobody"]);
    let line: Value = serde_json::from_str(&std::fs::read_to_string(log).unwrap()).unwrap();
    assert_eq!((&line["level"], &line["msg"]), (&json!("error"), &json!("container does not exist: nobody")));
}

#[test]
fn signals_are_passed_on() {
    let place = Place::new(&["sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 1; done"]);
    let bundle = place.bundle();
    let mut command = place.command(&["run", "--bundle", bundle.to_str().unwrap(), "c"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn a_terminal_goes_to_the_console_socket() {
    use std::io::{IoSliceMut, Read, Write};
    use std::os::fd::{AsFd, OwnedFd};
    let place = Place::new(&["sh", "-c", "tty; cat"]);
    place.change(|spec| spec["process"]["terminal"] = json!(true));
    let path = place.dir.path().join("console.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let bundle = place.bundle();
    assert!(place.bad(&["create", "--bundle", bundle.to_str().unwrap(), "c"]).contains("--console-socket"));
    let pid_file = place.dir.path().join("pid");
    place.good(&[
        "create",
        "--bundle",
        bundle.to_str().unwrap(),
        "--console-socket",
        path.to_str().unwrap(),
        "--pid-file",
        pid_file.to_str().unwrap(),
        "c",
    ]);
    assert_eq!(std::fs::read_to_string(pid_file).unwrap(), place.state()["pid"].to_string());
    let (connection, _) = listener.accept().unwrap();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = rustix::net::RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 64];
    let buffers = &mut [IoSliceMut::new(&mut name)];
    rustix::net::recvmsg(connection.as_fd(), buffers, &mut control, rustix::net::RecvFlags::empty()).unwrap();
    let descriptors = control.drain().filter_map(|message| match message {
        rustix::net::RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let master: OwnedFd = descriptors.flatten().next().expect("a terminal came");
    place.good(&["start", "c"]);
    let mut terminal = std::fs::File::from(master);
    terminal.write_all(b"typed\n").unwrap();
    let mut seen = String::new();
    let mut buffer = [0; 256];
    // Once from the terminal's echo and once from the program, with the name of the terminal before, after or between.
    while seen.matches("typed").count() < 2 || !seen.contains("/dev/") {
        let got = terminal.read(&mut buffer).unwrap();
        seen += &text(&buffer[..got]);
    }
}

#[test]
fn hooks_are_run_around_the_start() {
    let place = Place::new(&["sh", "-c", "cat /before 2>/dev/null; exit 3"]);
    let note = place.dir.path().join("note");
    let hook = |word: &str| json!({"path": "/bin/sh", "args": ["sh", "-c", format!("echo {word} >> {}", note.display())]});
    place.change(|spec| {
        spec["hooks"] = json!({
            "createRuntime": [hook("created")], "poststart": [hook("started")], "poststop": [hook("stopped")],
        });
    });
    assert_eq!(place.run().status.code(), Some(3));
    assert_eq!(std::fs::read_to_string(&note).unwrap(), "created\nstarted\nstopped\n");
    place.change(|spec| spec["hooks"] = json!({"prestart": [{"path": "/bin/false"}]}));
    assert!(text(&place.run().stderr).contains("/bin/false"));
    assert_eq!(place.good(&["list", "--quiet"]), "");
}

#[test]
fn a_container_whose_root_could_write_to_our_program_gets_it_read_only() {
    let is_root = rustix::process::geteuid().is_root();
    // Root's own id is root's own file; ids of a container's own are a stranger's.
    let container = [("its own", 0, 1), ("none of its own", 0, 0), ("strange ids", 100_000, 65_536)];
    for (what, first, count) in container.into_iter().take(if is_root { 3 } else { 1 }) {
        let place = Place::new(&["true"]);
        place.change(|spec| match count {
            0 => {
                let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
                namespaces.retain(|namespace| namespace["type"] != "user");
                let linux = spec["linux"].as_object_mut().unwrap();
                linux.retain(|name, _| !["uidMappings", "gidMappings"].contains(&name.as_str()));
            }
            1 => {}
            _ => {
                let ids = json!([{"containerID": 0, "hostID": first, "size": count}]);
                (spec["linux"]["uidMappings"], spec["linux"]["gidMappings"]) = (ids.clone(), ids);
            }
        });
        place.create();
        let exe = format!("/proc/{}/exe", place.state()["pid"]);
        let read_only =
            rustix::fs::statvfs(exe).map(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY));
        match is_root {
            true => assert_eq!(read_only, Ok(count != 65_536), "{what}"),
            // A process that is being set up shows its file to nobody without power over it.
            false => assert_eq!(read_only, Err(Errno::ACCESS)),
        }
    }
}

#[test]
fn names_are_no_paths() {
    let place = Place::new(&["true"]);
    for name in ["../x", "a/b", "", ".."] {
        assert!(place.bad(&["state", name]).contains("invalid container id"), "{name:?}");
    }
}

#[test]
fn features_are_told() {
    let place = Place::new(&["true"]);
    let features: Value = serde_json::from_str(&place.good(&["features"])).unwrap();
    assert_eq!(features["linux"]["seccomp"]["enabled"], true);
}
