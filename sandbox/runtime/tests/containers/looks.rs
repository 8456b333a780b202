//! What a program sees that runs as `docker run` would run it: files, devices, identity, limits.

use crate::harness::{Outcome, Test};
use crate::need;
use crate::support::*;
use isolab_runtime::{Io, Rootfs, Stdio, Zygote, process, resize_terminal};
use nix::libc;
use serde_json::json;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;

pub const TESTS: &[Test] = &[
    ("looks::proc_sys_and_dev_are_as_docker_lays_them", proc_sys_and_dev_are_as_docker_lays_them),
    ("looks::what_docker_masks_is_masked", what_docker_masks_is_masked),
    (
        "looks::an_ordinary_user_has_no_capabilities_and_a_full_bounding_set",
        an_ordinary_user_has_no_capabilities,
    ),
    ("looks::root_has_dockers_capabilities", root_has_dockers_capabilities),
    ("looks::no_new_privileges_and_the_filter_hold", no_new_privileges_and_the_filter_hold),
    ("looks::limits_umask_groups_and_cwd_are_the_specs", limits_umask_groups_and_cwd_are_the_specs),
    ("looks::a_read_only_root_cannot_be_written_but_its_tmpfs_can", a_read_only_root_cannot_be_written),
    ("looks::a_volume_is_bound_and_read_only_where_asked", a_volume_is_bound_and_read_only_where_asked),
    ("looks::a_terminal_is_one_of_the_containers_own", a_terminal_is_one_of_the_containers_own),
    ("looks::the_network_is_a_loopback_that_is_up", the_network_is_a_loopback_that_is_up),
    ("looks::mounts_travel_out_through_a_shared_volume_only", mounts_travel_out_through_a_shared_volume_only),
    ("looks::a_single_id_needs_no_privileged_helper", a_single_id_needs_no_privileged_helper),
    ("looks::only_the_promised_descriptors_are_inherited", only_the_promised_descriptors_are_inherited),
    (
        "looks::a_profile_of_apparmor_that_is_not_there_is_named",
        a_profile_of_apparmor_that_is_not_there_is_named,
    ),
];

fn proc_sys_and_dev_are_as_docker_lays_them() -> Outcome {
    let root = need!(busybox_root());
    need!(id_maps());
    let ran = run(root.path(), &["mount"]);
    for line in [
        "proc on /proc type proc (rw,nosuid,nodev,noexec,relatime)",
        "tmpfs on /dev type tmpfs (rw,nosuid,size=65536k,mode=755",
        "devpts on /dev/pts type devpts (rw,nosuid,noexec,relatime,gid=",
        "sysfs on /sys type sysfs (ro,nosuid,nodev,noexec,relatime)",
        "mqueue on /dev/mqueue type mqueue (rw,nosuid,nodev,noexec,relatime)",
        "shm on /dev/shm type tmpfs (rw,nosuid,nodev,noexec,relatime,size=65536k",
        "proc on /proc/sys type proc (ro,nosuid,nodev,noexec,relatime)",
    ] {
        assert!(ran.stdout.contains(line), "{line}\n{ran:?}");
    }
    let script = "cd /dev; for l in fd stdin stdout stderr ptmx core; do readlink $l; done; stat -c '%n %t:%T' null zero full random urandom tty";
    let ran = run(root.path(), &["sh", "-c", script]);
    // As with runc, there is a link to the kernel's memory where the kernel shows that.
    let core = if std::path::Path::new("/proc/kcore").exists() { "/proc/kcore\n" } else { "" };
    assert_eq!(
        ran.stdout,
        format!(
            "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n{core}\
         null 1:3\nzero 1:5\nfull 1:7\nrandom 1:8\nurandom 1:9\ntty 5:0\n"
        )
    );
    Outcome::Passed
}

