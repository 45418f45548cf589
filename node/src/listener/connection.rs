//! What gate and handlers know of one connection together: how many requests came, how many were answered.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Instant;

use actix_web::HttpRequest;

use crate::clock;

/// One client connection. Belongs to one thread.
#[derive(Debug)]
pub struct Connection {
    is_secure: bool,
    /// Requests whose last byte went to the server.
    delivered: Cell<u64>,
    /// Requests whose answer is complete.
    answered: Cell<u64>,
    /// When the last answer was complete.
    answered_at: Cell<Option<Instant>>,
    /// Who waits for the gate, if anything is held behind it.
    reader: RefCell<Option<Waker>>,
    /// Whether a handler waits for what the server is about to pass on.
    passing: Cell<bool>,
}

/// An answer on its way; complete when this is dropped. Rides in the response's body, see [`Keeping`](super::Keeping).
#[derive(Debug)]
pub struct Answer {
    connection: Option<Rc<Connection>>,
}

// === impl Connection ===

impl Connection {
    pub(super) fn new(is_secure: bool) -> Self {
        Self {
            is_secure,
            delivered: Cell::default(),
            answered: Cell::default(),
            answered_at: Cell::default(),
            reader: RefCell::default(),
            passing: Cell::default(),
        }
    }

    /// Whether the request came over TLS.
    pub fn is_secure(request: &HttpRequest) -> bool {
        request.conn_data::<Rc<Self>>().is_some_and(|connection| connection.is_secure)
    }

    /// The answer to this request, from now until it is complete.
    pub fn answer(request: &HttpRequest) -> Answer {
        Answer { connection: request.conn_data::<Rc<Self>>().cloned() }
    }

    /// Ready when the server has passed on what it has read of a request's body.
    ///
    /// The server asks a handler before it passes the body on, and once more behind that. Whoever waits for the body itself
    /// meanwhile is woken by it, and the server goes through everything again for nothing.
    pub async fn passed_on(request: &HttpRequest) {
        if let Some(connection) = request.conn_data::<Rc<Self>>() {
            connection.asked_again().await;
        }
    }

    async fn asked_again(&self) {
        let mut was_asked = false;
        poll_fn(|_| {
            let is_asked_again = std::mem::replace(&mut was_asked, true);
            self.passing.set(!is_asked_again);
            if is_asked_again { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Whether a handler that waits for what the server passes on was not asked again: it has to be woken then.
    pub(super) fn is_left_waiting(&self) -> bool {
        self.passing.take()
    }

    /// Whether a request is being answered, so that the next one has to wait.
    pub(super) fn is_busy(&self) -> bool {
        self.delivered.get() > self.answered.get()
    }

    /// Since when nothing is being answered; none before the first answer, and while there is a request.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.answered_at.get().filter(|_| !self.is_busy())
    }

    pub(super) fn request_delivered(&self) {
        self.delivered.set(self.delivered.get() + 1);
    }

    /// Who is to be woken when the gate opens.
    pub(super) fn wake_later(&self, waker: &Waker) {
        let mut reader = self.reader.borrow_mut();
        if !reader.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *reader = Some(waker.clone());
        }
    }
}

// === impl Answer ===

impl Drop for Answer {
    fn drop(&mut self) {
        let Some(connection) = &self.connection else { return };
        connection.answered.set(connection.answered.get() + 1);
        connection.answered_at.set(Some(clock::turn()));
        if let Some(reader) = connection.reader.borrow_mut().take() {
            reader.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Context;

    use super::*;

    #[test]
    fn a_handler_that_is_not_asked_again_is_left_waiting() {
        let connection = Connection::new(false);
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(!connection.is_left_waiting());
        let mut waiting = pin!(connection.asked_again());
        assert!(waiting.as_mut().poll(cx).is_pending());
        assert!(connection.is_left_waiting(), "the server has not come back to it");
        assert!(!connection.is_left_waiting(), "it is woken once");
        assert!(waiting.as_mut().poll(cx).is_ready());

        let mut waiting = pin!(connection.asked_again());
        assert!(waiting.as_mut().poll(cx).is_pending());
        assert!(waiting.as_mut().poll(cx).is_ready());
        assert!(!connection.is_left_waiting(), "it has gone on");
    }
}
