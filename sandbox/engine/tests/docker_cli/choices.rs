//! Devices, `--init`, scores, kernel settings, and what there is to choose of runtimes and logs, as dockerd 20.10.24 has it.

use crate::lab::Lab;
use crate::{eventually, with_each_client, with_one_client};

const RUNC: &str = "failed to create shim task: OCI runtime create failed: runc create failed: ";

#[track_caller]
fn refused(lab: &Lab, flags: &[&str], code: i32, message: &str) {
    let came = lab.docker(&[&["run", "--rm"], flags, &["busybox", "true"]].concat());
    assert_eq!(came.code, code, "{flags:?}: {came:?}");
    assert!(came.err.contains(&format!("daemon: {message}")), "{flags:?}: {came:?}");
}

#[test]
fn devices_are_given_under_the_name_that_was_asked_for() {
    with_each_client(|lab| {
        let run = |flags: &[&str], script: &str| {
            lab.ok(&[&["run", "--rm"], flags, &["busybox", "sh", "-c", script]].concat())
        };
        let node =
            run(&["--device", "/dev/null:/dev/void"], "stat -c '%t:%T %F' /dev/void; echo x > /dev/void");
        assert_eq!(node, "1:3 character special file");
        assert_eq!(run(&["--device", "/dev/zero:/etc/nil:r"], "stat -c %t:%T /etc/nil"), "1:5");
        assert_eq!(run(&["--device", "/dev/null"], "stat -c %t:%T /dev/null"), "1:3");
        run(&["--device-cgroup-rule", "c 1:3 rwm"], "true");
        let begin = "error gathering device information while adding custom device";
        refused(
            lab,
            &["--device", "/dev/nope"],
            127,
            &format!("{begin} \"/dev/nope\": no such file or directory"),
        );
        refused(
            lab,
            &["--device", "/etc/passwd"],
            125,
            &format!("{begin} \"/etc/passwd\": not a device node"),
        );
    });
}

#[test]
fn an_init_reaps_and_hands_signals_on() {
    with_each_client(|lab| {
        let init = |words: &[&str]| lab.docker(&[&["run", "--rm", "--init", "busybox"], words].concat());
        let seen = init(&["ps", "-o", "pid,ppid,args"]);
        let lines: Vec<_> =
            seen.out.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[1], "1 0 /sbin/docker-init -- ps -o pid,ppid,args", "{seen:?}");
        assert!(lines.len() == 3 && lines[2].ends_with(" 1 ps -o pid,ppid,args"), "{seen:?}");
        assert_eq!(init(&["sh", "-c", "exit 7"]).code, 7);
        assert_eq!(init(&["sh", "-c", "kill -9 $$"]).code, 137);
        let missing = init(&["nosuch"]);
        assert!(
            missing.code == 127 && missing.err.contains("exec nosuch failed: No such file or directory"),
            "{missing:?}"
        );
        assert_eq!(init(&["/sbin/docker-init", "--version"]).out, "tini version 0.19.0\n");
        // Nobody can write to it, by its name or by what it is to the kernel.
        assert_ne!(init(&["sh", "-c", "echo x > /proc/1/exe || echo x > /sbin/docker-init"]).code, 0);
    });
    with_one_client(|lab| {
        // A program that ends at TERM, as the first process of a pid namespace it would not even notice it.
        lab.ok(&["run", "-d", "--name", "slept", "--init", "busybox", "sleep", "3600"]);
        lab.ok(&["stop", "slept"]);
        assert_eq!(
            lab.ok(&["inspect", "-f", "{{.State.ExitCode}} {{.Path}} {{json .Args}}", "slept"]),
            "143 sleep [\"3600\"]"
        );
        // An orphan that has ended is no zombie.
        lab.ok(&["run", "-d", "--name", "reaps", "--init", "busybox", "sleep", "3600"]);
        lab.ok(&["exec", "reaps", "sh", "-c", "(sleep 0.1 &) ; true"]);
        let zombies =
            || lab.ok(&["exec", "reaps", "sh", "-c", "grep -l '^State:.Z' /proc/[0-9]*/status | wc -l"]);
        assert_eq!(eventually(zombies, |count| count == "0"), "0");
        let count = || lab.ok(&["exec", "reaps", "sh", "-c", "ls -d /proc/[0-9]* | wc -l"]);
        assert_eq!(eventually(count, |count| count == "5"), "5", "init, sleep, sh, ls, wc");
        // With a terminal, the program is in the foreground: it may read.
        let came = lab.docker_with_input(&["run", "--rm", "-i", "--init", "busybox", "cat"], b"words\n");
        assert_eq!(came.out, "words\n");
    });
}

