//! How much is measured: the amounts of a full and of a quick run. A full run takes minutes on two cores, a quick one
//! less than a minute and shows only that everything works.

use std::time::Duration;

/// Amounts of every scenario.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Plan {
    /// Repetitions of the interleaved scenarios.
    pub(crate) reps: u32,
    /// Closed-loop clients of the small-request scenario, one measurement each.
    pub(crate) concurrencies: Vec<usize>,
    /// Load before each measured window.
    pub(crate) warm_up_ms: u64,
    /// The measured window.
    pub(crate) window_ms: u64,
    /// Streams at the same time.
    pub(crate) streams: u32,
    /// Chunks of each stream.
    pub(crate) chunks: u32,
    /// Time between two chunks of a stream.
    pub(crate) interval_us: u32,
    /// Times the streams run in each repetition: one run is short, and delays suffer most from a busy machine.
    pub(crate) stream_rounds: u32,
    /// Repetitions of the idle scenario, which starts every proxy anew.
    pub(crate) idle_reps: u32,
    /// Open streams of the idle scenario.
    pub(crate) idle_streams: usize,
    /// Bytes of the prompt that an idle stream began with, one measurement each.
    pub(crate) idle_prompts: Vec<usize>,
    /// Pause before the idle window, so that the opening is over.
    pub(crate) idle_settle_ms: u64,
    /// Window in which idle CPU time is measured.
    pub(crate) idle_window_ms: u64,
    /// Truncated streams per proxy.
    pub(crate) truncations: u64,
    /// Requests of the stale keep-alive race per proxy.
    pub(crate) stale_requests: u64,
    /// Requests of the shorter and the longer run whose system calls are compared.
    pub(crate) traced_requests: [u64; 2],
    /// Chunks per stream of the shorter and the longer run whose system calls are compared.
    pub(crate) traced_chunks: [u32; 2],
    /// The same for instructions.
    pub(crate) counted_requests: [u64; 2],
    /// The same for instructions.
    pub(crate) counted_chunks: [u32; 2],
}

/// Clients of the runs in which system calls or instructions are counted, as in the targets.
pub(crate) const COUNTING_CONCURRENCY: usize = 32;
/// Streams of those runs: few, since the tools slow a proxy down many times.
pub(crate) const COUNTING_STREAMS: u32 = 20;

// === impl Plan ===

impl Plan {
    /// What the published tables are made of.
    pub(crate) fn full() -> Self {
        Self {
            reps: 5,
            concurrencies: vec![1, 32, 256],
            warm_up_ms: 300,
            window_ms: 1_500,
            streams: 200,
            chunks: 100,
            interval_us: 10_000,
            stream_rounds: 2,
            idle_reps: 3,
            idle_streams: 2_000,
            idle_prompts: vec![200, 100 * 1024],
            idle_settle_ms: 1_500,
            idle_window_ms: 4_000,
            truncations: 100,
            stale_requests: 300,
            traced_requests: [2_000, 10_000],
            traced_chunks: [20, 120],
            counted_requests: [1_000, 5_000],
            counted_chunks: [20, 120],
        }
    }

    /// Enough to see that everything works.
    pub(crate) fn quick() -> Self {
        Self {
            reps: 2,
            warm_up_ms: 100,
            window_ms: 400,
            streams: 100,
            chunks: 40,
            stream_rounds: 1,
            idle_reps: 1,
            idle_streams: 500,
            idle_prompts: vec![200],
            idle_settle_ms: 500,
            idle_window_ms: 1_000,
            truncations: 20,
            stale_requests: 100,
            traced_requests: [500, 2_500],
            traced_chunks: [10, 40],
            counted_requests: [500, 1_500],
            counted_chunks: [10, 40],
            ..Self::full()
        }
    }

    /// [`warm_up_ms`](Self::warm_up_ms).
    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_millis(self.warm_up_ms)
    }

    /// [`window_ms`](Self::window_ms).
    pub(crate) fn window(&self) -> Duration {
        Duration::from_millis(self.window_ms)
    }

    /// How long a scenario of `streams` streams with `chunks` chunks may take before it is given up.
    pub(crate) fn stream_limit(&self, chunks: u32) -> Duration {
        Duration::from_secs(10) + 3 * Duration::from_micros(u64::from(self.interval_us)) * chunks
    }
}
