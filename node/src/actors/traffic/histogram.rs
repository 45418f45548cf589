//! Histograms of durations that any thread may feed, without a lock: `prometheus-client`'s own takes a mutex for each
//! observation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets for what takes as long as a request, in nanoseconds: 5 ms to 10 minutes.
pub const OF_REQUESTS: [u64; 16] = of_millis([
    5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000,
]);

/// Upper bounds of the buckets for pauses within a stream, in nanoseconds: 1 ms to 10 s.
pub const OF_GAPS: [u64; 12] = of_millis([1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_500, 10_000]);

/// Counts of durations by buckets with fixed bounds.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    bounds: &'static [u64; N],
    /// Each on its own, not cumulated: an observation touches one.
    buckets: [AtomicU64; N],
    /// Beyond the last bound.
    above: AtomicU64,
    /// In microseconds, which last for 58 years of ten thousand requests at a time.
    sum: AtomicU64,
}

/// A histogram at one moment, as Prometheus has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// The sum of all that was observed, in seconds.
    pub sum: f64,
    /// How often something was observed.
    pub count: u64,
    /// Upper bounds in seconds with the counts of their own buckets, not cumulated; the last bound is `f64::INFINITY`.
    pub buckets: Vec<(f64, u64)>,
}

// === impl Histogram ===

impl Histogram<{ OF_REQUESTS.len() }> {
    /// For durations of requests and of their parts.
    pub const fn of_requests() -> Self {
        Self::new(&OF_REQUESTS)
    }
}

impl Histogram<{ OF_GAPS.len() }> {
    /// For pauses within streams.
    pub const fn of_gaps() -> Self {
        Self::new(&OF_GAPS)
    }
}

impl<const N: usize> Histogram<N> {
    const fn new(bounds: &'static [u64; N]) -> Self {
        Self {
            bounds,
            buckets: [const { AtomicU64::new(0) }; N],
            above: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }

    /// Takes in one duration: two additions.
    pub fn observe(&self, duration: Duration) {
        self.bucket(place(self.bounds, nanos(duration))).fetch_add(1, Ordering::Relaxed);
        let micros = micros(duration);
        if micros > 0 {
            self.sum.fetch_add(micros, Ordering::Relaxed);
        }
    }

    /// Takes in many, which were sorted by [`place`] already: so many in each bucket, the last one beyond all bounds.
    pub(super) fn add(&self, counts: &[u8], sum: Duration) {
        for (place, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            self.bucket(place).fetch_add(u64::from(*count), Ordering::Relaxed);
        }
        self.sum.fetch_add(micros(sum), Ordering::Relaxed);
    }

    /// What was observed so far. The count is that of the buckets, whatever is observed meanwhile.
    pub fn read(&self) -> Distribution {
        // Before the buckets, so that it is never ahead of them.
        let sum = Duration::from_micros(self.sum.load(Ordering::Relaxed)).as_secs_f64();
        let bounds = self.bounds.iter().map(|bound| Duration::from_nanos(*bound).as_secs_f64());
        let bounds = bounds.chain([f64::INFINITY]);
        let counts = self.buckets.iter().chain([&self.above]).map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        Distribution { sum, count: buckets.iter().map(|(_, count)| count).sum(), buckets }
    }

    fn bucket(&self, place: usize) -> &AtomicU64 {
        self.buckets.get(place).unwrap_or(&self.above)
    }
}

/// The bucket that a duration belongs to; that of the number of bounds is beyond all of them. Short ones are found first:
/// they are what comes often. Whole numbers, since comparing two durations takes twice as long.
pub(super) fn place<const N: usize>(bounds: &[u64; N], nanos: u64) -> usize {
    bounds.iter().position(|bound| nanos <= *bound).unwrap_or(N)
}

/// A duration in nanoseconds, without a division; there is room for 584 years.
pub(super) fn nanos(duration: Duration) -> u64 {
    duration.as_secs().wrapping_mul(1_000_000_000).wrapping_add(duration.subsec_nanos().into())
}

const fn of_millis<const N: usize>(millis: [u64; N]) -> [u64; N] {
    let mut bounds = [0; N];
    let mut at = 0;
    while at < N {
        bounds[at] = millis[at] * 1_000_000;
        at += 1;
    }
    bounds
}

/// Whole microseconds, without the division of 128 bits that the standard library's take.
fn micros(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000).saturating_add(duration.subsec_micros().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_whose_bound_it_does_not_pass() {
        let histogram = Histogram::of_requests();
        for duration in [Duration::ZERO, ms(5), ms(6), ms(600_000), ms(600_001)] {
            histogram.observe(duration);
        }
        let read = histogram.read();
        let counts: Vec<_> = read.buckets.iter().map(|(_, count)| *count).collect();
        let mut expected = vec![0; OF_REQUESTS.len() + 1];
        (expected[0], expected[1], expected[15], expected[16]) = (2, 1, 1, 1);
        assert_eq!((counts, read.count), (expected, 5));
        assert!((read.sum - 1_200.012).abs() < 1e-9, "{}", read.sum);
        assert!(read.buckets[16].0.is_infinite(), "{:?}", read.buckets);
    }

    #[test]
    fn bounds_ascend() {
        assert!(OF_REQUESTS.is_sorted() && OF_GAPS.is_sorted());
    }

    #[test]
    fn what_was_counted_elsewhere_is_added() {
        let histogram = Histogram::of_gaps();
        let mut counts = [0; OF_GAPS.len() + 1];
        (counts[place(&OF_GAPS, nanos(ms(1)))], counts[place(&OF_GAPS, nanos(ms(11_000)))]) = (3, 1);
        histogram.add(&counts, ms(11_003));
        let read = histogram.read();
        assert_eq!((read.count, read.buckets[0].1, read.buckets[12].1), (4, 3, 1));
        assert!((read.sum - 11.003).abs() < 1e-9, "{}", read.sum);
    }
}
