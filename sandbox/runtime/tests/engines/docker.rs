//! `dockerd --add-runtime isolab=…`, and the genuine command line: `docker run --runtime isolab`.

use super::{LOOK, NAMESPACES, Place, SHELL, TIMEOUT, obstacle, quiet, skip, text, told, was_ended};
use std::fs::File;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long dockerd may take to answer for the first time: it starts containerd first.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// A dockerd with our runtime; ended on drop.
struct Dockerd {
    place: Place,
    unshare: Child,
}

/// The shell is the init of the pid namespace, and reaps what dockerd leaves.
const INIT: &str = r#"ip link set lo up; mount -t tmpfs tmpfs /run; mkdir /run/data; "$@" & wait $!"#;

impl Dockerd {
    fn start() -> Self {
        let place = Place::new("dockerd");
        let log = File::create(place.path("log")).unwrap();
        let unshare = Command::new("unshare")
            .args(NAMESPACES)
            .args(["sh", "-c", INIT, "sh", "dockerd"])
            .args(["--data-root=/run/data", "--exec-root=/run/exec", "--pidfile=/run/pid"])
            .arg(format!("--cgroup-parent=/{}", place.group))
            .args(["--exec-opt", "native.cgroupdriver=cgroupfs"])
            .arg(format!("--add-runtime=isolab={}", place.path("runtime").display()))
            .arg(format!("--host=unix://{}", place.path("docker.sock").display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let dockerd = Self { place, unshare };
        let begun = Instant::now();
        while !quiet(&mut dockerd.command(&["version"])).status().unwrap().success() {
            let log = || std::fs::read_to_string(dockerd.place.path("log")).unwrap_or_default();
            assert!(begun.elapsed() < START_TIME_MAX, "dockerd does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        let image = dockerd.place.path("image.tar");
        dockerd.good(&["import", image.to_str().unwrap(), "box"]);
        dockerd
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(TIMEOUT).arg("docker").args(words);
        command.env("DOCKER_HOST", format!("unix://{}", self.place.path("docker.sock").display()));
        command
    }

    /// What came of a command. One that hangs fails the test, which says what everything of this dockerd's is at.
    fn call(&self, words: &[&str]) -> Output {
        let output = self.command(words).stdin(Stdio::null()).output().unwrap();
        assert!(!was_ended(&output), "docker {words:?} hangs:\n{}", self.look());
        output
    }

    fn look(&self) -> String {
        let init = format!("/proc/{}/task/{0}/children", self.unshare.id());
        let init = std::fs::read_to_string(init).unwrap_or_default();
        let look = Command::new("nsenter").args(["-t", init.trim(), "-p", "-m", "sh", "-c", LOOK]).output();
        let log = std::fs::read_to_string(self.place.path("log")).unwrap_or_default();
        let log: Vec<_> = log.lines().rev().take(20).collect();
        format!(
            "{}\nthe end of its log, latest first:\n{}",
            look.map(|output| told(&output)).unwrap_or_default(),
            log.join("\n")
        )
    }

    fn good(&self, words: &[&str]) -> String {
        let output = self.call(words);
        assert!(output.status.success(), "docker {words:?}: {}", told(&output));
        text(&output.stdout)
    }

    /// `docker run --runtime isolab --rm …`, its status, and what it printed.
    fn run(&self, words: &[&str]) -> (i32, String) {
        let output = self.call(&[&["run", "--runtime", "isolab", "--rm"], words].concat());
        (output.status.code().unwrap_or(-1), text(&output.stdout) + &text(&output.stderr))
    }

    /// The same on a terminal, which `script` provides.
    fn on_terminal(&self, line: &str) -> (i32, String) {
        let mut command = Command::new("script");
        let line = format!("timeout {} docker {line}", TIMEOUT.join(" "));
        command.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).env("SHELL", SHELL);
        command.env("DOCKER_HOST", format!("unix://{}", self.place.path("docker.sock").display()));
        let output = command.output().unwrap();
        (output.status.code().unwrap_or(-1), text(&output.stdout))
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // Not by way of `call`: this may be the end of a test that has failed.
        let names = quiet(&mut self.command(&["ps", "-aq"])).stdout(Stdio::piped()).output();
        let names = names.map(|output| text(&output.stdout)).unwrap_or_default();
        let names: Vec<_> = names.split_whitespace().collect();
        if !names.is_empty() {
            let _ = quiet(&mut self.command(&[&["rm", "-f"], &names[..]].concat())).status();
        }
        // With the init of their pid namespace everything of it ends.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

fn with_dockerd(test: impl FnOnce(&Dockerd)) {
    match obstacle(&["/usr/sbin/dockerd", "/usr/bin/script"]) {
        Some(why) => skip(&why),
        None => test(&Dockerd::start()),
    }
}

#[test]
fn docker_run_and_all_that_follows() {
    with_dockerd(|docker| {
        // Whether it works here at all shows with the runtime that it brings.
        let own = docker.command(&["run", "--rm", "box", "true"]).stdin(Stdio::null()).output().unwrap();
        if !own.status.success() {
            return skip(&format!("docker does not work here with its own runtime: {}", told(&own)));
        }
        runs(docker);
        limits(docker);
        lives(docker);
        assert_eq!(docker.place.groups_left(), [] as [std::path::PathBuf; 0], "{}", docker.place.calls());
        let calls = docker.place.calls();
        for command in [
            "create --bundle",
            "start ",
            "delete ",
            "kill ",
            "exec --process",
            "pause ",
            "resume ",
            "ps ",
            "update ",
        ] {
            assert!(calls.contains(command), "dockerd has never called {command:?}:\n{calls}");
        }
    });
}

fn runs(docker: &Dockerd) {
    assert_eq!(docker.run(&["box", "true"]), (0, String::new()));
    assert_eq!(docker.run(&["box", "sh", "-c", "exit 7"]).0, 7);
    let (status, said) = docker.run(&["box", "no-such-program"]);
    assert!(status == 127 && said.contains("executable file not found in $PATH"), "{said}");
    let (status, said) = docker.run(&["box", "/tmp"]);
    assert!(status == 126 && said.contains("permission denied"), "{said}");
    // Its network comes by a prestart hook.
    let (_, said) = docker.run(&["box", "ip", "-4", "addr", "show", "eth0"]);
    assert!(said.contains("inet 172.17."), "{said}");
    let (status, said) = docker.on_terminal("run --runtime isolab --rm -it box sh -c 'tty; exit 3'");
    assert!(status == 3 && said.contains("/dev/pts/0"), "{said}");
    let (_, said) = docker.run(&["--init", "box", "cat", "/proc/1/cmdline"]);
    assert!(said.contains("docker-init"), "{said}");
    let (_, said) = docker.run(&["box", "grep", "-E", "^(CapEff|Seccomp|NoNewPrivs):", "/proc/self/status"]);
    assert_eq!(said, "CapEff:\t00000000a80425fb\nNoNewPrivs:\t0\nSeccomp:\t2\n");
    let (status, said) = docker.run(&["-v", "/tmp:/proc/sys", "box", "true"]);
    assert!(status == 125 && said.contains("inside /proc"), "{said}");
}

fn limits(docker: &Dockerd) {
    if !std::path::Path::new("/sys/fs/cgroup/pids").is_dir() {
        skip("device rules are version 1's, and this machine has control groups of version 2");
    } else {
        // Docker leaves a container CAP_MKNOD, so that only the control group stands before the machine's disks.
        let (_, said) = docker.run(&["box", "mknod", "/tmp/disk", "b", "8", "0"]);
        assert!(said.contains("Operation not permitted"), "{said}");
        assert_eq!(
            docker.run(&["--privileged", "box", "mknod", "/tmp/disk", "b", "8", "0"]),
            (0, String::new())
        );
    }
    let bomb = "for i in $(seq 60); do sleep 2 & done; echo unbounded";
    let (status, said) = docker.run(&["--pids-limit", "20", "box", "sh", "-c", bomb]);
    assert!(status != 0 && said.contains("can't fork") && !said.contains("unbounded"), "{said}");
    let (_, said) =
        docker.run(&["--cpuset-cpus", "0", "box", "grep", "Cpus_allowed_list", "/proc/self/status"]);
    assert_eq!(said, "Cpus_allowed_list:\t0\n");
}

fn lives(docker: &Dockerd) {
    docker.good(&[
        "run",
        "--runtime",
        "isolab",
        "-d",
        "--name",
        "life",
        "--memory",
        "64m",
        "box",
        "sleep",
        "1000",
    ]);
    let inspect = |format: &str| docker.good(&["inspect", "--format", format, "life"]).trim().to_owned();
    let in_exec = docker.call(&["exec", "life", "sh", "-c", "id -u; exit 5"]);
    assert_eq!(
        (in_exec.status.code(), text(&in_exec.stdout).as_str()),
        (Some(5), "0\n"),
        "{}",
        told(&in_exec)
    );
    assert!(docker.on_terminal("exec -it life tty").1.contains("/dev/pts/0"));
    docker.good(&["exec", "-d", "life", "sh", "-c", "echo made > /tmp/made; exec sleep 1000"]);
    assert!(docker.good(&["top", "life"]).contains("sleep 1000"));
    assert!(docker.good(&["stats", "--no-stream", "life"]).contains("/ 64MiB"));
    docker.good(&["update", "--memory", "96m", "--memory-swap", "200m", "life"]);
    assert!(docker.good(&["stats", "--no-stream", "life"]).contains("/ 96MiB"));
    docker.good(&["pause", "life"]);
    assert_eq!(inspect("{{.State.Status}}"), "paused");
    docker.good(&["unpause", "life"]);
    assert_eq!(docker.good(&["exec", "life", "cat", "/tmp/made"]), "made\n");
    docker.good(&["stop", "-t", "1", "life"]);
    assert_eq!(inspect("{{.State.Status}} {{.State.ExitCode}} {{.HostConfig.Runtime}}"), "exited 137 isolab");
    docker.good(&["start", "life"]);
    docker.good(&["pause", "life"]);
    docker.good(&["kill", "life"]);
    assert_eq!(docker.good(&["wait", "life"]), "137\n");
    docker.good(&["rm", "life"]);
}