fn what_docker_masks_is_masked() -> Outcome {
    let root = need!(busybox_root());
    need!(id_maps());
    let script = "wc -c < /proc/timer_list; wc -c < /proc/keys; ls -A /sys/firmware | wc -l; ls -A /proc/acpi 2>/dev/null | wc -l; \
                  echo 1 2>/dev/null > /proc/sysrq-trigger && echo written; echo x 2>/dev/null > /proc/sys/kernel/core_pattern && echo written; \
                  touch /sys/firmware/x 2>/dev/null && echo written; true";
    let ran = run(root.path(), &["sh", "-c", script]);
    assert_eq!(ran.stdout, "0\n0\n0\n0\n", "{ran:?}");
    Outcome::Passed
}

fn an_ordinary_user_has_no_capabilities() -> Outcome {
    need!(enter_own_namespace());
    let root = need!(busybox_root());
    let command = ["sh", "-c", "id -u; id -g; grep Cap /proc/self/status; echo out > /dev/stdout"];
    let mut spec = docker_spec_without_user_namespace(&command);
    spec["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    spec["process"]["capabilities"]["effective"] = json!([]);
    spec["process"]["capabilities"]["permitted"] = json!([]);
    let ran = run_spec(root.path(), &spec);
    assert_eq!(
        ran.stdout,
        "1000\n1000\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
         CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\nout\n",
        "{ran:?}"
    );
    Outcome::Passed
}

fn root_has_dockers_capabilities() -> Outcome {
    let root = need!(busybox_root());
    need!(id_maps());
    let ran = run(root.path(), &["grep", "Cap", "/proc/self/status"]);
    let expected = "CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n\
                    CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\n";
    assert_eq!(ran.stdout, expected, "{ran:?}");
    Outcome::Passed
}

fn no_new_privileges_and_the_filter_hold() -> Outcome {
    let root = need!(busybox_root());
    let mut spec = need!(docker_spec(&[
        "sh",
        "-c",
        "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status; mkdir /x; echo $?"
    ]));
    spec["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
    });
    for (no_new_privileges, printed) in [(false, 0), (true, 1)] {
        spec["process"]["noNewPrivileges"] = no_new_privileges.into();
        let ran = run_spec(root.path(), &spec);
        assert_eq!(ran.stdout, format!("NoNewPrivs:\t{printed}\nSeccomp:\t2\n1\n"), "{ran:?}");
        assert!(ran.stderr.contains("Operation not permitted"), "{ran:?}");
    }
    Outcome::Passed
}

fn limits_umask_groups_and_cwd_are_the_specs() -> Outcome {
    let root = need!(busybox_root());
    let mut spec = need!(docker_spec(&[
        "sh",
        "-c",
        "ulimit -n; umask; grep Groups /proc/self/status; pwd; cat /proc/self/oom_score_adj"
    ]));
    spec["process"]["user"] = json!({"uid": 0, "gid": 0, "umask": 0o27, "additionalGids": [7, 9]});
    spec["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 123, "hard": 456}]);
    spec["process"]["cwd"] = "/made/by/us".into();
    spec["process"]["oomScoreAdj"] = 500.into();
    let ran = run_spec(root.path(), &spec);
    assert_eq!(ran.stdout, "123\n0027\nGroups:\t7 9 \n/made/by/us\n500\n", "{ran:?}");
    Outcome::Passed
}

fn a_read_only_root_cannot_be_written() -> Outcome {
    let root = need!(busybox_root());
    let mut spec = need!(docker_spec(&["sh", "-c", "touch /x || touch /tmp/x && ls /tmp"]));
    spec["root"]["readonly"] = true.into();
    spec["mounts"].as_array_mut().unwrap().push(json!(
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["noexec", "nosuid", "nodev", "size=1m"]}
    ));
    let ran = run_spec(root.path(), &spec);
    assert!(ran.stderr.contains("Read-only file system") && ran.stdout == "x\n", "{ran:?}");
    Outcome::Passed
}

