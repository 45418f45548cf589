//! The raw results: one record per proxy, scenario and repetition, as they go into the JSON file. Everything in the
//! tables is computed from these and can be computed anew.

use crate::load::faults::{StaleRace, Truncations};
use crate::proxies::Target;

/// Everything measured in one run.
#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct Samples {
    pub(crate) requests: Vec<RequestSample>,
    pub(crate) streams: Vec<StreamSample>,
    pub(crate) idle: Vec<IdleSample>,
    pub(crate) faults: Vec<FaultSample>,
    pub(crate) syscalls: Vec<SyscallSample>,
    pub(crate) instructions: Vec<InstructionSample>,
    pub(crate) wrk: Vec<WrkSample>,
    /// What could not be measured, and why.
    pub(crate) notes: Vec<String>,
}

/// What every repeated sample has.
pub(crate) trait Sample {
    /// The repetition it was taken in; figures of different targets are compared only within one.
    fn rep(&self) -> u32;
    /// What it was taken of.
    fn target(&self) -> Target;
}

/// Small requests in a closed loop.
#[derive(Debug, serde::Serialize)]
pub(crate) struct RequestSample {
    pub(crate) rep: u32,
    pub(crate) target: Target,
    pub(crate) concurrency: usize,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) requests_per_s: f64,
    /// Share of the window in which the proxy waited for its CPU.
    pub(crate) waited_share: f64,
    /// CPU time of the proxy per request; `None` without a proxy.
    pub(crate) cpu_us: Option<f64>,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// Paced streams.
#[derive(Debug, serde::Serialize)]
pub(crate) struct StreamSample {
    pub(crate) rep: u32,
    pub(crate) target: Target,
    pub(crate) streams: u32,
    /// Streams that arrived whole.
    pub(crate) complete: u64,
    pub(crate) chunks: u64,
    pub(crate) elapsed_ms: f64,
    /// Share of that time in which the proxy waited for its CPU.
    pub(crate) waited_share: f64,
    /// CPU time of the proxy per chunk, the streams' requests included; `None` without a proxy.
    pub(crate) cpu_us: Option<f64>,
    pub(crate) delay_p50_us: f64,
    pub(crate) delay_p99_us: f64,
    pub(crate) delay_p999_us: f64,
    /// Share of the chunks delayed as by Nagle's algorithm or a delayed acknowledgement.
    pub(crate) delayed_share: f64,
    pub(crate) first_byte_p50_us: f64,
    pub(crate) first_byte_p99_us: f64,
}

/// Many open streams without traffic.
#[derive(Debug, serde::Serialize)]
pub(crate) struct IdleSample {
    pub(crate) rep: u32,
    pub(crate) target: Target,
    pub(crate) prompt_bytes: usize,
    /// Streams that were open.
    pub(crate) streams: usize,
    /// Resident memory before the first of them.
    pub(crate) base_rss_kib: u64,
    /// Growth per open stream.
    pub(crate) rss_kib_per_stream: f64,
    /// CPU time per second of all of them together.
    pub(crate) cpu_ms_per_s: f64,
}

/// Clients that read nothing of a long fast stream.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct SlowSample {
    pub(crate) rep: u32,
    pub(crate) target: Target,
    /// Streams that had begun.
    pub(crate) readers: usize,
    /// Resident memory before the first of them.
    pub(crate) base_rss_kib: u64,
    /// Growth per stream, when it grew no more.
    pub(crate) rss_kib_per_reader: f64,
    /// Streams that were read to their end after that.
    pub(crate) read: usize,
    /// Those of them that came whole.
    pub(crate) whole: usize,
}

/// Misbehaving upstreams.
#[derive(Debug, serde::Serialize)]
pub(crate) struct FaultSample {
    pub(crate) target: Target,
    pub(crate) truncations: Truncations,
    pub(crate) stale: StaleRace,
}

/// System calls per unit of work, most frequent first.
#[derive(Debug, serde::Serialize)]
pub(crate) struct SyscallSample {
    pub(crate) target: Target,
    pub(crate) per_request: Vec<(String, f64)>,
    pub(crate) per_chunk: Vec<(String, f64)>,
}

/// User instructions per unit of work.
#[derive(Debug, serde::Serialize)]
pub(crate) struct InstructionSample {
    pub(crate) target: Target,
    pub(crate) per_request: f64,
    pub(crate) per_chunk: f64,
}

/// The load generator and wrk, one after the other.
#[derive(Debug, serde::Serialize)]
pub(crate) struct WrkSample {
    pub(crate) rep: u32,
    pub(crate) target: Target,
    pub(crate) concurrency: usize,
    pub(crate) wrk_requests_per_s: f64,
    pub(crate) wrk_cpu_us: f64,
    pub(crate) requests_per_s: f64,
    pub(crate) cpu_us: f64,
}

/// The sum of a table of rates.
pub(crate) fn total(rates: &[(String, f64)]) -> f64 {
    rates.iter().map(|(_, rate)| rate).sum()
}

#[cfg(test)]
impl RequestSample {
    /// Of 32 clients, for tests.
    pub(crate) fn example(rep: u32, target: Target, cpu_us: Option<f64>) -> Self {
        Self {
            rep,
            target,
            concurrency: 32,
            completed: 10,
            failed: 0,
            requests_per_s: 100.0,
            waited_share: 0.0,
            cpu_us,
            p50_us: 5.0,
            p99_us: 9.0,
        }
    }
}

#[cfg(test)]
impl StreamSample {
    /// Of 10 streams, of which so many came whole, for tests.
    pub(crate) fn example(target: Target, complete: u64) -> Self {
        Self {
            rep: 0,
            target,
            streams: 10,
            complete,
            chunks: 1_000,
            elapsed_ms: 1.0,
            waited_share: 0.0,
            cpu_us: None,
            delay_p50_us: 1.0,
            delay_p99_us: 1.0,
            delay_p999_us: 1.0,
            delayed_share: 0.0,
            first_byte_p50_us: 1.0,
            first_byte_p99_us: 1.0,
        }
    }
}

// === impl Sample ===

impl Sample for RequestSample {
    fn rep(&self) -> u32 {
        self.rep
    }
    fn target(&self) -> Target {
        self.target
    }
}

impl Sample for StreamSample {
    fn rep(&self) -> u32 {
        self.rep
    }
    fn target(&self) -> Target {
        self.target
    }
}

impl Sample for IdleSample {
    fn rep(&self) -> u32 {
        self.rep
    }
    fn target(&self) -> Target {
        self.target
    }
}

impl Sample for SlowSample {
    fn rep(&self) -> u32 {
        self.rep
    }
    fn target(&self) -> Target {
        self.target
    }
}

impl Sample for WrkSample {
    fn rep(&self) -> u32 {
        self.rep
    }
    fn target(&self) -> Target {
        self.target
    }
}
