//! Lives with turns: restart policies, restarts by hand, pauses, signals.

use crate::lab::Came;
use crate::{Lab, eventually, with_each_client, with_one_client};

/// What `docker inspect -f` says of a container.
fn of(lab: &Lab, name: &str, template: &str) -> String {
    lab.ok(&["inspect", "-f", template, name])
}

#[test]
fn restart_policies() {
    with_each_client(|lab| {
        let came = lab.docker(&[
            "run",
            "--name",
            "twice",
            "--restart",
            "on-failure:2",
            "busybox",
            "sh",
            "-c",
            "echo hi; exit 3",
        ]);
        assert_eq!((came.code, came.out.as_str()), (3, "hi\n"), "{came:?}");
        let state = "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}";
        eventually(|| of(lab, "twice", state), |state| state == "exited 3 2");
        assert_eq!(of(lab, "twice", state), "exited 3 2");
        assert_eq!(lab.ok(&["logs", "twice"]), "hi\nhi\nhi");
        let policy = "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}";
        assert_eq!(of(lab, "twice", policy), "on-failure 2");
        // An end that is no failure is the last.
        lab.ok(&["run", "--name", "well", "--restart", "on-failure", "busybox", "true"]);
        assert_eq!(of(lab, "well", state), "exited 0 0");
        // One that always ends waits longer and longer, and is stopped while it waits.
        let id =
            lab.ok(&["run", "-d", "--name", "again", "--restart", "always", "busybox", "sh", "-c", "exit 4"]);
        let waits = |out: &String| out.starts_with("restarting 4");
        assert!(waits(&eventually(|| of(lab, "again", state), waits)));
        // It is looked at again where it has just been started: for a moment it runs then.
        let seen = "{{.State.Running}} {{.State.Restarting}} {{.State.Pid}}";
        let waiting = eventually(|| of(lab, "again", seen), |state| state == "true true 0");
        assert_eq!(waiting, "true true 0");
        let listed = |out: &String| out.starts_with("again Restarting (4) ");
        assert!(listed(&eventually(|| lab.ok(&["ps", "--format", "{{.Names}} {{.Status}}"]), listed)));
        for (arguments, message) in [
            (
                &["exec", "again", "true"][..],
                format!("Container {id} is restarting, wait until the container is running"),
            ),
            (
                &["exec", "-d", "again", "true"],
                format!("Container {id} is restarting, wait until the container is running"),
            ),
            (
                &["rm", "again"],
                format!(
                    "You cannot remove a restarting container {id}. Stop the container before attempting removal or force remove"
                ),
            ),
        ] {
            let refused = |came: &Came| came.code == 1 && came.err.contains(&message);
            let came = eventually(|| lab.docker(arguments), refused);
            assert!(refused(&came), "{arguments:?}: {came:?}");
        }
        lab.ok(&["stop", "-t", "0", "again"]);
        assert!(of(lab, "again", state).starts_with("exited "));
        lab.ok(&["rm", "again"]);
        // Killed by hand, it stays down; killed from inside, it comes back.
        lab.ok(&[
            "run",
            "-d",
            "--name",
            "up",
            "--restart",
            "unless-stopped",
            "busybox",
            "sh",
            "-c",
            "sleep 3600 & wait",
        ]);
        let pid = of(lab, "up", "{{.State.Pid}}");
        // The container ends with it, and perhaps before the exec does.
        lab.docker(&["exec", "up", "sh", "-c", "kill $(pidof sleep)"]);
        let other = |now: &String| *now != pid && now != "0";
        assert!(other(&eventually(|| of(lab, "up", "{{.State.Pid}}"), other)));
        assert_eq!(of(lab, "up", state), "running 0 1");
        lab.ok(&["kill", "up"]);
        assert_eq!(of(lab, "up", state), "exited 137 1");
        // A start by hand begins to count anew.
        lab.ok(&["start", "up"]);
        assert_eq!(of(lab, "up", state), "running 0 0");
        lab.ok(&["rm", "-f", "up"]);
    });
}

#[test]
fn restart_policies_that_docker_refuses() {
    with_one_client(|lab| {
        for (policy, message) in [
            ("foo", "invalid restart policy 'foo'"),
            ("always:3", "maximum retry count cannot be used with restart policy 'always'"),
            ("on-failure:-1", "maximum retry count cannot be negative"),
        ] {
            let came = lab.docker(&["create", "--restart", policy, "busybox"]);
            assert!(came.code != 0 && came.err.contains(message), "{came:?}");
        }
    });
}

#[test]
fn a_restart_by_hand_keeps_what_is_to_go_at_its_end() {
    with_each_client(|lab| {
        lab.ok(&[
            "run",
            "-d",
            "--rm",
            "--name",
            "passing",
            "busybox",
            "sh",
            "-c",
            "date +%N >>/runs; sleep 3600",
        ]);
        let runs = || lab.docker(&["exec", "passing", "wc", "-l", "/runs"]).out.trim().to_owned();
        // It runs before its shell has written anything.
        assert_eq!(eventually(runs, |out| out == "1 /runs"), "1 /runs");
        lab.ok(&["restart", "-t", "0", "passing"]);
        assert_eq!(eventually(runs, |out| out == "2 /runs"), "2 /runs");
        lab.ok(&["stop", "-t", "0", "passing"]);
        eventually(|| lab.ok(&["ps", "-aq"]), String::is_empty);
        assert_eq!(lab.ok(&["ps", "-aq"]), "");
        // One that does not run is started.
        lab.ok(&["create", "--name", "down", "busybox", "sleep", "3600"]);
        lab.ok(&["restart", "down"]);
        assert_eq!(of(lab, "down", "{{.State.Status}}"), "running");
    });
}

