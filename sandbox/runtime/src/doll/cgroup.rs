//! The control group doll: which processes are counted together, and what they may use.
//!
//! A container's group is a directory below each hierarchy that the machine has (version 1), or below the one (version 2).
//! Nothing else of the machine's groups is touched, except that version 2 has controllers enabled on the way down. Who makes
//! a container joins its group for that moment ([`Group::hold`]): the container is born in it, and its cgroup
//! namespace begins there. What limits it is set before its program starts and after it is set up.
//!
//! Version 2 decides about devices by a program in the kernel, which only root of the machine can give it. In a user
//! namespace there are no such rules, and no device that was made there can be opened.

mod device_rules;
mod hierarchy;
mod limits;
mod support;

use super::user_map;
use crate::Error;
use crate::error::{Call, Failed};
use hierarchy::Hierarchy;
pub(crate) use hierarchy::{all as hierarchies, own_groups};
use limits::Setting;
use oci_spec::runtime::LinuxResources;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};
pub use support::{Support, Version, make_room};

/// How long the processes of a group may take to be frozen, or, killed, to leave it.
const SETTLE_WAIT: Duration = Duration::from_secs(5);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// The kernel's own bound for what it says at once is a page; counts of many disks are longer.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// More processes than the kernel has room for by default are not read from a group.
const PROCESSES_MAX: usize = 4 * 1024 * 1024;

/// A container's group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its directory in each hierarchy.
    parts: Vec<Part>,
}

/// A group in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    hierarchy: Hierarchy,
    directory: PathBuf,
}

/// The path of a group below a hierarchy, from the words of a Spec. systemd's `slice:prefix:name` is the scope
/// that systemd would make of it.
pub fn plan(words: &str) -> Result<PathBuf, Error> {
    let path = match words.split(':').collect::<Vec<_>>()[..] {
        [slice, prefix, name] if !words.contains('/') => {
            let unit =
                if name.ends_with(".slice") { name.to_owned() } else { format!("{prefix}-{name}.scope") };
            Path::new(slice).join(unit.trim_start_matches('-'))
        }
        _ => PathBuf::from(words.trim_start_matches('/')),
    };
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    match plain && path.components().next().is_some() {
        true => Ok(path),
        false => Err(Error::field("linux.cgroupsPath", format!("{words:?} is not a group below the root"))),
    }
}

impl Group {
    /// Makes the group at `path`, below each hierarchy that there is; `None` where the machine has none. Where it fails, what it
    /// has made by then is removed, and nothing that was there before. Errors: EBUSY, processes are in it already, and
    /// [`Self::remove`] would end them.
    pub fn make(path: &Path) -> Result<Option<Self>, Error> {
        let mut made = vec![];
        let mut make = || -> Result<_, Failed> {
            let mut parts = vec![];
            for hierarchy in hierarchy::all()? {
                let directory = hierarchy.make(path, &mut made)?;
                if made.last() != Some(&directory) {
                    must_be_unused(&directory)?;
                }
                parts.push(Part { hierarchy, directory });
            }
            Ok(parts)
        };
        match make() {
            Ok(parts) => Ok((!parts.is_empty()).then_some(Self { parts })),
            Err(failed) => {
                // Deepest first. One that somebody else has put something into meanwhile stays.
                made.iter().rev().for_each(|directory| drop(std::fs::remove_dir(directory)));
                Err(failed.in_step("making a control group"))
            }
        }
    }

    /// The group at `path`, which may be gone: only what is still there of it is looked at.
    pub fn at(path: &Path) -> Result<Self, Error> {
        let hierarchies = hierarchy::all().map_err(|failed| failed.in_step("looking for a control group"))?;
        let part = |hierarchy: Hierarchy| Part { directory: hierarchy.at(path), hierarchy };
        Ok(Self { parts: hierarchies.into_iter().map(part).collect() })
    }

