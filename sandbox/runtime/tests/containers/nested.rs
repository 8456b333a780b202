//! The case that matters most: a lab host made by a program that is root of its own user namespace only, and in it
//! containers made by the lab host's first process.

use crate::harness::{Outcome, Test};
use crate::need;
use crate::support::*;
use isolab_runtime::{EnterPlan, PlanOptions, Rootfs, Stdio, Upper, Veth, Zygote, ensure_bridge, process};
use serde_json::{Value, json};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

pub const TESTS: &[Test] = &[
    ("nested::a_lab_host_makes_containers", a_lab_host_makes_containers),
    ("nested::a_fork_bomb_stops_at_the_labs_bound", a_fork_bomb_stops_at_the_labs_bound),
    ("nested::a_read_only_stage_stays_read_only_for_the_labs_root", a_read_only_stage_stays_read_only),
    ("nested::a_lab_ends_with_its_agent", a_lab_ends_with_its_agent),
    ("nested::the_procfs_of_a_lab_is_readable_from_outside", the_procfs_of_a_lab_is_readable_from_outside),
];

/// Set in the copy of ourselves that is PID 1 of a lab host.
pub const ENGINE: &str = "ISOLAB_TEST_ENGINE";

/// Ids inside the "agent's" namespace that own labs' user namespaces.
const OWNER: u32 = 62_000;
const LAB_IDS: u32 = 61_440;

/// The agent's stage: a tmpfs on /mnt with a read-only root for labs, whose files belong to the lab's ids.
fn stage(with_engine: bool) -> Result<PathBuf, String> {
    use nix::mount::{MsFlags, mount};
    let tmpfs = Some("tmpfs");
    mount(tmpfs, "/mnt", tmpfs, MsFlags::empty(), None::<&str>).map_err(|e| e.to_string())?;
    let root = busybox_root()?;
    let lower = PathBuf::from("/mnt/lower");
    let copy = std::process::Command::new("cp").arg("-a").arg(root.path()).arg(&lower).status();
    assert!(copy.unwrap().success());
    for name in ["var", "var/lib", "var/lib/docker", "image"] {
        std::fs::create_dir_all(lower.join(name)).unwrap();
    }
    let copy = std::process::Command::new("cp")
        .arg("-a")
        .arg(root.path().join("bin"))
        .arg(lower.join("image"))
        .status();
    assert!(copy.unwrap().success());
    if with_engine {
        std::fs::copy("/proc/self/exe", lower.join("bin/engine")).unwrap();
    }
    let chown = std::process::Command::new("chown").args(["-hR", "1:1"]).arg(&lower).status();
    assert!(chown.unwrap().success());
    let none = None::<&str>;
    mount(Some(&lower), &lower, none, MsFlags::MS_BIND, none).map_err(|e| e.to_string())?;
    mount(none, &lower, none, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY, none)
        .map_err(|e| e.to_string())?;
    Ok(lower)
}

/// The Spec of a lab host: every capability, nothing masked, a tmpfs for containers.
fn lab_spec(command: &[&str]) -> Value {
    let mut spec = docker_spec(command).unwrap();
    let maps = json!([
        {"containerID": 0, "hostID": 1, "size": LAB_IDS},
        {"containerID": 65534, "hostID": 1 + LAB_IDS, "size": 1},
    ]);
    spec["linux"]["uidMappings"] = maps.clone();
    spec["linux"]["gidMappings"] = maps;
    spec["linux"]["maskedPaths"] = json!([]);
    spec["linux"]["readonlyPaths"] = json!([]);
    let all = all_capabilities();
    spec["process"]["capabilities"] = json!({"bounding": all, "effective": all, "permitted": all});
    spec["mounts"].as_array_mut().unwrap().push(json!(
        {"destination": "/var/lib/docker", "type": "tmpfs", "source": "tmpfs", "options": ["mode=0710"]}
    ));
    spec
}

