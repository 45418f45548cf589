//! How many requests a second: a token bucket in one word.
//!
//! This is the generic cell rate algorithm (ITU-T I.371, also used by the `governor` crate and Redis Cell): instead of
//! a count of tokens that someone has to fill up, it remembers the moment at which the bucket will be full again. A
//! token moves that moment one interval onwards, and is there as long as the moment is at most a burst away.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// A token bucket whose burst is what it lets through in a second. Lock-free.
#[derive(Debug)]
pub(in crate::actors) struct RateLimit {
    origin: Instant,
    /// When the bucket is full again, in nanoseconds since `origin`.
    full_at: AtomicU64,
}

// === impl RateLimit ===

impl RateLimit {
    /// A bucket that is full from this moment on.
    pub(in crate::actors) fn since(origin: Instant) -> Self {
        Self { origin, full_at: AtomicU64::new(0) }
    }

    /// Takes a token of a bucket that gets `per_second` of them; 0 is no limit. The rate may be another at each call:
    /// what is owed stays owed, and is never more than a second's worth.
    ///
    /// # Errors
    /// There is none: how long until there is one.
    pub(in crate::actors) fn try_take(&self, per_second: u32, now: Instant) -> Result<(), Duration> {
        let Some(interval) = interval(per_second) else { return Ok(()) };
        let now = self.since_origin(now);
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let next = after_one_more(full_at, interval, per_second, now)?;
            match self.full_at.compare_exchange_weak(full_at, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(changed) => full_at = changed,
            }
        }
    }

    /// Whether there is a token; takes none.
    ///
    /// # Errors
    /// As of [`RateLimit::try_take`].
    pub(in crate::actors) fn peek(&self, per_second: u32, now: Instant) -> Result<(), Duration> {
        let Some(interval) = interval(per_second) else { return Ok(()) };
        let full_at = self.full_at.load(Ordering::Relaxed);
        after_one_more(full_at, interval, per_second, self.since_origin(now)).map(|_| ())
    }

    fn since_origin(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Default for RateLimit {
    fn default() -> Self {
        Self::since(Instant::now())
    }
}

/// Nanoseconds between two tokens; `None` without a limit.
fn interval(per_second: u32) -> Option<u64> {
    SECOND.checked_div(u64::from(per_second)).map(|interval| interval.max(1))
}

/// When the bucket is full again after one more token, or how long until there is one.
fn after_one_more(full_at: u64, interval: u64, per_second: u32, now: u64) -> Result<u64, Duration> {
    let burst = interval.saturating_mul(u64::from(per_second));
    // A lowered rate may find more owed than its burst: then the wait is what a bucket owes that is just empty.
    let full_at = full_at.clamp(now, now.saturating_add(burst));
    let next = full_at.saturating_add(interval);
    match next.saturating_sub(now).checked_sub(burst) {
        Some(wait) if wait > 0 => Err(Duration::from_nanos(wait)),
        _ => Ok(next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket() -> (RateLimit, Instant) {
        let bucket = RateLimit::default();
        let start = bucket.origin;
        (bucket, start)
    }

    #[test]
    fn a_burst_of_a_second_passes_and_then_one_each_interval() {
        let (bucket, start) = bucket();
        for _ in 0..10 {
            assert_eq!(bucket.try_take(10, start), Ok(()));
        }
        let tenth = Duration::from_millis(100);
        assert_eq!(bucket.try_take(10, start), Err(tenth));
        assert_eq!(bucket.try_take(10, start), Err(tenth), "a refusal costs nothing");
        assert_eq!(bucket.try_take(10, start + tenth), Ok(()));
        assert_eq!(bucket.try_take(10, start + tenth), Err(tenth));
    }

    #[test]
    fn over_a_long_time_no_more_pass_than_the_rate_and_one_burst() {
        let (bucket, start) = bucket();
        let passed = (0..30_000)
            .filter(|&millisecond| bucket.try_take(7, start + Duration::from_millis(millisecond)).is_ok())
            .count();
        assert!((7 * 30..=7 * 31).contains(&passed), "{passed}");
    }

    #[test]
    fn an_idle_bucket_fills_up_to_one_burst_and_no_further() {
        let (bucket, start) = bucket();
        let later = start + Duration::from_secs(3_600);
        let passed = (0..100).filter(|_| bucket.try_take(5, later).is_ok()).count();
        assert_eq!(passed, 5);
    }

    #[test]
    fn zero_is_no_limit() {
        let (bucket, start) = bucket();
        assert!((0..1_000).all(|_| bucket.try_take(0, start).is_ok() && bucket.peek(0, start).is_ok()));
    }

    #[test]
    fn looking_takes_nothing_and_says_the_same() {
        let (bucket, start) = bucket();
        for _ in 0..3 {
            assert_eq!(bucket.peek(1, start), Ok(()));
        }
        assert_eq!(bucket.try_take(1, start), Ok(()));
        assert_eq!(bucket.peek(1, start), Err(Duration::from_secs(1)));
        assert_eq!(bucket.try_take(1, start), Err(Duration::from_secs(1)));
    }

    #[test]
    fn a_changed_rate_holds_at_once() {
        let (bucket, start) = bucket();
        for _ in 0..1_000 {
            bucket.try_take(1_000, start).unwrap();
        }
        assert_eq!(bucket.try_take(1, start), Err(Duration::from_secs(1)));
        assert_eq!(bucket.try_take(0, start), Ok(()));
        assert_eq!(bucket.try_take(1, start + Duration::from_secs(1)), Ok(()));
        // The highest rate that a property can say.
        assert_eq!(bucket.try_take(u32::MAX, start + Duration::from_secs(9)), Ok(()));
    }

    #[test]
    fn takers_at_once_share_one_burst() {
        let (bucket, start) = bucket();
        let passed: usize = std::thread::scope(|scope| {
            let take = || (0..1_000).filter(|_| bucket.try_take(500, start).is_ok()).count();
            let takers: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum()
        });
        assert_eq!(passed, 500);
    }
}
