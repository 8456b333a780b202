//! A lab host as an OCI Spec. Pure: what is on the stage goes in, the Spec comes out.
//!
//! Nothing else in the agent decides what a lab may do; the runtime carries this out, step by step.

use crate::ids;
use crate::stage::{ENGINE, Staged};
use isolab_protocol::CAPABILITIES;
use isolab_runtime::doll::seccomp;
use isolab_runtime::{PlanOptions, Rootfs, Upper};
use oci_spec::runtime::{LinuxSeccomp, Process, Spec};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// All that a learner writes outside containers, in bytes: a few tools and files. It is memory of the machine.
const ROOT_BYTES_MAX: u64 = 256 * MIB;

/// Files that a learner makes outside containers: each costs the machine about a KiB of memory, full or empty.
const ROOT_INODES_MAX: u64 = 65_536;

/// All that containers write, in bytes. Images are shared and do not count.
const CONTAINERS_BYTES_MAX: u64 = 512 * MIB;

/// Files that containers make.
const CONTAINERS_INODES_MAX: u64 = 131_072;

/// The ordinary user of a lab host, who can have an engine of their own: `sandbox/images/parts.sh` makes them.
const LEARNER: u32 = 1000;

/// Where that engine keeps its containers, by Docker's habit.
const LEARNERS_CONTAINERS: &str = "/home/learner/.local/share/docker";

/// All that those write, in bytes, with a copy of each layer that they use: the shared ones belong to ids that they have not.
const LEARNERS_BYTES_MAX: u64 = 384 * MIB;

/// /run: sockets and pid files.
const RUN_BYTES_MAX: u64 = 16 * MIB;

/// /dev/shm, as Docker gives it.
const SHM_BYTES_MAX: u64 = 64 * MIB;

/// All processes of a lab together: thirty containers with a shell each, and far from a bomb. Counted by the kernel
/// against the owner of the lab's user namespace.
pub const PROCESSES_MAX: u64 = 512;

/// Open files of one process. The kernel's memory for them is the machine's: 512 processes with 4,096 files each
/// stay below a GiB.
const FILES_MAX: u64 = 4_096;

/// Memory that one process may write to, in bytes. It keeps a single runaway program from taking the machine; where no
/// cgroup bounds the whole lab, the sum of many is not bounded, and `doctor` says so.
const DATA_BYTES_MAX: u64 = 2 * 1024 * MIB;

/// Memory that one process may lock, in bytes: the kernel's own default.
const LOCKED_BYTES_MAX: u64 = 8 * MIB;

/// POSIX message queues of a lab, in bytes: the kernel's own default.
const QUEUE_BYTES_MAX: u64 = 819_200;

/// Signals that wait: as many as processes.
const SIGNALS_MAX: u64 = PROCESSES_MAX;

/// Labs are the first to be ended where the machine runs out of memory, the agent and the machine's own work later.
const OOM_SCORE: i64 = 500;

/// Where the lab host finds what Isolab gives it.
const GIVEN: &str = "/usr/lib/isolab";

const MIB: u64 = 1024 * 1024;

/// The environment of the engine, of shells and of exec.
pub const ENVIRONMENT: [&str; 5] = [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
    "USER=root",
    "LOGNAME=root",
];

/// All that the runtime needs to make a lab host.
#[derive(Debug)]
pub struct LabHost {
    /// The Spec.
    pub spec: Spec,
    /// What becomes its `/`.
    pub rootfs: Rootfs,
    /// What the Spec has no word for.
    pub options: PlanOptions,
}

/// A lab host made of what is on the stage, with its processes counted against `owner`.
/// Errors: none while the Spec below has the form that OCI gives it, which a test sees to.
pub fn lab_host(staged: &Staged, owner: u32) -> Result<LabHost, serde_json::Error> {
    let mut mounts = system_mounts();
    mounts.extend(given_mounts(staged));
    whole(&engine_path(), &staged.lab_host, mounts, owner, 1)
}

/// The same without images and engine, on an empty directory: it can be set up, which shows whether the machine can
/// carry labs, and not be started.
pub fn trial(empty: &Path, owner: u32) -> Result<LabHost, serde_json::Error> {
    // The program has to be there, though nobody starts it: the agent's own is.
    whole("/proc/self/exe", empty, system_mounts(), owner, 0)
}

