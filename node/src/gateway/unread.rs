//! What a client has not sent yet of a body that its answer did not wait for.
//!
//! When a body in chunks is dropped, the server reads the rest of it before it closes the connection or takes the
//! next request, without any limit: a client that stalls or never ends would hold its connection for ever. While the
//! body is alive the server closes the connection after the answer, as it does with bodies of known length.
//! Therefore an answer holds what is left of the body in here until it is written.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::HttpRequest;
use actix_web::body::BodySize;
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header;
use bytes::Bytes;
use futures_util::Stream;

/// Keeps a request body alive, if it comes in chunks.
pub(crate) struct Unread {
    _body: Option<Shared>,
}

/// The body as those read it who are to.
struct Reading(Shared);

type Shared = Rc<RefCell<Payload>>;

/// Gives back the body to be read, and what keeps it alive.
pub(crate) fn watch(request: &HttpRequest, payload: Payload) -> (Payload, Unread) {
    if !request.headers().contains_key(header::TRANSFER_ENCODING) {
        return (payload, Unread { _body: None });
    }
    let shared = Rc::new(RefCell::new(payload));
    let reading: Pin<Box<dyn Stream<Item = _>>> = Box::pin(Reading(shared.clone()));
    (reading.into(), Unread { _body: Some(shared) })
}

// === impl Unread ===

impl Unread {
    /// What an answer of this size keeps alive. A stream goes on for long, and meanwhile the server must read what the
    /// client sends, or it would not notice that the client leaves.
    pub(crate) fn under(self, size: BodySize) -> Option<Self> {
        (size != BodySize::Stream).then_some(self)
    }
}

impl Stream for Reading {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(cx)
    }
}
