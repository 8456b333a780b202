//! `create`, `start`, `state`, `kill`, `delete`, `list`: a container's life in steps, each by a process of its own.
//!
//! Between `create` and `start` the container's first process waits at a listening socket in the container's directory; its
//! program is executed when somebody connects and says so, and the connection tells whether that succeeded.

use super::bundle::Bundle;
use super::failure::rfc3339;
use super::hooks::{self, Point};
use super::options::{Create, Delete, Kill, List, ListFormat};
use super::process::{Identity, parse_signal};
use super::store::{Home, Record, Store};
use super::{Failure, console, group};
use crate::doll::cgroup::Group;
use crate::process;
use crate::zygote::{Created, Stdio};
use oci_spec::runtime::ContainerState;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use rustix::process::Signal;
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// How long a killed container may take to end: taking down its namespaces is slow at worst.
const KILL_WAIT: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// A container that is set up, its record kept. Dropped, both are gone.
pub struct Prepared {
    pub created: Created,
    pub home: Home,
    pub record: Record,
    pub program: String,
}

/// `create`.
pub fn create(store: &Store, options: &Create) -> Result<(), Failure> {
    let bundle = Bundle::open(&options.bundle)?;
    let terminal = bundle.terminal();
    if terminal.is_some() != options.console_socket.is_some() {
        return Err(Failure::plain(match terminal {
            Some(_) => "process.terminal is set: give --console-socket, or use run".into(),
            None => "--console-socket needs process.terminal".into(),
        }));
    }
    let Prepared { created, home, record, .. } = prepare(store, options, &bundle, terminal)?;
    let left = listener(&home).and_then(|listener| Ok(created.leave_to(listener.as_fd())?));
    let finish = || {
        console::hand_over(left?, options.console_socket.as_deref())?;
        write_pid(options.pid_file.as_deref(), record.init.pid)
    };
    finish().or_else(|failure| undo(home, &record, failure))
}

/// Makes a container, and runs the hooks that go before its start.
pub fn prepare(
    store: &Store,
    options: &Create,
    bundle: &Bundle,
    terminal: Option<(u16, u16)>,
) -> Result<Prepared, Failure> {
    let plan = bundle.plan(options.preserve_fds)?;
    let inherited = inherited(options.preserve_fds)?;
    let borrowed: Vec<_> = inherited.iter().map(|descriptor| descriptor.as_fd()).collect();
    let stdio = stdio(terminal)?;
    let home = store.claim(&options.named.id)?;
    // Ours from the moment that it is made, and only then to be removed.
    let mut group = None;
    let make = || -> Result<_, Failure> {
        let wanted = group::wanted(bundle, &options.named.id)?;
        group = wanted.as_ref().map_or(Ok(None), |wanted| wanted.make())?;
        let held = group.as_ref().map(Group::hold).transpose()?;
        let created = Created::without_zygote(&plan, stdio, &borrowed)
            .map_err(|error| Failure::of_program(&bundle.program(), error))?;
        drop(held);
        if let (Some(wanted), Some(group)) = (wanted, &group) {
            wanted.limit(group)?;
        }
        let gone = || Failure::plain("the container ended before its start".into());
        let init = Identity::of(created.pid()).ok_or_else(gone)?;
        let record = record(&options.named.id, bundle, init, group.clone());
        hooks::run(&record, Point::Created, ContainerState::Created)?;
        home.save(&record)?;
        Ok((created, record))
    };
    match make() {
        Ok((created, record)) => Ok(Prepared { created, home, record, program: bundle.program() }),
        Err(failure) => {
            group.map_or(Ok(()), |group| group.remove())?;
            home.remove()?;
            Err(failure)
        }
    }
}

/// Ends a container of which its engine would not know: the creation of it, or its start, has failed after it was made.
pub fn undo<T>(home: Home, record: &Record, failure: Failure) -> Result<T, Failure> {
    end(record)?;
    forget(home, record)?;
    Err(failure)
}

