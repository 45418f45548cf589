//! A rate per minute, as one number: the time up to which it is used.
//!
//! The generic cell rate algorithm: each unit moves that time on by its share of a minute. It may run ahead of the present by
//! one minute, so that a full minute's worth may come at once. No window has to be kept, and no lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How far ahead of the present a rate may be used, in nanoseconds.
const MINUTE: u64 = 60_000_000_000;

/// The most that can be owed: a count of tokens that is wrong must not shut a key out for ever.
const MOST_OWED: u64 = 24 * 60 * MINUTE;

/// What is used of a rate. Times are nanoseconds of a steady clock.
#[derive(Debug, Default)]
pub(super) struct Meter(AtomicU64);

// === impl Meter ===

impl Meter {
    /// Takes one unit.
    ///
    /// # Errors
    /// There is none; how long until there is one.
    pub(super) fn take(&self, now: u64, per_minute: u32) -> Result<(), Duration> {
        let share = share(per_minute);
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            let next = used.max(now) + share;
            (next <= now + MINUTE).then_some(next)
        });
        taken.map(drop).map_err(|used| Duration::from_nanos(used.max(now) + share - now - MINUTE))
    }

    /// Whether there is anything left.
    ///
    /// # Errors
    /// There is not; how long until there is.
    pub(super) fn look(&self, now: u64, per_minute: u32) -> Result<(), Duration> {
        let ahead = self.0.load(Ordering::Relaxed).saturating_sub(now);
        if ahead < MINUTE { Ok(()) } else { Err(Duration::from_nanos(ahead - MINUTE + share(per_minute))) }
    }

    /// Takes units that have been used already, whether they are there or not.
    pub(super) fn charge(&self, now: u64, units: u64, per_minute: u32) {
        let cost = units.saturating_mul(share(per_minute)).min(MOST_OWED);
        let most = now.saturating_add(MOST_OWED);
        // The function always gives a value.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            Some(used.max(now).saturating_add(cost).min(most))
        });
    }
}

fn share(per_minute: u32) -> u64 {
    MINUTE / u64::from(per_minute.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn as_many_units_as_the_rate_has_come_at_once_and_the_next_in_time() {
        let meter = Meter::default();
        let start = 5 * SECOND;
        for _ in 0..7 {
            assert_eq!(meter.take(start, 7), Ok(()));
        }
        let wait = meter.take(start, 7).unwrap_err();
        assert!(wait > Duration::from_secs(8) && wait < Duration::from_secs(9), "{wait:?}");
        assert!(meter.take(start + 8 * SECOND, 7).is_err());
        assert_eq!(meter.take(start + 9 * SECOND, 7), Ok(()));
        assert!(meter.take(start + 9 * SECOND, 7).is_err());
    }

    #[test]
    fn what_is_owed_is_paid_off_before_anything_is_left() {
        let meter = Meter::default();
        assert_eq!(meter.look(0, 60), Ok(()));
        meter.charge(0, 59, 60);
        assert_eq!(meter.look(0, 60), Ok(()), "one is left");
        meter.charge(0, 31, 60);
        assert_eq!(meter.look(0, 60), Err(Duration::from_secs(31)));
        assert!(meter.look(30 * SECOND, 60).is_err());
        assert_eq!(meter.look(31 * SECOND, 60), Ok(()));
    }

    #[test]
    fn a_wrong_count_does_not_shut_a_key_out_for_ever() {
        let meter = Meter::default();
        meter.charge(0, u64::MAX, 1);
        meter.charge(0, u64::MAX, 1);
        assert_eq!(meter.look(MOST_OWED - MINUTE + 1, 1), Ok(()));
        assert!(meter.look(MOST_OWED - MINUTE, 1).is_err());
    }
}
