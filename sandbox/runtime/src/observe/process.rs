//! One process, read as a whole.

use super::executable::{Digests, Trusted};
use super::ids::IdTranslation;
use super::procfs::{NamespaceKind, ProcessDir, Procfs};
use super::text;
use isolab_protocol::observation::{Ids, Namespace, Namespaces, Process};

/// How much of a command line is kept: what a page can show. A process may have megabytes of it.
const COMMAND_LINE_BYTES_MAX: usize = 4096;

/// `status` is one record, printed whole; with 65536 supplementary groups, the kernel's own bound, it has 720 KiB.
/// It must not be cut: the capability sets come after the groups, and a learner could push them out of sight.
const STATUS_BYTES_MAX: usize = 1024 * 1024;

/// A name for each hierarchy, of which there are at most 16, and each at most 4096 bytes. The unified one comes last.
const CGROUP_BYTES_MAX: usize = 17 * 4096;

/// For the files of one short line.
const LINE_BYTES_MAX: usize = 4096;

/// How the ids of a lab host are told.
#[derive(Clone, Debug)]
pub struct Translations {
    pub uid: IdTranslation,
    pub gid: IdTranslation,
}

/// Reads a process, `shared` not yet told. `None` where it ends meanwhile, which is normal, and where it is a thread of the kernel's.
pub fn read(
    procfs: &Procfs,
    pid: u32,
    ids: &Translations,
    digests: &mut Digests,
    trusted: &dyn Trusted,
) -> Option<Process> {
    let dir = procfs.process(pid).ok()?;
    let mut buffer = Vec::with_capacity(LINE_BYTES_MAX);
    dir.read_record("stat", LINE_BYTES_MAX, &mut buffer).ok()?;
    let stat = text::stat(&buffer).filter(|stat| !stat.is_kernel_thread)?;
    dir.read_record("status", STATUS_BYTES_MAX, &mut buffer).ok()?;
    let status = text::status(&buffer)?;
    let mut line = |file: &str, max: usize| {
        let read = dir.read_record(file, max, &mut buffer);
        if read.is_ok() { buffer.clone() } else { Vec::new() }
    };
    Some(Process {
        pid,
        pid_inside: *status.pids.last()?,
        pids: status.pids,
        ppid: stat.ppid,
        argv: text::arguments(&line("cmdline", COMMAND_LINE_BYTES_MAX)),
        comm: stat.comm,
        executable: digests.executable(&dir, trusted),
        state: stat.state,
        started_at_ms: stat.started_at_ms,
        uid: translate(&status.uid, &ids.uid),
        gid: translate(&status.gid, &ids.gid),
        groups: status.groups.iter().map(|&group| ids.gid.id(group)).collect(),
        capabilities: status.capabilities,
        no_new_privs: status.no_new_privs,
        seccomp: status.seccomp,
        lsm_label: text::label(&line("attr/current", LINE_BYTES_MAX)),
        namespaces: namespaces(&dir),
        cgroup: text::cgroup(&line("cgroup", CGROUP_BYTES_MAX)),
    })
}

/// The device and inode of what a process executes, to tell whether two execute the same file.
pub fn executable_identity(procfs: &Procfs, pid: u32) -> Option<(u64, u64)> {
    let stat = procfs.process(pid).ok()?.executable_stat().ok()?;
    Some((stat.st_dev, stat.st_ino))
}

fn translate(ids: &Ids, to: &IdTranslation) -> Ids {
    Ids {
        real: to.id(ids.real),
        effective: to.id(ids.effective),
        saved: to.id(ids.saved),
        filesystem: to.id(ids.filesystem),
    }
}

fn namespaces(dir: &ProcessDir) -> Namespaces {
    let namespace = |kind| Namespace { inode: dir.namespace_inode(kind), shared: false };
    Namespaces {
        user: namespace(NamespaceKind::User),
        pid: namespace(NamespaceKind::Pid),
        mnt: namespace(NamespaceKind::Mnt),
        net: namespace(NamespaceKind::Net),
        uts: namespace(NamespaceKind::Uts),
        ipc: namespace(NamespaceKind::Ipc),
        cgroup: namespace(NamespaceKind::Cgroup),
        time: namespace(NamespaceKind::Time),
    }
}
