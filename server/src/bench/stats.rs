//! Many measurements in few numbers.

use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// The distribution of a measurement, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// How often was measured.
    pub n: usize,
    /// The smallest.
    pub min_ms: f64,
    /// The median.
    pub p50_ms: f64,
    /// The 99th percentile, by nearest rank: one in a hundred was slower.
    pub p99_ms: f64,
    /// The largest.
    pub max_ms: f64,
}

impl Summary {
    /// The summary of measurements; nothing where there are none.
    pub fn of(measured: &[Duration]) -> Option<Self> {
        let mut sorted: Vec<f64> = measured.iter().map(|time| time.as_secs_f64() * 1000.0).collect();
        sorted.sort_by(f64::total_cmp);
        // Nearest rank: the smallest value that at least that share of all values does not exceed.
        let rank = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)];
        Some(Self {
            n: sorted.len(),
            min_ms: *sorted.first()?,
            p50_ms: rank(50),
            p99_ms: rank(99),
            max_ms: *sorted.last()?,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n, min_ms, p50_ms, p99_ms, max_ms } = self;
        write!(f, "p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms (min {min_ms:.2}, max {max_ms:.2}, n = {n})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let measured: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        let summary = Summary::of(&measured).unwrap();
        assert_eq!(
            (summary.min_ms, summary.p50_ms, summary.p99_ms, summary.max_ms),
            (1.0, 100.0, 198.0, 200.0)
        );
        let one = Summary::of(&[Duration::from_millis(3)]).unwrap();
        assert_eq!((one.n, one.p50_ms, one.p99_ms), (1, 3.0, 3.0));
        assert_eq!(Summary::of(&[]), None);
    }
}