/// Removes what is remembered of a container that has ended, and its control group with whatever is left in it.
pub fn forget(home: Home, record: &Record) -> Result<(), Failure> {
    record.group.as_ref().map_or(Ok(()), Group::remove)?;
    home.remove()
}

/// What is remembered of a container.
pub fn record(id: &str, bundle: &Bundle, init: Identity, group: Option<Group>) -> Record {
    Record {
        id: id.to_owned(),
        bundle: bundle.dir.clone(),
        init,
        created_at_ms: now_ms(),
        annotations: bundle.spec.annotations().clone(),
        group,
        spec: bundle.spec.clone(),
    }
}

/// `start`.
pub fn start(store: &Store, id: &str) -> Result<(), Failure> {
    let (home, record) = store.get(id)?;
    match record.status(&home) {
        ContainerState::Created => {}
        ContainerState::Stopped => {
            return Err(Failure::plain("cannot start a container that has stopped".into()));
        }
        other => return Err(Failure::plain(format!("cannot start a container in the {other} state"))),
    }
    let connection = connection(&home)?;
    let program = record.spec.process().as_ref().map(super::bundle::program_of).unwrap_or_default();
    let started = Created::start_left(connection).map_err(|error| Failure::of_program(&program, error));
    let forget = std::fs::remove_file(home.start_socket());
    started?;
    forget.map_err(|error| Failure::new("forgetting the start socket".into(), error))?;
    hooks::run(&record, Point::Started, ContainerState::Running)
}

/// `state`.
pub fn state(store: &Store, id: &str) -> Result<(), Failure> {
    let (home, record) = store.get(id)?;
    println!("{:#}", told(&home, &record)?);
    Ok(())
}

/// The state in JSON. The OCI Spec has no word for a paused container, and engines expect this one.
fn told(home: &Home, record: &Record) -> Result<serde_json::Value, Failure> {
    let status = record.status(home);
    let mut json = serde_json::to_value(record.state(status))
        .map_err(|error| Failure::plain(format!("encoding the state: {error}")))?;
    if status == ContainerState::Running && group::is_paused(record) {
        json["status"] = "paused".into();
    }
    Ok(json)
}

/// `kill`.
pub fn kill(store: &Store, options: &Kill) -> Result<(), Failure> {
    let signal = parse_signal(&options.signal)?;
    let (_, record) = store.get(&options.named.id)?;
    if options.all {
        let others = group::processes(&record)?.into_iter().filter(|&pid| pid != record.init.pid);
        // A process that ends meanwhile needs no signal.
        others.filter_map(Identity::of).for_each(|other| drop(other.signal(signal)));
    }
    let signalled = match record.init.signal(signal) {
        Err(failure) if failure.is_absent() && options.all => Ok(()),
        done => done,
    };
    signalled.and_then(|()| if signal == Signal::KILL { thaw(&record) } else { Ok(()) })
}

/// Lets a paused container go on, so that it can be ended.
fn thaw(record: &Record) -> Result<(), Failure> {
    match &record.group {
        Some(group) if group.is_frozen() => Ok(group.freeze(false)?),
        _ => Ok(()),
    }
}

/// `delete`.
pub fn delete(store: &Store, options: &Delete) -> Result<(), Failure> {
    let id = &options.named.id;
    let (home, record) = match store.get(id) {
        Ok(found) => found,
        Err(failure) if options.force && failure.is_absent() => return Ok(()),
        // A creation that was itself killed left a directory without a state.
        Err(_) if options.force => return store.home(id)?.remove(),
        Err(failure) => return Err(failure),
    };
    match record.status(&home) {
        ContainerState::Running if !options.force => {
            return Err(Failure::plain(format!(
                "cannot delete container {id}: it is running; stop it or give --force"
            )));
        }
        ContainerState::Stopped => {}
        _ => end(&record)?,
    }
    forget(home, &record)?;
    hooks::run(&record, Point::Stopped, ContainerState::Stopped)
}