fn whole(
    program: &str,
    root: &Path,
    mounts: Vec<Value>,
    owner: u32,
    inherited_fds: u32,
) -> Result<LabHost, serde_json::Error> {
    let spec = json!({
        "ociVersion": "1.2.0",
        "hostname": "labhost",
        "root": { "path": root, "readonly": false },
        "process": process(program),
        "mounts": mounts,
        "linux": {
            "namespaces": NAMESPACES.map(|kind| json!({ "type": kind })),
            "uidMappings": mappings(),
            "gidMappings": mappings(),
            // Nothing is masked: what the machine would hide is hidden by the user namespace already, and a lab host has to
            // mount clean procfs instances for its containers, which the kernel refuses where its own is covered.
            "maskedPaths": [],
            "readonlyPaths": [],
            "seccomp": seccomp::lab_host(),
        },
    });
    Ok(LabHost {
        spec: serde_json::from_value(spec)?,
        rootfs: Rootfs::Overlay {
            lower: vec![root.to_owned()],
            upper: Upper::Ephemeral { bytes_max: ROOT_BYTES_MAX, inodes_max: ROOT_INODES_MAX },
        },
        options: PlanOptions {
            user_namespace_owner: Some((owner, owner)),
            processes_max: Some(PROCESSES_MAX),
            inherited_fds,
            die_with_parent: true,
            ..PlanOptions::default()
        },
    })
}

/// Where the engine is in a lab.
pub fn engine_path() -> String {
    format!("{GIVEN}/{ENGINE}")
}

/// A shell or a command in the lab host that this Spec made: as its root, and with the bounds of its first process.
pub fn entering(lab_host: &Spec, argv: &[&str], terminal: bool) -> Process {
    let mut process = lab_host.process().clone().unwrap_or_default();
    let mut env: Vec<String> = ENVIRONMENT.map(str::to_owned).into();
    if terminal {
        env.push("TERM=xterm-256color".into());
    }
    process.set_env(Some(env));
    process.set_args(Some(argv.iter().map(ToString::to_string).collect()));
    process.set_cwd("/root".into());
    process.set_terminal(Some(terminal));
    process
}

/// The filter of everything in the lab host that this Spec made.
pub fn filter(lab_host: &Spec) -> Option<&LinuxSeccomp> {
    lab_host.linux().as_ref()?.seccomp().as_ref()
}

fn process(program: &str) -> Value {
    let limit = |kind: &str, hard: u64, soft: u64| json!({ "type": kind, "hard": hard, "soft": soft });
    // They count inside the lab's own user namespace only.
    let all = &CAPABILITIES[..];
    json!({
        "user": { "uid": 0, "gid": 0 },
        "args": [program],
        "env": ENVIRONMENT,
        "cwd": "/",
        "capabilities": { "bounding": all, "effective": all, "permitted": all },
        "noNewPrivileges": false,
        "oomScoreAdj": OOM_SCORE,
        "rlimits": [
            limit("RLIMIT_NOFILE", FILES_MAX, 1024),
            limit("RLIMIT_DATA", DATA_BYTES_MAX, DATA_BYTES_MAX),
            limit("RLIMIT_CORE", 0, 0),
            limit("RLIMIT_MEMLOCK", LOCKED_BYTES_MAX, LOCKED_BYTES_MAX),
            limit("RLIMIT_MSGQUEUE", QUEUE_BYTES_MAX, QUEUE_BYTES_MAX),
            limit("RLIMIT_SIGPENDING", SIGNALS_MAX, SIGNALS_MAX),
            limit("RLIMIT_RTPRIO", 0, 0),
            limit("RLIMIT_NICE", 0, 0),
        ],
    })
}

fn mappings() -> Value {
    json!([
        { "containerID": 0, "hostID": ids::LAB_FIRST, "size": ids::LAB_COUNT },
        { "containerID": ids::SUBORDINATE_INSIDE, "hostID": ids::SUBORDINATE, "size": ids::SUBORDINATE_COUNT },
        { "containerID": ids::NOBODY_INSIDE, "hostID": ids::NOBODY, "size": 1 },
    ])
}