    /// What a controller's file says, at most [`FILE_BYTES_MAX`] of it; `None` where it is not there.
    pub fn read(&self, controller: &str, file: &str) -> Option<String> {
        let part = self.parts.iter().find(|part| part.hierarchy.has(controller))?;
        let mut text = String::new();
        let file = std::fs::File::open(part.directory.join(file)).ok()?;
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).ok().map(|_| text)
    }

    /// Whether it is of version 2.
    pub fn is_unified(&self) -> bool {
        self.parts.iter().any(|part| part.hierarchy.is_unified())
    }

    /// Moves the calling process into the group, until the value that is returned is dropped.
    pub(crate) fn hold(&self) -> Result<Held, Error> {
        let own = hierarchy::own_groups().map_err(|failed| failed.in_step("joining a control group"))?;
        let mut held = Held { back: vec![] };
        for part in &self.parts {
            if let Some(directory) = own.iter().find_map(|(of, path)| part.hierarchy.is(of).then_some(path)) {
                held.back.push(part.hierarchy.below(directory));
            }
            part.enter(std::process::id()).map_err(|failed| failed.in_step("joining a control group"))?;
        }
        Ok(held)
    }

    /// Sets what the group may use. An error names the file, and with it the controller that this machine lacks.
    pub fn limit(&self, resources: &LinuxResources) -> Result<(), Error> {
        let settings = match self.parts.iter().find(|part| part.hierarchy.is_unified()) {
            Some(part) => {
                part.rule_devices(resources)?;
                limits::unified(resources)
            }
            None => limits::version_1(resources),
        };
        let mut later = vec![];
        for setting in settings? {
            match self.set(&setting) {
                // What one file takes may depend on another (memory may not be more than memory and swap).
                Err(failed) if failed.errno() == Errno::INVAL => later.push(setting),
                done => done.map_err(|failed| failed.in_step(format!("limiting {}", setting.controller)))?,
            }
        }
        later.iter().try_for_each(|setting| {
            self.set(setting).map_err(|failed| failed.in_step(format!("limiting {}", setting.controller)))
        })
    }

    /// Takes a process in that was made elsewhere.
    pub fn take_in(&self, pid: u32) -> Result<(), Error> {
        let enter = |part: &Part| part.enter(pid);
        self.parts.iter().try_for_each(enter).map_err(|failed| failed.in_step("joining a control group"))
    }

    fn set(&self, setting: &Setting) -> Result<(), Failed> {
        let part =
            self.parts.iter().find(|part| part.hierarchy.has(setting.controller)).ok_or_else(|| {
                Failed::because(
                    format!("this machine has no {} controller", setting.controller),
                    Errno::NODEV,
                )
            })?;
        write(&part.directory.join(&setting.file), &setting.value)
    }

    /// Its processes, and those of the groups that were made below it, as the caller numbers them.
    pub fn processes(&self) -> Vec<u32> {
        let mut all = vec![];
        for part in &self.parts {
            collect(&part.directory, &mut all);
        }
        all.sort_unstable();
        all.dedup();
        all.retain(|&pid| pid != 0);
        all
    }

    /// Stops all its processes where they are, or lets them go on.
    pub fn freeze(&self, frozen: bool) -> Result<(), Error> {
        let step = if frozen { "pausing" } else { "resuming" };
        let freezer = self.freezer().map_err(|failed| failed.in_step(step))?;
        let (file, value) = match (freezer.hierarchy.is_unified(), frozen) {
            (true, true) => ("cgroup.freeze", "1"),
            (true, false) => ("cgroup.freeze", "0"),
            (false, true) => ("freezer.state", "FROZEN"),
            (false, false) => ("freezer.state", "THAWED"),
        };
        let begun = Instant::now();
        let path = freezer.directory.join(file);
        loop {
            write(&path, value).map_err(|failed| failed.in_step(step))?;
            if freezer.is_frozen() == frozen {
                return Ok(());
            }
            if begun.elapsed() > SETTLE_WAIT {
                // Version 1 stays "FREEZING" while a process cannot be stopped: better none than half of them.
                if frozen {
                    let _ = self.freeze(false);
                }
                let what = format!("{path:?}: its processes do not settle");
                return Err(Failed::because(what, Errno::TIMEDOUT).in_step(step));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Whether its processes are stopped where they are.
    pub fn is_frozen(&self) -> bool {
        self.freezer().is_ok_and(Part::is_frozen)
    }

    fn freezer(&self) -> Result<&Part, Failed> {
        let part = self.parts.iter().find(|part| part.hierarchy.has("freezer"));
        part.ok_or_else(|| Failed::because("this machine has no freezer controller", Errno::NODEV))
    }

    /// Ends whatever is left in the group, and removes it.
    pub fn remove(&self) -> Result<(), Error> {
        let begun = Instant::now();
        loop {
            for pid in self.processes() {
                let process = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
                // One that has ended by itself needs no signal.
                let _ = process.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
            }
            if self.is_frozen() {
                // In version 1 what is frozen does not even end.
                let _ = self.freeze(false);
            }
            let left = self.remove_directories();
            match left {
                None => return Ok(()),
                Some(failed) if begun.elapsed() > SETTLE_WAIT => {
                    return Err(failed.in_step("removing a control group"));
                }
                Some(_) => std::thread::sleep(LOOK_EVERY),
            }
        }
    }

    /// Removes the directories; what could not be.
    fn remove_directories(&self) -> Option<Failed> {
        self.parts.iter().filter_map(|part| remove(&part.directory).err()).next()
    }
}

impl Part {
    /// Sees to it that version 2 keeps the rules about devices, where there are some.
    fn rule_devices(&self, resources: &LinuxResources) -> Result<(), Error> {
        let rules = device_rules::read(resources.devices().as_deref().unwrap_or_default())?;
        let told = |failed: Failed| failed.in_step("limiting devices");
        if rules.is_empty() || user_map::in_user_namespace().map_err(told)? {
            return Ok(());
        }
        device_rules::attach(&self.directory, &rules).map_err(told)
    }

    fn enter(&self, pid: u32) -> Result<(), Failed> {
        write(&self.directory.join("cgroup.procs"), &pid.to_string())
    }

    fn is_frozen(&self) -> bool {
        let read = |file: &str| std::fs::read_to_string(self.directory.join(file)).unwrap_or_default();
        match self.hierarchy.is_unified() {
            true => read("cgroup.events").lines().any(|line| line == "frozen 1"),
            false => read("freezer.state").trim() == "FROZEN",
        }
    }
}

/// The calling process in a group that is not its own; dropped, it is back in its own.
#[derive(Debug)]
pub(crate) struct Held {
    back: Vec<PathBuf>,
}

impl Drop for Held {
    fn drop(&mut self) {
        for directory in &self.back {
            // It fails where our own group is out of our sight (a container's cgroup namespace): we are then counted here
            // for as long as we live, which is not long.
            let _ = write(&directory.join("cgroup.procs"), &std::process::id().to_string());
        }
    }
}

/// Writes to a file of the kernel's; it is never made.
fn write(path: &Path, value: &str) -> Result<(), Failed> {
    let write = || std::fs::OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes());
    write().call(|| format!("write({path:?}, {value:?})"))
}

/// Below a group are only groups: files go with their directory.
fn below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()).collect()
}

