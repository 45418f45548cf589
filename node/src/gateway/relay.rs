//! The answer's bytes on their way to the client: unchanged, each piece as it comes, no more than the client takes.
//!
//! The body is polled by the server only while there is room to write, so a slow reader slows the backend and not
//! this node's memory. Dropping it closes the upstream connection: that is how a client's departure ends the
//! generation it asked for.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody};
use actix_web::rt::time::{Instant, Sleep, sleep_until};
use bytes::Bytes;
use ollamaflow_protocol::wire::{Ending, StreamFormat, StreamWatch, error_frame};

use super::attempt::Answer;
use crate::actors::{Lease, Outcome};
use crate::upstream::{BodyError, BodyKind, ResponseBody};

/// The next piece of an upstream body.
pub(super) async fn next(body: &mut ResponseBody) -> Option<Result<Bytes, BodyError>> {
    poll_fn(|cx| body.poll_data(cx)).await
}

/// A response body that relays an upstream's.
pub(super) struct Relay {
    size: BodySize,
    /// `None` once the answer has ended, however: then the upstream connection is free or closed.
    live: Option<Live>,
    first: Option<Bytes>,
    /// Present for streams with a known end marker.
    watch: Option<StreamWatch>,
    /// Why the connection is to be cut at the next poll.
    cut: Option<Broken>,
}

struct Live {
    body: ResponseBody,
    lease: Lease,
    idle: Option<Idle>,
}

/// The longest silence. One timer per answer, moved only when it fires, so that a piece costs no timer work.
struct Idle {
    limit: Duration,
    last: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Why an answer broke off after its head was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the backend's answer broke off: {0}")]
    Body(#[from] BodyError),
    #[error("the backend fell silent for {0:?}")]
    Idle(Duration),
    #[error("the backend ended the stream before it was complete")]
    NoEndMarker,
}

// === impl Relay ===

impl Relay {
    /// `format` is the stream's, if its end marker is known and its bytes are readable.
    pub(super) fn new(answer: Answer, format: Option<StreamFormat>) -> Self {
        let size = match answer.response.body.kind() {
            BodyKind::Empty => BodySize::None,
            BodyKind::Sized(length) => BodySize::Sized(length),
            BodyKind::Chunked | BodyKind::UntilClose => BodySize::Stream,
        };
        let idle = answer.idle.map(|limit| Idle { limit, last: Instant::now(), timer: None });
        let mut live = Live { body: answer.response.body, lease: answer.lease, idle };
        let live = if size.is_eof() {
            live.lease.finish(Outcome::Complete);
            None
        } else {
            Some(live)
        };
        Self { size, live, first: answer.first, watch: format.map(StreamWatch::new), cut: None }
    }

    /// The upstream said that this is the end.
    fn end(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        match self.watch.as_ref().map(StreamWatch::ending) {
            Some(Ending::Missing) => return self.fail(Broken::NoEndMarker, cx),
            Some(Ending::Failed) => self.close(Outcome::Failed),
            Some(Ending::Complete) | None => self.close(Outcome::Complete),
        }
        Poll::Ready(None)
    }

    /// The answer broke: a stream gets a last frame that says so; anything else is cut, which no client takes
    /// for a whole answer.
    fn fail(&mut self, why: Broken, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let watch = self.watch.take().filter(|_| self.size == BodySize::Stream);
        let ending = watch.as_ref().map(StreamWatch::ending);
        if ending == Some(Ending::Complete) {
            // The end marker was there; what failed is only the connection.
            self.close(Outcome::Complete);
            return Poll::Ready(None);
        }
        if let Some(live) = &self.live {
            tracing::warn!(backend = %live.lease.backend().id(), reason = %why, "answer broke off");
        }
        self.close(Outcome::Failed);
        match watch {
            Some(_) if ending == Some(Ending::Failed) => Poll::Ready(None),
            Some(watch) => {
                let frame = format!("{}{}", watch.separator(), error_frame(watch.format(), &why.to_string()));
                Poll::Ready(Some(Ok(Bytes::from(frame))))
            }
            None => {
                // The server forgets what it has not written when a body fails, be it the whole head: let it write.
                self.cut = Some(why);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn close(&mut self, outcome: Outcome) {
        if let Some(mut live) = self.live.take() {
            live.lease.finish(outcome);
        }
    }
}

impl MessageBody for Relay {
    type Error = Broken;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let this = &mut *self;
        if let Some(first) = this.first.take() {
            if let Some(watch) = &mut this.watch {
                watch.push(&first);
            }
            return Poll::Ready(Some(Ok(first)));
        }
        if let Some(why) = this.cut.take() {
            return Poll::Ready(Some(Err(why)));
        }
        let Some(live) = &mut this.live else { return Poll::Ready(None) };
        match live.body.poll_data(cx) {
            Poll::Ready(Some(Ok(bytes))) => {
                if let Some(idle) = &mut live.idle {
                    idle.last = Instant::now();
                }
                if let Some(watch) = &mut this.watch {
                    watch.push(&bytes);
                }
                Poll::Ready(Some(Ok(bytes)))
            }
            Poll::Ready(Some(Err(e))) => this.fail(e.into(), cx),
            Poll::Ready(None) => this.end(cx),
            Poll::Pending => {
                let Some(idle) = &mut live.idle else { return Poll::Pending };
                let limit = idle.limit;
                ready!(idle.poll_expired(cx));
                this.fail(Broken::Idle(limit), cx)
            }
        }
    }
}

// === impl Idle ===

impl Idle {
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let deadline = self.last + self.limit;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}