#[test]
fn scores_limits_and_settings_arrive_or_are_refused() {
    with_one_client(|lab| {
        let run = |flags: &[&str], script: &str| {
            lab.ok(&[&["run", "--rm"], flags, &["busybox", "sh", "-c", script]].concat())
        };
        assert_eq!(run(&["--oom-score-adj", "500"], "cat /proc/self/oom_score_adj"), "500");
        refused(
            lab,
            &["--oom-score-adj", "1001"],
            125,
            "Invalid value 1001, range for oom score adj is [-1000, 1000]",
        );
        assert_eq!(
            run(&["--ulimit", "nofile=100:200", "--ulimit", "core=0"], "ulimit -Sn; ulimit -Hn; ulimit -c"),
            "100\n200\n0"
        );
        assert_eq!(
            run(&["--shm-size", "1m"], "df /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f1,2"),
            "shm 1024"
        );
        assert_eq!(run(&["-u", "1000", "--group-add", "5", "--group-add", "wheel"], "id -G"), "1000 5 10");
        assert_eq!(run(&["--sysctl", "kernel.shmmax=1000"], "cat /proc/sys/kernel/shmmax"), "1000");
        let during = format!("{RUNC}unable to start container process: error during container init: ");
        refused(
            lab,
            &["--sysctl", "net.foo=1"],
            127,
            &format!("{during}open /proc/sys/net/foo: no such file or directory"),
        );
        refused(
            lab,
            &["--sysctl", "net.ipv4.ip_forward=abc"],
            125,
            &format!("{during}write /proc/sys/net/ipv4/ip_forward: invalid argument"),
        );
        refused(
            lab,
            &["--network", "host", "--sysctl", "net.ipv4.ip_forward=1"],
            125,
            &format!("{RUNC}sysctl \"net.ipv4.ip_forward\" not allowed in host network namespace"),
        );
        refused(
            lab,
            &["--ipc", "host", "--sysctl", "kernel.shmmax=1000"],
            125,
            &format!("{RUNC}sysctl \"kernel.shmmax\" is not allowed in the hosts ipc namespace"),
        );
    });
}

#[test]
fn what_there_is_one_of_can_be_named() {
    with_each_client(|lab| {
        for flags in [
            &["--runtime", "runc"][..],
            &["--isolation", "default"],
            &["--platform", "linux"],
            &["--userns", "host"],
        ] {
            lab.ok(&[&["run", "--rm"], flags, &["busybox", "true"]].concat());
        }
        refused(lab, &["--runtime", "foo"], 125, "Unknown runtime specified foo");
        refused(
            lab,
            &["--isolation", "hyperv"],
            125,
            "Invalid isolation: \"hyperv\" - linux only supports 'default'",
        );
        refused(lab, &["--storage-opt", "foo=1"], 125, "Unknown option foo");
        let came = lab.docker(&["run", "--rm", "--oom-kill-disable", "busybox", "true"]);
        // Where it can be done, it is warned of.
        let told = ["OomKillDisable discarded.", "OOM killer is disabled for the container"];
        assert!(came.code == 0 && told.iter().any(|words| came.err.contains(words)), "{came:?}");
    });
}

#[test]
fn what_is_not_kept_cannot_be_read_back() {
    with_each_client(|lab| {
        let came = lab.docker(&["run", "--name", "none", "--log-driver", "none", "busybox", "echo", "hi"]);
        assert_eq!(came.out, "hi\n");
        let came = lab.docker(&["logs", "none"]);
        assert!(
            came.code == 1 && came.err.contains("configured logging driver does not support reading"),
            "{came:?}"
        );
        let shown = "{{json .HostConfig.LogConfig}} {{.LogPath}}";
        assert_eq!(lab.ok(&["inspect", "-f", shown, "none"]), r#"{"Type":"none","Config":{}}"#);
        lab.ok(&[
            "run",
            "--name",
            "local",
            "--log-driver",
            "local",
            "--log-opt",
            "max-size=1m",
            "busybox",
            "echo",
            "hi",
        ]);
        assert_eq!(lab.ok(&["logs", "local"]), "hi");
        refused(lab, &["--log-opt", "foo=1"], 125, "unknown log opt 'foo' for json-file log driver");
    });
}
