//! Set-ups that fail: at every step, and in the words of the one who has to mend it. Nothing may stay behind.

use crate::harness::{Outcome, Test};
use crate::need;
use crate::support::*;
use isolab_runtime::{
    EnterPlan, Plan, PlanOptions, Rootfs, Stdio, Upper, Veth, Zygote, ensure_bridge, process,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::fd::AsFd;

pub const TESTS: &[Test] = &[
    ("failures::wherever_it_fails_nothing_stays_behind", wherever_it_fails_nothing_stays_behind),
    ("failures::every_kind_of_step_that_fails_is_named", every_kind_of_step_that_fails_is_named),
    ("failures::who_cannot_join_leaves_nothing_and_says_why", who_cannot_join_leaves_nothing_and_says_why),
    ("failures::a_program_that_cannot_run_says_why", a_program_that_cannot_run_says_why),
    ("failures::a_created_container_that_is_dropped_is_gone", a_created_container_that_is_dropped_is_gone),
    ("failures::many_threads_share_a_zygote", many_threads_share_a_zygote),
    (
        "failures::a_request_that_is_too_long_is_refused_and_the_next_is_not",
        a_request_that_is_too_long_is_refused,
    ),
    ("failures::a_zygote_is_refused_once_there_are_threads", a_zygote_is_refused_once_there_are_threads),
    ("failures::the_zygote_ends_with_its_last_handle", the_zygote_ends_with_its_last_handle),
    ("failures::a_container_that_waits_ends_with_its_owner", a_container_that_waits_ends_with_its_owner),
];

/// Everything of ours that a failed set-up could leave: children, descriptors, mounts, links.
#[derive(Debug, PartialEq, Eq)]
struct Belongings {
    children: BTreeSet<u32>,
    descriptors: usize,
    zygotes_descriptors: usize,
    mounts: String,
    links: Vec<String>,
}

impl Belongings {
    fn look(zygote: &Zygote, zygote_pid: u32) -> Self {
        let own = process::open(std::process::id()).unwrap();
        let count = |path: String| std::fs::read_dir(path).map_or(0, Iterator::count);
        let links = zygote.survey(own.as_fd()).unwrap().links.into_iter().map(|link| link.name).collect();
        Self {
            children: children(),
            descriptors: count("/proc/self/fd".into()),
            zygotes_descriptors: at_rest(|| count(format!("/proc/{zygote_pid}/fd"))),
            mounts: std::fs::read_to_string("/proc/self/mountinfo").unwrap(),
            links,
        }
    }
}

/// The least that is counted within a while: the zygote is still putting away what it had for our last request.
fn at_rest(count: impl Fn() -> usize) -> usize {
    let look = |_| {
        std::thread::sleep(std::time::Duration::from_millis(2));
        count()
    };
    (0..15).map(look).min().unwrap()
}

fn children() -> BTreeSet<u32> {
    let text = std::fs::read_to_string("/proc/thread-self/children").unwrap();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// A zygote and its pid.
fn zygote() -> (Zygote, u32) {
    let before = children();
    let zygote = Zygote::start().unwrap();
    let pid = *children().difference(&before).next().unwrap();
    (zygote, pid)
}

/// A whole plan as JSON, with a network cable, an overlay, a setting and limits, and what runs it.
struct Sweep {
    zygote: Zygote,
    pid: u32,
    good: Value,
    before: Belongings,
    _root: tempfile::TempDir,
}

impl Sweep {
    fn begin() -> Result<Self, String> {
        own_namespace_with_network()?;
        let root = busybox_root()?;
        ensure_bridge("docker0", [172, 17, 0, 1].into(), 16, None).unwrap();
        let (zygote, pid) = zygote();
        let mut spec = docker_spec_without_user_namespace(&["true"]);
        spec["domainname"] = "example".into();
        spec["root"]["readonly"] = true.into();
        spec["linux"]["sysctl"] = json!({"net.ipv4.ip_unprivileged_port_start": "0"});
        spec["process"]["rlimits"] = json!([{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
        spec["process"]["cwd"] = "/tmp".into();
        let veth = Veth {
            bridge: "docker0".into(),
            host_name: "veth1".into(),
            inside: "eth0".into(),
            address: [172, 17, 0, 2].into(),
            prefix: 16,
            gateway: Some([172, 17, 0, 1].into()),
            mac: [2, 0x42, 172, 17, 0, 2],
            mtu: None,
        };
        let options = PlanOptions { cables: vec![veth], die_with_parent: true, ..Default::default() };
        let upper = Upper::Ephemeral { bytes_max: 1 << 20, inodes_max: 100 };
        let rootfs = Rootfs::Overlay { lower: vec![root.path().into()], upper };
        let plan = Plan::new(&serde_json::from_value(spec).unwrap(), rootfs, options).unwrap();
        let good = serde_json::to_value(&plan).unwrap();
        let run = |zygote: &Zygote| finish(zygote.create(&plan, Stdio::Pipes, &[]).unwrap().start().unwrap());
        assert_eq!(run(&zygote).status, 0);
        assert!(eventually(|| Belongings::look(&zygote, pid).links == ["lo", "docker0"]));
        let before = Belongings::look(&zygote, pid);
        Ok(Self { zygote, pid, good, before, _root: root })
    }

    fn steps(&self) -> &Vec<Value> {
        self.good["steps"].as_array().unwrap()
    }

    /// Where in the good plan the first step of this kind is.
    fn place_of(&self, kind: &str) -> Option<usize> {
        self.steps().iter().position(|step| kind_of(step) == kind)
    }

    /// The good plan with one more step at this place.
    fn with(&self, step: Value, at: usize) -> Value {
        let mut bad = self.good.clone();
        bad["steps"].as_array_mut().unwrap().insert(at, step);
        bad
    }

    /// The error that a plan comes to, having left nothing behind.
    fn fails(&self, plan: Value, what: &str) -> isolab_runtime::Error {
        let plan: Plan = serde_json::from_value(plan).unwrap_or_else(|error| panic!("{what}: {error}"));
        let made = self.zygote.create(&plan, Stdio::Terminal { cols: 80, rows: 24 }, &[]);
        let error = made.err().unwrap_or_else(|| panic!("{what} does not fail"));
        self.nothing_is_left(what);
        error
    }

    fn nothing_is_left(&self, what: &str) {
        if !eventually(|| Belongings::look(&self.zygote, self.pid) == self.before) {
            let now = Belongings::look(&self.zygote, self.pid);
            panic!("{what} left something behind: {now:#?} was {:#?}", self.before);
        }
    }
}

/// `Mount` of `{"Mount": …}`, `Pivot` of `"Pivot"`.
fn kind_of(step: &Value) -> String {
    let named = step.as_object().and_then(|object| object.keys().next().cloned());
    named.or_else(|| step.as_str().map(str::to_owned)).unwrap()
}

fn wherever_it_fails_nothing_stays_behind() -> Outcome {
    let sweep = need!(Sweep::begin());
    let steps = sweep.steps().len();
    assert!(steps > 15);
    for n in 0..=steps {
        // Longer than any host's name can be: the kernel refuses it wherever it comes.
        let step = json!({"Hostname": "x".repeat(65)});
        let error = sweep.fails(sweep.with(step, n), &format!("step {n}"));
        assert_eq!(error.errno, nix::libc::EINVAL, "step {n}: {error}");
        assert!(error.step.contains("hostname"), "step {n}: {error}");
    }
    // What fails before and after the steps: the cable, and the program.
    let mut bad = sweep.good.clone();
    bad["options"]["cables"][0]["bridge"] = "nosuchbridge".into();
    assert!(sweep.fails(bad, "the cable").call.contains("nosuchbridge"));
    let mut bad = sweep.good.clone();
    bad["program"]["arguments"] = json!(["/nowhere"]);
    assert_eq!(sweep.fails(bad, "the program").errno, nix::libc::ENOENT);
    let plan: Plan = serde_json::from_value(sweep.good.clone()).unwrap();
    assert_eq!(finish(sweep.zygote.create(&plan, Stdio::Pipes, &[]).unwrap().start().unwrap()).status, 0);
    sweep.nothing_is_left("the good plan");
    Outcome::Passed
}

/// All kinds of steps, as serde lists them to whoever names another: a new one without an entry below fails.
fn kinds(good: &Value) -> Vec<String> {
    let mut nonsense = good.clone();
    nonsense["steps"] = json!(["Nonsense"]);
    let error = serde_json::from_value::<Plan>(nonsense).unwrap_err().to_string();
    let (_, list) = error.split_once("expected one of ").unwrap();
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Of each kind a step that fails by what it is about (or, where it is about nothing, by what is not there before it), where it
/// comes in, and words of the error that name it.
fn failing(sweep: &Sweep, kind: &str) -> (Value, usize, Vec<&'static str>) {
    let natural = sweep.place_of(kind).unwrap_or(sweep.place_of("Pivot").unwrap());
    let of_kind = |kind: &str| sweep.steps()[sweep.place_of(kind).unwrap()].clone();
    // No file's name is as long.
    let long = "x".repeat(300);
    let name_too_long = |path: &str| json!([format!("{path}/{long}")]);
    let (step, words) = match kind {
        "Hostname" => (json!({"Hostname": "h".repeat(65)}), vec!["hostname", "hhh"]),
        "Domainname" => (json!({"Domainname": "d".repeat(65)}), vec!["domain", "ddd"]),
        "PlugIn" => {
            let mut step = of_kind("PlugIn");
            step["PlugIn"]["inside"] = "eth7".into();
            (step, vec!["eth7", "172.17.0.2/16"])
        }
        "Root" => {
            let mut step = of_kind("Root");
            step["Root"]["rootfs"] = json!({"Directory": "/nowhere"});
            (step, vec!["/nowhere", "root"])
        }
        "Mount" => {
            let mut step = of_kind("Mount");
            step["Mount"]["source"]["New"]["fstype"] = "nosuchfs".into();
            (step, vec!["nosuchfs", "/proc"])
        }
        "ControlGroups" => {
            let mut step = of_kind("ControlGroups");
            step["ControlGroups"]["mount"]["destination"] = format!("/sys/{long}").into();
            (step, vec!["cgroup", "/sys/xxx"])
        }
        "WorkingDirectory" => {
            (json!({"WorkingDirectory": "/bin/busybox/deeper"}), vec!["/bin/busybox/deeper"])
        }
        "Device" => {
            let mut step = of_kind("Device");
            step["Device"]["path"] = format!("/dev/{long}").into();
            (step, vec!["device", "/dev/xxx"])
        }
        "Setting" => {
            (json!({"Setting": {"path": "net/ipv4/nosuch", "value": "1"}}), vec!["net.ipv4.nosuch = 1"])
        }
        "ReadOnlyPaths" => (json!({"ReadOnlyPaths": name_too_long("/etc")}), vec!["1 paths read-only"]),
        "MaskedPaths" => (json!({"MaskedPaths": name_too_long("/etc")}), vec!["masking 1 paths"]),
        "Limit" => {
            (json!({"Limit": {"name": "RLIMIT_CORE", "soft": 5, "hard": 4}}), vec!["RLIMIT_CORE", "5"])
        }
        "AppArmor" => (json!({"AppArmor": "isolab-no-such-profile"}), vec!["profile isolab-no-such-profile"]),
        // These are about nothing: they fail where nothing is there yet.
        "DeviceLinks" => return (json!(kind), 0, vec!["links in /dev"]),
        "Console" => return (json!(kind), 0, vec!["/dev/console"]),
        "ReadOnlyRoot" => return (json!(kind), 0, vec!["root read-only"]),
        "Pivot" => return (of_kind(kind), 0, vec!["changing the root"]),
        other => panic!("no step of the kind {other} is made to fail: add one"),
    };
    (step, natural, words)
}

/// Bringing up a loopback fails for who is nobody in the network namespace: a test of its own makes it so.
const NEEDS_ANOTHERS_NETWORK: &str = "LoopbackUp";

fn every_kind_of_step_that_fails_is_named() -> Outcome {
    let sweep = need!(Sweep::begin());
    let kinds = kinds(&sweep.good);
    assert!(kinds.len() >= 17 && kinds.iter().any(|kind| kind == NEEDS_ANOTHERS_NETWORK), "{kinds:?}");
    for kind in kinds.iter().filter(|kind| *kind != NEEDS_ANOTHERS_NETWORK) {
        let (step, at, words) = failing(&sweep, kind);
        let error = sweep.fails(sweep.with(step, at), kind);
        for word in words {
            assert!(error.step.contains(word), "{kind}: the step is not named ({word}): {error}");
        }
        assert!(!error.call.is_empty() && error.errno != 0, "{kind}: {error:?}");
    }
    // A user namespace of its own has no power over its maker's network.
    let mut bad = sweep.with(json!("LoopbackUp"), 0);
    bad["namespaces"]["new"] =
        json!((bad["namespaces"]["new"].as_u64().unwrap() | 0x1000_0000) & !0x4000_0000);
    bad["options"]["cables"] = json!([]);
    let one = json!([{"inside": 0, "outside": 0, "count": 1}]);
    bad["id_maps"] = json!({"uids": one, "gids": one});
    let error = sweep.fails(bad, NEEDS_ANOTHERS_NETWORK);
    assert!(error.step.contains("loopback") && error.errno == nix::libc::EPERM, "{error}");
    Outcome::Passed
}

fn who_cannot_join_leaves_nothing_and_says_why() -> Outcome {
    let mut sweep = need!(Sweep::begin());
    let mut forever = sweep.good.clone();
    forever["program"]["arguments"] = json!(["sleep", "1000"]);
    let plan: Plan = serde_json::from_value(forever).unwrap();
    let running = sweep.zygote.create(&plan, Stdio::Null, &[]).unwrap().start().unwrap();
    let process = json!({
        "args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0},
        "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}, {"type": "RLIMIT_CPU", "soft": 5, "hard": 9}],
    });
    let good = EnterPlan::new(&serde_json::from_value(process).unwrap(), None).unwrap();
    let join = |plan: &EnterPlan, stdio| sweep.zygote.enter(running.pidfd.as_fd(), plan, stdio);
    assert_eq!(finish(join(&good, Stdio::Pipes).unwrap()).status, 0);
    let at_rest = Belongings::look(&sweep.zygote, sweep.pid);
    let inside = || pids(running.procfs.as_ref().unwrap().as_fd());
    let good = serde_json::to_value(&good).unwrap();
    let limits = good["limits"].as_array().unwrap().len();
    let mut bad_ones: Vec<(Value, &str)> = vec![];
    for n in 0..=limits {
        let mut bad = good.clone();
        let limit = json!({"name": "RLIMIT_NOFILE", "soft": 9, "hard": 8});
        bad["limits"].as_array_mut().unwrap().insert(n, limit);
        bad_ones.push((bad, "RLIMIT_NOFILE"));
    }
    for (arguments, words) in [(json!(["/nowhere"]), "executing"), (json!(["/etc"]), "executing")] {
        let mut bad = good.clone();
        bad["program"]["arguments"] = arguments;
        bad_ones.push((bad, words));
    }
    let mut bad = good.clone();
    bad["program"]["working_directory"] = "/nowhere".into();
    bad_ones.push((bad, "becoming \"true\""));
    let before = inside();
    sweep.before = at_rest;
    for (bad, words) in bad_ones {
        let plan: EnterPlan = serde_json::from_value(bad.clone()).unwrap();
        for stdio in [Stdio::Pipes, Stdio::Terminal { cols: 80, rows: 24 }] {
            let error = sweep.zygote.enter(running.pidfd.as_fd(), &plan, stdio).unwrap_err();
            assert!(error.step.contains(words), "{words}: {error}");
            sweep.nothing_is_left(words);
            assert!(eventually(|| inside() == before), "{words}: {:?} are in the container", inside());
        }
    }
    Outcome::Passed
}

fn own_namespace_with_network() -> Result<(), String> {
    enter_own_namespace()?;
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET | nix::sched::CloneFlags::CLONE_NEWUTS)
        .map_err(|e| e.to_string())
}

fn a_program_that_cannot_run_says_why() -> Outcome {
    let root = need!(busybox_root());
    let zygote = Zygote::start().unwrap();
    for (program, errno, words) in [
        ("nosuchprogram", nix::libc::ENOENT, "$PATH"),
        ("/nowhere", nix::libc::ENOENT, "/nowhere"),
        ("/etc", nix::libc::EACCES, "/etc"),
    ] {
        let spec: Value = need!(docker_spec(&[program]));
        let error = create(&zygote, &spec, Rootfs::Directory(root.path().into()), Stdio::Null).unwrap_err();
        assert_eq!(error.errno, errno, "{error}");
        assert!(error.call.contains(words) && error.step.contains("executing"), "{error}");
    }
    Outcome::Passed
}

fn a_created_container_that_is_dropped_is_gone() -> Outcome {
    let root = need!(busybox_root());
    let spec = need!(docker_spec(&["sleep", "100"]));
    let (zygote, _) = zygote();
    let before = children();
    let created = create(&zygote, &spec, Rootfs::Directory(root.path().into()), Stdio::Null).unwrap();
    let pid = created.pid();
    assert!(children().contains(&pid));
    drop(created);
    assert_eq!(children(), before);
    Outcome::Passed
}

fn many_threads_share_a_zygote() -> Outcome {
    let root = need!(busybox_root());
    need!(id_maps());
    let zygote = Zygote::start().unwrap();
    let one = &|number: usize| {
        let words = format!("number {number}");
        let spec = docker_spec(&["sh", "-c", &format!("echo {words}")]).unwrap();
        let rootfs = Rootfs::Directory(root.path().into());
        let ran = finish(create(&zygote, &spec, rootfs, Stdio::Pipes).unwrap().start().unwrap());
        assert_eq!(ran.stdout.trim(), words);
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..6).map(|number| scope.spawn(move || (0..4).for_each(|_| one(number)))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    Outcome::Passed
}

fn a_request_that_is_too_long_is_refused() -> Outcome {
    let root = need!(busybox_root());
    let mut spec = need!(docker_spec(&["true"]));
    let zygote = Zygote::start().unwrap();
    let run = |spec: &Value| create(&zygote, spec, Rootfs::Directory(root.path().into()), Stdio::Pipes);
    let good = spec["process"]["env"].clone();
    spec["process"]["env"].as_array_mut().unwrap().push(format!("LONG={}", "x".repeat(1 << 20)).into());
    assert_eq!(run(&spec).unwrap_err().errno, nix::libc::EMSGSIZE);
    spec["process"]["env"] = good;
    assert_eq!(finish(run(&spec).unwrap().start().unwrap()).status, 0);
    Outcome::Passed
}

fn a_zygote_is_refused_once_there_are_threads() -> Outcome {
    let (_keep, end) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || end.recv());
    let error = Zygote::start().unwrap_err();
    assert!(error.call.contains("threads") && error.errno == nix::libc::EBUSY, "{error}");
    drop(_keep);
    let _ = thread.join().unwrap();
    Outcome::Passed
}

fn the_zygote_ends_with_its_last_handle() -> Outcome {
    let (zygote, pid) = zygote();
    let other = zygote.clone();
    let pidfd = process::open(pid).unwrap();
    drop(zygote);
    assert_eq!(process::try_wait(pidfd.as_fd()).unwrap(), None);
    drop(other);
    // Reaped as well: what ended and was not waited for would still be listed.
    assert!(!children().contains(&pid));
    Outcome::Passed
}

fn a_container_that_waits_ends_with_its_owner() -> Outcome {
    let root = need!(busybox_root());
    let spec = need!(docker_spec(&["sleep", "100"]));
    let zygote = Zygote::start().unwrap();
    let created = create(&zygote, &spec, Rootfs::Directory(root.path().into()), Stdio::Null).unwrap();
    // The owner's end closes with the owner; here only it does.
    let pidfd = process::open(created.pid()).unwrap();
    std::mem::forget(zygote);
    let io = close_sockets();
    assert!(io > 0);
    assert_eq!(process::wait(pidfd.as_fd()).unwrap().as_shell(), 1);
    std::mem::forget(created);
    Outcome::Passed
}

/// Closes every socket of ours as our end would, and says how many there were.
fn close_sockets() -> usize {
    let is_socket = |path: &std::path::Path| {
        std::fs::read_link(path).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    };
    let numbers: Vec<i32> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| entry.ok())
        .filter(|entry| is_socket(&entry.path()))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    numbers.iter().filter(|&&number| nix::unistd::close(number).is_ok()).count()
}
