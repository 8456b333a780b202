//! The kernel's tracing, set up: which of its functions tell, and what they tell.
//!
//! An instance of its own, so that what a learner traces on their machine and what is traced here do not mix. Each probe stands
//! by itself: what a kernel does not have is left out, and said.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where tracefs is mounted.
const TRACING: &str = "/sys/kernel/tracing";

/// The name of the instance, and of the group of the probes.
const NAME: &str = "isolab";

/// The ring of each processor, in KiB: 2000 events or so, between two turns of the reader.
const RING_KIB: &str = "256";

/// What a process looks like when it appears. Its name in numbers, for it may hold anything.
const LOOKS: &str =
    "$.pid mnt=$.nsproxy->mnt_ns->ns.inum comm=$.comm:x64[2] group=$.cgroups->dfl_cgrp->kn->name:string";

/// A place in the kernel that tells something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The event's name, by which [`super::event`] knows it.
    pub name: &'static str,
    /// How the kernel is asked for it, after the name.
    pub definition: String,
    /// What is not told.
    pub filter: &'static str,
}

/// A refusal of the function's.
const REFUSED: &str = "ret != 0";

/// A capability that was refused and not only asked about (the kernel asks at every `mmap`, and expects a no), or the one that
/// overrides a file's mode where its lesser sister, asked first, was refused.
const CAPABILITY: &str = "(ret != 0 || cap == 1) && !(opts & 2)";

/// The calls that walls make fail: EPERM, EACCES, EROFS, and ENOSYS, which filters answer to what they do not know.
const FAILED: &str = "ret == -1 || ret == -13 || ret == -30 || ret == -38";

/// AppArmor's decisions that take a label, by what was asked for. Files have one place for all.
const LABELLED: [(&str, &str); 11] = [
    ("aa_new_mount", "mount"),
    ("aa_bind_mount", "bind"),
    ("aa_remount", "remount"),
    ("aa_mount_change_type", "propagation"),
    ("aa_move_mount", "move_mount"),
    ("aa_umount", "umount"),
    ("aa_pivotroot", "pivotroot"),
    ("aa_capable", "capable"),
    ("aa_af_perm", "network"),
    ("aa_task_setrlimit", "setrlimit"),
    ("aa_may_manage_policy", "policy"),
];

/// All probes.
pub fn probes() -> Vec<Probe> {
    let looks = |task: &str| LOOKS.replace("$.", &format!("{task}->"));
    let probe = |name, definition: String, filter| Probe { name, definition, filter };
    let mut all = vec![
        probe("exec", format!("t sched_process_exec pid={}", looks("p")), ""),
        probe("fork", format!("t sched_process_fork pid={}", looks("child")), ""),
        // Told before the name is there, and with the thread that is to have it.
        probe("rename", "t task_rename pid=task->pid comm=+0(comm):x64[2]".into(), ""),
        probe("exit", "t sched_process_exit pid=p->pid".into(), ""),
        probe(
            "cap",
            "f cap_capable%return ret=$retval:s32 cap=cap opts=opts:x32 held=cred->cap_effective.val:x64 \
             euid=cred->euid.val"
                .into(),
            CAPABILITY,
        ),
        probe("seccomp", "f __seccomp_filter%return ret=$retval:s32 nr=this_syscall".into(), REFUSED),
        probe("killed", "f audit_seccomp nr=syscall ret=signr:s32".into(), REFUSED),
        probe(
            "device",
            "f devcgroup_check_permission%return ret=$retval:s32 type=type major=major minor=minor access=access"
                .into(),
            REFUSED,
        ),
        probe("yama", "f yama_ptrace_access_check%return ret=$retval:s32".into(), REFUSED),
        probe("lockdown", "f lockdown_is_locked_down%return ret=$retval:s32".into(), REFUSED),
        probe(
            "aa_file",
            "f aa_audit_file%return ret=$retval:s32 op=op:string profile=profile->base.hname:string".into(),
            REFUSED,
        ),
        probe("aa_ptrace", refused_label("aa_may_ptrace", "ptrace", "tracer"), REFUSED),
        probe("aa_signal", refused_label("aa_may_signal", "signal", "sender"), REFUSED),
    ];
    all.extend(
        LABELLED.map(|(name, operation)| probe(name, refused_label(name, operation, "label"), REFUSED)),
    );
    all
}

fn refused_label(function: &str, operation: &str, label: &str) -> String {
    format!("f {function}%return ret=$retval:s32 op=\\\"{operation}\":string profile={label}->hname:string")
}

/// Tracing under way.
#[derive(Debug)]
pub struct Tracing {
    /// What the kernel tells, line by line; reading waits for the next.
    pub pipe: File,
    /// The probes that this kernel has no place for, and why.
    pub left_out: Vec<String>,
}

/// Sets tracing up. Errors: this kernel cannot be traced at all, or not by us.
pub fn start() -> io::Result<Tracing> {
    start_in(Path::new(TRACING))
}

fn start_in(tracing: &Path) -> io::Result<Tracing> {
    let instance = tracing.join("instances").join(NAME);
    without_names(tracing, || match std::fs::create_dir(&instance) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(at(&instance, &error)),
        _ => Ok(()),
    })?;
    write(&instance.join("buffer_size_kb"), RING_KIB)?;
    let mut left_out = Vec::new();
    for probe in probes() {
        if let Err(error) = put(tracing, &instance, &probe) {
            left_out.push(format!("{} ({error})", probe.name));
        }
    }
    let failed = instance.join("events/raw_syscalls/sys_exit");
    write(&failed.join("filter"), FAILED)?;
    write(&failed.join("enable"), "1")?;
    let path = instance.join("trace_pipe");
    let pipe = File::open(&path).map_err(|error| at(&path, &error))?;
    Ok(Tracing { pipe, left_out })
}

/// Makes an instance whose lines hold no names of processes, which are a container's to choose: `<...>` stands in their place. An
/// instance takes this over from the machine's own tracing when it is made, and has no switch of its own.
fn without_names(tracing: &Path, make: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let names = tracing.join("options/record-cmd");
    let before = std::fs::read_to_string(&names).map_err(|error| at(&names, &error))?;
    write(&names, "0")?;
    let made = make();
    write(&names, before.trim())?;
    made
}

fn put(tracing: &Path, instance: &Path, probe: &Probe) -> io::Result<()> {
    let (kind, rest) = probe.definition.split_once(' ').unwrap_or_default();
    append(&tracing.join("dynamic_events"), &format!("{kind}:{NAME}/{} {rest}\n", probe.name))?;
    let event: PathBuf = instance.join("events").join(NAME).join(probe.name);
    if !probe.filter.is_empty() {
        write(&event.join("filter"), probe.filter)?;
    }
    write(&event.join("enable"), "1")
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    let file = OpenOptions::new().append(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| at(path, &error))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| at(path, &error))
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
