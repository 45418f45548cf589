//! The goals set for the gateway and whether this run met them. A verdict is a statement about one run on one machine; it
//! is printed and never turned into a failure.

use super::rows::Rows;
use crate::load::request::SHORT_BODY_BYTES;
use crate::plan::COUNTING_CONCURRENCY;
use crate::proxies::Target;
use crate::samples::{Samples, total};

/// CPU time per small request, relative to the mean of nginx and haproxy.
const CPU_PER_REQUEST: f64 = 1.4;
/// CPU time per streamed chunk, relative to the same.
const CPU_PER_CHUNK: f64 = 1.05;
/// Added median delay of a chunk, relative to haproxy's.
const ADDED_DELAY: f64 = 1.1;
/// Share of chunks that may be 20 to 50 ms late by chance on a busy machine; Nagle's algorithm makes it several times
/// that. More is only a mode if haproxy had not as much in the same run.
const DELAYED_SHARE: f64 = 0.005;
/// Resident memory per open stream, in KiB.
const RSS_PER_STREAM_KIB: f64 = 16.0;
/// CPU time of all idle streams together, in milliseconds per second.
const IDLE_CPU_MS: f64 = 1.0;
/// System calls per small request at [`COUNTING_CONCURRENCY`] clients.
const SYSCALLS_PER_REQUEST: f64 = 4.5;

/// One goal and what came of it.
#[derive(Debug, PartialEq, serde::Serialize)]
pub(crate) struct Verdict {
    /// What is measured.
    pub(crate) goal: String,
    /// The value to reach, with its unit.
    pub(crate) target: String,
    /// The value measured; `None` if it was not.
    pub(crate) measured: Option<String>,
    /// Whether it was reached.
    pub(crate) outcome: VerdictOutcome,
}

/// How a goal fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VerdictOutcome {
    Met,
    Missed,
    NotMeasured,
}

/// All verdicts about [`Target::Ours`].
pub(super) fn judge(rows: &Rows, samples: &Samples) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for row in rows.requests.iter().filter(|row| row.target == Target::Ours) {
        let goal =
            format!("CPU per request, concurrency {}, to the mean of nginx and haproxy", row.concurrency);
        verdicts.push(at_most(goal, CPU_PER_REQUEST, "×", row.cpu_ratio.map(|ratio| ratio.median)));
    }
    if verdicts.is_empty() {
        verdicts.push(at_most(
            "CPU per request, to the mean of nginx and haproxy",
            CPU_PER_REQUEST,
            "×",
            None,
        ));
    }
    let stream = |target| rows.streams.iter().find(|row| row.target == target);
    let ours = stream(Target::Ours);
    let cpu = ours.and_then(|row| row.cpu_ratio);
    verdicts.push(at_most(
        "CPU per streamed chunk, to the mean of nginx and haproxy",
        CPU_PER_CHUNK,
        "×",
        cpu.map(|ratio| ratio.median),
    ));
    let added = ours.and_then(|row| row.added_to_haproxy);
    verdicts.push(at_most(
        "added median delay of a chunk, to haproxy's",
        ADDED_DELAY,
        "×",
        added.map(|ratio| ratio.median),
    ));
    let share = |target| stream(target).and_then(|row| row.delayed_share).map(|share| share.median);
    verdicts.push(delayed_mode(share(Target::Ours), share(Target::Haproxy)));

    let idle =
        rows.idle.iter().find(|row| row.target == Target::Ours && row.prompt_bytes == SHORT_BODY_BYTES);
    let memory = idle.and_then(|row| row.rss_kib_per_stream);
    verdicts.push(at_most(
        "memory per idle open stream",
        RSS_PER_STREAM_KIB,
        " KiB",
        memory.map(|kib| kib.median),
    ));
    let streams = idle.map_or_else(String::new, |row| format!(" of {} streams", row.streams));
    let cpu = idle.and_then(|row| row.cpu_ms_per_s);
    verdicts.push(at_most(format!("idle CPU{streams}"), IDLE_CPU_MS, " ms/s", cpu.map(|ms| ms.median)));

    let faults = samples.faults.iter().find(|sample| sample.target == Target::Ours);
    verdicts.push(none_of(
        "truncated upstream streams reported complete",
        faults.map(|sample| (sample.truncations.reported_complete, sample.truncations.tried)),
    ));
    verdicts.push(none_of(
        "failures in the stale keep-alive race",
        faults.map(|sample| (sample.stale.failed, sample.stale.tried)),
    ));
    let syscalls = samples.syscalls.iter().find(|sample| sample.target == Target::Ours);
    verdicts.push(at_most(
        format!("system calls per request, concurrency {COUNTING_CONCURRENCY}"),
        SYSCALLS_PER_REQUEST,
        "",
        syscalls.map(|sample| total(&sample.per_request)),
    ));
    verdicts
}

