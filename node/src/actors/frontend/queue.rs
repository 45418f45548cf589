//! The queue of a frontend: requests whose backends are all busy, in order of arrival.
//!
//! The actor owns it. A waiter is passed over only while none of its own backends is free, so that a queue for one model
//! does not hold up requests for another. While somebody waits for a backend, the queue's bell hangs there: then freed
//! slots are told to the queue, and requests that have just come do not take them.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::oneshot;

use super::query::{Pick, Query};
use super::select::{NoCandidate, Selection, select};
use super::tried::Tried;
use super::{FrontendActor, FrontendView};
use crate::actors::backend::{BackendHandle, Claimant};
use crate::actors::bell::{Bell, Rung};
use crate::actors::mailbox::Takes;

/// How long the queue goes without looking: for what rings no bell, such as health that returns.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// One request that waits.
pub(super) struct Waiter {
    pub(super) query: Query,
    pub(super) tried: Tried,
    pub(super) since: Instant,
    pub(super) reply: oneshot::Sender<Result<Pick, NoCandidate>>,
    class: u64,
}

/// Puts a request at the end of the queue.
pub(super) struct Join(pub(super) Waiter, pub(super) Joining);

/// Counts a request that is on its way into the queue, until the queue has taken it up or is no more.
pub(super) struct Joining(Arc<AtomicU32>);

/// Some request waits no more.
pub(super) struct Leave;

/// The waiting requests of one frontend.
#[derive(Default)]
pub(super) struct Queue {
    waiters: VecDeque<Waiter>,
    /// Where the bell hangs.
    awaited: Vec<Arc<BackendHandle>>,
    next_look: Option<SpawnHandle>,
}

// === impl Waiter ===

impl Waiter {
    pub(super) fn new(
        query: Query,
        tried: Tried,
        since: Instant,
        reply: oneshot::Sender<Result<Pick, NoCandidate>>,
    ) -> Self {
        let class = query.class(&tried);
        Self { query, tried, since, reply, class }
    }
}

// === impl Joining ===

