//! How long the slowest twentieth of some requests takes: what a hedge waits for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Samples that are remembered.
const SAMPLES: usize = 128;

/// Samples below which the quantile says nothing.
const MINIMUM: usize = 20;

/// The quantile is computed anew after this many samples.
const STEP: usize = 8;

/// The 95th percentile of the last durations. Reading it is one load.
#[derive(Debug, Default)]
pub(super) struct P95 {
    ring: Mutex<Ring>,
    /// Nanoseconds; 0 for none yet.
    cached: AtomicU64,
}

#[derive(Debug, Default)]
struct Ring {
    /// Nanoseconds; a ring once it is full.
    samples: Vec<u64>,
    next: usize,
    since_computed: usize,
}

// === impl P95 ===

impl P95 {
    /// Takes in a duration.
    pub(super) fn observe(&self, sample: Duration) {
        let sample = u64::try_from(sample.as_nanos()).unwrap_or(u64::MAX);
        // Whoever panicked with the lock left samples that are as good as any.
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(quantile) = ring.push(sample) {
            self.cached.store(quantile.max(1), Ordering::Relaxed);
        }
    }

    /// The duration that 95 % of the last ones did not exceed; `None` while there are fewer than 20.
    pub(super) fn get(&self) -> Option<Duration> {
        let cached = self.cached.load(Ordering::Relaxed);
        (cached > 0).then(|| Duration::from_nanos(cached))
    }
}

// === impl Ring ===

impl Ring {
    /// Takes in a sample; the quantile, when it is time for a new one.
    fn push(&mut self, sample: u64) -> Option<u64> {
        match self.samples.get_mut(self.next) {
            Some(oldest) => *oldest = sample,
            None => self.samples.push(sample),
        }
        self.next = (self.next + 1) % SAMPLES;
        self.since_computed += 1;
        let count = self.samples.len();
        if count < MINIMUM || (count > MINIMUM && self.since_computed < STEP) {
            return None;
        }
        self.since_computed = 0;
        let mut sorted = self.samples.clone();
        // The nearest rank: the smallest one that 95 % do not exceed.
        let rank = (count * 95).div_ceil(100) - 1;
        Some(*sorted.select_nth_unstable(rank).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observe(quantile: &P95, milliseconds: impl Iterator<Item = u64>) {
        milliseconds.for_each(|sample| quantile.observe(Duration::from_millis(sample)));
    }

    #[test]
    fn it_says_nothing_below_twenty_samples_and_then_the_nineteenth() {
        let quantile = P95::default();
        observe(&quantile, 1..20);
        assert_eq!(quantile.get(), None);
        observe(&quantile, 20..21);
        assert_eq!(quantile.get(), Some(Duration::from_millis(19)));
    }

    #[test]
    fn only_the_last_samples_count() {
        let quantile = P95::default();
        observe(&quantile, (0..1_000).map(|_| 9_000));
        observe(&quantile, (0..10).flat_map(|_| 1..=100));
        let milliseconds = quantile.get().unwrap().as_millis();
        assert!((90..=100).contains(&milliseconds), "{milliseconds}");
    }
}
