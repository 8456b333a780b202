//! Grouping on made-up processes, and the reader on a real lab made with `unshare`.

use super::*;
use crate::observe::{Label, Moment, Surroundings};
use isolab_protocol::LabId;
use isolab_protocol::observation::{CapabilitySets, Executable, Ids, Kernel, Namespace, Namespaces, Seccomp};
use std::process::{Child, Command, Stdio};

fn process(pid: u32, ppid: u32, mnt: u64, started_at_ms: u64) -> Process {
    let namespace = |inode| Namespace { inode, shared: false };
    let ids = Ids { real: 0, effective: 0, saved: 0, filesystem: 0 };
    let set = || "0000000000000000".to_owned();
    Process {
        pid,
        pid_inside: pid,
        pids: vec![pid],
        ppid,
        argv: vec![],
        comm: "x".into(),
        executable: Executable { path: "/bin/x".into(), pristine: true },
        state: "S".into(),
        started_at_ms,
        uid: ids,
        gid: ids,
        groups: vec![],
        capabilities: CapabilitySets {
            inheritable: set(),
            permitted: set(),
            effective: set(),
            bounding: set(),
            ambient: set(),
        },
        no_new_privs: false,
        seccomp: Seccomp { mode: 0, filters: 0 },
        lsm_label: None,
        namespaces: Namespaces {
            user: namespace(1),
            pid: namespace(2),
            mnt: namespace(mnt),
            net: namespace(4),
            uts: namespace(mnt + 1000),
            ipc: namespace(6),
            cgroup: namespace(7),
            time: namespace(8),
        },
        cgroup: String::new(),
    }
}

fn pids(processes: &[Process]) -> Vec<u32> {
    processes.iter().map(|process| process.pid).collect()
}

#[test]
fn a_container_is_a_mount_namespace_other_than_the_hosts() {
    let processes = vec![
        process(1, 0, 50, 10),
        process(9, 1, 61, 40),
        process(7, 1, 62, 90),
        process(8, 7, 62, 80),
        process(5, 1, 50, 20),
    ];
    let (host, containers) = group(processes, &HashSet::new()).unwrap();
    assert_eq!(pids(&host), [1, 5]);
    assert_eq!(containers.iter().map(|c| pids(c)).collect::<Vec<_>>(), [vec![9], vec![8, 7]], "oldest first");
    assert!(host[0].namespaces.mnt.shared && containers[0][0].namespaces.net.shared);
    assert!(!containers[0][0].namespaces.mnt.shared);
}

#[test]
fn the_first_process_is_the_oldest_and_then_the_one_with_the_lowest_pid_inside() {
    let mut init = process(30, 1, 60, 100);
    init.pid_inside = 1;
    let mut twin = process(20, 30, 60, 100);
    twin.pid_inside = 2;
    let (_, containers) =
        group(vec![process(1, 0, 50, 0), twin, init, process(40, 30, 60, 200)], &HashSet::new()).unwrap();
    assert_eq!(pids(&containers[0]), [30, 20, 40]);
}

#[test]
fn a_child_of_the_engine_is_the_hosts_until_it_executes_its_program() {
    let processes = || vec![process(1, 0, 50, 0), process(2, 1, 60, 5)];
    let (host, containers) = group(processes(), &HashSet::from([2])).unwrap();
    assert_eq!((pids(&host), containers.len()), (vec![1, 2], 0));
    let (host, containers) = group(processes(), &HashSet::new()).unwrap();
    assert_eq!((pids(&host), containers.len()), (vec![1], 1));
}

#[test]
fn a_zombie_counts_for_its_parents_container() {
    let zombies = [
        process(3, 2, 0, 7),
        process(4, 3, 0, 8),
        process(5, 1, 0, 9),
        process(6, 7, 0, 9),
        process(7, 6, 0, 9),
    ];
    let processes = [vec![process(1, 0, 50, 0), process(2, 1, 60, 5)], zombies.to_vec()].concat();
    let (host, containers) = group(processes, &HashSet::new()).unwrap();
    assert_eq!(pids(&containers[0]), [2, 3, 4]);
    assert_eq!(pids(&host), [1, 5, 6, 7], "6 and 7 are each other's parent");
    assert!(!host[1].namespaces.mnt.shared, "an inode that could not be read is shared with nobody");
}

#[test]
fn no_lab_without_its_first_process() {
    assert!(group(vec![process(2, 1, 50, 0)], &HashSet::new()).is_none());
    assert!(group(vec![process(1, 0, 0, 0)], &HashSet::new()).is_none(), "it is a zombie");
}

