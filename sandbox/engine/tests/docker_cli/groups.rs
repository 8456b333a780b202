//! Control groups: what containers may use, and which devices they may open. Where an engine may make none (an ordinary user's
//! namespaces), it says so and goes on.

use crate::daemon::Machine;
use crate::lab::{Lab, skip};
use crate::{eventually, with_each_client};
use std::io::Write;
use std::path::Path;

/// Whether the engine has groups of version 1 here, with these controllers; told where not.
fn has_groups(lab: &Lab, controllers: &[&str]) -> bool {
    let told = lab.ok(&["info", "--format", "{{.CgroupDriver}} {{.CgroupVersion}}"]);
    let there = |controller: &&str| Path::new("/sys/fs/cgroup").join(controller).exists();
    let has = told == "cgroupfs 1" && controllers.iter().all(there);
    if !has {
        lacking(&format!("the engine's control groups are {told}, {controllers:?} wanted"));
    }
    has
}

/// Says what is lacking. An ordinary user has no control groups on any machine: that fails nowhere.
fn lacking(why: &str) {
    match rustix::process::getuid().is_root() {
        true => drop(skip::<()>(why)),
        false => drop(writeln!(std::io::stderr(), "SKIPPED as an ordinary user, because {why}")),
    }
}

#[test]
fn a_node_of_a_disk_cannot_be_opened() {
    with_each_client(|lab| {
        if !has_groups(lab, &["devices"]) {
            return;
        }
        // No device has this number: with leave to open it, the kernel says just that.
        let open = "mknod /d b 260 7 && cat /d";
        let run = |flags: &[&str]| {
            let came = lab.docker(&[&["run", "--rm"], flags, &["busybox", "sh", "-c", open]].concat());
            came.err.trim().rsplit(": ").next().unwrap_or_default().to_owned()
        };
        assert_eq!(run(&[]), "Operation not permitted");
        for leave in [&["--privileged"][..], &["--device-cgroup-rule", "b 260:* r"]] {
            assert_eq!(run(leave), "No such device or address", "{leave:?}");
        }
        assert_eq!(run(&["--device-cgroup-rule", "b 260:7 w"]), "Operation not permitted");
        lab.ok(&["run", "-d", "--name", "exec", "busybox", "sleep", "3600"]);
        let came = lab.docker(&["exec", "exec", "sh", "-c", open]);
        assert!(came.err.contains("Operation not permitted"), "{came:?}");
        let standard = "for d in null zero full tty random urandom ptmx; do : <>/dev/$d || echo $d; done 2>&1 | grep -v 'No such device'";
        assert_eq!(lab.docker(&["run", "--rm", "-t", "busybox", "sh", "-c", standard]).out, "");
    });
}

#[test]
fn the_machines_own_null_device_stays_as_it_is() {
    use std::os::unix::fs::MetadataExt;
    let before = std::fs::metadata("/dev/null").unwrap();
    with_each_client(|lab| {
        let script = "chmod 640 /dev/null && chown 5:5 /dev/null; chmod 640 /proc/keys; chown 5:5 /proc/keys; echo x >/dev/null";
        lab.docker(&["run", "--rm", "busybox", "sh", "-c", script]);
        let after = std::fs::metadata("/dev/null").unwrap();
        assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
    });
}

#[test]
fn limits_are_set_shown_and_changed() {
    with_each_client(|lab| {
        if !has_groups(lab, &["memory", "pids", "cpuset", "cpu"]) {
            return;
        }
        lab.ok(&[
            &[
                "run",
                "-d",
                "--name",
                "held",
                "--memory",
                "64m",
                "--memory-reservation",
                "32m",
                "--pids-limit",
                "20",
            ][..],
            &["--cpus", "0.5", "--cpuset-cpus", "0", "busybox", "sleep", "3600"],
        ]
        .concat());
        let inside = |file: &str| lab.ok(&["exec", "held", "cat", &format!("/sys/fs/cgroup/{file}")]);
        assert_eq!(inside("memory/memory.limit_in_bytes"), (64 << 20).to_string());
        assert_eq!(inside("memory/memory.soft_limit_in_bytes"), (32 << 20).to_string());
        assert_eq!(inside("pids/pids.max"), "20");
        assert_eq!(
            (inside("cpu/cpu.cfs_quota_us"), inside("cpu/cpu.cfs_period_us")),
            ("50000".into(), "100000".into())
        );
        assert!(inside("memory/cgroup.procs").lines().count() > 1, "what is executed is in the group too");
        let limit = lab.ok(&["stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", "held"]);
        assert!(limit.ends_with("/ 64MiB 1"), "{limit}");
        lab.ok(&[
            "update",
            "--memory",
            "128m",
            "--memory-swap",
            "128m",
            "--pids-limit",
            "30",
            "--cpus",
            "1",
            "held",
        ]);
        assert_eq!(inside("memory/memory.limit_in_bytes"), (128 << 20).to_string());
        assert_eq!((inside("pids/pids.max"), inside("cpu/cpu.cfs_quota_us")), ("30".into(), "100000".into()));
        let shown = "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.NanoCpus}}";
        assert_eq!(lab.ok(&["inspect", "-f", shown, "held"]), format!("{} 30 1000000000", 128 << 20));
        lab.ok(&["restart", "-t", "0", "held"]);
        assert_eq!(inside("pids/pids.max"), "30");
        lab.ok(&["pause", "held"]);
        let frozen =
            lab.groups.directories().into_iter().find(|group| group.starts_with("/sys/fs/cgroup/freezer"));
        let id = lab.ok(&["inspect", "-f", "{{.Id}}", "held"]);
        let state = std::fs::read_to_string(frozen.unwrap().join(id).join("freezer.state")).unwrap();
        assert_eq!(state, "FROZEN\n");
        lab.ok(&["rm", "-f", "held"]);
        let left = lab
            .groups
            .directories()
            .into_iter()
            .flat_map(|group| std::fs::read_dir(group).unwrap().flatten());
        assert_eq!(left.filter(|entry| entry.path().is_dir()).count(), 0);
    });
}

