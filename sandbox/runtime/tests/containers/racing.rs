//! Set-ups under attack while they run: somebody who shares a part of the root swaps directories for links, again and again.
//!
//! A runtime that looks a path up, judges it, and then uses its name once more loses such a race sooner or later
//! (CVE-2021-30465, CVE-2025-31133, CVE-2025-52565, CVE-2025-52881). Here it may fail, or do what it was told inside the
//! container; nothing else. Mechanism, in all of them: a path is resolved once, by openat2 with RESOLVE_IN_ROOT, and
//! what is mounted, made or written goes by the descriptor.

use crate::harness::{Outcome, Test};
use crate::need;
use crate::support::*;
use isolab_runtime::{Rootfs, Stdio, Zygote};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

pub const TESTS: &[Test] = &[
    ("racing::a_volumes_target_that_becomes_a_link_leads_nowhere_else", a_volumes_target_that_becomes_a_link),
    ("racing::a_proc_that_becomes_a_link_takes_no_settings", a_proc_that_becomes_a_link_takes_no_settings),
    ("racing::masks_are_the_machines_null_device", masks_are_the_machines_null_device),
    ("racing::a_console_that_becomes_a_link_stays_inside", a_console_that_becomes_a_link_stays_inside),
];

/// How many containers are made under each attack. A runtime that goes by names lost within the first ten.
const CONTAINERS: usize = 60;

/// Set in a copy of ourselves that swaps these two paths until it is killed.
pub const SWAP: &str = "ISOLAB_TEST_SWAP";

/// What that copy does.
pub fn swap_for_ever(paths: &str) {
    let (one, other) = paths.split_once(':').expect("two paths");
    loop {
        let _ = renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
    }
}

/// Somebody who swaps two paths, until dropped.
struct Swapper(Child);

