//! The circuit breaker of a backend: whether requests may go there, by how the last ones ended.
//!
//! Closed: they may, and their ends are counted. Open: none may, for a while. Half-open: one may, the trial; its end
//! decides. The state machine knows no clock and no request: the moment is an argument, and whoever was admitted
//! comes back with its [`Admission`] and with how it ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ollamaflow_protocol::object::Backend;

/// Parts of the window. It slides by one part at a time.
const PARTS: u8 = 10;

/// When the circuit opens and for how long: properties of the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::actors) struct BreakerLimits {
    /// Failed requests among those of the window, in percent; 0 for never.
    pub(in crate::actors) error_percent: u8,
    /// Requests that the window must hold before their ratio counts.
    pub(in crate::actors) minimum_requests: u32,
    /// Length of the window.
    pub(in crate::actors) window: Duration,
    /// Consecutive failed connections; 0 for never.
    pub(in crate::actors) connect_failures: u32,
    /// How long the circuit stays open.
    pub(in crate::actors) open: Duration,
}

/// How a request ended, as far as the backend is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::actors) enum Recorded {
    /// The backend did its part, even if that was to refuse a bad request.
    Success,
    /// It failed.
    Failure,
    /// No connection came about.
    ConnectFailure,
    /// Nobody can tell: the client went away, or the backend was busy.
    Neutral,
}

/// The state of a breaker at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::actors) enum BreakerState {
    /// Requests may go to the backend.
    Closed,
    /// None may.
    Open {
        /// When the trial may go.
        until: Instant,
    },
    /// One may, or is on its way.
    HalfOpen,
}

/// Whether a request may go to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::actors) enum Admission {
    /// As one of many.
    Normal,
    /// As the one on which everything depends. Its end must be recorded, or no other ever comes.
    Trial,
    /// As the trial, whose answer has begun: that closed the circuit, and its death would open it again.
    Proven,
    /// Not now.
    Refused {
        /// When to ask again; `None` when the end of the trial decides.
        until: Option<Instant>,
    },
}

/// What an end changed; for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::actors) enum BreakerChange {
    /// The circuit is open, for the first time or again.
    Opened {
        /// When the trial may go.
        until: Instant,
    },
    /// The trial went well.
    Closed,
}

/// The state machine.
#[derive(Debug)]
pub(in crate::actors) struct Breaker {
    state: State,
    window: Window,
    /// Failed connections since the last one that came about.
    connect_failures: u32,
}

/// A breaker for many threads: as long as it is closed, admitting costs one relaxed load. An end takes a lock, for some
/// nanoseconds; requests are thousands of times longer.
#[derive(Debug)]
pub(in crate::actors) struct BreakerCell {
    closed: AtomicBool,
    breaker: Mutex<Breaker>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    /// Until then; half-open without a trial afterwards.
    Open(Instant),
    /// Half-open, with the trial on its way.
    Trying,
}

/// Ends of requests within the last while, by parts.
#[derive(Debug)]
struct Window {
    origin: Instant,
    length: Duration,
    parts: [Part; PARTS as usize],
}

/// Ends of requests within one part of the window.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    /// Which part since the origin.
    number: u64,
    total: u32,
    failed: u32,
}

// === impl BreakerLimits ===

impl BreakerLimits {
    /// The limits that `backend` is configured with.
    pub(in crate::actors) fn of(backend: &Backend) -> Self {
        Self {
            error_percent: backend.circuit_breaker_error_percent,
            minimum_requests: backend.circuit_breaker_minimum_requests,
            window: Duration::from_millis(backend.circuit_breaker_window_ms.into()),
            connect_failures: backend.circuit_breaker_connect_failures,
            open: Duration::from_millis(backend.circuit_breaker_open_ms.into()),
        }
    }
}

// === impl BreakerState ===

impl BreakerState {
    /// The name of the state for people and metrics.
    pub(in crate::actors) fn name(self) -> &'static str {
        match self {
            Self::Closed => "Closed",
            Self::Open { .. } => "Open",
            Self::HalfOpen => "HalfOpen",
        }
    }
}

// === impl Breaker ===

impl Breaker {
    /// A closed breaker without a past.
    pub(in crate::actors) fn new(now: Instant) -> Self {
        let window = Window { origin: now, length: Duration::ZERO, parts: Default::default() };
        Self { state: State::Closed, window, connect_failures: 0 }
    }

