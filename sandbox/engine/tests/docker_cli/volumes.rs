//! Files of the lab host and volumes in containers: `-v`, `--mount`, `--volumes-from`, `docker volume`, in the words of
//! dockerd 20.10.24.
//!
//! `/mnt` is the lab's own: what `-v` makes there is gone with the lab.

use crate::daemon::Machine;
use crate::lab::Lab;
use crate::{eventually, with_each_client, with_one_client};

/// Runs a shell command in a fresh container with these options.
#[track_caller]
fn sh(lab: &Lab, options: &[&str], script: &str) -> String {
    lab.ok(&[&["run", "--rm"], options, &["busybox", "sh", "-c", script]].concat())
}

/// The line of mountinfo for a place in a container: its options and what is mounted.
fn mount(lab: &Lab, options: &[&str], place: &str) -> String {
    sh(lab, options, &format!("grep ' {place} ' /proc/self/mountinfo | cut -d' ' -f6-"))
}

#[test]
fn a_directory_of_the_host_is_seen_in_containers() {
    with_each_client(|lab| {
        assert_eq!(sh(lab, &["-v", "/mnt/new/dir:/x"], "echo one > /x/file; stat -c %a /x"), "755");
        assert_eq!(sh(lab, &["-v", "/mnt/new:/y"], "cat /y/dir/file"), "one");
        // A file, over one that is there and over none, whose parents are made.
        assert_eq!(sh(lab, &["-v", "/mnt/new/dir/file:/etc/passwd"], "cat /etc/passwd"), "one");
        assert_eq!(sh(lab, &["-v", "/mnt/new/dir/file:/a/b/c"], "cat /a/b/c"), "one");
        let ro = sh(lab, &["-v", "/mnt/new:/y:ro"], "touch /y/x 2>&1; cat /y/dir/file");
        assert_eq!(ro, "touch: /y/x: Read-only file system\none");
        let mounted = ["--mount", "type=bind,src=/mnt/new/dir,dst=/z,readonly"];
        assert!(mount(lab, &mounted, "/z").starts_with("ro,"));
        // What lies above is mounted first, whatever the order.
        let nested = ["-v", "/mnt/new/dir:/x/y", "-v", "/mnt/top:/x", "--tmpfs", "/x/y/z:size=1m"];
        assert_eq!(sh(lab, &nested, "cat /x/y/file; df -m /x/y/z | tail -n 1 | awk '{print $2}'"), "one\n1");
        // The container's own files and /dev/shm can be replaced.
        assert_eq!(sh(lab, &["-v", "/mnt/new/dir/file:/etc/hosts"], "cat /etc/hosts"), "one");
        assert_eq!(sh(lab, &["-v", "/mnt/new/dir:/dev/shm"], "ls /dev/shm/file"), "/dev/shm/file");
        assert!(mount(lab, &["-v", "/mnt/new:/x:rprivate"], "/x").starts_with("rw,"));
    });
}

#[test]
fn a_tmpfs_has_what_was_asked_for() {
    with_one_client(|lab| {
        let options = ["--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700"];
        let found = mount(lab, &options, "/t");
        assert!(found.starts_with("rw,nosuid,nodev,noexec,relatime"), "{found}");
        assert!(found.contains("size=1024k") && found.contains("mode=700"), "{found}");
        let found = mount(lab, &["--mount", "type=tmpfs,dst=/t,readonly"], "/t");
        assert!(found.starts_with("ro,nosuid,nodev,noexec"), "{found}");
    });
}