fn a_volume_is_bound_and_read_only_where_asked() -> Outcome {
    let root = need!(busybox_root());
    let volume = tempfile::tempdir().unwrap();
    std::fs::write(volume.path().join("file"), "of the host").unwrap();
    open_to_all(volume.path());
    let mut spec = need!(docker_spec(&[
        "sh",
        "-c",
        "cat /v/file; cat /etc/one; touch /v/y; echo $?; touch /v/file; echo $?"
    ]));
    let file = volume.path().join("file");
    spec["mounts"].as_array_mut().unwrap().extend([
        json!({"destination": "/v", "type": "bind", "source": volume.path(), "options": ["rbind", "rprivate", "ro"]}),
        json!({"destination": "/etc/one", "type": "bind", "source": file, "options": ["rbind", "rprivate"]}),
    ]);
    let ran = run_spec(root.path(), &spec);
    assert_eq!(ran.stdout, "of the hostof the host1\n1\n", "{ran:?}");
    assert!(ran.stderr.contains("Read-only file system"), "{ran:?}");
    Outcome::Passed
}

fn a_terminal_is_one_of_the_containers_own() -> Outcome {
    let root = need!(busybox_root());
    let script = "tty; stty size; readlink /proc/self/fd/0; stat -c %t:%T /dev/console; read line; stty size; echo got $line";
    let spec = need!(docker_spec(&["sh", "-c", script]));
    let zygote = Zygote::start().unwrap();
    let stdio = Stdio::Terminal { cols: 91, rows: 17 };
    let created = create(&zygote, &spec, Rootfs::Directory(root.path().into()), stdio).unwrap();
    let running = created.start().unwrap();
    let Io::Terminal(master) = running.io else { panic!("no terminal") };
    let mut terminal = File::from(master);
    let mut text = String::new();
    let read_until = |text: &mut String, wanted: &str, terminal: &mut File| {
        let mut bytes = [0; 1024];
        while !text.contains(wanted) {
            match terminal.read(&mut bytes) {
                Ok(count) if count > 0 => text.push_str(&String::from_utf8_lossy(&bytes[..count])),
                other => panic!("{other:?} after {text:?}"),
            }
        }
    };
    read_until(&mut text, "88:0\r\n", &mut terminal);
    assert_eq!(text, "/dev/pts/0\r\n17 91\r\n/dev/pts/0\r\n88:0\r\n");
    resize_terminal(terminal.as_fd(), 40, 12).unwrap();
    terminal.write_all(b"word\n").unwrap();
    read_until(&mut text, "got word", &mut terminal);
    assert!(text.contains("12 40\r\n"), "{text:?}");
    assert_eq!(process::wait(running.pidfd.as_fd()).unwrap().as_shell(), 0);
    Outcome::Passed
}

fn the_network_is_a_loopback_that_is_up() -> Outcome {
    let root = need!(busybox_root());
    need!(id_maps());
    let ran = run(root.path(), &["ip", "-o", "addr"]);
    assert!(ran.stdout.contains("inet 127.0.0.1/8"), "{ran:?}");
    assert!(!ran.stdout.contains("eth0"), "{ran:?}");
    Outcome::Passed
}

fn only_the_promised_descriptors_are_inherited() -> Outcome {
    let root = need!(busybox_root());
    let spec = need!(docker_spec(&["sh", "-c", "ls /proc/self/fd; cat <&3; cat <&4"]));
    // A descriptor that its owner forgot to close at exec, as in CVE-2024-21626.
    let leaked = nix::fcntl::open("/", nix::fcntl::OFlag::O_RDONLY, nix::sys::stat::Mode::empty()).unwrap();
    let zygote = Zygote::start().unwrap();
    let plan = isolab_runtime::Plan::new(
        &serde_json::from_value(spec).unwrap(),
        Rootfs::Directory(root.path().into()),
        isolab_runtime::PlanOptions { inherited_fds: 2, ..Default::default() },
    )
    .unwrap();
    let file = |text: &str| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        file
    };
    let (three, four) = (file("three\n"), file("four\n"));
    let inherited = [three.as_fd(), four.as_fd()];
    let created = zygote.create(&plan, Stdio::Pipes, &inherited).unwrap();
    // `ls` has its own on the directory that it lists.
    assert_eq!(finish(created.start().unwrap()).stdout, "0\n1\n2\n3\n4\n5\nthree\nfour\n");
    three.set_len(0).unwrap();
    let direct = isolab_runtime::Created::without_zygote(&plan, Stdio::Pipes, &inherited).unwrap();
    assert_eq!(finish(direct.start().unwrap()).stdout, "0\n1\n2\n3\n4\n5\n");
    let error = zygote.create(&plan, Stdio::Null, &[leaked.as_fd()]).unwrap_err();
    assert!(error.call.contains("inherited_fds"), "{error}");
    Outcome::Passed
}

