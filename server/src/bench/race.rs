//! Programs that do the same, in turns on the same machine in the same minutes: how long each takes, and our time as a part of
//! the others', measured pair by pair.

use super::Summary;
use anyhow::{Context, bail};
use serde::Serialize;
use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Rounds before those that count: they fill the kernel's caches.
const WARM_UP: u32 = 5;

/// What came of one program.
#[derive(Serialize)]
pub struct Row {
    program: String,
    time: Summary,
    /// Our time divided by this program's, the median over all rounds: below 1 we are faster. Absent for ourselves.
    ours_to_this: Option<f64>,
}

/// One way to do it.
pub struct Contender {
    /// What it is called in the report.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// What its environment has besides ours.
    pub environment: Vec<(OsString, OsString)>,
}

impl Contender {
    /// A command in our own environment.
    pub fn new(name: &str, command: impl IntoIterator<Item = OsString>) -> Self {
        Self { name: name.into(), command: command.into_iter().collect(), environment: vec![] }
    }

    /// Does it once, from the command line to the exit status. An error tells what the program said.
    pub fn run(&self) -> anyhow::Result<Duration> {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let begin = Instant::now();
        let output = command.spawn()?.wait_with_output()?;
        let took = begin.elapsed();
        if !output.status.success() {
            bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(took)
    }
}

/// Has everybody do it in turn, round after round, with a pause before each; who begins changes, so that nobody always follows
/// the same one. The first contender is ourselves.
pub fn race(contenders: &[Contender], rounds: u32, gap: Duration) -> anyhow::Result<Vec<Row>> {
    let mut times = vec![Vec::with_capacity(rounds as usize); contenders.len()];
    for round in 0..WARM_UP + rounds {
        for turn in 0..contenders.len() {
            let at = (turn + round as usize) % contenders.len();
            sleep(gap);
            let took = contenders[at].run().with_context(|| contenders[at].name.clone())?;
            if round >= WARM_UP {
                times[at].push(took);
            }
        }
    }
    let row = |(contender, own): (&Contender, &Vec<Duration>)| {
        let ours_to_this = (contender.name != contenders[0].name).then(|| median_ratio(&times[0], own));
        let time = Summary::of(own).context("there were no rounds")?;
        Ok(Row { program: contender.name.clone(), time, ours_to_this })
    };
    contenders.iter().zip(&times).map(row).collect()
}

/// The median of the quotients of measurements that were made side by side.
pub fn median_ratio(ours: &[Duration], theirs: &[Duration]) -> f64 {
    let mut ratios: Vec<f64> =
        ours.iter().zip(theirs).map(|(a, b)| a.as_secs_f64() / b.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Prints a race under its title.
pub fn print(title: &str, rows: &[Row]) {
    println!("\n{title}:");
    for Row { program, time, ours_to_this } in rows {
        let ratio = ours_to_this.map_or(String::new(), |ratio| format!(", ours takes {ratio:.2} × as long"));
        println!("  {program:<15} {time}{ratio}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_of_neighbours() {
        let ms = |times: &[u64]| times.iter().map(|&time| Duration::from_millis(time)).collect::<Vec<_>>();
        // A slow moment of the machine hits both of a pair.
        let ratio = median_ratio(&ms(&[10, 100, 10]), &ms(&[20, 200, 40]));
        assert!((ratio - 0.5).abs() < 1e-9, "{ratio}");
        assert!(median_ratio(&[], &[]).is_nan());
    }

    #[test]
    fn a_program_that_fails_is_told_with_its_words() {
        let words = ["sh", "-c", "echo $WORD >&2; exit 3"];
        let mut failing = Contender::new("sh", words.map(OsString::from));
        failing.environment = vec![("WORD".into(), "no".into())];
        let error = race(&[failing], 1, Duration::ZERO).err().map(|error| format!("{error:#}")).unwrap();
        assert!(error.contains("sh: ") && error.contains('3') && error.contains("no"), "{error}");
    }
}
