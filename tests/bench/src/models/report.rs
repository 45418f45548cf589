//! The times of the merged list as Markdown, and whether the target is met. Pure.

use std::fmt::Write as _;

use super::Amounts;
use crate::measure::machine::Machine;

/// What 99 of 100 requests must stay below, in milliseconds.
const TARGET_MS: f64 = 5.0;

/// What was measured, and on what.
#[derive(Debug, serde::Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) load_before: String,
    pub(super) load_after: String,
    pub(super) amounts: Amounts,
    pub(super) rows: Vec<Row>,
}

/// The times of one kind of request.
#[derive(Debug, serde::Serialize)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) requests: u64,
    /// Of the answer's body.
    pub(super) bytes: usize,
    /// Times that the list became another one meanwhile.
    pub(super) changes: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
    pub(super) max_ms: f64,
}

impl Row {
    fn shown(&self) -> String {
        let verdict = if self.p99_ms < TARGET_MS { "met" } else { "**missed**" };
        let Self { what, requests, bytes, changes, p50_ms, p99_ms, p999_ms, max_ms } = self;
        format!(
            "| {what} | {bytes} | {changes} | {requests} | {p50_ms:.2} ms | {p99_ms:.2} ms | {p999_ms:.2} ms | {max_ms:.2} ms \
             | {verdict} |",
        )
    }
}

impl Report {
    pub(super) fn markdown(&self) -> String {
        let Machine { date, cpu, cpus, memory_mib, kernel, system, virtualised, .. } = &self.machine;
        let kind = if *virtualised { ", virtual machine" } else { "" };
        let Amounts { backends, models, window_s } = self.amounts;
        let mut text = format!(
            "# Benchmark of the merged list of models\n\nPrinted by `scripts/bench-models`: `/api/tags` of a node over HTTP, \
             before {backends} backends with {models} models each. A benchmark, never a test. The target is a p99 below \
             {TARGET_MS} ms.\n\n| what | bytes | changes | requests | p50 | p99 | p99.9 | max | target |\n\
             |---|---|---|---|---|---|---|---|---|\n",
        );
        for row in &self.rows {
            text.push_str(&row.shown());
            text.push('\n');
        }
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n## Reading it\n\n\
             - From before the request is written to the last byte of the answer, by one client on one connection that asks again \
             as soon as it is answered, for {window_s} s. Client, node and backends share the machine.\n\
             - Changing: a backend gets a model or loses it by `/api/copy` and `/api/delete` through the node, which then reads that \
             backend's list anew; each change showed in the list before the next one was made.\n\
             - Not changed: the client names the list it has (`If-None-Match`).\n\
             \n## Conditions\n\n- Date: {date}\n- Machine: {cpus} × {cpu}{kind}, {memory_mib} MiB\n- System: {system}, Linux \
             {kernel}\n- Load average: {} before, {} after (the run's own load included)\n",
            self.load_before, self.load_after,
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_whether_the_target_is_met() {
        let row = |p99_ms| Row {
            what: "all".to_owned(),
            requests: 3,
            bytes: 2,
            changes: 1,
            p50_ms: 0.5,
            p99_ms,
            p999_ms: 6.0,
            max_ms: 7.0,
        };
        assert_eq!(row(4.99).shown(), "| all | 2 | 1 | 3 | 0.50 ms | 4.99 ms | 6.00 ms | 7.00 ms | met |");
        assert!(row(5.0).shown().ends_with("| **missed** |"));
    }
}