#[test]
fn labels_and_surveys_find_their_containers() {
    let reading = Reading {
        host: vec![process(1, 0, 50, 0)],
        uid_map: vec![],
        gid_map: vec![],
        containers: vec![Inhabited {
            processes: vec![process(7, 1, 60, 1), process(9, 7, 60, 2)],
            uid_map: vec![],
            gid_map: vec![],
            mounts: vec![],
            limits: None,
        }],
        root_device: "8:1".into(),
        limit_events: None,
        truncated: false,
    };
    assert_eq!(
        reading.namespaces_to_survey().into_iter().collect::<Vec<_>>(),
        [((4, 1050), 1), ((4, 1060), 7)]
    );
    let label = Label { id: "ab".into(), name: "pid-test".into(), image: "ubuntu".into() };
    let surroundings = Surroundings {
        labels: HashMap::from([(7, label), (99, Label::default())]),
        hostnames: HashMap::from([(1050, "labhost".into()), (1060, "inner".into())]),
        links: HashMap::new(),
    };
    let kernel = Kernel { release: "6.18".into(), version: "#1".into(), boot_id: "b".into() };
    let lab: LabId = "a".parse().unwrap();
    let observation = reading.assemble(Moment { lab, seq: 3, taken_at_ms: 9, kernel }, &surroundings);
    assert_eq!((observation.seq, observation.taken_at_ms), (3, 9));
    assert_eq!(observation.host.hostname, "labhost");
    let container = &observation.containers[0];
    assert_eq!(
        (container.name.as_str(), container.hostname.as_str(), container.init.pid),
        ("pid-test", "inner", 7)
    );
}

/// A pid namespace whose PID 1 is a shell, with a `sleep` beside it and one in a mount namespace of its own.
struct RealLab {
    unshare: Child,
}

impl RealLab {
    fn start() -> Self {
        let script = "sleep 300 & unshare -m sleep 301 & sh -c 'exit 0' & while :; do sleep 302; done";
        let unshare = Command::new("unshare")
            .args(["-U", "-r", "-p", "-f", "-m", "--kill-child", "--mount-proc", "sh", "-c", script])
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare is in util-linux, which is essential");
        Self { unshare }
    }

    /// The lab's procfs, reached the way that an agent never would.
    fn procfs(&self) -> OwnedFd {
        let children = format!("/proc/{0}/task/{0}/children", self.unshare.id());
        for _ in 0..500 {
            let child = std::fs::read_to_string(&children).unwrap_or_default();
            if let Some(child) = child.split(' ').next().filter(|child| !child.is_empty()) {
                let root = format!("/proc/{child}/root/proc");
                let lines: Vec<_> =
                    (1..9).flat_map(|pid| std::fs::read(format!("{root}/{pid}/cmdline"))).collect();
                let runs = |line: &&[u8]| lines.iter().any(|other| other == line);
                if [&b"sleep\x00300\0"[..], b"sleep\x00301\0", b"sleep\x00302\0"].iter().all(runs) {
                    return std::fs::File::open(root).unwrap().into();
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the lab did not start: are user namespaces allowed here?");
    }
}

impl Drop for RealLab {
    fn drop(&mut self) {
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

#[test]
fn a_real_lab_is_read() {
    let lab = RealLab::start();
    let mut reader = Reader::new(lab.procfs(), Maps::of_self().unwrap()).unwrap();
    let own = std::fs::canonicalize("/usr/bin/sleep").unwrap();
    let trusted = |path: &str, digest: &[u8; 32]| {
        use sha2::Digest;
        path == own.to_str().unwrap()
            && *digest == <[u8; 32]>::from(sha2::Sha256::digest(std::fs::read(&own).unwrap()))
    };
    let reading = reader.read(&trusted).unwrap();
    let init = &reading.host[0];
    assert_eq!((init.pid, init.pid_inside, init.ppid), (1, 1, 0));
    assert_eq!(init.argv[0], "sh");
    assert!(!init.executable.pristine, "sh is not sleep");
    assert_eq!((init.uid.real, init.gid.effective), (0, 0), "told as the lab host sees it");
    assert_eq!(reading.uid_map.len(), 1);
    let find = |seconds: &str| {
        let all = reading.host.iter().chain(reading.containers.iter().flat_map(|c| &c.processes));
        all.clone().find(|p| p.argv == ["sleep", seconds]).unwrap_or_else(|| panic!("no sleep {seconds}"))
    };
    assert!(find("300").executable.pristine && find("300").namespaces.mnt.shared);
    assert_eq!(reading.containers.len(), 1, "the shell that did unshare -m");
    let inner = &reading.containers[0];
    assert_eq!(inner.processes[0].argv, ["sleep", "301"]);
    assert!(!inner.processes[0].namespaces.mnt.shared && inner.processes[0].namespaces.pid.shared);
    assert!(inner.mounts.iter().any(|mount| mount.target == "/proc" && mount.fstype == "proc"));
    assert_eq!(inner.uid_map, [IdMapping { inside: 0, outside: 0, count: 1 }], "shared with the lab host");
    let sets = &init.capabilities;
    assert!(sets.effective.ends_with("ffffffffff"), "root of a new user namespace has every capability");
    assert_eq!(
        (sets.effective.as_str(), sets.ambient.as_str()),
        (sets.bounding.as_str(), "0000000000000000")
    );
    drop(lab);
    // `unshare` had its child killed, which takes a moment.
    let ended = (0..500).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        reader.read(&trusted).is_none()
    });
    assert!(ended, "its PID 1 has ended");
}

#[test]
fn only_a_procfs_is_taken_for_one() {
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::create_dir(elsewhere.path().join("1")).unwrap();
    let error =
        Reader::new(std::fs::File::open(elsewhere.path()).unwrap().into(), Maps::default()).unwrap_err();
    assert!(error.to_string().contains("no procfs"), "{error}");
}
