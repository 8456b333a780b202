//! What the kernel says of a container's control group, version 2: its limits, and how often they were reached.
//!
//! The name of a group comes from the kernel, but root of the lab host may make groups by the thousand and put any process into any of
//! them. So a name is only ever resolved beneath the hierarchy's own root, which is held open, and never through a link or a mount.
//!
//! What is used at the moment (`memory.current`, `pids.current`) is left out: it differs at every look, and so would the observation.

use isolab_protocol::observation::{LimitEvents, Limits};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// `CGROUP2_SUPER_MAGIC` of linux/magic.h.
const CGROUP2_MAGIC: i64 = 0x6367_7270;

/// Where the engine of a machine's root puts its containers' groups, as Docker does. The kernel counts in it what happened in all of
/// them, also in those which are gone.
const CONTAINERS: &str = "docker";

/// The files read here have at most seven short lines.
const FILE_BYTES_MAX: usize = 512;

/// A hierarchy of control groups, version 2.
#[derive(Debug)]
pub struct Groups {
    root: OwnedFd,
}

/// One group, held open: a later one of the same name is not read through it.
struct Group {
    dir: OwnedFd,
}

impl Groups {
    /// Takes the root directory of the hierarchy; `None` where it is none of version 2.
    pub fn new(root: OwnedFd) -> Option<Self> {
        let file_system = rustix::fs::fstatfs(&root).ok()?;
        (file_system.f_type as i64 == CGROUP2_MAGIC).then_some(Self { root })
    }

    /// The limits of the group of this name, as `/proc/PID/cgroup` tells it. `None` where it is not (any more) in this hierarchy.
    pub fn limits(&self, name: &str) -> Option<Limits> {
        let group = self.group(name)?;
        let (cpu_quota_us, cpu_period_us) = group.read("cpu.max", cpu).unwrap_or_default();
        Some(Limits {
            memory_max: group.read("memory.max", limit),
            swap_max: group.read("memory.swap.max", limit),
            pids_max: group.read("pids.max", limit),
            cpu_quota_us,
            cpu_period_us,
            cpu_weight: group.read("cpu.weight", limit),
            events: group.events(),
        })
    }

    /// How often limits were reached in all groups of the engine's containers. `None` where there never was a container.
    pub fn of_containers(&self) -> Option<LimitEvents> {
        Some(self.group(CONTAINERS)?.events())
    }

    fn group(&self, name: &str) -> Option<Group> {
        let beneath = match name.trim_start_matches('/') {
            // A process without a group of its own is in the hierarchy's root, which has no limits.
            "" if name == "/" => ".",
            beneath => beneath,
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let dir = openat2(&self.root, beneath, flags, Mode::empty(), resolve).ok()?;
        Some(Group { dir })
    }
}

impl Group {
    fn events(&self) -> LimitEvents {
        let mut events = LimitEvents { memory_max: 0, oom: 0, oom_kill: 0, pids_max: 0 };
        if let Ok(text) = self.text("memory.events") {
            events.memory_max = event(&text, "max");
            events.oom = event(&text, "oom");
            events.oom_kill = event(&text, "oom_kill");
        }
        if let Ok(text) = self.text("pids.events") {
            events.pids_max = event(&text, "max");
        }
        events
    }

    /// What one of its files says; `None` also where the controller is not on.
    fn read<T>(&self, file: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        parse(&self.text(file).ok()?)
    }

    fn text(&self, file: &str) -> Result<String, Errno> {
        let fd = openat(&self.dir, file, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let mut bytes = [0; FILE_BYTES_MAX];
        let count = rustix::io::read(fd.as_fd(), &mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes[..count]).into_owned())
    }
}

/// A limit in a file of one line: a number, or `max` for none.
fn limit(text: &str) -> Option<u64> {
    text.trim_end().parse().ok()
}

/// `cpu.max`: how many microseconds in each period, and how long a period is.
fn cpu(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (quota, period) = text.trim_end().split_once(' ')?;
    Some((quota.parse().ok(), period.parse().ok()))
}

/// How often an event of this name was counted, in a file of lines `name count`.
fn event(text: &str, name: &str) -> u64 {
    let count = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    settled(text.lines().find_map(count).unwrap_or(0))
}

/// A count that grows without end, told so that it soon stays the same: exact below ten, and from there rounded down to its first
/// digit. A fork bomb runs into its limit a thousand times a second, and must not make a new observation each time.
fn settled(count: u64) -> u64 {
    let unit = 10_u64.pow(count.checked_ilog10().unwrap_or(0));
    count / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_max_is_none() {
        assert_eq!((limit("67108864\n"), limit("max\n"), limit("")), (Some(67_108_864), None, None));
        assert_eq!(cpu("50000 100000\n"), Some((Some(50_000), Some(100_000))));
        assert_eq!(cpu("max 100000\n"), Some((None, Some(100_000))));
        assert_eq!(cpu("max\n"), None);
    }

    #[test]
    fn an_event_is_found_by_its_whole_name() {
        let text = "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n";
        assert_eq!(["max", "oom", "oom_kill", "oom_"].map(|name| event(text, name)), [7, 2, 1, 0]);
        for garbage in ["", "max", "max x", "max -1", "max 99999999999999999999", "\u{fffd}"] {
            assert_eq!(event(garbage, "max"), 0, "{garbage:?}");
        }
    }

    #[test]
    fn counts_settle() {
        let told = [0, 1, 9, 10, 19, 99, 100, 123_456, u64::MAX].map(settled);
        assert_eq!(told, [0, 1, 9, 10, 10, 90, 100, 100_000, 10_000_000_000_000_000_000]);
        let different: std::collections::BTreeSet<u64> = (0..100_000).map(settled).collect();
        assert_eq!(different.len(), 46, "a hundred thousand events make 46 observations");
    }

    #[test]
    fn what_is_no_hierarchy_of_version_2_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Groups::new(std::fs::File::open(folder.path()).unwrap().into()).is_none());
        assert!(Groups::new(std::fs::File::open("/proc").unwrap().into()).is_none());
    }

    #[test]
    fn a_name_leads_nowhere_but_beneath() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::create_dir_all(folder.path().join("outside")).unwrap();
        std::os::unix::fs::symlink("a", root.join("link")).unwrap();
        let groups = Groups { root: std::fs::File::open(&root).unwrap().into() };
        for there in ["/", "/a", "/a/b"] {
            assert!(groups.group(there).is_some(), "{there}");
        }
        for nowhere in ["", "/..", "/../outside", "/a/../../outside", "/link", "/link/b", "/c", "/a\0b"] {
            assert!(groups.group(nowhere).is_none(), "{nowhere:?}");
        }
        // In a group without files nothing is limited, and nothing has happened.
        let limits = groups.limits("/a").unwrap();
        assert_eq!((limits.memory_max, limits.events.oom_kill), (None, 0));
        assert_eq!(groups.of_containers(), None);
    }
}
