//! The genuine Docker CLI, each that is here, drives the engine as PID 1 of fresh namespaces.
//!
//! The words and exit codes expected here are those that dockerd 20.10.24 gives to the same commands.
#![forbid(unsafe_code)]
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod bounds;
mod build;
mod care;
mod choices;
mod compose;
mod configured;
mod daemon;
mod files;
mod groups;
mod images;
mod killed;
mod lab;
mod lives;
mod many;
mod network_names;
mod networks;
mod registry;
mod remap;
mod security;
mod sharing;
mod terminal;
mod volumes;

use lab::{Lab, clients, raw};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A skip that cannot be overlooked: past the capture of the test harness, and counted by `scripts/test`.
fn no_client() {
    let _ = writeln!(std::io::stderr(), "SKIPPED, because there is no Docker CLI (Debian's docker.io)");
}

/// Runs a test with a lab for each client.
fn with_each_client(test: impl Fn(&Lab)) {
    let clients = clients();
    if clients.is_empty() {
        no_client();
    }
    for client in clients {
        if let Some(lab) = Lab::start(&client) {
            test(&lab);
            assert!(!lab.log().contains("panicked"), "{}", lab.log());
        }
    }
}

/// Runs a test with a lab for one client: for what does not depend on the client.
fn with_one_client(test: impl Fn(&Lab)) {
    let Some(client) = clients().into_iter().next() else { return no_client() };
    if let Some(lab) = Lab::start(&client) {
        test(&lab);
        assert!(!lab.log().contains("panicked"), "{}", lab.log());
    }
}

