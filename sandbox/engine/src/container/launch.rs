//! From a created container to a running one: root, user, address, files, Spec, Plan, process.

use super::donors::Donors;
use super::files::Sandbox;
use super::group::OwnGroup;
use super::layer::Mounted;
use super::pids::MountNamespace;
use super::program::{NotExecuted, Program};
use super::shm::Shm;
use super::{Container, Running, devices, files, init, mounts, words};
use crate::apparmor;
use crate::error::ApiError;
use crate::fd::AsyncFile;
use crate::machine::Machine;
use crate::network::{Cabling, Networks};
use crate::remap::Remap;
use crate::settings::{Ipc, Settings, Sharing};
use crate::spec::{self, Joined, Placement};
use crate::stdcopy::Source;
use crate::user;
use crate::volume::Volumes;
use isolab_runtime::{Error, Io, Plan, PlanOptions, Rootfs, Stdio, Zygote};
use rustix::fs::{Gid, Mode, OFlags, Uid, fchown};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, pidfd_send_signal};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// What launching needs of the engine.
#[derive(Clone, Copy, Debug)]
pub struct Tools<'a> {
    /// Makes processes.
    pub zygote: &'a Zygote,
    /// What containers are plugged into.
    pub networks: &'a Networks,
    /// The lab host.
    pub machine: &'a Machine,
    /// What is mounted besides the root.
    pub volumes: &'a Arc<Volumes>,
    /// Where the engine keeps everything.
    pub data_root: &'a Path,
    /// What the ids of containers stand for.
    pub remap: Option<&'a Remap>,
}

/// Where a program's output comes from.
pub type Outputs = Vec<(Source, Arc<AsyncFile>)>;

/// The engine's ends of a program's standard streams.
#[derive(Debug, Default)]
pub struct Launched {
    /// Where its input goes.
    pub input: Option<Arc<AsyncFile>>,
    /// Where its output comes from.
    pub outputs: Outputs,
}

/// Starts the container's first process. The errors are those that Docker gives, and leave nothing behind.
pub fn launch(
    container: &Container,
    donors: Donors,
    tools: Tools<'_>,
) -> Result<(Running, Launched), NotExecuted> {
    let settings = &container.request.settings;
    if let Some(why) = &settings.unstartable {
        return Err(ApiError::internal(why).into());
    }
    settings.apparmor.as_deref().map_or(Ok(()), apparmor::make_ready)?;
    let root = container.layer.mount()?;
    let user = resolve(&root, &settings.user, &settings.group_add)?;
    let mut cabling = plug_in(container, tools.networks)?;
    cabling.publish(tools.networks, &container.who(), &settings.ports)?;
    let sandbox = match &donors.sandbox {
        Some(shared) => Arc::clone(shared),
        None => {
            files::write(&container.directory, settings, &cabling)?;
            Arc::new(Sandbox::own(&container.directory, settings))
        }
    };
    let ready = mounts::prepare(&container.mounts, tools.volumes, tools.data_root)?;
    let remap = tools.remap.filter(|_| settings.namespaces.user != Sharing::Host);
    if remap.is_some() && donors.joined() != Joined::default() {
        return Err(ApiError::not_yet(
            "sharing namespaces of a container that has ids of its own (userns-remap)",
        )
        .into());
    }
    let owner = tools.remap.map(Remap::root);
    if let Some(owner) = owner.filter(|_| donors.sandbox.is_none()) {
        files::give(&container.directory, owner)?;
    }
    let shm = shared_memory(&container.directory, settings, &donors)?;
    let init = settings.init.then(|| init::program(tools.data_root)).transpose()?;
    let place = Placement {
        root: root.path(),
        files: &sandbox.files,
        hostname: &sandbox.hostname,
        domainname: &sandbox.domainname,
        shm: shm.as_ref().map(Shm::path),
        mounts: &ready.mounts,
        joined: &donors.joined(),
        remap,
        user: &user,
        gid_max: remap.map_or(tools.machine.gid_max, |remap| remap.gid_max().min(tools.machine.gid_max)),
        ipv6: tools.machine.ipv6,
        devices: &tools.machine.devices,
        given: &devices::find(&settings.devices)?,
        init: init.as_deref(),
        rootless: tools.machine.rootless,
    };
    let spec = spec::of_container(settings, &place)?;
    let group = OwnGroup::make(container, tools.machine)?;
    let options = PlanOptions {
        cables: cabling.veths(),
        group: group.as_ref().map(|own| own.group().clone()),
        die_with_parent: true,
        ..PlanOptions::default()
    };
    let plan = Plan::new(&spec, Rootfs::Directory(root.path().into()), options).map_err(words::failed)?;
    let (stdio, ours) =
        stdio(settings.tty.then_some(settings.console), settings.open_stdin, on_host(&user, remap))?;
    let not_executed = |error: &Error| {
        let env = &settings.environment(&sandbox.hostname);
        let program = Program { root: &root, name: &settings.argv[0], env, workdir: &settings.workdir };
        program.why(error, |why| words::failed(format!("runc create failed: {why}")))
    };
    // That there is no such program shows before the container is made, and more only when it is executed.
    let created =
        tools.zygote.create(&plan, stdio, &[]).map_err(|error| match error.call.starts_with("execve(") {
            true => not_executed(&error),
            false => words::not_created(&error, settings, &ready.mounts, root.path()).into(),
        })?;
    if let Some(pidfd) = created.pidfd() {
        let servers = files::name_servers(&settings.dns);
        cabling.serve_names(tools.networks, &container.who(), &servers, tools.zygote, pidfd)?;
    }
    if let Some(own) = &group {
        let mut resources = spec::resources::of(settings, &container.limits(), &place)?;
        if !tools.machine.groups.as_ref().is_some_and(|can| can.devices) {
            // `docker info` warns that there are none.
            resources.set_devices(None);
        }
        own.group().limit(&resources).map_err(words::failed)?;
    }
    let running = created.start().map_err(|error| not_executed(&error))?;
    let launched = ours.with(running.io).inspect_err(|_| {
        // Nobody would see to it: it ends here.
        let _ = pidfd_send_signal(&running.pidfd, Signal::KILL);
    })?;
    let running = Running {
        namespace: MountNamespace::of(running.pid),
        pid: running.pid,
        pidfd: running.pidfd,
        procfs: running.procfs.filter(|_| settings.namespaces.pid == Sharing::Private),
        frozen: None,
        finished_before: None,
        started: SystemTime::now(),
        group,
        cabling: Box::new(cabling),
        sandbox,
        shm,
        _volumes: ready.attached,
        root,
    };
    Ok((running, launched))
}

