//! Looks at the machine. What can be tried for real is tried, in this very process.

use super::findings::{Cgroup, Findings, Helper, Kvm};
use crate::confinement::Starter;
use crate::store::Store;
use crate::vm::programs;
use crate::vm::templates::Templates;
use crate::{ids, images, spec};
use isolab_runtime::subid::Range;
use isolab_runtime::{Created, Plan, Stdio, Zygote};
use isolab_vm::hardware;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The largest file of /proc or /sys that is read whole; mountinfo of a busy machine is the largest.
const TEXT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Everything that can be read without changing anything.
pub fn read(store: &Store, starter: &Starter) -> Findings {
    let (uid, subuids, subgids) = match starter {
        Starter::Root => (0, 0, 0),
        Starter::User { uid, ranges, .. } => (*uid, longest(&ranges.uids), longest(&ranges.gids)),
    };
    Findings {
        kernel: text("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        uid,
        user: isolab_runtime::subid::user_name(uid).unwrap_or_default(),
        user_namespaces_max: number("/proc/sys/user/max_user_namespaces"),
        unprivileged_userns_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
        apparmor_restricts_userns: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        apparmor: text("/sys/module/apparmor/parameters/enabled").is_some_and(|on| on.trim() == "Y"),
        newuidmap: helper("newuidmap"),
        newgidmap: helper("newgidmap"),
        subuids,
        subgids,
        free_from: ["/etc/subuid", "/etc/subgid"]
            .map(|path| free_from(&text(path).unwrap_or_default()))
            .into_iter()
            .max()
            .unwrap_or(SUBORDINATE_FIRST),
        proc_covered: covered(&text("/proc/self/mountinfo").unwrap_or_default()),
        entered: None,
        trial: None,
        seccomp: Path::new("/proc/sys/kernel/seccomp/actions_avail").exists(),
        cgroup: cgroup(),
        memory_mib: memory_mib(&text("/proc/meminfo").unwrap_or_default()),
        disk_mib: disk_mib(store),
        kvm: kvm(),
        qemu: programs::find(hardware::program())
            .map(|path| (path.display().to_string(), programs::version_of(&path))),
        vm_tools_missing: ["qemu-img", "mke2fs"]
            .into_iter()
            .filter(|tool| programs::find(tool).is_none())
            .map(str::to_owned)
            .collect(),
        vm_image: Templates::image(store)
            .map(|image| format!("{}, Linux {}", image.manifest.distribution, image.manifest.kernel_release))
            .map_err(|refusal| refusal.message),
        images: images::current(store).map_err(|refusal| refusal.message),
    }
}

fn longest(ranges: &[Range]) -> u32 {
    ranges.iter().map(|range| range.count).max().unwrap_or(0)
}

/// Sets up a lab host without images and takes it down again. `empty` is a directory on the agent's stage.
pub fn try_lab_host(zygote: Option<&Zygote>, empty: &Path) -> Result<(), String> {
    let wanted = spec::trial(empty, ids::OWNER_FIRST + ids::OWNER_COUNT - 1).map_err(|e| e.to_string())?;
    let plan = Plan::new(&wanted.spec, wanted.rootfs, wanted.options).map_err(|e| e.to_string())?;
    let created = match zygote {
        Some(zygote) => zygote.create(&plan, Stdio::Null, &[]),
        None => Created::without_zygote(&plan, Stdio::Null, &[]),
    };
    // Dropping what was created takes it down.
    created.map(drop).map_err(|e| e.to_string())
}

/// Where subordinate ids begin on most distributions.
const SUBORDINATE_FIRST: u32 = 100_000;

/// The first id beyond all ranges of an /etc/subuid or /etc/subgid.
fn free_from(ranges: &str) -> u32 {
    let end = |line: &str| {
        let mut numbers = line.split(':').skip(1).map(|number| number.trim().parse::<u32>());
        numbers.next()?.ok()?.checked_add(numbers.next()?.ok()?)
    };
    ranges.lines().filter_map(end).max().unwrap_or(0).max(SUBORDINATE_FIRST)
}

fn text(path: &str) -> Option<String> {
    use io::Read;
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(TEXT_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

fn number(path: &str) -> Option<u64> {
    text(path)?.trim().parse().ok()
}

fn helper(program: &str) -> Helper {
    let Some(path) = programs::find(program) else { return Helper::Absent };
    let set_user_id = path.metadata().is_ok_and(|found| found.permissions().mode() & 0o4000 != 0);
    let mut buffer = [0_u8; 64];
    // Some distributions give it file capabilities instead.
    let has_capability = rustix::fs::getxattr(&path, "security.capability", &mut buffer[..]).is_ok();
    if set_user_id || has_capability { Helper::Ready } else { Helper::Powerless(path.display().to_string()) }
}

/// The mounts over parts of /proc. binfmt_misc has its own place there and covers nothing.
fn covered(mountinfo: &str) -> Vec<String> {
    let covering = |line: &str| {
        let target = line.split(' ').nth(4)?;
        (target.starts_with("/proc/") && target != "/proc/sys/fs/binfmt_misc").then(|| target.to_owned())
    };
    mountinfo.lines().filter_map(covering).collect()
}

fn cgroup() -> Cgroup {
    let Some(controllers) = text("/sys/fs/cgroup/cgroup.controllers") else {
        return if Path::new("/sys/fs/cgroup").join("cpu").exists() { Cgroup::V1 } else { Cgroup::Absent };
    };
    if controllers.trim().is_empty() {
        return Cgroup::V1;
    }
    let own = text("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/").to_owned();
    let own = PathBuf::from("/sys/fs/cgroup").join(own.trim_start_matches('/'));
    let writable =
        rustix::fs::access(own.join("cgroup.subtree_control"), rustix::fs::Access::WRITE_OK).is_ok();
    let listed = text(&own.join("cgroup.controllers").display().to_string()).unwrap_or_default();
    let delegated = if writable { listed.split_whitespace().map(str::to_owned).collect() } else { vec![] };
    Cgroup::V2 { delegated }
}

fn memory_mib(meminfo: &str) -> u64 {
    let kib = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    kib.and_then(|kib| kib.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn disk_mib(store: &Store) -> Option<u64> {
    // The store may not exist yet: what counts is the disk that it will be on.
    let place = store.home().ancestors().find(|place| place.exists())?;
    let found = rustix::fs::statvfs(place).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize) / (1024 * 1024))
}

fn kvm() -> Kvm {
    match std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        Ok(_) => Kvm::Opens,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Kvm::Absent,
        Err(_) => Kvm::Forbidden,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_covers_proc_is_told_from_what_belongs_there() {
        let mountinfo = "22 27 0:21 / /proc rw - proc proc rw\n\
                         23 22 0:30 / /proc/sys/fs/binfmt_misc rw - binfmt_misc x rw\n\
                         24 22 0:31 /null /proc/kcore rw - tmpfs tmpfs rw\n\
                         25 27 0:32 / /process rw - tmpfs tmpfs rw\n";
        assert_eq!(covered(mountinfo), ["/proc/kcore"]);
    }

    #[test]
    fn a_free_range_begins_after_all_others() {
        assert_eq!(free_from(""), 100_000);
        assert_eq!(free_from("ann:100000:65536\nbob:165536:65536\n# bad\nx:y:z\n"), 231_072);
    }

    #[test]
    fn the_memory_is_read_from_its_own_line() {
        assert_eq!(memory_mib("MemTotal:  9 kB\nMemAvailable:  2048000 kB\n"), 2000);
        assert_eq!(memory_mib(""), 0);
    }
}
