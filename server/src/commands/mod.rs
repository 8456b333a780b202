//! The command line: one file per command, each with its options.

mod doctor;
mod lab;
mod serve;
mod stop;
mod vm;
mod vm_box;

use crate::agent_client::AgentError;
use crate::bench::{self, BenchCommand};
use crate::lesson_test::{self, LessonCommand};
use clap::{Args, Parser, Subcommand};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Isolab teaches how containers isolate, by letting you break out and then lock down.
#[derive(Debug, Parser)]
#[command(name = "isolab", version, propagate_version = true, arg_required_else_help = true)]
struct CommandLine {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub struct Common {
    /// Where Isolab keeps its state [default: /var/lib/isolab for root, else ~/.local/share/isolab]
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Say more on standard error; twice says everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the lessons to your browser
    Serve(serve::Serve),
    /// End everything that runs: server, labs, and the agent that has them
    Stop,
    /// Say what this machine can do for labs, and how to mend what it lacks
    Doctor(doctor::Doctor),
    /// Open a lab in this terminal
    Lab(lab::OpenLab),
    /// Build what lab virtual machines are made of, and boot one
    #[command(subcommand)]
    Vm(vm::VmCommand),
    /// Measure how fast Isolab is on this machine
    #[command(subcommand)]
    Bench(BenchCommand),
    /// List the lessons, find mistakes in them, prove them in fresh labs
    #[command(subcommand)]
    Lesson(LessonCommand),
}

/// Runs the command line of this process, and returns its exit status.
pub fn run() -> ExitCode {
    let CommandLine { common, command } = CommandLine::parse();
    log(common.verbose);
    // One thread: the work is passing bytes on, and the agent has most of it. The database has threads of its own.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let home = crate::home::Home::find(common.home);
    let done = runtime.block_on(async {
        match command {
            Command::Serve(serve) => serve.run(&home).await,
            Command::Stop => stop::run(&home).await,
            Command::Doctor(doctor) => doctor.run(&home),
            Command::Lab(lab) => lab.run(&home).await,
            Command::Vm(command) => command.run(&home).await,
            Command::Bench(command) => bench::run(command, &home).await,
            Command::Lesson(command) => lesson_test::run(command, &home).await,
        }
    });
    // A thread may still be reading from the terminal; nobody waits for it.
    runtime.shutdown_background();
    done.unwrap_or_else(|error| fail(&error))
}

fn log(verbose: u8) {
    let level = ["warn", "info,isolab=debug", "trace"][usize::from(verbose).min(2)];
    let filter = EnvFilter::try_from_env("ISOLAB_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let colours = std::io::stderr().is_terminal();
    let format =
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(colours).with_target(verbose > 0);
    format.with_env_filter(filter).init();
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("isolab: {error:#}");
    if let Some(mend) = error.chain().find_map(|cause| cause.downcast_ref::<AgentError>()?.mend()) {
        eprintln!("{mend}");
    }
    ExitCode::FAILURE
}

/// An exit status as a process may have it.
fn status(status: i32) -> ExitCode {
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
