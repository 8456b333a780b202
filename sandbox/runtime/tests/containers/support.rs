//! What the tests share: a root made of busybox, Specs as Docker writes them, and a way to run a command in one.

use crate::harness::user_named;
use isolab_runtime::{
    Created, IdMaps, IdRange, Io, Plan, PlanOptions, Rootfs, Running, Stdio, Zygote, own_namespace, process,
};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

pub const BUSYBOX: &str = "/bin/busybox";

/// A directory that looks like a small image, gone when dropped. An error says that this machine has no busybox.
pub fn busybox_root() -> Result<tempfile::TempDir, String> {
    let root = tempfile::Builder::new().prefix("isolab-test-").tempdir().unwrap();
    let path = root.path();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    for name in ["bin", "etc", "tmp", "proc", "sys", "dev", "root"] {
        std::fs::create_dir(path.join(name)).unwrap();
    }
    std::fs::copy(BUSYBOX, path.join("bin/busybox"))
        .map_err(|e| format!("{BUSYBOX}: {e} (apt-get install busybox-static)"))?;
    for name in [
        "sh", "cat", "id", "mount", "ls", "ps", "sleep", "true", "touch", "stat", "ip", "hostname", "tty",
        "stty", "grep", "ulimit", "readlink", "mkdir", "umount", "mknod", "kill", "ping", "head", "wc",
        "pwd", "ln", "rmdir",
    ] {
        symlink("busybox", path.join("bin").join(name)).unwrap();
    }
    give_to_containers_root(path);
    Ok(root)
}

/// A container of root's is root of other ids: what it is to write has to be theirs.
pub fn give_to_containers_root(path: &Path) {
    let inside = std::fs::read_to_string("/proc/self/uid_map").unwrap().split_whitespace().nth(2)
        != Some("4294967295");
    if nix::unistd::geteuid().is_root() && !inside {
        let owner = format!("{0}:{0}", 0x7000_0000u32);
        let done = std::process::Command::new("chown").args(["-hR", &owner]).arg(path).status();
        assert!(done.unwrap().success());
    }
}

/// The maps for whoever runs the test: root, or an ordinary user with a subuid range.
pub fn id_maps() -> Result<Value, String> {
    let uid = nix::unistd::geteuid();
    if uid.is_root() {
        return Ok(json!([{"containerID": 0, "hostID": 0x7000_0000u32, "size": 65536}]));
    }
    let user = user_named(|_, number| number == uid.to_string()).ok_or("a user without a name")?;
    let ranges = isolab_runtime::subid::ranges(&user, uid.as_raw()).map_err(|e| e.to_string())?;
    let range = ranges.uids.first().ok_or_else(|| format!("{user} has no range in /etc/subuid"))?;
    Ok(json!([
        {"containerID": 0, "hostID": uid.as_raw(), "size": 1},
        {"containerID": 1, "hostID": range.start, "size": range.count - 1},
    ]))
}

/// The 14 capabilities that Docker leaves a container.
pub const DOCKER_CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// The Spec that Docker writes for `docker run IMAGE command`, in a user namespace of its own.
pub fn docker_spec(command: &[&str]) -> Result<Value, String> {
    Ok(docker_spec_with(command, id_maps()?))
}

