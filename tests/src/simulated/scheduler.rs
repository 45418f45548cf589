//! Stands for the engine's scheduler: which models are in memory, how many requests each serves, who waits.
//!
//! A request asks for a [`Permit`]; dropping it frees the slot. Rules, after Ollama's: a loaded model serves `parallelism`
//! requests at once; others wait in order of arrival; a request whose model has to be loaded when there is no room, or to be
//! reloaded with other options, waits for an idle model to drop, and holds up those behind it; a full queue refuses.
//! A model in use is never dropped; of the idle ones, the one idle for longest. Models are loaded one after the other, and a
//! load is given up when nobody waits for the model any more. There is no timer: a model being loaded, or whose turn to be
//! loaded will come, has its slots taken already, and whoever holds one waits until `ready_at`.

mod memory;
mod prefix;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::prefix::PrefixCache;
use super::knobs::Knobs;
use super::prompt::Prompt;
use super::stats::{Stats, StatsBook};

pub use self::memory::LoadedModel;
pub(super) use self::memory::footprint;

/// How long a model stays loaded when nobody uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeepAlive {
    For(Duration),
    Forever,
}

impl KeepAlive {
    /// Not longer than so many seconds, if there is a limit.
    pub(super) fn at_most(self, seconds: Option<u64>) -> Self {
        match (self, seconds.map(Duration::from_secs)) {
            (Self::For(stay), Some(most)) => Self::For(stay.min(most)),
            (Self::Forever, Some(most)) => Self::For(most),
            (_, None) => self,
        }
    }
}

/// What a request needs.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    /// The canonical name.
    pub model: String,
    pub digest: String,
    /// Bytes in memory, see [`footprint`].
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
    /// 0 for no limit.
    vram_bytes: u64,
    prefixes: usize,
}

#[derive(Debug)]
struct Runner {
    demand: Demand,
    ready_at: Instant,
    active: usize,
    /// When the last slot was freed; meaningful while `active` is 0.
    idle_since: Instant,
    idle_since_wall: Timestamp,
    prefixes: PrefixCache,
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
        let dropped = {
            let mut inner = self.locked();
            let before = inner.runners.len();
            inner.runners.retain(|runner| runner.demand.model != model || runner.active > 0);
            (before - inner.runners.len()) as u64
        };
        self.stats.count(|stats| stats.unloads += dropped);
    }

    /// What is in memory, longest expiry first.
    pub(super) fn loaded(&self) -> Vec<LoadedModel> {
        let mut inner = self.locked();
        self.stats.count(|stats| inner.expire(stats));
        let vram_bytes = inner.limits.vram_bytes;
        let mut loaded: Vec<_> = inner.runners.iter().map(|runner| runner.shown(vram_bytes)).collect();
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
                let is_idle = runner.active == 0;
                let gives_up = is_idle && runner.ready_at > Instant::now();
                if gives_up {
                    self.stats.count(|stats| stats.aborted_loads += 1);
                }
                if gives_up || is_idle && keep_alive == KeepAlive::For(Duration::ZERO) {
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
            if runner.demand.runner == demand.runner && runner.demand.digest == demand.digest {
                return if runner.active < parallelism { Turn::Granted(runner.take()) } else { Turn::Full };
            }
            if runner.active > 0 {
                return Turn::Blocked;
            }
            self.runners.remove(index);
            stats.reloads += 1;
        }
        while !self.has_room_for(demand) {
            let idle = self.runners.iter().enumerate().filter(|(_, runner)| runner.active == 0);
            let Some((oldest, _)) = idle.min_by_key(|(_, runner)| runner.idle_since) else {
                return Turn::Blocked;
            };
            self.runners.remove(oldest);
            stats.evictions += 1;
        }
        stats.loads += 1;
        let mut runner = Runner::load(demand.clone(), self.next_load_start());
        let ready_at = runner.take();
        self.runners.push(runner);
        Turn::Granted(ready_at)
    }

    fn has_room_for(&self, demand: &Demand) -> bool {
        let used =
            self.runners.iter().fold(demand.size, |used, runner| used.saturating_add(runner.demand.size));
        let fits = self.limits.vram_bytes == 0 || used <= self.limits.vram_bytes || self.runners.is_empty();
        fits && self.runners.len() < self.limits.max_loaded.max(1)
    }

    /// When all models are loaded whose loading has been decided.
    fn next_load_start(&self) -> Instant {
        self.runners.iter().map(|runner| runner.ready_at).fold(Instant::now(), Instant::max)
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
            vram_bytes: knobs.vram_bytes,
            prefixes: knobs.prefix_cache_entries,
        }
    }
}

impl Runner {
    fn load(demand: Demand, start: Instant) -> Self {
        Self {
            ready_at: start + demand.load_time,
            demand,
            active: 0,
            idle_since: Instant::now(),
            idle_since_wall: Timestamp::now(),
            prefixes: PrefixCache::default(),
        }
    }

    fn take(&mut self) -> Instant {
        self.active += 1;
        self.ready_at
    }

    fn shown(&self, vram_bytes: u64) -> LoadedModel {
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
            size_vram: if vram_bytes == 0 { self.demand.size } else { self.demand.size.min(vram_bytes) },
            context_length: self.demand.runner.num_ctx,
            expires_at: expires_at.unwrap_or(Timestamp::MAX),
            active: self.active,
        }
    }
}

impl Permit {
    /// Has the model read a prompt, when it is loaded; gives the number of the prompt's first blocks that it knew.
    pub(super) fn read(&self, prompt: &Prompt) -> usize {
        let mut inner = self.scheduler.locked();
        let limit = inner.limits.prefixes;
        let runner = inner.runners.iter_mut().find(|runner| runner.demand.model == self.model);
        let known_blocks = runner.map_or(0, |runner| runner.prefixes.read(&prompt.blocks, limit));
        self.scheduler.stats.count(|stats| {
            stats.prefix_hits += u64::from(known_blocks > 0);
            stats.prompt_tokens += prompt.tokens;
            stats.prompt_tokens_read += prompt.unread_tokens(known_blocks);
        });
        known_blocks
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
