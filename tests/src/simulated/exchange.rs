//! One answer being sent: handlers say what ([`Exchange::answer`], or [`open`](Exchange::open), frames, marker), the
//! exchange puts it on the wire and applies the request's faults on the way. It knows nothing of models.

mod frames;
mod wire;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use self::wire::{Coding, Wire};
use super::answer::{Answer, reason};
use super::fault::EndBy;
use super::fault_book::{Hang, MidAction, Plan};
use super::knobs::{BodyFraming, Knobs, StreamFraming};
use super::link::{ClientGone, Link};
use super::scheduler::Permit;
use super::stats::{Outcome, RequestGuard};

pub(super) use self::frames::FrameStyle;

/// A body's last byte is held back until the request counts as ended, if the body is larger than this: a smaller one never
/// blocks, and goes out in one piece.
const UNBLOCKED_BYTES: usize = 16 * 1024;

/// Why an answer is not sent to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interrupt {
    /// The client closed or reset the connection.
    ClientGone,
    /// A fault ended the answer.
    Broken,
}

impl From<ClientGone> for Interrupt {
    fn from(_: ClientGone) -> Self {
        Self::ClientGone
    }
}

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    KeepAlive,
    /// Closes when no request arrives for so long.
    KeepAliveFor(Duration),
    Close,
    Reset,
}

impl From<EndBy> for Ending {
    fn from(by: EndBy) -> Self {
        match by {
            EndBy::Fin => Self::Close,
            EndBy::Reset => Self::Reset,
        }
    }
}

/// What the request's head says about the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Minor version of HTTP/1 the client speaks.
    pub minor: u8,
    /// `HEAD`: no body.
    pub head_only: bool,
    pub keep_alive: bool,
}

/// An answer on its way.
pub(super) struct Exchange<'c> {
    wire: Wire<'c>,
    knobs: Arc<Knobs>,
    plan: Plan,
    terms: Terms,
    style: FrameStyle,
    streaming: bool,
    frames_sent: u64,
    ending: Ending,
    held: Held,
}

/// What the request occupies: given back just before the client can see that its answer is complete, so that a client
/// which then sends another request is never counted twice.
#[derive(Debug, Default)]
struct Held {
    permit: Option<Permit>,
    guard: Option<RequestGuard>,
}

impl Held {
    fn give_back(&mut self, outcome: Outcome) {
        self.permit = None;
        if let Some(guard) = self.guard.take() {
            guard.settle(outcome);
        }
    }
}

impl<'c> Exchange<'c> {
    pub(super) fn new(link: &'c mut Link, knobs: Arc<Knobs>, plan: Plan, terms: Terms) -> Self {
        let ending = match (terms.keep_alive, plan.stale_after) {
            (false, _) => Ending::Close,
            (true, Some(after)) => Ending::KeepAliveFor(after),
            (true, None) => Ending::KeepAlive,
        };
        Self {
            wire: Wire::new(link, plan.delivery.clone()),
            knobs,
            plan,
            terms,
            style: FrameStyle::Ndjson,
            streaming: false,
            frames_sent: 0,
            ending,
            held: Held::default(),
        }
    }

    /// Counts the request as in flight until it is answered or this is dropped.
    pub(super) fn hold_guard(&mut self, guard: RequestGuard) {
        self.held.guard = Some(guard);
    }

    /// Keeps a model's slot until the request is answered or this is dropped.
    pub(super) fn hold_permit(&mut self, permit: Permit) {
        self.held.permit = Some(permit);
    }

    /// The request ends without a complete answer.
    pub(super) fn give_up(&mut self, outcome: Outcome) {
        self.held.give_back(outcome);
    }

    /// What becomes of the connection, as things stand.
    pub(super) fn ending(&self) -> Ending {
        self.ending
    }

    /// Does some work of the engine, unless the client leaves first.
    pub(super) async fn wait<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Interrupt> {
        Ok(self.wire.link.watched(work).await?)
    }

