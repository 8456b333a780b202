//! QEMU as a container: an id of its own, no capabilities, no network, and of the machine's files its own libraries and one
//! template. A guest that breaks out of QEMU is there, and has to break out of that as well.

use crate::child::Child;
use crate::owners::Owner;
use crate::refusal::{Kind, Refusal};
use isolab_runtime::doll::seccomp;
use isolab_runtime::{Io, Plan, PlanOptions, Rootfs, Stdio, Upper, Zygote};
use isolab_vm::hardware::{IMAGE, TEMPLATE};
use isolab_vm::{Console, Hardware, Launched, Start};
use oci_spec::runtime::Spec;
use serde_json::{Value, json};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::time::timeout;

/// How long the runtime may take to start QEMU: a hundred times what it needs when idle.
const STARTED_WITHIN: Duration = Duration::from_secs(20);

/// Processes and threads of one QEMU: its own, one for each disk that is busy, and some to spare.
const THREADS_MAX: u64 = 96;

/// What QEMU needs beside the guest's memory, in MiB: translations, devices, and as much again.
const BESIDE_MIB: u64 = 512;

/// How far QEMU steps back behind the rest of the machine, as nice(1) counts it: a third of a usual process's share, so that
/// terminals stay quick while guests compute, and guests are not starved by a machine that is busy itself.
const NICE: &str = "5";

/// Its scratch space: there is nothing that it writes.
const SCRATCH: Upper = Upper::Ephemeral { bytes_max: 1024 * 1024, inodes_max: 256 };

/// Where a distribution has programs and their libraries.
const LIBRARIES: [&str; 6] = ["/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin"];

/// Files that the dynamic linker reads.
const LINKER_FILES: [&str; 2] = ["/etc/ld.so.cache", "/etc/ld.so.conf"];

/// QEMU has all of its own.
const NAMESPACES: [&str; 7] = ["user", "pid", "mount", "network", "uts", "ipc", "cgroup"];

/// Where a machine's files are outside.
#[derive(Clone, Debug)]
pub struct Files {
    /// The image.
    pub image: PathBuf,
    /// The template.
    pub template: PathBuf,
    /// An empty directory, for QEMU's own root.
    pub empty: PathBuf,
}

/// A QEMU that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Qemu {
    /// Its process.
    pub child: Arc<Child>,
    /// What it complained about.
    pub complaints: Console,
    /// Given back when it is gone.
    _owner: Owner,
}

/// Starts QEMU on a disk of its own.
pub async fn launch(
    zygote: &Zygote,
    owner: Owner,
    hardware: Hardware,
    start: &Start,
    files: &Files,
    disk: File,
    kvm: Option<&File>,
) -> Result<(Qemu, Launched), Refusal> {
    let mut argv = vec!["/usr/bin/nice".to_owned(), "-n".into(), NICE.into()];
    argv.extend(hardware.argv(start));
    argv.extend(hardware.inherited());
    let pair = || UnixStream::pair().map_err(|error| failed("a socket pair", &error));
    let [control, channel, console] = [pair()?, pair()?, pair()?];
    let mut inherited = Vec::new();
    for theirs in [control.1, channel.1, console.1] {
        inherited.push(OwnedFd::from(theirs.into_std().map_err(|error| failed("a socket pair", &error))?));
    }
    inherited.push(disk.into());
    if let Some(kvm) = kvm {
        inherited.push(kvm.try_clone().map_err(|error| failed("/dev/kvm", &error))?.into());
    }
    let is_cold = matches!(start, Start::Cold { .. });
    let spec = spec(&argv, files, hardware, is_cold)
        .map_err(|error| Refusal::new(Kind::Failed, format!("QEMU's Spec is malformed: {error}.")))?;
    let options = PlanOptions {
        user_namespace_owner: Some((owner.id(), owner.id())),
        processes_max: Some(THREADS_MAX),
        inherited_fds: inherited.len() as u32,
        die_with_parent: true,
        ..PlanOptions::default()
    };
    let spec = with_ids(spec, owner.id());
    let rootfs = Rootfs::Overlay { lower: vec![files.empty.clone()], upper: SCRATCH };
    let zygote = zygote.clone();
    let started = tokio::task::spawn_blocking(move || {
        let plan = Plan::new(&spec, rootfs, options)?;
        let descriptors: Vec<BorrowedFd<'_>> = inherited.iter().map(AsFd::as_fd).collect();
        let running = zygote.create(&plan, Stdio::Pipes, &descriptors)?.start()?;
        let child = Child::new(running.pid, running.pidfd).map_err(|error| failed("a pidfd", &error))?;
        Ok::<_, Refusal>((child, running.io))
    });
    let late = || Refusal::new(Kind::TimedOut, "The machine is too busy to start a virtual machine.");
    let fault = |_| Refusal::new(Kind::Failed, "A fault in the agent while starting a virtual machine.");
    let (child, io) = timeout(STARTED_WITHIN, started).await.map_err(|_| late())?.map_err(fault)??;
    let Io::Pipes { stderr, .. } = io else {
        return Err(Refusal::new(Kind::Failed, "QEMU came without pipes."));
    };
    let complaints = pipe::Receiver::from_owned_fd(stderr).map_err(|error| failed("a pipe", &error))?;
    step_back(child.pid());
    let qemu = Qemu { child: Arc::new(child), complaints: Console::read(complaints), _owner: owner };
    let launched = Launched { control: control.0, channel: channel.0, console: Console::read(console.0) };
    Ok((qemu, launched))
}

