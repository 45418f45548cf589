//! Stands for the engine's scheduler: which models are in memory, how many requests each serves, who waits.
//!
//! A request asks for a [`Permit`]; dropping it frees the slot. Rules, after Ollama's: a loaded model serves `parallelism`
//! requests at once; others wait in order of arrival; a request whose model has to be loaded when there is no room, or to be
//! reloaded with other options, waits for an idle model to drop, and holds up those behind it; a full queue refuses. There
//! is no timer: a model being loaded has its slots taken already, and whoever holds one waits until `ready_at`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::knobs::Knobs;
use super::stats::{Stats, StatsBook};

/// How long a model stays loaded when nobody uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeepAlive {
    For(Duration),
    Forever,
}

/// What a request needs.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    /// The canonical name.
    pub model: String,
    pub digest: String,
    pub size: u64,
    pub runner: RunnerOptions,
    pub load_time: Duration,
    pub keep_alive: KeepAlive,
}

/// The options which belong to a loaded model: a request with others has it loaded anew.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RunnerOptions {
    pub num_ctx: u64,
    /// The other options of a runner, in a fixed order.
    pub others: Vec<serde_json::Value>,
}

/// A model in memory, as `/api/ps` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedModel {
    /// The canonical name.
    pub name: String,
    /// 64 hex digits.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// Tokens of its context.
    pub context_length: u64,
    /// When it will be dropped if nobody uses it.
    pub expires_at: Timestamp,
    /// Requests which hold a slot.
    pub active: usize,
}

/// The queue is full.
#[derive(Debug)]
pub(super) struct Busy;

/// The right to one slot of a loaded model.
#[derive(Debug)]
pub(super) struct Permit {
    scheduler: Arc<Scheduler>,
    model: String,
    keep_alive: KeepAlive,
    /// When the model's loading is over.
    pub ready_at: Instant,
}

/// The scheduler.
#[derive(Debug)]
pub(super) struct Scheduler {
    inner: Mutex<Inner>,
    stats: StatsBook,
}

#[derive(Debug)]
struct Inner {
    limits: Limits,
    runners: Vec<Runner>,
    waiters: VecDeque<Waiter>,
    last_waiter: u64,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    parallelism: usize,
    max_queue: usize,
    max_loaded: usize,
}

#[derive(Debug)]
struct Runner {
    demand: Demand,
    ready_at: Instant,
    active: usize,
    /// When the last slot was freed; meaningful while `active` is 0.
    idle_since: Instant,
    idle_since_wall: Timestamp,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    demand: Demand,
    grant: oneshot::Sender<Permit>,
}

/// What can be done for the request at the head of the queue.
enum Turn {
    /// It has its slot: the model is ready at this instant.
    Granted(Instant),
    /// Its model is loaded and full: only requests for the same model have to wait behind it.
    Full,
    /// It waits for memory: all behind it wait too.
    Blocked,
}

impl Scheduler {
    pub(super) fn new(knobs: &Knobs, stats: StatsBook) -> Arc<Self> {
        let limits = Limits::of(knobs);
        let inner = Inner { limits, runners: Vec::new(), waiters: VecDeque::new(), last_waiter: 0 };
        Arc::new(Self { inner: Mutex::new(inner), stats })
    }

    /// Applies changed limits; requests which now fit go on.
    pub(super) fn set_limits(self: &Arc<Self>, knobs: &Knobs) {
        self.locked().limits = Limits::of(knobs);
        self.dispatch();
    }

    /// Drops all idle models.
    pub(super) fn clear(&self) {
        self.locked().runners.retain(|runner| runner.active > 0);
    }

    /// Drops a model unless requests use it; those keep it for their time.
    pub(super) fn unload(&self, model: &str) {
        self.locked().runners.retain(|runner| runner.demand.model != model || runner.active > 0);
    }

    /// What is in memory, longest expiry first.
    pub(super) fn loaded(&self) -> Vec<LoadedModel> {
        let mut inner = self.locked();
        self.stats.count(|stats| inner.expire(stats));
        let mut loaded: Vec<_> = inner.runners.iter().map(Runner::shown).collect();
        loaded.sort_by_key(|model| std::cmp::Reverse(model.expires_at));
        loaded
    }

    /// Waits for a slot. Dropping the future leaves the queue.
    pub(super) async fn acquire(self: &Arc<Self>, demand: Demand) -> Result<Permit, Busy> {
        let (grant, granted) = oneshot::channel();
        let place = self.enqueue(demand, grant);
        let over = {
            let inner = self.locked();
            inner.waiters.len() > inner.limits.max_queue
                && inner.waiters.iter().any(|waiter| waiter.id == place.id)
        };
        if over { Err(Busy) } else { granted.await.map_err(|_| Busy) }
    }

    fn enqueue(self: &Arc<Self>, demand: Demand, grant: oneshot::Sender<Permit>) -> Place {
        let id = {
            let mut inner = self.locked();
            inner.last_waiter += 1;
            let id = inner.last_waiter;
            inner.waiters.push_back(Waiter { id, demand, grant });
            id
        };
        self.dispatch();
        Place { scheduler: Arc::clone(self), id }
    }

