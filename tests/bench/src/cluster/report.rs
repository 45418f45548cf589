//! The figures of a cluster as Markdown, with every sample as JSON beside it. Pure.

use std::fmt::Write as _;

use super::Amounts;
use crate::measure::machine::Machine;

/// What was measured, and on what.
#[derive(Debug, serde::Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) load_before: String,
    pub(super) load_after: String,
    pub(super) amounts: Amounts,
    pub(super) samples: Vec<Sample>,
}

/// One figure, measured many times.
#[derive(Debug, serde::Serialize)]
pub(super) struct Sample {
    pub(super) what: String,
    pub(super) unit: &'static str,
    /// What 99 of 100 must stay below.
    pub(super) target_max: Option<f64>,
    pub(super) values: Vec<f64>,
}

impl Sample {
    /// The value that this share of all does not exceed; none without values.
    fn percentile(&self, share: f64) -> Option<f64> {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in a list of some thousand values"
        )]
        let place = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
        sorted.get(place).copied()
    }

    fn row(&self) -> String {
        let shown =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1} {}", self.unit));
        let p99 = self.percentile(0.99);
        let (target, verdict) = match (self.target_max, p99) {
            (Some(target), Some(p99)) if p99 < target => (shown(Some(target)), "met"),
            (Some(target), _) => (shown(Some(target)), "**missed**"),
            (None, _) => ("-".to_owned(), ""),
        };
        format!(
            "| {} | {} | {} | {p99} | {} | {target} | {verdict} |",
            self.what,
            self.values.len(),
            shown(self.percentile(0.5)),
            shown(self.percentile(1.0)),
            p99 = shown(p99),
        )
    }
}

impl Report {
    pub(super) fn markdown(&self) -> String {
        let Machine { date, cpu, cpus, memory_mib, kernel, system, virtualised, .. } = &self.machine;
        let kind = if *virtualised { ", virtual machine" } else { "" };
        let mut text = String::from(
            "# Cluster benchmark\n\nPrinted by `scripts/bench-cluster`: three nodes, their clients and their backend on one \
             machine and one disk. A benchmark, never a test. Every sample is in the JSON file beside this one. Targets \
             are for p99.\n\n| what | n | p50 | p99 | max | target | |\n|---|---|---|---|---|---|---|\n",
        );
        for sample in &self.samples {
            text.push_str(&sample.row());
            text.push('\n');
        }
        let _ = write!(
            text,
            "\n## Conditions\n\n- Date: {date}\n- Machine: {cpus} × {cpu}{kind}, {memory_mib} MiB\n- System: {system}, Linux \
             {kernel}\n- Load average: {} before, {} after (the run's own load included)\n",
            self.load_before, self.load_after,
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(values: Vec<f64>, target_max: Option<f64>) -> Sample {
        Sample { what: "x".to_owned(), unit: "ms", target_max, values }
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let hundred = sample((1..=100).map(f64::from).collect(), None);
        assert_eq!(hundred.percentile(0.5), Some(50.0));
        assert_eq!(hundred.percentile(0.99), Some(99.0));
        assert_eq!(hundred.percentile(1.0), Some(100.0));
        assert_eq!(sample(vec![3.0], None).percentile(0.99), Some(3.0));
        assert_eq!(sample(Vec::new(), None).percentile(0.5), None);
    }

    #[test]
    fn a_row_says_whether_the_target_is_met() {
        assert!(sample(vec![1.0], Some(2.0)).row().ends_with("| 2.0 ms | met |"));
        assert!(sample(vec![3.0], Some(2.0)).row().ends_with("| **missed** |"));
        assert!(sample(Vec::new(), Some(2.0)).row().ends_with("| **missed** |"));
    }
}
