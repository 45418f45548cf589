//! The two kinds of time of a run: `CLOCK_MONOTONIC` in nanoseconds, the same for every process of the machine, so a
//! stamp written by the upstream can be subtracted from a reading of the load generator; and the CPU time of a process.
//! Knows nothing of HTTP.

use std::ops::Add;

use rustix::time::{ClockId, clock_gettime};

/// What the scheduler gave to a process and its threads so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CpuTime {
    /// On a CPU, user and system, in nanoseconds.
    pub(crate) ran_ns: u64,
    /// Ready to run but waiting for a CPU that somebody else had.
    pub(crate) waited_ns: u64,
}

/// Nanoseconds of `CLOCK_MONOTONIC` (never negative, never set back).
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

// === impl CpuTime ===

impl CpuTime {
    /// What was added since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            ran_ns: self.ran_ns.saturating_sub(earlier.ran_ns),
            waited_ns: self.waited_ns.saturating_sub(earlier.waited_ns),
        }
    }
}

impl Add for CpuTime {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { ran_ns: self.ran_ns + other.ran_ns, waited_ns: self.waited_ns + other.waited_ns }
    }
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
