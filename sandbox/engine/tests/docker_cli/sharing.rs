//! Namespaces that containers share: with each other and with the lab host, told as dockerd 20.10.24 tells it.

use crate::lab::Lab;
use crate::{eventually, with_each_client, with_one_client};

/// The inode of a namespace of a container's first process.
fn namespace(lab: &Lab, container: &str, name: &str) -> String {
    lab.ok(&["exec", container, "readlink", &format!("/proc/self/ns/{name}")])
}

fn id(lab: &Lab, container: &str) -> String {
    lab.ok(&["inspect", "-f", "{{.Id}}", container])
}

#[test]
fn a_network_is_shared_with_its_name_and_files() {
    with_each_client(|lab| {
        lab.ok(&["run", "-d", "--name", "xx", "--hostname", "hx", "busybox", "sleep", "3600"]);
        let x = id(lab, "xx");
        let joined = ["run", "-d", "--name", "jj", "--network", "container:xx", "busybox", "sleep", "3600"];
        lab.ok(&joined);
        assert_eq!(namespace(lab, "jj", "net"), namespace(lab, "xx", "net"));
        assert_ne!(namespace(lab, "jj", "uts"), namespace(lab, "xx", "uts"));
        assert_eq!(lab.ok(&["exec", "jj", "sh", "-c", "hostname; echo $HOSTNAME"]), "hx\nhx");
        let address = lab.ok(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "xx"]);
        assert!(
            lab.ok(&["exec", "jj", "ip", "-4", "addr", "show", "eth0"]).contains(&format!("{address}/16"))
        );
        // The files are the same files: what one writes the other reads.
        lab.ok(&["exec", "xx", "sh", "-c", "echo 10.9.8.7 peer >> /etc/hosts"]);
        assert!(lab.ok(&["exec", "jj", "cat", "/etc/hosts"]).contains("10.9.8.7 peer"));
        let shown = "{{.HostConfig.NetworkMode}} {{json .NetworkSettings.Networks}} {{.Config.Hostname}} {{.HostsPath}}";
        let theirs = lab.ok(&["inspect", "-f", "{{.HostsPath}}", "xx"]);
        assert_eq!(lab.ok(&["inspect", "-f", shown, "jj"]), format!("container:{x} {{}} hx {theirs}"));
        assert_eq!(lab.ok(&["ps", "--filter", "name=jj", "--format", "{{.Names}}|{{.Networks}}"]), "jj|");
        let sysctl = ["--sysctl", "net.ipv4.ip_default_ttl=77", "busybox", "true"];
        lab.ok(&[&["run", "--rm", "--network", "container:xx"][..], &sysctl].concat());
        assert_eq!(lab.ok(&["exec", "xx", "cat", "/proc/sys/net/ipv4/ip_default_ttl"]), "77");
    });
}

#[test]
fn a_pid_namespace_is_shared_and_ends_with_its_first_process() {
    with_one_client(|lab| {
        lab.ok(&["run", "-d", "--name", "xx", "busybox", "sleep", "3601"]);
        lab.ok(&[
            "run",
            "-d",
            "--name",
            "jj",
            "--pid",
            "container:xx",
            "busybox",
            "sh",
            "-c",
            "sleep 3602 & sleep 3603",
        ]);
        let seen = lab.ok(&["exec", "jj", "ps"]);
        assert!(
            seen.lines().nth(1).unwrap().trim().starts_with("1 root") && seen.contains("sleep 3602"),
            "{seen}"
        );
        assert_eq!(lab.ok(&["top", "jj"]).lines().count(), 3);
        // The end of a guest takes its other processes along, and no process of the host's.
        lab.ok(&["kill", "jj"]);
        let left = lab.ok(&["exec", "xx", "ps"]);
        assert!(left.contains("sleep 3601") && !left.contains("sleep 3602"), "{left}");
        lab.ok(&["start", "jj"]);
        lab.ok(&["kill", "xx"]);
        let state = || lab.ok(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "jj"]);
        assert_eq!(eventually(state, |state| state.starts_with("exited")), "exited 137");
    });
}

