//! What requests leave behind for the metrics: counters and histograms in the handles, by atomics.
//!
//! There is a place for each frontend, each backend, and each backend of a frontend, made with its handle: a request finds
//! its series by pointers and by the number of its operation, never by text. What a handle counts goes with it, so there
//! are no more series than objects are configured.

mod gaps;
mod histogram;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ollamaflow_protocol::end::End;
use ollamaflow_protocol::route::Operation;

pub use self::gaps::Gaps;
pub use self::histogram::{Distribution, Histogram, OF_GAPS, OF_REQUESTS};
use super::BackendHandle;

/// Why a request got no backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// None could take it.
    NoBackend,
    /// All were busy, and so was the queue.
    QueueFull,
    /// All had had their requests for the moment, and the queue was full.
    RateLimited,
    /// It has waited for as long as it may.
    QueueTimeout,
}

/// Counts of ends, by operation. Only operations that occur take room.
#[derive(Debug, Default)]
pub struct Ends([OnceLock<Box<[AtomicU64; End::ALL.len()]>>; Operation::ALL.len()]);

type OfRequests = Histogram<{ OF_REQUESTS.len() }>;
type OfGaps = Histogram<{ OF_GAPS.len() }>;

/// What the requests of one frontend leave behind. On cache lines of its own, as all that workers write.
#[derive(Debug)]
#[repr(align(128))]
pub struct FrontendTraffic {
    in_flight: AtomicU64,
    /// Of requests that were sent to no backend, or to many.
    ends: Ends,
    durations: [OnceLock<Box<OfRequests>>; Operation::ALL.len()],
    queue: OfRequests,
    retries: AtomicU64,
    hedges: AtomicU64,
    resumed: AtomicU64,
    denied: [AtomicU64; Want::ALL.len()],
}

/// What the requests of one frontend leave behind at one of its backends.
#[derive(Debug)]
#[repr(align(128))]
pub struct RouteTraffic {
    backend: Arc<BackendHandle>,
    ends: Ends,
    first_token: OfRequests,
}

/// What requests and probes leave behind at one backend.
#[derive(Debug)]
#[repr(align(128))]
pub struct BackendTraffic {
    gaps: OfGaps,
    translations: [AtomicU64; Operation::ALL.len()],
    opened: AtomicU64,
    probes: [AtomicU64; 2],
    probe_times: OfRequests,
}

// === impl Want ===

impl Want {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::NoBackend, Self::QueueFull, Self::RateLimited, Self::QueueTimeout];

    /// The value of the metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoBackend => "no_backend",
            Self::QueueFull => "queue_full",
            Self::RateLimited => "rate_limited",
            Self::QueueTimeout => "queue_timeout",
        }
    }
}

// === impl Ends ===

