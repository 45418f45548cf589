//! The goals set for the gateway beside its peers, and whether this run met them. Each is reported, met or not; none fails a
//! build.

use super::rows::{ColdRow, SlowRow};
use crate::load::request::SHORT_BODY_BYTES;
use crate::proxies::Target;
use crate::report::Rows;
use crate::report::targets::{Verdict, VerdictOutcome, at_most};
use crate::samples::Samples;
use crate::summary::{ByRep, Quartiles, ratios};

/// CPU time per small request with a line logged for each, relative to the mean of nginx and haproxy.
const CPU_PER_REQUEST: f64 = 1.25;
/// CPU time per streamed chunk, relative to the same.
const CPU_PER_CHUNK: f64 = 1.0;
/// CPU time per request of `LiteLLM`, in ours.
const LITELLM_CPU: f64 = 200.0;
/// Resident memory per idle open stream, in KiB.
const RSS_PER_STREAM_KIB: f64 = 14.0;
/// The same after a prompt of [`LONG_PROMPT_BYTES`].
const RSS_AFTER_LONG_PROMPT_KIB: f64 = 32.0;
/// The prompt that is meant by that.
const LONG_PROMPT_BYTES: usize = 100 * 1024;
/// Resident memory per client that reads nothing, in KiB.
const RSS_PER_READER_KIB: f64 = 128.0;
/// From the start of the process to the first answer, in milliseconds.
const COLD_START_MS: f64 = 150.0;

/// What is known of the instructions of a request, which another script counts.
#[derive(Debug, Default)]
pub(super) struct Instructions {
    /// `docs/benchmarks/instructions.json`.
    pub(super) saved: Option<String>,
    /// The gate's script.
    pub(super) gate: Option<String>,
}

/// All verdicts.
pub(super) fn judge(
    samples: &Samples,
    rows: &Rows,
    readers: &[SlowRow],
    cold: &[ColdRow],
    instructions: &Instructions,
) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let ours: Vec<_> = rows.requests.iter().filter(|row| row.target == Target::Ours).collect();
    for row in &ours {
        let goal = format!("CPU per request, {} clients, to the mean of nginx and haproxy", row.concurrency);
        verdicts.push(at_most(goal, CPU_PER_REQUEST, "×", median(row.cpu_ratio)));
    }
    if ours.is_empty() {
        let goal = "CPU per request, to the mean of nginx and haproxy";
        verdicts.push(at_most(goal, CPU_PER_REQUEST, "×", None));
    }
    let stream = rows.streams.iter().find(|row| row.target == Target::Ours);
    let goal = "CPU per streamed chunk, to the mean of nginx and haproxy";
    verdicts.push(at_most(goal, CPU_PER_CHUNK, "×", stream.and_then(|row| median(row.cpu_ratio))));
    let goal = "p99 delay of a chunk, to haproxy's";
    verdicts.push(at_most(goal, 1.0, "×", median(delay_to_haproxy(samples))));
    for peer in [Target::Smg, Target::VllmRouter] {
        // The least favourable number of clients counts.
        let worst = cpu_to(samples, Target::Ours, peer).into_iter().map(|(_, ratio)| ratio).reduce(f64::max);
        let goal = format!("CPU per request, to that of {}, at worst", peer.label());
        verdicts.push(below(goal, 1.0, "×", worst));
    }
    let litellm = cpu_to(samples, Target::Litellm, Target::Ours);
    for (concurrency, ratio) in &litellm {
        let goal = format!("CPU per request of LiteLLM, in ours, {concurrency} clients");
        verdicts.push(at_least(goal, LITELLM_CPU, "×", Some(*ratio)));
    }
    if litellm.is_empty() {
        verdicts.push(at_least("CPU per request of LiteLLM, in ours".to_owned(), LITELLM_CPU, "×", None));
    }
    let idle = |prompt| {
        let row = rows.idle.iter().find(|row| (row.target, row.prompt_bytes) == (Target::Ours, prompt));
        row.and_then(|row| median(row.rss_kib_per_stream))
    };
    let goal = "memory per idle open stream";
    verdicts.push(at_most(goal, RSS_PER_STREAM_KIB, " KiB", idle(SHORT_BODY_BYTES)));
    let goal = "memory per idle open stream after a prompt of 100 KiB";
    verdicts.push(at_most(goal, RSS_AFTER_LONG_PROMPT_KIB, " KiB", idle(LONG_PROMPT_BYTES)));
    let reader = readers.iter().find(|row| row.target == Target::Ours);
    let goal = "memory per client that reads nothing";
    verdicts.push(at_most(
        goal,
        RSS_PER_READER_KIB,
        " KiB",
        reader.and_then(|row| median(row.rss_kib_per_reader)),
    ));
    let start = cold.iter().find(|row| row.target == Target::Ours);
    verdicts.push(below(
        "cold start to the first answer".to_owned(),
        COLD_START_MS,
        " ms",
        start.and_then(|row| median(row.ms)),
    ));
    verdicts.push(instructions.verdict());
    verdicts
}

