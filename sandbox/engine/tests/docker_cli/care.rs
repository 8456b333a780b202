//! Looking after containers: health checks, stats, updates, filters and sizes of lists, pruning.

use crate::{Lab, eventually, with_each_client, with_one_client};
use serde_json::Value;

fn inspect(lab: &Lab, name: &str) -> Value {
    serde_json::from_str::<Value>(&lab.ok(&["inspect", name])).unwrap()[0].take()
}

#[test]
fn health_checks() {
    with_each_client(|lab| {
        let check = "--health-cmd=cat /well; test -e /well";
        lab.ok(&[
            "run",
            "-d",
            "--name",
            "it",
            check,
            "--health-interval=100ms",
            "--health-retries=2",
            "busybox",
            "sh",
            "-c",
            "echo fine >/well; sleep 3600",
        ]);
        let status = || lab.ok(&["inspect", "-f", "{{.State.Health.Status}}", "it"]);
        assert_eq!(eventually(status, |status| status == "healthy"), "healthy");
        assert!(lab.ok(&["ps", "--format", "{{.Status}}"]).ends_with(" (healthy)"));
        assert_eq!(lab.ok(&["ps", "--filter", "health=healthy", "--format", "{{.Names}}"]), "it");
        assert_eq!(lab.ok(&["ps", "-q", "--filter", "health=unhealthy"]), "");
        lab.ok(&["exec", "it", "rm", "/well"]);
        assert_eq!(eventually(status, |status| status == "unhealthy"), "unhealthy");
        assert!(lab.ok(&["ps", "--format", "{{.Status}}"]).ends_with(" (unhealthy)"));
        let failures = || inspect(lab, "it")["State"]["Health"].take();
        let many = |health: &Value| health["FailingStreak"].as_u64() > Some(5);
        let health = eventually(failures, many);
        assert_eq!(health["Log"].as_array().unwrap().len(), 5, "{health}");
        let last = &health["Log"][4];
        assert_eq!(last["ExitCode"], 1);
        assert_eq!(last["Output"], "cat: can't open '/well': No such file or directory\n");
        // The command line cuts `until` to whole seconds: what has just happened is not in it yet.
        let events = || lab.ok(&["events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}"]);
        let events = eventually(events, |events| events.contains("unhealthy"));
        for action in ["health_status: healthy", "health_status: unhealthy", "exec_die"] {
            assert!(events.lines().any(|line| line == action), "{action}: {events}");
        }
        assert!(events.contains("exec_create: /bin/sh -c cat /well"), "{events}");
        lab.ok(&["stop", "-t", "0", "it"]);
        assert_eq!(status(), "unhealthy", "what was found is kept to be read");
        assert!(!lab.ok(&["ps", "-a", "--format", "{{.Status}}"]).contains("health"));
        // Nothing is checked that does not run.
        let count = || lab.ok(&["events", "--since", "1h", "--until", "0s", "--filter", "event=exec_start"]);
        let before = count();
        lab.ok(&["start", "it"]);
        assert!(["starting", "healthy"].contains(&status().as_str()));
        assert_ne!(eventually(count, |now| *now != before), before);
        lab.ok(&["rm", "-f", "it"]);
        // One that takes too long is ended, and counts as failed.
        lab.ok(&[
            "run",
            "-d",
            "--name",
            "slow",
            "--health-cmd=sleep 3600",
            "--health-interval=50ms",
            "--health-timeout=200ms",
            "--health-retries=1",
            "busybox",
            "sleep",
            "3599",
        ]);
        let health = || inspect(lab, "slow")["State"]["Health"].take();
        let health = eventually(health, |health| health["Status"] == "unhealthy");
        assert_eq!(health["Log"][0]["Output"], "Health check exceeded timeout (200ms)");
        assert_eq!(health["Log"][0]["ExitCode"], -1);
        let sleepers = || lab.ok(&["top", "slow"]).matches("sleep 3600").count();
        assert!(eventually(sleepers, |&count| count <= 1) <= 1, "checks that nobody waits for go on");
        lab.ok(&["rm", "-f", "slow"]);
        lab.ok(&["run", "-d", "--name", "none", "--no-healthcheck", "busybox", "sleep", "3600"]);
        assert!(inspect(lab, "none")["State"].get("Health").is_none());
        let came = lab.docker(&["create", "--health-cmd=x", "--health-interval=100us", "busybox"]);
        assert!(came.err.contains("Interval in Healthcheck cannot be less than 1ms"), "{came:?}");
        lab.ok(&["rm", "-f", "none"]);
    });
}