#[test]
fn who_takes_too_much_memory_is_ended_and_that_is_told() {
    with_each_client(|lab| {
        if !has_groups(lab, &["memory"]) {
            return;
        }
        // Files of a tmpfs are memory.
        let fill = "dd if=/dev/zero of=/t/x bs=1M count=64; exit 1";
        let run = ["--memory", "16m", "--memory-swap", "16m", "--tmpfs", "/t:size=100m", "busybox"];
        let came = lab
            .docker(&[&["run", "--name", "full"], &run[..], &["sh", "-c", &format!("exec {fill}")]].concat());
        assert_eq!(came.code, 137, "{came:?}");
        assert_eq!(lab.ok(&["inspect", "-f", "{{.State.OOMKilled}}", "full"]), "true");
        let words =
            ["--since", "1h", "--until", "0s", "--filter", "container=full", "--format", "{{.Action}}"];
        let told = || lab.ok(&[&["events"], &words[..]].concat());
        let told = eventually(told, |told| told.contains("die"));
        assert!(told.contains("oom\ndie"), "{told}");
    });
}

#[test]
fn a_part_of_version_2_that_was_handed_over_is_used() {
    let root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].into_iter().map(Path::new);
    let Some(root) = root.into_iter().find(|root| root.join("cgroup.controllers").exists()) else {
        return lacking("version 2 of control groups is not mounted");
    };
    let Some(mut machine) = Machine::start() else { return };
    let part = root.join(&machine.groups.path()[1..]);
    if let Err(error) = std::fs::create_dir(&part) {
        return lacking(&format!("a part of version 2 cannot be handed over: {}: {error}", part.display()));
    }
    machine.order(&format!(
        "cat >/mnt/handed <<'END'\necho $$ >{}/cgroup.procs\nexec unshare --cgroup sh -c '{}' sh \"$@\"\nEND",
        part.display(),
        "umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec \"$@\"",
    ));
    machine.engine_through("sh /mnt/handed");
    let ok = |machine: &Machine, arguments: &[&str]| {
        let came = machine.docker("a.sock", arguments);
        assert_eq!(came.code, 0, "{arguments:?}: {came:?}");
        came.out.trim().to_owned()
    };
    assert_eq!(ok(&machine, &["info", "--format", "{{.CgroupDriver}} {{.CgroupVersion}}"]), "cgroupfs 2");
    let warned = ok(&machine, &["info", "--format", "{{.Warnings}}"]);
    assert!(!warned.contains("No rules about devices"), "{warned}");
    // No device has this number: with leave to open it, the kernel says just that.
    let open = "mknod /d b 260 7 && cat /d";
    for (flags, told) in [
        (&[][..], "Operation not permitted"),
        (&["--privileged"], "No such device or address"),
        (&["--device-cgroup-rule", "b 260:* r"], "No such device or address"),
        (&["--device-cgroup-rule", "b 260:7 w"], "Operation not permitted"),
    ] {
        let run = [&["run", "--rm"], flags, &["busybox", "sh", "-c", open]].concat();
        let came = machine.docker("a.sock", &run);
        assert!(came.err.trim().ends_with(told), "{flags:?}: {came:?}");
    }
    let standard = "for d in null zero full random urandom; do head -c1 /dev/$d >/dev/null || echo $d; done";
    assert_eq!(ok(&machine, &["run", "--rm", "busybox", "sh", "-c", standard]), "");
    assert_eq!(machine.order("cat /sys/fs/cgroup/init/cgroup.procs | grep -cx $e"), "1\n");
    let id = ok(&machine, &["run", "-d", "--name", "it", "busybox", "sleep", "3600"]);
    let group = format!("/sys/fs/cgroup{}/{id}", machine.groups.path());
    ok(&machine, &["exec", "-d", "it", "sleep", "3601"]);
    assert_eq!(machine.order(&format!("wc -l <{group}/cgroup.procs")), "2\n");
    assert!(ok(&machine, &["exec", "it", "cat", "/proc/self/cgroup"]).ends_with("0::/"));
    ok(&machine, &["pause", "it"]);
    assert_eq!(machine.order(&format!("cat {group}/cgroup.freeze")), "1\n");
    machine.order("kill -9 $e; wait $e");
    machine.engine_through("sh /mnt/handed");
    assert_eq!(machine.order(&format!("ls -d {group} 2>&1 | grep -c cannot")), "1\n");
    assert_eq!(machine.order("kill $e; wait $e; echo $?"), "0\n");
}
