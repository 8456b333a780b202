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

/// A control group can have any name but one with a newline.
const NO_GROUP: &str = "new\nline";

fn can_have_groups() -> bool {
    rustix::process::geteuid().is_root() && Path::new("/sys/fs/cgroup").is_dir()
}

/// What a command complains about; it must fail. By way of a file: a program that is left running would hold a pipe open.
fn fails(place: &Place, what: &str, words: &[&str]) -> String {
    let said = std::fs::File::create(place.dir.path().join("said")).unwrap();
    let status = place.command(words).stdout(Stdio::null()).stderr(said).status().unwrap();
    assert!(!status.success(), "{what}: {words:?} succeeds");
    std::fs::read_to_string(place.dir.path().join("said")).unwrap()
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
        ("a group whose name the kernel refuses, below one that can be", "control group", |spec| {
            let group = spec["linux"]["cgroupsPath"].as_str().unwrap();
            spec["linux"]["cgroupsPath"] = json!(format!("{group}/{NO_GROUP}"));
            // Without a limit an ordinary user's container goes without a group.
            spec["linux"]["resources"] = json!({"pids": {"limit": 50}});
        }),
    ]
}

#[test]
fn what_fails_in_the_set_up_leaves_nothing() {
    let place = Place::new(&["true"]);
    let group = format!("isolab-failures-{}", std::process::id());
    place.change(|spec| spec["linux"]["cgroupsPath"] = json!(format!("/{group}")));
    let good = std::fs::read(place.bundle().join("config.json")).unwrap();
    let has_groups = can_have_groups();
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
            let error = fails(&place, what, &[command, "--bundle", bundle.to_str().unwrap(), "c"]);
            let is_about_groups = what.contains("the kernel refuses");
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

#[test]
fn a_program_whose_engine_is_not_told_of_it_is_ended() {
    let place = Place::new(&["sh", "-c", "echo started > /started; exec sleep 1000"]);
    let group = format!("isolab-untold-{}", std::process::id());
    let bundle = place.bundle();
    let bundle = bundle.to_str().unwrap();
    let nowhere = place.dir.path().join("nowhere/file");
    let nowhere = nowhere.to_str().unwrap();
    let asked = ["--pid-file", "--console-socket"];
    // With a group of its own a container is made in two steps, without one in one.
    for cgroups_path in [String::new(), format!("/{group}")] {
        for told in asked {
            place.change(|spec| {
                spec["linux"]["cgroupsPath"] = json!(cgroups_path);
                spec["process"]["terminal"] = json!(told == "--console-socket");
            });
            for command in [&["create"][..], &["run"], &["run", "--detach"]] {
                let what = format!("{command:?} {told} {cgroups_path:?}");
                let words = [command, &["--bundle", bundle, told, nowhere, "c"]].concat();
                let error = fails(&place, &what, &words);
                assert!(error.contains(nowhere), "{what}: {error}");
                assert_eq!(place.good(&["list", "--quiet"]), "", "{what}");
                let left = Left::look(&place, &group);
                assert!(left.is_nothing(), "{what}: {left:?}");
            }
        }
    }
    place.change(|spec| spec["process"]["terminal"] = json!(false));
    place.create();
    place.good(&["start", "c"]);
    place.wait_for("running");
    let inside = || {
        let told = place.good(&["ps", "--format", "json", "c"]);
        serde_json::from_str::<Vec<u32>>(&told).unwrap()
    };
    let before = inside();
    for told in asked {
        let terminal = if told == "--console-socket" { &["--tty"][..] } else { &[] };
        for detach in [&["--detach"][..], &[]] {
            let words = [&["exec", told, nowhere], terminal, detach, &["c", "sleep", "1000"]].concat();
            let error = fails(&place, "a program more", &words);
            assert!(error.contains(nowhere), "{words:?}: {error}");
            // Whoever adopts what was killed may be a moment late.
            let gone = (0..100).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(10));
                inside() == before
            });
            assert!(gone, "{words:?}: {:?} are in the container, and {before:?} were", inside());
        }
    }
}

