//! What a lab could leave behind on the machine: processes, mounts, network links, control groups, files.
//! A test looks before and after, and both looks have to be equal.
//!
//! Other programs come and go on the machine meanwhile, so only what could be ours counts: see [`Owner`].

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// After a command has ended the kernel still takes namespaces and mounts down; longer than this is a leak.
const SETTLE_MAX: Duration = Duration::from_secs(5);

/// The user ids that a process or file of ours may have: the caller's, and those that its labs run under.
#[derive(Clone, Debug)]
pub struct Owner {
    uid: u32,
    ranges: Vec<std::ops::Range<u32>>,
}

impl Owner {
    /// Of the calling process: its own id and its subordinate ids; for root, the range that the agent takes.
    pub fn caller() -> Self {
        let uid = rustix::process::getuid().as_raw();
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let ranges = if uid == 0 {
            // See the agent's id map: above the range of systemd's own containers.
            std::iter::once(0x7000_0000..0x7002_0000).collect()
        } else {
            subordinate_ranges(&text("/etc/subuid"), uid, &user_name(&text("/etc/passwd"), uid))
        };
        Self { uid, ranges }
    }

    fn is_lab_id(&self, uid: u32) -> bool {
        self.ranges.iter().any(|range| range.contains(&uid))
    }
}

fn user_name(passwd: &str, uid: u32) -> String {
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&uid.to_string()));
    line.and_then(|line| line.split(':').next()).unwrap_or_default().to_owned()
}

fn subordinate_ranges(subuid: &str, uid: u32, name: &str) -> Vec<std::ops::Range<u32>> {
    let range = |line: &str| {
        let mut parts = line.trim().split(':');
        let who = parts.next()?;
        let (start, count) = (parts.next()?.parse::<u32>().ok()?, parts.next()?.parse::<u32>().ok()?);
        (who == name || who == uid.to_string()).then_some(start..start.saturating_add(count))
    };
    subuid.lines().filter_map(range).collect()
}

/// One look at the machine: a line for each thing, which begins with its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look(BTreeSet<String>);

impl Look {
    /// Everything that could be ours, now.
    pub fn now(owner: &Owner) -> Self {
        let mut lines = BTreeSet::new();
        processes(owner, &mut lines);
        lines.extend(fs::read_to_string("/proc/self/mountinfo").unwrap_or_default().lines().map(mount));
        lines.extend(names_in("/sys/class/net").map(|name| format!("link {name}")));
        control_groups(Path::new("/sys/fs/cgroup"), 0, &mut lines);
        let runtime_dir = std::env::var("XDG_RUNTIME_DIR").unwrap_or_default();
        for folder in ["/tmp", "/var/tmp", "/dev/shm", "/run", &runtime_dir] {
            files(folder, owner, &mut lines);
        }
        Self(lines)
    }

    /// What is there now and was not at this look, once the kernel has had time to take things down.
    pub fn left_since(&self, owner: &Owner) -> Vec<String> {
        let began = Instant::now();
        loop {
            let left: Vec<String> = Self::now(owner).0.difference(&self.0).cloned().collect();
            if left.is_empty() || began.elapsed() > SETTLE_MAX {
                return left;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn names_in(folder: &str) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}

/// Processes of a lab's id, and Isolab's own programs.
fn processes(owner: &Owner, lines: &mut BTreeSet<String>) {
    for pid in names_in("/proc").filter(|name| name.bytes().all(|c| c.is_ascii_digit())) {
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
        let field =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        let uid =
            field("Uid:").split_whitespace().next().and_then(|uid| uid.parse().ok()).unwrap_or(u32::MAX);
        let ours = uid == owner.uid && field("Name:").starts_with("isolab");
        if ours || owner.is_lab_id(uid) {
            lines.insert(format!("process {pid} {} (uid {uid})", field("Name:")));
        }
    }
}

/// A mount by its place and kind: its number is given again to others.
fn mount(line: &str) -> String {
    let place = line.split(' ').nth(4).unwrap_or_default();
    let kind = line.split(" - ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    format!("mount {place} ({kind})")
}

fn control_groups(folder: &Path, depth: u8, lines: &mut BTreeSet<String>) {
    /// The agent makes its groups near the top of what is delegated to it.
    const DEPTH_MAX: u8 = 8;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if depth < DEPTH_MAX && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            lines.insert(format!("cgroup {}", entry.path().display()));
            control_groups(&entry.path(), depth + 1, lines);
        }
    }
}

/// Entries that belong to a lab's id, and those of ours that are named after Isolab or after nothing.
fn files(folder: &str, owner: &Owner, lines: &mut BTreeSet<String>) {
    for name in names_in(folder) {
        let path = Path::new(folder).join(&name);
        let Ok(metadata) = path.symlink_metadata() else { continue };
        let named = name.contains("isolab") || name.starts_with(".tmp");
        if owner.is_lab_id(metadata.uid()) || (metadata.uid() == owner.uid && named) {
            lines.insert(format!("file {}", path.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_ours_is_seen_to_come_and_to_go() {
        let owner = Owner::caller();
        let before = Look::now(&owner);
        let file =
            tempfile::Builder::new().prefix("isolab-trace-").tempfile_in("/tmp").expect("/tmp takes a file");
        let name = format!("file {}", file.path().display());
        assert!(Look::now(&owner).0.difference(&before.0).any(|line| *line == name));
        drop(file);
        assert!(!before.left_since(&owner).contains(&name));
    }

    #[test]
    fn a_process_of_ours_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("isolab-sleep");
        fs::copy("/bin/sleep", &program).expect("sleep is copied");
        let owner = Owner::caller();
        let before = Look::now(&owner);
        let mut child = std::process::Command::new(&program).arg("60").spawn().expect("it starts");
        let wanted = format!("process {} isolab-sleep", child.id());
        let began = Instant::now();
        let mut seen = false;
        while !seen && began.elapsed() < SETTLE_MAX {
            seen = Look::now(&owner).0.difference(&before.0).any(|line| line.starts_with(&wanted));
        }
        child.kill().and_then(|()| child.wait()).expect("it ends");
        assert!(seen);
    }

    #[test]
    fn ranges_are_read_by_name_and_by_number() {
        let subuid = "learner:100000:65536\n1001:300000:10\nother:400000:65536\n";
        assert_eq!(subordinate_ranges(subuid, 1001, "learner"), [100_000..165_536, 300_000..300_010]);
        assert_eq!(user_name("root:x:0:0::/:/bin/sh\nlearner:x:1001:1001::/:/bin/sh\n", 1001), "learner");
    }
}
