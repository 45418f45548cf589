//! Times in a histogram with a bounded error: many samples, little memory, exact enough for percentiles. In:
//! nanoseconds; out: microseconds. Knows nothing of what is timed.

use hdrhistogram::Histogram;

use crate::summary::as_f64;

/// Longest time kept apart; anything longer counts as this.
const MAX_NS: u64 = 60_000_000_000;
/// Significant decimal digits kept, i.e. an error below 0.1 %.
const DIGITS: u8 = 3;

/// Recorded times.
#[derive(Debug, Clone)]
pub(crate) struct Latency {
    /// `None` only if the library refused its constant bounds; then nothing is recorded and all percentiles are 0.
    times: Option<Histogram<u32>>,
}

// === impl Latency ===

impl Latency {
    /// Without a sample.
    pub(crate) fn new() -> Self {
        Self { times: Histogram::new_with_bounds(1, MAX_NS, DIGITS).ok() }
    }

    /// Adds one time.
    pub(crate) fn record(&mut self, ns: u64) {
        if let Some(times) = &mut self.times {
            times.saturating_record(ns.max(1));
        }
    }

    /// Forgets all samples.
    pub(crate) fn clear(&mut self) {
        if let Some(times) = &mut self.times {
            times.reset();
        }
    }

    /// The time below which `percent` of the samples lie, in microseconds; 0 without samples.
    pub(crate) fn percentile_us(&self, percent: f64) -> f64 {
        self.times.as_ref().map_or(0.0, |times| as_f64(times.value_at_percentile(percent)) / 1_000.0)
    }

    /// The share (0 to 1) of samples from `from_us` to `to_us`; 0 without samples.
    pub(crate) fn share_between(&self, from_us: u64, to_us: u64) -> f64 {
        match &self.times {
            Some(times) if !times.is_empty() => {
                as_f64(times.count_between(from_us * 1_000, to_us * 1_000)) / as_f64(times.len())
            }
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(latency: &Latency) -> u64 {
        latency.times.as_ref().map_or(0, Histogram::len)
    }

    fn assert_close(value: f64, expected: f64) {
        assert!((value - expected).abs() <= expected * 0.001, "{value} is not about {expected}");
    }

    #[test]
    fn percentiles_of_a_known_series_are_within_the_stated_error() {
        let mut latency = Latency::new();
        for us in 1..=1_000 {
            latency.record(us * 1_000);
        }
        assert_eq!(count(&latency), 1_000);
        assert_close(latency.percentile_us(50.0), 500.0);
        assert_close(latency.percentile_us(99.0), 990.0);
        assert_close(latency.percentile_us(100.0), 1_000.0);
    }

    #[test]
    fn times_beyond_the_bounds_count_as_the_bound() {
        let mut latency = Latency::new();
        latency.record(0);
        latency.record(u64::MAX);
        assert_eq!(count(&latency), 2);
        assert_close(latency.percentile_us(100.0), as_f64(MAX_NS) / 1_000.0);
    }

    #[test]
    fn a_delayed_mode_shows_as_a_share() {
        let mut latency = Latency::new();
        for _ in 0..98 {
            latency.record(200_000);
        }
        for _ in 0..2 {
            latency.record(40_000_000);
        }
        assert_close(latency.share_between(20_000, 50_000), 0.02);
        assert!(latency.share_between(60_000, 90_000) < f64::EPSILON);
    }

    #[test]
    fn without_samples_everything_is_zero() {
        let mut latency = Latency::new();
        latency.record(5);
        latency.clear();
        assert_eq!(count(&latency), 0);
        assert!(latency.percentile_us(50.0) < f64::EPSILON);
        assert!(latency.share_between(0, 1) < f64::EPSILON);
    }
}