    /// The state as of `now`.
    pub(in crate::actors) fn state(&self, now: Instant) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open(until) if now < until => BreakerState::Open { until },
            State::Open(_) | State::Trying => BreakerState::HalfOpen,
        }
    }

    /// What [`Breaker::try_admit`] would say; admits nobody.
    pub(in crate::actors) fn peek(&self, now: Instant) -> Admission {
        match self.state {
            State::Closed => Admission::Normal,
            State::Open(until) if now < until => Admission::Refused { until: Some(until) },
            State::Open(_) => Admission::Trial,
            State::Trying => Admission::Refused { until: None },
        }
    }

    /// Whether a request may go to the backend now. Whoever is admitted must come back to [`Breaker::record`].
    pub(in crate::actors) fn try_admit(&mut self, now: Instant) -> Admission {
        let admission = self.peek(now);
        if admission == Admission::Trial {
            self.state = State::Trying;
        }
        admission
    }

    /// Takes in the end of a request that was admitted by `admission`.
    ///
    /// Only the trial's end counts while the circuit is not closed: the others were sent before it opened, and tell
    /// of the past.
    pub(in crate::actors) fn record(
        &mut self,
        admission: Admission,
        outcome: Recorded,
        limits: &BreakerLimits,
        now: Instant,
    ) -> Option<BreakerChange> {
        match (self.state, admission) {
            (_, Admission::Refused { .. }) => None,
            (State::Closed, Admission::Proven)
                if matches!(outcome, Recorded::Failure | Recorded::ConnectFailure) =>
            {
                Some(self.open(limits, now))
            }
            (State::Closed, _) => self.record_closed(outcome, limits, now),
            (State::Trying, Admission::Trial) => self.end_trial(outcome, limits, now),
            (State::Open(_) | State::Trying, _) => None,
        }
    }

    fn record_closed(
        &mut self,
        outcome: Recorded,
        limits: &BreakerLimits,
        now: Instant,
    ) -> Option<BreakerChange> {
        match outcome {
            Recorded::Neutral => return None,
            Recorded::ConnectFailure => self.connect_failures = self.connect_failures.saturating_add(1),
            Recorded::Success | Recorded::Failure => self.connect_failures = 0,
        }
        self.window.count(outcome != Recorded::Success, limits.window, now);
        let is_cut_off = limits.connect_failures > 0 && self.connect_failures >= limits.connect_failures;
        let is_failing = limits.error_percent > 0 && self.window.exceeds(limits, now);
        (is_cut_off || is_failing).then(|| self.open(limits, now))
    }

    fn end_trial(
        &mut self,
        outcome: Recorded,
        limits: &BreakerLimits,
        now: Instant,
    ) -> Option<BreakerChange> {
        match outcome {
            Recorded::Success => {
                self.state = State::Closed;
                Some(BreakerChange::Closed)
            }
            Recorded::Failure | Recorded::ConnectFailure => Some(self.open(limits, now)),
            // Nothing was learnt: the next request is the trial, at once.
            Recorded::Neutral => {
                self.state = State::Open(now);
                None
            }
        }
    }

    /// Opens. What led to it is forgotten: a breaker that closes again starts anew.
    fn open(&mut self, limits: &BreakerLimits, now: Instant) -> BreakerChange {
        let until = now + limits.open;
        self.state = State::Open(until);
        self.connect_failures = 0;
        self.window.clear();
        BreakerChange::Opened { until }
    }
}

// === impl BreakerCell ===

impl BreakerCell {
    /// A closed breaker.
    pub(in crate::actors) fn new() -> Self {
        Self { closed: AtomicBool::new(true), breaker: Mutex::new(Breaker::new(Instant::now())) }
    }

    /// Whether all requests are admitted: one load.
    pub(in crate::actors) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// See [`Breaker::state`].
    pub(in crate::actors) fn state(&self, now: Instant) -> BreakerState {
        if self.is_closed() { BreakerState::Closed } else { self.lock().state(now) }
    }

    /// See [`Breaker::peek`].
    pub(in crate::actors) fn peek(&self, now: Instant) -> Admission {
        if self.is_closed() { Admission::Normal } else { self.lock().peek(now) }
    }

    /// See [`Breaker::try_admit`].
    pub(in crate::actors) fn try_admit(&self, now: Instant) -> Admission {
        if self.is_closed() { Admission::Normal } else { self.lock().try_admit(now) }
    }

    /// See [`Breaker::record`].
    pub(in crate::actors) fn record(
        &self,
        admission: Admission,
        outcome: Recorded,
        limits: &BreakerLimits,
        now: Instant,
    ) -> Option<BreakerChange> {
        let mut breaker = self.lock();
        let change = breaker.record(admission, outcome, limits, now);
        match change {
            Some(BreakerChange::Opened { .. }) => self.closed.store(false, Ordering::Relaxed),
            Some(BreakerChange::Closed) => self.closed.store(true, Ordering::Relaxed),
            None => {}
        }
        change
    }

    /// Forgets everything and closes: the address is another server's now.
    pub(in crate::actors) fn reset(&self, now: Instant) {
        let mut breaker = self.lock();
        *breaker = Breaker::new(now);
        self.closed.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        // Whoever panicked with the lock left counters that are as good as any.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for BreakerCell {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Window ===

impl Window {
    fn count(&mut self, failed: bool, length: Duration, now: Instant) {
        if length != self.length {
            self.length = length;
            self.clear();
        }
        let number = self.part_number(now);
        let part = &mut self.parts[slot(number)];
        if part.number != number {
            *part = Part { number, ..Part::default() };
        }
        part.total = part.total.saturating_add(1);
        part.failed = part.failed.saturating_add(failed.into());
    }

    /// Whether enough of the counted ones failed.
    fn exceeds(&self, limits: &BreakerLimits, now: Instant) -> bool {
        let newest = self.part_number(now);
        let recent = self.parts.iter().filter(|part| part.number + u64::from(PARTS) > newest);
        let (total, failed) = recent.fold((0_u64, 0_u64), |(total, failed), part| {
            (total + u64::from(part.total), failed + u64::from(part.failed))
        });
        failed > 0
            && total >= u64::from(limits.minimum_requests)
            && failed * 100 >= total * u64::from(limits.error_percent)
    }

    fn clear(&mut self) {
        self.parts = Default::default();
    }

    fn part_number(&self, now: Instant) -> u64 {
        let part = (self.length.as_nanos() / u128::from(PARTS)).max(1);
        let number = now.saturating_duration_since(self.origin).as_nanos() / part;
        u64::try_from(number).unwrap_or(u64::MAX - u64::from(PARTS))
    }
}

/// Where the part of this number is kept.
fn slot(number: u64) -> usize {
    usize::try_from(number % u64::from(PARTS)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