    /// What faults put before an answer: ends, waits, interim answers.
    pub(super) async fn prelude(&mut self) -> Result<(), Interrupt> {
        if let Some(by) = self.plan.close_before_headers {
            self.ending = by.into();
            return Err(Interrupt::Broken);
        }
        for status in std::mem::take(&mut self.plan.interim) {
            let hint = if status == 103 { "Link: </hint>; rel=preload\r\n" } else { "" };
            let interim = format!("HTTP/1.1 {status} {}\r\n{hint}\r\n", reason(status));
            self.wire.raw(interim.as_bytes()).await?;
        }
        if let Some(hang) = self.plan.hang_before_headers.take() {
            self.hang(hang).await?;
        }
        Ok(())
    }

    /// Sends a whole answer.
    pub(super) async fn answer(&mut self, answer: Answer) -> Result<(), Interrupt> {
        let mut body = answer.body;
        let coding = self.whole_coding();
        let framing = match coding {
            Coding::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
            Coding::Plain if self.knobs.body_framing == BodyFraming::ContentLength => {
                format!("Content-Length: {}\r\n", body.len())
            }
            Coding::Plain => String::new(),
        };
        self.head(answer.status, &answer.headers, coding, &framing);
        self.after_head().await?;
        if self.terms.head_only || matches!(answer.status, 204 | 304) {
            self.held.give_back(Outcome::Completed);
            self.wire.flush().await?;
            return Ok(());
        }
        let missing = self.plan.delivery.missing_bytes.filter(|_| coding == Coding::Plain);
        body.truncate(body.len().saturating_sub(missing.unwrap_or(0)));
        let cut_within = self.plan.mid.first().is_some_and(|fault| fault.after_frames == 0);
        if cut_within {
            self.frame_on_wire(&body.split_to(body.len() / 2)).await?;
            self.mid_stream().await?;
        }
        let faulty = missing.is_some() || !self.plan.mid.is_empty() || self.plan.delivery.drip.is_some();
        if coding == Coding::Plain && !faulty {
            let last = body.split_off(if body.len() > UNBLOCKED_BYTES { body.len() - 1 } else { 0 });
            self.frame_on_wire(&body).await?;
            body = last;
            self.held.give_back(Outcome::Completed);
        }
        self.frame_on_wire(&body).await?;
        self.frames_sent += 1;
        if missing.is_some() {
            return self.broken(Ending::Close).await;
        }
        self.mid_stream().await?;
        self.held.give_back(Outcome::Completed);
        self.wire.finish().await?;
        Ok(())
    }

    /// Begins a stream. The head goes out with the first frame, unless the knobs or a fault say at once.
    pub(super) async fn open(
        &mut self,
        content_type: &str,
        headers: &[(&str, &str)],
        style: FrameStyle,
    ) -> Result<(), Interrupt> {
        self.style = style;
        self.streaming = true;
        let chunked = self.knobs.stream_framing == StreamFraming::Chunked && self.terms.minor > 0;
        let coding = if chunked { Coding::Chunked } else { Coding::Plain };
        let framing = if chunked { "Transfer-Encoding: chunked\r\n" } else { "" };
        let mut fields = vec![("Content-Type".to_owned(), content_type.to_owned())];
        fields.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.head(200, &fields, coding, framing);
        if self.knobs.early_headers {
            self.wire.flush().await?;
        }
        self.after_head().await
    }

    /// Sends one frame of a stream.
    pub(super) async fn frame(&mut self, frame: &Bytes) -> Result<(), Interrupt> {
        self.mid_stream().await?;
        self.frame_on_wire(frame).await?;
        self.frames_sent += 1;
        Ok(())
    }

