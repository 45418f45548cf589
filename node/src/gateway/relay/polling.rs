//! The server asks for the next piece: where it comes from, and what keeps it from coming.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use ollamaflow_protocol::wire;

use super::super::resume::{Resuming, Verdict};
use super::{Broken, Live, Relay, Step, closing};
use crate::clock;

// === impl Live ===

impl Live {
    /// The backend has said something. One look at the clock is enough for both who want to know when.
    fn heard(&mut self) {
        let idle = self.idle.as_mut().filter(|idle| idle.listens());
        if idle.is_none() && self.gaps.is_none() {
            return;
        }
        let now = clock::turn();
        if let Some(idle) = idle {
            idle.heard(now);
        }
        if let Some(gaps) = &mut self.gaps {
            gaps.piece(now);
        }
    }
}

// === impl Relay ===

impl Relay {
    /// The next step of a stream whose backend is dead.
    fn poll_resuming(&mut self, resuming: &mut Resuming, cx: &mut Context<'_>) -> Poll<Step> {
        if !closing::is_closed() {
            if let Poll::Ready(resumed) = resuming.as_mut().poll(cx) {
                return Poll::Ready(self.resumed(resumed, cx));
            }
            ready!(self.place.poll_closed(cx));
        }
        Poll::Ready(Some(self.fail(Broken::Stopping, Bytes::new(), cx)))
    }

    /// The next step of a stream whose backend lives.
    fn poll_live(&mut self, cx: &mut Context<'_>) -> Step {
        // Before the body is asked: there may be no end to what it has.
        if closing::is_closed() {
            return Some(self.fail(Broken::Stopping, Bytes::new(), cx));
        }
        if let Some(resumable) = &mut self.resumable {
            match resumable.verdict() {
                Verdict::Good => {}
                Verdict::Dead(why) => return self.die(why, cx),
                Verdict::Settled => {
                    self.held.push(resumable.rest());
                    self.resumable = None;
                    return None;
                }
            }
        }
        let Some(live) = &mut self.live else { return Some(Poll::Ready(None)) };
        match live.body.poll_data(cx) {
            Poll::Ready(Some(Ok(bytes))) => {
                live.heard();
                self.pass(bytes).map(|bytes| Poll::Ready(Some(Ok(bytes))))
            }
            Poll::Ready(Some(Err(e))) => self.die(e.into(), cx),
            Poll::Ready(None) => self.end(cx),
            Poll::Pending => {
                if self.place.poll_closed(cx).is_ready() {
                    return Some(self.fail(Broken::Stopping, Bytes::new(), cx));
                }
                let Some(idle) = &mut live.idle else { return Some(Poll::Pending) };
                let limit = idle.limit;
                if idle.poll_expired(cx).is_pending() {
                    return Some(Poll::Pending);
                }
                self.die(Broken::Idle(limit), cx)
            }
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
        loop {
            if this.translation.as_ref().is_some_and(|it| it.ending() == wire::Ending::Failed) {
                // The client has its error frame, and whatever comes behind it is nothing to anyone.
                this.held.clear();
                this.close(this.told_failure());
                return Poll::Ready(None);
            }
            if let Some(bytes) = this.held.pop() {
                match this.pass(bytes) {
                    Some(bytes) => return Poll::Ready(Some(Ok(bytes))),
                    None => continue,
                }
            }
            if let Some(why) = this.cut.take() {
                return Poll::Ready(Some(Err(why)));
            }
            let step = if let Some(mut resuming) = this.resuming.take() {
                match this.poll_resuming(&mut resuming, cx) {
                    Poll::Ready(step) => step,
                    Poll::Pending => {
                        this.resuming = Some(resuming);
                        return Poll::Pending;
                    }
                }
            } else if this.live.is_some() {
                this.poll_live(cx)
            } else {
                return Poll::Ready(None);
            };
            if let Some(poll) = step {
                return poll;
            }
        }
    }
}
