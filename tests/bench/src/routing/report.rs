//! The figures of all policies as Markdown, with every sample as JSON beside it, and whether the targets are met. Pure.

use std::fmt::Write as _;

use ollamaflow_tests::simulated::Stats;

use super::load::Sample;
use super::plan::{FACTOR, MODELS, Plan};
use crate::measure::machine::Machine;
use crate::summary::as_f64;

/// What was measured, and on what.
#[derive(Debug, serde::Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) load_before: String,
    pub(super) load_after: String,
    pub(super) plan: Plan,
    pub(super) outcomes: Vec<Outcome>,
}

/// What one policy made of the load.
#[derive(Debug, serde::Serialize)]
pub(super) struct Outcome {
    /// As `LoadBalancing` names it, or [`NGINX`].
    pub(super) policy: &'static str,
    /// All requests, also those of the warm-up.
    pub(super) samples: Vec<Sample>,
    /// The counters of each engine at the end.
    pub(super) engines: Vec<Stats>,
}

/// The name of nginx in the table.
pub(super) const NGINX: &str = "nginx least_conn";

/// One row of the table.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    policy: &'static str,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    loads: u64,
    evictions: u64,
    reloads: u64,
    known_percent: f64,
    answers_per_s: f64,
    tokens_per_s: f64,
    errors: usize,
}

/// A target and what came of it.
struct Verdict {
    target: &'static str,
    found: String,
    is_met: bool,
}

impl Outcome {
    /// Models loaded by all engines together.
    pub(super) fn loads(&self) -> u64 {
        self.sum(|stats| stats.loads)
    }

    /// Requests that failed.
    pub(super) fn errors(&self) -> usize {
        self.samples.iter().filter(|sample| sample.error.is_some()).count()
    }

    /// The time to the first token that this share of the timed requests does not exceed.
    fn first_token_ms(&self, plan: &Plan, share: f64) -> f64 {
        let warm_up_ms = f64::from(plan.warm_up_s) * 1e3;
        let timed = self.samples.iter().filter(|sample| sample.at_ms >= warm_up_ms);
        percentile(timed.map(|sample| sample.first_token_ms).collect(), share)
    }

    fn sum(&self, counter: impl Fn(&Stats) -> u64) -> u64 {
        self.engines.iter().map(counter).sum()
    }

    fn row(&self, plan: &Plan) -> Row {
        let (warm_up_ms, seconds) = (f64::from(plan.warm_up_s) * 1e3, f64::from(plan.measured_s));
        let end_ms = warm_up_ms + seconds * 1e3;
        let ended = |sample: &&Sample| (warm_up_ms..end_ms).contains(&(sample.at_ms + sample.total_ms));
        let answered: Vec<_> =
            self.samples.iter().filter(|sample| sample.error.is_none()).filter(ended).collect();
        let (read, all) = (self.sum(|stats| stats.prompt_tokens_read), self.sum(|stats| stats.prompt_tokens));
        Row {
            policy: self.policy,
            p50_ms: self.first_token_ms(plan, 0.5),
            p99_ms: self.first_token_ms(plan, 0.99),
            max_ms: self.first_token_ms(plan, 1.0),
            loads: self.loads(),
            evictions: self.sum(|stats| stats.evictions),
            reloads: self.sum(|stats| stats.reloads),
            known_percent: 100.0 - 100.0 * as_f64(read) / as_f64(all.max(1)),
            answers_per_s: as_f64(answered.len() as u64) / seconds,
            tokens_per_s: as_f64(answered.iter().map(|sample| sample.tokens).sum()) / seconds,
            errors: self.errors(),
        }
    }
}