/// An error where a process is in a group or in one below it.
fn must_be_unused(directory: &Path) -> Result<(), Failed> {
    let mut processes = vec![];
    collect(directory, &mut processes);
    match processes.first() {
        Some(pid) => {
            let what = format!("{directory:?} has processes already, such as {pid}: name another group");
            Err(Failed::because(what, Errno::BUSY))
        }
        None => Ok(()),
    }
}

fn collect(directory: &Path, all: &mut Vec<u32>) {
    let text = std::fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    all.extend(text.lines().take(PROCESSES_MAX).filter_map(|line| line.parse::<u32>().ok()));
    below(directory).iter().for_each(|group| collect(group, all));
}

fn remove(directory: &Path) -> Result<(), Failed> {
    below(directory).iter().try_for_each(|group| remove(group))?;
    match std::fs::remove_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done.call(|| format!("rmdir({directory:?})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_path_stays_below_the_root() {
        let path = |words| plan(words).map(|path| path.to_string_lossy().into_owned());
        assert_eq!(path("/docker/abc").unwrap(), "docker/abc");
        assert_eq!(path("pods/abc").unwrap(), "pods/abc");
        assert_eq!(path("system.slice:docker:abc").unwrap(), "system.slice/docker-abc.scope");
        assert_eq!(path("user.slice:libpod:abc").unwrap(), "user.slice/libpod-abc.scope");
        for bad in ["", "/", "..", "/a/../../b", "../a"] {
            assert!(path(bad).unwrap_err().call.contains("cgroupsPath"), "{bad:?}");
        }
    }
}
