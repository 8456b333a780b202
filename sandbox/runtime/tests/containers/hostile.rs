//! Images and containers that fight back: each is a known escape's first half.

use crate::harness::{Outcome, Test};
use crate::need;
use crate::support::*;
use isolab_runtime::{EnterPlan, Rootfs, Running, Stdio, Zygote, process};
use serde_json::json;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;

pub const TESTS: &[Test] = &[
    ("hostile::a_proc_that_is_a_link_is_refused", a_proc_that_is_a_link_is_refused),
    ("hostile::mounts_through_links_stay_inside", mounts_through_links_stay_inside),
    ("hostile::a_console_that_is_a_link_stays_inside", a_console_that_is_a_link_stays_inside),
    (
        "hostile::a_working_directory_through_a_descriptor_is_refused",
        a_working_directory_through_a_descriptor,
    ),
    ("hostile::a_null_device_that_is_a_link_masks_nothing_else", a_null_device_that_is_a_link),
    ("hostile::a_terminal_is_not_taken_from_a_false_devpts", a_terminal_is_not_taken_from_a_false_devpts),
    (
        "hostile::a_stopped_container_does_not_hold_up_the_zygote",
        a_stopped_container_does_not_hold_up_the_zygote,
    ),
    ("hostile::there_is_no_way_back_to_the_old_root", there_is_no_way_back_to_the_old_root),
    ("hostile::who_joins_cannot_be_looked_into", who_joins_cannot_be_looked_into),
    ("hostile::a_sealed_program_cannot_be_overwritten", a_sealed_program_cannot_be_overwritten),
];

fn create_error(root: &Path, change: impl FnOnce(&mut serde_json::Value)) -> isolab_runtime::Error {
    let mut spec = docker_spec(&["true"]).unwrap();
    change(&mut spec);
    let zygote = Zygote::start().unwrap();
    match create(&zygote, &spec, Rootfs::Directory(root.into()), Stdio::Null) {
        Ok(created) => created.start().unwrap_err(),
        Err(error) => error,
    }
}

fn a_proc_that_is_a_link_is_refused() -> Outcome {
    need!(id_maps());
    for name in ["proc", "sys"] {
        let root = need!(busybox_root());
        std::fs::remove_dir(root.path().join(name)).unwrap();
        symlink("/tmp", root.path().join(name)).unwrap();
        let error = create_error(root.path(), |_| {});
        assert!(error.errno == nix::libc::ELOOP && error.step.contains(name), "{error}");
    }
    Outcome::Passed
}

fn mounts_through_links_stay_inside() -> Outcome {
    let root = need!(busybox_root());
    need!(id_maps());
    let outside = tempfile::tempdir().unwrap();
    open_to_all(outside.path());
    std::fs::create_dir(outside.path().join("victim")).unwrap();
    symlink(outside.path(), root.path().join("link")).unwrap();
    symlink("../../../../../..", root.path().join("up")).unwrap();
    give_to_containers_root(root.path());
    let mut spec =
        docker_spec(&["sh", "-c", "grep -c victim /proc/self/mountinfo; touch /up/tmp/v/made; ls /tmp/v"])
            .unwrap();
    let tmpfs = |destination: &str| json!({"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": []});
    spec["mounts"].as_array_mut().unwrap().extend([tmpfs("/up/tmp/v"), tmpfs("/../../tmp/w")]);
    let ran = run_spec(root.path(), &spec);
    assert_eq!(ran.stdout, "0\nmade\n", "{ran:?}");
    // A link to a directory that only the machine has leads nowhere.
    let error = create_error(root.path(), |spec| {
        spec["mounts"].as_array_mut().unwrap().push(tmpfs("/link/victim"));
    });
    assert_eq!(error.errno, nix::libc::ENOENT, "{error}");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    Outcome::Passed
}

fn a_console_that_is_a_link_stays_inside() -> Outcome {
    // CVE-2025-52565: an image's /dev is kept, and its console is a link. Both names exist on the machine too.
    need!(id_maps());
    for (target, refused) in [("/etc/passwd", false), ("/etc/hostname", true)] {
        let root = need!(busybox_root());
        std::fs::write(root.path().join("etc/passwd"), "").unwrap();
        symlink(target, root.path().join("dev/console")).unwrap();
        give_to_containers_root(root.path());
        let mut spec = docker_spec(&["sh", "-c", "grep -c ' /etc/passwd ' /proc/self/mountinfo"]).unwrap();
        spec["mounts"].as_array_mut().unwrap().retain(|mount| {
            !mount["destination"].as_str().unwrap().starts_with("/dev") || mount["destination"] == "/dev/pts"
        });
        let zygote = Zygote::start().unwrap();
        let stdio = Stdio::Terminal { cols: 80, rows: 24 };
        let created = create(&zygote, &spec, Rootfs::Directory(root.path().into()), stdio);
        match created {
            // The terminal lies over the file that the link leads to, in the container.
            Ok(created) => {
                assert!(!refused);
                let running = created.start().unwrap();
                assert_eq!(process::wait(running.pidfd.as_fd()).unwrap().as_shell(), 0);
            }
            Err(error) => assert!(refused && error.errno == nix::libc::EEXIST, "{target}: {error}"),
        }
    }
    Outcome::Passed
}

