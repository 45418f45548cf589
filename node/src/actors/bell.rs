//! How a freed slot is told to the queues that wait for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::prelude::*;

use super::mailbox::{Letter, Waiting};

/// Tells the actor behind a bell that it was rung, once for any number of rings since it last listened.
pub(super) struct Rung;

/// The bell of one queue. Ringing never blocks, and leaves at most one message.
pub(super) struct Bell {
    rung: AtomicBool,
    queue: Recipient<Letter<Rung>>,
    waiting: Waiting,
}

/// The bells of the queues that wait for a slot of one backend.
#[derive(Default)]
pub(super) struct Bells {
    hung: AtomicU32,
    bells: Mutex<VecDeque<Arc<Bell>>>,
}

// === impl Bell ===

impl Bell {
    pub(super) fn new(queue: Recipient<Letter<Rung>>, waiting: &Waiting) -> Arc<Self> {
        Arc::new(Self { rung: AtomicBool::new(false), queue, waiting: waiting.clone() })
    }

    /// Rings; whether it did not ring already.
    pub(super) fn ring(&self) -> bool {
        let is_new = !self.rung.swap(true, Ordering::SeqCst);
        if is_new {
            self.queue.do_send(Letter::new(Rung, &self.waiting));
        }
        is_new
    }

    /// Called before the queue looks for free slots, so that no later ring is missed.
    pub(super) fn listen(&self) {
        self.rung.store(false, Ordering::SeqCst);
    }
}

impl std::fmt::Debug for Bell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bell").field("rung", &self.rung).finish_non_exhaustive()
    }
}

// === impl Bells ===

impl Bells {
    /// Whether any queue waits: then its requests go first.
    pub(super) fn any(&self) -> bool {
        self.hung.load(Ordering::SeqCst) > 0
    }

    /// From now on the bell rings when a slot is freed.
    pub(super) fn hang(&self, bell: &Arc<Bell>) {
        let mut bells = self.locked();
        bells.push_back(bell.clone());
        self.count(&bells);
    }

    /// The queue waits no more.
    pub(super) fn take_down(&self, bell: &Arc<Bell>) {
        let mut bells = self.locked();
        bells.retain(|hung| !Arc::ptr_eq(hung, bell));
        self.count(&bells);
        // What this queue leaves is for the others.
        for bell in bells.iter() {
            bell.ring();
        }
    }

    /// Rings for all queues; another one comes first each time, so that queues share a backend in turns.
    pub(super) fn ring(&self) {
        if !self.any() {
            return;
        }
        let mut bells = self.locked();
        // Each bell is rung, whatever the others say.
        let rung = bells.iter().filter(|bell| bell.ring()).count();
        if rung > 0 {
            bells.rotate_left(1);
        }
    }

    fn count(&self, bells: &VecDeque<Arc<Bell>>) {
        self.hung.store(u32::try_from(bells.len()).unwrap_or(u32::MAX), Ordering::SeqCst);
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<Arc<Bell>>> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Bells {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bells").field("hung", &self.hung).finish_non_exhaustive()
    }
}
