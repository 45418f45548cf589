//! The one clock of a run: `CLOCK_MONOTONIC` in nanoseconds, the same for every process of the machine, so a stamp
//! written by the upstream can be subtracted from a reading of the load generator. Knows nothing of HTTP.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC` (never negative, never set back).
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_does_not_run_backwards() {
        let first = monotonic_ns();
        assert!(monotonic_ns() >= first);
        assert!(first > 0);
    }
}
