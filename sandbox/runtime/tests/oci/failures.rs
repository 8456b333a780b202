//! Creations that fail, at each part of a container that the command line looks after: control group, set-up, hooks, program. The error
//! names the part, and nothing is left: no container, process, mount or control group.

use super::{Place, text};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// What a failed creation could leave of a container in this place.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    states: Vec<PathBuf>,
    processes: BTreeSet<String>,
    mounts: Vec<String>,
    groups: Vec<PathBuf>,
}

impl Left {
    fn look(place: &Place, group: &str) -> Self {
        let state = std::fs::read_dir(place.dir.path().join("state")).into_iter().flatten().flatten();
        let here = place.dir.path().to_str().unwrap();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        Self {
            states: state.map(|entry| entry.path()).collect(),
            processes: processes_of(here),
            mounts: mounts.lines().filter(|line| line.contains(here)).map(str::to_owned).collect(),
            groups: groups(group),
        }
    }

    fn is_nothing(&self) -> bool {
        *self == Self { states: vec![], processes: BTreeSet::new(), mounts: vec![], groups: vec![] }
    }
}

/// The command lines of processes that name this folder, or that wait in it. One that has ended has none.
fn processes_of(folder: &str) -> BTreeSet<String> {
    let own = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let processes = processes.filter(|path| !path.ends_with(&own));
    let line = |path: PathBuf| {
        let line = text(&std::fs::read(path.join("cmdline")).unwrap_or_default()).replace('\0', " ");
        line.contains(folder).then(|| format!("{}: {line}", path.display()))
    };
    processes.filter_map(line).collect()
}

/// The groups of this name, in any hierarchy.
fn groups(name: &str) -> Vec<PathBuf> {
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let hierarchies = hierarchies.map(|entry| entry.path()).chain(["/sys/fs/cgroup".into()]);
    hierarchies.map(|hierarchy| hierarchy.join(name)).filter(|group| group.is_dir()).collect()
}

/// What is wrong, words of the error that name it, and how it comes about.
type Way = (&'static str, &'static str, fn(&mut Value));

/// Each part of a container made to fail.
fn ways() -> Vec<Way> {
    vec![
        ("a mount of no file system", "/x", |spec| {
            let mount = json!({"destination": "/x", "type": "no-such-fs", "source": "x"});
            spec["mounts"].as_array_mut().unwrap().push(mount);
        }),
        ("a root that is not there", "nowhere", |spec| spec["root"]["path"] = json!("nowhere")),
        ("a masked path that no file can have", "masking", |spec| {
            spec["linux"]["maskedPaths"] = json!([format!("/tmp/{}", "x".repeat(300))]);
        }),
        ("a read-only path that no file can have", "read-only", |spec| {
            spec["linux"]["readonlyPaths"] = json!([format!("/tmp/{}", "x".repeat(300))]);
        }),
        ("a setting that the kernel has not", "kernel.nosuch", |spec| {
            spec["linux"]["sysctl"] = json!({"kernel.nosuch": "1"});
        }),
        ("a limit that is less than itself", "RLIMIT_CORE", |spec| {
            spec["process"]["rlimits"] = json!([{"type": "RLIMIT_CORE", "soft": 5, "hard": 4}]);
        }),
        ("a name that is too long", "hostname", |spec| spec["hostname"] = json!("x".repeat(65))),
        ("a working directory that is a file", "/bin/busybox", |spec| {
            spec["process"]["cwd"] = json!("/bin/busybox/deeper");
        }),
        ("a filter with an action that is none", "SCMP_ACT_NONSENSE", |spec| {
            spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_NONSENSE"});
        }),
        ("a profile that is not there", "isolab-no-such-profile", |spec| {
            spec["process"]["apparmorProfile"] = json!("isolab-no-such-profile");
        }),
        ("a hook that fails", "exit status: 3", |spec| {
            let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", "exit 3"]});
            spec["hooks"] = json!({"createRuntime": [hook]});
        }),
        ("a program that is not there", "executable file not found", |spec| {
            spec["process"]["args"] = json!(["no-such-program"]);
        }),
        ("a limit of a group that the kernel refuses", "cpuset.cpus", |spec| {
            spec["linux"]["resources"] = json!({"cpu": {"cpus": "4000"}});
        }),
        ("a group that is not below the root", "cgroupsPath", |spec| {
            spec["linux"]["cgroupsPath"] = json!("/../isolab");
        }),
    ]
}

#[test]
fn what_fails_in_the_set_up_leaves_nothing() {
    let place = Place::new(&["true"]);
    let group = format!("isolab-failures-{}", std::process::id());
    place.change(|spec| spec["linux"]["cgroupsPath"] = json!(format!("/{group}")));
    let good = std::fs::read(place.bundle().join("config.json")).unwrap();
    let has_groups = rustix::process::geteuid().is_root() && Path::new("/sys/fs/cgroup").is_dir();
    // What is looked for is there while there is a container.
    place.create();
    let there = Left::look(&place, &group);
    assert!(!there.states.is_empty() && !there.processes.is_empty(), "{there:?}");
    assert_eq!(!there.groups.is_empty(), has_groups, "{there:?}");
    place.good(&["delete", "--force", "c"]);
    for (what, named, change) in ways() {
        std::fs::write(place.bundle().join("config.json"), &good).unwrap();
        place.change(change);
        let bundle = place.bundle();
        for command in ["create", "run"] {
            // By way of a file: a container that is made after all would hold a pipe open.
            let said = std::fs::File::create(place.dir.path().join("said")).unwrap();
            let words = [command, "--bundle", bundle.to_str().unwrap(), "c"];
            let status = place.command(&words).stdout(Stdio::null()).stderr(said).status().unwrap();
            let error = std::fs::read_to_string(place.dir.path().join("said")).unwrap();
            assert!(!status.success(), "{what}: it is made");
            let is_about_groups = what.contains("that the kernel refuses");
            assert!(error.contains(named) || is_about_groups && !has_groups, "{what}: {error}");
            assert_eq!(place.good(&["list", "--quiet"]), "", "{what}");
            let left = Left::look(&place, &group);
            assert!(left.is_nothing(), "{what}, {command}: {left:?}");
        }
    }
    std::fs::write(place.bundle().join("config.json"), &good).unwrap();
    assert!(place.run().status.success());
    assert!(Left::look(&place, &group).is_nothing());
}
