//! The answer's bytes on their way to the client: unchanged, each piece as it comes, no more than the client takes.
//!
//! The body is polled by the server only while there is room to write, so a slow reader slows the backend and not
//! this node's memory. Dropping it closes the upstream connection: that is how a client's departure ends the
//! generation it asked for.

mod broken;
mod idle;
mod polling;

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Instant;

use actix_web::body::BodySize;
use bytes::Bytes;
use ollamaflow_protocol::end::End;
use ollamaflow_protocol::models::alias::Echo;
use ollamaflow_protocol::translate;
use ollamaflow_protocol::wire::fault::{self, Fault};
use ollamaflow_protocol::wire::{self, StreamFormat, StreamWatch, Usage, UsageWatch, error_frame};

pub(super) use self::broken::Broken;
use self::idle::Idle;
use super::answer::{AnswerBody, Held, Live as Arriving};
use super::closing::{self, Place};
use super::resume::{Resumable, Resumed, Resuming};
use super::tally::Counted;
use crate::actors::{Gaps, Outcome, Permit};
use crate::clock;
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
    /// Read ahead, the next piece last.
    held: Held,
    /// Present for streams with a known end marker.
    watch: Option<StreamWatch>,
    /// Present for answers that are no streams and tell what they cost.
    bill: Option<UsageWatch>,
    /// Present for streams that another backend may continue.
    resumable: Option<Box<Resumable>>,
    /// The search for that backend.
    resuming: Option<Resuming>,
    /// Present for streams in another API than the client's. What the client gets comes out of it, at the very end.
    translation: Option<Box<translate::Answer>>,
    /// Present where the client knows the model by another name than the backend, and for nothing else. It sees what the
    /// client gets, behind all others.
    echo: Option<Box<Echo>>,
    ending: Ending,
    /// Whether it is text as it is made, so that pauses are counted.
    is_generation: bool,
    /// The last piece of a watched stream, which has the words of an error that ends it.
    last: Bytes,
    /// Why the connection is to be cut at the next poll.
    cut: Option<Broken>,
    /// Where this is woken when the node ends what is in flight.
    place: Place,
}

/// What is done with a stream on its way.
pub(super) struct Streaming {
    /// The backend's format, if its end marker is known and its bytes are readable.
    pub(super) format: Option<StreamFormat>,
    /// Counts the tokens of an answer that is no stream, if its bytes are readable.
    pub(super) bill: Option<UsageWatch>,
    pub(super) translation: Option<Box<translate::Answer>>,
    /// Puts the client's name of the model into an answer that is not translated.
    pub(super) echo: Option<Box<Echo>>,
    pub(super) resumable: Option<Box<Resumable>>,
}

struct Live {
    body: ResponseBody,
    permit: Permit,
    idle: Option<Idle>,
    /// Present where each piece is some tokens.
    gaps: Option<Gaps>,
}

/// What a poll gives, if anything; else it goes on.
type Step = Option<Poll<Option<Result<Bytes, Broken>>>>;

/// What is counted at the end of an answer.
pub(super) struct Ending {
    pub(super) counted: Option<Counted>,
    /// What it is counted as if the client gets all of it.
    pub(super) whole: End,
    /// The tokens, if they are known beforehand.
    pub(super) usage: Option<Usage>,
}

// === impl Relay ===

impl Relay {
    /// `first` is when its first content came, if it is text as it is made.
    pub(super) fn new(
        answer: AnswerBody,
        streaming: Streaming,
        ending: Ending,
        first: Option<Instant>,
    ) -> Self {
        let Streaming { format, bill, translation, echo, resumable } = streaming;
        let watch = format.map(StreamWatch::new);
        let (resuming, cut, place) = (None, None, Place::default());
        let size = BodySize::None;
        let held = Held::new();
        let last = Bytes::new();
        let live = None;
        let mut relay = Self {
            size,
            live,
            held,
            watch,
            bill,
            resumable,
            resuming,
            translation,
            echo,
            ending,
            is_generation: first.is_some(),
            last,
            cut,
            place,
        };
        match answer {
            AnswerBody::Live(arriving) => {
                relay.size = match arriving.rest.kind() {
                    BodyKind::Empty => BodySize::None,
                    // Its length is that of other bytes.
                    _ if relay.translation.is_some() || relay.echo.is_some() => BodySize::Stream,
                    BodyKind::Sized(length) => BodySize::Sized(length),
                    BodyKind::Chunked | BodyKind::UntilClose => BodySize::Stream,
                };
                relay.take(arriving, first);
                if relay.size.is_eof() {
                    relay.close(Outcome::Complete);
                }
            }
            AnswerBody::Whole(body) => {
                relay.size = BodySize::Sized(body.len() as u64);
                relay.held.push(body);
                relay.close(Outcome::Complete);
            }
        }
        relay
    }