fn system_mounts() -> Vec<Value> {
    let one = |kind: &str, to: &str, options: &[&str]| json!({ "destination": to, "type": kind, "source": kind, "options": options });
    let tmpfs = |to: &str, options: &[&str], bytes: u64, inodes: u64| {
        let mut options: Vec<String> = options.iter().map(ToString::to_string).collect();
        options.extend([format!("size={bytes}"), format!("nr_inodes={inodes}")]);
        json!({ "destination": to, "type": "tmpfs", "source": "tmpfs", "options": options })
    };
    let quiet = ["nosuid", "noexec", "nodev"];
    vec![
        one("proc", "/proc", &quiet),
        tmpfs("/dev", &["nosuid", "strictatime", "mode=755"], 64 * 1024, 1024),
        one(
            "devpts",
            "/dev/pts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        tmpfs("/dev/shm", &["nosuid", "noexec", "nodev", "mode=1777"], SHM_BYTES_MAX, 1024),
        one("mqueue", "/dev/mqueue", &quiet),
        one("sysfs", "/sys", &quiet),
        // The type is "cgroup" in OCI's words; the runtime mounts version 2.
        one("cgroup", "/sys/fs/cgroup", &["nosuid", "noexec", "nodev", "relatime"]),
        tmpfs("/run", &["nosuid", "nodev", "mode=755"], RUN_BYTES_MAX, 8192),
        // Containers get a file system of their own kind: an overlay's writable part cannot be on an overlay.
        tmpfs("/var/lib/docker", &["nodev", "mode=710"], CONTAINERS_BYTES_MAX, CONTAINERS_INODES_MAX),
        tmpfs(
            LEARNERS_CONTAINERS,
            &["nodev", "mode=710", &format!("uid={LEARNER}"), &format!("gid={LEARNER}")],
            LEARNERS_BYTES_MAX,
            CONTAINERS_INODES_MAX,
        ),
    ]
}

/// What a lab host is given from the stage.
pub fn given_mounts(staged: &Staged) -> Vec<Value> {
    let bind = |from: &Path, to: String, options: &[&str]| json!({ "destination": to, "type": "bind", "source": from, "options": options });
    let quiet = ["bind", "ro", "nosuid", "nodev"];
    let mut mounts = vec![
        bind(&staged.engine, engine_path(), &quiet),
        bind(&staged.index, format!("{GIVEN}/images/index.json"), &quiet),
        bind(&staged.archives, format!("{GIVEN}/images/archives"), &quiet),
    ];
    // Not nosuid: a container's set-user-ID programs come from here.
    let layer = |(digest, from): &(String, PathBuf)| {
        bind(from, format!("{GIVEN}/images/layers/{digest}"), &["bind", "ro"])
    };
    mounts.extend(staged.layers.iter().map(layer));
    mounts
}

/// A lab has all of its own.
const NAMESPACES: [&str; 7] = ["user", "pid", "mount", "network", "uts", "ipc", "cgroup"];

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> LabHost {
        let layer = "c".repeat(64);
        let staged = Staged {
            lab_host: "/mnt/0/lab-host".into(),
            index: "/mnt/0/index.json".into(),
            archives: "/mnt/0/archives".into(),
            layers: vec![(layer.clone(), format!("/mnt/0/layers/{layer}").into())],
            engine: "/mnt/0/isolab-engine".into(),
        };
        lab_host(&staged, 62_001).unwrap()
    }

    #[test]
    fn a_lab_shares_no_namespace_with_the_machine() {
        let spec = example().spec;
        let linux = spec.linux().as_ref().unwrap();
        let mut kinds: Vec<String> =
            linux.namespaces().iter().flatten().map(|n| n.typ().to_string()).collect();
        kinds.sort();
        assert_eq!(kinds, ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]);
        assert!(linux.namespaces().iter().flatten().all(|n| n.path().is_none()), "all of them are new");
    }

    #[test]
    fn everything_from_the_machine_is_read_only() {
        let spec = example().spec;
        let from_machine =
            |m: &&oci_spec::runtime::Mount| m.source().as_ref().is_some_and(|s| s.starts_with("/"));
        let binds: Vec<_> = spec.mounts().iter().flatten().filter(from_machine).collect();
        assert_eq!(binds.len(), 4);
        for mount in binds {
            let options = mount.options().as_ref().unwrap();
            assert!(options.iter().any(|o| o == "ro"), "{mount:?}");
            assert!(mount.source().as_ref().unwrap().starts_with("/mnt/0"), "{mount:?}");
        }
    }

    #[test]
    fn every_tmpfs_is_bounded_in_bytes_and_files() {
        let spec = example().spec;
        for mount in spec.mounts().iter().flatten().filter(|m| m.typ().as_deref() == Some("tmpfs")) {
            let has = |key: &str| mount.options().iter().flatten().any(|o| o.starts_with(key));
            assert!(has("size=") && has("nr_inodes="), "{mount:?}");
        }
    }

    #[test]
    fn the_ids_of_a_lab_are_those_that_images_are_unpacked_with() {
        let spec = example().spec;
        let linux = spec.linux().as_ref().unwrap();
        for map in [linux.uid_mappings(), linux.gid_mappings()] {
            for inside in [0_u32, 1, 1000, 30_719, 65_534, 100_000, 101_000] {
                let line = map
                    .iter()
                    .flatten()
                    .find(|m| (m.container_id()..m.container_id() + m.size()).contains(&inside));
                let outside = line.map(|m| inside - m.container_id() + m.host_id());
                assert_eq!(outside, ids::of_lab(u64::from(inside)));
            }
        }
    }

    #[test]
    fn processes_are_bounded_and_owned_apart() {
        let options = example().options;
        assert_eq!(options.processes_max, Some(PROCESSES_MAX));
        assert_eq!(options.user_namespace_owner, Some((62_001, 62_001)));
    }
}