fn a_working_directory_through_a_descriptor() -> Outcome {
    // CVE-2024-21626.
    let root = need!(busybox_root());
    need!(id_maps());
    for number in 3..10 {
        let cwd = format!("/proc/self/fd/{number}");
        let error = create_error(root.path(), |spec| spec["process"]["cwd"] = cwd.into());
        let refused = [nix::libc::ELOOP, nix::libc::ENOENT, nix::libc::EACCES, nix::libc::ENOTDIR];
        assert!(refused.contains(&error.errno), "{number}: {error}");
    }
    Outcome::Passed
}

fn a_null_device_that_is_a_link() -> Outcome {
    // CVE-2025-31133: what is masked must be masked with the machine's null device.
    let root = need!(busybox_root());
    need!(id_maps());
    std::fs::write(root.path().join("etc/fake"), "fake").unwrap();
    symlink("/etc/fake", root.path().join("dev/null")).unwrap();
    give_to_containers_root(root.path());
    let mut spec = docker_spec(&["sh", "-c", "stat -L -c %t:%T /proc/timer_list; cat /etc/fake"]).unwrap();
    spec["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    let ran = run_spec(root.path(), &spec);
    assert!(ran.stdout.starts_with("1:3\n"), "{ran:?}");
    Outcome::Passed
}

/// A container that did `script` as root of its own namespaces, with every capability there, and sleeps.
fn prepared(zygote: &Zygote, root: &Path, script: &str) -> Result<Running, String> {
    let script = format!("{script}\ntouch /ready; exec sleep 100");
    let mut spec = docker_spec(&["sh", "-c", &script])?;
    let all = all_capabilities();
    spec["process"]["capabilities"] = json!({"bounding": all, "effective": all, "permitted": all});
    let created =
        create(zygote, &spec, Rootfs::Directory(root.into()), Stdio::Null).map_err(|e| e.to_string())?;
    let running = created.start().map_err(|e| e.to_string())?;
    assert!(eventually(|| root.join("ready").exists()), "the container is not ready");
    Ok(running)
}

fn enter_plan(command: &[&str]) -> EnterPlan {
    let process = docker_spec(command).unwrap()["process"].take();
    EnterPlan::new(&serde_json::from_value(process).unwrap(), None).unwrap()
}

fn a_terminal_is_not_taken_from_a_false_devpts() -> Outcome {
    let zygote = Zygote::start().unwrap();
    let terminal = || Stdio::Terminal { cols: 80, rows: 24 };
    for (script, why) in [
        ("umount /dev/pts; mkdir -p /dev/pts; touch /dev/pts/ptmx", "a file"),
        ("umount /dev/pts; mknod /dev/pts/ptmx p", "a fifo"),
        ("umount /dev/pts; ln -s /dev/tty /dev/pts/ptmx", "a link"),
        ("umount /dev/pts; rmdir /dev/pts; ln -s /tmp /dev/pts", "a linked directory"),
        ("umount /dev/pts; touch /dev/pts/ptmx; mount -o bind /dev/null /dev/pts/ptmx", "another device"),
    ] {
        let root = need!(busybox_root());
        let victim = need!(prepared(&zygote, root.path(), script));
        let entered = zygote.enter(victim.pidfd.as_fd(), &enter_plan(&["true"]), terminal());
        assert!(entered.is_err(), "{why} was taken for a terminal");
        end(victim);
    }
    // And a genuine one is taken.
    let root = need!(busybox_root());
    let container = need!(prepared(&zygote, root.path(), ""));
    let entered = zygote.enter(container.pidfd.as_fd(), &enter_plan(&["true"]), terminal()).unwrap();
    assert_eq!(process::wait(entered.pidfd.as_fd()).unwrap().as_shell(), 0);
    end(container);
    Outcome::Passed
}

fn end(running: Running) {
    process::signal(running.pidfd.as_fd(), 9).unwrap();
    assert_eq!(process::wait(running.pidfd.as_fd()).unwrap().as_shell(), 137);
}

fn a_stopped_container_does_not_hold_up_the_zygote() -> Outcome {
    let root = need!(busybox_root());
    need!(id_maps());
    let zygote = Zygote::start().unwrap();
    let spec = docker_spec(&["sleep", "100"]).unwrap();
    let rootfs = || Rootfs::Directory(root.path().into());
    let hung = create(&zygote, &spec, rootfs(), Stdio::Null).unwrap();
    process::signal(process::open(hung.pid()).unwrap().as_fd(), nix::libc::SIGSTOP).unwrap();
    let other = create(&zygote, &docker_spec(&["true"]).unwrap(), rootfs(), Stdio::Pipes).unwrap();
    assert_eq!(finish(other.start().unwrap()).status, 0);
    drop(hung);
    Outcome::Passed
}

fn there_is_no_way_back_to_the_old_root() -> Outcome {
    let root = need!(busybox_root());
    need!(id_maps());
    let zygote = Zygote::start().unwrap();
    let container = need!(prepared(&zygote, root.path(), ""));
    // Who joins is put at the top of whatever is mounted over `/`: an old root left there would be what it sees.
    let script = "ls /; grep -c -E '^([^ ]+ ){4}/ ' /proc/self/mountinfo; umount -l / 2>/dev/null; ls /";
    let mut process = docker_spec(&["sh", "-c", script]).unwrap()["process"].take();
    let all = all_capabilities();
    process["capabilities"] = json!({"bounding": all, "effective": all, "permitted": all});
    let plan = EnterPlan::new(&serde_json::from_value(process).unwrap(), None).unwrap();
    let ran = finish(zygote.enter(container.pidfd.as_fd(), &plan, Stdio::Pipes).unwrap());
    let listing = "bin\ndev\netc\nproc\nready\nroot\nsys\ntmp\n";
    assert_eq!(ran.stdout, format!("{listing}1\n{listing}"), "{ran:?}");
    // Who joins after that is put at the top of what is left.
    let after =
        finish(zygote.enter(container.pidfd.as_fd(), &enter_plan(&["ls", "/"]), Stdio::Pipes).unwrap());
    assert_eq!(after.stdout, listing, "{after:?}");
    end(container);
    Outcome::Passed
}

fn who_joins_cannot_be_looked_into() -> Outcome {
    // CVE-2016-9962: the container's root waits for whoever joins, to open its descriptors or its executable.
    let root = need!(busybox_root());
    need!(id_maps());
    let zygote = Zygote::start().unwrap();
    let watch = "(while :; do for p in /proc/[0-9]*; do case $p in /proc/1|/proc/$$) continue;; esac; \
                 x=$(readlink $p/exe 2>/dev/null); case \"$x\" in *containers*|*isolab*) echo \"$x\" >> /seen;; esac; done; done) & \
                 touch /seen";
    let container = need!(prepared(&zygote, root.path(), watch));
    for _ in 0..50 {
        let entered = zygote.enter(container.pidfd.as_fd(), &enter_plan(&["true"]), Stdio::Null).unwrap();
        assert_eq!(process::wait(entered.pidfd.as_fd()).unwrap().as_shell(), 0);
    }
    let seen = std::fs::read_to_string(root.path().join("seen")).unwrap();
    assert_eq!(seen, "", "the joiner's own executable was seen from inside");
    end(container);
    Outcome::Passed
}

/// Set in a copy of ourselves that seals itself, or not, and waits.
pub const SEALED: &str = "ISOLAB_TEST_SEALED";

/// What that copy does.
pub fn wait_sealed(seal: bool) {
    if seal {
        isolab_runtime::own_binary::seal().unwrap();
    }
    println!("ready");
    std::thread::sleep(std::time::Duration::from_secs(20));
}

fn a_sealed_program_cannot_be_overwritten() -> Outcome {
    // CVE-2019-5736: a descriptor of the maker's own program is kept until that has ended, and then written through.
    if !nix::unistd::geteuid().is_root() {
        return Outcome::Skipped("only root of the machine has to seal its program".into());
    }
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("program");
    for (seal, errno) in [("no", None), ("yes", Some(nix::libc::EROFS))] {
        std::fs::copy("/proc/self/exe", &copy).unwrap();
        let mut command = std::process::Command::new(&copy);
        let mut program = command.env(SEALED, seal).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = std::io::BufReader::new(program.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
        let file = std::fs::File::open(format!("/proc/{}/exe", program.id())).unwrap();
        program.kill().unwrap();
        program.wait().unwrap();
        let through = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        let written = std::fs::OpenOptions::new().write(true).open(through);
        assert_eq!(written.err().and_then(|error| error.raw_os_error()), errno, "sealed: {seal}");
    }
    Outcome::Passed
}
