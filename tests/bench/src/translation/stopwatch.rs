//! Times small pieces of work on this thread. In CPU time, so that it does not matter who else wants the CPU.

use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};

use crate::summary::as_f64;

/// How often a piece of work is timed.
pub(super) const REPETITIONS: usize = 9;
/// How long it is done before, and each time, in milliseconds.
pub(super) const ROUND_MS: u64 = 20;

/// CPU time that it takes to do `work` once and to drop what it gives, in nanoseconds, of each repetition.
pub(super) fn time<T>(mut work: impl FnMut() -> T) -> Vec<f64> {
    let rounds = warm_up(&mut work);
    let mut repetition = || {
        let start = thread_ns();
        for _ in 0..rounds {
            drop(black_box(work()));
        }
        as_f64(thread_ns() - start) / as_f64(rounds)
    };
    (0..REPETITIONS).map(|_| repetition()).collect()
}

/// Gives how often the work was done.
fn warm_up<T>(work: &mut impl FnMut() -> T) -> u64 {
    let end = thread_ns() + ROUND_MS * 1_000_000;
    let mut rounds = 0;
    while rounds == 0 || thread_ns() < end {
        drop(black_box(work()));
        rounds += 1;
    }
    rounds
}

/// What this thread was on a CPU so far, in nanoseconds.
fn thread_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_work_takes_longer() {
        let sum = |n: u64| (0..n).map(black_box).sum::<u64>();
        let least = |n| time(|| sum(n)).into_iter().fold(f64::MAX, f64::min);
        assert!(least(100_000) > 2.0 * least(1_000));
    }
}
