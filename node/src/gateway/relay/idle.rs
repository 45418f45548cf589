//! The longest silence of a backend in the middle of its answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::rt::time::{Sleep, sleep_until};

/// The longest silence. One timer per answer, moved only when it fires, so that a piece costs no timer work.
pub(super) struct Idle {
    pub(super) limit: Duration,
    /// The last word, or the first wait.
    last: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

// === impl Idle ===

impl Idle {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, last: None, timer: None }
    }

    /// Whether it matters when the backend says something.
    pub(super) fn listens(&self) -> bool {
        self.timer.is_some()
    }

    /// The backend has said something.
    pub(super) fn heard(&mut self, now: Instant) {
        // Nobody has waited before there is a timer: the time counts from the first wait on.
        if self.timer.is_some() {
            self.last = Some(now);
        }
    }

    /// Ready when it has been silent for too long.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let deadline = *self.last.get_or_insert_with(Instant::now) + self.limit;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline.into())));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline.into());
        }
    }
}
