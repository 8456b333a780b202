//! Known attacks on runtimes, carried out: each is refused, and its test names the mechanism that refuses it.
//!
//! The attackers are Perl scripts, which can make any system call; the machine's `/usr` is bound into their containers.
//! Where a wall stands behind another one, each is met alone, and a control shows that without it the attack goes through.

use crate::harness::{Outcome, Test};
use crate::need;
use crate::support::*;
use isolab_runtime::{Created, EnterPlan, Plan, PlanOptions, Rootfs, Running, Stdio, Zygote, process};
use nix::libc;
use serde_json::{Value, json};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::Path;

pub const TESTS: &[Test] = &[
    ("attacks::descriptors_that_the_maker_leaked_reach_no_program", leaked_descriptors_reach_no_program),
    ("attacks::no_working_directory_leads_out_by_a_leaked_descriptor", no_working_directory_leads_out),
    ("attacks::masks_and_read_only_mounts_stay", masks_and_read_only_mounts_stay),
    ("attacks::chroot_twice_leads_nowhere", chroot_twice_leads_nowhere),
    ("attacks::who_joins_cannot_be_traced", who_joins_cannot_be_traced),
    ("attacks::who_joins_a_lab_cannot_be_traced", who_joins_a_lab_cannot_be_traced),
    ("attacks::no_keys_are_pushed_back_into_the_makers_terminal", no_keys_are_pushed_back),
    ("attacks::a_false_procfs_is_not_written_to", a_false_procfs_is_not_written_to),
    ("attacks::a_dev_or_proc_of_the_images_own_is_refused_or_stays_inside", a_dev_or_proc_of_the_images_own),
    ("attacks::nothing_is_mounted_over_proc", nothing_is_mounted_over_proc),
];

/// A root with the machine's Perl in it.
struct Armed {
    root: tempfile::TempDir,
}

impl Armed {
    fn new() -> Result<Self, String> {
        if !Path::new("/usr/bin/perl").exists() {
            return Err("there is no /usr/bin/perl for attackers".into());
        }
        let root = busybox_root()?;
        std::fs::create_dir(root.path().join("usr")).unwrap();
        for name in ["lib", "lib64"] {
            symlink(format!("usr/{name}"), root.path().join(name)).unwrap();
        }
        give_to_containers_root(root.path());
        Ok(Self { root })
    }

    fn rootfs(&self) -> Rootfs {
        Rootfs::Directory(self.root.path().into())
    }

    /// Docker's Spec for a Perl script.
    fn spec(&self, script: &str) -> Value {
        let mut spec = docker_spec(&["perl", "-e", script]).unwrap();
        arm(&mut spec);
        spec
    }

    fn run(&self, spec: &Value) -> Ran {
        let zygote = Zygote::start().unwrap();
        finish(create(&zygote, spec, self.rootfs(), Stdio::Pipes).unwrap().start().unwrap())
    }
}

