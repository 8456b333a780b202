//! `Spec → Plan`: the pure half of the runtime. Nothing here touches the kernel or the file system.
//!
//! What a Spec asks for and this runtime cannot do is an error that names the field, with three exceptions that every
//! engine's Specs have and that mean nothing here: `annotations`, `linux.cgroupsPath` and the device rules
//! of `linux.resources`. Which control group a container is born in is an option; what that limits is its owner's affair.

use crate::Error;
use crate::doll::apparmor::{self, Profile};
use crate::doll::capabilities::{self, Capabilities};
use crate::doll::cgroup::Group;
use crate::doll::cgroup_mounts::View;
use crate::doll::devices::{self, Device};
use crate::doll::identity::{self, Identity};
use crate::doll::limits::{self, Limit};
use crate::doll::mounts::{self, Mount, Propagation, Source};
use crate::doll::namespaces::{self, Kind, Namespaces};
pub use crate::doll::network::Veth;
use crate::doll::root;
pub use crate::doll::root::{Rootfs, Upper};
use crate::doll::seccomp::{CompiledFilter, FilterCache};
use crate::doll::user_map::{self, IdMaps};
use crate::doll::{network, seccomp};
use oci_spec::runtime::{Linux, LinuxResources, LinuxSeccomp, Process, Spec};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::sync::LazyLock;

/// What the OCI Spec has no word for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanOptions {
    /// The uid and gid (in the caller's user namespace) that own the new user namespace. Each lab has its own, because
    /// the kernel counts `processes_max` against the owner.
    pub user_namespace_owner: Option<(u32, u32)>,
    /// RLIMIT_NPROC at the creation of the user namespace: bounds all of its processes together.
    pub processes_max: Option<u64>,
    /// Veth pairs into the container's new network namespace.
    pub cables: Vec<Veth>,
    /// How many descriptors beyond 2 the program inherits, as 3, 4, … (see [`crate::Zygote::create`]).
    pub inherited_fds: u32,
    /// The control group that it is born in.
    pub group: Option<Group>,
    /// The program is killed when its owner's thread that started the zygote (or launched it) ends.
    pub die_with_parent: bool,
}

/// The most descriptors that a program inherits; the kernel passes 253 in one message.
pub const INHERITED_FDS_MAX: u32 = 200;

/// The most networks that a container is plugged into at its start: many more than anybody draws on a board.
pub const CABLES_MAX: usize = 64;

/// The steps of making one container, ready to be carried out by a process that must not think.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub(crate) namespaces: Namespaces,
    pub(crate) id_maps: Option<IdMaps>,
    pub(crate) options: PlanOptions,
    pub(crate) steps: Vec<Step>,
    pub(crate) program: Program,
}

/// The steps of joining a container with one more process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnterPlan {
    pub(crate) profile: Option<Profile>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) program: Program,
    pub(crate) group: Option<Group>,
}

/// One step of set-up, carried out by the new process in its namespaces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Step {
    Hostname(String),
    Domainname(String),
    LoopbackUp,
    PlugIn(Veth),
    Root {
        rootfs: Rootfs,
        propagation: Option<Propagation>,
    },
    Mount(Mount),
    ControlGroups(View),
    WorkingDirectory(PathBuf),
    Device(Device),
    DeviceLinks,
    /// Only where the process was given a terminal.
    Console,
    Setting {
        path: String,
        value: String,
    },
    ReadOnlyPaths(Vec<PathBuf>),
    MaskedPaths(Vec<PathBuf>),
    ReadOnlyRoot,
    Pivot {
        propagation: Option<Propagation>,
    },
    AppArmor(Profile),
    Limit(Limit),
}

/// What is executed, as whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Program {
    pub arguments: Vec<String>,
    pub environment: Vec<String>,
    pub working_directory: PathBuf,
    pub identity: Identity,
    pub capabilities: Capabilities,
    pub no_new_privileges: bool,
    pub filter: Option<CompiledFilter>,
    pub oom_score: Option<i32>,
}

impl Plan {
    /// Plans a container. Errors name the field of the Spec that cannot be.
    pub fn new(spec: &Spec, rootfs: Rootfs, options: PlanOptions) -> Result<Self, Error> {
        let linux = spec.linux().as_ref().ok_or_else(|| Error::field("linux", "is missing"))?;
        let process = spec.process().as_ref().ok_or_else(|| Error::field("process", "is missing"))?;
        refuse_unsupported(spec, linux)?;
        let namespaces = namespaces::plan(linux.namespaces().as_deref().unwrap_or_default())?;
        let id_maps = plan_id_maps(linux, &namespaces)?;
        let program = Program::new(process, linux.seccomp().as_ref())?;
        check_options(&options, &namespaces)?;
        check_ids(&program.identity, id_maps.as_ref())?;
        root::check(&rootfs)?;
        let mut steps = plan_network(spec, &namespaces, &options)?;
        steps.extend(plan_files(spec, linux, rootfs, &program, id_maps.as_ref())?);
        steps.extend(plan_settings(linux, &namespaces)?);
        steps.extend(plan_paths(spec, linux)?);
        steps.extend(apparmor::plan(process.apparmor_profile().as_deref())?.map(Step::AppArmor));
        steps.extend(plan_limits(process)?.into_iter().map(Step::Limit));
        Ok(Self { namespaces, id_maps, options, steps, program })
    }

