//! The time for which a backend that said it is busy is left alone.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Longest cool-down, whatever a backend asks for: it may be wrong, and probes do not end it.
const LONGEST: Duration = Duration::from_secs(60);

/// What instants are counted from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// An instant that may lie ahead.
#[derive(Debug, Default)]
pub(super) struct Cooldown {
    /// Nanoseconds since [`START`].
    until: AtomicU64,
}

// === impl Cooldown ===

impl Cooldown {
    /// Begins a cool-down, or makes the present one longer.
    pub(super) fn begin(&self, time: Duration, now: Instant) {
        self.until.fetch_max(nanos(now + time.min(LONGEST)), Ordering::Relaxed);
    }

    /// Ends it: the address is another server's now.
    pub(super) fn end(&self) {
        if self.until.load(Ordering::Relaxed) != 0 {
            self.until.store(0, Ordering::Relaxed);
        }
    }

    /// How much of it is left.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        let until = self.until.load(Ordering::Relaxed);
        if until == 0 {
            return None;
        }
        let left = until.saturating_sub(nanos(now));
        (left > 0).then(|| Duration::from_nanos(left))
    }
}

fn nanos(instant: Instant) -> u64 {
    u64::try_from(instant.saturating_duration_since(*START).as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cooldown_ends_by_itself_or_early_and_is_never_shortened_by_a_second_one() {
        let cooldown = Cooldown::default();
        LazyLock::force(&START);
        let now = Instant::now();
        assert_eq!(cooldown.left(now), None);
        cooldown.begin(Duration::from_secs(5), now);
        cooldown.begin(Duration::from_secs(1), now);
        assert_eq!(cooldown.left(now + Duration::from_secs(2)), Some(Duration::from_secs(3)));
        assert_eq!(cooldown.left(now + Duration::from_secs(5)), None);
        cooldown.begin(Duration::from_secs(1_000), now);
        assert_eq!(cooldown.left(now), Some(LONGEST), "a backend cannot take itself out for long");
        cooldown.end();
        assert_eq!(cooldown.left(now), None);
    }
}