#[test]
fn a_volume_outlives_its_containers() {
    with_each_client(|lab| {
        sh(lab, &["-v", "data:/d"], "echo kept > /d/file");
        assert_eq!(sh(lab, &["--mount", "src=data,dst=/e"], "cat /e/file"), "kept");
        assert_eq!(lab.ok(&["volume", "ls", "-q"]), "data");
        let path = lab.ok(&["volume", "inspect", "-f", "{{.Mountpoint}}", "data"]);
        assert!(path.ends_with("/volumes/data/_data"), "{path}");
        assert_eq!(sh(lab, &["-v", &format!("{path}:/p")], "cat /p/file"), "kept");
        lab.ok(&["create", "--name", "holder", "-v", "data:/d:ro", "busybox"]);
        let id = lab.ok(&["inspect", "-f", "{{.Id}}", "holder"]);
        let refused = lab.docker(&["volume", "rm", "data"]);
        assert_eq!(refused.code, 1);
        let told = format!("Error response from daemon: remove data: volume is in use - [{id}]\n");
        assert_eq!(refused.err, told);
        assert_eq!(lab.ok(&["volume", "ls", "-q", "-f", "dangling=true"]), "");
        assert_eq!(lab.ok(&["ps", "-aq", "--no-trunc", "-f", "volume=data"]), id);
        lab.ok(&["rm", "-v", "holder"]);
        assert_eq!(lab.ok(&["volume", "ls", "-q", "-f", "dangling=true"]), "data");
        lab.ok(&["volume", "rm", "data"]);
        let refused = lab.docker(&["volume", "rm", "data"]);
        assert!(refused.err.contains("o such volume"), "{refused:?}");
    });
}

#[test]
fn what_the_image_has_is_copied_into_a_new_volume() {
    with_one_client(|lab| {
        assert_eq!(sh(lab, &["-v", "conf:/etc"], "ls /etc/passwd; stat -c %a /etc"), "/etc/passwd\n755");
        sh(lab, &["-v", "conf:/c"], "rm /c/passwd");
        // Only while it is empty.
        assert_eq!(
            sh(lab, &["-v", "conf:/etc"], "ls /etc/passwd 2>&1 || true"),
            "ls: /etc/passwd: No such file or directory"
        );
        assert_eq!(
            sh(lab, &["-v", "bare:/etc:nocopy"], "ls /etc/plain 2>&1 || true"),
            "ls: /etc/plain: No such file or directory"
        );
        // The owner and the mode of the directory itself too.
        lab.ok(&["run", "--name", "own", "busybox", "sh", "-c", "true"]);
        assert_eq!(
            sh(lab, &["-v", "/bin"], "ls /bin | grep -cx busybox; test -L /bin/ls && echo link"),
            "1\nlink"
        );
        let over = lab.docker(&["run", "--rm", "-v", "filed:/etc/passwd", "busybox", "true"]);
        assert!(over.code == 125 && over.err.contains("/merged/etc/passwd is not directory"), "{over:?}");
        let over = lab.docker(&["run", "--rm", "-v", "/etc/passwd", "busybox", "true"]);
        assert!(over.err.contains("cannot mount volume over existing file, file exists"), "{over:?}");
        // A link of the image that leads out leads nowhere.
        assert_eq!(lab.ok(&["volume", "ls", "-q"]), "bare\nconf\nfiled");
    });
}

#[test]
fn volumes_without_a_name_go_with_their_container() {
    with_one_client(|lab| {
        let count = || lab.ok(&["volume", "ls", "-q"]).lines().count();
        sh(lab, &["-v", "/anon", "-v", "named:/n"], "touch /anon/x /n/x");
        assert_eq!(count(), 1);
        lab.ok(&["create", "--name", "aa", "-v", "/anon", "busybox"]);
        lab.ok(&["rm", "aa"]);
        assert_eq!(count(), 2);
        lab.ok(&["create", "--name", "bb", "-v", "/anon", "-v", "named:/n", "busybox"]);
        lab.ok(&["create", "--name", "cc", "--volumes-from", "bb", "busybox"]);
        assert_eq!(count(), 3);
        // Another container has it still.
        lab.ok(&["rm", "-v", "bb"]);
        assert_eq!(count(), 3);
        lab.ok(&["rm", "-v", "cc"]);
        assert_eq!(count(), 2);
        // A create that is refused leaves none.
        let refused = lab.docker(&["create", "-v", "/one", "-v", "x!:/two", "busybox"]);
        assert!(refused.err.contains("create x!: \"x!\" includes invalid characters"), "{refused:?}");
        assert_eq!(count(), 2);
        let pruned = lab.ok(&["volume", "prune", "-f"]);
        assert!(pruned.starts_with("Deleted Volumes:"), "{pruned}");
        assert_eq!(count(), 0);
    });
}

