//! The order of a run: as the gateway's benchmark, each repetition takes every scenario through every proxy in turn. A
//! peer that does not work becomes a note, for it is others' work; nginx, haproxy and ours have to.

use super::failover::FailoverSample;
use super::plan::PeersPlan;
use super::rows::ColdSample;
use crate::cli::Part;
use crate::proxies::process::{Running, StartError};
use crate::proxies::{Logs, Site, Target};
use crate::run::RunError;
use crate::samples::{RequestSample, Samples, SlowSample};
use crate::suite::{Suite, progress};

/// What is measured, and how much.
#[derive(Debug)]
pub(super) struct Order {
    /// With the plan for all but `LiteLLM`.
    pub(super) fast: Suite,
    /// With the plan for `LiteLLM`.
    pub(super) slow: Suite,
    pub(super) plan: PeersPlan,
    pub(super) parts: Vec<Part>,
}

/// The raw results that only `peers` has.
#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct Extra {
    pub(crate) readers: Vec<SlowSample>,
    pub(crate) cold: Vec<ColdSample>,
    pub(crate) failover: Vec<FailoverSample>,
    /// Small requests where ours writes its lines to a file only, as nginx and haproxy.
    pub(crate) one_sink: Vec<RequestSample>,
    /// Small requests where nobody writes lines.
    pub(crate) no_logs: Vec<RequestSample>,
}

// === impl Order ===

impl Order {
    /// Runs everything but the failover, whose nodes are not pinned.
    ///
    /// # Errors
    /// nginx, haproxy or ours does not start or does not relay.
    pub(super) async fn run(&self, extra: &mut Extra) -> Result<Samples, RunError> {
        let mut samples = Samples::default();
        let interleaved = [Part::Requests, Part::Streams, Part::Idle];
        if interleaved.into_iter().any(|part| self.wants(part)) {
            self.repetitions(&mut samples, extra).await?;
        }
        if self.wants(Part::Readers) {
            progress("clients that read nothing");
            self.readers(&mut samples, extra).await?;
        }
        if self.wants(Part::Cold) {
            progress("cold starts");
            self.cold_starts(&mut samples, extra).await?;
        }
        if self.wants(Part::Logs) {
            progress("requests with other sinks, and without logs");
            self.logs(extra).await?;
        }
        Ok(samples)
    }