    /// Whether it takes a helper to be born in its pid namespace, which is another's.
    pub(crate) fn joins_pid_namespace(&self) -> bool {
        self.namespaces.is_joined(Kind::Pid)
    }

    /// Whether it changes kernel settings, which must not be those of its maker's namespaces.
    pub(crate) fn has_settings(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Setting { .. }))
    }

    /// The steps in words, in the order in which they are carried out.
    pub fn describe(&self) -> Vec<String> {
        self.steps.iter().map(ToString::to_string).collect()
    }
}

impl EnterPlan {
    /// Plans a process that joins all namespaces of a running one. Capabilities, no_new_privs, AppArmor, user, cwd, rlimits
    /// come from `process`; `seccomp` is the container's own (an exec gets the same filter as the container's first process).
    pub fn new(process: &Process, seccomp: Option<&LinuxSeccomp>) -> Result<Self, Error> {
        Ok(Self {
            profile: apparmor::plan(process.apparmor_profile().as_deref())?,
            limits: plan_limits(process)?,
            program: Program::new(process, seccomp)?,
            group: None,
        })
    }

    /// The same in the container's control group, of which the process is before its program runs.
    pub fn in_group(self, group: Option<Group>) -> Self {
        Self { group, ..self }
    }
}

impl Program {
    fn new(process: &Process, seccomp: Option<&LinuxSeccomp>) -> Result<Self, Error> {
        let arguments = process.args().clone().unwrap_or_default();
        if arguments.is_empty() {
            return Err(Error::field("process.args", "names no program"));
        }
        let environment = process.env().clone().unwrap_or_default();
        for (name, words) in [("process.args", &arguments), ("process.env", &environment)] {
            if words.iter().any(|word| word.contains('\0')) {
                return Err(Error::field(name, "contains a NUL"));
            }
        }
        if !process.cwd().is_absolute() {
            return Err(Error::field("process.cwd", format!("{:?} is not absolute", process.cwd())));
        }
        if let Some(score) = process.oom_score_adj().filter(|score| !(-1000..=1000).contains(score)) {
            return Err(Error::field("process.oomScoreAdj", format!("{score} is not -1000 to 1000")));
        }
        let absent = |name: &str, present: bool| match present {
            true => Err(Error::field(format!("process.{name}"), "is not supported")),
            false => Ok(()),
        };
        let label = |label: &Option<String>| label.as_ref().is_some_and(|label| !label.is_empty());
        absent("selinuxLabel", label(process.selinux_label()))?;
        absent("ioPriority", process.io_priority().is_some())?;
        absent("scheduler", process.scheduler().is_some())?;
        absent("execCPUAffinity", process.exec_cpu_affinity().is_some())?;
        Ok(Self {
            arguments,
            environment,
            working_directory: process.cwd().clone(),
            identity: identity::plan(process.user())?,
            capabilities: capabilities::plan(process.capabilities().as_ref())?,
            no_new_privileges: process.no_new_privileges().unwrap_or(false),
            filter: seccomp.map(compile).transpose()?,
            oom_score: process.oom_score_adj(),
        })
    }
}

/// Engines start many containers with few filters.
fn compile(seccomp: &LinuxSeccomp) -> Result<CompiledFilter, Error> {
    static FILTERS: LazyLock<FilterCache> = LazyLock::new(FilterCache::default);
    let filter = FILTERS.compile(seccomp)?;
    if filter.program.len() > seccomp::INSTRUCTIONS_MAX {
        return Err(Error::field("linux.seccomp", "has more rules than the kernel takes"));
    }
    Ok((*filter).clone())
}