    /// This is what comes next.
    fn take(&mut self, Arriving { mut held, rest, permit, idle }: Arriving, first: Option<Instant>) {
        held.reverse();
        self.held = held;
        let idle = idle.map(Idle::new);
        let gaps = first.map(|first| Gaps::since(first, permit.backend()));
        self.live = Some(Live { body: rest, permit, idle, gaps });
    }

    /// A piece of the answer; returns what of it the client gets now.
    fn pass(&mut self, mut bytes: Bytes) -> Option<Bytes> {
        if let Some(resumable) = &mut self.resumable {
            bytes = resumable.pass(bytes);
            if resumable.is_done_with() {
                self.resumable = None;
            }
        }
        self.told(bytes)
    }

    /// The client gets this, if it is anything: the server takes an empty piece for the end.
    fn told(&mut self, bytes: Bytes) -> Option<Bytes> {
        if let Some(watch) = &mut self.watch {
            watch.push(&bytes);
            self.last = bytes.clone();
        } else if let Some(bill) = &mut self.bill {
            match self.size {
                BodySize::Sized(length) if length == bytes.len() as u64 => bill.push_whole(&bytes),
                _ => bill.push(&bytes),
            }
        }
        let bytes = match &mut self.translation {
            Some(translation) => written(|out| translation.push(&bytes, clock::now(), out)),
            None => bytes,
        };
        let bytes = match &mut self.echo {
            Some(echo) => echo.push(bytes),
            None => bytes,
        };
        (!bytes.is_empty()).then_some(bytes)
    }

    /// The upstream said that this is the end.
    fn end(&mut self, cx: &mut Context<'_>) -> Step {
        let last = self.resumable.as_mut().map(|resumable| resumable.finish());
        if let Some(last) = last.and_then(|last| self.told(last)) {
            return Some(Poll::Ready(Some(Ok(last))));
        }
        if self.translation.is_some() {
            return self.end_translated(cx);
        }
        match self.watch.as_ref().map(StreamWatch::ending) {
            Some(wire::Ending::Missing) => return self.die(Broken::NoEndMarker, cx),
            Some(wire::Ending::Failed) => self.close(self.told_failure()),
            Some(wire::Ending::Complete) | None => self.close(Outcome::Complete),
        }
        Some(Poll::Ready(None))
    }

    /// The same for a stream in another API: its own end is what counts, which may be there without the marker.
    fn end_translated(&mut self, cx: &mut Context<'_>) -> Step {
        let translation = self.translation.as_mut()?;
        let is_cut = self.watch.as_ref().is_some_and(|watch| watch.ending() == wire::Ending::Missing);
        if is_cut
            && translation.ending() == wire::Ending::Missing
            && self.resumable.as_ref().is_some_and(|resumable| resumable.can_go_on())
        {
            return self.die(Broken::NoEndMarker, cx);
        }
        let last = written(|out| translation.finish(clock::now(), out));
        let outcome = match translation.ending() {
            wire::Ending::Complete => Outcome::Complete,
            _ if is_cut => Outcome::Failed,
            _ => self.told_failure(),
        };
        self.close(outcome);
        Some(Poll::Ready((!last.is_empty()).then_some(Ok(last))))
    }

    /// Whose failure the error frame tells of with which the backend ended its stream: a model that cannot be pulled, or an
    /// answer that cannot be parsed, is none of its own.
    fn told_failure(&self) -> Outcome {
        let is_progress = self.watch.as_ref().is_some_and(|it| it.format() == StreamFormat::OllamaProgress);
        let words = String::from_utf8_lossy(&self.last);
        if !is_progress && fault::of_message(&words) == Fault::Backend {
            Outcome::Failed
        } else {
            Outcome::Declined
        }
    }

