//! The command line, as types. The names are those of the OCI runtime command line that engines call.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Runs containers from OCI bundles: a directory with a config.json and a root file system.
#[derive(Debug, Parser)]
#[command(name = "isolab-runtime", version, about)]
pub struct CommandLine {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
pub struct Global {
    /// Where the state of containers is kept [default: /run/isolab-runtime as root, else $XDG_RUNTIME_DIR/isolab-runtime]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Also write errors to this file
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// The format of the log
    #[arg(long, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// Accepted, as engines give it; there is nothing more to tell
    #[arg(long)]
    pub debug: bool,
    /// Accepted, as engines give it: a group is made where systemd would make it
    #[arg(long)]
    pub systemd_cgroup: bool,
    /// Accepted, as engines give it; whether root is needed is for the kernel to say
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub rootless: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a container, up to the execution of its program
    Create(Create),
    /// Execute the program of a created container
    Start(Named),
    /// Print the state of a container
    State(Named),
    /// Send a signal to a container's first process
    Kill(Kill),
    /// Remove a stopped container
    Delete(Delete),
    /// Make a container, execute its program, wait for it and remove it
    Run(Run),
    /// Execute one more program in a running container
    Exec(Exec),
    /// Write a config.json to start from
    Spec(SpecFile),
    /// Print what this runtime can do
    Features,
    /// List the containers
    List(List),
    /// Stop all processes of a container where they are
    Pause(Named),
    /// Let the processes of a paused container go on
    Resume(Named),
    /// Change what a container may use
    Update(Update),
    /// List the processes of a container
    Ps(Ps),
}

#[derive(Debug, Args)]
pub struct Named {
    /// The container
    #[arg(value_name = "CONTAINER")]
    pub id: String,
}

#[derive(Debug, Args)]
pub struct Create {
    /// The bundle
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,
    /// A unix socket that receives the terminal of the container
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Write the pid of the container's first process to this file
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Accepted, as engines give it: the root is pivoted to in any case
    #[arg(long)]
    pub no_pivot: bool,
    /// Accepted, as engines give it: a session keyring is never shared
    #[arg(long)]
    pub no_new_keyring: bool,
    /// How many descriptors beyond 2 the program inherits
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub preserve_fds: u32,
    #[command(flatten)]
    pub named: Named,
}

#[derive(Debug, Args)]
pub struct Run {
    /// Leave the container running and end
    #[arg(short, long)]
    pub detach: bool,
    /// Do not remove the container afterwards
    #[arg(long)]
    pub keep: bool,
    #[command(flatten)]
    pub create: Create,
}

#[derive(Debug, Args)]
pub struct Kill {
    /// Signal the container's other processes, too
    #[arg(short, long)]
    pub all: bool,
    #[command(flatten)]
    pub named: Named,
    /// A name or a number
    #[arg(value_name = "SIGNAL", default_value = "SIGTERM")]
    pub signal: String,
}

#[derive(Debug, Args)]
pub struct Delete {
    /// Kill it if it runs, and do not mind if there is none
    #[arg(short, long)]
    pub force: bool,
    #[command(flatten)]
    pub named: Named,
}

#[derive(Debug, Args)]
pub struct Exec {
    /// A process in the words of the OCI Spec, in place of ARGS and the other options
    #[arg(short, long, value_name = "FILE")]
    pub process: Option<PathBuf>,
    /// Give it a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Leave it running and end
    #[arg(short, long)]
    pub detach: bool,
    /// The working directory
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
    /// Set an environment variable, NAME=VALUE
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// UID[:GID]
    #[arg(short, long, value_name = "UID[:GID]")]
    pub user: Option<String>,
    /// A capability to add
    #[arg(short, long, value_name = "CAP_NAME")]
    pub cap: Vec<String>,
    /// It can never gain privileges by exec
    #[arg(long)]
    pub no_new_privs: bool,
    /// A unix socket that receives the terminal
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Write its pid to this file
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    #[command(flatten)]
    pub named: Named,
    /// The program and its arguments
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Update {
    /// linux.resources in the words of the OCI Spec; - is standard input
    #[arg(short, long, value_name = "FILE")]
    pub resources: PathBuf,
    #[command(flatten)]
    pub named: Named,
}

#[derive(Debug, Args)]
pub struct Ps {
    /// The format
    #[arg(short, long, value_enum, default_value_t = ListFormat::Table, value_name = "FORMAT")]
    pub format: ListFormat,
    #[command(flatten)]
    pub named: Named,
    /// Accepted, as engines give it: options of ps(1)
    #[arg(value_name = "OPTIONS", trailing_var_arg = true, allow_hyphen_values = true)]
    pub options: Vec<String>,
}

#[derive(Debug, Args)]
pub struct SpecFile {
    /// Where to write it
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,
    /// For an ordinary user: with a user namespace that maps the caller to root
    #[arg(long)]
    pub rootless: bool,
}

#[derive(Debug, Args)]
pub struct List {
    /// The format
    #[arg(short, long, value_enum, default_value_t = ListFormat::Table, value_name = "FORMAT")]
    pub format: ListFormat,
    /// Only the names
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    Table,
    Json,
}