#[test]
fn a_group_that_is_in_use_is_refused_and_nobody_in_it_is_ended() {
    let place = Place::new(&["sleep", "1000"]);
    let group = format!("isolab-used-{}", std::process::id());
    if !can_have_groups() {
        eprintln!("SKIPPED: control groups are root's here, or there are none");
        return;
    }
    let mut used = vec![];
    // What is below a group is in it, too.
    for (own, others) in [(group.clone(), group.clone()), (group.clone(), format!("{group}/below"))] {
        place.change(|spec| spec["linux"]["cgroupsPath"] = json!(format!("/{others}")));
        place.create();
        let pid = place.state()["pid"].as_u64().unwrap();
        used = groups(&group);
        place.change(|spec| spec["linux"]["cgroupsPath"] = json!(format!("/{own}")));
        let bundle = place.bundle();
        for command in ["create", "run"] {
            let words = [command, "--bundle", bundle.to_str().unwrap(), "another"];
            let error = fails(&place, "a group in use", &words);
            assert!(error.contains(&group) && error.contains(&pid.to_string()), "{error}");
        }
        assert_eq!(place.good(&["list", "--quiet"]), "c\n");
        assert_eq!(place.state()["status"], "created");
        place.good(&["delete", "--force", "c"]);
        for left in groups(&group) {
            assert!(others != own, "{left:?} is left");
            std::fs::remove_dir(left).unwrap();
        }
    }
    // In use in one hierarchy only. Nobody gets into a new group of version 1's cpuset.
    let bundle = place.bundle();
    let words = ["create", "--bundle", bundle.to_str().unwrap(), "another"];
    for own in used.iter().filter(|own| !own.with_file_name("cpuset.cpus").exists()) {
        std::fs::create_dir(own).unwrap();
        let mut member = Member::of(own);
        let error = fails(&place, "a group in use in one hierarchy", &words);
        assert!(error.contains(own.to_str().unwrap()), "{own:?}: {error}");
        assert_eq!(member.0.try_wait().unwrap(), None, "{own:?}: who was in it has ended");
        drop(member);
        assert_eq!(groups(&group), std::slice::from_ref(own));
        std::fs::remove_dir(own).unwrap();
    }
}

/// A process in a control group. Dropped, it has ended.
struct Member(std::process::Child);

impl Member {
    fn of(group: &Path) -> Self {
        let mut sleep = std::process::Command::new(super::BUSYBOX);
        let sleep =
            sleep.args(["sleep", "1000"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let member = Self(sleep.spawn().unwrap());
        std::fs::write(group.join("cgroup.procs"), member.0.id().to_string()).unwrap();
        member
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_group_that_cannot_be_made_leaves_those_that_were_there() {
    let place = Place::new(&["true"]);
    let group = format!("isolab-kept-{}", std::process::id());
    if !can_have_groups() {
        eprintln!("SKIPPED: control groups are root's here, or there are none");
        return;
    }
    place.change(|spec| spec["linux"]["cgroupsPath"] = json!(format!("/{group}/mine")));
    place.create();
    let mine = groups(&format!("{group}/mine"));
    place.good(&["delete", "--force", "c"]);
    assert!(!mine.is_empty() && groups(&format!("{group}/mine")).is_empty(), "{mine:?}");
    let there = groups(&group);
    // The kernel's own file is in one hierarchy, which may be the last: in those before, the group has been made by then.
    for (new, name) in [("new", NO_GROUP), ("pids.max", ""), ("pids.max", "below")] {
        place.change(|spec| {
            spec["linux"]["cgroupsPath"] = json!(format!("/{group}/{new}/{name}"));
            spec["linux"]["resources"] = json!({"pids": {"limit": 50}});
        });
        let bundle = place.bundle();
        let error = fails(&place, new, &["run", "--bundle", bundle.to_str().unwrap(), "c"]);
        assert!(error.contains("control group") && error.contains("mkdir"), "{error}");
        // Empty as they are, they are somebody's.
        assert_eq!((groups(&group), groups(&format!("{group}/{new}"))), (there.clone(), vec![]));
    }
    groups(&group).iter().for_each(|group| std::fs::remove_dir(group).unwrap());
}