fn docker_spec_with(command: &[&str], maps: Value) -> Value {
    json!({
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "hostname": "box",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": command,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "capabilities": {
                "bounding": DOCKER_CAPABILITIES, "effective": DOCKER_CAPABILITIES, "permitted": DOCKER_CAPABILITIES,
            },
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid", "noexec", "nodev"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]},
        ],
        "linux": {
            "uidMappings": maps, "gidMappings": maps,
            "namespaces": [
                {"type": "user"}, {"type": "mount"}, {"type": "network"}, {"type": "uts"}, {"type": "pid"}, {"type": "ipc"}, {"type": "cgroup"},
            ],
            "maskedPaths": [
                "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
                "/sys/devices/virtual/powercap",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

/// Lets every user in, as the ids of a container are not ours.
pub fn open_to_all(directory: &Path) {
    give_to_containers_root(directory);
    std::fs::set_permissions(directory, PermissionsExt::from_mode(0o755)).unwrap();
}

/// Becomes root of a user and mount namespace of our own, as the agent does.
pub fn enter_own_namespace() -> Result<(), String> {
    let range = |map: &Value| {
        let number = |key: &str| map[key].as_u64().unwrap() as u32;
        IdRange { inside: number("containerID"), outside: number("hostID"), count: number("size") }
    };
    let maps: Vec<IdRange> = id_maps()?.as_array().unwrap().iter().map(range).collect();
    own_namespace::enter(&IdMaps { uids: maps.clone(), gids: maps }).map_err(|e| e.to_string())
}

/// All 41 of them.
pub fn all_capabilities() -> Vec<String> {
    let others = [
        "DAC_READ_SEARCH",
        "LINUX_IMMUTABLE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "LEASE",
        "AUDIT_CONTROL",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
    ];
    let others = others.iter().map(|name| format!("CAP_{name}"));
    DOCKER_CAPABILITIES.iter().map(|name| name.to_string()).chain(others).collect()
}

/// The Spec that an engine in a lab host writes, whose containers share the lab host's user namespace.
pub fn docker_spec_without_user_namespace(command: &[&str]) -> Value {
    let mut spec = docker_spec_with(command, json!(null));
    let linux = spec["linux"].as_object_mut().unwrap();
    linux.remove("uidMappings");
    linux.remove("gidMappings");
    linux["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "user");
    spec
}

/// Whether something becomes true within two seconds.
pub fn eventually(mut what: impl FnMut() -> bool) -> bool {
    (0..200).any(|_| {
        what() || {
            std::thread::sleep(std::time::Duration::from_millis(10));
            false
        }
    })
}

/// The text of a file beneath a directory's descriptor.
pub fn read_at(directory: BorrowedFd<'_>, path: &str) -> std::io::Result<String> {
    let flags = nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_CLOEXEC;
    let file = nix::fcntl::openat(directory, path, flags, nix::sys::stat::Mode::empty())?;
    let mut text = String::new();
    File::from(file).read_to_string(&mut text)?;
    Ok(text)
}

/// The pids that a procfs lists.
pub fn pids(procfs: BorrowedFd<'_>) -> Vec<u32> {
    use rustix::fs::{Dir, Mode, OFlags, openat};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = Dir::new(openat(procfs, ".", flags, Mode::empty()).unwrap()).unwrap();
    let names = directory.filter_map(|entry| entry.ok()?.file_name().to_str().ok()?.parse().ok());
    names.collect()
}

/// What came of a command.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Reads both outputs and waits.
pub fn finish(running: Running) -> Ran {
    let Io::Pipes { stdin, stdout, stderr } = running.io else { panic!("the streams are not pipes") };
    drop(stdin);
    let read = |pipe| {
        let mut bytes = Vec::new();
        File::from(pipe).read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (stdout, stderr) = (read(stdout), read(stderr));
    let status = process::wait(running.pidfd.as_fd()).unwrap().as_shell();
    Ran { status, stdout, stderr }
}

/// Plans and makes a container.
pub fn create(
    zygote: &Zygote,
    spec: &Value,
    rootfs: Rootfs,
    stdio: Stdio,
) -> Result<Created, isolab_runtime::Error> {
    create_with(zygote, spec, rootfs, PlanOptions::default(), stdio)
}

pub fn create_with(
    zygote: &Zygote,
    spec: &Value,
    rootfs: Rootfs,
    options: PlanOptions,
    stdio: Stdio,
) -> Result<Created, isolab_runtime::Error> {
    let spec = serde_json::from_value(spec.clone()).expect("a Spec");
    zygote.create(&Plan::new(&spec, rootfs, options)?, stdio, &[])
}

/// Runs a command in a fresh container over `root`, and returns what it printed.
pub fn run(root: &Path, command: &[&str]) -> Ran {
    run_spec(root, &docker_spec(command).unwrap())
}

pub fn run_spec(root: &Path, spec: &Value) -> Ran {
    let zygote = Zygote::start().unwrap();
    let created = create(&zygote, spec, Rootfs::Directory(root.into()), Stdio::Pipes).unwrap();
    finish(created.start().unwrap())
}

/// `Skipped` unless the value is there.
#[macro_export]
macro_rules! need {
    ($value:expr) => {
        match $value {
            Ok(value) => value,
            Err(why) => return $crate::harness::Outcome::Skipped(why.to_string()),
        }
    };
}
