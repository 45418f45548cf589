//! Streams that go on at another backend when theirs dies, for frontends with `ResumeStreams`.
//!
//! What may be continued and how the two parts are joined is `protocol::resume`, what another attempt takes is
//! [`Further`]; this is what the relay holds of both. Streams that did not ask for it hold nothing.

use std::pin::{Pin, pin};

use bytes::Bytes;
use ollamaflow_protocol::resume::{Misfit, Splice, Transcript};
use ollamaflow_protocol::wire::fault::{self, Fault};

use super::answer::{Answer, AnswerBody, Live};
use super::attempt::{Attempts, Further};
use super::intake::{self, Intake};
use super::patience::{limit, within};
use super::relay::Broken;
use super::trace::Trace;
use super::translating::mapped;
use crate::actors::{Outcome, Tried};
use crate::upstream::BodyKind;

/// A stream that may go on at another backend.
pub(super) struct Resumable {
    transcript: Transcript,
    /// Joins what comes to what the client has, once another backend has taken over.
    splice: Option<Splice>,
    further: Further,
}

/// The search for a backend that goes on. Dropping it cancels it.
pub(super) type Resuming = Pin<Box<dyn Future<Output = Resumed>>>;

/// What became of it.
pub(super) struct Resumed {
    pub(super) resumable: Box<Resumable>,
    /// The answer that goes on; `None` if there is none, and the stream ends.
    pub(super) next: Option<Live>,
    /// Why it was needed.
    pub(super) why: Broken,
    /// What was held back of the stream that died.
    pub(super) rest: Bytes,
}

/// What a backend has said about its stream.
pub(super) enum Verdict {
    /// Nothing that ends it.
    Good,
    /// It cannot go on there.
    Dead(Broken),
    /// It reports an error that would be the same elsewhere.
    Settled,
}

/// Keeps what is needed to go on with `answer` elsewhere; `None` if it never will. `body` is the client's.
pub(super) fn begin(
    attempts: Attempts<'_>,
    body: &Intake,
    answer: &Answer,
    tried: &Tried,
    trace: &Trace,
) -> Option<Box<Resumable>> {
    let config = &attempts.admitted.config;
    if !config.resume_streams || !config.allow_retries || config.retry_budget_percent == 0 {
        return None;
    }
    let (Intake::Kept(body), AnswerBody::Live(live)) = (body, &answer.body) else { return None };
    // What is continued is what the backend was asked; a translation of its answer goes on behind the seam.
    let body = answer.written.as_ref().unwrap_or(body);
    let (asked, operation) = (attempts.admitted.operation, answer.operation);
    answer.format?;
    // The length of an answer that names it would change.
    if trace.attempts() >= config.max_attempts
        || !matches!(live.rest.kind(), BodyKind::Chunked | BodyKind::UntilClose)
    {
        return None;
    }
    let backend = answer.backend.view();
    let [ours, theirs] = mapped(asked, config, &backend, operation).map(|mapped| mapped.pins);
    let request = intake::merged(body, &[&ours]).ok()?;
    if !theirs.is_empty() {
        // They may ask for something that cannot be continued.
        Transcript::begin(operation, intake::merged(&request, &[&theirs]).ok()?)?;
    }
    let transcript = Transcript::begin(operation, request)?;
    Some(Box::new(Resumable { transcript, splice: None, further: Further::of(attempts, tried, trace) }))
}

// === impl Resumable ===

impl Resumable {
    /// The next piece of a backend's answer, cut anywhere; returns what of it is for the client now, if anything.
    pub(super) fn pass(&mut self, bytes: Bytes) -> Bytes {
        match &mut self.splice {
            Some(splice) => self.transcript.split(splice.push(bytes)),
            None => self.transcript.split(bytes),
        }
    }

    /// The backend has ended its stream: what of it is for the client yet. Nothing when asked again.
    pub(super) fn finish(&mut self) -> Bytes {
        match &mut self.splice {
            Some(splice) => self.transcript.split(splice.finish()),
            None => Bytes::new(),
        }
    }

    /// What is held back, for a client that gets nothing else.
    pub(super) fn rest(&mut self) -> Bytes {
        self.transcript.rest()
    }

    /// What the backend has said about its stream.
    pub(super) fn verdict(&self) -> Verdict {
        if let Some(misfit) = self.splice.as_ref().and_then(Splice::misfit) {
            return Verdict::Dead(Broken::Misfit(misfit));
        }
        match self.transcript.failure() {
            None => Verdict::Good,
            Some(failure) if is_the_backends(failure) => Verdict::Dead(Broken::Reported),
            Some(_) => Verdict::Settled,
        }
    }

    /// Whether it is its first backend's stream, of which nothing need be known any more.
    pub(super) fn is_done_with(&self) -> bool {
        self.splice.is_none() && self.transcript.obstacle().is_some()
    }

    /// Whether another backend may be asked to go on.
    pub(super) fn can_go_on(&self) -> bool {
        self.transcript.obstacle().is_none() && self.further.are_allowed()
    }

    /// Looks for a backend that goes on, for as long as the client may be kept waiting between two pieces.
    pub(super) fn go_on(mut self: Box<Self>, why: Broken, rest: Bytes) -> Resuming {
        Box::pin(async move {
            let pause = limit(self.further.config().stream_idle_timeout_ms);
            // Pinned here, as within: passed on by value it would be held several times.
            let found = {
                let search = pin!(self.further.run(&self.transcript));
                within(pause, search).await.flatten()
            };
            let next = found.map(|(live, continuation)| {
                self.splice = Some(self.transcript.splice(continuation));
                tracing::info!(
                    request = self.further.id(), backend = %live.permit.backend().id(),
                    times = self.transcript.resumptions(), "stream goes on"
                );
                live
            });
            Resumed { resumable: self, next, why, rest }
        })
    }
}

/// Whose failure it is that a continuation does not fit.
pub(super) fn outcome(misfit: Misfit) -> Outcome {
    match misfit {
        Misfit::Failed => Outcome::Failed,
        Misfit::Thinking | Misfit::Unreadable => Outcome::Declined,
    }
}

/// Whether an error frame tells that the engine broke: by its words, or by having none, as that of Ollama's `/v1`.
fn is_the_backends(failure: &[u8]) -> bool {
    let words = String::from_utf8_lossy(failure);
    fault::of_message(&words) == Fault::Backend || !words.contains("error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_frame_is_the_backends_if_it_says_so_or_says_nothing() {
        let died = "model runner has unexpectedly stopped, this may be due to resource limitations";
        assert!(is_the_backends(format!("{{\"error\":\"{died}\"}}\n").as_bytes()));
        assert!(is_the_backends(format!("data: {{\"error\":{{\"message\":\"{died}\"}}}}\n\n").as_bytes()));
        assert!(is_the_backends(b"data: {\"model\":\"\",\"choices\":[{\"delta\":{\"content\":\"\"}}]}\n\n"));
        assert!(!is_the_backends(b"{\"error\":\"input is too long\"}\n"));
        assert!(!is_the_backends(b"event: error\ndata: {}\n\n"));
    }
}