impl Report {
    pub(super) fn markdown(&self) -> String {
        let plan = &self.plan;
        let rows: Vec<Row> = self.outcomes.iter().map(|outcome| outcome.row(plan)).collect();
        let mut text = String::from(
            "# Routing benchmark\n\nPrinted by `scripts/bench-routing`: the same conversations for every policy, and for nginx, \
             before fresh simulated engines. A benchmark, never a test. Every sample is in the JSON file beside this one.\n\n\
             | policy | first token p50 | p99 | max | model loads | evictions | reloads | prompt known | answers/s | tokens/s \
             | errors |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for row in &rows {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "| {} | {:.0} ms | {:.0} ms | {:.0} ms | {} | {} | {} | {:.0} % | {:.2} | {:.0} | {} |",
                row.policy,
                row.p50_ms,
                row.p99_ms,
                row.max_ms,
                row.loads,
                row.evictions,
                row.reloads,
                row.known_percent,
                row.answers_per_s,
                row.tokens_per_s,
                row.errors,
            );
        }
        text.push_str("\n## Targets\n\n| target | found | |\n|---|---|---|\n");
        for Verdict { target, found, is_met } in verdicts(&rows) {
            let verdict = if is_met { "met" } else { "**missed**" };
            let _ = writeln!(text, "| {target} | {found} | {verdict} |");
        }
        text.push_str(&self.explanation());
        text.push_str(&self.conditions());
        text
    }

    fn explanation(&self) -> String {
        let plan = &self.plan;
        let lateness: Vec<f64> =
            self.outcomes.iter().flat_map(|outcome| &outcome.samples).map(|sample| sample.late_ms).collect();
        format!(
            "\n## Reading it\n\n\
             - Times are real ones divided by {FACTOR}: a load of 1 s stands for one of {FACTOR} s, 5 requests per second for one each \
             2 s. So are the node's interval of health checks ({} ms) and `AffinityWaitMs` ({}), otherwise its defaults.\n\
             - First token: from the instant at which the request was to be sent, whether or not anything held it up, to the first \
             byte of the answer's body. Failed requests count with the time until they failed.\n\
             - All requests and their instants are decided before the run; no answer delays a later request. The first {} s fill the \
             empty engines: they count as loads, but are not timed. p99 is that of about {:.0} requests.\n\
             - Model loads include reloads with other options. Prompt known: share of all prompt tokens that an engine had in its \
             cache. Answers/s and tokens/s: what was complete within the timed {} s.\n\
             - A slow load generator would send late; this one sent {:.1} ms late at p99, {:.1} ms at most.\n\
             - nginx knows neither models nor the engines' slots: what an engine cannot serve at once waits there, behind loads too.\n",
            5_000 / FACTOR,
            3_000 / FACTOR,
            plan.warm_up_s,
            plan.rate_per_s * f64::from(plan.measured_s),
            plan.measured_s,
            percentile(lateness.clone(), 0.99),
            percentile(lateness, 1.0),
        )
    }

    fn conditions(&self) -> String {
        let plan = &self.plan;
        let Machine { date, cpu, cpus, memory_mib, kernel, system, virtualised, versions } = &self.machine;
        let kind = if *virtualised { ", virtual machine" } else { "" };
        let version =
            |tool: &str| versions.iter().find(|(name, _)| name == tool).map_or("-", |(_, version)| version);
        let models: Vec<String> =
            MODELS.iter().map(|(name, load_ms)| format!("{name} {load_ms} ms")).collect();
        format!(
            "\n## Conditions\n\n\
             - Engines: {} simulated Ollama, each a process with room for {} of {} models, {} requests at once per model; `MaxParallelRequests` \
             {} for each.\n\
             - Loads, most popular model first: {}. Popularity 1/rank^{}.\n\
             - Answers: first token after {} ms plus the unknown prompt at {} tokens/s, then {} tokens/s, {} to {} tokens; {} conversations \
             cached per loaded model.\n\
             - Conversations: {} to {} turns about {} ms apart, growing histories after a system prompt of {} tokens, messages of {} to {} \
             tokens.\n\
             - Arrivals: {:.1} requests/s (Poisson conversations, seed {}), {:.0} % of the {:.1}/s that warm engines could serve at most; at a little more, `RoundRobin` loads models without end and falls behind.\n\
             - Date: {date}\n- Machine: {cpus} × {cpu}{kind}, {memory_mib} MiB\n- System: {system}, Linux {kernel}; {}\n\
             - Load average: {} before, {} after (the run's own load included)\n",
            plan.backends,
            plan.models_in_memory,
            MODELS.len(),
            plan.parallelism,
            plan.parallelism,
            models.join(", "),
            plan.zipf_exponent,
            plan.first_token_ms,
            plan.prefill_tokens_per_s,
            plan.tokens_per_s,
            plan.answer_tokens.0,
            plan.answer_tokens.1,
            plan.prefix_cache_entries,
            plan.turns.0,
            plan.turns.1,
            plan.think_ms,
            plan.system_tokens,
            plan.message_tokens.0,
            plan.message_tokens.1,
            plan.rate_per_s,
            plan.seed,
            100.0 * plan.rate_per_s / plan.warm_capacity_per_s(),
            plan.warm_capacity_per_s(),
            version("nginx"),
            self.load_before,
            self.load_after,
        )
    }
}