fn lab_options() -> PlanOptions {
    PlanOptions {
        user_namespace_owner: Some((OWNER, OWNER)),
        processes_max: Some(64),
        die_with_parent: true,
        ..PlanOptions::default()
    }
}

fn ephemeral(lower: &Path) -> Rootfs {
    let upper = Upper::Ephemeral { bytes_max: 64 << 20, inodes_max: 4096 };
    Rootfs::Overlay { lower: vec![lower.into()], upper }
}

fn a_lab_host_makes_containers() -> Outcome {
    need!(enter_own_namespace());
    let lower = need!(stage(true));
    let zygote = Zygote::start().unwrap();
    let mut spec = lab_spec(&["/bin/engine"]);
    spec["process"]["env"].as_array_mut().unwrap().push(format!("{ENGINE}=1").into());
    let created = create_with(&zygote, &spec, ephemeral(&lower), lab_options(), Stdio::Pipes).unwrap();
    let ran = finish(created.start().unwrap());
    assert_eq!(ran.status, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("the engine is done"), "{ran:?}");
    Outcome::Passed
}

/// What the engine does: a bridge, a container on it, an exec into it, a look at it.
pub fn engine() {
    assert_eq!(std::process::id(), 1);
    let zygote = Zygote::start().unwrap();
    for _ in 0..2 {
        ensure_bridge("docker0", [172, 17, 0, 1].into(), 16, None).unwrap();
    }
    let directory = Path::new("/var/lib/docker/overlay2/one");
    let part = |name: &str| {
        std::fs::create_dir_all(directory.join(name)).unwrap();
        directory.join(name)
    };
    let upper = Upper::Kept { upper: part("diff"), work: part("work") };
    let rootfs = Rootfs::Overlay { lower: vec!["/image".into()], upper };
    let mut spec =
        docker_spec_without_user_namespace(&["sh", "-c", "echo hello > /made; while :; do sleep 100; done"]);
    spec["linux"]["sysctl"] = json!({"net.ipv4.ip_unprivileged_port_start": "0"});
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
    let options = PlanOptions { cables: vec![veth], ..PlanOptions::default() };
    let created = create_with(&zygote, &spec, rootfs, options, Stdio::Null).unwrap();
    let container = created.start().unwrap();
    let made = directory.join("diff/made");
    assert!(eventually(|| std::fs::read_to_string(&made).is_ok_and(|text| text == "hello\n")));

    let plan = |command: &[&str]| {
        let process = docker_spec_without_user_namespace(command)["process"].take();
        EnterPlan::new(&serde_json::from_value(process).unwrap(), None).unwrap()
    };
    let script = "cat /made; cat /proc/1/comm; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; id -u; \
                  ping -c 1 -W 2 172.17.0.1 >/dev/null && echo reached; grep CapEff /proc/self/status; grep -c \" / / \" /proc/self/mountinfo";
    let entered = zygote.enter(container.pidfd.as_fd(), &plan(&["sh", "-c", script]), Stdio::Pipes).unwrap();
    let ran = finish(entered);
    assert_eq!(ran.stdout, "hello\nsh\n0\n0\nreached\nCapEff:\t00000000a80425fb\n1\n", "{ran:?}");

    let survey = zygote.survey(container.pidfd.as_fd()).unwrap();
    assert_eq!(survey.hostname, "box");
    let eth0 = survey.links.iter().find(|link| link.name == "eth0").unwrap();
    assert_eq!((eth0.kind.as_str(), eth0.up), ("veth", true));
    assert!(eth0.addresses.contains(&"172.17.0.2/16".to_owned()), "{eth0:?}");
    let own = zygote.survey(process::open(1).unwrap().as_fd()).unwrap();
    let port = own.links.iter().find(|link| link.name == "veth1").unwrap();
    assert_eq!((port.bridge.as_deref(), port.peer_index), (Some("docker0"), Some(eth0.index)));

    shares_what_it_is_told_to(&zygote, container.pid);
    process::signal(container.pidfd.as_fd(), 9).unwrap();
    assert_eq!(process::wait(container.pidfd.as_fd()).unwrap().as_shell(), 137);
    joins_while_somebody_else_reaps(&zygote);
    println!("the engine is done");
}

