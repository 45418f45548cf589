//! How fast a backend is: running averages that requests feed and the choice of a backend reads, without locks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time constant of the decay of a peak, in seconds: after it 37 % are left. As in Finagle's and linkerd's balancers.
const DECAY_SECONDS: f64 = 10.0;

/// Weight of the newest sample in a [`Mean`]: the last ten samples make two thirds of it.
const ALPHA: f64 = 0.1;

/// No sample yet: as a number it is none.
const UNMEASURED: u64 = u64::MAX;

/// A moving average that believes bad news at once and good news slowly ("peak EWMA", of Twitter's Finagle). Unasked it
/// sinks towards zero, so that a backend that was slow once gets a request to prove itself.
#[derive(Debug)]
pub(in crate::actors) struct PeakEwma {
    origin: Instant,
    /// Milliseconds since `origin` of the last sample (32 bits, wrapping), and the average in seconds (an `f32`): in
    /// one word, so that they always belong together.
    packed: AtomicU64,
}

/// A plain moving average of durations.
#[derive(Debug)]
pub(in crate::actors) struct Mean {
    /// Seconds, the bits of an `f64`.
    bits: AtomicU64,
}

// === impl PeakEwma ===

impl PeakEwma {
    /// Without a sample.
    pub(in crate::actors) fn new() -> Self {
        Self { origin: Instant::now(), packed: AtomicU64::new(UNMEASURED) }
    }

    /// Takes in a sample.
    pub(in crate::actors) fn observe(&self, sample: Duration, now: Instant) {
        let now = self.ticks(now);
        let sample = sample.as_secs_f64();
        let next = |packed: u64| {
            let Some((stamp, average)) = unpack(packed) else { return Some(pack(now, sample)) };
            if sample >= average {
                return Some(pack(now, sample));
            }
            let kept = kept(stamp, now);
            // Within one tick nothing decays. The stamp stays, or many samples at once would never sink it.
            (kept < 1.0).then(|| pack(now, average * kept + sample * (1.0 - kept)))
        };
        // An error is a sample that changes nothing.
        let _ = self.packed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// The average as of `now`; `None` without a sample.
    pub(in crate::actors) fn value(&self, now: Instant) -> Option<Duration> {
        let (stamp, average) = unpack(self.packed.load(Ordering::Relaxed))?;
        Duration::try_from_secs_f64(average * kept(stamp, self.ticks(now))).ok()
    }

    #[expect(clippy::cast_possible_truncation, reason = "ticks wrap, and are only subtracted")]
    fn ticks(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.origin).as_millis() as u32
    }
}

impl Default for PeakEwma {
    fn default() -> Self {
        Self::new()
    }
}

/// Which part of an average is left of the time of `stamp`.
fn kept(stamp: u32, now: u32) -> f64 {
    // Of two threads the later one may carry the earlier time: half of the range is "before".
    let elapsed = now.wrapping_sub(stamp);
    if elapsed > u32::MAX / 2 { 1.0 } else { (-f64::from(elapsed) / 1_000.0 / DECAY_SECONDS).exp() }
}

#[expect(clippy::cast_possible_truncation, reason = "24 bits of a second are plenty")]
fn pack(ticks: u32, seconds: f64) -> u64 {
    u64::from(ticks) << 32 | u64::from((seconds as f32).to_bits())
}

fn unpack(packed: u64) -> Option<(u32, f64)> {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    let seconds = f32::from_bits(packed as u32);
    let ticks = u32::try_from(packed >> 32).unwrap_or_default();
    (!seconds.is_nan()).then(|| (ticks, f64::from(seconds)))
}

// === impl Mean ===

impl Mean {
    /// Without a sample.
    pub(in crate::actors) fn new() -> Self {
        Self { bits: AtomicU64::new(UNMEASURED) }
    }

    /// Takes in a sample; the first one is the average.
    pub(in crate::actors) fn observe(&self, sample: Duration) {
        let sample = sample.as_secs_f64();
        let next = |bits| {
            let average = f64::from_bits(bits);
            let next = if average.is_nan() { sample } else { average + ALPHA * (sample - average) };
            Some(next.to_bits())
        };
        let _ = self.bits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// The average; `None` without a sample.
    pub(in crate::actors) fn get(&self) -> Option<Duration> {
        // Not a number: no sample.
        Duration::try_from_secs_f64(f64::from_bits(self.bits.load(Ordering::Relaxed))).ok()
    }
}

impl Default for Mean {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: Option<Duration>, seconds: f64) {
        let value = value.unwrap().as_secs_f64();
        assert!((value - seconds).abs() < 0.001, "{value} instead of {seconds}");
    }

    #[test]
    fn a_peak_rises_at_once_and_sinks_with_time() {
        let peak = PeakEwma::default();
        let start = peak.origin;
        assert_eq!(peak.value(start), None);
        peak.observe(Duration::from_millis(100), start);
        peak.observe(Duration::from_secs(5), start);
        near(peak.value(start), 5.0);
        let later = start + Duration::from_secs(10);
        near(peak.value(later), 5.0 / std::f64::consts::E);
        peak.observe(Duration::from_millis(100), later);
        near(peak.value(later), 5.0 / std::f64::consts::E + 0.1 * (1.0 - 1.0 / std::f64::consts::E));
        near(peak.value(start + Duration::from_secs(3_600)), 0.0);
    }

    #[test]
    fn good_samples_sink_a_peak_even_when_many_come_in_one_tick() {
        let peak = PeakEwma::new();
        peak.observe(Duration::from_secs(5), peak.origin);
        for microsecond in 0..10_000_000 / 100 {
            peak.observe(Duration::from_millis(1), peak.origin + Duration::from_micros(100 * microsecond));
        }
        assert!(peak.value(peak.origin + Duration::from_secs(10)).unwrap() < Duration::from_millis(1_900));
    }

    #[test]
    fn a_sample_with_an_earlier_time_decays_nothing() {
        let peak = PeakEwma::new();
        peak.observe(Duration::from_secs(5), peak.origin + Duration::from_secs(1));
        peak.observe(Duration::from_secs(1), peak.origin);
        near(peak.value(peak.origin), 5.0);
    }

    #[test]
    fn a_mean_starts_at_the_first_sample_and_follows_slowly() {
        let mean = Mean::default();
        assert_eq!(mean.get(), None);
        mean.observe(Duration::from_secs(10));
        near(mean.get(), 10.0);
        mean.observe(Duration::ZERO);
        near(mean.get(), 9.0);
        for _ in 0..200 {
            mean.observe(Duration::from_secs(2));
        }
        near(mean.get(), 2.0);
    }
}
