//! Set-ups that fail: at every step, and in the words of the one who has to mend it. Nothing may stay behind.

use crate::harness::{Outcome, Test};
use crate::need;
use crate::support::*;
use crate::zygotes::{children, zygote};
use isolab_runtime::cgroup::Group;
use isolab_runtime::{
    EnterPlan, Plan, PlanOptions, Rootfs, Stdio, Upper, Veth, Zygote, ensure_bridge, process,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::fd::AsFd;

pub const TESTS: &[Test] = &[
    ("failures::wherever_it_fails_nothing_stays_behind", wherever_it_fails_nothing_stays_behind),
    ("failures::every_step_fails_at_its_place_and_is_named", every_step_fails_at_its_place_and_is_named),
    ("failures::who_cannot_join_leaves_nothing_and_says_why", who_cannot_join_leaves_nothing_and_says_why),
    ("failures::a_program_that_cannot_run_says_why", a_program_that_cannot_run_says_why),
];

/// Everything of ours that a failed set-up could leave: children, descriptors, mounts, links, processes in control groups.
#[derive(Debug, PartialEq, Eq)]
struct Belongings {
    children: BTreeSet<u32>,
    descriptors: usize,
    zygotes_descriptors: usize,
    mounts: String,
    links: Vec<String>,
    /// Where the zygote is counted. It joins the group of what it makes for that moment.
    zygotes_groups: String,
    in_group: Vec<u32>,
}

impl Belongings {
    fn look(zygote: &Zygote, zygote_pid: u32, group: Option<&Group>) -> Self {
        let own = process::open(std::process::id()).unwrap();
        let count = |path: String| std::fs::read_dir(path).map_or(0, Iterator::count);
        let links = zygote.survey(own.as_fd()).unwrap().links.into_iter().map(|link| link.name).collect();
        Self {
            children: children(),
            descriptors: count("/proc/self/fd".into()),
            zygotes_descriptors: at_rest(|| count(format!("/proc/{zygote_pid}/fd"))),
            mounts: std::fs::read_to_string("/proc/self/mountinfo").unwrap(),
            links,
            zygotes_groups: std::fs::read_to_string(format!("/proc/{zygote_pid}/cgroup")).unwrap(),
            in_group: group.map(Group::processes).unwrap_or_default(),
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

/// A whole plan as JSON, with a network cable, a control group, an overlay, a setting and limits, and what runs it.
struct Sweep {
    zygote: Zygote,
    pid: u32,
    good: Value,
    before: Belongings,
    /// Where the caller may make one.
    group: Option<Group>,
    _root: tempfile::TempDir,
}

impl Sweep {
    fn begin() -> Result<Self, String> {
        let is_root_of_the_machine = rustix::process::geteuid().is_root();
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
        let group = format!("isolab-steps-{}", std::process::id());
        let group = Group::make(group.as_ref());
        let group = if is_root_of_the_machine { group.unwrap() } else { group.ok().flatten() };
        let options = PlanOptions {
            cables: vec![veth],
            group: group.clone(),
            die_with_parent: true,
            ..Default::default()
        };
        let upper = Upper::Ephemeral { bytes_max: 1 << 20, inodes_max: 100 };
        let rootfs = Rootfs::Overlay { lower: vec![root.path().into()], upper };
        let plan = Plan::new(&serde_json::from_value(spec).unwrap(), rootfs, options).unwrap();
        let good = serde_json::to_value(&plan).unwrap();
        let run = |zygote: &Zygote| finish(zygote.create(&plan, Stdio::Pipes, &[]).unwrap().start().unwrap());
        assert_eq!(run(&zygote).status, 0);
        let look = || Belongings::look(&zygote, pid, group.as_ref());
        assert!(eventually(|| look().links == ["lo", "docker0"] && look().in_group.is_empty()));
        let before = look();
        Ok(Self { zygote, pid, good, before, group, _root: root })
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
        if !eventually(|| self.look() == self.before) {
            panic!("{what} left something behind: {:#?} was {:#?}", self.look(), self.before);
        }
    }

    fn look(&self) -> Belongings {
        Belongings::look(&self.zygote, self.pid, self.group.as_ref())
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        self.group.as_ref().map(Group::remove);
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

/// A step of the good plan made to fail by what it is about: what comes in its place, the name of the step, and words of the call.
fn spoiled(good: &Value) -> (Vec<Value>, String, &'static str) {
    let kind = kind_of(good);
    let mut step = good.clone();
    // No file's name is as long.
    let long = "x".repeat(300);
    let paths = |step: &Value| step[&kind].as_array().map_or(0, Vec::len);
    let (name, call) = match kind.as_str() {
        "Hostname" => {
            step["Hostname"] = "h".repeat(65).into();
            (format!("setting the hostname {}", "h".repeat(65)), "sethostname")
        }
        "Domainname" => {
            step["Domainname"] = "d".repeat(65).into();
            (format!("setting the domain name {}", "d".repeat(65)), "setdomainname")
        }
        "PlugIn" => {
            step["PlugIn"]["inside"] = "eth7".into();
            ("giving eth7 the address 172.17.0.2/16".into(), "eth7")
        }
        "Root" => {
            step["Root"]["rootfs"] = json!({"Directory": "/nowhere"});
            ("making /nowhere the root".into(), "/nowhere")
        }
        "Mount" => {
            step["Mount"]["source"]["New"]["fstype"] = "nosuchfs".into();
            let destination = step["Mount"]["destination"].as_str().unwrap();
            (format!("mounting nosuchfs at {destination}"), "nosuchfs")
        }
        "ControlGroups" => {
            let destination = format!("/sys/{long}");
            step["ControlGroups"]["mount"]["destination"] = destination.as_str().into();
            let fstype = good["ControlGroups"]["mount"]["source"]["New"]["fstype"].as_str().unwrap();
            (format!("mounting {fstype} at {destination}"), "sys/xxx")
        }
        "WorkingDirectory" => {
            step["WorkingDirectory"] = "/bin/busybox/deeper".into();
            ("making the working directory /bin/busybox/deeper".into(), "/bin/busybox/deeper")
        }
        "Device" => {
            step["Device"]["path"] = format!("/dev/{long}").into();
            (format!("making the device /dev/{long}"), "dev/xxx")
        }
        "DeviceLinks" => {
            // The file system has room for its own directory and two of the links.
            let attributes = json!({"set": 0, "clear": 0});
            let small = json!({"fstype": "tmpfs", "name": "tmpfs", "options": [["nr_inodes", "3"]]});
            let over = json!({"Mount": {"destination": "/dev", "source": {"New": small}, "attributes": attributes,
                "recursive": attributes, "propagation": null}});
            return (vec![over, step], "making the links in /dev".into(), "/dev/stdout");
        }
        "Console" => {
            let in_its_place = json!({"WorkingDirectory": "/dev/console"});
            return (vec![in_its_place, step], "making /dev/console".into(), "move_mount");
        }
        "Setting" => {
            step["Setting"]["path"] = "net/ipv4/nosuch".into();
            ("setting net.ipv4.nosuch = 0".into(), "nosuch")
        }
        // The call names the one of several paths.
        "ReadOnlyPaths" => {
            step["ReadOnlyPaths"].as_array_mut().unwrap().push(format!("/etc/{long}").into());
            (format!("making {} paths read-only", paths(&step)), "/etc/xxx")
        }
        "MaskedPaths" => {
            step["MaskedPaths"].as_array_mut().unwrap().push(format!("/etc/{long}").into());
            (format!("masking {} paths", paths(&step)), "/etc/xxx")
        }
        // What is the root already cannot become it.
        "Pivot" => return (vec![step.clone(), step], "changing the root".into(), "pivot_root"),
        "Limit" => {
            step["Limit"]["soft"] = 5.into();
            step["Limit"]["hard"] = 4.into();
            ("limiting RLIMIT_CORE to 5".into(), "rlimit")
        }
        other => panic!("no step of the kind {other} is made to fail: add one"),
    };
    (vec![step], name, call)
}

/// Bringing up a loopback fails for who is nobody in the network namespace; that plan is another one.
const NEEDS_ANOTHERS_NETWORK: &str = "LoopbackUp";
/// Nothing keeps a root that is there from being read-only: this fails where none is there yet.
const NEEDS_NO_ROOT: &str = "ReadOnlyRoot";
/// Kinds that the good plan has not, because not every machine could carry them out.
const NOT_IN_THE_PLAN: &[&str] = &["AppArmor"];

fn every_step_fails_at_its_place_and_is_named() -> Outcome {
    let sweep = need!(Sweep::begin());
    let is_named = |plan: Value, what: &str, name: &str, call: &str| {
        let error = sweep.fails(plan, what);
        assert!(error.step.contains(name), "{what}: the step is not named ({name}): {error}");
        assert!(
            error.call.contains(call) && error.errno != 0,
            "{what}: the call is another ({call}): {error}"
        );
        error
    };
    let in_the_plan: BTreeSet<_> = sweep.steps().iter().map(kind_of).collect();
    let others: BTreeSet<_> = NOT_IN_THE_PLAN.iter().map(|kind| kind.to_string()).collect();
    let kinds = kinds(&sweep.good).into_iter().collect();
    assert_eq!(&in_the_plan | &others, kinds, "of each kind there is a step that fails");
    for (at, step) in sweep.steps().iter().enumerate() {
        let what = format!("step {at}, {step}");
        let kind = kind_of(step);
        if kind == NEEDS_ANOTHERS_NETWORK {
            let mut bad = sweep.good.clone();
            // A user namespace of its own has no power over its maker's network.
            bad["namespaces"]["new"] =
                json!((bad["namespaces"]["new"].as_u64().unwrap() | 0x1000_0000) & !0x4000_0000);
            bad["options"]["cables"] = json!([]);
            let one = json!([{"inside": 0, "outside": 0, "count": 1}]);
            bad["id_maps"] = json!({"uids": one, "gids": one});
            assert_eq!(is_named(bad, &what, "bringing up the loopback", "netlink").errno, nix::libc::EPERM);
            continue;
        }
        if kind == NEEDS_NO_ROOT {
            is_named(sweep.with(step.clone(), 0), &what, "making the root read-only", "no root yet");
            continue;
        }
        let (instead, name, call) = spoiled(step);
        let mut bad = sweep.good.clone();
        bad["steps"].as_array_mut().unwrap().splice(at..=at, instead);
        is_named(bad, &what, &name, call);
    }
    let at_the_end = sweep.place_of("Pivot").unwrap() + 1;
    let profile = json!({"AppArmor": "isolab-no-such-profile"});
    is_named(sweep.with(profile, at_the_end), "AppArmor", "profile isolab-no-such-profile", "");
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
    let at_rest = sweep.look();
    // What could be left in the group shows where there is something.
    assert!(sweep.group.is_none() || at_rest.in_group == [running.pid], "{at_rest:?}");
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

/// Root stays root of the machine, whose control groups nobody else may leave again. Others become root of a namespace of their own.
fn own_namespace_with_network() -> Result<(), String> {
    use nix::sched::{CloneFlags, unshare};
    let mut flags = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS;
    match rustix::process::geteuid().is_root() {
        true => flags |= CloneFlags::CLONE_NEWNS,
        false => enter_own_namespace()?,
    }
    unshare(flags).map_err(|e| e.to_string())?;
    let private = rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).map_err(|e| e.to_string())
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