    fn wants(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    fn suite(&self, target: Target) -> &Suite {
        if target == Target::Litellm { &self.slow } else { &self.fast }
    }

    async fn repetitions(&self, samples: &mut Samples, extra: &mut Extra) -> Result<(), RunError> {
        let mut proxies = Vec::new();
        for &target in &self.fast.targets {
            let started = Running::start(target, &self.fast.site, &[], target.patience()).await;
            if let Some(proxy) = tolerated(target, started, &mut samples.notes)? {
                if target == Target::Litellm {
                    let ms = proxy.ready_after().as_secs_f64() * 1_000.0;
                    extra.cold.push(ColdSample { rep: 0, target, ms });
                }
                proxies.push(proxy);
            }
        }
        for rep in 0..self.fast.plan.reps {
            progress(&format!("repetition {} of {}", rep + 1, self.fast.plan.reps));
            if self.wants(Part::Requests) {
                self.requests(rep, &proxies, samples).await;
            }
            if self.wants(Part::Streams) {
                self.streams(rep, &proxies, samples).await;
            }
            if self.wants(Part::Idle) {
                self.idle(rep, &proxies, samples).await?;
            }
            // Nobody is always first or always after the same neighbour.
            proxies.rotate_left(1);
        }
        for proxy in proxies {
            proxy.stop().await;
        }
        Ok(())
    }

    async fn requests(&self, rep: u32, proxies: &[Running], samples: &mut Samples) {
        for &concurrency in &self.fast.plan.concurrencies {
            for proxy in proxies {
                let suite = self.suite(proxy.target());
                if suite.plan.concurrencies.contains(&concurrency) {
                    samples.requests.push(suite.request_sample(rep, proxy, concurrency).await);
                }
            }
        }
    }

    async fn streams(&self, rep: u32, proxies: &[Running], samples: &mut Samples) {
        let rounds = self.fast.plan.stream_rounds;
        for round in 0..rounds {
            for proxy in proxies {
                let suite = self.suite(proxy.target());
                if round < suite.plan.stream_rounds {
                    samples.streams.push(suite.stream_sample(rep * rounds + round, proxy).await);
                }
            }
        }
    }

    async fn idle(&self, rep: u32, proxies: &[Running], samples: &mut Samples) -> Result<(), RunError> {
        for &prompt_bytes in &self.fast.plan.idle_prompts {
            for target in proxies.iter().map(Running::target).filter(|target| *target != Target::Direct) {
                let suite = self.suite(target);
                if rep < suite.plan.idle_reps {
                    let taken = suite.idle_sample(rep, target, prompt_bytes, samples).await;
                    tolerated(target, taken, &mut samples.notes)?;
                }
            }
        }
        Ok(())
    }

    async fn readers(&self, samples: &mut Samples, extra: &mut Extra) -> Result<(), RunError> {
        for rep in 0..self.plan.reader_reps {
            // LiteLLM takes minutes for what the others take at once.
            for target in self.quick_starters() {
                let taken = self.fast.slow_sample(rep, target, self.plan.readers).await;
                extra.readers.extend(tolerated(target, taken, &mut samples.notes)?.flatten());
            }
        }
        Ok(())
    }

    async fn cold_starts(&self, samples: &mut Samples, extra: &mut Extra) -> Result<(), RunError> {
        for rep in 0..self.plan.cold_starts {
            for target in self.quick_starters() {
                if target.is_peer() && rep >= self.plan.peer_cold_starts {
                    continue;
                }
                let taken = Running::first_answer(target, &self.fast.site, target.patience()).await;
                let taken = tolerated(target, taken, &mut samples.notes)?;
                extra.cold.extend(taken.map(|time| {
                    let ms = time.as_secs_f64() * 1_000.0;
                    ColdSample { rep, target, ms }
                }));
            }
        }
        Ok(())
    }

    /// Ours and the references with ours writing to one sink, and with nobody writing lines.
    async fn logs(&self, extra: &mut Extra) -> Result<(), RunError> {
        let mut proxies = Vec::new();
        for logs in [Logs::OneSink, Logs::Off] {
            let site = Site { logs, ..self.fast.site.clone() };
            for target in self.quick_starters().filter(|target| !target.is_peer()) {
                proxies.push((logs, Running::start(target, &site, &[], target.patience()).await?));
            }
        }
        for rep in 0..self.plan.log_reps {
            for (logs, proxy) in &proxies {
                let sample = self.fast.request_sample(rep, proxy, self.plan.log_concurrency).await;
                match logs {
                    Logs::Off => extra.no_logs.push(sample),
                    _ => extra.one_sink.push(sample),
                }
            }
            proxies.rotate_left(1);
        }
        for (_, proxy) in proxies {
            proxy.stop().await;
        }
        Ok(())
    }

    /// All proxies but `LiteLLM`.
    fn quick_starters(&self) -> impl Iterator<Item = Target> {
        let targets = self.fast.targets.iter().copied();
        targets.filter(|target| !matches!(target, Target::Direct | Target::Litellm))
    }
}

/// What was measured; of a peer that does not work there is a note instead.
fn tolerated<T>(
    target: Target,
    measured: Result<T, StartError>,
    notes: &mut Vec<String>,
) -> Result<Option<T>, RunError> {
    match measured {
        Ok(measured) => Ok(Some(measured)),
        Err(error) if target.is_peer() => {
            progress(&error.to_string());
            notes.push(format!("{}: {error}", target.label()));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_does_not_start_is_a_note_and_another_proxy_an_error() {
        let missing = || StartError::Io { target: "x", source: std::io::ErrorKind::NotFound.into() };
        let mut notes = Vec::new();
        assert_eq!(tolerated::<u32>(Target::Smg, Err(missing()), &mut notes).unwrap(), None);
        assert_eq!(notes.len(), 1);
        assert!(tolerated::<u32>(Target::Haproxy, Err(missing()), &mut notes).is_err());
        assert!(tolerated::<u32>(Target::Ours, Err(missing()), &mut notes).is_err());
        assert_eq!(tolerated(Target::Ours, Ok(7), &mut notes).unwrap(), Some(7));
    }
}