    /// Gives slots to whoever can have one. Grants are sent after the lock is released: a refused grant frees its slot.
    fn dispatch(self: &Arc<Self>) {
        let mut grants = Vec::new();
        {
            let mut inner = self.locked();
            self.stats.count(|stats| {
                inner.expire(stats);
                inner.serve_queue(stats, |waiter, ready_at| grants.push((waiter, ready_at)));
                inner.show(stats);
            });
        }
        for (waiter, ready_at) in grants {
            let Waiter { demand, grant, .. } = waiter;
            let scheduler = Arc::clone(self);
            let permit = Permit { scheduler, model: demand.model, keep_alive: demand.keep_alive, ready_at };
            drop(grant.send(permit));
        }
    }

    fn release(self: &Arc<Self>, model: &str, keep_alive: KeepAlive) {
        {
            let mut inner = self.locked();
            if let Some(index) = inner.runners.iter().position(|runner| runner.demand.model == model) {
                let runner = &mut inner.runners[index];
                runner.active = runner.active.saturating_sub(1);
                runner.idle_since = Instant::now();
                runner.idle_since_wall = Timestamp::now();
                runner.demand.keep_alive = keep_alive;
                if runner.active == 0 && keep_alive == KeepAlive::For(Duration::ZERO) {
                    inner.runners.remove(index);
                }
            }
        }
        self.dispatch();
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Walks the queue in order of arrival.
    fn serve_queue(&mut self, stats: &mut Stats, mut grant: impl FnMut(Waiter, Instant)) {
        let mut left = VecDeque::new();
        let mut blocked = false;
        while let Some(waiter) = self.waiters.pop_front() {
            let turn = if blocked { Turn::Blocked } else { self.turn(&waiter.demand, stats) };
            match turn {
                Turn::Granted(ready_at) => grant(waiter, ready_at),
                Turn::Full => left.push_back(waiter),
                Turn::Blocked => {
                    blocked = true;
                    left.push_back(waiter);
                }
            }
        }
        self.waiters = left;
    }

    fn turn(&mut self, demand: &Demand, stats: &mut Stats) -> Turn {
        let parallelism = self.limits.parallelism.max(1);
        if let Some(index) = self.runners.iter().position(|runner| runner.demand.model == demand.model) {
            let runner = &mut self.runners[index];
            if runner.demand.runner == demand.runner {
                return if runner.active < parallelism { Turn::Granted(runner.take()) } else { Turn::Full };
            }
            if runner.active > 0 {
                return Turn::Blocked;
            }
            self.runners.remove(index);
            stats.reloads += 1;
        }
        while self.runners.len() >= self.limits.max_loaded.max(1) {
            let idle = self.runners.iter().enumerate().filter(|(_, runner)| runner.active == 0);
            let Some((oldest, _)) = idle.min_by_key(|(_, runner)| runner.idle_since) else {
                return Turn::Blocked;
            };
            self.runners.remove(oldest);
            stats.evictions += 1;
        }
        stats.loads += 1;
        let mut runner = Runner::load(demand.clone());
        let ready_at = runner.take();
        self.runners.push(runner);
        Turn::Granted(ready_at)
    }

    /// Drops models whose time is over.
    fn expire(&mut self, stats: &mut Stats) {
        let before = self.runners.len();
        self.runners.retain(|runner| match runner.demand.keep_alive {
            KeepAlive::For(stay) => runner.active > 0 || runner.idle_since.elapsed() < stay,
            KeepAlive::Forever => true,
        });
        stats.expirations += (before - self.runners.len()) as u64;
    }

    fn show(&self, stats: &mut Stats) {
        stats.running = self.runners.iter().map(|runner| runner.active as u64).sum();
        stats.running_max = stats.running_max.max(stats.running);
        stats.waiting = self.waiters.len() as u64;
    }
}

impl Limits {
    fn of(knobs: &Knobs) -> Self {
        Self {
            parallelism: knobs.parallelism,
            max_queue: knobs.max_queue,
            max_loaded: knobs.max_loaded_models,
        }
    }
}

impl Runner {
    fn load(demand: Demand) -> Self {
        let now = Instant::now();
        let ready_at = now + demand.load_time;
        Self { demand, ready_at, active: 0, idle_since: now, idle_since_wall: Timestamp::now() }
    }

    fn take(&mut self) -> Instant {
        self.active += 1;
        self.ready_at
    }

    fn shown(&self) -> LoadedModel {
        let from = if self.active > 0 { Timestamp::now() } else { self.idle_since_wall };
        let stay = match self.demand.keep_alive {
            KeepAlive::For(stay) => SignedDuration::try_from(stay).ok(),
            KeepAlive::Forever => None,
        };
        let expires_at = stay.and_then(|stay| from.checked_add(stay).ok());
        LoadedModel {
            name: self.demand.model.clone(),
            digest: self.demand.digest.clone(),
            size: self.demand.size,
            context_length: self.demand.runner.num_ctx,
            expires_at: expires_at.unwrap_or(Timestamp::MAX),
            active: self.active,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.scheduler.release(&self.model, self.keep_alive);
    }
}

/// A place in the queue, given up when the request goes away.
#[derive(Debug)]
struct Place {
    scheduler: Arc<Scheduler>,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let left = {
            let mut inner = self.scheduler.locked();
            let before = inner.waiters.len();
            inner.waiters.retain(|waiter| waiter.id != self.id);
            inner.waiters.len() < before
        };
        if left {
            self.scheduler.dispatch();
        }
    }
}
