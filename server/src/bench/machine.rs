//! The machine that was measured on: without it, numbers say nothing.

use serde::Serialize;
use std::fmt;
use std::fs;

/// A machine, in the few words that matter for its speed.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// `uname -r`.
    pub kernel: String,
    /// The processor's name for itself; empty where it has none.
    pub processor: String,
    /// How many processors this program may use.
    pub processors: usize,
    /// The load average over a minute before the measurement: how busy others kept the machine.
    pub load_before: f64,
    /// Whether Isolab was built with optimisation.
    pub optimised: bool,
}

impl Machine {
    /// This machine, now.
    pub fn here() -> Self {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            kernel: kernel.trim().to_owned(),
            processor: name.map(|(_, name)| name.trim().to_owned()).unwrap_or_default(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            load_before: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default(),
            optimised: !cfg!(debug_assertions),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, processor, processors, load_before, optimised } = self;
        let build = if *optimised { "release" } else { "debug" };
        write!(f, "Linux {kernel}, {processors} × {processor}, load {load_before:.2} before, {build} build")
    }
}