fn arm(spec: &mut Value) {
    spec["mounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]}));
}

fn with_all_capabilities(spec: &mut Value) {
    let all = all_capabilities();
    spec["process"]["capabilities"] = json!({"bounding": all, "effective": all, "permitted": all});
}

/// One more process of a container, as Docker executes one.
fn enter_plan(command: &[&str], change: impl FnOnce(&mut Value)) -> EnterPlan {
    let mut process = docker_spec(command).unwrap()["process"].take();
    change(&mut process);
    EnterPlan::new(&serde_json::from_value(process).unwrap(), None).unwrap()
}

fn end(running: Running) {
    process::signal(running.pidfd.as_fd(), 9).unwrap();
    assert_eq!(process::wait(running.pidfd.as_fd()).unwrap().as_shell(), 137);
}

/// Starts a container that writes `/ready` once `script` is at its point, or `sleep`s.
fn waiting(zygote: &Zygote, armed: &Armed, spec: &Value) -> Running {
    let running = create(zygote, spec, armed.rootfs(), Stdio::Null).unwrap().start().unwrap();
    assert!(eventually(|| armed.root.path().join("ready").exists()), "the container is not ready");
    running
}

/// The machine's root, open in ourselves and inherited by whatever we execute, as runc's was in CVE-2024-21626.
fn leaked_root() -> OwnedFd {
    let root: OwnedFd = std::fs::File::open("/").unwrap().into();
    // Beyond the numbers that anything else gets, so that it is there for every process from now on.
    nix::fcntl::fcntl(&root, nix::fcntl::FcntlArg::F_DUPFD(40))
        .map(|number| {
            assert!(number >= 40);
        })
        .unwrap();
    root
}

const LISTING: &str = r#"opendir my $d, "/proc/self/fd"; my $own = fileno $d;
    print "$_ " for sort { $a <=> $b } grep { /^\d/ && readlink("/proc/self/fd/$_") !~ m{^/proc/\d+/fd$} } readdir $d;"#;

fn leaked_descriptors_reach_no_program() -> Outcome {
    need!(id_maps());
    let armed = need!(Armed::new());
    let _leaked = leaked_root();
    let zygote = Zygote::start().unwrap();
    // Mechanism: close_range(CLOSE_RANGE_CLOEXEC) before the program; the zygote closed what it was born with as well.
    let spec = armed.spec(LISTING);
    let made = finish(create(&zygote, &spec, armed.rootfs(), Stdio::Pipes).unwrap().start().unwrap());
    assert_eq!(made.stdout, "0 1 2 ", "{made:?}");
    let plan =
        Plan::new(&serde_json::from_value(spec).unwrap(), armed.rootfs(), PlanOptions::default()).unwrap();
    let own = finish(Created::without_zygote(&plan, Stdio::Pipes, &[]).unwrap().start().unwrap());
    assert_eq!(own.stdout, "0 1 2 ", "without a zygote: {own:?}");
    let container = waiting(&zygote, &armed, &armed.spec("open F, '>/ready'; sleep 100"));
    let listing = enter_plan(&["perl", "-e", LISTING], |_| {});
    let ran = finish(zygote.enter(container.pidfd.as_fd(), &listing, Stdio::Pipes).unwrap());
    assert_eq!(ran.stdout, "0 1 2 ", "exec: {ran:?}");
    let entered = Created::enter_without_zygote(container.pidfd.as_fd(), &listing, Stdio::Pipes).unwrap();
    let ran = finish(entered.start().unwrap());
    assert_eq!(ran.stdout, "0 1 2 ", "exec without a zygote: {ran:?}");
    end(container);
    Outcome::Passed
}

fn no_working_directory_leads_out() -> Outcome {
    // CVE-2024-21626, at create and at exec, by name and by a link of the image's. Mechanism: openat2 with RESOLVE_IN_ROOT and
    // RESOLVE_NO_MAGICLINKS, and getcwd afterwards.
    need!(id_maps());
    let armed = need!(Armed::new());
    let _leaked = leaked_root();
    for number in 0..64 {
        symlink(format!("/proc/self/fd/{number}"), armed.root.path().join(format!("out{number}"))).unwrap();
    }
    give_to_containers_root(armed.root.path());
    let zygote = Zygote::start().unwrap();
    let mut spec = armed.spec("open F, '>/ready'; sleep 100");
    let container = waiting(&zygote, &armed, &spec);
    spec["process"]["args"] = json!(["ls"]);
    let refused =
        |errno: i32| [libc::ELOOP, libc::ENOENT, libc::EACCES, libc::ENOTDIR, libc::EEXIST].contains(&errno);
    for number in 0..64 {
        for cwd in [
            format!("/proc/self/fd/{number}"),
            format!("/proc/self/fd/{number}/../../.."),
            format!("/proc/thread-self/fd/{number}"),
            format!("/out{number}"),
            format!("/out{number}/etc"),
        ] {
            let plan = enter_plan(&["ls"], |process| process["cwd"] = cwd.clone().into());
            let error = zygote.enter(container.pidfd.as_fd(), &plan, Stdio::Null).unwrap_err();
            assert!(refused(error.errno), "exec in {cwd}: {error}");
            if number % 8 == 0 {
                spec["process"]["cwd"] = cwd.clone().into();
                let made = create(&zygote, &spec, armed.rootfs(), Stdio::Null).and_then(Created::start);
                let error = made.unwrap_err();
                assert!(refused(error.errno), "create in {cwd}: {error}");
            }
        }
    }
    end(container);
    Outcome::Passed
}

/// Perl for `umount2(MNT_DETACH)` and for making something writable again, in errnos: masked directory, masked file,
/// read-only directory, the whole of `/proc`.
const UNCOVER: &str = r#"
    sub e { $_[0] == 0 ? 0 : $! + 0 }
    my ($none, $rw) = ("none", "");
    my @all = map { my $path = $_; e(syscall(166, $path, 2)) } "/sys/firmware", "/proc/interrupts", "/proc/sys";
    my $sys = "/proc/bus";
    push @all, e(syscall(165, $none, $sys, $rw, 4096|32, 0));
    print "@all";"#;

fn masks_and_read_only_mounts_stay() -> Outcome {
    need!(id_maps());
    let armed = need!(Armed::new());
    let seccomp = |spec: &mut Value| {
        let held: Vec<oci_spec::runtime::Capability> =
            serde_json::from_value(json!(DOCKER_CAPABILITIES)).unwrap();
        let filter = isolab_runtime::doll::seccomp::docker_default(held);
        spec["linux"]["seccomp"] = serde_json::to_value(filter).unwrap();
    };
    // The control: who has the power takes his own covers off.
    let mut spec = armed.spec(UNCOVER);
    with_all_capabilities(&mut spec);
    assert_eq!(armed.run(&spec).stdout, "0 0 0 0");
    // Mechanism: capabilities. Docker's 14 have no CAP_SYS_ADMIN among them.
    assert_eq!(armed.run(&armed.spec(UNCOVER)).stdout, "1 1 1 1");
    // Mechanism: seccomp, alone: every capability is there.
    let mut spec = armed.spec(UNCOVER);
    with_all_capabilities(&mut spec);
    seccomp(&mut spec);
    assert_eq!(armed.run(&spec).stdout, "1 1 1 1");
    // Mechanism: locked mounts. Root of a user namespace of one's own has every capability over one's copy of the mounts,
    // and still may neither take what covers another away (EINVAL) nor make it writable (EPERM).
    let unshare = format!("syscall(272, 0x10020000) == 0 or die \"unshare: $!\"; {UNCOVER}");
    let ran = armed.run(&armed.spec(&unshare));
    assert_eq!(ran.stdout, "22 22 22 1", "{ran:?}");
    Outcome::Passed
}

fn chroot_twice_leads_nowhere() -> Outcome {
    // Mechanism: pivot_root. What is above the container's root is not there, so that there is nothing to climb to.
    need!(id_maps());
    let armed = need!(Armed::new());
    let script = r#"mkdir "/tmp/deeper"; chroot "/tmp/deeper" or die "chroot: $!"; chdir ".." for 1..64; chroot "." or die;
        opendir my $d, "/"; print join " ", sort grep { !/^\./ } readdir $d;"#;
    let ran = armed.run(&armed.spec(script));
    assert_eq!(ran.stdout, "bin dev etc lib lib64 proc root sys tmp usr", "{ran:?}");
    Outcome::Passed
}

/// Perl that does to every other process what root of the container may do, and writes to `/seen` what worked on one that
/// is still the maker's. Each sweep is by a process of its own, whose end lets go of what it has seized.
const TRACE: &str = r#"
    open S, ">>", "/seen"; select S; $| = 1; open R, ">", "/ready"; close R;
    sub makers { my $exe = readlink "/proc/$_[0]/exe"; defined $exe && $exe !~ m{^/(bin/busybox|usr/bin/)} && $exe }
    while (1) {
        my $sweep = fork; if ($sweep) { waitpid $sweep, 0; next }
        opendir my $d, "/proc";
        for my $p (grep { /^\d+$/ && $_ != 1 && $_ != $$ } readdir $d) {
            my $exe = makers($p); print "exe $exe\n" if $exe;
            for my $fd (0..9) {
                my $to = readlink "/proc/$p/fd/$fd";
                print "fd $fd $to\n" if defined $to && $to =~ /^socket:/;
            }
            next unless syscall(101, 0x4206, $p + 0, 0, 0) == 0;
            $exe = makers($p); print "traced $exe\n" if $exe;
        }
        exit;
    }"#;

fn who_joins_cannot_be_traced() -> Outcome {
    // CVE-2016-9962. Mechanism: the joiner's memory belongs to its maker's user namespace, in which the container's
    // CAP_SYS_PTRACE counts for nothing.
    need!(id_maps());
    let armed = need!(Armed::new());
    let mut spec = armed.spec(TRACE);
    with_all_capabilities(&mut spec);
    joins_unseen(&armed, &spec);
    Outcome::Passed
}

fn who_joins_a_lab_cannot_be_traced() -> Outcome {
    // The same where maker and container are root of one user namespace, as in a lab. Mechanism: whoever joins is not
    // dumpable until execve, and without CAP_SYS_PTRACE, which Docker does not give, that is not to be passed.
    need!(enter_own_namespace());
    let armed = need!(Armed::new());
    let mut spec = docker_spec_without_user_namespace(&["perl", "-e", TRACE]);
    arm(&mut spec);
    joins_unseen(&armed, &spec);
    Outcome::Passed
}

/// Joins a container that tries to trace whoever does, often.
fn joins_unseen(armed: &Armed, spec: &Value) {
    let zygote = Zygote::start().unwrap();
    let container = waiting(&zygote, armed, spec);
    for _ in 0..60 {
        let plan = enter_plan(&["true"], |_| {});
        let entered = zygote.enter(container.pidfd.as_fd(), &plan, Stdio::Null).unwrap();
        assert!(eventually(|| process::try_wait(entered.pidfd.as_fd()).unwrap().is_some()));
    }
    let seen = std::fs::read_to_string(armed.root.path().join("seen")).unwrap();
    assert_eq!(seen, "", "whoever joined was looked into");
    end(container);
}

fn no_keys_are_pushed_back() -> Outcome {
    // CVE-2017-5226: a container that is given its maker's own terminal types into it, for the maker's shell to execute.
    // Mechanism: a session of its own (setsid), for which that terminal is not the controlling one, and cannot become it.
    need!(id_maps());
    let armed = need!(Armed::new());
    let pty = nix::pty::openpty(None, None).unwrap();
    // Ours: as for a shell that was started on it.
    nix::unistd::setsid().unwrap();
    rustix::process::ioctl_tiocsctty(&pty.slave).unwrap();
    let script = r#"my $byte = "x"; my $pushed = ioctl(STDIN, 0x5412, $byte) ? 0 : $! + 0;
        my $taken = ioctl(STDIN, 0x540E, 1) ? 0 : $! + 0; my $again = ioctl(STDIN, 0x5412, $byte) ? 0 : $! + 0;
        my $own = open(T, "+<", "/dev/tty") ? 0 : $! + 0;
        open R, ">", "/result"; print R "$pushed $taken $again $own"; close R;"#;
    let slave = || pty.slave.try_clone().unwrap();
    let stdio = || Stdio::Given([slave(), slave(), slave()]);
    let spec = armed.spec(script);
    let plan =
        Plan::new(&serde_json::from_value(spec.clone()).unwrap(), armed.rootfs(), PlanOptions::default());
    // The zygote has a session of its own already; whoever makes a container by himself has not.
    for created in [
        create(&Zygote::start().unwrap(), &spec, armed.rootfs(), stdio()),
        Created::without_zygote(&plan.unwrap(), stdio(), &[]),
    ] {
        let running = created.unwrap().start().unwrap();
        assert_eq!(process::wait(running.pidfd.as_fd()).unwrap().as_shell(), 0);
        // EPERM for the key (EIO where the kernel has done away with it), EPERM for the terminal, and none of its own (ENXIO).
        let result = std::fs::read_to_string(armed.root.path().join("result")).unwrap();
        assert!(["1 1 1 6", "5 1 5 6"].contains(&result.as_str()), "{result}");
    }
    let waits = rustix::io::ioctl_fionread(&pty.slave).unwrap();
    assert_eq!(waits, 0, "something was typed into our terminal");
    // The terminal's end would be ours.
    std::mem::forget(pty);
    Outcome::Passed
}

fn a_false_procfs_is_not_written_to() -> Outcome {
    // CVE-2019-16884 and CVE-2025-52881 at exec: the container's `/proc` is its own doing. Mechanism: the file system's type,
    // asked of the descriptor, and openat2 with RESOLVE_NO_XDEV below it.
    need!(id_maps());
    let zygote = Zygote::start().unwrap();
    for (prepare, why) in [
        ("mount -t tmpfs none /proc; mkdir /proc/self; echo 0 > /proc/self/oom_score_adj", "a tmpfs"),
        ("mkdir -p /fake/self; echo 0 > /fake/self/oom_score_adj; mount -o bind /fake /proc", "a directory"),
        (
            "mkdir -p /fake/self; umount -l /proc; rmdir /proc; ln -s /fake /proc; echo 0 > /fake/self/oom_score_adj",
            "a link",
        ),
    ] {
        let armed = need!(Armed::new());
        let script = format!("{prepare}; touch /ready; exec sleep 100");
        let mut spec = docker_spec(&["sh", "-c", &script]).unwrap();
        with_all_capabilities(&mut spec);
        let container = waiting(&zygote, &armed, &spec);
        let plan = enter_plan(&["true"], |process| process["oomScoreAdj"] = 500.into());
        let error = zygote.enter(container.pidfd.as_fd(), &plan, Stdio::Null).unwrap_err();
        assert!(error.errno == libc::EXDEV && error.call.contains("/proc"), "{why}: {error}");
        end(container);
    }
    Outcome::Passed
}

/// What came of making a container with a root that `change` has spoilt.
fn made_of(
    armed: &Armed,
    script: &str,
    change: impl FnOnce(&mut Value),
) -> Result<Ran, isolab_runtime::Error> {
    give_to_containers_root(armed.root.path());
    let mut spec = docker_spec(&["sh", "-c", script]).unwrap();
    change(&mut spec);
    let zygote = Zygote::start().unwrap();
    let created = create(&zygote, &spec, armed.rootfs(), Stdio::Pipes)?;
    Ok(finish(created.start()?))
}

fn a_dev_or_proc_of_the_images_own() -> Outcome {
    need!(id_maps());
    // Mechanism: RESOLVE_NO_SYMLINKS where a link has no business; a mount of a directory needs one.
    for name in ["proc", "sys"] {
        for (what, errno) in [("link", libc::ELOOP), ("way out", libc::ELOOP), ("file", libc::ENOTDIR)] {
            let armed = need!(Armed::new());
            let path = armed.root.path().join(name);
            std::fs::remove_dir(&path).unwrap();
            match what {
                "file" => std::fs::write(&path, "").unwrap(),
                "link" => symlink("/tmp", &path).unwrap(),
                _ => symlink("../../../../..", &path).unwrap(),
            }
            let error = made_of(&armed, "true", |_| {}).unwrap_err();
            assert!(error.errno == errno && error.step.contains(name), "{name} as a {what}: {error}");
        }
    }
    let armed = need!(Armed::new());
    std::fs::remove_dir(armed.root.path().join("dev")).unwrap();
    std::fs::write(armed.root.path().join("dev"), "").unwrap();
    let error = made_of(&armed, "true", |_| {}).unwrap_err();
    assert!(matches!(error.errno, libc::ENOTDIR | libc::EINVAL) && error.step.contains("/dev"), "{error}");
    // Mechanism: RESOLVE_IN_ROOT. `/dev` may be a link, and leads to a place in the container whatever it says.
    let armed = need!(Armed::new());
    std::fs::remove_dir(armed.root.path().join("dev")).unwrap();
    symlink("../../../../../../tmp", armed.root.path().join("dev")).unwrap();
    let ran = made_of(&armed, "ls /tmp; grep -c ' /tmp ' /proc/self/mountinfo", |_| {}).unwrap();
    assert!(ran.stdout.contains("null") && ran.stdout.ends_with("\n1\n"), "{ran:?}");
    Outcome::Passed
}

fn nothing_is_mounted_over_proc() -> Outcome {
    // CVE-2019-19921. Mechanism: what is mounted over is asked whether it is on a procfs.
    need!(id_maps());
    let volume = tempfile::tempdir().unwrap();
    std::fs::write(volume.path().join("file"), "of the volume's").unwrap();
    open_to_all(volume.path());
    let directory = volume.path().to_str().unwrap().to_owned();
    let file = format!("{directory}/file");
    let bind = |from: &str, to: &str| json!({"destination": to, "type": "bind", "source": from, "options": ["rbind"]});
    let tmpfs = |to: &str| json!({"destination": to, "type": "tmpfs", "source": "tmpfs", "options": []});
    for (mount, why) in [
        (bind(&directory, "/proc"), "not of type proc"),
        (tmpfs("/proc"), "not of type proc"),
        (bind("/proc/sys", "/proc"), "not of type proc"),
        (bind(&directory, "/proc/sys"), "inside /proc"),
        (bind(&directory, "/link"), "inside /proc"),
        (bind(&directory, "/../proc/./self"), "inside /proc"),
        (bind(&file, "/proc/self/attr/exec"), "inside /proc"),
        (bind(&directory, "/whole"), "inside /proc"),
        (tmpfs("/proc/sys/net"), "inside /proc"),
        (bind(&file, "/uptime"), "inside /proc"),
    ] {
        let armed = need!(Armed::new());
        for (name, to) in [("link", "/proc/sys/net"), ("whole", "/proc"), ("uptime", "proc/uptime")] {
            symlink(to, armed.root.path().join(name)).unwrap();
        }
        let add = |spec: &mut Value| spec["mounts"].as_array_mut().unwrap().push(mount.clone());
        let error = made_of(&armed, "true", add).unwrap_err();
        assert!(error.errno == libc::EPERM && error.call.contains(why), "{mount}: {error}");
    }
    // What lxcfs does, what hides, and the machine's own procfs are let through.
    for (mount, script, told) in [
        (bind(&file, "/proc/uptime"), "cat /proc/uptime", "of the volume's"),
        (tmpfs("/proc/fs"), "ls /proc/fs", ""),
        (tmpfs("/elsewhere"), "ls /elsewhere", ""),
    ] {
        let armed = need!(Armed::new());
        let add = |spec: &mut Value| spec["mounts"].as_array_mut().unwrap().push(mount.clone());
        let ran = made_of(&armed, script, add).unwrap();
        assert!((ran.stdout.as_str(), ran.status) == (told, 0), "{mount}: {ran:?}");
    }
    Outcome::Passed
}