#[test]
fn volumes_of_other_containers_are_taken_over() {
    with_one_client(|lab| {
        sh(lab, &["-v", "shared:/s"], "echo mine > /s/file");
        lab.ok(&["create", "--name", "giver", "-v", "shared:/s", "-v", "/mnt/b:/b:ro", "busybox"]);
        assert_eq!(
            sh(lab, &["--volumes-from", "giver"], "cat /s/file; touch /b/x 2>&1 || true"),
            "mine\ntouch: /b/x: Read-only file system"
        );
        assert_eq!(
            sh(lab, &["--volumes-from", "giver:ro"], "touch /s/x 2>&1 || true"),
            "touch: /s/x: Read-only file system"
        );
        // What is named itself goes before.
        assert_eq!(sh(lab, &["--volumes-from", "giver", "-v", "other:/s"], "ls /s"), "");
        let missing = lab.docker(&["create", "--volumes-from", "nosuch", "busybox"]);
        assert!(missing.err.contains("No such container: nosuch"), "{missing:?}");
    });
}

#[test]
fn inspect_tells_of_mounts() {
    with_one_client(|lab| {
        lab.ok(&[
            "create",
            "--name",
            "ii",
            "-v",
            "vol:/x",
            "-v",
            "/mnt/h:/y:ro",
            "-v",
            "vol2:/q:nocopy,ro",
            "--mount",
            "type=bind,src=/mnt,dst=/m",
            "--mount",
            "type=tmpfs,dst=/t",
            "-v",
            "/:/host",
            "busybox",
        ]);
        let format = "{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}} {{.Driver}} [{{.Mode}}] {{.RW}} [{{.Propagation}}]\n{{end}}";
        let mut told: Vec<_> = lab.ok(&["inspect", "-f", format, "ii"]).lines().map(str::to_owned).collect();
        told.sort();
        // A bind that shows the engine's own directory is a slave, as with Docker.
        assert_eq!(
            told,
            [
                "bind  /host  [] true [rslave]",
                "bind  /m  [] true [rslave]",
                "bind  /y  [ro] false [rprivate]",
                "tmpfs  /t  [] true []",
                "volume vol /x local [z] true []",
                "volume vol2 /q local [nocopy,ro] false []",
            ]
        );
        // The client does not keep their order.
        let mut binds: Vec<_> = lab
            .ok(&["inspect", "-f", "{{range .HostConfig.Binds}}{{println .}}{{end}}", "ii"])
            .lines()
            .map(str::to_owned)
            .collect();
        binds.sort();
        assert_eq!(binds, ["/:/host", "/mnt/h:/y:ro", "vol2:/q:nocopy,ro", "vol:/x"]);
        let names = lab.ok(&["ps", "-a", "--format", "{{.Mounts}} {{.LocalVolumes}}"]);
        assert!(names.contains("vol,") && names.ends_with(" 2"), "{names}");
    });
}