fn median(quartiles: Option<Quartiles>) -> Option<f64> {
    quartiles.map(|quartiles| quartiles.median)
}

/// CPU time per request of `one` relative to `other`'s, for each number of clients: medians of the ratios of each
/// repetition.
pub(super) fn cpu_to(samples: &Samples, one: Target, other: Target) -> Vec<(usize, f64)> {
    let by_rep = |target, concurrency| -> ByRep {
        let of = samples
            .requests
            .iter()
            .filter(|sample| (sample.target, sample.concurrency) == (target, concurrency));
        // Without a request the time per request is no figure.
        of.filter(|sample| sample.completed > 0)
            .filter_map(|sample| Some((sample.rep, sample.cpu_us?)))
            .collect()
    };
    let mut concurrencies: Vec<usize> = samples.requests.iter().map(|sample| sample.concurrency).collect();
    concurrencies.sort_unstable();
    concurrencies.dedup();
    let ratio = |concurrency| {
        let quartiles = Quartiles::of(&ratios(&by_rep(one, concurrency), &by_rep(other, concurrency)))?;
        Some((concurrency, quartiles.median))
    };
    concurrencies.into_iter().filter_map(ratio).collect()
}

/// The p99 delay of ours relative to haproxy's in the same repetition.
fn delay_to_haproxy(samples: &Samples) -> Option<Quartiles> {
    let by_rep = |target| -> ByRep {
        let of = samples.streams.iter().filter(|sample| sample.target == target);
        of.map(|sample| (sample.rep, sample.delay_p99_us)).collect()
    };
    Quartiles::of(&ratios(&by_rep(Target::Ours), &by_rep(Target::Haproxy)))
}

fn below(goal: String, limit: f64, unit: &str, measured: Option<f64>) -> Verdict {
    Verdict {
        goal,
        target: format!("< {limit}{unit}"),
        measured: measured.map(|value| format!("{value:.2}{unit}")),
        outcome: VerdictOutcome::of(measured.map(|value| value < limit)),
    }
}

fn at_least(goal: String, limit: f64, unit: &str, measured: Option<f64>) -> Verdict {
    Verdict {
        goal,
        target: format!("≥ {limit}{unit}"),
        measured: measured.map(|value| format!("{value:.0}{unit}")),
        outcome: VerdictOutcome::of(measured.map(|value| value >= limit)),
    }
}

// === impl Instructions ===

impl Instructions {
    /// As the working folder has them: the benchmark runs in the repository's.
    pub(super) fn read() -> Self {
        let text = |path| std::fs::read_to_string(path).ok();
        Self { saved: text("docs/benchmarks/instructions.json"), gate: text(".ci/run") }
    }