    /// The backend's stream is dead: another one is asked to go on, if it can be.
    fn die(&mut self, why: Broken, cx: &mut Context<'_>) -> Step {
        let Some(mut resumable) = self.resumable.take() else {
            return Some(self.fail(why, Bytes::new(), cx));
        };
        let rest = resumable.rest();
        let mut watch = self.watch.clone();
        if let Some(watch) = &mut watch {
            watch.push(&rest);
        }
        let is_whole = watch.is_some_and(|watch| watch.ending() == wire::Ending::Complete);
        if is_whole && !rest.is_empty() {
            // Only the end of its last frame is missing.
            self.held.push(rest);
            return None;
        }
        if is_whole || !resumable.can_go_on() {
            return Some(self.fail(why, rest, cx));
        }
        if let Some(mut live) = self.live.take() {
            let backend = live.permit.backend().id();
            tracing::warn!(%backend, reason = %why, "answer broke off; another backend is asked to go on");
            live.permit.finish(why.outcome());
        }
        self.resuming = Some(resumable.go_on(why, rest));
        None
    }

    /// The search for a backend that goes on is over.
    fn resumed(&mut self, resumed: Resumed, cx: &mut Context<'_>) -> Step {
        let Resumed { resumable, next, why, rest } = resumed;
        let Some(next) = next else { return Some(self.fail(why, rest, cx)) };
        self.resumable = Some(resumable);
        if let Some(counted) = &mut self.ending.counted {
            counted.resumed(next.permit.backend());
        }
        self.take(next, self.is_generation.then(Instant::now));
        None
    }

    /// The answer broke: a stream gets a last frame that says so; anything else is cut, which no client takes
    /// for a whole answer. `rest` was held back and comes before.
    fn fail(
        &mut self,
        why: Broken,
        rest: Bytes,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Broken>>> {
        self.resumable = None;
        let rest = self.told(rest);
        let usage = self.usage();
        let watch = self.watch.take().filter(|_| self.size == BodySize::Stream);
        self.ending.usage = self.ending.usage.or(usage);
        let ending = watch.as_ref().map(StreamWatch::ending);
        if ending == Some(wire::Ending::Complete) {
            // The end marker was there; what failed is only the connection.
            self.close(Outcome::Complete);
            return Poll::Ready(rest.map(Ok));
        }
        if let Some(live) = &self.live {
            tracing::warn!(backend = %live.permit.backend().id(), reason = %why, "answer broke off");
        }
        if let Some(counted) = &self.ending.counted {
            counted.broke(why.label());
        }
        if let Some(mut translation) = self.translation.take() {
            let last = written(|out| {
                out.extend_from_slice(rest.as_deref().unwrap_or_default());
                translation.fail(&why.to_string(), out);
            });
            let is_whole = translation.ending() == wire::Ending::Complete;
            self.close(if is_whole { Outcome::Complete } else { why.outcome() });
            return Poll::Ready((!last.is_empty()).then_some(Ok(last)));
        }
        self.close(why.outcome());
        match watch {
            Some(_) if ending == Some(wire::Ending::Failed) => Poll::Ready(rest.map(Ok)),
            Some(watch) => {
                let frame = error_frame(watch.format(), &why.to_string());
                let separator = watch.separator().as_bytes();
                let last = [rest.as_deref().unwrap_or_default(), separator, frame.as_bytes()].concat();
                Poll::Ready(Some(Ok(Bytes::from(last))))
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
        self.resumable = None;
        if let Some(mut live) = self.live.take() {
            live.permit.finish(outcome);
        }
        self.ending.end(outcome, self.usage());
    }

    /// The tokens that the backend has counted so far.
    fn usage(&self) -> Option<Usage> {
        let streamed = self.watch.as_ref().map(StreamWatch::usage);
        streamed.or_else(|| self.bill.as_ref().map(UsageWatch::usage))
    }
}

/// What `write` writes.
fn written(write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::new();
    write(&mut out);
    Bytes::from(out)
}

// === impl Ending ===

impl Ending {
    fn end(&mut self, outcome: Outcome, usage: Option<Usage>) {
        if let Some(counted) = &mut self.counted {
            if let Some(usage) = usage.or(self.usage.take()) {
                counted.used(usage);
            }
            counted.end(if outcome == Outcome::Complete { self.whole } else { End::Error });
        }
    }
}