    /// Sends the last frame, the one which says that the answer is complete, and ends the body.
    pub(super) async fn finish(&mut self, marker: &Bytes) -> Result<(), Interrupt> {
        self.mid_stream().await?;
        if self.plan.without_marker {
            self.held.give_back(Outcome::Failed);
            self.wire.finish().await?;
            return Err(Interrupt::Broken);
        }
        if self.plan.mid.is_empty() {
            self.held.give_back(Outcome::Completed);
        }
        self.frame_on_wire(marker).await?;
        self.frames_sent += 1;
        self.mid_stream().await?;
        self.held.give_back(Outcome::Completed);
        self.wire.finish().await?;
        Ok(())
    }

    fn whole_coding(&self) -> Coding {
        let chunked = self.knobs.body_framing == BodyFraming::Chunked && self.terms.minor > 0;
        if chunked { Coding::Chunked } else { Coding::Plain }
    }

    fn head(&mut self, status: u16, headers: &[(String, String)], coding: Coding, framing: &str) {
        let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
        let date = ("Date".to_owned(), wire::http_date());
        for (name, value) in headers.iter().chain(&self.knobs.extra_headers).chain([&date]) {
            head.extend([name.as_str(), ": ", value.as_str(), "\r\n"]);
        }
        head.push_str(framing);
        if framing.is_empty() {
            self.ending = Ending::Close;
        }
        if self.ending == Ending::Close {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        self.wire.begin(coding, head.as_bytes());
    }

    async fn after_head(&mut self) -> Result<(), Interrupt> {
        let Some(hang) = self.plan.hang_after_headers.take() else { return Ok(()) };
        self.wire.flush().await?;
        self.hang(hang).await
    }

    async fn frame_on_wire(&mut self, frame: &Bytes) -> Result<(), Interrupt> {
        let missing = self.plan.delivery.missing_bytes.filter(|_| self.wire.coding() == Coding::Chunked);
        let Some(missing) = missing else { return Ok(self.wire.frame(frame).await?) };
        let chunk = [format!("{:x}\r\n", frame.len() + missing).as_bytes(), frame].concat();
        self.wire.raw(&chunk).await?;
        self.broken(Ending::Close).await
    }

    /// Applies the faults due at this frame.
    async fn mid_stream(&mut self) -> Result<(), Interrupt> {
        while self.plan.mid.first().is_some_and(|fault| fault.after_frames <= self.frames_sent) {
            match self.plan.mid.remove(0).action {
                MidAction::Reset => return self.broken(Ending::Reset).await,
                MidAction::Close => return self.broken(Ending::Close).await,
                MidAction::Hang(hang) => {
                    self.wire.flush().await?;
                    self.hang(hang).await?;
                }
                action if self.streaming => self.mid_frame(action).await?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Faults made of frames, which whole answers do not have.
    async fn mid_frame(&mut self, action: MidAction) -> Result<(), Interrupt> {
        let last = match action {
            MidAction::Malformed(text) => {
                return Ok(self.wire.frame(&self.style.malformed(text.as_deref())).await?);
            }
            MidAction::BadChunkHeader => {
                self.wire.raw(b"not-a-size\r\n").await?;
                return self.broken(Ending::Close).await;
            }
            MidAction::ErrorFrame(message) => Some(self.style.error(&message)),
            MidAction::LoseError => self.style.lost_error(),
            _ => None,
        };
        self.held.give_back(Outcome::Failed);
        if let Some(last) = last {
            self.wire.frame(&last).await?;
        }
        self.wire.finish().await?;
        Err(Interrupt::Broken)
    }

    async fn hang(&mut self, hang: Hang) -> Result<(), Interrupt> {
        match hang {
            Hang::For(time) => self.wait(tokio::time::sleep(time)).await,
            Hang::Forever => self.wait(std::future::pending()).await,
        }
    }

    async fn broken(&mut self, ending: Ending) -> Result<(), Interrupt> {
        self.held.give_back(Outcome::Failed);
        self.wire.flush().await?;
        self.ending = ending;
        Err(Interrupt::Broken)
    }
}
