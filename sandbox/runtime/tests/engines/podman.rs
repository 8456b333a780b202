//! `podman --runtime …`: one session of commands in namespaces of its own, in which conmon stays with each container.

use super::{LOOK, NAMESPACES, Place, SHELL, TIMEOUT, obstacle, skip, text, told};
use std::process::{Command, Stdio};

/// A session takes ten seconds where podman works; where a command of it hangs, the session says what everything in it is at.
const SESSION_SECONDS_MAX: &str = "300";

/// Locks in shared memory are podman's habit, named alike for all podmans of a machine: `/dev/shm` is the session's own.
/// Each line of the session is `NAME status output…`, the output with its newlines as spaces. The output goes by way of a file: what
/// a command leaves behind cannot hold that open.
const SESSION: &str = r#"
ip link set lo up; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /dev/shm
own="timeout $timeout podman --root /run/root --runroot /run/runroot --tmpdir /run/tmp --events-backend=file --cgroup-manager=cgroupfs"
podman="$own --runtime $place/runtime"
tell() {
  name=$1; shift; began=$(date +%s)
  (sleep 30; echo "$name hangs:"; sh -c "$look") >&2 & watch=$!
  "$@" >/run/out 2>&1 </dev/null
  echo "$name $? $(tr '\n\r' '  ' </run/out)"
  kill $watch; echo "$name: $(($(date +%s) - began)) s" >&2
}
# What a program writes just before its end is not always shown: podman and conmon may be too late, whatever the runtime.
# Podman asks for as many open files as root may have; on some machines root may not.
run="run --network none --cgroup-parent /$group --ulimit nofile=1024:1024 --ulimit nproc=1024:1024"
tell import $own import "$place/image.tar" box
tell works $own $run --rm box true
tell true $podman $run --rm box true
tell status $podman $run --rm box sh -c 'echo out; exit 7'
tell absent $podman $run --rm box no-such-program
tell terminal script -qec "$podman $run -it --rm box sh -c 'tty; sleep 1; exit 3'" /dev/null
tell limited $podman $run --rm --pids-limit 20 box sh -c 'for i in $(seq 60); do sleep 2 & done; echo unbounded'
tell left $podman $run -d --name c box sleep 1000
tell exec $podman exec c sh -c 'id -u; exit 5'
tell pause $podman pause c
tell paused $podman inspect --format '{{.State.Status}}' c
tell unpause $podman unpause c
tell kill $podman kill c
tell wait $podman wait c
tell remove $podman rm -f c
tell none $podman ps -aq
"#;

#[test]
fn podman_run_and_all_that_follows() {
    if let Some(why) = obstacle(&["/usr/bin/podman", "/usr/bin/script"]) {
        return skip(&why);
    }
    let place = Place::new("podman");
    let output = Command::new("timeout")
        .args(["--kill-after=5", SESSION_SECONDS_MAX, "unshare"])
        .args(NAMESPACES)
        .args(["sh", "-c", SESSION])
        .env("place", place.folder.path())
        .env("group", &place.group)
        .env("timeout", TIMEOUT.join(" "))
        .env("look", LOOK)
        .env("SHELL", SHELL)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let session = text(&output.stdout);
    let line = |name: &str| {
        let mut lines = session.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        lines.next().unwrap_or_else(|| panic!("no {name}: {}", told(&output))).trim().to_owned()
    };
    // This was with the runtime that podman has by itself.
    if line("works") != "0" {
        return skip(&format!("podman does not work here with its own runtime: {}", told(&output)));
    }
    assert_eq!(line("true"), "0", "{}", told(&output));
    assert_eq!(line("status"), "7 out");
    let absent = line("absent");
    assert!(absent.starts_with("127 ") && absent.contains("executable file not found in $PATH"), "{absent}");
    assert!(
        line("terminal").starts_with('3') && line("terminal").contains("/dev/pts/0"),
        "{}",
        line("terminal")
    );
    assert!(
        line("limited").contains("can't fork") && !line("limited").contains("unbounded"),
        "{}",
        line("limited")
    );
    assert!(line("left").starts_with("0 "), "{}", line("left"));
    assert_eq!(line("exec"), "5 0");
    assert!(line("pause").starts_with('0') && line("unpause").starts_with('0'), "{session}");
    assert_eq!(line("paused"), "0 paused");
    assert!(line("kill").starts_with('0'), "{session}");
    assert_eq!(line("wait"), "0 137");
    assert!(line("remove").starts_with('0'), "{session}");
    assert_eq!(line("none"), "0");
    assert_eq!(place.groups_left(), [] as [std::path::PathBuf; 0]);
    let calls = place.calls();
    for command in ["create ", "start ", "kill ", "delete ", "exec ", "pause ", "resume "] {
        assert!(calls.contains(command), "podman has never called {command:?}:\n{calls}");
    }
}
