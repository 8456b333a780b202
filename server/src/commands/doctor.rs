//! `isolab doctor`: the agent looks at the machine, since it is what needs it; its report is passed on.

use crate::home::Home;
use crate::programs;
use anyhow::Context;
use clap::Args;
use std::process::{Command, ExitCode};

/// Say what this machine can do for labs, and how to mend what it lacks
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub fn run(self, home: &Home) -> anyhow::Result<ExitCode> {
        let mut agent = Command::new(programs::find("isolab-agent")?);
        agent.arg("doctor").args(self.json.then_some("--json")).env("ISOLAB_HOME", home.path());
        let done = agent.status().context("the agent, which looks at the machine, cannot be run")?;
        Ok(super::status(done.code().unwrap_or(1)))
    }
}