#[test]
fn ipc_is_shared_where_its_owner_lets_it() {
    with_one_client(|lab| {
        lab.ok(&[
            "run",
            "-d",
            "--name",
            "ss",
            "--ipc",
            "shareable",
            "--shm-size",
            "1m",
            "busybox",
            "sleep",
            "3600",
        ]);
        lab.ok(&["exec", "ss", "sh", "-c", "echo shared > /dev/shm/note"]);
        let join = ["run", "--rm", "--ipc", "container:ss", "busybox"];
        let seen = lab.ok(&[
            &join[..],
            &["sh", "-c", "cat /dev/shm/note; readlink /proc/self/ns/ipc; grep /dev/shm /proc/mounts"],
        ]
        .concat());
        let lines: Vec<_> = seen.lines().collect();
        assert_eq!(lines[..2], ["shared", namespace(lab, "ss", "ipc").as_str()]);
        assert!(
            lines[2].starts_with("shm /dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,size=1024k"),
            "{seen}"
        );
        // A guest may have guests of its own.
        lab.ok(&["run", "-d", "--name", "gg", "--ipc", "container:ss", "busybox", "sleep", "3600"]);
        assert_eq!(
            lab.ok(&["run", "--rm", "--ipc", "container:gg", "busybox", "cat", "/dev/shm/note"]),
            "shared"
        );
        for (mode, message) in [
            ("private", "non-shareable IPC (hint: use IpcMode:shareable for the donor container)"),
            ("none", "non-shareable IPC (hint: use IpcMode:shareable for the donor container)"),
        ] {
            lab.ok(&["run", "-d", "--name", mode, "--ipc", mode, "busybox", "sleep", "3600"]);
            let came = lab.docker(&["run", "--rm", "--ipc", &format!("container:{mode}"), "busybox", "true"]);
            let told = format!("can't join IPC of container {}: {message}", id(lab, mode));
            assert!(came.code == 125 && came.err.contains(&told), "{came:?}");
        }
        // What was mounted for sharing goes with its container.
        lab.ok(&["rm", "-f", "ss", "gg"]);
        let mounts = std::fs::read_to_string(format!("/proc/{}/mounts", lab.processes()[0])).unwrap();
        assert!(!mounts.contains("mounts/shm"), "{mounts}");
    });
}

#[test]
fn who_does_not_run_cannot_be_joined() {
    with_one_client(|lab| {
        lab.ok(&["create", "--name", "asleep", "--ipc", "shareable", "busybox", "true"]);
        let id = id(lab, "asleep");
        for (flag, message) in [
            ("--network=container:asleep", format!("cannot join network of a non running container: {id}")),
            (
                "--ipc=container:asleep",
                format!("can't join IPC of container {id}: container {id} is not running"),
            ),
            ("--pid=container:asleep", format!("container {id} is not running")),
            ("--network=container:nobody", "No such container: nobody".into()),
            ("--ipc=container:nobody", "No such container: nobody".into()),
            ("--pid=container:nobody", "No such container: nobody".into()),
        ] {
            let came = lab.docker(&["run", "--rm", flag, "busybox", "true"]);
            assert!(came.code == 125 && came.err.contains(&format!("daemon: {message}")), "{flag}: {came:?}");
        }
        // A network's container may come later; a pid namespace's may not.
        assert_eq!(lab.docker(&["create", "--pid", "container:nobody", "busybox"]).code, 1);
        lab.ok(&["create", "--name", "waits", "--network", "container:nobody", "busybox", "true"]);
        let came = lab.docker(&["start", "waits"]);
        assert!(came.err.contains("daemon: No such container: nobody"), "{came:?}");
    });
}

#[test]
fn what_belongs_to_somebody_else_s_network_is_refused() {
    with_each_client(|lab| {
        lab.ok(&["run", "-d", "--name", "xx", "busybox", "sleep", "3600"]);
        for (flags, conflict) in [
            (&["--hostname", "foo"][..], "hostname and the network mode"),
            (&["--dns", "1.1.1.1"], "dns and the network mode"),
            (&["--add-host", "a:1.1.1.1"], "custom host-to-IP mapping and the network mode"),
            (&["-p", "80:80"], "port publishing and the container type network mode"),
            (&["-P"], "port publishing and the container type network mode"),
            (&["--expose", "80"], "port exposing and the container type network mode"),
        ] {
            let joined: &[&str] = &["run", "--rm", "--network", "container:xx"];
            let came = lab.docker(&[joined, flags, &["busybox", "true"]].concat());
            let told = format!("conflicting options: {conflict}");
            assert!(came.code == 125 && came.err.contains(&told), "{flags:?}: {came:?}");
        }
        let came = lab.docker(&["run", "--rm", "--uts", "host", "--hostname", "foo", "busybox", "true"]);
        assert!(came.err.contains("conflicting options: hostname and the UTS mode"), "{came:?}");
        let shown =
            lab.ok(&["run", "--rm", "--network", "container:xx", "--uts", "host", "busybox", "hostname"]);
        assert_eq!(shown, lab.ok(&["run", "--rm", "--network", "host", "busybox", "hostname"]));
    });
}

/// What is left of a container that shares a pid namespace is ended by the number of its mount namespace, and the kernel gives a free
/// number to the next container.
#[test]
fn the_end_of_one_that_shares_pids_is_not_the_end_of_another() {
    with_one_client(|lab| {
        let ends = || {
            for _ in 0..80 {
                lab.ok(&["run", "--rm", "--network", "none", "--pid", "host", "busybox", "true"]);
            }
        };
        let lives = || {
            for _ in 0..80 {
                assert_eq!(
                    lab.ok(&["run", "--rm", "--network", "none", "busybox", "echo", "lives"]),
                    "lives"
                );
            }
        };
        std::thread::scope(|scope| {
            let all = [scope.spawn(ends), scope.spawn(lives), scope.spawn(ends), scope.spawn(lives)];
            // A panic says which run it was.
            all.into_iter().for_each(|one| one.join().unwrap());
        });
    });
}