/// The `/dev/shm` of a container that has one in common with others.
fn shared_memory(directory: &Path, settings: &Settings, donors: &Donors) -> io::Result<Option<Shm>> {
    match settings.namespaces.ipc {
        Ipc::Private | Ipc::None | Ipc::Missing(_) => Ok(None),
        Ipc::Shareable => Shm::own(directory, settings.shm_bytes).map(Some),
        Ipc::Host => Ok(Some(Shm::host())),
        Ipc::Container(_) => Ok(donors.shm.clone().map(Shm::Borrowed)),
    }
}

/// Takes the container's places in its networks, and writes down which they are.
fn plug_in(container: &Container, networks: &Networks) -> Result<Cabling, ApiError> {
    let mut attachments = container.attachments();
    let mut resolved = attachments.clone();
    let cabling = Cabling::new(networks, &container.who(), &mut resolved)?;
    *container.sandbox() = (cabling.id.clone(), cabling.sandbox_key());
    if resolved != *attachments {
        resolved.save(&container.directory)?;
        *attachments = resolved;
    }
    Ok(cabling)
}

/// Whom a program in this root runs as.
pub fn resolve(root: &Mounted, user: &str, group_add: &[String]) -> Result<user::User, ApiError> {
    let resolved = user::resolve(user, group_add, &root.read("etc/passwd")?, &root.read("etc/group")?);
    resolved.map_err(ApiError::unclassed)
}

/// What a program's user is on the lab host.
pub fn on_host(user: &user::User, remap: Option<&Remap>) -> (u32, u32) {
    let same = (user.uid, user.gid);
    remap.map_or(same, |remap| remap.outside(user.uid, user.gid).unwrap_or(same))
}

/// Our ends of pipes whose other ends are given to the program.
#[derive(Debug, Default)]
pub struct Ours {
    input: Option<OwnedFd>,
    outputs: Vec<(Source, OwnedFd)>,
}

/// The standard streams for a program: a terminal, or pipes (without input: `/dev/null`, as Docker has it).
pub fn stdio(
    terminal: Option<(u16, u16)>,
    open_stdin: bool,
    owner: (u32, u32),
) -> Result<(Stdio, Ours), ApiError> {
    if let Some((cols, rows)) = terminal {
        return Ok((Stdio::Terminal { cols, rows }, Ours::default()));
    }
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from);
    let mut ours = Ours::default();
    let stdin = if open_stdin {
        let (theirs, input) = pipe()?;
        ours.input = Some(input);
        theirs
    } else {
        rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(io::Error::from)?
    };
    let (stdout, stdout_theirs) = pipe()?;
    let (stderr, stderr_theirs) = pipe()?;
    // A program that does not run as root has to be able to open /dev/stdout, which leads here.
    for theirs in [&stdout_theirs, &stderr_theirs] {
        fchown(theirs, Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1))).map_err(
            |errno| match errno {
                rustix::io::Errno::INVAL => words::failed(
                    "runc create failed: unable to start container process: setup user: cannot set uid to unmapped user in \
                     user namespace",
                ),
                other => io::Error::from(other).into(),
            },
        )?;
    }
    ours.outputs = vec![(Source::Stdout, stdout), (Source::Stderr, stderr)];
    Ok((Stdio::Given([stdin, stdout_theirs, stderr_theirs]), ours))
}

impl Ours {
    /// Adds what the runtime gave back: a terminal's master.
    pub fn with(self, io: Io) -> io::Result<Launched> {
        if let Io::Terminal(master) = io {
            let master = Arc::new(AsyncFile::new(master)?);
            return Ok(Launched {
                input: Some(Arc::clone(&master)),
                outputs: vec![(Source::Stdout, master)],
            });
        }
        let stream = |fd| Ok::<_, io::Error>(Arc::new(AsyncFile::new(fd)?));
        let input = self.input.map(stream).transpose()?;
        let outputs = self.outputs.into_iter().map(|(source, fd)| Ok((source, stream(fd)?)));
        Ok(Launched { input, outputs: outputs.collect::<io::Result<_>>()? })
    }
}