/// A number that counts up as fast as it can, in a container whose processes come and go.
const COUNTER: &str = "(while :; do true & done) & while :; do i=$((i+1)); echo $i >/count; done";

#[test]
fn a_paused_container_stands_still() {
    with_each_client(|lab| {
        let id = lab.ok(&["run", "-d", "--name", "it", "busybox", "sh", "-c", COUNTER]);
        // A process that was stopped before stays so.
        lab.ok(&["exec", "it", "sh", "-c", "sleep 3600 & kill -STOP $!; echo $! >/stopped"]);
        let root = of(lab, "it", "{{.GraphDriver.Data.UpperDir}}");
        let pid = lab.inside();
        let read = || std::fs::read_to_string(format!("/proc/{pid}/root{root}/count")).unwrap();
        lab.ok(&["pause", "it"]);
        let counts: Vec<_> = (0..50)
            .map(|_| {
                std::thread::sleep(std::time::Duration::from_millis(5));
                read()
            })
            .collect();
        assert!(counts.iter().all(|count| *count == counts[0]), "it goes on: {counts:?}");
        assert_eq!(
            of(lab, "it", "{{.State.Status}} {{.State.Running}} {{.State.Paused}}"),
            "paused true true"
        );
        assert!(lab.ok(&["ps", "--format", "{{.Status}}"]).ends_with(" (Paused)"));
        assert_eq!(lab.ok(&["ps", "-q", "--no-trunc", "--filter", "status=paused"]), id);
        for (arguments, message) in [
            (&["pause", "it"][..], format!("Container {id} is already paused")),
            (&["exec", "it", "true"], "Container it is paused, unpause the container before exec".into()),
            (&["attach", "it"], "You cannot attach to a paused container, unpause it first".into()),
            (&["start", "it"], "cannot start a paused container, try unpause instead".into()),
            (
                &["rm", "it"],
                format!(
                    "You cannot remove a paused container {id}. Unpause and then stop the container before attempting \
                     removal or force remove"
                ),
            ),
        ] {
            let came = lab.docker(arguments);
            assert!(
                came.code != 0 && came.err.to_lowercase().contains(&message.to_lowercase()),
                "{arguments:?}: {came:?}"
            );
        }
        lab.ok(&["unpause", "it"]);
        let last = counts[0].clone();
        assert_ne!(eventually(read, |count| *count != last && !count.is_empty()), last, "it does not go on");
        let state = lab.ok(&["exec", "it", "sh", "-c", "cut -d' ' -f3 /proc/$(cat /stopped)/stat"]);
        assert_eq!(state, "T", "what was stopped before was continued");
        let came = lab.docker(&["unpause", "it"]);
        assert!(came.err.contains(&format!("Container {id} is not paused")), "{came:?}");
        // A stop, a kill and a removal by force end it all the same.
        lab.ok(&["pause", "it"]);
        lab.ok(&["stop", "-t", "1", "it"]);
        assert_eq!(of(lab, "it", "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
        lab.ok(&["start", "it"]);
        lab.ok(&["pause", "it"]);
        lab.ok(&["kill", "it"]);
        lab.ok(&["start", "it"]);
        lab.ok(&["pause", "it"]);
        lab.ok(&["rm", "-f", "it"]);
        let came = lab.docker(&["pause", "it"]);
        assert!(came.err.contains("No such container: it"), "{came:?}");
    });
}

#[test]
fn a_pause_does_not_reach_beyond_the_container() {
    with_one_client(|lab| {
        let counter = "while :; do i=$((i+1)); echo $i >/count; done";
        lab.ok(&["run", "-d", "--name", "lender", "busybox", "sh", "-c", counter]);
        lab.ok(&["run", "-d", "--name", "guest", "--pid=container:lender", "busybox", "sh", "-c", counter]);
        lab.ok(&["run", "-d", "--name", "open", "--pid=host", "busybox", "sh", "-c", counter]);
        let states = |name: &str| {
            let rows = lab.ok(&["top", name, "-o", "pid,stat"]);
            rows.lines()
                .skip(1)
                .map(|row| row.split_whitespace().nth(1).unwrap()[..1].to_owned())
                .collect::<String>()
        };
        // Stopped by a signal, or by the freezer, which is told as a wait.
        let stands_still = |name: &str| matches!(states(name).as_str(), "T" | "D");
        for name in ["lender", "guest", "open"] {
            lab.ok(&["pause", name]);
            for other in ["lender", "guest", "open"] {
                assert_eq!(
                    stands_still(other),
                    other == name,
                    "{name} is paused, and {other} is {}",
                    states(other)
                );
            }
            lab.ok(&["unpause", name]);
        }
        lab.ok(&["rm", "-f", "guest", "open", "lender"]);
    });
}

#[test]
fn signals_by_name_and_number() {
    with_each_client(|lab| {
        let trap = "for s in HUP USR1 35 64; do trap \"echo got $s\" $s; done; echo ready; while :; do sleep 0.05; done";
        lab.ok(&["run", "-d", "--name", "it", "busybox", "sh", "-c", trap]);
        eventually(|| lab.ok(&["logs", "it"]), |out| out.contains("ready"));
        for (signal, told) in
            [("HUP", "got HUP"), ("SIGUSR1", "got USR1"), ("RTMIN+1", "got 35"), ("64", "got 64")]
        {
            lab.ok(&["kill", "-s", signal, "it"]);
            let out = eventually(|| lab.ok(&["logs", "it"]), |out| out.contains(told));
            assert!(out.contains(told), "{signal}: {out}");
        }
        let came = lab.docker(&["kill", "-s", "FOO", "it"]);
        assert!(came.err.contains("nvalid signal: FOO"), "{came:?}");
        lab.ok(&["rm", "-f", "it"]);
    });
}