/// The targets, as far as the policies they speak of were run.
fn verdicts(rows: &[Row]) -> Vec<Verdict> {
    let of = |policy: &str| rows.iter().find(|row| row.policy == policy);
    let (Some(affinity), Some(turns)) = (of("ModelAffinity"), of("RoundRobin")) else { return Vec::new() };
    let best_other = rows
        .iter()
        .filter(|row| row.policy != affinity.policy)
        .min_by(|one, other| one.p99_ms.total_cmp(&other.p99_ms));
    let loads = Verdict {
        target: "`ModelAffinity` loads at most a third of the models that `RoundRobin` loads",
        found: format!("{} of {}", affinity.loads, turns.loads),
        is_met: affinity.loads * 3 <= turns.loads,
    };
    let first_token = best_other.map(|other| Verdict {
        target: "`ModelAffinity` has the best p99 time to the first token of all",
        found: format!("{:.0} ms; next {} with {:.0} ms", affinity.p99_ms, other.policy, other.p99_ms),
        is_met: affinity.p99_ms < other.p99_ms,
    });
    [loads].into_iter().chain(first_token).collect()
}

/// The value that this share of all does not exceed; 0 without values.
fn percentile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list of some thousand values"
    )]
    let place = ((values.len() as f64 * share).ceil() as usize).max(1) - 1;
    values.get(place).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::super::plan::QUICK;
    use super::*;

    fn outcome(policy: &'static str, loads: u64, first_token_ms: f64) -> Outcome {
        let sample = |at_ms: f64| Sample {
            at_ms,
            model: "m",
            turn: 0,
            late_ms: 0.0,
            first_token_ms,
            total_ms: 1_000.0,
            tokens: 10,
            error: None,
        };
        let engines = vec![Stats { loads, prompt_tokens: 100, prompt_tokens_read: 25, ..Stats::default() }];
        // The first belongs to the warm-up, the last ends after the window.
        Outcome { policy, samples: [0.0, 5_000.0, 6_000.0, 11_500.0].map(sample).to_vec(), engines }
    }

    #[test]
    fn a_row_counts_what_was_complete_within_the_window() {
        let row = outcome("RoundRobin", 9, 70.0).row(&QUICK);
        assert!((row.answers_per_s - 0.2).abs() < 1e-9 && (row.tokens_per_s - 2.0).abs() < 1e-9, "{row:?}");
        assert!((row.known_percent - 75.0).abs() < 1e-9 && (row.p99_ms - 70.0).abs() < 1e-9, "{row:?}");
        assert_eq!((row.loads, row.errors), (9, 0));
    }

    #[test]
    fn the_targets_are_a_third_of_the_loads_and_the_best_first_token() {
        let met = |affinity: Outcome, others: &[Outcome]| {
            let rows: Vec<Row> =
                [&affinity].into_iter().chain(others).map(|outcome| outcome.row(&QUICK)).collect();
            verdicts(&rows).iter().map(|verdict| verdict.is_met).collect::<Vec<_>>()
        };
        let others = [outcome("RoundRobin", 9, 70.0), outcome(NGINX, 9, 60.0)];
        assert_eq!(met(outcome("ModelAffinity", 3, 59.0), &others), [true, true]);
        assert_eq!(met(outcome("ModelAffinity", 4, 61.0), &others), [false, false]);
        assert!(met(outcome("Random", 4, 61.0), &others).is_empty());
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        assert!((percentile((1..=100).map(f64::from).collect(), 0.99) - 99.0).abs() < 1e-9);
        assert!(percentile(Vec::new(), 0.5).abs() < 1e-9);
    }
}
