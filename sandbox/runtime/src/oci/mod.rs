//! The OCI command line: `create`, `start`, `state`, `kill`, `delete`, `run`, `exec`, `pause`, `resume`, `update`, `ps`, `spec`,
//! `features`, `list`.
//!
//! What engines such as containerd and podman call, and what the benchmark measures. The program has one thread and makes
//! processes itself; there is no daemon and no zygote. It executes itself again only where a container could write to
//! its file ([`crate::own_binary`]).

mod bundle;
mod console;
mod exec;
mod failure;
mod features;
mod group;
mod hooks;
mod lifecycle;
mod options;
mod process;
mod run;
mod signals;
mod store;

use clap::Parser;
use failure::Failure;
use options::{Command, CommandLine};
use std::process::ExitCode;
use store::Store;

/// The whole program: reads the command line, does what it says, and tells on standard error what went wrong.
pub fn main() -> ExitCode {
    let line = CommandLine::parse();
    match perform(&line) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            failure.report(&line.global);
            ExitCode::FAILURE
        }
    }
}

fn perform(line: &CommandLine) -> Result<u8, Failure> {
    let done = |result: Result<(), Failure>| result.map(|()| 0);
    match &line.command {
        Command::Spec(options) => return done(bundle::write_spec(options)),
        Command::Features => return done(features::print()),
        _ => {}
    }
    let store = Store::open(line.global.root.as_deref())?;
    match &line.command {
        Command::Create(options) => done(lifecycle::create(&store, options)),
        Command::Start(named) => done(lifecycle::start(&store, &named.id)),
        Command::State(named) => done(lifecycle::state(&store, &named.id)),
        Command::Kill(options) => done(lifecycle::kill(&store, options)),
        Command::Delete(options) => done(lifecycle::delete(&store, options)),
        Command::List(options) => done(lifecycle::list(&store, options)),
        Command::Run(options) => run::run(&store, options),
        Command::Exec(options) => exec::exec(&store, options),
        Command::Pause(named) => done(group::freeze(&store, &named.id, true)),
        Command::Resume(named) => done(group::freeze(&store, &named.id, false)),
        Command::Update(options) => done(group::update(&store, options)),
        Command::Ps(options) => done(group::ps(&store, options)),
        Command::Spec(_) | Command::Features => Ok(0),
    }
}
