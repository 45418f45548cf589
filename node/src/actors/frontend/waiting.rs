//! How a request gets a backend: at once by atomics if one is free, else by waiting in the queue.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::FrontendHandle;
use super::query::{Denied, Pick, Query};
use super::queue::{Join, Joining, Leave, Waiter};
use super::select::{NoCandidate, Selection, Waiting, select};
use super::tried::Tried;
use crate::actors::backend::{BackendHandle, Busy, Claimant};
use crate::clock;

/// How long a request waits for the successor of a dead actor before it asks again; the supervisor needs up to a
/// second.
const REVIVAL: Duration = Duration::from_millis(50);

/// What a queue is told to wait when nothing has been measured yet.
const UNMEASURED_WAIT: Duration = Duration::from_secs(5);

/// Longest wait that is ever advised.
const LONGEST_ADVICE: Duration = Duration::from_secs(600);

/// A place in the queue's count.
struct Place<'a>(&'a FrontendHandle);

/// Tells the queue that a request waits no more, unless it was served.
struct Waits<'a> {
    frontend: &'a FrontendHandle,
    /// Dropped before the queue is told.
    answer: Option<oneshot::Receiver<Result<Pick, NoCandidate>>>,
}

// === impl FrontendHandle ===

impl FrontendHandle {
    /// Requests that wait for a backend.
    pub fn queued(&self) -> u32 {
        self.queued.load(Ordering::Relaxed)
    }

    /// Finds a backend that is not among `tried` and takes a slot of it, waiting for one if need be. `queued` is the time
    /// that the request has waited in all; it counts against `QueueTimeoutMs`.
    pub async fn acquire(&self, query: &Query, tried: &Tried, queued: &mut Duration) -> Result<Pick, Denied> {
        let view = self.view();
        let now = clock::turn();
        // Behind requests whose bells do not hang yet: they came first.
        let others_join = self.joining.load(Ordering::SeqCst) > 0;
        let mut place = if others_join { Place::take(self, view.config.max_queue_length) } else { None };
        if place.is_none() {
            let waiting = match select(&view, query, tried, Claimant::Arriving, Duration::ZERO, now) {
                Selection::Taken(pick) => {
                    self.traffic.waited(Duration::ZERO);
                    return Ok(pick);
                }
                Selection::Nobody(nobody) => return Err(Denied::Nobody(nobody)),
                Selection::Wait(waiting) => waiting,
            };
            place = Place::take(self, view.config.max_queue_length);
            if place.is_none() {
                // Who cannot wait takes what there is, whatever it would rather have.
                return match select(&view, query, tried, Claimant::Arriving, Duration::MAX, now) {
                    Selection::Taken(pick) => Ok(pick),
                    _ => Err(self.full(&waiting)),
                };
            }
        }
        let limit = Duration::from_millis(view.config.queue_timeout_ms.into()).saturating_sub(*queued);
        drop(view);
        let waited = {
            let _clock = Clock { frontend: self, queued, since: now };
            Box::pin(self.wait(query, tried, now, limit)).await
        };
        waited.unwrap_or(Err(Denied::TimedOut { waited: *queued }))
    }

    /// A backend that is free now and not among `tried`.
    pub fn acquire_now(&self, query: &Query, tried: &Tried) -> Option<Pick> {
        let now = Instant::now();
        match select(&self.view(), query, tried, Claimant::Arriving, Duration::ZERO, now) {
            Selection::Taken(pick) => Some(pick),
            Selection::Wait(_) | Selection::Nobody(_) => None,
        }
    }

    /// Waits in the queue; `None` when the time is over.
    async fn wait(
        &self,
        query: &Query,
        tried: &Tried,
        since: Instant,
        limit: Duration,
    ) -> Option<Result<Pick, Denied>> {
        loop {
            let left = limit.saturating_sub(since.elapsed());
            let Some(actor) = self.actor.load_full() else {
                // The frontend was removed.
                return Some(Err(Denied::Nobody(NoCandidate::default())));
            };
            let (reply, answer) = oneshot::channel();
            let mut waits = Waits { frontend: self, answer: Some(answer) };
            let waiter = Waiter::new(query.clone(), tried.clone(), since, reply);
            actor.tell(Join(waiter, Joining::of(&self.joining)));
            drop(actor);
            match timeout(left, waits.answer()).await {
                Ok(Some(served)) => return Some(served.map_err(Denied::Nobody)),
                // The actor died. Its successor knows nothing of those who waited.
                Ok(None) => sleep(REVIVAL.min(limit.saturating_sub(since.elapsed()))).await,
                Err(_) => return None,
            }
        }
    }

    fn full(&self, waiting: &Waiting) -> Denied {
        let limited = |why: &Busy| matches!(why, Busy::RateLimited(_));
        let rate_limited = !waiting.busy.is_empty() && waiting.busy.iter().all(|(_, why)| limited(why));
        let ahead = f64::from(self.queued()) + 1.0;
        let rate: f64 = waiting.busy.iter().filter_map(|(backend, _)| rate(backend, rate_limited)).sum();
        let retry_after = if rate > 0.0 {
            Duration::try_from_secs_f64(ahead / rate).unwrap_or(LONGEST_ADVICE).min(LONGEST_ADVICE)
        } else {
            UNMEASURED_WAIT
        };
        Denied::QueueFull { retry_after, rate_limited }
    }
}

/// Requests per second that a backend takes: by its rate limit, or by its slots and the measured time for which requests
/// hold them.
fn rate(backend: &BackendHandle, rate_limited: bool) -> Option<f64> {
    let config = &backend.view().config;
    if rate_limited {
        return Some(config.rate_limit_requests_threshold.into());
    }
    let service = backend.readings(Instant::now()).service?;
    Some(f64::from(config.max_parallel_requests) / service.as_secs_f64().max(0.001))
}

// === impl Place ===

impl<'a> Place<'a> {
    fn take(frontend: &'a FrontendHandle, limit: u32) -> Option<Self> {
        let below = |queued| (queued < limit).then(|| queued + 1);
        let taken = frontend.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below);
        taken.ok().map(|_| Self(frontend))
    }
}

/// Counts a wait when it is over, be it because the client has left.
struct Clock<'a> {
    frontend: &'a FrontendHandle,
    queued: &'a mut Duration,
    since: Instant,
}

impl Drop for Clock<'_> {
    fn drop(&mut self) {
        let waited = self.since.elapsed();
        *self.queued += waited;
        self.frontend.traffic.waited(waited);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Waits ===

impl Waits<'_> {
    /// What the queue says; `None` when it died.
    async fn answer(&mut self) -> Option<Result<Pick, NoCandidate>> {
        let answer = self.answer.as_mut()?.await.ok();
        self.answer = None;
        answer
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if self.answer.take().is_some()
            && let Some(actor) = &*self.frontend.actor.load()
        {
            actor.tell(Leave);
        }
    }
}