#[test]
fn volumes_are_made_listed_and_filtered() {
    with_each_client(|lab| {
        assert_eq!(lab.ok(&["volume", "create", "--label", "a=b", "--label", "c", "one"]), "one");
        assert_eq!(lab.ok(&["volume", "create", "one"]), "one");
        assert_eq!(lab.ok(&["volume", "create"]).len(), 64);
        assert_eq!(
            lab.ok(&["volume", "inspect", "-f", "{{json .Labels}} {{len .Options}} {{.Scope}}", "one"]),
            r#"{"a":"b","c":""} 0 local"#
        );
        let ls = |filter: &str| lab.ok(&["volume", "ls", "-q", "-f", filter]);
        assert_eq!(ls("label=a"), "one");
        assert_eq!(ls("label=a=b"), "one");
        assert_eq!(ls("label=a=c"), "");
        assert_eq!(ls("name=on"), "one");
        assert_eq!(ls("driver=local").lines().count(), 2);
        for (arguments, message) in [
            (&["volume", "ls", "-f", "foo=bar"][..], "Invalid filter 'foo'"),
            (&["volume", "ls", "-f", "dangling=maybe"], "Invalid filter 'dangling=[maybe]'"),
            (
                &["volume", "create", "x"],
                "create x: volume name is too short, names should be at least two alphanumeric characters",
            ),
            (&["volume", "create", "-o", "foo=bar", "t2"], "create t2: invalid option: \"foo\""),
            (
                &["volume", "create", "-o", "type=tmpfs", "t4"],
                "create t4: missing required option: \"device\"",
            ),
            (
                &["volume", "create", "-d", "nosuch", "t5"],
                "create t5: error looking up volume plugin nosuch: plugin \"nosuch\" not found",
            ),
            (&["volume", "inspect", "nosuch"], "o such volume"),
            (
                &["run", "--rm", "-v", "/etc:/x:shared", "busybox", "true"],
                "path /etc is mounted on / but it is not a shared mount",
            ),
            (
                &["run", "--rm", "--mount", "type=bind,src=/no/such,dst=/x", "busybox", "true"],
                "invalid mount config for type \"bind\": bind source path does not exist: /no/such",
            ),
            (
                &["run", "--rm", "-v", "/tmp:/proc/sys", "busybox", "true"],
                "/merged/proc/sys\" cannot be mounted because it is inside /proc: unknown",
            ),
            (
                &["run", "--rm", "-v", "/tmp:/etc/passwd", "busybox", "true"],
                "mount /tmp:/etc/passwd (via /proc/self/fd/6), flags: 0x5000: not a directory: unknown: Are you trying to \
                 mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected \
                 type",
            ),
            (
                &["run", "--rm", "-v", "/etc:/x", "-v", "/tmp:/x", "busybox", "true"],
                "Duplicate mount point: /x",
            ),
            (
                &["run", "--rm", "-v", "nam/e:/x", "busybox", "true"],
                "create nam/e: \"nam/e\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path",
            ),
        ] {
            let came = lab.docker(arguments);
            assert!(came.code != 0 && came.err.contains(message), "{arguments:?}: {came:?}");
        }
        lab.ok(&["volume", "rm", "-f", "nosuch"]);
        // What they take of the disk: one of 5000 bytes that nobody has, the other that a container holds.
        sh(lab, &["-v", "one:/o"], "head -c 5000 /dev/zero > /o/f");
        lab.ok(&["create", "-v", "two:/o", "busybox"]);
        let df = lab.ok(&[
            "system",
            "df",
            "--format",
            "{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}",
        ]);
        assert!(df.contains("Local Volumes 3 1 5kB 5kB (100%)"), "{df}");
        assert!(df.contains("Containers 1 0 0B 0B"), "{df}");
    });
}

#[test]
fn a_volume_can_mount_something() {
    with_one_client(|lab| {
        lab.ok(&[
            "volume",
            "create",
            "-o",
            "type=tmpfs",
            "-o",
            "device=tmpfs",
            "-o",
            "o=size=2m,uid=1000",
            "ram",
        ]);
        let found = sh(lab, &["-v", "ram:/r"], "df -m /r | tail -n 1 | awk '{print $1, $2}'; stat -c %u /r");
        assert_eq!(found, "tmpfs 2\n1000");
        // It is shared while it is mounted, and gone when nobody has it.
        lab.ok(&[
            "run",
            "-d",
            "--name",
            "r1",
            "-v",
            "ram:/r",
            "busybox",
            "sh",
            "-c",
            "echo x > /r/f; sleep 3600",
        ]);
        assert_eq!(
            eventually(|| sh(lab, &["-v", "ram:/r"], "cat /r/f 2>&1 || true"), |found| found == "x"),
            "x"
        );
        lab.ok(&["rm", "-f", "r1"]);
        assert_eq!(sh(lab, &["-v", "ram:/r"], "ls /r"), "");
        sh(lab, &["-v", "/mnt/source:/s"], "echo bound > /s/f");
        lab.ok(&[
            "volume",
            "create",
            "-o",
            "type=none",
            "-o",
            "device=/mnt/source",
            "-o",
            "o=bind,ro",
            "bound",
        ]);
        assert_eq!(
            sh(lab, &["-v", "bound:/b"], "cat /b/f; touch /b/x 2>&1 || true"),
            "bound\ntouch: /b/x: Read-only file system"
        );
        lab.ok(&["volume", "create", "-o", "type=none", "-o", "device=/no/such", "-o", "o=bind", "lost"]);
        let lost = lab.docker(&["run", "--rm", "-v", "lost:/l", "busybox", "true"]);
        assert!(
            lost.err.contains("error while mounting volume")
                && lost.err.contains("flags: 0x1000: no such file or directory"),
            "{lost:?}"
        );
        // Those are not pruned: what they mount may be somebody else's.
        lab.ok(&["volume", "prune", "-f"]);
        assert_eq!(lab.ok(&["volume", "ls", "-q"]), "bound\nlost\nram");
        let table = sh(
            lab,
            &["--pid", "host", "--privileged", "-v", "/proc:/hostproc"],
            "grep -c /volumes/ /hostproc/1/mountinfo || true",
        );
        assert_eq!(table, "0", "nothing stays mounted");
    });
}