/// Tries again for a while until it is as wanted.
fn eventually<T>(attempt: impl Fn() -> T, wanted: impl Fn(&T) -> bool) -> T {
    let begun = Instant::now();
    loop {
        let came = attempt();
        if wanted(&came) || begun.elapsed() > Duration::from_secs(10) {
            return came;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_commands_of_the_pid_namespace_lesson() {
    with_each_client(|lab| {
        let id = lab.ok(&["run", "-d", "--name", "pid-test", "ubuntu", "sleep", "3600"]);
        assert_eq!(id.len(), 64);
        let inside = lab.ok(&["exec", "-i", "pid-test", "ps", "-ef"]);
        let lines: Vec<_> = inside.lines().skip(1).map(str::trim).collect();
        assert!(lines[0].starts_with("1 ") && lines[0].ends_with("sleep 3600"), "{inside}");
        let pid: u32 = lab.ok(&["inspect", "-f", "{{.State.Pid}}", "pid-test"]).parse().unwrap();
        assert!(pid > 1);
        let top = lab.ok(&["top", "pid-test"]);
        assert!(top.lines().nth(1).unwrap().contains(&format!(" {pid} ")), "{top}");
        let ps = lab.ok(&["ps", "--format", "{{.Names}}|{{.Image}}|{{.Command}}|{{.Status}}"]);
        assert!(ps.starts_with("pid-test|ubuntu|\"sleep 3600\"|Up "), "{ps}");
        assert_eq!(lab.ok(&["exec", "pid-test", "hostname"]), id[..12]);
    });
}

#[test]
fn refusals_have_docker_s_words_and_exit_codes() {
    const CREATE: &str = "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container \
                          process: ";
    const EXEC: &str = "OCI runtime exec failed: exec failed: unable to start container process: ";
    with_each_client(|lab| {
        lab.ok(&["run", "-d", "--name", "up", "busybox", "sleep", "3600"]);
        let run = |words: &[&'static str]| [&["run", "--rm"], words].concat();
        let exec = |words: &[&'static str]| [&["exec"], words].concat();
        for (arguments, code, message) in [
            (
                run(&["busybox", "foo"]),
                127,
                format!("{CREATE}exec: \"foo\": executable file not found in $PATH: unknown"),
            ),
            (
                run(&["busybox", "/foo"]),
                127,
                format!("{CREATE}exec: \"/foo\": stat /foo: no such file or directory: unknown"),
            ),
            (
                run(&["busybox", "/etc/plain"]),
                126,
                format!("{CREATE}exec: \"/etc/plain\": permission denied: unknown"),
            ),
            (run(&["busybox", "/tmp"]), 126, format!("{CREATE}exec: \"/tmp\": permission denied: unknown")),
            (
                run(&["-w", "/etc/plain", "busybox", "true"]),
                125,
                "Cannot mkdir: /etc/plain is not a directory".into(),
            ),
            (
                run(&["-u", "nobody", "busybox", "true"]),
                125,
                "unable to find user nobody: no matching entries in passwd file".into(),
            ),
            (
                run(&["--cap-add", "FOO", "busybox", "true"]),
                125,
                "invalid CapAdd: unknown capability: \"CAP_FOO\"".into(),
            ),
            (run(&["--network", "nosuch", "busybox", "true"]), 125, "network nosuch not found".into()),
            (
                run(&["nosuch"]),
                125,
                "pull access denied for nosuch: this lab has no access to a registry. The images it \
                has: busybox:latest, ubuntu:latest"
                    .into(),
            ),
            (
                run(&["--name", "up", "busybox"]),
                125,
                "Conflict. The container name \"/up\" is already in use by".into(),
            ),
            (
                exec(&["up", "foo"]),
                126,
                format!("{EXEC}exec: \"foo\": executable file not found in $PATH: unknown"),
            ),
            (
                exec(&["-w", "/nope", "up", "true"]),
                126,
                format!(
                    "{EXEC}chdir to cwd (\"/nope\") set in config.json failed: no such file or directory: unknown"
                ),
            ),
            (
                exec(&["-u", "nobody", "up", "true"]),
                126,
                "unable to find user nobody: no matching entries in passwd file".into(),
            ),
            (exec(&["nosuch", "true"]), 1, "No such container: nosuch".into()),
            (vec!["rm", "up"], 1, "Stop the container before attempting removal or force remove".into()),
            (vec!["kill", "-s", "FOO", "up"], 1, "Invalid signal: FOO".into()),
            (vec!["inspect", "nosuch"], 1, "No such object: nosuch".into()),
        ] {
            let came = lab.docker(&arguments);
            assert!(
                came.code == code && (came.err + &came.out).contains(&message),
                "docker {arguments:?}: {message}"
            );
        }
        assert_eq!(lab.ok(&["ps", "-aq"]).lines().count(), 1, "what was refused has left nothing");
    });
}

#[test]
fn exit_codes_are_the_program_s() {
    with_each_client(|lab| {
        assert_eq!(lab.docker(&["run", "--rm", "busybox", "sh", "-c", "exit 3"]).code, 3);
        // What is there and is refused by the kernel has run, and told so itself.
        let script = "printf '#!/nope\n' > /bad; chmod +x /bad; exec sleep 3600";
        lab.ok(&["run", "-d", "--name", "bad", "busybox", "sh", "-c", script]);
        let told = "exec /bad: no such file or directory\n";
        let refused = eventually(|| lab.docker(&["exec", "bad", "/bad"]), |came| came.err == told);
        assert_eq!((refused.code, refused.err.as_str()), (1, told));
        lab.ok(&["rm", "-f", "bad"]);
        lab.ok(&["run", "-d", "--name", "x1", "busybox", "sleep", "3600"]);
        assert_eq!(lab.docker(&["exec", "x1", "sh", "-c", "exit 7"]).code, 7);
        assert_eq!(lab.docker(&["exec", "x1", "sh", "-c", "kill -KILL $$"]).code, 137);
        lab.ok(&["kill", "x1"]);
        assert_eq!(lab.ok(&["wait", "x1"]), "137");
        assert!(lab.ok(&["ps", "-a", "--format", "{{.Status}}"]).starts_with("Exited (137) "));
        assert!(lab.docker(&["exec", "x1", "true"]).err.contains("is not running"));
        lab.ok(&["start", "x1"]);
        let begun = Instant::now();
        lab.ok(&["stop", "-t", "1", "x1"]);
        assert!(begun.elapsed() >= Duration::from_secs(1), "sleep as PID 1 does not hear SIGTERM");
        assert_eq!(lab.ok(&["inspect", "-f", "{{.State.ExitCode}} {{.State.Status}}", "x1"]), "137 exited");
        lab.ok(&[
            "run",
            "-d",
            "--name",
            "y1",
            "busybox",
            "sh",
            "-c",
            "trap 'exit 5' TERM; while :; do sleep 0.1; done",
        ]);
        lab.ok(&["stop", "y1"]);
        assert_eq!(lab.ok(&["wait", "y1"]), "5");
        lab.ok(&["run", "-d", "--rm", "--name", "z1", "busybox", "sleep", "3600"]);
        lab.ok(&["rm", "-f", "x1", "y1", "z1"]);
        assert_eq!(lab.ok(&["ps", "-aq"]), "");
    });
}

#[test]
fn names_and_lists() {
    with_each_client(|lab| {
        let id = lab.ok(&["create", "--name", "one", "--label", "k=v", "busybox", "echo", "hi"]);
        lab.ok(&["run", "-d", "--name", "two", "ubuntu", "sleep", "3600"]);
        lab.ok(&["rename", "one", "uno"]);
        assert!(lab.docker(&["rename", "uno", "two"]).err.contains("is already in use by container"));
        let list = |filter: &str| lab.ok(&["ps", "-a", "--format", "{{.Names}}", "--filter", filter]);
        for (filter, names) in [
            ("status=running", "two"),
            ("status=created", "uno"),
            ("name=^/u", "uno"),
            ("label=k=v", "uno"),
            ("label=k=w", ""),
            ("ancestor=ubuntu", "two\nuno"),
            ("since=uno", "two"),
            (&format!("id={}", &id[..5]), "uno"),
        ] {
            assert_eq!(list(filter), names, "{filter}");
        }
        assert_eq!(lab.ok(&["ps", "--format", "{{.Names}}"]), "two");
        assert_eq!(lab.ok(&["inspect", "-f", "{{.Name}} {{.State.Status}}", &id[..12]]), "/uno created");
        lab.ok(&["start", "-a", "uno"]);
        lab.ok(&["restart", "-t", "0", "two"]);
        assert_eq!(lab.ok(&["inspect", "-f", "{{.State.Running}}", "two"]), "true");
        assert!(lab.ok(&["images", "-q", "ubuntu"]).len() == 12);
        assert!(lab.ok(&["image", "inspect", "-f", "{{.RepoTags}}", "busybox"]).contains("ubuntu:latest"));
        assert!(lab.docker(&["ps", "--filter", "foo=bar"]).err.contains("Invalid filter 'foo'"));
    });
}

#[test]
fn streams_are_whole_and_end() {
    with_each_client(|lab| {
        let million = vec![b'x'; 1_000_000];
        assert_eq!(
            lab.docker_with_input(&["run", "--rm", "-i", "busybox", "wc", "-c"], &million).out.trim(),
            "1000000"
        );
        let many = lab.docker(&["run", "--rm", "busybox", "head", "-c", "1000000", "/dev/zero"]);
        assert_eq!(many.out.len(), 1_000_000);
        // A client that reads late gets all the same what the program had written when it ended.
        let words = ["run", "--rm", "busybox", "head", "-c", "1000000", "/dev/zero"];
        let mut late = lab.command(&words).stdout(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_secs(3));
        let mut all = vec![];
        late.stdout.take().unwrap().read_to_end(&mut all).unwrap();
        assert_eq!((all.len(), late.wait().unwrap().code()), (1_000_000, Some(0)));
        assert_eq!(
            lab.docker(&["run", "--rm", "-i", "busybox", "cat"]).code,
            0,
            "an input that is empty ends"
        );
        let unread = lab.docker_with_input(&["run", "--rm", "-i", "busybox", "head", "-c", "1"], &million);
        assert_eq!((unread.code, unread.out.as_str(), unread.err.as_str()), (0, "x", ""));
        let both = lab.docker(&[
            "run",
            "--name",
            "lg",
            "busybox",
            "sh",
            "-c",
            "echo one; echo two >&2; sleep 0.1; echo three",
        ]);
        assert_eq!((both.out.as_str(), both.err.as_str()), ("one\nthree\n", "two\n"));
        assert_eq!(lab.docker(&["logs", "--tail", "1", "lg"]).out, "three\n");
        let stamped = lab.docker(&["logs", "-t", "lg"]);
        assert!(stamped.err.trim().ends_with("Z two"), "{stamped:?}");
        assert_eq!(lab.docker(&["start", "-a", "lg"]).out, "one\nthree\n");
        assert_eq!(lab.docker(&["logs", "-f", "lg"]).out.lines().count(), 4);
        assert_eq!(lab.docker(&["logs", "--since", "2100-01-01T00:00:00Z", "lg"]).out, "");
        lab.ok(&["run", "-d", "-i", "--name", "cat", "busybox", "cat"]);
        assert_eq!(
            lab.docker_with_input(&["exec", "-i", "cat", "sh", "-c", "cat; echo end"], b"hello\n").out,
            "hello\nend\n"
        );
        let pipes =
            lab.docker(&["run", "--rm", "busybox", "sh", "-c", "yes | head -1; ls -l /proc/self/fd/0"]);
        assert!(pipes.out.starts_with("y\n") && pipes.out.contains("/dev/null"), "{pipes:?}");
        let own = lab.docker(&["run", "--rm", "-u", "1000", "busybox", "sh", "-c", "echo a > /dev/stdout"]);
        assert_eq!(own.out, "a\n", "{own:?}");
    });
}

#[test]
fn the_walls_are_docker_s() {
    with_one_client(|lab| {
        let run = |words: &[&str]| lab.ok(&[&["run", "--rm"], words].concat());
        let grep = |flags: &[&str], what: &str| {
            let words = [flags, &["busybox", "grep", what, "/proc/self/status"]].concat();
            run(&words).split_whitespace().nth(1).unwrap().to_owned()
        };
        assert_eq!(grep(&[], "CapEff"), "00000000a80425fb");
        assert_eq!(
            grep(&["--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE"], "CapBnd"),
            "0000000000000400"
        );
        assert_eq!(grep(&["-u", "1000"], "CapEff"), "0000000000000000");
        assert_eq!(grep(&["-u", "1000"], "CapBnd"), "00000000a80425fb");
        assert_eq!(grep(&["--security-opt", "no-new-privileges"], "NoNewPrivs"), "1");
        assert_eq!(
            (grep(&[], "Seccomp:"), grep(&["--security-opt", "seccomp=unconfined"], "Seccomp:")),
            ("2".into(), "0".into())
        );
        assert_eq!(
            run(&["-u", "app", "busybox", "id"]),
            "uid=1000(app) gid=1000(app) groups=10(wheel),1000(app)"
        );
        assert_eq!(run(&["-u", "4242:7", "busybox", "id"]), "uid=4242 gid=7 groups=7");
        let read_only = lab.docker(&[
            "run",
            "--rm",
            "--read-only",
            "--tmpfs",
            "/run",
            "busybox",
            "sh",
            "-c",
            "touch /run/a /b",
        ]);
        assert!(read_only.code == 1 && read_only.err.contains("/b: Read-only file system"), "{read_only:?}");
        assert_eq!(
            run(&["--ulimit", "nofile=100:200", "busybox", "sh", "-c", "ulimit -n; ulimit -Hn"]),
            "100\n200"
        );
        assert_eq!(run(&["--network", "none", "busybox", "ls", "/sys/class/net"]), "lo");
        assert_eq!(run(&["busybox", "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"]), "0");
        assert_eq!(run(&["--pid", "host", "busybox", "sh", "-c", "cat /proc/1/comm"]), "isolab-engine");
        assert_eq!(run(&["--hostname", "web", "busybox", "hostname"]), "web");
        assert_eq!(run(&["--privileged", "busybox", "sh", "-c", "mount | grep -c 'sysfs (rw'"]), "1");
        let mounted = lab.docker(&["run", "--rm", "busybox", "mount", "-t", "tmpfs", "x1", "/tmp"]);
        assert!(mounted.code != 0 && mounted.err.contains("denied"), "{mounted:?}");
    });
}

#[test]
fn containers_reach_each_other_over_the_bridge() {
    with_one_client(|lab| {
        lab.ok(&["run", "-d", "--name", "a1", "busybox", "sleep", "3600"]);
        lab.ok(&["run", "-d", "--name", "b1", "busybox", "sleep", "3600"]);
        let address = |name| lab.ok(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", name]);
        assert_eq!((address("a1"), address("b1")), ("172.17.0.2".into(), "172.17.0.3".into()));
        let pinged = lab.docker(&["exec", "b1", "ping", "-c", "1", "-W", "2", "172.17.0.2"]);
        assert_eq!(pinged.code, 0, "{pinged:?}");
        assert_eq!(lab.docker(&["exec", "b1", "ping", "-c", "1", "-W", "2", "172.17.0.1"]).code, 0);
        let mac = lab.ok(&["exec", "b1", "cat", "/sys/class/net/eth0/address"]);
        assert_eq!(mac, "02:42:ac:11:00:03");
        lab.ok(&["rm", "-f", "a1"]);
        lab.ok(&["run", "-d", "--name", "c1", "busybox", "sleep", "3600"]);
        assert_eq!(address("c1"), "172.17.0.2");
    });
}

#[test]
fn what_is_removed_leaves_nothing() {
    with_one_client(|lab| {
        for _ in 0..3 {
            lab.ok(&["run", "--rm", "busybox", "sh", "-c", "echo x > /file"]);
            let failed = lab.docker(&["run", "--rm", "busybox", "nosuch"]);
            assert_eq!(failed.code, 127);
        }
        lab.ok(&[
            "run",
            "-d",
            "--name",
            "x1",
            "--pid",
            "host",
            "busybox",
            "sh",
            "-c",
            "sleep 3601 & sleep 3602 & wait",
        ]);
        lab.ok(&["rm", "-f", "x1"]);
        let seen = lab.ok(&["run", "--rm", "--pid", "host", "--privileged", "busybox", "sh", "-c",
            "nsenter -t 1 -m ls /mnt/data/containers /mnt/data/overlay2 2>/dev/null || ls /proc/1/root/mnt/data/containers \
             /proc/1/root/mnt/data/overlay2; grep -c overlay /proc/1/mountinfo; ps -ef"]);
        let ids: Vec<_> = seen.lines().filter(|line| line.len() == 64).collect();
        assert_eq!(ids.len(), 2, "only the looking container's own directories: {seen}");
        assert!(seen.lines().any(|line| line == "1"), "only its own mount: {seen}");
        assert!(!seen.contains("sleep 360"), "{seen}");
    });
}

#[test]
fn the_agent_s_connection_and_bad_requests() {
    with_one_client(|lab| {
        lab.ok(&["create", "--name", "x1", "busybox"]);
        let agent = lab.agent.try_clone().unwrap();
        let answer = raw(agent, b"GET /containers/json?all=1 HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"/x1\""), "{answer}");
        let send = |request: &[u8]| raw(UnixStream::connect(lab.socket()).unwrap(), request);
        let post = |path: &str, body: &str| {
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n",
                body.len()
            );
            send(&[head.as_bytes(), body.as_bytes()].concat())
        };
        assert!(post("/containers/create", "").contains("{\"message\":\"EOF\"}"));
        assert!(post("/containers/create", "{").contains("unexpected EOF"));
        assert!(
            post("/v9.9/containers/create", "{}")
                .contains("is too new. Maximum supported API version is 1.41")
        );
        assert!(post("/containers/create", &"x1".repeat(2_000_000)).starts_with("HTTP/1.1 413"));
        let started = post("/containers/x1/start?detachKeys=%00", "");
        assert!(started.starts_with("HTTP/1.1 204"), "{started}\n{}", lab.log());
        assert!(post("/containers/x1/resize?h=x&w=1", "").starts_with("HTTP/1.1 400"));
        assert!(post("/swarm/init", "").starts_with("HTTP/1.1 501"));
        assert!(post("/nope", "").contains("page not found"));
        send(b"\x00\xff\xfe nonsense\r\n\r\n");
        let ping = send(b"HEAD /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert!(
            ping.starts_with("HTTP/1.1 200") && ping.to_lowercase().contains("api-version: 1.41"),
            "{ping}"
        );
    });
}

#[test]
fn events_tell_the_story() {
    with_one_client(|lab| {
        lab.ok(&["run", "--rm", "--name", "story", "busybox", "true"]);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let soon = (now + 1).to_string();
        let told = lab.ok(&[
            "events",
            "--since",
            "1",
            "--until",
            &soon,
            "--filter",
            "container=story",
            "--format",
            "{{.Action}}",
        ]);
        let actions: Vec<_> = told.lines().filter(|&action| action != "attach").collect();
        assert_eq!(actions, ["create", "start", "die", "destroy"]);
    });
}

#[test]
fn orphans_of_the_lab_host_are_reaped() {
    with_one_client(|lab| {
        // Processes of a container in the lab host's pid namespace whose parents end become the engine's children.
        lab.ok(&[
            "run",
            "--rm",
            "--pid",
            "host",
            "busybox",
            "sh",
            "-c",
            "for i in 1 2 3; do (sleep 0.2 &); done; sleep 0.5",
        ]);
        let seen = lab.ok(&["run", "--rm", "--pid", "host", "busybox", "ps", "-o", "pid,ppid,stat,args"]);
        assert!(
            !seen.lines().any(|line| line.split_whitespace().nth(2).is_some_and(|s| s.starts_with('Z'))),
            "{seen}"
        );
    });
}
