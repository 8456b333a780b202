//! A container's control group: made for it, held while it is made, and `pause`, `resume`, `update` and `ps` by it.

use super::Failure;
use super::bundle::{Bundle, without_empty_limits};
use super::options::{ListFormat, Ps, Update};
use super::process::others_of;
use super::store::{Record, Store};
use crate::doll::cgroup::{self, Group};
use oci_spec::runtime::{ContainerState, LinuxResources};
use rustix::io::Errno;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A change of limits is a few hundred bytes.
const RESOURCES_BYTES_MAX: u64 = 1024 * 1024;

/// What a bundle asks of control groups.
#[derive(Debug)]
pub struct Wanted {
    path: PathBuf,
    resources: Option<LinuxResources>,
}

/// `None` where it asks for nothing: neither a group nor a limit.
pub fn wanted(bundle: &Bundle, id: &str) -> Result<Option<Wanted>, Failure> {
    let Some(linux) = bundle.spec.linux() else { return Ok(None) };
    let resources = linux.resources().clone().map(without_empty_limits).transpose()?;
    let limits = resources.as_ref().is_some_and(limits_something);
    let path = linux.cgroups_path().as_ref().map(|path| path.to_string_lossy().into_owned());
    let path = match path.filter(|path| !path.is_empty()) {
        Some(path) => cgroup::plan(&path)?,
        None if limits => Path::new("isolab-runtime").join(id),
        None => return Ok(None),
    };
    Ok(Some(Wanted { path, resources }))
}

/// Whether there is more in it than rules about devices.
fn limits_something(resources: &LinuxResources) -> bool {
    let json = serde_json::to_value(resources).unwrap_or_default();
    json.as_object().is_some_and(|limits| limits.keys().any(|name| name != "devices"))
}

impl Wanted {
    /// Makes the group. `None` where the caller may not, or the machine has none, and nothing was to be limited: an
    /// ordinary user's containers are counted with their maker.
    pub fn make(&self) -> Result<Option<Group>, Failure> {
        let limits = self.resources.as_ref().is_some_and(limits_something);
        let not_ours = |errno: i32| {
            [Errno::ACCESS, Errno::PERM, Errno::ROFS, Errno::NOENT]
                .iter()
                .any(|&not_ours| Errno::from_raw_os_error(errno) == not_ours)
        };
        match Group::make(&self.path) {
            Ok(None) if limits => {
                let why = "linux.resources: no control groups are mounted on this machine";
                Err(Failure::plain(why.into()))
            }
            Err(error) if !limits && not_ours(error.errno) => Ok(None),
            made => Ok(made?),
        }
    }

    /// Sets what the group's processes may use.
    pub fn limit(&self, group: &Group) -> Result<(), Failure> {
        self.resources.as_ref().map_or(Ok(()), |resources| Ok(group.limit(resources)?))
    }
}

/// Whether a container is paused.
pub fn is_paused(record: &Record) -> bool {
    record.group.as_ref().is_some_and(Group::is_frozen)
}

/// `pause` and `resume`.
pub fn freeze(store: &Store, id: &str, frozen: bool) -> Result<(), Failure> {
    let (home, record) = store.get(id)?;
    match record.status(&home) {
        ContainerState::Running if is_paused(&record) == frozen => {
            let state = if frozen { "paused already" } else { "not paused" };
            Err(Failure::plain(format!("container {id} is {state}")))
        }
        ContainerState::Running => Ok(of(&record)?.freeze(frozen)?),
        other => Err(Failure::plain(format!("container {id} is {other} and not running"))),
    }
}

/// `update`.
pub fn update(store: &Store, options: &Update) -> Result<(), Failure> {
    let (home, record) = store.get(&options.named.id)?;
    if record.status(&home) == ContainerState::Stopped {
        return Err(Failure::plain("cannot update a container that has stopped".into()));
    }
    let path = &options.resources;
    let failed = |error| Failure::new(format!("reading {path:?}"), error);
    let mut text = String::new();
    match path == Path::new("-") {
        true => std::io::stdin().take(RESOURCES_BYTES_MAX).read_to_string(&mut text).map_err(failed)?,
        false => {
            let file = std::fs::File::open(path).map_err(failed)?;
            file.take(RESOURCES_BYTES_MAX).read_to_string(&mut text).map_err(failed)?
        }
    };
    let resources: LinuxResources =
        serde_json::from_str(&text).map_err(|error| Failure::plain(format!("{path:?}: {error}")))?;
    Ok(of(&record)?.limit(&without_empty_limits(resources)?)?)
}

/// `ps`: the numbers of the container's processes.
pub fn ps(store: &Store, options: &Ps) -> Result<(), Failure> {
    let (home, record) = store.get(&options.named.id)?;
    if record.status(&home) == ContainerState::Stopped {
        return Err(Failure::absent("the container is not running".into()));
    }
    let pids = processes(&record)?;
    match options.format {
        ListFormat::Json => println!("{}", serde_json::Value::from(pids)),
        ListFormat::Table => {
            println!("PID");
            pids.iter().for_each(|pid| println!("{pid}"));
        }
    }
    Ok(())
}

/// All processes of a container: those of its group, or, without one, of its pid namespace.
pub fn processes(record: &Record) -> Result<Vec<u32>, Failure> {
    if let Some(group) = &record.group {
        return Ok(group.processes());
    }
    let others = others_of(&record.init)?;
    Ok([record.init.pid].into_iter().chain(others.iter().map(|other| other.pid)).collect())
}

fn of(record: &Record) -> Result<&Group, Failure> {
    let why = || Failure::plain("the container has no control group: give linux.cgroupsPath".into());
    record.group.as_ref().ok_or_else(why)
}
