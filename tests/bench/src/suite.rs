//! The order of a run: all proxies stand ready side by side, and each repetition takes every scenario through every
//! proxy in turn, so that a busy minute of the machine falls on all of them alike. In: plan and site; out: raw samples.
//! A figure that cannot be taken becomes a note, never a failure of the run.

pub(crate) mod counting;
mod idle;
mod requests;
pub(crate) mod slow;
mod streaming;

use std::io::Write as _;
use std::time::Duration;

use crate::cli::Scenario;
use crate::clock::CpuTime;
use crate::load::faults;
use crate::load::request::Api;
use crate::plan::Plan;
use crate::proxies::process::{Running, StartError};
use crate::proxies::{Site, Target};
use crate::samples::{FaultSample, Samples};
use crate::summary::as_f64;

/// What a run consists of.
#[derive(Debug, Clone)]
pub(crate) struct Suite {
    pub(crate) plan: Plan,
    pub(crate) site: Site,
    /// With [`Target::Direct`] first.
    pub(crate) targets: Vec<Target>,
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) api: Api,
    pub(crate) strace: bool,
    /// Proxies whose instructions are counted.
    pub(crate) callgrind: Vec<Target>,
    pub(crate) wrk: bool,
}

/// Says on standard error what is being done.
pub(crate) fn progress(text: &str) {
    // A closed standard error must not end the run.
    drop(writeln!(std::io::stderr(), "bench: {text}"));
}

/// The share of `elapsed` in which the proxy was ready to run but somebody else had its CPU: near 0 on a quiet machine.
fn waited_share(cpu: CpuTime, elapsed: Duration) -> f64 {
    as_f64(cpu.waited_ns) / 1e9 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
}

// === impl Suite ===

impl Suite {
    /// Runs everything.
    ///
    /// # Errors
    /// A proxy does not start or does not relay: there is nothing to compare then.
    pub(crate) async fn run(&self) -> Result<Samples, StartError> {
        let mut samples = Samples::default();
        let mut proxies = Vec::new();
        for &target in &self.targets {
            proxies.push(Running::start(target, &self.site, &[], target.patience()).await?);
        }
        for rep in 0..self.plan.reps {
            progress(&format!("repetition {} of {}", rep + 1, self.plan.reps));
            self.repetition(rep, &proxies, &mut samples).await?;
            // Nobody is always first or always after the same neighbour.
            proxies.rotate_left(1);
        }
        proxies.sort_by_key(Running::target);
        if self.wants(Scenario::Faults) {
            progress("truncated upstreams and stale connections");
            for &target in self.targets.iter().filter(|&&target| target != Target::Direct) {
                samples.faults.push(self.fault_sample(target).await?);
            }
        }
        if self.strace {
            progress("system calls");
            self.count_syscalls(&proxies, &mut samples).await;
        }
        for proxy in proxies {
            proxy.stop().await;
        }
        if !self.callgrind.is_empty() {
            progress("instructions under valgrind");
            self.count_instructions(&mut samples).await;
        }
        Ok(samples)
    }

    fn wants(&self, scenario: Scenario) -> bool {
        self.scenarios.contains(&scenario)
    }

    /// Faults of a freshly started `target`: with the pool that an earlier load has filled, each request of the stale
    /// race would find another connection that nobody is about to close.
    async fn fault_sample(&self, target: Target) -> Result<FaultSample, StartError> {
        let proxy = Running::start(target, &self.site, &[], target.patience()).await?;
        let truncations = faults::truncations(proxy.addr(), self.api, self.plan.truncations).await;
        let stale = faults::stale_race(proxy.addr(), self.api, self.plan.stale_requests).await;
        proxy.stop().await;
        Ok(FaultSample { target, truncations, stale })
    }

    async fn repetition(
        &self,
        rep: u32,
        proxies: &[Running],
        samples: &mut Samples,
    ) -> Result<(), StartError> {
        if self.wants(Scenario::Requests) {
            for &concurrency in &self.plan.concurrencies {
                for proxy in proxies {
                    samples.requests.push(self.request_sample(rep, proxy, concurrency).await);
                }
            }
            if self.wrk {
                self.cross_check(rep, proxies, samples).await;
            }
        }
        if self.wants(Scenario::Streams) {
            for round in 0..self.plan.stream_rounds {
                for proxy in proxies {
                    let rep = rep * self.plan.stream_rounds + round;
                    samples.streams.push(self.stream_sample(rep, proxy).await);
                }
            }
        }
        if self.wants(Scenario::Idle) && rep < self.plan.idle_reps {
            for &prompt_bytes in &self.plan.idle_prompts {
                for proxy in proxies.iter().filter(|proxy| proxy.target() != Target::Direct) {
                    self.idle_sample(rep, proxy.target(), prompt_bytes, samples).await?;
                }
            }
        }
        Ok(())
    }
}
