//! How many retries a frontend may make: a part of its requests, so that an outage is not amplified, and a few more, so
//! that a quiet frontend may retry at all. As in Finagle and linkerd.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use crate::actors::backend::rate::RateLimit;

/// Parts of a retry that a request of one percent is worth.
const RETRY: u32 = 100;

/// Most retries that are saved up.
const MOST_RETRIES: u32 = 100;

/// Retries per second that cost nothing: linkerd's default.
const RESERVE_PER_SECOND: u32 = 10;

/// The budget of one frontend. Lock-free. It begins with all that can be saved up, so that a backend which dies soon after
/// the node has started costs no client its answer; Finagle's reserve is as large (10 a second over 10 seconds).
#[derive(Debug)]
pub(super) struct RetryBudget {
    /// In hundredths of a retry.
    saved: AtomicU32,
    reserve: RateLimit,
}

// === impl RetryBudget ===

impl Default for RetryBudget {
    fn default() -> Self {
        Self { saved: AtomicU32::new(MOST_RETRIES * RETRY), reserve: RateLimit::default() }
    }
}

impl RetryBudget {
    /// Saves `percent` of a retry, for a request.
    pub(super) fn deposit(&self, percent: u32) {
        let add = |saved: u32| {
            let more = saved.saturating_add(percent).min(MOST_RETRIES * RETRY);
            // A full budget is not written to: frontends with much traffic are mostly there.
            (more != saved).then_some(more)
        };
        let _ = self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Takes one retry, from the reserve or else from what was saved; with 0 `percent` there never is one.
    pub(super) fn try_withdraw(&self, percent: u32, now: Instant) -> bool {
        if percent == 0 {
            return false;
        }
        let take = |saved: u32| saved.checked_sub(RETRY);
        self.reserve.try_take(RESERVE_PER_SECOND, now).is_ok()
            || self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn withdrawn(budget: &RetryBudget, percent: u32, now: Instant) -> usize {
        (0..1_000).filter(|_| budget.try_withdraw(percent, now)).count()
    }

    #[test]
    fn a_quiet_frontend_has_the_reserve() {
        let (budget, now) = (RetryBudget::default(), Instant::now());
        assert_eq!(withdrawn(&budget, 10, now), 110, "what is saved up at the start, too");
        assert_eq!(withdrawn(&budget, 10, now + Duration::from_secs(1)), 10);
    }

    #[test]
    fn a_part_of_the_requests_comes_on_top() {
        let (budget, now) = (RetryBudget::default(), Instant::now());
        assert_eq!(withdrawn(&budget, 10, now), 110);
        for _ in 0..205 {
            budget.deposit(10);
        }
        assert_eq!(withdrawn(&budget, 10, now), 20);
        for _ in 0..100_000 {
            budget.deposit(100);
        }
        assert_eq!(withdrawn(&budget, 100, now), 100, "more was saved up than the bound");
    }

    #[test]
    fn no_percent_is_no_retry_at_all() {
        let budget = RetryBudget::default();
        budget.deposit(0);
        assert_eq!(withdrawn(&budget, 0, Instant::now()), 0);
    }
}