/// Where the kernel schedules by session (autogroup), a process's own niceness counts only within its session.
fn step_back(pid: u32) {
    // Without that, the niceness that it was started with counts.
    let _ = std::fs::write(format!("/proc/{pid}/autogroup"), NICE);
}

fn spec(
    argv: &[String],
    files: &Files,
    hardware: Hardware,
    is_cold: bool,
) -> Result<Spec, serde_json::Error> {
    let limit = |kind: &str, most: u64| json!({ "type": kind, "hard": most, "soft": most });
    let namespaces = NAMESPACES.map(|kind| json!({ "type": kind }));
    let data_bytes = (u64::from(hardware.memory_mib) + BESIDE_MIB) * 1024 * 1024;
    serde_json::from_value(json!({
        "ociVersion": "1.2.0",
        "hostname": "qemu",
        "root": { "path": files.empty, "readonly": false },
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": argv,
            "env": ["PATH=/usr/bin:/bin", "LANG=C.UTF-8"],
            "cwd": "/",
            // In its own user namespace, and not even there.
            "capabilities": { "bounding": [], "effective": [], "permitted": [] },
            "noNewPrivileges": true,
            "oomScoreAdj": 500,
            "rlimits": [limit("RLIMIT_NOFILE", 256), limit("RLIMIT_CORE", 0), limit("RLIMIT_DATA", data_bytes)],
        },
        "mounts": mounts(files, is_cold),
        "linux": {
            "namespaces": namespaces,
            "seccomp": seccomp::lab_host(),
        },
    }))
}

fn with_ids(mut spec: Spec, id: u32) -> Spec {
    let mapping = json!([{ "containerID": 0, "hostID": id, "size": 1 }]);
    if let (Some(linux), Ok(ids)) = (spec.linux().clone(), serde_json::from_value::<Vec<_>>(mapping)) {
        let mut linux = linux;
        linux.set_uid_mappings(Some(ids.clone())).set_gid_mappings(Some(ids));
        spec.set_linux(Some(linux));
    }
    spec
}

fn mounts(files: &Files, is_cold: bool) -> Vec<Value> {
    let new = |kind: &str, to: &str, options: &[&str]| json!({ "destination": to, "type": kind, "source": kind, "options": options });
    let bind = |from: &Path, to: &str, options: &[&str]| json!({ "destination": to, "type": "bind", "source": from, "options": options });
    let quiet = ["nosuid", "noexec", "nodev"];
    let mut mounts = vec![
        new("proc", "/proc", &quiet),
        new("tmpfs", "/dev", &["nosuid", "strictatime", "mode=755", "size=65536", "nr_inodes=64"]),
    ];
    for path in LIBRARIES.into_iter().chain(LINKER_FILES).filter(|path| Path::new(path).exists()) {
        mounts.push(bind(Path::new(path), path, &["rbind", "ro", "nosuid", "nodev"]));
    }
    mounts.push(bind(&files.image, IMAGE, &["bind", "ro", "nosuid", "nodev", "noexec"]));
    // Only the machine that becomes a template writes there.
    let writable = if is_cold { "rw" } else { "ro" };
    mounts.push(bind(&files.template, TEMPLATE, &["bind", writable, "nosuid", "nodev", "noexec"]));
    mounts
}

fn failed(what: &str, error: &io::Error) -> Refusal {
    Refusal::new(Kind::Failed, format!("The agent could not make {what}: {error}."))
}
