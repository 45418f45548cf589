//! Small JSON requests in a closed loop, and the same from wrk as a cross-check.

use super::{Suite, waited_share};
use crate::clock::CpuTime;
use crate::load::request::{self, SMALL_BODY_BYTES};
use crate::load::{closed_loop, wrk};
use crate::measure::process::ProcessTree;
use crate::plan::COUNTING_CONCURRENCY;
use crate::proxies::Target;
use crate::proxies::process::Running;
use crate::samples::{RequestSample, Samples, WrkSample};
use crate::summary::as_f64;
use crate::wire::script::Script;

impl Suite {
    /// One window of one proxy.
    pub(crate) async fn request_sample(
        &self,
        rep: u32,
        proxy: &Running,
        concurrency: usize,
    ) -> RequestSample {
        let tree = proxy.tree();
        let cpu = || tree.as_ref().map_or_else(CpuTime::default, ProcessTree::cpu_time);
        let bytes = request::chat(self.api, Script::Answer, SMALL_BODY_BYTES);
        let (warm_up, window) = (self.plan.warm_up(), self.plan.window());
        let outcome = closed_loop::for_window(proxy.addr(), bytes, concurrency, warm_up, window, &cpu).await;
        let per_request_us = as_f64(outcome.cpu.ran_ns) / 1_000.0 / as_f64(outcome.completed.max(1));
        RequestSample {
            rep,
            target: proxy.target(),
            concurrency,
            completed: outcome.completed,
            failed: outcome.failed,
            requests_per_s: as_f64(outcome.completed) / outcome.elapsed.as_secs_f64(),
            waited_share: waited_share(outcome.cpu, outcome.elapsed),
            cpu_us: tree.is_some().then_some(per_request_us),
            p50_us: outcome.latency.percentile_us(50.0),
            p99_us: outcome.latency.percentile_us(99.0),
        }
    }

    /// Our generator and wrk one after the other, for every proxy.
    pub(crate) async fn cross_check(&self, rep: u32, proxies: &[Running], samples: &mut Samples) {
        let scratch = match tempfile::tempdir() {
            Ok(scratch) => scratch,
            Err(error) => return samples.notes.push(format!("wrk: {error}")),
        };
        for proxy in proxies.iter().filter(|proxy| proxy.target() != Target::Direct) {
            let own = self.request_sample(rep, proxy, COUNTING_CONCURRENCY).await;
            let tree = proxy.tree();
            let cpu = || tree.as_ref().map_or_else(CpuTime::default, ProcessTree::cpu_time);
            let window = self.plan.window();
            match wrk::run(proxy.addr(), self.api, COUNTING_CONCURRENCY, window, scratch.path(), &cpu).await {
                Ok(outcome) => samples.wrk.push(WrkSample {
                    rep,
                    target: proxy.target(),
                    concurrency: COUNTING_CONCURRENCY,
                    wrk_requests_per_s: outcome.requests_per_s,
                    wrk_cpu_us: outcome.cpu_us,
                    requests_per_s: own.requests_per_s,
                    cpu_us: own.cpu_us.unwrap_or_default(),
                }),
                Err(error) => samples.notes.push(format!("wrk against {}: {error}", proxy.target().label())),
            }
        }
    }
}