/// PID 1 has to reap whatever becomes its child; what it makes must not depend on being the one who does.
fn joins_while_somebody_else_reaps(zygote: &Zygote) {
    let process = docker_spec_without_user_namespace(&["true"])["process"].take();
    let plan = EnterPlan::new(&serde_json::from_value(process).unwrap(), None).unwrap();
    let own = process::open(1).unwrap();
    std::thread::spawn(|| {
        loop {
            let _ = nix::sys::wait::waitpid(None, None);
            std::thread::yield_now();
        }
    });
    for _ in 0..30 {
        zygote.enter(own.as_fd(), &plan, Stdio::Null).unwrap();
    }
}

/// `--network container:…`, `--pid container:…`, and everything of the host's.
fn shares_what_it_is_told_to(zygote: &Zygote, of: u32) {
    let run = |name: &str, namespaces: Value, command: &[&str]| {
        let directory = PathBuf::from(format!("/var/lib/docker/overlay2/{name}"));
        let part = |part: &str| {
            std::fs::create_dir_all(directory.join(part)).unwrap();
            directory.join(part)
        };
        let upper = Upper::Kept { upper: part("diff"), work: part("work") };
        let mut spec = docker_spec_without_user_namespace(command);
        spec["linux"]["namespaces"] = namespaces;
        spec.as_object_mut().unwrap().remove("hostname");
        let rootfs = Rootfs::Overlay { lower: vec!["/image".into()], upper };
        finish(create(zygote, &spec, rootfs, Stdio::Pipes).unwrap().start().unwrap())
    };
    let path = |kind: &str| format!("/proc/{of}/ns/{kind}");
    let joined = json!([
        {"type": "mount"}, {"type": "uts"}, {"type": "ipc"}, {"type": "cgroup"},
        {"type": "network", "path": path("net")}, {"type": "pid", "path": path("pid")},
    ]);
    let ran = run("two", joined, &["sh", "-c", "ip -o -4 addr show eth0; cat /proc/1/comm"]);
    assert!(ran.stdout.contains("172.17.0.2/16") && ran.stdout.ends_with("sh\n"), "{ran:?}");
    let host = json!([{"type": "mount"}]);
    let ran =
        run("three", host, &["sh", "-c", "hostname; cat /proc/1/comm; ip -o -4 addr show docker0; echo $$"]);
    assert!(ran.stdout.starts_with("box\nengine\n") && ran.stdout.contains("172.17.0.1/16"), "{ran:?}");
    assert_ne!(ran.stdout.lines().last(), Some("1"), "{ran:?}");
}

fn a_fork_bomb_stops_at_the_labs_bound() -> Outcome {
    need!(enter_own_namespace());
    let lower = need!(stage(false));
    let zygote = Zygote::start().unwrap();
    // The bomber's own shell gives up when it cannot fork; each line is a process that was made and still lives.
    let bomb = "i=0; while [ $i -lt 200 ]; do sleep 3 & echo made; i=$((i+1)); done";
    let script = format!("ulimit -u unlimited; ulimit -u 100000; sh -c '{bomb}'; exit 0");
    let spec = lab_spec(&["sh", "-c", &script]);
    let created = create_with(&zygote, &spec, ephemeral(&lower), lab_options(), Stdio::Pipes).unwrap();
    let ran = finish(created.start().unwrap());
    let made = ran.stdout.matches("made").count();
    assert!((32..64).contains(&made), "{made} processes at once; {ran:?}");
    Outcome::Passed
}