impl Swapper {
    fn start(one: &Path, other: &Path) -> Self {
        let paths = format!("{}:{}", one.display(), other.display());
        Self(Command::new("/proc/self/exe").env(SWAP, paths).spawn().unwrap())
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How the containers of one attack went.
#[derive(Debug, Default)]
struct Came {
    made: usize,
    refused: usize,
}

/// Makes containers over `root` while `one` and `other`, both below it, are swapped. `judge` looks at what each printed.
fn under_attack(root: &Path, spec: &Value, one: PathBuf, other: PathBuf, judge: impl Fn(&Ran)) -> Came {
    give_to_containers_root(root);
    let zygote = Zygote::start().unwrap();
    let _swapper = Swapper::start(&root.join(one), &root.join(other));
    let mut came = Came::default();
    for _ in 0..CONTAINERS {
        match create(&zygote, spec, Rootfs::Directory(root.into()), Stdio::Pipes) {
            Ok(created) => {
                judge(&finish(created.start().unwrap()));
                came.made += 1;
            }
            Err(error) => {
                let inside =
                    [libc::ELOOP, libc::ENOENT, libc::ENOTDIR, libc::EEXIST, libc::EAGAIN, libc::EPERM];
                assert!(inside.contains(&error.errno), "{error}");
                came.refused += 1;
            }
        }
    }
    // Both ways the swapped paths can be when they are looked at: otherwise nothing was tried.
    assert!(came.made > 0 && came.refused > 0, "the race was never run: {came:?}");
    came
}

use nix::libc;

/// A directory of the machine's that no container may reach, empty, and the same path by which an image names it.
fn out_of_reach() -> tempfile::TempDir {
    let outside = tempfile::Builder::new().prefix("isolab-outside-").tempdir().unwrap();
    open_to_all(outside.path());
    outside
}

fn a_volumes_target_that_becomes_a_link() -> Outcome {
    // CVE-2021-30465: a volume's target below another volume, which a second container swaps.
    need!(id_maps());
    let root = need!(busybox_root());
    let (outside, volume) = (out_of_reach(), out_of_reach());
    std::fs::write(volume.path().join("of-the-volume"), "").unwrap();
    std::fs::create_dir_all(root.path().join("a/b")).unwrap();
    symlink(outside.path(), root.path().join("a/link")).unwrap();
    // What is made for a mount that has no target yet is made in the container as well. The directory that it is in has either
    // name by the time that the container looks; a mount elsewhere has neither.
    let script = "grep -c -E ' /a/(b|link)/made ' /proc/self/mountinfo; grep -c -E ' /a/(b|link)/file ' /proc/self/mountinfo";
    let mut spec = docker_spec(&["sh", "-c", script]).unwrap();
    let bind = |from: &Path, to: &str| json!({"destination": to, "type": "bind", "source": from, "options": ["rbind"]});
    spec["mounts"]
        .as_array_mut()
        .unwrap()
        .extend([bind(volume.path(), "/a/b/made"), bind(&volume.path().join("of-the-volume"), "/a/b/file")]);
    let judge = |ran: &Ran| assert_eq!(ran.stdout, "1\n1\n", "{ran:?}");
    under_attack(root.path(), &spec, "a/b".into(), "a/link".into(), judge);
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0, "something was made outside");
    Outcome::Passed
}

fn a_proc_that_becomes_a_link_takes_no_settings() -> Outcome {
    // CVE-2025-52881: where settings and labels are written to is swapped for an ordinary file.
    need!(id_maps());
    let root = need!(busybox_root());
    let fake = root.path().join("fake/sys/net/ipv4");
    std::fs::create_dir_all(&fake).unwrap();
    std::fs::write(fake.join("ip_unprivileged_port_start"), "untouched").unwrap();
    symlink("fake", root.path().join("link")).unwrap();
    let script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start";
    let mut spec = docker_spec(&["sh", "-c", script]).unwrap();
    spec["linux"]["sysctl"] = json!({"net.ipv4.ip_unprivileged_port_start": "7"});
    // Where it was made, the setting is what was asked for, or the name `/proc` is the link's by now.
    let judge = |ran: &Ran| assert!(["7\n", "untouched"].contains(&ran.stdout.as_str()), "{ran:?}");
    under_attack(root.path(), &spec, "proc".into(), "link".into(), judge);
    let text = std::fs::read_to_string(fake.join("ip_unprivileged_port_start")).unwrap();
    assert_eq!(text, "untouched", "a setting was written into the image's own file");
    Outcome::Passed
}

fn masks_are_the_machines_null_device() -> Outcome {
    // CVE-2025-31133: what masks is the image's own `/dev/null`, which becomes a link to what the attacker wants mounted.
    need!(id_maps());
    let root = need!(busybox_root());
    for name in ["prey", "mine"] {
        std::fs::create_dir(root.path().join(name)).unwrap();
        std::fs::write(root.path().join(name).join("secret"), name).unwrap();
    }
    std::fs::write(root.path().join("dev/null"), "").unwrap();
    symlink("/mine/secret", root.path().join("dev/link")).unwrap();
    let mut spec = docker_spec(&["sh", "-c", "cat /proc/self/mountinfo"]).unwrap();
    spec["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|m| !m["destination"].as_str().unwrap().starts_with("/dev"));
    spec["linux"]["maskedPaths"] = json!(["/prey/secret", "/proc/interrupts"]);
    let judge = |ran: &Ran| {
        for line in ran
            .stdout
            .lines()
            .filter(|line| line.contains(" /prey/secret ") || line.contains("/proc/interrupts "))
        {
            // Its root, in its own file system, is the null device: nothing of the container's.
            assert!(!line.contains("mine") && line.split(' ').nth(3).unwrap().ends_with("/null"), "{line}");
        }
        assert!(
            ran.stdout.contains(" /prey/secret ") && ran.stdout.contains(" /proc/interrupts "),
            "{ran:?}"
        );
    };
    give_to_containers_root(root.path());
    let zygote = Zygote::start().unwrap();
    let _swapper = Swapper::start(&root.path().join("dev/null"), &root.path().join("dev/link"));
    for _ in 0..CONTAINERS {
        // Nothing is refused: what the image's `/dev/null` is does not matter.
        let created = create(&zygote, &spec, Rootfs::Directory(root.path().into()), Stdio::Pipes).unwrap();
        judge(&finish(created.start().unwrap()));
    }
    Outcome::Passed
}

fn a_console_that_becomes_a_link_stays_inside() -> Outcome {
    // CVE-2025-52565: the terminal is mounted over whatever `/dev/console` leads to by then.
    need!(id_maps());
    let root = need!(busybox_root());
    let outside = out_of_reach();
    let prey = outside.path().join("prey");
    std::fs::write(&prey, "untouched").unwrap();
    std::fs::write(root.path().join("dev/console"), "").unwrap();
    symlink(&prey, root.path().join("dev/link")).unwrap();
    let mut spec =
        docker_spec(&["sh", "-c", "grep -c ' /dev/[cl][a-z]* .* devpts' /proc/self/mountinfo > /told"])
            .unwrap();
    spec["mounts"].as_array_mut().unwrap().retain(|mount| {
        !mount["destination"].as_str().unwrap().starts_with("/dev") || mount["destination"] == "/dev/pts"
    });
    give_to_containers_root(root.path());
    let zygote = Zygote::start().unwrap();
    let swapper = Swapper::start(&root.path().join("dev/console"), &root.path().join("dev/link"));
    let (mut made, mut refused) = (0, 0);
    for _ in 0..CONTAINERS {
        let stdio = Stdio::Terminal { cols: 80, rows: 24 };
        match create(&zygote, &spec, Rootfs::Directory(root.path().into()), stdio) {
            Ok(created) => {
                let running = created.start().unwrap();
                isolab_runtime::process::wait(std::os::fd::AsFd::as_fd(&running.pidfd)).unwrap();
                let told = std::fs::read_to_string(root.path().join("told")).unwrap();
                assert_eq!(told.trim(), "1", "the terminal is mounted elsewhere");
                made += 1;
            }
            Err(error) => {
                assert!([libc::EEXIST, libc::ENOENT, libc::EAGAIN].contains(&error.errno), "{error}");
                refused += 1;
            }
        }
    }
    drop(swapper);
    assert!(made > 0 && refused > 0, "the race was never run: {made} made, {refused} refused");
    assert_eq!(std::fs::read_to_string(&prey).unwrap(), "untouched");
    Outcome::Passed
}
