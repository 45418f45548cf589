//! The parallel slots of a backend: claimed by compare-and-swap, given back by dropping a [`Permit`].
//!
//! `MaxParallelRequests` is a hard cap: the count never passes it, and never stays up, however a request ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::breaker::{Admission, Recorded};
use super::handle::{BackendHandle, BackendView};
use crate::actors::bell::{Bell, Bells};
use crate::clock;

/// How a request to a backend ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer was relayed to its end, whatever its status.
    Complete,
    /// The backend failed: no answer, or one that was cut.
    Failed,
    /// The client went away, or the answer was not wanted any more.
    Cancelled,
    /// There was no connection.
    Unreachable,
    /// It answered, but so that its answer says nothing of its health: it is busy, or lacks the model.
    Declined,
}

/// Who asks for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::actors) enum Claimant {
    /// A request that has just come: those that wait go first.
    Arriving,
    /// A request that waits in a queue.
    Waiting,
}

/// Why a backend that could take a request does not take it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// All of its slots are taken.
    Full,
    /// Requests that came earlier wait for its slots.
    Awaited,
    /// It has had its requests for the moment, by `RateLimitRequestsThreshold`; how long until the next.
    RateLimited(Duration),
    /// Its circuit is half open, and the one request that is let through has no answer yet.
    OnTrial,
    /// It has said that it is busy; how long it wants to be left alone.
    CoolingDown(Duration),
}

/// The right to one of a backend's parallel slots, for one request. Dropping it frees the slot, at once and always.
#[derive(Debug)]
pub struct Permit {
    backend: Arc<BackendHandle>,
    outcome: Outcome,
    since: Instant,
    admission: Admission,
}

/// The counts behind the permits of one backend. They have cache lines of their own (which processors fetch by two): all
/// workers write here, and what they only read of the handle must not have to follow.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Slots {
    in_flight: AtomicU32,
    finished: [AtomicU64; Outcome::COUNT],
    bells: Bells,
}

// === impl Outcome ===

impl Outcome {
    /// Number of outcomes.
    pub const COUNT: usize = 5;
}

// === impl Slots ===

impl Slots {
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn finished(&self, outcome: Outcome) -> u64 {
        self.finished[outcome as usize].load(Ordering::Relaxed)
    }

    fn take(&self, limit: u32) -> bool {
        let below = |taken| (taken < limit).then(|| taken + 1);
        self.in_flight.fetch_update(Ordering::SeqCst, Ordering::SeqCst, below).is_ok()
    }

    /// The order of the two steps, against a queue that first hangs its bell and then looks, makes that one of them
    /// sees the other.
    fn free(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.bells.ring();
    }
}

// === impl BackendHandle ===

impl BackendHandle {
    /// Requests that this node has in flight there.
    pub fn in_flight(&self) -> u32 {
        self.slots.in_flight()
    }

    /// Requests that ended so since the handle exists.
    pub fn finished(&self, outcome: Outcome) -> u64 {
        self.slots.finished(outcome)
    }

    /// Whether the backend would take a request now. Nothing is taken.
    pub(in crate::actors) fn check(
        &self,
        view: &BackendView,
        claimant: Claimant,
        now: Instant,
    ) -> Result<(), Busy> {
        if let Some(left) = self.meters.cooldown.left(now) {
            return Err(Busy::CoolingDown(left));
        }
        if self.slots.in_flight.load(Ordering::SeqCst) >= view.config.max_parallel_requests {
            return Err(Busy::Full);
        }
        if claimant == Claimant::Arriving && self.slots.bells.any() {
            return Err(Busy::Awaited);
        }
        self.meters.rate.peek(view.config.rate_limit_requests_threshold, now).map_err(Busy::RateLimited)
    }

    /// Takes a slot, a token of the rate limit and, if the circuit is half open, the trial. `None` if another request
    /// was quicker.
    pub(in crate::actors) fn claim(self: &Arc<Self>, view: &BackendView, now: Instant) -> Option<Permit> {
        if !self.slots.take(view.config.max_parallel_requests) {
            return None;
        }
        // From here on the slot goes back by itself.
        let admission = self.meters.breaker.try_admit(now);
        let permit = Permit { backend: self.clone(), outcome: Outcome::Cancelled, since: now, admission };
        if matches!(admission, Admission::Refused { .. }) {
            return None;
        }
        self.meters.rate.try_take(view.config.rate_limit_requests_threshold, now).ok()?;
        Some(permit)
    }

    /// Rings `bell` whenever a slot is freed, until told otherwise.
    pub(in crate::actors) fn hang(&self, bell: &Arc<Bell>) {
        self.slots.bells.hang(bell);
    }

    pub(in crate::actors) fn take_down(&self, bell: &Arc<Bell>) {
        self.slots.bells.take_down(bell);
    }
}

// === impl Permit ===

impl Permit {
    /// Whose slot it is.
    pub fn backend(&self) -> &Arc<BackendHandle> {
        &self.backend
    }

    /// How long it has been held.
    pub fn held(&self) -> Duration {
        clock::since(self.since)
    }

    /// The answer has begun. If the request was the trial of a half-open circuit, that has gone well: others need not wait
    /// for the end of what may be a long stream.
    pub fn answered(&mut self) {
        if self.admission == Admission::Trial {
            self.backend.report(self.admission, Recorded::Success, clock::turn());
            self.admission = Admission::Proven;
            self.backend.slots.bells.ring();
        }
    }

    /// Says how the request ended; unless told, it was cancelled.
    pub fn finish(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Self { backend, outcome, since, admission } = self;
        let now = clock::turn();
        backend.slots.finished[*outcome as usize].fetch_add(1, Ordering::Relaxed);
        let recorded = match outcome {
            Outcome::Complete => Recorded::Success,
            Outcome::Failed => Recorded::Failure,
            Outcome::Unreachable => Recorded::ConnectFailure,
            Outcome::Cancelled | Outcome::Declined => Recorded::Neutral,
        };
        backend.report(*admission, recorded, now);
        if *outcome == Outcome::Complete {
            backend.meters.service.observe(now.saturating_duration_since(*since));
        }
        backend.slots.free();
    }
}
