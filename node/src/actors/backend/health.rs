//! The health of a backend as a state machine over probe results: consecutive successes and failures against
//! the backend's thresholds, as the original counts them.

use ollamaflow_protocol::time::Timestamp;

/// Health as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthView {
    /// Since when it has been healthy.
    Healthy(Timestamp),
    /// Since when it has not; from the start until the first verdict too.
    Unhealthy(Timestamp),
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Up,
    Down,
}

/// The state machine.
#[derive(Clone, Debug)]
pub(super) struct Health {
    view: HealthView,
    successes: u32,
    failures: u32,
    verdict: bool,
}

// === impl HealthView ===

impl HealthView {
    /// Whether requests may go there.
    pub fn is_healthy(self) -> bool {
        matches!(self, Self::Healthy(_))
    }
}

// === impl Health ===

impl Health {
    /// Not healthy until probes say so.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { view: HealthView::Unhealthy(now), successes: 0, failures: 0, verdict: false }
    }

    /// Goes on from published health, with counters at zero: after a restart of the actor.
    pub(super) fn resume(view: &HealthView) -> Self {
        Self { view: *view, successes: 0, failures: 0, verdict: view.is_healthy() }
    }

    pub(super) fn view(&self) -> HealthView {
        self.view
    }

    /// Whether either threshold has been reached since the start.
    pub(super) fn has_verdict(&self) -> bool {
        self.verdict
    }

    /// Counts one probe (or failed connection). Thresholds are (healthy, unhealthy), each at least 1.
    pub(super) fn record(&mut self, success: bool, thresholds: (u32, u32), now: Timestamp) -> Option<Change> {
        if success {
            self.successes = self.successes.saturating_add(1);
            self.failures = 0;
        } else {
            self.failures = self.failures.saturating_add(1);
            self.successes = 0;
        }
        let up = self.successes >= thresholds.0.max(1);
        let down = self.failures >= thresholds.1.max(1);
        self.verdict |= up || down;
        match self.view {
            HealthView::Unhealthy(_) if up => {
                self.view = HealthView::Healthy(now);
                Some(Change::Up)
            }
            HealthView::Healthy(_) if down => {
                self.view = HealthView::Unhealthy(now);
                Some(Change::Down)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    #[test]
    fn it_starts_unhealthy_without_a_verdict() {
        let health = Health::new(at(1));
        assert_eq!(health.view(), HealthView::Unhealthy(at(1)));
        assert!(!health.has_verdict());
    }

    #[test]
    fn consecutive_successes_make_it_healthy_from_the_last_one_on() {
        let mut health = Health::new(at(0));
        assert_eq!(health.record(true, (2, 2), at(1)), None);
        assert_eq!(health.record(false, (2, 2), at(2)), None);
        assert_eq!(health.record(true, (2, 2), at(3)), None);
        assert_eq!(health.record(true, (2, 2), at(4)), Some(Change::Up));
        assert_eq!(health.view(), HealthView::Healthy(at(4)));
        assert_eq!(health.record(true, (2, 2), at(5)), None);
        assert_eq!(health.view(), HealthView::Healthy(at(4)));
    }

    #[test]
    fn consecutive_failures_make_it_unhealthy_and_a_success_between_does_not() {
        let mut health = Health::resume(&HealthView::Healthy(at(0)));
        assert_eq!(health.record(false, (2, 3), at(1)), None);
        assert_eq!(health.record(false, (2, 3), at(2)), None);
        assert_eq!(health.record(true, (2, 3), at(3)), None);
        assert_eq!(health.record(false, (2, 3), at(4)), None);
        assert_eq!(health.record(false, (2, 3), at(5)), None);
        assert_eq!(health.record(false, (2, 3), at(6)), Some(Change::Down));
        assert_eq!(health.view(), HealthView::Unhealthy(at(6)));
    }

    #[test]
    fn enough_failures_at_the_start_are_a_verdict_too() {
        let mut health = Health::new(at(0));
        health.record(false, (2, 2), at(1));
        assert!(!health.has_verdict());
        assert_eq!(health.record(false, (2, 2), at(2)), None);
        assert!(health.has_verdict());
        assert_eq!(health.view(), HealthView::Unhealthy(at(0)), "since when does not move");
    }

    #[test]
    fn a_threshold_above_a_hundred_can_be_reached() {
        let mut health = Health::new(at(0));
        let changes: Vec<_> =
            (0..150).filter_map(|second| health.record(true, (150, 2), at(second))).collect();
        assert_eq!(changes, [Change::Up]);
    }
}
