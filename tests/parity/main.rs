//! Held against Docker: the genuine command line does the same against a real dockerd and against our engine, both as
//! root's daemons on this machine, and everything that can be seen is compared.
//!
//! What is done is data: `cases/*.cases`. Where ours is meant to differ, `meant.txt` says so, line by line, with the reason.
//! Arguments choose cases by a part of their name; `--show` prints what both said,
//! and `--once` leaves the newer command line out.
#![forbid(unsafe_code)]

mod daemon;
mod images;
mod run;
mod sweep;
mod table;

use daemon::{Daemon, Kind};
use isolab_tests::parity::case::{self, Case};
use isolab_tests::parity::meant::Meant;
use isolab_tests::{harness, programs};
use run::{Client, Sides};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use table::Table;

/// The command lines that are tried: Debian's on all cases, and a newer one, where there is one, on a sample.
const CLIENT: &str = "/usr/bin/docker";
const NEWER_CLIENT: &str = "/usr/local/bin/docker";

/// Every so-many-th case is tried with the newer command line as well: what differs between the two is what they send,
/// and there are far fewer kinds of requests than cases.
const SAMPLE_EVERY: usize = 4;

fn main() -> ExitCode {
    let (flags, filters): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with('-'));
    let show = flags.iter().any(|flag| flag == "--show");
    let once = flags.iter().any(|flag| flag == "--once");
    match compare(&filters, show, once) {
        Ok(tally) => {
            println!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped);
            tally.exit_code()
        }
        Err(Obstacle::Lacking(why)) => {
            println!("SKIPPED all of the comparison with Docker, because {why}");
            let required = std::env::var_os("ISOLAB_REQUIRE_ALL_TESTS").is_some();
            if required { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(Obstacle::Broken(why)) => {
            println!("FAILED  the comparison with Docker cannot be made: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Why nothing was compared.
enum Obstacle {
    /// The machine lacks something that the comparison needs.
    Lacking(String),
    /// Something of ours is wrong.
    Broken(String),
}

fn compare(filters: &[String], show: bool, once: bool) -> Result<harness::Tally, Obstacle> {
    let broken = Obstacle::Broken;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("parity");
    let mut cases = case::read_all(&folder.join("cases")).map_err(broken)?;
    cases.extend(sweep::cases());
    let meant = Meant::read(&folder.join("meant.txt")).map_err(broken)?;
    meant.check_names(&cases).map_err(broken)?;
    let all = filters.is_empty();
    cases.retain(|case| all || filters.iter().any(|filter| case.name.contains(filter.as_str())));
    for (program, package) in
        [(CLIENT, "docker.io"), ("/usr/sbin/dockerd", "docker.io"), ("/bin/bash", "bash")]
    {
        if !Path::new(program).exists() {
            return Err(Obstacle::Lacking(format!("there is no {program} (Debian's {package})")));
        }
    }
    if !rustix::process::getuid().is_root() {
        return Err(Obstacle::Lacking("dockerd runs as root only".into()));
    }
    let programs = programs::folder().map_err(|error| Obstacle::Broken(error.to_string()))?;
    let directory = tempfile::Builder::new().prefix("isolab-parity.").tempdir();
    let directory =
        directory.map_err(|error| Obstacle::Broken(format!("a directory of our own: {error}")))?;
    let images = images::prepare(directory.path()).map_err(Obstacle::Lacking)?;
    let (theirs, ours) = std::thread::scope(|scope| {
        let start = |kind| {
            scope.spawn({
                let (programs, images) = (&programs, &images);
                let place = directory.path();
                move || Daemon::start(kind, place, programs, images)
            })
        };
        let (theirs, ours) = (start(Kind::Docker), start(Kind::Isolab));
        let ended = |_| Err("starting it panicked".to_owned());
        (theirs.join().unwrap_or_else(ended), ours.join().unwrap_or_else(ended))
    });
    let sides = Sides { theirs: theirs.map_err(Obstacle::Lacking)?, ours: ours.map_err(broken)? };
    let mut table = Table::new(show);
    let client = Client::new(CLIENT.into(), "", directory.path()).map_err(broken)?;
    run::all(&sides, &client, &programs, &cases, &meant, &mut table);
    if once {
        table.skip_run("the newer command line", "it is not wanted (--once)");
    } else if let Some(newer) = newer_client() {
        let client = Client::new(newer, case::NEWER, directory.path()).map_err(broken)?;
        let sample: Vec<Case> = cases.iter().step_by(if all { SAMPLE_EVERY } else { 1 }).cloned().collect();
        run::all(&sides, &client, &programs, &sample, &meant, &mut table);
    } else {
        table.skip_run("the newer command line", &format!("{NEWER_CLIENT} is not there"));
    }
    sides.ours.check_alive().map_err(broken)?;
    sides.end();
    table.print();
    Ok(table.tally())
}

/// A second command line that is not the first by another name.
fn newer_client() -> Option<PathBuf> {
    let newer = std::fs::canonicalize(NEWER_CLIENT).ok()?;
    (Some(&newer) != std::fs::canonicalize(CLIENT).ok().as_ref()).then_some(newer)
}
