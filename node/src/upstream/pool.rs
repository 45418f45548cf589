//! Idle connections of one worker, by target: last in, first out, bounded, swept.
//!
//! In go connections whose exchange ended cleanly; out come those that are still open and silent. One task per pool
//! closes what stayed idle too long or was closed by its server; it holds the pool weakly, sleeps while the pool is
//! empty, and ends with it.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::io::Io;
use crate::clock;

/// Idle connections, keyed by the target's id.
#[derive(Debug)]
pub(super) struct Pool {
    /// Oldest first. Only the sweeper removes entries, so a busy target keeps its queue. There are few targets: finding one
    /// takes less time than a hash would.
    idle: RefCell<BTreeMap<u64, VecDeque<Idle>>>,
    idle_timeout: Duration,
    max_idle_per_target: usize,
    /// Told when the first connection comes in.
    filled: Rc<Notify>,
}

/// The task that closes connections past the idle timeout; dropping this ends it.
#[derive(Debug)]
pub(super) struct Sweeper(JoinHandle<()>);

#[derive(Debug)]
struct Idle {
    io: Io,
    since: Instant,
}

/// What a sweep left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Swept {
    Empty,
    Filled,
}

impl Pool {
    pub(super) fn new(idle_timeout: Duration, max_idle_per_target: usize) -> Rc<Self> {
        let filled = Rc::new(Notify::new());
        Rc::new(Self { idle: RefCell::default(), idle_timeout, max_idle_per_target, filled })
    }

    /// The connection that was used last, if it is still good; bad ones in front of it are closed.
    pub(super) fn take(&self, target: u64) -> Option<Io> {
        let mut pool = self.idle.borrow_mut();
        let queue = pool.get_mut(&target)?;
        let now = clock::turn();
        while let Some(mut idle) = queue.pop_back() {
            if now.duration_since(idle.since) >= self.idle_timeout {
                // All others are older still.
                queue.clear();
                return None;
            }
            if idle.io.is_quiet() {
                return Some(idle.io);
            }
        }
        None
    }

    /// Keeps a connection for the next request; over the bound the oldest one of its target is closed.
    pub(super) fn put(&self, target: u64, io: Io) {
        if self.max_idle_per_target == 0 {
            return;
        }
        let mut pool = self.idle.borrow_mut();
        if pool.is_empty() {
            self.filled.notify_one();
        }
        let queue = pool.entry(target).or_default();
        if queue.len() >= self.max_idle_per_target {
            queue.pop_front();
        }
        queue.push_back(Idle { io, since: clock::turn() });
    }

    /// Idle connections of all targets.
    pub(super) fn len(&self) -> usize {
        self.idle.borrow().values().map(VecDeque::len).sum()
    }

    /// Closes what is too old or was closed by the peer. Returns whether anything is left to come back for.
    fn sweep(&self) -> Swept {
        let mut pool = self.idle.borrow_mut();
        let now = Instant::now();
        pool.retain(|_, queue| {
            queue.retain_mut(|idle| now.duration_since(idle.since) < self.idle_timeout && idle.io.is_quiet());
            !queue.is_empty()
        });
        if pool.is_empty() { Swept::Empty } else { Swept::Filled }
    }
}

impl Sweeper {
    /// Starts sweeping `pool`.
    ///
    /// # Panics
    /// Outside of a `LocalSet`.
    pub(super) fn start(pool: &Rc<Pool>) -> Self {
        // A quarter of the timeout late is early enough.
        let interval = pool.idle_timeout / 4;
        Self(tokio::task::spawn_local(run(Rc::downgrade(pool), Rc::clone(&pool.filled), interval)))
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(pool: Weak<Pool>, filled: Rc<Notify>, interval: Duration) {
    loop {
        filled.notified().await;
        let mut swept = Swept::Filled;
        while swept == Swept::Filled {
            sleep(interval).await;
            let Some(pool) = pool.upgrade() else { return };
            swept = pool.sweep();
        }
    }
}
