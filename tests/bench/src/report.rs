//! The result of a run: rows for the tables, verdicts on the targets, and everything raw, as JSON and as Markdown. In:
//! samples and circumstances; out: data and text. Starts and measures nothing.

pub(crate) mod markdown;
mod rows;
pub(crate) mod targets;

use crate::measure::machine::Machine;
use crate::plan::Plan;
use crate::proxies::Target;
use crate::samples::Samples;

pub(crate) use self::rows::{RequestRow, Rows};
pub(crate) use self::targets::Verdict;

/// Under which circumstances the figures came about.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Conditions {
    /// The command line.
    pub(crate) command: String,
    /// The state of the sources, as `git describe` names it, and the version that [`Target::Ours`] gives itself.
    pub(crate) revision: Option<String>,
    /// Everything that was measured, [`Target::Direct`] included.
    pub(crate) measured: Vec<Target>,
    /// Workers of every proxy.
    pub(crate) workers: u16,
    /// CPUs of the proxies, if pinned.
    pub(crate) proxy_cpus: Option<String>,
    /// CPUs of the upstream and the load generator, if pinned.
    pub(crate) load_cpus: Option<String>,
    /// Load averages before the run.
    pub(crate) load_before: String,
    /// Load averages after the run, which caused part of them.
    pub(crate) load_after: String,
    /// Percentage of all CPU time that the hypervisor took away during the run.
    pub(crate) steal_percent: f64,
    /// How long the run took.
    pub(crate) took_s: u64,
    /// Whether the amounts were those of a quick run.
    pub(crate) quick: bool,
    /// The amounts.
    pub(crate) plan: Plan,
}

/// A whole result.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) conditions: Conditions,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) rows: Rows,
    pub(crate) samples: Samples,
}

#[cfg(test)]
impl Conditions {
    /// Of a quick run, for tests.
    pub(crate) fn example(command: &str, measured: Vec<Target>) -> Self {
        Self {
            command: command.to_owned(),
            revision: None,
            measured,
            workers: 1,
            proxy_cpus: Some("0".to_owned()),
            load_cpus: Some("1".to_owned()),
            load_before: "0.10 0.20 0.30".to_owned(),
            load_after: "1.00 0.50 0.40".to_owned(),
            steal_percent: 1.5,
            took_s: 50,
            quick: true,
            plan: Plan::quick(),
        }
    }
}

// === impl Report ===

impl Report {
    /// Summarises `samples`.
    pub(crate) fn new(machine: Machine, conditions: Conditions, samples: Samples) -> Self {
        let rows = Rows::of(&samples);
        let verdicts = targets::judge(&rows, &samples);
        Self { machine, conditions, verdicts, rows, samples }
    }

    /// Everything, for programs.
    ///
    /// # Errors
    /// None that a report could cause.
    pub(crate) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// The tables, for people.
    pub(crate) fn markdown(&self) -> String {
        markdown::render(self)
    }
}