#[test]
fn stats_count_what_is_used() {
    with_each_client(|lab| {
        lab.ok(&[
            "run",
            "-d",
            "--name",
            "busy",
            "busybox",
            "sh",
            "-c",
            "while :; do (while :; do true; done) & sleep 1; kill $!; wait; done",
        ]);
        lab.ok(&["run", "-d", "--name", "idle", "busybox", "sleep", "3600"]);
        lab.ok(&["create", "--name", "down", "busybox"]);
        let format = "{{.Name}}|{{.CPUPerc}}|{{.MemUsage}}|{{.NetIO}}|{{.BlockIO}}|{{.PIDs}}";
        let table = lab.ok(&["stats", "--no-stream", "--format", format, "busy", "idle", "down"]);
        let row = |name: &str| {
            let row = table.lines().find(|line| line.starts_with(&format!("{name}|")));
            row.unwrap_or_else(|| panic!("{name} in {table}"))
                .split('|')
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let percent = |row: &[String]| row[1].trim_end_matches('%').parse::<f64>().unwrap();
        let (busy, idle, down) = (row("busy"), row("idle"), row("down"));
        // How much it gets depends on what else the machine does.
        assert!(percent(&busy) > 1.0 && percent(&idle) < 1.0, "{table}");
        assert!(busy[5].parse::<u32>().unwrap() >= 2, "{table}");
        assert_eq!((idle[5].as_str(), down[5].as_str()), ("1", "0"), "{table}");
        assert!(!idle[2].starts_with("0B ") && down[2].starts_with("0B "), "{table}");
        let all = lab.ok(&["stats", "--no-stream", "--format", "{{.Name}}"]);
        let mut names: Vec<_> = all.lines().collect();
        names.sort_unstable();
        assert_eq!(names, ["busy", "idle"]);
        lab.ok(&["rm", "-f", "busy", "idle", "down"]);
    });
}

#[test]
fn updates() {
    with_each_client(|lab| {
        lab.ok(&["run", "-d", "--name", "it", "busybox", "sh", "-c", "sleep 3600 & wait"]);
        lab.ok(&["update", "--restart", "always", "it"]);
        assert_eq!(inspect(lab, "it")["HostConfig"]["RestartPolicy"]["Name"], "always");
        // The container ends with it, and perhaps before the exec does.
        lab.docker(&["exec", "it", "sh", "-c", "kill $(pidof sleep)"]);
        let count = || inspect(lab, "it")["RestartCount"].as_u64();
        assert_eq!(eventually(count, |&count| count == Some(1)), Some(1), "the new policy is not in force");
        let came = lab.docker(&["update", "--restart", "foo", "it"]);
        assert!(came.code == 1 && came.err.contains("invalid restart policy 'foo'"), "{came:?}");
        lab.ok(&["run", "-d", "--rm", "--name", "passing", "busybox", "sleep", "3600"]);
        let came = lab.docker(&["update", "--restart", "always", "passing"]);
        let message = "Restart policy cannot be updated because AutoRemove is enabled for the container";
        assert!(came.err.contains(message) && came.err.contains("Cannot update container"), "{came:?}");
        lab.ok(&["rm", "-f", "it", "passing"]);
    });
}

#[test]
fn lists_are_filtered_and_measured() {
    with_each_client(|lab| {
        lab.ok(&[
            "run",
            "--name",
            "wrote",
            "--label",
            "a=1",
            "busybox",
            "sh",
            "-c",
            "dd if=/dev/zero of=/x bs=1000 count=5",
        ]);
        lab.ok(&["create", "--name", "open", "--expose", "8000-8002", "busybox"]);
        assert!(
            lab.ok(&["ps", "-as", "--filter", "name=wrote", "--format", "{{.Size}}"])
                .starts_with("5kB (virtual ")
        );
        assert_eq!(lab.ok(&["inspect", "-s", "-f", "{{.SizeRw}}", "wrote"]), "5000");
        assert_eq!(lab.ok(&["ps", "-a", "--filter", "expose=8001", "--format", "{{.Names}}"]), "open");
        assert_eq!(lab.ok(&["ps", "-aq", "--filter", "publish=8001"]), "");
        assert_eq!(lab.ok(&["ps", "-aq", "--filter", "is-task=true"]), "");
        assert_eq!(lab.ok(&["ps", "-n", "1", "--format", "{{.Names}}"]), "open");
        for (filter, message) in [
            ("health=foo", "Unrecognised filter value for health: foo"),
            ("is-task=x", "Invalid filter 'is-task=[x]'"),
            ("status=foo", "Invalid filter 'status=foo'"),
            ("foo=x", "Invalid filter 'foo'"),
        ] {
            let came = lab.docker(&["ps", "--filter", filter]);
            assert!(
                came.code == 1 && came.err.to_lowercase().contains(&message.to_lowercase()),
                "{filter}: {came:?}"
            );
        }
        let pruned = lab.ok(&["container", "prune", "-f", "--filter", "label=a=1"]);
        assert!(
            pruned.starts_with("Deleted Containers:") && pruned.ends_with("Total reclaimed space: 5kB"),
            "{pruned}"
        );
        assert_eq!(lab.ok(&["ps", "-a", "--format", "{{.Names}}"]), "open");
        assert!(
            lab.ok(&["container", "prune", "-f", "--filter", "until=1h"])
                .ends_with("Total reclaimed space: 0B")
        );
        assert_eq!(lab.ok(&["ps", "-a", "--format", "{{.Names}}"]), "open");
        lab.ok(&["container", "prune", "-f"]);
        assert_eq!(lab.ok(&["ps", "-aq"]), "");
    });
}

#[test]
fn events_can_be_looked_up() {
    with_one_client(|lab| {
        let id = lab.ok(&["create", "--name", "it", "--label", "colour=red", "busybox", "true"]);
        lab.ok(&["rename", "it", "other"]);
        lab.ok(&["start", "-a", "other"]);
        lab.ok(&["rm", "other"]);
        // The command line cuts `until` to whole seconds: what has just happened is not in it yet.
        let now = || lab.ok(&["events", "--since", "1h", "--until", "0s", "--filter", "event=destroy"]);
        eventually(now, |events| !events.is_empty());
        let events = |more: &[&str]| {
            let words = ["events", "--since", "1h", "--until", "0s", "--format", "{{.Type}} {{.Action}}"];
            lab.ok(&[&words[..], more].concat()).lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let all = ["create", "rename", "attach", "start", "die", "destroy"]
            .map(|action| format!("container {action}"));
        assert_eq!(events(&["--filter", "type=container"]), all);
        assert_eq!(
            events(&[
                "--filter",
                "event=die",
                "--filter",
                "event=start",
                "--filter",
                &format!("container={id}")
            ])
            .len(),
            2
        );
        assert_eq!(events(&["--filter", "label=colour=red", "--filter", "type=container"]), all);
        assert_eq!(events(&["--filter", "label=colour=blue"]), Vec::<String>::new());
        // Docker passes over filters that it does not know.
        assert_eq!(events(&["--filter", "foo=x", "--filter", "type=container"]), all);
    });
}