fn refuse_unsupported(spec: &Spec, linux: &Linux) -> Result<(), Error> {
    let absent = |name: &str, present: bool| match present {
        true => Err(Error::field(name, "is not supported")),
        false => Ok(()),
    };
    let limited = |r: &LinuxResources| {
        r.memory().is_some()
            || r.cpu().is_some()
            || r.pids().is_some()
            || r.block_io().is_some()
            || r.hugepage_limits().as_ref().is_some_and(|limits| !limits.is_empty())
            || r.network().is_some()
            || r.rdma().as_ref().is_some_and(|limits| !limits.is_empty())
            || r.unified().as_ref().is_some_and(|limits| !limits.is_empty())
    };
    absent("hooks", spec.hooks().is_some())?;
    absent("linux.resources", linux.resources().as_ref().is_some_and(limited))?;
    absent("linux.mountLabel", linux.mount_label().as_ref().is_some_and(|label| !label.is_empty()))?;
    absent("linux.intelRdt", linux.intel_rdt().is_some())?;
    absent("linux.memoryPolicy", linux.memory_policy().is_some())?;
    absent("linux.personality", linux.personality().is_some())?;
    absent("linux.timeOffsets", linux.time_offsets().as_ref().is_some_and(|offsets| !offsets.is_empty()))?;
    absent("linux.netDevices", linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty()))
}

fn plan_id_maps(linux: &Linux, namespaces: &Namespaces) -> Result<Option<IdMaps>, Error> {
    let uids = linux.uid_mappings().as_deref().unwrap_or_default();
    let gids = linux.gid_mappings().as_deref().unwrap_or_default();
    match namespaces.is_new(Kind::User) {
        true => user_map::plan(uids, gids).map(Some),
        false if uids.is_empty() && gids.is_empty() => Ok(None),
        false => Err(Error::field("linux.uidMappings", "maps need a new user namespace in linux.namespaces")),
    }
}

fn check_options(options: &PlanOptions, namespaces: &Namespaces) -> Result<(), Error> {
    if !namespaces.is_new(Kind::User) {
        for (name, given) in [
            ("user_namespace_owner", options.user_namespace_owner.is_some()),
            ("processes_max", options.processes_max.is_some()),
        ] {
            if given {
                return Err(Error::field(name, "needs a new user namespace"));
            }
        }
    }
    if options.inherited_fds > INHERITED_FDS_MAX {
        return Err(Error::field("inherited_fds", format!("at most {INHERITED_FDS_MAX}")));
    }
    if options.cables.len() > CABLES_MAX {
        return Err(Error::field("cables", format!("at most {CABLES_MAX}")));
    }
    options.cables.iter().try_for_each(network::check)
}

fn check_ids(identity: &Identity, maps: Option<&IdMaps>) -> Result<(), Error> {
    let Some(maps) = maps else { return Ok(()) };
    let check = |name: &str, ranges, id| match user_map::covers(ranges, id) {
        true => Ok(()),
        false => Err(Error::field(format!("process.user.{name}"), format!("{id} is not mapped"))),
    };
    check("uid", &maps.uids, identity.uid)?;
    check("gid", &maps.gids, identity.gid)?;
    identity.groups.iter().try_for_each(|&gid| check("additionalGids", &maps.gids, gid))
}

fn plan_network(spec: &Spec, namespaces: &Namespaces, options: &PlanOptions) -> Result<Vec<Step>, Error> {
    let mut steps = vec![];
    for (name, value, step) in [
        ("hostname", spec.hostname(), Step::Hostname as fn(String) -> Step),
        ("domainname", spec.domainname(), Step::Domainname),
    ] {
        match value.as_ref().filter(|value| !value.is_empty()) {
            None => {}
            Some(_) if !namespaces.is_new(Kind::Uts) => {
                return Err(Error::field(name, "needs a new UTS namespace"));
            }
            Some(value) => steps.push(step(value.clone())),
        }
    }
    if namespaces.is_new(Kind::Network) {
        steps.push(Step::LoopbackUp);
    }
    if !options.cables.is_empty() && !namespaces.is_new(Kind::Network) {
        return Err(Error::field("cables", "need a new network namespace"));
    }
    steps.extend(options.cables.iter().cloned().map(Step::PlugIn));
    Ok(steps)
}

fn plan_files(
    spec: &Spec,
    linux: &Linux,
    rootfs: Rootfs,
    program: &Program,
    maps: Option<&IdMaps>,
) -> Result<Vec<Step>, Error> {
    let mut steps = vec![Step::Root { rootfs, propagation: plan_propagation(linux)? }];
    let mut own_devices = true;
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        let at = format!("mounts[{index}]");
        let is_groups = mount.typ().as_deref() == Some("cgroup");
        let mount = mounts::plan(&at, mount)?;
        if is_groups && matches!(mount.source, Source::New { .. }) {
            steps.push(Step::ControlGroups(View::new(mount)));
            continue;
        }
        check_terminal_group(&at, &mount, maps)?;
        own_devices &=
            mount.destination != std::path::Path::new("/dev") || matches!(mount.source, Source::New { .. });
        steps.push(Step::Mount(mount));
    }
    if own_devices {
        let devices = devices::plan(linux.devices().as_deref().unwrap_or_default())?;
        steps.extend(devices.into_iter().map(Step::Device));
        steps.extend([Step::DeviceLinks, Step::Console]);
    }
    steps.push(Step::WorkingDirectory(program.working_directory.clone()));
    Ok(steps)
}

