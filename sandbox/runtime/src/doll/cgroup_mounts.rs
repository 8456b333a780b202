//! How a container sees control groups: what a Spec calls a mount of type `cgroup`.
//!
//! Version 2 is one file system. Version 1 is a directory with one for each hierarchy, named as on the machine, of which the
//! container sees its own group and what is below. With a user and a cgroup namespace of its own it sees version 2.

use super::cgroup::{hierarchies, own_groups};
use super::mounts::{self, Attributes, Mount};
use super::{beneath, user_map};
use crate::error::{Call, Failed};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::Mode;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One such mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct View {
    /// Where, and how; what it is of is seen when it is made.
    pub mount: Mount,
}

impl View {
    pub(crate) fn new(mount: Mount) -> Self {
        Self { mount }
    }

    /// Mounts it beneath `root`.
    pub(crate) fn perform(&self, root: BorrowedFd<'_>) -> Result<(), Failed> {
        let all = hierarchies()?;
        let own = own_groups()?;
        // A user namespace has no version 1 of its own.
        let begins_here = own.iter().all(|(_, path)| path == Path::new("/"));
        let only_second = begins_here && user_map::in_user_namespace()?;
        if all.is_empty() || all.iter().any(|one| one.is_unified()) || only_second {
            return self.mount.perform(root).map(drop);
        }
        let Mount { destination, attributes, .. } = &self.mount;
        // What is read-only are the groups; the directory that they are mounted in is the container's own.
        let writable = attributes.set & !Attributes::read_only().set;
        let mode = [("mode".to_owned(), Some("755".to_owned()))];
        let directory = mounts::new("tmpfs", "tmpfs", &mode, writable)?;
        mounts::attach(directory.as_fd(), beneath::directory(root, destination)?.as_fd())?;
        for hierarchy in &all {
            let group = own.iter().find_map(|(of, path)| hierarchy.is(of).then_some(path));
            let mounted = match group.filter(|path| path.as_path() != Path::new("/")) {
                Some(group) => {
                    let tree = mounts::clone_tree(&hierarchy.below(group), false)?;
                    attributes.apply(tree.as_fd(), false)?;
                    tree
                }
                // A cgroup namespace that begins with the container's group: only a new mount begins there too.
                None => {
                    let option = |word: &String| match word.split_once('=') {
                        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                        None => (word.clone(), None),
                    };
                    let options: Vec<_> = hierarchy.controllers().iter().map(option).collect();
                    let source = hierarchy.controllers().iter().find_map(|word| word.strip_prefix("name="));
                    mounts::new("cgroup", source.unwrap_or("cgroup"), &options, attributes.set)?
                }
            };
            let name = hierarchy.mounted_at().file_name().unwrap_or_default();
            match rustix::fs::mkdirat(&directory, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno).call(|| format!("mkdirat({name:?})")),
            }
            let target = beneath::open(directory.as_fd(), Path::new(name))?;
            mounts::attach(mounted.as_fd(), target.as_fd())?;
            for controller in hierarchy.controllers().iter().filter(|_| hierarchy.controllers().len() > 1) {
                // `cpu` leads to `cpu,cpuacct`, as on the machine.
                match rustix::fs::symlinkat(name, &directory, controller.as_str()) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(errno).call(|| format!("symlinkat({controller:?})")),
                }
            }
        }
        self.mount.finish(directory.as_fd())
    }
}
