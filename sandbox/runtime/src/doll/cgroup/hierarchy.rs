//! The machine's control group hierarchies: one for each controller in version 1, one for all in version 2.
//!
//! Where both are mounted, the controllers are version 1's, and so are the groups.

use super::write;
use crate::error::{Call, Failed};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// One hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hierarchy {
    /// Where it is mounted.
    mounted_at: PathBuf,
    /// Which group of it that mount begins with: `/` unless the caller is in a container.
    begins_with: PathBuf,
    /// Version 1: its controllers, `name=…` for one without. Version 2 has none here.
    controllers: Vec<String>,
}

/// Those that the caller sees mounted.
pub(crate) fn all() -> Result<Vec<Hierarchy>, Failed> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").call(|| "open(\"/proc/self/mountinfo\")")?;
    Ok(read_mounts(&text))
}

/// The caller's own groups: the controllers, comma-separated and empty for version 2, and the path.
pub(crate) fn own_groups() -> Result<Vec<(String, PathBuf)>, Failed> {
    let text = std::fs::read_to_string("/proc/self/cgroup").call(|| "open(\"/proc/self/cgroup\")")?;
    let group = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?.to_owned(), PathBuf::from(fields.next()?)))
    };
    Ok(text.lines().filter_map(group).collect())
}

fn read_mounts(mountinfo: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = vec![];
    for line in mountinfo.lines() {
        let Some((mount, file_system)) = line.split_once(" - ") else { continue };
        let (mut mount, mut file_system) = (mount.split(' ').skip(3), file_system.split(' '));
        let (Some(begins_with), Some(mounted_at)) = (mount.next(), mount.next()) else { continue };
        let (kind, options) = (file_system.next(), file_system.nth(1).unwrap_or_default());
        let words = match kind {
            Some("cgroup") => options,
            Some("cgroup2") => "",
            _ => continue,
        };
        let others = ["", "rw", "ro", "xattr", "clone_children", "noprefix", "cpuset_v2_mode"];
        let is_controller = |word: &&str| !others.contains(word) && !word.starts_with("release_agent");
        let controllers = words.split(',').filter(is_controller).map(str::to_owned).collect();
        let one = Hierarchy { mounted_at: mounted_at.into(), begins_with: begins_with.into(), controllers };
        // The same hierarchy may be mounted more than once.
        if !found.iter().any(|other| other.controllers == one.controllers) {
            found.push(one);
        }
    }
    if found.iter().any(|hierarchy| !hierarchy.is_unified()) {
        found.retain(|hierarchy| !hierarchy.is_unified());
    }
    found
}

impl Hierarchy {
    pub(crate) fn is_unified(&self) -> bool {
        self.controllers.is_empty()
    }

    /// Whether a controller is this hierarchy's. In version 2 the kernel says so, by a file that is there or not.
    pub(crate) fn has(&self, controller: &str) -> bool {
        self.is_unified() || self.controllers.iter().any(|own| own == controller)
    }

    /// Whether these, as `/proc/self/cgroup` has them, are its controllers.
    pub(crate) fn is(&self, controllers: &str) -> bool {
        self.controllers == controllers.split(',').filter(|word| !word.is_empty()).collect::<Vec<_>>()
    }

    /// Where it is mounted.
    pub(crate) fn mounted_at(&self) -> &Path {
        &self.mounted_at
    }

    /// Version 1: its controllers, `name=…` for one without.
    pub(crate) fn controllers(&self) -> &[String] {
        &self.controllers
    }

    /// Where the group at `path` is, counted from where the hierarchy is mounted.
    pub(super) fn at(&self, path: &Path) -> PathBuf {
        self.mounted_at.join(path)
    }

    /// Where a group of this hierarchy is, by its path from the hierarchy's root.
    pub(crate) fn below(&self, group: &Path) -> PathBuf {
        let relative = group.strip_prefix(&self.begins_with).unwrap_or(group);
        self.mounted_at.join(relative.strip_prefix("/").unwrap_or(relative))
    }

    /// Makes a group with its parents, and sees to it that processes can be in it. `made` is told each directory that was not there
    /// before, whether it succeeds or not.
    pub(super) fn make(&self, path: &Path, made: &mut Vec<PathBuf>) -> Result<PathBuf, Failed> {
        let mut directory = self.mounted_at.clone();
        for name in path {
            if self.is_unified() {
                enable_controllers(&directory);
            }
            let parent = directory.clone();
            directory.push(name);
            match std::fs::create_dir(&directory) {
                Ok(()) => made.push(directory.clone()),
                // The kernel's own files have names, too.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && directory.is_dir() => {}
                Err(error) => return Err(error).call(|| format!("mkdir({directory:?})")),
            }
            if self.has("cpuset") && !self.is_unified() {
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    inherit(&parent, &directory, file)?;
                }
            }
        }
        Ok(directory)
    }
}

/// Lets the groups below `directory` use every controller that it has. One that cannot be enabled (processes are in this very
/// group) is missed when something is to be limited by it, and not before.
fn enable_controllers(directory: &Path) {
    let there = std::fs::read_to_string(directory.join("cgroup.controllers")).unwrap_or_default();
    for controller in there.split_whitespace() {
        let _ = write(&directory.join("cgroup.subtree_control"), &format!("+{controller}"));
    }
}

/// Version 1 refuses processes in a group without processors or memory nodes, and a new group has none.
fn inherit(parent: &Path, group: &Path, file: &str) -> Result<(), Failed> {
    let read = |directory: &Path| std::fs::read_to_string(directory.join(file)).unwrap_or_default();
    if !read(group).trim().is_empty() {
        return Ok(());
    }
    match read(parent).trim() {
        "" => Err(Failed::because(format!("{:?} is empty", parent.join(file)), Errno::NOSPC)),
        own => write(&group.join(file), own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_read_from_the_mounts() {
        let hybrid = "\
30 25 0:26 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 25 0:28 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/a,name=systemd
33 25 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
34 25 0:26 / /elsewhere rw,relatime - cgroup cgroup rw,memory
35 25 0:30 / /proc rw - proc proc rw";
        let found = read_mounts(hybrid);
        let names: Vec<_> = found.iter().map(|one| one.controllers.join("+")).collect();
        assert_eq!(names, ["memory", "cpu+cpuacct", "name=systemd"]);
        assert!(found[1].has("cpuacct") && !found[1].has("memory") && found[1].is("cpu,cpuacct"));
        let alone = read_mounts("33 25 0:29 /a/b /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate");
        assert!(alone.len() == 1 && alone[0].is_unified() && alone[0].has("memory") && alone[0].is(""));
        assert_eq!(alone[0].below("/a/b/c".as_ref()), Path::new("/sys/fs/cgroup/c"));
        assert_eq!(found[0].below("/c".as_ref()), Path::new("/sys/fs/cgroup/memory/c"));
    }
}