/// A devpts whose group is not mapped is refused by the kernel with a bare EINVAL: say why.
fn check_terminal_group(at: &str, mount: &Mount, maps: Option<&IdMaps>) -> Result<(), Error> {
    let (Source::New { options, .. }, Some(maps)) = (&mount.source, maps) else { return Ok(()) };
    for (key, value) in options {
        let id = value.as_deref().and_then(|value| value.parse().ok());
        let ranges = match key.as_str() {
            "gid" => &maps.gids,
            "uid" => &maps.uids,
            _ => continue,
        };
        if id.is_some_and(|id| !user_map::covers(ranges, id)) {
            return Err(Error::field(
                format!("{at}.options"),
                format!("{key} {} is not mapped", id.unwrap_or(0)),
            ));
        }
    }
    Ok(())
}

fn plan_settings(linux: &Linux, namespaces: &Namespaces) -> Result<Vec<Step>, Error> {
    let mut settings: Vec<_> = linux.sysctl().iter().flatten().collect();
    settings.sort();
    // What is joined is made sure not to be the maker's own when it is opened.
    let apart = |kind| namespaces.is_new(kind) || namespaces.is_joined(kind);
    let plan = |(name, value): (&String, &String)| {
        let path = limits::plan_setting(name, apart(Kind::Network), apart(Kind::Ipc), apart(Kind::Uts))?;
        Ok(Step::Setting { path, value: value.clone() })
    };
    settings.into_iter().map(plan).collect()
}

fn plan_propagation(linux: &Linux) -> Result<Option<Propagation>, Error> {
    let word = linux.rootfs_propagation().as_deref().filter(|word| !word.is_empty());
    let read = |word| {
        mounts::propagation(word)
            .ok_or_else(|| Error::field("linux.rootfsPropagation", format!("{word:?} is not a propagation")))
    };
    word.map(read).transpose()
}

fn plan_paths(spec: &Spec, linux: &Linux) -> Result<Vec<Step>, Error> {
    let paths = |list: &Option<Vec<String>>| list.iter().flatten().map(PathBuf::from).collect::<Vec<_>>();
    let mut steps = vec![];
    let (read_only, masked) = (paths(linux.readonly_paths()), paths(linux.masked_paths()));
    if !read_only.is_empty() {
        steps.push(Step::ReadOnlyPaths(read_only));
    }
    if !masked.is_empty() {
        steps.push(Step::MaskedPaths(masked));
    }
    if spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false) {
        steps.push(Step::ReadOnlyRoot);
    }
    steps.push(Step::Pivot { propagation: plan_propagation(linux)? });
    Ok(steps)
}

fn plan_limits(process: &Process) -> Result<Vec<Limit>, Error> {
    limits::plan(process.rlimits().as_deref().unwrap_or_default())
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hostname(name) => write!(f, "setting the hostname {name}"),
            Self::Domainname(name) => write!(f, "setting the domain name {name}"),
            Self::LoopbackUp => write!(f, "bringing up the loopback"),
            Self::PlugIn(veth) => {
                write!(f, "giving {} the address {}/{}", veth.inside, veth.address, veth.prefix)
            }
            Self::Root { rootfs: Rootfs::Directory(path), .. } => {
                write!(f, "making {} the root", path.display())
            }
            Self::Root { .. } => write!(f, "making an overlay the root"),
            Self::Mount(mount) => mount.fmt(f),
            Self::ControlGroups(view) => view.mount.fmt(f),
            Self::WorkingDirectory(path) => write!(f, "making the working directory {}", path.display()),
            Self::Device(device) => write!(f, "making the device {}", device.path.display()),
            Self::DeviceLinks => write!(f, "making the links in /dev"),
            Self::Console => write!(f, "making /dev/console"),
            Self::Setting { path, value } => write!(f, "setting {} = {value}", path.replace('/', ".")),
            Self::ReadOnlyPaths(paths) => write!(f, "making {} paths read-only", paths.len()),
            Self::MaskedPaths(paths) => write!(f, "masking {} paths", paths.len()),
            Self::ReadOnlyRoot => write!(f, "making the root read-only"),
            Self::Pivot { .. } => write!(f, "changing the root"),
            Self::AppArmor(profile) => profile.fmt(f),
            Self::Limit(limit) => limit.fmt(f),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limiting {} to {}", self.name, self.soft)
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = self.destination.display();
        match &self.source {
            Source::New { fstype, .. } => write!(f, "mounting {fstype} at {to}"),
            Source::Bind { path, .. } => write!(f, "binding {} at {to}", path.display()),
            Source::Remount => write!(f, "remounting {to}"),
        }
    }
}

#[cfg(test)]
mod tests;