#[test]
fn a_link_in_an_image_does_not_lead_a_volume_out() {
    with_one_client(|lab| {
        // The container makes links of its own root, is stopped, and gets volumes through them at its next start.
        let script = "rm -rf /tmp; ln -s /mnt /tmp; ln -s ../../../../../../mnt /home/up; sleep 3600";
        lab.ok(&[
            "run",
            "-d",
            "--name",
            "ln",
            "-v",
            "inner:/home/up/v",
            "-v",
            "/mnt/src:/tmp/w",
            "busybox",
            "sh",
            "-c",
            script,
        ]);
        let made = || lab.ok(&["exec", "ln", "sh", "-c", "readlink /home/up || true"]);
        eventually(made, |found| !found.is_empty());
        lab.ok(&["restart", "-t", "0", "ln"]);
        let inside =
            lab.ok(&["exec", "ln", "sh", "-c", "grep -cE ' /mnt/(v|w) ' /proc/self/mountinfo || true"]);
        let outside =
            sh(lab, &["-v", "/mnt:/hostmnt"], "ls -d /hostmnt/v /hostmnt/w 2>&1 | grep -c 'No such'");
        assert_eq!(outside, "2", "nothing was made on the lab host");
        assert!(["0", "1", "2"].contains(&inside.as_str()), "{inside}");
    });
}

#[test]
fn volumes_and_mounts_are_found_again_by_the_next_engine() {
    let Some(mut machine) = Machine::start() else { return };
    machine.engine();
    let ok = |machine: &Machine, arguments: &[&str]| {
        let came = machine.docker("a.sock", arguments);
        assert_eq!(came.code, 0, "docker {arguments:?}: {came:?}");
        came.out.trim().to_owned()
    };
    ok(&machine, &["volume", "create", "--label", "a=b", "data"]);
    ok(&machine, &["volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m", "ram"]);
    let mounts = ["-v", "data:/d", "-v", "/anon", "-v", "/mnt/h:/h:ro", "-v", "ram:/r"];
    let script = "echo kept > /d/f; echo kept > /anon/f; sleep 3600";
    let run = [&["run", "-d", "--name", "up"], &mounts[..], &["busybox", "sh", "-c", script]].concat();
    ok(&machine, &run);
    eventually(|| machine.docker("a.sock", &["exec", "up", "cat", "/anon/f"]).out, |out| out == "kept\n");
    let all = |machine: &Machine| {
        let mounts = ok(machine, &["inspect", "-f", "{{json .Mounts}}", "up"]);
        (mounts, ok(machine, &["volume", "inspect", "data"]), ok(machine, &["volume", "ls", "-q"]))
    };
    let before = all(&machine);
    machine.order("kill -9 $e; wait $e");
    machine.engine();
    assert_eq!(all(&machine), before);
    let left = machine.order("grep -cE '/mnt/data/(volumes|views)/' /proc/self/mounts; true");
    assert_eq!(left.trim(), "0", "what the killed engine had mounted is gone");
    let refused = machine.docker("a.sock", &["volume", "rm", "data"]);
    assert!(refused.err.contains("volume is in use"), "{refused:?}");
    ok(&machine, &["start", "up"]);
    assert_eq!(ok(&machine, &["exec", "up", "cat", "/d/f", "/anon/f"]), "kept\nkept");
    ok(&machine, &["rm", "-f", "-v", "up"]);
    assert_eq!(ok(&machine, &["volume", "ls", "-q"]), "data\nram");
}
