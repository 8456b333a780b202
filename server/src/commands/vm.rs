//! `isolab vm`: what lab virtual machines are made of, and a machine of one's own in one's own terminal.

use super::lab::OpenLab;
use super::vm_box::BuildBox;
use crate::home::Home;
use crate::programs;
use anyhow::Context;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// The recipe, from the folder that Isolab was built in or is installed to.
const IMAGE_RECIPE: &str = "vagrant/image/build";

#[derive(Debug, Subcommand)]
pub(super) enum VmCommand {
    /// Build the image that machines are made of; done at once where nothing has changed
    Build(Build),
    /// Boot a machine and open its shell in this terminal
    Boot(Boot),
    Box(BuildBox),
}

#[derive(Debug, Args)]
pub(super) struct Build {
    /// Take the newest packages of the distribution, and write down which
    #[arg(long)]
    update: bool,
    /// The list of packages with their digests to build from, or, with --update, to write
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Boot {
    /// Run CMD as the machine's root, print what it printed when it has ended, and exit with its status
    #[arg(short = 'c', value_name = "CMD")]
    command: Option<String>,
    /// With -c: print the outcome and the kernel's view of the machine as JSON
    #[arg(long, requires = "command")]
    json: bool,
}

impl VmCommand {
    pub async fn run(self, home: &Home) -> anyhow::Result<ExitCode> {
        match self {
            Self::Build(build) => build.run(home),
            Self::Box(build) => build.run(home).await,
            Self::Boot(Boot { command, json }) => OpenLab::in_machine(command, json).run(home).await,
        }
    }
}

impl Build {
    fn run(self, home: &Home) -> anyhow::Result<ExitCode> {
        let mut recipe = Command::new(programs::recipe(IMAGE_RECIPE)?);
        recipe.args(self.update.then_some("--update")).env("ISOLAB_HOME", home.path());
        if let Some(lock) = self.lock {
            recipe.arg("--lock").arg(lock);
        }
        let done = recipe.status().context("the recipe of the image cannot be run")?;
        Ok(super::status(done.code().unwrap_or(1)))
    }
}
