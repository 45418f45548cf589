//! A bell on one worker thread that rings once, for all who wait for it.
//!
//! Whoever waits is asked again whenever its task is woken, mostly for something else: that costs a look at a flag, and no
//! lock, no allocation and no place in a list of the runtime's.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

use slab::Slab;

/// The bell.
#[derive(Debug, Default)]
pub struct Ring {
    has_rung: Cell<bool>,
    waiting: RefCell<Slab<Waker>>,
}

/// The place of one who waits, to be given back with [`Ring::leave`].
#[derive(Debug, Default)]
pub struct Place {
    key: Option<usize>,
}

// === impl Ring ===

impl Ring {
    /// Whether it has rung.
    pub fn has_rung(&self) -> bool {
        self.has_rung.get()
    }

    /// Wakes all who wait; whoever comes later does not wait.
    pub fn ring(&self) {
        self.has_rung.set(true);
        // Places stay taken until they are given back: only the wakers are used.
        let waiting: Vec<Waker> = self.waiting.borrow().iter().map(|(_, waker)| waker.clone()).collect();
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Ready when it has rung.
    pub fn poll_rung(&self, place: &mut Place, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_rung() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        match place.key.and_then(|key| waiting.get_mut(key)) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => place.key = Some(waiting.insert(cx.waker().clone())),
        }
        Poll::Pending
    }

    /// Waits no longer.
    pub fn leave(&self, place: &mut Place) {
        if let Some(key) = place.key.take() {
            self.waiting.borrow_mut().try_remove(key);
        }
    }

    /// How many wait.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.waiting.borrow().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_given_back_is_used_again() {
        let ring = Ring::default();
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..100 {
            let mut place = Place::default();
            assert!(ring.poll_rung(&mut place, &mut cx).is_pending());
            assert!(ring.poll_rung(&mut place, &mut cx).is_pending());
            assert_eq!(ring.waiting(), 1);
            ring.leave(&mut place);
        }
        assert_eq!(ring.waiting.borrow().capacity(), 4);
        assert_eq!(ring.waiting(), 0);
    }
}
