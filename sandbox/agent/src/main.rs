//! `isolab-agent`: labs on one machine. Everything is in the library; here is only the order in which it begins.
#![forbid(unsafe_code)]

use clap::{Parser, Subcommand};
use isolab_agent::refusal::{Kind, Refusal};
use isolab_agent::serve::Service;
use isolab_agent::socket::Socket;
use isolab_agent::store::Store;
use isolab_agent::world::Means;
use isolab_agent::{confinement, doctor, guest, images, stage};
use isolab_runtime::Zygote;
use std::fs::File;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

/// Labs on one machine, outside every learner.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the agent's API on a unix socket.
    Serve {
        /// Where to listen; by default run/agent.sock in the state directory.
        #[arg(long)]
        socket: Option<PathBuf>,
        /// End, with all labs, when standard input is closed or the parent ends.
        #[arg(long)]
        die_with_parent: bool,
        /// Go on although there is no lab and nobody asks.
        #[arg(long)]
        stay: bool,
    },
    /// Tell what this machine lacks for labs, why it matters, and the command that mends it.
    Doctor {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Unpack the lab images, so that the first lab opens at once.
    Images,
    /// Be the first process of a lab VM.
    #[command(hide = true)]
    Guest {
        /// Be its agent instead, which that one starts.
        #[arg(long)]
        serve: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("ISOLAB_LOG").unwrap_or_else(|_| "info".into()),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let done = match arguments.command {
        Command::Serve { socket, die_with_parent, stay } => serve(socket, die_with_parent, stay),
        Command::Doctor { json } => return doctor::run(json),
        Command::Images => unpack(),
        Command::Guest { serve: false } => {
            guest::first::run().map(|never| match never {}).map_err(|error| failed("the agent", &error))
        }
        Command::Guest { serve: true } => guest::service::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            eprintln!("isolab-agent: {}", refusal.message);
            if let Some(mend) = refusal.mend {
                eprintln!("  To mend it: {mend}");
            }
            ExitCode::FAILURE
        }
    }
}

/// From the machine's user to the root of nothing but labs. No thread exists before this has returned.
fn confine(store: &Store) -> Result<(), Refusal> {
    let starter = confinement::starter().map_err(|error| {
        Refusal::new(Kind::Unavailable, format!("/etc/passwd, /etc/subuid or /etc/subgid: {error}."))
    })?;
    confinement::prepare(store, &starter)?;
    confinement::enter(&starter)
}

fn store() -> Result<Store, Refusal> {
    Store::from_environment(rustix::process::geteuid().is_root()).ok_or_else(|| {
        Refusal::new(Kind::Unavailable, "There is no home directory to keep images in.")
            .mend("Set ISOLAB_HOME.")
    })
}

fn serve(socket: Option<PathBuf>, die_with_parent: bool, stay: bool) -> Result<(), Refusal> {
    let store = store()?;
    let starter = confinement::starter().map_err(|error| failed("the user's ids", &error))?;
    confinement::prepare(&store, &starter)?;
    // What belongs to the machine's user is opened before the agent is somebody else.
    let socket = Socket::bind(&socket.unwrap_or_else(|| store.socket()))?;
    let means = Means { engine: engine()?, agent: own_program()?, kvm: kvm() };
    confinement::enter(&starter)?;
    stage::set_up().map_err(|error| failed("the stage", &error))?;
    let zygote = Zygote::start()?;
    let service = Service { socket, zygote, store, means, stay, die_with_parent };
    service.run().map_err(|error| failed("serving", &error))
}

/// The engine's program, which lies beside this one unless `ISOLAB_BIN_DIR` says otherwise.
fn engine() -> Result<File, Refusal> {
    let beside = || Some(std::env::current_exe().ok()?.parent()?.to_owned());
    let directory = std::env::var_os("ISOLAB_BIN_DIR").map(PathBuf::from).or_else(beside).unwrap_or_default();
    let path = directory.join(stage::ENGINE);
    File::open(&path).map_err(|error| {
        Refusal::new(
            Kind::Unavailable,
            format!("The lab's engine {} cannot be opened: {error}.", path.display()),
        )
        .mend("make build")
    })
}

/// This very program: it is the agent of lab VMs as well.
fn own_program() -> Result<File, Refusal> {
    File::open("/proc/self/exe").map_err(|error| failed("its own program", &error))
}

/// The way to the processor's virtual machines, where this user has it. Whether a guest really runs there is tried later.
fn kvm() -> Option<File> {
    File::options().read(true).write(true).open("/dev/kvm").ok()
}

fn unpack() -> Result<(), Refusal> {
    let store = store()?;
    confine(&store)?;
    let unpacked = images::ensure(&store, &|what| eprintln!("{what}"))?;
    eprintln!("The lab images {} are ready.", unpacked.name);
    Ok(())
}

fn failed(what: &str, error: &std::io::Error) -> Refusal {
    Refusal::new(Kind::Failed, format!("The agent could not begin ({what}): {error}."))
        .mend("Run `isolab doctor`: it says what this machine lacks.")
}
