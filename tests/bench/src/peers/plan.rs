//! How much `peers` measures: the plan of the gateway's benchmark, with less for a proxy that is slower by orders of
//! magnitude, and the amounts of the scenarios that only `peers` has.

use crate::plan::Plan;
use crate::suite::slow::SlowShape;

/// Amounts of a run.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct PeersPlan {
    /// For all but the slow ones.
    pub(crate) fast: Plan,
    /// For `LiteLLM`.
    pub(crate) slow: Plan,
    /// Clients that read nothing.
    pub(crate) readers: SlowShape,
    /// Repetitions of that.
    pub(crate) reader_reps: u32,
    /// Cold starts of nginx, haproxy and ours.
    pub(crate) cold_starts: u32,
    /// Cold starts of the peers in Rust, which take seconds.
    pub(crate) peer_cold_starts: u32,
    /// Clients of the small requests that show what logging costs.
    pub(crate) log_concurrency: usize,
    /// Repetitions of that.
    pub(crate) log_reps: u32,
    /// Leaders that are killed.
    pub(crate) failovers: u32,
    /// Time that is watched before and after a kill.
    pub(crate) failover_watch_ms: [u64; 2],
}

// === impl PeersPlan ===

impl PeersPlan {
    /// What the published tables are made of: about fourteen minutes.
    pub(crate) fn full() -> Self {
        let fast = Plan { idle_reps: 2, idle_window_ms: 2_000, ..Plan::full() };
        let slow = Plan {
            concurrencies: vec![1, 32],
            warm_up_ms: 2_000,
            window_ms: 4_000,
            streams: 4,
            chunks: 50,
            interval_us: 20_000,
            stream_rounds: 1,
            idle_reps: 1,
            idle_streams: 100,
            ..fast.clone()
        };
        Self {
            fast,
            slow,
            readers: SlowShape { readers: 64, chunks: 8_192, growing_ms: 8_000 },
            reader_reps: 2,
            cold_starts: 10,
            peer_cold_starts: 3,
            log_concurrency: 32,
            log_reps: 5,
            failovers: 5,
            failover_watch_ms: [2_000, 4_000],
        }
    }

    /// Enough to see that everything works, in less than a minute.
    pub(crate) fn quick() -> Self {
        let few = |plan: Plan| Plan {
            reps: 1,
            concurrencies: vec![32],
            warm_up_ms: 100,
            window_ms: 300,
            streams: 40,
            chunks: 20,
            stream_rounds: 1,
            idle_reps: 1,
            idle_streams: 200,
            idle_prompts: vec![200],
            idle_settle_ms: 300,
            idle_window_ms: 300,
            ..plan
        };
        let full = Self::full();
        Self {
            fast: few(full.fast),
            slow: Plan { window_ms: 2_000, streams: 2, idle_streams: 10, ..few(full.slow) },
            readers: SlowShape { readers: 8, chunks: 4_096, growing_ms: 2_000 },
            reader_reps: 1,
            cold_starts: 1,
            peer_cold_starts: 1,
            log_reps: 1,
            failovers: 1,
            failover_watch_ms: [500, 2_500],
            ..full
        }
    }
}
