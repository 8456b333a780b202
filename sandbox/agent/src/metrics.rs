//! What the agent counts about itself, as Prometheus text. Numbers only: no names that a learner chose.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the histogram of opening times, in seconds: around the aim of 150 ms, and the failures beyond.
const OPENING_SECONDS: [f64; 8] = [0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 3.0, 10.0];

/// Counters that only grow; what goes up and down is read from its owner when asked.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Labs opened.
    pub labs_opened: AtomicU64,
    /// Labs that could not be opened.
    pub labs_failed: AtomicU64,
    /// Labs ended because nobody returned to them.
    pub labs_reaped: AtomicU64,
    /// Bytes that shells printed.
    pub terminal_output_bytes: AtomicU64,
    /// Bytes that learners typed.
    pub terminal_input_bytes: AtomicU64,
    /// Observations read.
    pub observations: AtomicU64,
    opening_buckets: [AtomicU64; OPENING_SECONDS.len()],
    opening_count: AtomicU64,
    opening_micros: AtomicU64,
}

/// What there is at the moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauges {
    /// Labs that are open or being opened.
    pub labs: usize,
    /// Terminals with a shell or a history.
    pub terminals: usize,
    /// Clients attached to them.
    pub terminal_clients: usize,
}

impl Metrics {
    /// A lab was opened in this time.
    pub fn opened(&self, took: Duration) {
        self.labs_opened.fetch_add(1, Relaxed);
        self.opening_count.fetch_add(1, Relaxed);
        self.opening_micros.fetch_add(took.as_micros() as u64, Relaxed);
        for (bucket, bound) in self.opening_buckets.iter().zip(OPENING_SECONDS) {
            if took.as_secs_f64() <= bound {
                bucket.fetch_add(1, Relaxed);
            }
        }
    }

    /// The Prometheus text.
    pub fn text(&self, now: Gauges) -> String {
        let mut text = String::new();
        let mut one = |kind: &str, name: &str, help: &str, value: u64| {
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "# HELP isolab_{name} {help}\n# TYPE isolab_{name} {kind}\nisolab_{name} {value}\n"
            );
        };
        one("gauge", "labs", "Labs that are open or being opened.", now.labs as u64);
        one("gauge", "terminals", "Terminals of all labs.", now.terminals as u64);
        one("gauge", "terminal_clients", "Clients attached to terminals.", now.terminal_clients as u64);
        let counters = [
            ("labs_opened_total", "Labs opened.", &self.labs_opened),
            ("labs_failed_total", "Labs that could not be opened.", &self.labs_failed),
            ("labs_reaped_total", "Labs ended because nobody returned.", &self.labs_reaped),
            ("terminal_output_bytes_total", "Bytes that shells printed.", &self.terminal_output_bytes),
            ("terminal_input_bytes_total", "Bytes that learners typed.", &self.terminal_input_bytes),
            ("observations_total", "Observations read from the kernel.", &self.observations),
        ];
        for (name, help, value) in counters {
            one("counter", name, help, value.load(Relaxed));
        }
        self.opening_text(&mut text);
        text
    }

    fn opening_text(&self, text: &mut String) {
        let name = "isolab_lab_opening_seconds";
        let _ =
            write!(text, "# HELP {name} From the request to a lab that is ready.\n# TYPE {name} histogram\n");
        for (bucket, bound) in self.opening_buckets.iter().zip(OPENING_SECONDS) {
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {}", bucket.load(Relaxed));
        }
        let count = self.opening_count.load(Relaxed);
        let seconds = self.opening_micros.load(Relaxed) as f64 / 1e6;
        let _ = write!(
            text,
            "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {seconds}\n{name}_count {count}\n"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_histogram_is_cumulative() {
        let metrics = Metrics::default();
        metrics.opened(Duration::from_millis(120));
        metrics.opened(Duration::from_secs(20));
        let text = metrics.text(Gauges { labs: 2, ..Gauges::default() });
        for line in [
            "isolab_labs 2",
            "isolab_labs_opened_total 2",
            "isolab_lab_opening_seconds_bucket{le=\"0.1\"} 0",
            "isolab_lab_opening_seconds_bucket{le=\"0.15\"} 1",
            "isolab_lab_opening_seconds_bucket{le=\"10\"} 1",
            "isolab_lab_opening_seconds_bucket{le=\"+Inf\"} 2",
            "isolab_lab_opening_seconds_count 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
    }
}
