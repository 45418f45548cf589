//! Paced streams: what a chunk costs and how long it is under way.

use std::time::Duration;

use super::{Suite, waited_share};
use crate::clock::CpuTime;
use crate::load::request::{self, SHORT_BODY_BYTES};
use crate::load::streams::{self, Shape};
use crate::measure::process::ProcessTree;
use crate::proxies::process::Running;
use crate::samples::StreamSample;
use crate::summary::as_f64;
use crate::wire::script::Script;

/// Delays that Nagle's algorithm and delayed acknowledgements cause (25 to 40 ms), with some room on both sides.
const DELAYED_MODE_US: (u64, u64) = (20_000, 50_000);
/// The streams' requests are spread over this time; it is a fraction of a stream's length.
const SPREAD: Duration = Duration::from_millis(200);

impl Suite {
    /// All streams of one repetition through one proxy.
    pub(crate) async fn stream_sample(&self, rep: u32, proxy: &Running) -> StreamSample {
        let tree = proxy.tree();
        let cpu = || tree.as_ref().map_or_else(CpuTime::default, ProcessTree::cpu_time);
        let plan = &self.plan;
        let script = Script::Stream { chunks: plan.chunks, interval_us: plan.interval_us };
        let bytes = request::chat(self.api, script, SHORT_BODY_BYTES);
        let shape = Shape {
            streams: plan.streams,
            chunks: plan.chunks,
            spread: SPREAD,
            limit: plan.stream_limit(plan.chunks),
        };
        let outcome = streams::run(proxy.addr(), &bytes, shape, &cpu).await;
        let per_chunk_us = as_f64(outcome.cpu.ran_ns) / 1_000.0 / as_f64(outcome.chunks.max(1));
        StreamSample {
            rep,
            target: proxy.target(),
            streams: plan.streams,
            complete: outcome.complete,
            chunks: outcome.chunks,
            elapsed_ms: outcome.elapsed.as_secs_f64() * 1_000.0,
            waited_share: waited_share(outcome.cpu, outcome.elapsed),
            cpu_us: tree.is_some().then_some(per_chunk_us),
            delay_p50_us: outcome.delay.percentile_us(50.0),
            delay_p99_us: outcome.delay.percentile_us(99.0),
            delay_p999_us: outcome.delay.percentile_us(99.9),
            delayed_share: outcome.delay.share_between(DELAYED_MODE_US.0, DELAYED_MODE_US.1),
            first_byte_p50_us: outcome.first_byte.percentile_us(50.0),
            first_byte_p99_us: outcome.first_byte.percentile_us(99.0),
        }
    }
}
