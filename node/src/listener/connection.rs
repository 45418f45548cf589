//! What gate and handlers know of one connection together: how many requests came, how many were answered.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use actix_web::HttpRequest;

/// One client connection. Belongs to one thread.
#[derive(Debug)]
pub struct Connection {
    is_secure: bool,
    /// Requests whose last byte went to the server.
    delivered: Cell<u64>,
    /// Requests whose answer is complete.
    answered: Cell<u64>,
    reader: RefCell<Option<Waker>>,
}

/// An answer on its way; complete when this is dropped. Rides in the response's body, see [`Keeping`](super::Keeping).
#[derive(Debug)]
pub struct Answer {
    connection: Option<Rc<Connection>>,
}

// === impl Connection ===

impl Connection {
    pub(super) fn new(is_secure: bool) -> Self {
        Self { is_secure, delivered: Cell::default(), answered: Cell::default(), reader: RefCell::default() }
    }

    /// Whether the request came over TLS.
    pub fn is_secure(request: &HttpRequest) -> bool {
        request.conn_data::<Rc<Self>>().is_some_and(|connection| connection.is_secure)
    }

    /// The answer to this request, from now until it is complete.
    pub fn answer(request: &HttpRequest) -> Answer {
        Answer { connection: request.conn_data::<Rc<Self>>().cloned() }
    }

    /// Whether a request is being answered, so that the next one has to wait.
    pub(super) fn is_busy(&self) -> bool {
        self.delivered.get() > self.answered.get()
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
        if let Some(reader) = connection.reader.borrow_mut().take() {
            reader.wake();
        }
    }
}