/// A goal that is reached up to and at `limit`.
pub(crate) fn at_most(goal: impl Into<String>, limit: f64, unit: &str, measured: Option<f64>) -> Verdict {
    Verdict {
        goal: goal.into(),
        target: format!("≤ {limit}{unit}"),
        measured: measured.map(|value| format!("{value:.2}{unit}")),
        outcome: VerdictOutcome::of(measured.map(|value| value <= limit)),
    }
}

fn none_of(goal: &str, measured: Option<(u64, u64)>) -> Verdict {
    Verdict {
        goal: goal.to_owned(),
        target: "0".to_owned(),
        measured: measured.map(|(count, tried)| format!("{count} of {tried}")),
        outcome: VerdictOutcome::of(measured.map(|(count, tried)| count == 0 && tried > 0)),
    }
}

fn delayed_mode(share: Option<f64>, haproxy: Option<f64>) -> Verdict {
    let limit = DELAYED_SHARE.max(haproxy.map_or(0.0, |share| 2.0 * share));
    Verdict {
        goal: "no 25–40 ms mode: share of chunks 20–50 ms late".to_owned(),
        target: format!("≤ {:.1} % (or twice haproxy's)", 100.0 * DELAYED_SHARE),
        measured: share.map(|share| format!("{:.2} %", 100.0 * share)),
        outcome: VerdictOutcome::of(share.map(|share| share <= limit)),
    }
}

// === impl VerdictOutcome ===

impl VerdictOutcome {
    /// The word in the table.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "**missed**",
            Self::NotMeasured => "not measured",
        }
    }

    /// `None` is what was not measured.
    pub(crate) fn of(reached: Option<bool>) -> Self {
        match reached {
            Some(true) => Self::Met,
            Some(false) => Self::Missed,
            None => Self::NotMeasured,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_met_up_to_its_value() {
        assert_eq!(at_most("x", 1.4, "×", Some(1.4)).outcome, VerdictOutcome::Met);
        assert_eq!(at_most("x", 1.4, "×", Some(1.41)).outcome, VerdictOutcome::Missed);
        assert_eq!(at_most("x", 1.4, "×", None).outcome, VerdictOutcome::NotMeasured);
    }

    #[test]
    fn zero_means_zero_and_needs_an_attempt() {
        assert_eq!(none_of("x", Some((0, 300))).outcome, VerdictOutcome::Met);
        assert_eq!(none_of("x", Some((1, 300))).outcome, VerdictOutcome::Missed);
        assert_eq!(none_of("x", Some((0, 0))).outcome, VerdictOutcome::Missed);
    }

    #[test]
    fn late_chunks_are_a_mode_only_if_haproxy_has_fewer() {
        assert_eq!(delayed_mode(Some(0.004), Some(0.0)).outcome, VerdictOutcome::Met);
        assert_eq!(delayed_mode(Some(0.02), Some(0.0)).outcome, VerdictOutcome::Missed);
        assert_eq!(delayed_mode(Some(0.02), Some(0.015)).outcome, VerdictOutcome::Met);
    }

    #[test]
    fn an_empty_run_judges_nothing() {
        let samples = Samples::default();
        let verdicts = judge(&Rows::of(&samples), &samples);
        assert!(verdicts.iter().all(|verdict| verdict.outcome == VerdictOutcome::NotMeasured));
        assert_eq!(verdicts.len(), 9);
    }
}