/// `list`.
pub fn list(store: &Store, options: &List) -> Result<(), Failure> {
    let all = store.list()?;
    if options.quiet {
        all.iter().for_each(|(_, record)| println!("{}", record.id));
        return Ok(());
    }
    let states = all.iter().map(|(home, record)| (record, told(home, record).unwrap_or_default()));
    match options.format {
        ListFormat::Json => {
            let json: Vec<_> = states
                .map(|(record, mut json)| {
                    json["created"] = rfc3339(record.created_at_ms / 1000).into();
                    json
                })
                .collect();
            println!("{}", serde_json::Value::from(json));
        }
        ListFormat::Table => {
            println!("{:<24} {:<8} {:<8} {:<21} BUNDLE", "ID", "PID", "STATUS", "CREATED");
            for (record, state) in states {
                let (pid, created) =
                    (state["pid"].as_u64().unwrap_or(0), rfc3339(record.created_at_ms / 1000));
                println!(
                    "{:<24} {pid:<8} {:<8} {created:<21} {}",
                    record.id,
                    state["status"].as_str().unwrap_or_default(),
                    record.bundle.display()
                );
            }
        }
    }
    Ok(())
}

/// The streams of a new process: a terminal, or the caller's own.
pub fn stdio(terminal: Option<(u16, u16)>) -> Result<Stdio, Failure> {
    if let Some((cols, rows)) = terminal {
        return Ok(Stdio::Terminal { cols, rows });
    }
    let copy = |stream: rustix::fd::BorrowedFd<'static>| {
        stream
            .try_clone_to_owned()
            .map_err(|error| Failure::new("copying the standard streams".into(), error))
    };
    Ok(Stdio::Given([
        copy(rustix::stdio::stdin())?,
        copy(rustix::stdio::stdout())?,
        copy(rustix::stdio::stderr())?,
    ]))
}

/// Writes a pid file, whole: whoever waits for it never reads half a number.
pub fn write_pid(path: Option<&Path>, pid: u32) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let failed = |error| Failure::new(format!("writing the pid file {path:?}"), error);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.new"));
    std::fs::File::create(&temporary)
        .and_then(|mut file| write!(file, "{pid}"))
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(failed)
}

/// The descriptors that the program inherits from this one, from 3 on.
pub fn inherited(count: u32) -> Result<Vec<OwnedFd>, Failure> {
    (3..).take(count as usize).map(|number| Ok(process::inherited(number)?)).collect()
}

/// The socket at which a created container waits.
fn listener(home: &Home) -> Result<OwnedFd, Failure> {
    let socket = with_socket_path(home, |socket, address| {
        bind(&socket, address)?;
        listen(&socket, 1)?;
        Ok(socket)
    });
    socket.map_err(|errno| Failure::new("listening for the start".into(), errno.into()))
}

fn connection(home: &Home) -> Result<OwnedFd, Failure> {
    let socket = with_socket_path(home, |socket, address| connect(&socket, address).map(|()| socket));
    socket.map_err(|errno| Failure::new("connecting to the container".into(), errno.into()))
}

/// A socket's path has at most 108 bytes, and engines' directories have long names: reach it through a descriptor.
fn with_socket_path<T>(
    home: &Home,
    act: impl FnOnce(OwnedFd, &SocketAddrUnix) -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    use std::os::fd::AsRawFd;
    let path = home.start_socket();
    let (dir, name) = (path.parent().unwrap_or(Path::new(".")), path.file_name().unwrap_or_default());
    let dir = rustix::fs::openat(
        rustix::fs::CWD,
        dir,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let short = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name);
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    act(socket, &SocketAddrUnix::new(short)?)
}

/// Kills a container's first process and waits until it has ended.
fn end(record: &Record) -> Result<(), Failure> {
    let init = &record.init;
    let handle = match init.open() {
        Ok(handle) => handle,
        Err(failure) if failure.is_absent() => return Ok(()),
        Err(failure) => return Err(failure),
    };
    match init.signal(Signal::KILL) {
        Err(failure) if !failure.is_absent() => return Err(failure),
        _ => thaw(record)?,
    }
    match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&KILL_WAIT)) {
        Ok(0) => Err(Failure::plain(format!("process {} does not end although it was killed", init.pid))),
        _ => Ok(()),
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
