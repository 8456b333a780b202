//! The engine as a daemon on a machine, as it is held against dockerd: not PID 1, with root's own ids, and beside others.
//!
//! Each test puts the machine into a pid namespace of its own, whose init is a shell: what an engine leaves behind is all
//! there is, and ends with the test.

use crate::lab::{Came, Groups, START_TIME_MAX, clients, make_image, namespaces, skip};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Instant;

/// A shell in namespaces of its own that starts engines; all ends with it.
pub struct Machine {
    shell: Child,
    orders: ChildStdin,
    directory: tempfile::TempDir,
    docker: PathBuf,
    pub groups: Groups,
}

impl Machine {
    pub fn start() -> Option<Self> {
        let Some(docker) = clients().into_iter().next() else {
            return skip("there is no Docker CLI (Debian's docker.io)");
        };
        let namespaces = match namespaces() {
            Ok(namespaces) => namespaces,
            Err(why) => return skip(&why),
        };
        if !Path::new("/usr/bin/busybox").exists() {
            return skip("there is no /usr/bin/busybox (Debian's busybox-static)");
        }
        let directory = tempfile::tempdir().unwrap();
        make_image(directory.path());
        let prepare = "mount -t tmpfs tmpfs /mnt && cp -a \"$1\" /mnt/images && exec sh";
        let mut shell = Command::new("unshare")
            .args(namespaces)
            .args(["sh", "-c", prepare, "sh"])
            .arg(directory.path().join("images"))
            .stdin(Stdio::piped())
            .stderr(File::create(directory.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let orders = shell.stdin.take().unwrap();
        let mut machine = Self { shell, orders, directory, docker, groups: Groups::new() };
        // Until it is there, `unshare` has a helper (for the ids) that does not end with it.
        machine.order(":");
        Some(machine)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Has the shell do something, and returns what it printed.
    pub fn order(&mut self, script: &str) -> String {
        let (done, out) = (self.path("done"), self.path("out"));
        writeln!(self.orders, "{{ {script}\n}} >{} 2>&1 </dev/null; : >{}", out.display(), done.display())
            .unwrap();
        let begun = Instant::now();
        while fs::remove_file(&done).is_err() {
            assert!(begun.elapsed() < START_TIME_MAX, "{script}: {}", fs::read_to_string(&out).unwrap());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        fs::read_to_string(out).unwrap()
    }

    /// Starts an engine; its shell variable `$e` is its pid there.
    pub fn engine(&mut self) {
        self.engine_through("");
    }

    /// Starts an engine through other programs, such as `env`, that execute it in the end.
    pub fn engine_through(&mut self, before: &str) {
        let (a, b) = (self.path("a.sock"), self.path("b.sock"));
        self.order(&format!(
            "{before} {} -H unix://{} --host=unix://{} --data-root /mnt/data --images /mnt/images --pidfile /mnt/pid \
             --cgroup-parent {} >&2 & e=$!",
            env!("CARGO_BIN_EXE_isolab-engine"),
            a.display(),
            b.display(),
            self.groups.path(),
        ));
        let begun = Instant::now();
        while !(UnixStream::connect(&a).is_ok() && UnixStream::connect(&b).is_ok()) {
            let log = fs::read_to_string(self.path("log")).unwrap();
            assert!(begun.elapsed() < START_TIME_MAX, "the engine does not answer: {log}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    pub fn docker(&self, socket: &str, arguments: &[&str]) -> Came {
        let mut command = Command::new("timeout");
        command.arg("60").arg(&self.docker).args(arguments).stdin(Stdio::null());
        command.env("DOCKER_HOST", format!("unix://{}", self.path(socket).display()));
        crate::lab::came(command.env("DOCKER_CONFIG", self.directory.path()).output().unwrap())
    }

    /// How many groups of containers there are, in all hierarchies.
    fn container_groups(&self) -> usize {
        let inside =
            |parent: &PathBuf| fs::read_dir(parent).into_iter().flatten().flatten().collect::<Vec<_>>();
        let all = self.groups.directories();
        all.iter().flat_map(inside).filter(|entry| entry.path().is_dir()).count()
    }

    /// What is there of containers: processes, mounts and links.
    pub fn traces(&mut self) -> String {
        self.order(
            "ps -o comm= -e | grep sleep; grep -o /mnt/data/overlay2/[^i].*/merged /proc/self/mounts; \
                    grep -o veth.*: /proc/net/dev; true",
        )
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its children die with it (--kill-child), and with the shell all of its pid namespace.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[test]
fn an_ended_daemon_leaves_nothing_behind() {
    let Some(mut machine) = Machine::start() else { return };
    machine.engine();
    assert_eq!(machine.order("echo $e"), machine.order("cat /mnt/pid"), "the pid file names another process");
    for (socket, arguments) in [
        ("a.sock", &["run", "-d", "busybox", "sleep", "3600"][..]),
        // It has to be killed: as PID 1 without a handler it does not see the signal.
        ("b.sock", &["run", "-d", "--pid=host", "busybox", "sh", "-c", "sleep 3600 & wait"]),
        ("b.sock", &["run", "busybox", "true"]),
    ] {
        let came = machine.docker(socket, arguments);
        assert_eq!(came.code, 0, "{came:?}");
    }
    let traces = machine.traces();
    assert!(traces.contains("sleep") && traces.contains("merged") && traces.contains("veth"), "{traces}");
    assert_eq!(machine.order("kill $e; wait $e; echo $?"), "0\n");
    assert_eq!(machine.traces(), "");
    assert!(!machine.path("a.sock").exists() && !machine.path("b.sock").exists());
    assert_eq!(machine.order("ls /mnt/pid 2>&1 | grep -c cannot"), "1\n");
}

#[test]
fn the_next_daemon_ends_what_a_killed_one_has_left() {
    let Some(mut machine) = Machine::start() else { return };
    machine.engine();
    for arguments in [
        &["run", "-d", "busybox", "sleep", "3600"][..],
        &["run", "-d", "--pid=host", "--network=host", "busybox", "sh", "-c", "sleep 3600 & wait"],
    ] {
        let came = machine.docker("a.sock", arguments);
        assert_eq!(came.code, 0, "{came:?}");
    }
    let second = format!(
        "{} -H unix:///mnt/c.sock --data-root /mnt/data; echo $?",
        env!("CARGO_BIN_EXE_isolab-engine")
    );
    let refused = machine.order(&second);
    assert!(refused.contains("another engine runs") && refused.ends_with("\n1\n"), "{refused}");
    machine.order("kill -9 $e; wait $e");
    let traces = machine.traces();
    assert!(traces.contains("sleep") && traces.contains("merged"), "the test has nothing to see: {traces}");
    let left = machine.container_groups();
    // A process of the machine's that only looks like one of a container's is not touched.
    machine.order("cp /bin/sleep /mnt/data/bystander; /mnt/data/bystander 3600 & b=$!");
    machine.engine();
    assert_eq!(machine.order("kill -0 $b && kill $b; echo $?"), "0\n");
    machine.order("wait $b");
    assert_eq!(machine.traces(), "");
    assert_eq!(machine.container_groups(), 0, "of {left} groups of containers that are gone");
    let came = machine.docker("a.sock", &["run", "--rm", "busybox", "echo", "again"]);
    assert_eq!(came.out, "again\n", "{came:?}");
}
