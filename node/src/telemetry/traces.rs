//! Traces: the spans of requests on their way to a collector, as OTLP over HTTP. Off by default.
//!
//! ```text
//! a request's end ─▶ Traces::end ─▶ bounded queue ─▶ thread ─▶ message ─▶ collector
//! ```
//!
//! Whoever ends a request moves its spans into a queue and goes on; when that is full they are lost, and counted. What a span
//! may tell is decided where it is made.

mod export;
mod message;
mod span;

use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};

use self::export::{Counts, Exporter, LAST_WORDS};
pub use self::span::{Attribute, AttributeValue, Parent, Span, SpanKind, Trace};
use super::queue::Lost;
use crate::settings::Tracing;

/// Where spans go. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Traces(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// New traces are recorded whose number, of [`SPACE`] many, is below.
    threshold: u64,
    queue: mpsc::Sender<Trace>,
    counts: Arc<Counts>,
    closing: watch::Sender<bool>,
    /// Closed when the thread has ended.
    ended: Mutex<Receiver<()>>,
}

/// How many numbers decide about sampling: the 63 lowest bits of a trace id but one, as the specification of
/// `TraceIdRatioBased` suggests.
const SPACE: u64 = 1 << 63;

// === impl Traces ===

impl Traces {
    /// Starts to send spans; none if the settings name no collector.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(settings: &Tracing) -> io::Result<Option<Self>> {
        let Some(url) = settings.url() else { return Ok(None) };
        let length = usize::try_from(settings.queue_length).unwrap_or(usize::MAX);
        let (queue, receiver) = mpsc::channel(length);
        let (closing, is_closing) = watch::channel(false);
        let counts = Arc::new(Counts::default());
        let ended = export::start(Exporter {
            url,
            settings: settings.clone(),
            queue: receiver,
            closing: is_closing,
            counts: counts.clone(),
        })?;
        let threshold = threshold(settings.sampling_ratio);
        Ok(Some(Self(Arc::new(Inner { threshold, queue, counts, closing, ended: Mutex::new(ended) }))))
    }

    /// The id of the trace in which a request is recorded; none if it is not. A client that records its own decides; else chance
    /// does.
    pub fn sample(&self, parent: Option<&Parent>) -> Option<u128> {
        if let Some(parent) = parent {
            return parent.is_sampled.then_some(parent.trace);
        }
        let id = fastrand::u128(1..);
        is_below(id, self.0.threshold).then_some(id)
    }

    /// A request has ended, and these are its spans.
    pub fn end(&self, trace: Trace) {
        let spans = trace.spans.len() as u64;
        if self.0.queue.try_send(trace).is_err() {
            self.0.counts.full.fetch_add(spans, Ordering::Relaxed);
        }
    }

    /// Spans that the collector has taken.
    pub fn exported(&self) -> u64 {
        self.0.counts.exported.load(Ordering::Relaxed)
    }

    /// Spans that it has not.
    pub fn lost(&self) -> Lost {
        let Counts { full, failed, .. } = &*self.0.counts;
        Lost { full: full.load(Ordering::Relaxed), failed: failed.load(Ordering::Relaxed) }
    }

    /// Sends what there is to be sent, and waits for that, but not for long. Later spans are lost.
    pub fn finish(&self) {
        self.0.closing.send_replace(true);
        let _ = self.0.ended.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(LAST_WORDS);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a ratio from 0 to 1 of a number that is exact in it"
)]
fn threshold(ratio: f64) -> u64 {
    (ratio * SPACE as f64) as u64
}

fn is_below(id: u128, threshold: u64) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "its lowest bits are meant")]
    let lowest = id as u64;
    lowest >> 1 < threshold
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_that_share_of_trace_ids() {
        for (ratio, least, most) in [(0.0, 0, 0), (0.25, 2_000, 3_000), (1.0, 10_000, 10_000)] {
            let threshold = threshold(ratio);
            let mut random = fastrand::Rng::with_seed(7);
            let sampled = (0..10_000).filter(|_| is_below(random.u128(1..), threshold)).count();
            assert!((least..=most).contains(&sampled), "{ratio}: {sampled}");
        }
    }
}