fn a_read_only_stage_stays_read_only() -> Outcome {
    need!(enter_own_namespace());
    let lower = need!(stage(false));
    let zygote = Zygote::start().unwrap();
    // The lab's root owns the files underneath, and holds every capability in its own namespaces.
    let script = "touch /stage/x 2>&1; mount -o remount,rw /stage 2>&1; mount -o remount,bind,rw /stage 2>&1; \
                  mkdir /m; mount -o bind /stage /m; mount -o remount,bind,rw /m 2>&1; touch /m/x 2>&1; \
                  stat -c %u /stage/bin; umount /stage 2>&1";
    let mut spec = lab_spec(&["sh", "-c", script]);
    spec["mounts"].as_array_mut().unwrap().push(json!(
        {"destination": "/stage", "type": "bind", "source": lower, "options": ["rbind"]}
    ));
    let created = create_with(&zygote, &spec, ephemeral(&lower), lab_options(), Stdio::Pipes).unwrap();
    let ran = finish(created.start().unwrap());
    let refusals = ran.stdout.matches("Read-only file system").count()
        + ran.stdout.matches("ermission denied").count()
        + ran.stdout.matches("not permitted").count();
    assert!(refusals >= 4, "{ran:?}");
    assert!(ran.stdout.contains("\n0\n"), "the lab's root owns the files: {ran:?}");
    assert!(!lower.join("x").exists());
    Outcome::Passed
}

fn the_procfs_of_a_lab_is_readable_from_outside() -> Outcome {
    need!(enter_own_namespace());
    let lower = need!(stage(false));
    let zygote = Zygote::start().unwrap();
    let spec = lab_spec(&["sh", "-c", "mount -t tmpfs none /proc; exec sleep 100"]);
    let created = create_with(&zygote, &spec, ephemeral(&lower), lab_options(), Stdio::Null).unwrap();
    let running = created.start().unwrap();
    let procfs = running.procfs.as_ref().unwrap();
    assert!(eventually(|| read_at(procfs.as_fd(), "1/cmdline").is_ok_and(|text| text == "sleep\x00100\x00")));
    // The agent's own pid namespace is not its own to come back to: the next process shows that it is still there.
    for _ in 0..2 {
        let process = lab_spec(&["sh", "-c", "id -u; hostname"])["process"].take();
        let plan = EnterPlan::new(&serde_json::from_value(process).unwrap(), None).unwrap();
        let ran = finish(zygote.enter(running.pidfd.as_fd(), &plan, Stdio::Pipes).unwrap());
        assert_eq!(ran.stdout, "0\nbox\n", "{ran:?}");
    }
    assert_eq!(zygote.survey(running.pidfd.as_fd()).unwrap().hostname, "box");
    let status = read_at(procfs.as_fd(), "1/status").unwrap();
    assert!(status.contains("\nUid:\t1\t1\t1\t1\n"), "{status}");
    assert!(pids(procfs.as_fd()).contains(&1));
    process::signal(running.pidfd.as_fd(), 9).unwrap();
    assert_eq!(process::wait(running.pidfd.as_fd()).unwrap().as_shell(), 137);
    Outcome::Passed
}

/// Set in a copy of ourselves that opens a lab and waits to be killed.
pub const AGENT: &str = "ISOLAB_TEST_AGENT";

/// What that copy does: prints the lab's pid.
pub fn agent() {
    enter_own_namespace().unwrap();
    let lower = stage(false).unwrap();
    let zygote = Zygote::start().unwrap();
    let spec = lab_spec(&["sh", "-c", "trap '' TERM HUP INT; sleep 100; sleep 100"]);
    let created = create_with(&zygote, &spec, ephemeral(&lower), lab_options(), Stdio::Null).unwrap();
    println!("{}", created.start().unwrap().pid);
    std::thread::sleep(std::time::Duration::from_secs(20));
}

fn a_lab_ends_with_its_agent() -> Outcome {
    need!(id_maps());
    let mut command = std::process::Command::new("/proc/self/exe");
    let mut agent = command.env(AGENT, "1").stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(agent.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    let pid = line.trim().to_owned();
    let lives = || std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok();
    assert!(lives(), "{line:?}");
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert!(eventually(|| !lives()), "the lab outlives its agent");
    Outcome::Passed
}