fn a_single_id_needs_no_privileged_helper() -> Outcome {
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    if uid == 0 {
        return Outcome::Skipped("root maps what it likes; this is for ordinary users".into());
    }
    let root = need!(busybox_root());
    let command = ["sh", "-c", "id -u; cat /proc/self/uid_map /proc/self/setgroups"];
    let mut spec = docker_spec(&command).unwrap();
    spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": uid, "size": 1}]);
    spec["linux"]["gidMappings"] = json!([{"containerID": 0, "hostID": gid, "size": 1}]);
    let no_group = json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]);
    spec["mounts"][2]["options"] = no_group;
    let ran = run_spec(root.path(), &spec);
    let words: Vec<_> = ran.stdout.split_whitespace().collect();
    assert_eq!(words, ["0", "0", &uid.to_string(), "1", "deny"], "{ran:?}");
    Outcome::Passed
}

fn mounts_travel_out_through_a_shared_volume_only() -> Outcome {
    use nix::mount::{MsFlags, mount};
    need!(enter_own_namespace());
    let (tmpfs, none) = (Some("tmpfs"), None::<&str>);
    let root = need!(busybox_root());
    mount(tmpfs, "/mnt", tmpfs, MsFlags::empty(), none).unwrap();
    std::fs::create_dir_all("/mnt/volume").unwrap();
    mount(tmpfs, "/mnt/volume", tmpfs, MsFlags::empty(), none).unwrap();
    mount(none, "/mnt/volume", none, MsFlags::MS_SHARED, none).unwrap();
    let before = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    for (propagation, out) in [("rprivate", 0), ("rslave", 0), ("rshared", 1)] {
        let script =
            "mkdir -p /volume/below && mount -t tmpfs x /volume/below && grep -c below /proc/self/mountinfo";
        let mut spec = docker_spec_without_user_namespace(&["sh", "-c", script]);
        let all = all_capabilities();
        spec["process"]["capabilities"] = json!({"bounding": all, "effective": all, "permitted": all});
        if propagation == "rshared" {
            spec["linux"]["rootfsPropagation"] = "shared".into();
        }
        spec["mounts"].as_array_mut().unwrap().push(json!(
            {"destination": "/volume", "type": "bind", "source": "/mnt/volume", "options": ["rbind", propagation]}
        ));
        let ran = run_spec(root.path(), &spec);
        assert_eq!(ran.stdout, "1\n", "{propagation}: {ran:?}");
        let after = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert_eq!(after.matches("below").count(), out, "{propagation}");
        // Nothing of the machine's own went away with the container's old root.
        let kept = |text: &str| text.lines().filter(|line| !line.contains("below")).count();
        assert_eq!(kept(&after), kept(&before), "{propagation}");
    }
    Outcome::Passed
}

fn a_profile_of_apparmor_that_is_not_there_is_named() -> Outcome {
    let root = need!(busybox_root());
    let mut spec = need!(docker_spec(&["true"]));
    spec["process"]["apparmorProfile"] = "isolab-no-such-profile".into();
    let zygote = Zygote::start().unwrap();
    let made = create(&zygote, &spec, Rootfs::Directory(root.path().into()), Stdio::Pipes);
    let error = made.expect_err("it started without its profile");
    assert_eq!(error.step, "applying the AppArmor profile isolab-no-such-profile");
    let is_on = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    let errno = if is_on.is_ok_and(|word| word.starts_with('Y')) { libc::ENOENT } else { libc::EOPNOTSUPP };
    assert_eq!(error.errno, errno, "{error}");
    Outcome::Passed
}