impl Joining {
    pub(super) fn of(count: &Arc<AtomicU32>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

// === impl Queue ===

impl Queue {
    /// Gives every waiter what it can have, in order. Returns when to look again.
    fn serve(&mut self, view: &FrontendView, bell: &Arc<Bell>) -> Option<Duration> {
        loop {
            bell.listen();
            let now = Instant::now();
            let (awaited, until) = self.pass(view, now);
            // What was freed before the bell hung there rang for nobody: look once more.
            if !self.hang(awaited, bell) {
                let longest = now + LOOK_INTERVAL;
                let next = until.map_or(longest, |until| until.min(longest));
                return (!self.waiters.is_empty()).then(|| next.saturating_duration_since(now));
            }
        }
    }

    /// Puts a request at the end. It takes what nobody waits for; for the rest it waits, without another look at those
    /// before it: the bell tells when that makes sense.
    fn join(&mut self, waiter: Waiter, view: &FrontendView, bell: &Arc<Bell>) {
        loop {
            let now = Instant::now();
            let age = now.saturating_duration_since(waiter.since);
            let waiting = match select(view, &waiter.query, &waiter.tried, Claimant::Arriving, age, now) {
                Selection::Taken(pick) => {
                    drop(waiter.reply.send(Ok(pick)));
                    return;
                }
                Selection::Nobody(nobody) => {
                    drop(waiter.reply.send(Err(nobody)));
                    return;
                }
                Selection::Wait(waiting) => waiting,
            };
            let is_in = |backend: &Arc<BackendHandle>| self.awaited.iter().any(|it| Arc::ptr_eq(it, backend));
            let new: Vec<_> =
                waiting.busy.into_iter().map(|(backend, _)| backend).filter(|it| !is_in(it)).collect();
            if new.is_empty() {
                self.waiters.push_back(waiter);
                return;
            }
            for backend in new {
                backend.hang(bell);
                self.awaited.push(backend);
            }
        }
    }

    /// One walk through the queue: which backends are waited for, and until when at most.
    fn pass(&mut self, view: &FrontendView, now: Instant) -> (Vec<Arc<BackendHandle>>, Option<Instant>) {
        let mut awaited: Vec<Arc<BackendHandle>> = Vec::new();
        let mut until: Option<Instant> = None;
        let mut hopeless: HashSet<u64> = HashSet::new();
        let mut staying = VecDeque::with_capacity(self.waiters.len());
        for waiter in self.waiters.drain(..) {
            if waiter.reply.is_closed() {
                continue;
            }
            if hopeless.contains(&waiter.class) {
                staying.push_back(waiter);
                continue;
            }
            let waited = now.saturating_duration_since(waiter.since);
            match select(view, &waiter.query, &waiter.tried, Claimant::Waiting, waited, now) {
                // A request that has just left gives its slot back by dropping it.
                Selection::Taken(pick) => drop(waiter.reply.send(Ok(pick))),
                Selection::Nobody(nobody) => drop(waiter.reply.send(Err(nobody))),
                Selection::Wait(waiting) => {
                    if waiting.nothing_ready {
                        hopeless.insert(waiter.class);
                    }
                    for (backend, _) in waiting.busy {
                        if !awaited.iter().any(|known| Arc::ptr_eq(known, &backend)) {
                            awaited.push(backend);
                        }
                    }
                    if let Some(then) = waiting.until {
                        until = Some(until.map_or(then, |until| until.min(then)));
                    }
                    staying.push_back(waiter);
                }
            }
        }
        self.waiters = staying;
        (awaited, until)
    }

    /// Hangs the bell at these backends and nowhere else; whether it is new at any of them.
    fn hang(&mut self, awaited: Vec<Arc<BackendHandle>>, bell: &Arc<Bell>) -> bool {
        let is_in = |list: &[Arc<BackendHandle>], backend| list.iter().any(|it| Arc::ptr_eq(it, backend));
        for backend in self.awaited.iter().filter(|backend| !is_in(&awaited, backend)) {
            backend.take_down(bell);
        }
        let mut is_new = false;
        for backend in awaited.iter().filter(|backend| !is_in(&self.awaited, backend)) {
            backend.hang(bell);
            is_new = true;
        }
        self.awaited = awaited;
        is_new
    }

    /// Nobody serves this queue any more: whoever waits is told by the end of its channel.
    pub(super) fn close(&mut self, bell: &Arc<Bell>) {
        self.waiters.clear();
        self.hang(Vec::new(), bell);
    }
}

// === impl FrontendActor ===

impl FrontendActor {
    /// Serves the queue, and sees to it that it is served again.
    pub(super) fn serve_queue(&mut self, ctx: &mut Context<Self>) {
        let Some(bell) = &self.bell else { return };
        let view = self.handle.view.load_full();
        let next = self.queue.serve(&view, bell);
        if let Some(scheduled) = self.queue.next_look.take() {
            ctx.cancel_future(scheduled);
        }
        self.queue.next_look = next.map(|pause| {
            ctx.run_later(pause, |actor, ctx| {
                actor.queue.next_look = None;
                actor.serve_queue(ctx);
            })
        });
    }
}

impl Takes<Join> for FrontendActor {
    fn take(&mut self, Join(waiter, joining): Join, ctx: &mut Context<Self>) {
        if self.queue.waiters.is_empty() {
            self.queue.waiters.push_back(waiter);
            self.serve_queue(ctx);
        } else if let Some(bell) = &self.bell {
            let view = self.handle.view.load_full();
            // The queue looks again within a quarter of a second anyway.
            self.queue.join(waiter, &view, bell);
        }
        // By now its bell hangs wherever it waits.
        drop(joining);
    }
}

impl Takes<Leave> for FrontendActor {
    fn take(&mut self, _: Leave, ctx: &mut Context<Self>) {
        self.queue.waiters.retain(|waiter| !waiter.reply.is_closed());
        if self.queue.waiters.is_empty() {
            self.serve_queue(ctx);
        }
    }
}

impl Takes<Rung> for FrontendActor {
    fn take(&mut self, _: Rung, ctx: &mut Context<Self>) {
        self.serve_queue(ctx);
    }
}
