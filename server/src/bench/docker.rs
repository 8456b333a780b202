//! What `docker run` costs, beside a real dockerd: one container, ten at once, what an idle one holds, and hundreds.

use super::Summary;
use super::engines::{Engine, IMAGE, make_image};
use super::race::{Row, median_ratio, print, race};
use anyhow::Context;
use serde::Serialize;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How many containers are started at once.
const AT_ONCE: usize = 10;

/// How many idle containers their memory is divided by.
const IDLE: usize = 50;

/// As many as nobody has in a lab.
const MANY: usize = 500;

/// What is asked of a container that does nothing.
const RUN: [&str; 6] = ["run", "--rm", "--network", "bridge", IMAGE, "true"];

/// The report.
#[derive(Serialize)]
pub struct Report {
    /// `docker run --rm IMAGE true`, one after the other.
    one: Vec<Row>,
    /// The same, ten at once.
    at_once: Vec<AtOnce>,
    /// What idle containers hold.
    idle: Vec<Idle>,
    /// Hundreds in our engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    many: Option<Many>,
}

#[derive(Serialize)]
struct AtOnce {
    engine: String,
    /// From the first start to the last end.
    all: Summary,
    /// That time divided by the time of one alone, measured just before it: the median.
    to_one: f64,
}

#[derive(Serialize)]
struct Idle {
    engine: String,
    /// The proportional set size of the daemon and its helpers without containers, in KiB.
    empty_kib: u64,
    /// What each idle container adds to it beside its own process, in KiB.
    each_kib: f64,
}

#[derive(Serialize)]
struct Many {
    containers: usize,
    started_s: f64,
    listed_ms: f64,
    removed_s: f64,
}

/// Measures our engine, and dockerd where there is one. `many` starts hundreds as well.
pub fn measure(
    folder: &Path,
    [docker, engine]: [&Path; 2],
    dockerd: Option<&Path>,
    rounds: u32,
    many: bool,
) -> anyhow::Result<Report> {
    let image = make_image(folder)?;
    let mut engines = vec![Engine::ours(folder, docker, engine)?];
    engines.extend(dockerd.map(|dockerd| Engine::dockers(folder, docker, dockerd)).transpose()?);
    engines.iter().try_for_each(|engine| engine.import(&image))?;
    let contenders: Vec<_> = engines.iter().map(|engine| engine.contender(&RUN)).collect();
    let one = race(&contenders, rounds, Duration::ZERO)?;
    let at_once =
        engines.iter().map(|engine| at_once(engine, rounds.div_ceil(4))).collect::<Result<_, _>>()?;
    let idle = engines.iter().map(idle).collect::<Result<_, _>>()?;
    let many = many.then(|| self::many(&engines[0])).transpose()?;
    Ok(Report { one, at_once, idle, many })
}

fn at_once(engine: &Engine, rounds: u32) -> anyhow::Result<AtOnce> {
    let contender = engine.contender(&RUN);
    let (mut ones, mut all) = (vec![], vec![]);
    for _ in 0..rounds {
        ones.push(contender.run()?);
        let begun = Instant::now();
        thread::scope(|scope| {
            let runs: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(|| contender.run())).collect();
            runs.into_iter().try_for_each(|run| match run.join() {
                Ok(ran) => ran.map(drop),
                Err(_) => Err(anyhow::anyhow!("a thread has panicked")),
            })
        })?;
        all.push(begun.elapsed());
    }
    let to_one = median_ratio(&all, &ones);
    Ok(AtOnce { engine: engine.name.into(), all: Summary::of(&all).context("there were no rounds")?, to_one })
}

/// Starts as many containers that sleep: their ids.
fn sleepers(engine: &Engine, count: usize) -> anyhow::Result<Vec<String>> {
    let start = |_| engine.docker(&["run", "-d", IMAGE, "sleep", "100000"]).map(|id| id.trim().to_owned());
    (0..count).map(start).collect()
}

fn remove(engine: &Engine, ids: &[String]) -> anyhow::Result<()> {
    let words: Vec<&str> = ["rm", "-f"].into_iter().chain(ids.iter().map(String::as_str)).collect();
    engine.docker(&words).map(drop)
}

fn idle(engine: &Engine) -> anyhow::Result<Idle> {
    let empty_kib = engine.memory_kib()?;
    let ids = sleepers(engine, IDLE)?;
    let full = engine.memory_kib()?;
    remove(engine, &ids)?;
    let each_kib = full.saturating_sub(empty_kib) as f64 / IDLE as f64;
    Ok(Idle { engine: engine.name.into(), empty_kib, each_kib })
}

fn many(engine: &Engine) -> anyhow::Result<Many> {
    let begun = Instant::now();
    let ids = sleepers(engine, MANY)?;
    let started_s = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let listed = engine.docker(&["ps", "--quiet"])?;
    let listed_ms = begun.elapsed().as_secs_f64() * 1000.0;
    let containers = listed.lines().count();
    let begun = Instant::now();
    remove(engine, &ids)?;
    Ok(Many { containers, started_s, listed_ms, removed_s: begun.elapsed().as_secs_f64() })
}

impl Report {
    /// Prints it.
    pub fn print(&self) {
        print("docker run --rm busybox true, one after the other", &self.one);
        println!("\n{AT_ONCE} of them at once:");
        for AtOnce { engine, all, to_one } in &self.at_once {
            println!("  {engine:<15} {all}, {to_one:.1} × one");
        }
        println!(
            "\nmemory of an engine, and what each of {IDLE} idle containers adds beside its own process:"
        );
        for Idle { engine, empty_kib, each_kib } in &self.idle {
            println!("  {engine:<15} {empty_kib} KiB, {each_kib:.0} KiB each");
        }
        if let Some(Many { containers, started_s, listed_ms, removed_s }) = &self.many {
            println!(
                "\n{containers} containers in one engine: started in {started_s:.1} s, listed in {listed_ms:.0} ms, removed in {removed_s:.1} s"
            );
        }
    }
}
