//! What requests measure of a backend and what they are held back by: shared by all workers, by atomics.

use std::time::Duration;

use super::breaker::BreakerCell;
use super::cooldown::Cooldown;
use super::latency::{Mean, PeakEwma};
use super::rate::RateLimit;

/// The meters of one backend, on cache lines of their own as [`Slots`](super::slots::Slots) are.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Meters {
    /// `RateLimitRequestsThreshold`.
    pub(super) rate: RateLimit,
    /// The circuit breaker.
    pub(super) breaker: BreakerCell,
    /// Set by answers that say "busy".
    pub(super) cooldown: Cooldown,
    /// Time from sending a request to its first content.
    pub(super) first_token: PeakEwma,
    /// Time for which a complete request holds its slot.
    pub(super) service: Mean,
    /// Time to the first content of a request whose model was not in memory.
    pub(super) load: Mean,
}

/// The meters as a policy reads them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readings {
    /// Peak-sensitive mean of the times to the first content; `None` before the first.
    pub first_token: Option<Duration>,
    /// Mean time for which a request holds its slot.
    pub service: Option<Duration>,
    /// Mean time to load a model.
    pub load: Option<Duration>,
}
