//! The program: command line, zygote, event loop, and its end.
//!
//! What is here is the order in which things start and stop. What they do is in their own modules.

use crate::front::Front;
use crate::network::{Opener, opener};
use crate::options::{Options, Rootless};
use crate::reaper::Reaper;
use crate::world::World;
use crate::{init, leftovers, rootless, serve};
use isolab_runtime::Zygote;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream as StdStream;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

/// The descriptor on which the agent connects to the engine of a lab host.
const AGENT: i32 = 3;

/// Threads for work that blocks: archives, digests, file systems. Two may depend on each other, one that packs and one that
/// unpacks, so that a few would not do; hundreds would be an attack on the lab.
const BLOCKING_THREADS_MAX: usize = 64;

/// How long such a thread waits for more work: an idle lab is one thread.
const BLOCKING_THREAD_IDLE: Duration = Duration::from_secs(1);

/// The whole program, from its command line to its exit code.
pub fn main() -> ExitCode {
    if init::is_asked_for(std::env::args_os().next()) {
        return init::main(std::env::args_os().skip(1));
    }
    if opener::is_asked_for(std::env::args_os().next().as_deref()) {
        return opener::stay_behind();
    }
    let as_init = std::process::id() == 1;
    let options = match Options::parse(std::env::args().skip(1), as_init, &|name| std::env::var(name).ok()) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    match start(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("isolab-engine: {message}");
            ExitCode::FAILURE
        }
    }
}

fn start(options: Options) -> Result<(), String> {
    // A container that shares our ids must not be able to write to our program; it may begin anew with this.
    isolab_runtime::own_binary::seal().map_err(|error| error.to_string())?;
    let opener = match options.rootless {
        Rootless::No => Opener::Here,
        Rootless::Outside => match rootless::enter(std::env::args_os().skip(1))? {},
        Rootless::Inside(descriptor) => rootless::opener(descriptor)?,
    };
    // Before any descriptor of ours can get that number.
    let agent = options.agent.then(agent_connection).transpose();
    let agent = agent.map_err(|e| format!("the agent's connection on descriptor {AGENT}: {e}"))?;
    // With the zygote still to come, so that it is moved too.
    isolab_runtime::cgroup::make_room();
    // Before anything makes a thread: the zygote is forked from what is here.
    let zygote = Zygote::start().map_err(|error| error.to_string())?;
    // After the zygote was forked: containers get the limit that we were started with.
    allow_descriptors();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_keep_alive(BLOCKING_THREAD_IDLE)
        .build();
    runtime
        .map_err(|error| format!("starting the event loop: {error}"))?
        .block_on(run(options, zygote, opener, agent))
}

async fn run(
    options: Options,
    zygote: Zygote,
    opener: Opener,
    agent: Option<StdStream>,
) -> Result<(), String> {
    let root_told = |error: std::io::Error| format!("{}: {error}", options.data_root.display());
    DirBuilder::new().recursive(true).mode(0o710).create(&options.data_root).map_err(root_told)?;
    let _claim = leftovers::claim(&options.data_root)?;
    leftovers::end(&options.data_root)?;
    let reaper = Reaper::default();
    let world = World::new(options.clone(), zygote, reaper.clone(), opener);
    let reaper = tokio::spawn(reaper.run());
    let front = Front::new(world)?;
    let router = front.router();
    let mut clients = JoinSet::new();
    for socket in &options.sockets {
        let listener = serve::listen(socket).map_err(|e| format!("{}: {e}", socket.display()))?;
        clients.spawn(serve::accept(listener, router.clone()));
    }
    if let Some(path) = &options.pid_file {
        let pid = format!("{}\n", std::process::id());
        std::fs::write(path, pid).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    if options.rootless != Rootless::No {
        rootless::tell(&options.sockets);
    }
    let told = |error: std::io::Error| format!("the event loop: {error}");
    if let Some(agent) = agent {
        tokio::spawn(serve::connection(UnixStream::from_std(agent).map_err(told)?, router));
    }
    let mut terminate = signal(SignalKind::terminate()).map_err(told)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(told)?;
    // A person presses ctrl-c; to the init of a lab host only the learner could send it, for practice.
    let by_hand = std::process::id() != 1;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv(), if by_hand => {}
        ended = reaper => return Err(format!("the reaper has ended: {ended:?}")),
        ended = clients.join_next() => return Err(format!("the server has ended: {ended:?}")),
    }
    front.engine().shut_down().await;
    for path in options.sockets.iter().chain(&options.pid_file) {
        // It fails only where somebody has removed it already.
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

/// Raises the soft limit on open descriptors to the hard one. Each container costs a few: its process, its procfs, its
/// output, its log.
fn allow_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    // It cannot fail downwards; where it does, there is room for fewer containers.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Takes the connection that the agent has left us.
fn agent_connection() -> Result<StdStream, String> {
    let descriptor = isolab_runtime::process::inherited(AGENT).map_err(|error| error.to_string())?;
    if !matches!(rustix::net::sockopt::socket_domain(&descriptor), Ok(rustix::net::AddressFamily::UNIX)) {
        return Err("it is not a unix socket".into());
    }
    let stream = StdStream::from(descriptor);
    stream.set_nonblocking(true).map_err(|error| error.to_string())?;
    Ok(stream)
}