impl Ends {
    /// A request for the operation ended so.
    pub fn count(&self, operation: Operation, end: End) {
        let ends = self.0[operation as usize].get_or_init(Box::default);
        ends[end as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The operations that have occurred, each with its counts in the order of [`End::ALL`].
    pub fn read(&self) -> impl Iterator<Item = (Operation, [u64; End::ALL.len()])> {
        Operation::ALL.into_iter().zip(&self.0).filter_map(|(operation, ends)| {
            let ends = ends.get()?;
            Some((operation, std::array::from_fn(|end| ends[end].load(Ordering::Relaxed))))
        })
    }
}

// === impl FrontendTraffic ===

impl FrontendTraffic {
    pub(super) fn new() -> Self {
        Self {
            in_flight: AtomicU64::new(0),
            ends: Ends::default(),
            durations: std::array::from_fn(|_| OnceLock::new()),
            queue: Histogram::of_requests(),
            retries: AtomicU64::new(0),
            hedges: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            denied: Default::default(),
        }
    }

    /// A request was let in.
    pub fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// A request that was let in has ended so, so long after it came. `route` is where it went last.
    pub fn end(&self, operation: Operation, end: End, took: Duration, route: Option<&RouteTraffic>) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let durations = self.durations[operation as usize].get_or_init(|| Box::new(Histogram::of_requests()));
        durations.observe(took);
        route.map_or(&self.ends, |route| &route.ends).count(operation, end);
    }

    /// A request was not let in.
    pub fn refuse(&self, operation: Operation) {
        self.ends.count(operation, End::Refused);
    }

    /// A request that looked for a backend has one, or waits no more for one: so long it has waited.
    pub(super) fn waited(&self, time: Duration) {
        self.queue.observe(time);
    }

    /// A request got no backend.
    pub fn deny(&self, want: Want) {
        self.denied[want as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A request is sent once more because its backend has failed.
    pub fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// A request is sent to a second backend because the first one takes long.
    pub fn hedge(&self) {
        self.hedges.fetch_add(1, Ordering::Relaxed);
    }

    /// A stream has gone on at another backend.
    pub fn resume(&self) {
        self.resumed.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that were let in and have not ended.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// How requests ended that went to no backend, or to many.
    pub fn ends(&self) -> &Ends {
        &self.ends
    }

    /// How long requests took, by operation.
    pub fn durations(&self) -> impl Iterator<Item = (Operation, Distribution)> {
        let known = Operation::ALL.into_iter().zip(&self.durations);
        known.filter_map(|(operation, durations)| Some((operation, durations.get()?.read())))
    }

    /// How long requests waited for a backend.
    pub fn queue(&self) -> Distribution {
        self.queue.read()
    }

    /// Requests that were sent once more.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Requests that were sent to a second backend at the same time.
    pub fn hedges(&self) -> u64 {
        self.hedges.load(Ordering::Relaxed)
    }

    /// Streams that went on elsewhere.
    pub fn resumed(&self) -> u64 {
        self.resumed.load(Ordering::Relaxed)
    }

    /// How often requests got no backend.
    pub fn denied(&self, want: Want) -> u64 {
        self.denied[want as usize].load(Ordering::Relaxed)
    }
}

// === impl RouteTraffic ===

impl RouteTraffic {
    pub(super) fn new(backend: Arc<BackendHandle>) -> Arc<Self> {
        Arc::new(Self { backend, ends: Ends::default(), first_token: Histogram::of_requests() })
    }

    /// The backend.
    pub fn backend(&self) -> &Arc<BackendHandle> {
        &self.backend
    }

    /// The first content of a stream is on its way to the client, so long after the request came.
    pub fn first_token(&self, after: Duration) {
        self.first_token.observe(after);
    }

    /// How requests ended.
    pub fn ends(&self) -> &Ends {
        &self.ends
    }

    /// Times to the first content.
    pub fn first_tokens(&self) -> Distribution {
        self.first_token.read()
    }
}

// === impl BackendTraffic ===

impl BackendTraffic {
    pub(super) fn new() -> Self {
        Self {
            gaps: Histogram::of_gaps(),
            translations: Default::default(),
            opened: AtomicU64::new(0),
            probes: Default::default(),
            probe_times: Histogram::of_requests(),
        }
    }

    /// A request for the operation goes to the backend in another API than the client's.
    pub fn translate(&self, operation: Operation) {
        self.translations[operation as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The circuit has opened.
    pub(super) fn open(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    /// A health probe has ended.
    pub(super) fn probe(&self, is_success: bool, took: Duration) {
        self.probes[usize::from(is_success)].fetch_add(1, Ordering::Relaxed);
        self.probe_times.observe(took);
    }

    /// Pauses between pieces of streams.
    pub fn gaps(&self) -> Distribution {
        self.gaps.read()
    }

    /// Requests that were translated, by the client's operation; those that occurred.
    pub fn translations(&self) -> impl Iterator<Item = (Operation, u64)> {
        let counts = self.translations.iter().map(|count| count.load(Ordering::Relaxed));
        Operation::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0)
    }

    /// How often the circuit has opened.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Health probes, those that succeeded or the others.
    pub fn probes(&self, is_success: bool) -> u64 {
        self.probes[usize::from(is_success)].load(Ordering::Relaxed)
    }

    /// How long health probes took.
    pub fn probe_times(&self) -> Distribution {
        self.probe_times.read()
    }
}
