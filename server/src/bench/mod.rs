//! `isolab bench …`: how fast Isolab is on this machine, as numbers that can be compared.
//!
//! Every report names the machine and how often was measured; medians and percentiles, never a best of many.

mod bundle;
mod classroom;
mod docker;
mod echo;
mod engines;
mod machine;
mod memory;
mod page;
mod race;
mod start;
mod stats;
mod vm;

pub use machine::Machine;
pub use stats::Summary;

use crate::home::Home;
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// `isolab bench …`
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// How long from a key to its echo, through server and agent; and from the click to the prompt
    Echo(Output),
    /// How long our runtime takes to start a program in a container, beside bubblewrap, runc and youki; and `docker run`
    Start(start::StartOptions),
    /// How much memory a lab adds in which nobody does anything
    Memory(Output),
    /// Labs in virtual machines: how soon they are there, what they cost, and a hundred of them side by side
    Vm(vm::VmOptions),
}

/// How a report is printed.
#[derive(Debug, Args)]
pub struct Output {
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the measurement. Errors: no lab can be had.
pub async fn run(command: BenchCommand, home: &Home) -> anyhow::Result<ExitCode> {
    match command {
        BenchCommand::Echo(output) => echo::run(home, &output).await,
        BenchCommand::Start(options) => start::run(&options),
        BenchCommand::Memory(output) => memory::run(home, &output).await,
        BenchCommand::Vm(options) => vm::run(home, &options).await,
    }
}