    fn verdict(&self) -> Verdict {
        let saved = self.saved.as_deref().map(numbers).filter(|numbers| !numbers.is_empty());
        let gate = self.gate.as_deref().is_some_and(|gate| gate.contains("scripts/callgrind --check"));
        Verdict {
            goal: "user instructions per request: saved, and gated in CI".to_owned(),
            target: "within 5 %".to_owned(),
            measured: saved
                .as_ref()
                .map(|numbers| format!("{numbers}; {}", if gate { "gated" } else { "not gated" })),
            outcome: VerdictOutcome::of(saved.map(|_| gate)),
        }
    }
}

/// The saved numbers with their build profiles.
fn numbers(saved: &str) -> String {
    let saved: serde_json::Value = serde_json::from_str(saved).unwrap_or_default();
    let profiles = saved["profiles"].as_object();
    let each = profiles.into_iter().flatten().filter_map(|(profile, entry)| {
        Some(format!("{} ({profile})", entry["instructions_per_request"].as_u64()?))
    });
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::RequestSample;

    fn sample(rep: u32, target: Target, concurrency: usize, cpu_us: f64) -> RequestSample {
        RequestSample { concurrency, ..RequestSample::example(rep, target, Some(cpu_us)) }
    }

    fn verdicts(requests: Vec<RequestSample>) -> Vec<Verdict> {
        let samples = Samples { requests, ..Samples::default() };
        judge(&samples, &Rows::of(&samples), &[], &[], &Instructions::default())
    }

    fn outcome(verdicts: &[Verdict], goal: &str) -> VerdictOutcome {
        verdicts.iter().find(|verdict| verdict.goal.contains(goal)).unwrap().outcome
    }

    #[test]
    fn an_empty_run_judges_nothing_and_names_every_goal() {
        let verdicts = verdicts(Vec::new());
        assert_eq!(verdicts.len(), 11);
        assert!(verdicts.iter().all(|verdict| verdict.outcome == VerdictOutcome::NotMeasured));
    }

    #[test]
    fn a_peer_has_to_be_dearer_at_every_number_of_clients() {
        let mut requests = Vec::new();
        for (rep, slowness) in [(0, 1.0), (1, 5.0)] {
            requests.push(sample(rep, Target::Ours, 1, 50.0 * slowness));
            requests.push(sample(rep, Target::Ours, 32, 40.0 * slowness));
            requests.push(sample(rep, Target::Smg, 1, 80.0 * slowness));
            requests.push(sample(rep, Target::Smg, 32, 39.0 * slowness));
            requests.push(sample(rep, Target::VllmRouter, 1, 80.0 * slowness));
            requests.push(sample(rep, Target::VllmRouter, 32, 80.0 * slowness));
        }
        let verdicts = verdicts(requests);
        assert_eq!(outcome(&verdicts, "that of smg"), VerdictOutcome::Missed);
        assert_eq!(outcome(&verdicts, "that of vllm-router"), VerdictOutcome::Met);
    }

    #[test]
    fn litellm_is_judged_at_each_number_of_clients() {
        let verdicts = verdicts(vec![
            sample(0, Target::Ours, 1, 100.0),
            sample(0, Target::Litellm, 1, 15_000.0),
            sample(0, Target::Ours, 32, 50.0),
            sample(0, Target::Litellm, 32, 10_000.0),
        ]);
        assert_eq!(outcome(&verdicts, "ours, 1 clients"), VerdictOutcome::Missed);
        assert_eq!(outcome(&verdicts, "ours, 32 clients"), VerdictOutcome::Met);
    }

    #[test]
    fn instructions_are_met_only_if_they_are_gated() {
        let saved = r#"{"profiles":{"lto=off":{"instructions_per_request":82635}}}"#.to_owned();
        let with = |gate: &str| Instructions { saved: Some(saved.clone()), gate: Some(gate.to_owned()) };
        let gated = with("step x scripts/callgrind --check").verdict();
        assert_eq!(gated.measured.as_deref(), Some("82635 (lto=off); gated"));
        assert_eq!(gated.outcome, VerdictOutcome::Met);
        assert_eq!(with("step tests").verdict().outcome, VerdictOutcome::Missed);
    }
}
