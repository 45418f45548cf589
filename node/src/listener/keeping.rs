//! A response body that keeps something alive until it is written or given up.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;

/// `body`, and what lives as long as it does.
#[derive(Debug)]
pub struct Keeping<B, K> {
    body: B,
    _kept: K,
}

// === impl Keeping ===

impl<B, K> Keeping<B, K> {
    /// Drops `kept` with `body`, not before.
    pub fn new(body: B, kept: K) -> Self {
        Self { body, _kept: kept }
    }
}

impl<B: MessageBody + Unpin, K: Unpin> MessageBody for Keeping<B, K> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, B::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}
