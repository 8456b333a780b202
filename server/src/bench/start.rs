//! `isolab bench start`: how long our runtime takes from a command line to the end of a program that does nothing, beside
//! bubblewrap, runc and youki; and what `docker run` takes with our engine, beside dockerd.

use super::race::{Contender, Row, print, race};
use super::{Machine, bundle, docker};
use anyhow::Context;
use clap::Args;
use serde::Serialize;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// `isolab bench start`
#[derive(Debug, Args)]
pub struct StartOptions {
    /// How often each is started, in a hot loop and again with gaps
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rounds: u32,
    /// How often `docker run` is measured; 0: not at all
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub docker_rounds: u32,
    /// Start 500 containers in our engine as well, which takes a minute
    #[arg(long)]
    pub many: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// The pause before each start of the second measurement. In a hot loop the kernel's deferred work of one start (taking
/// down namespaces) overlaps the next; a person who starts a container now and then has idle processors.
const GAP: Duration = Duration::from_millis(50);

#[derive(Serialize)]
struct Report {
    machine: Machine,
    /// What every program had to make.
    task: &'static str,
    /// One start after another.
    hot: Vec<Row>,
    /// With an idle moment before each start.
    with_gaps: Vec<Row>,
    /// `docker run`.
    #[serde(skip_serializing_if = "Option::is_none")]
    docker: Option<docker::Report>,
    /// Programs that could not be compared with, and why.
    missing: Vec<String>,
}

/// Measures and prints. Errors: our runtime, or a static program to start, is not there or does not work.
pub fn run(options: &StartOptions) -> anyhow::Result<ExitCode> {
    let machine = Machine::here();
    let folder = tempfile::tempdir().context("making a folder for the bundle")?;
    let runtime = crate::programs::find("isolab-runtime")?;
    let bundle = bundle::make(folder.path(), &runtime)?;
    let (contenders, mut missing) = contenders(folder.path(), &bundle, &runtime)?;
    let hot = race(&contenders, options.rounds, Duration::ZERO)?;
    let with_gaps = race(&contenders, options.rounds, GAP)?;
    let docker = measure_docker(folder.path(), options, &mut missing)?;
    let task = "a static `true` in new user, pid, mount, network, uts, ipc and cgroup namespaces with /proc and /dev; \
        the OCI runtimes also with Docker's seccomp profile and capabilities";
    let report = Report { machine, task, hot, with_gaps, docker, missing };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.print();
    }
    Ok(ExitCode::SUCCESS)
}

/// Everybody who can do it, we first; and the sentences about those who cannot.
fn contenders(folder: &Path, bundle: &Path, runtime: &Path) -> anyhow::Result<(Vec<Contender>, Vec<String>)> {
    let oci = |program: &Path, name: &str| {
        let state = folder.join(format!("{name}-state"));
        let words = [
            program.as_os_str(),
            "--root".as_ref(),
            state.as_os_str(),
            "run".as_ref(),
            "--bundle".as_ref(),
            bundle.as_os_str(),
        ];
        let id = format!("bench-{}", std::process::id());
        Contender::new(name, words.map(OsString::from).into_iter().chain([id.into()]))
    };
    let root = bundle.join("rootfs");
    let bwrap = |program: &Path| {
        let words = ["--unshare-all", "--bind", "ROOT", "/", "--proc", "/proc", "--dev", "/dev", "/bin/true"];
        let word = |word: &str| if word == "ROOT" { root.clone().into() } else { OsString::from(word) };
        Contender::new("bwrap", [program.into()].into_iter().chain(words.into_iter().map(word)))
    };
    let ours = oci(runtime, "isolab-runtime");
    ours.run().context("our own runtime does not work here")?;
    let (mut able, mut missing) = (vec![ours], vec![]);
    let peers = [
        ("bwrap", "apt-get install bubblewrap"),
        ("runc", "apt-get install runc"),
        ("youki", "cargo install youki --locked"),
    ];
    for (name, mend) in peers {
        let Some(program) = on_path(name) else {
            missing.push(format!("{name} is not installed: {mend}"));
            continue;
        };
        let contender = if name == "bwrap" { bwrap(&program) } else { oci(&program, name) };
        match contender.run() {
            Ok(_) => able.push(contender),
            Err(error) => missing.push(format!("{name} does not work here: {error:#}")),
        }
    }
    Ok((able, missing))
}

/// What can be measured of `docker run`; nothing, with the reason, where our engine cannot be a daemon.
fn measure_docker(
    folder: &Path,
    options: &StartOptions,
    missing: &mut Vec<String>,
) -> anyhow::Result<Option<docker::Report>> {
    if options.docker_rounds == 0 {
        return Ok(None);
    }
    if !rustix::process::geteuid().is_root() {
        missing.push("docker run is not measured: dockerd runs as root only".into());
        return Ok(None);
    }
    let Some(client) = on_path("docker") else {
        missing.push("docker run is not measured: apt-get install docker.io".into());
        return Ok(None);
    };
    let dockerd = on_path("dockerd");
    if dockerd.is_none() {
        missing.push("dockerd is not installed: apt-get install docker.io".into());
    }
    let engine = crate::programs::find("isolab-engine")?;
    let programs = [client.as_path(), engine.as_path()];
    docker::measure(folder, programs, dockerd.as_deref(), options.docker_rounds, options.many).map(Some)
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

impl Report {
    fn print(&self) {
        println!("{}", self.machine);
        println!("{}", self.task);
        print("in a hot loop", &self.hot);
        print("with 50 ms gaps", &self.with_gaps);
        if let Some(docker) = &self.docker {
            docker.print();
        }
        self.missing.iter().for_each(|sentence| println!("\n{sentence}"));
    }
}
