//! The result beside the peers, as JSON and as Markdown: the report of the gateway's benchmark with other goals and the
//! tables that only this run has. In: samples and circumstances; out: data and text.

use std::fmt::Write as _;

use super::order::Extra;
use super::plan::PeersPlan;
use super::rows::{self, ColdRow, FailoverRow, SlowRow};
use super::targets::{self, Instructions};
use super::wholeness;
use crate::measure::machine::Machine;
use crate::proxies::Target;
use crate::report::markdown::format::{Table, median, number, spread};
use crate::report::markdown::tables::{self, section};
use crate::report::markdown::{conditions, notes, verdicts};
use crate::report::{Conditions, Report, RequestRow, Rows};
use crate::samples::Samples;

/// A whole result.
#[derive(Debug, serde::Serialize)]
pub(super) struct PeersReport {
    #[serde(flatten)]
    base: Report,
    plan: PeersPlan,
    readers: Vec<SlowRow>,
    cold: Vec<ColdRow>,
    failover: Vec<FailoverRow>,
    one_sink: Vec<RequestRow>,
    no_logs: Vec<RequestRow>,
    /// What did not come, by target.
    losses: Vec<(Target, String)>,
    extra: Extra,
}

// === impl PeersReport ===

impl PeersReport {
    /// Summarises everything.
    pub(super) fn new(
        machine: Machine,
        conditions: Conditions,
        plan: PeersPlan,
        samples: Samples,
        extra: Extra,
    ) -> Self {
        let losses = wholeness::losses(&samples, &extra, &plan);
        let mut base = Report::new(machine, conditions, samples);
        let (readers, cold) = (rows::slow(&extra.readers), rows::cold(&extra.cold));
        base.verdicts = targets::judge(&base.samples, &base.rows, &readers, &cold, &Instructions::read());
        Self {
            plan,
            readers,
            cold,
            failover: rows::failover(&extra.failover),
            one_sink: Rows::of_requests(&extra.one_sink),
            no_logs: Rows::of_requests(&extra.no_logs),
            losses: losses.into_iter().map(|loss| (loss.target, loss.what)).collect(),
            base,
            extra,
        }
    }

    /// What did not come through nginx, haproxy, ours or without a proxy: no figure of such a run means anything.
    pub(super) fn faults(&self) -> Vec<String> {
        let own = self.losses.iter().filter(|(target, _)| !target.is_peer());
        own.map(|(target, what)| format!("{}: {what}", target.label())).collect()
    }

    /// Everything, for programs.
    ///
    /// # Errors
    /// None that a report could cause.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// The tables, for people.
    pub(super) fn markdown(&self) -> String {
        let base = &self.base;
        let sections = [
            "# The gateway beside its peers\n".to_owned(),
            "Printed by `scripts/bench-peers`. It measures one run on one machine: a benchmark, never a test. Raw samples \
             are in the JSON file beside this one.\n"
                .to_owned(),
            verdicts(base),
            conditions(base, CAVEATS),
            self.losses(),
            tables::requests(base),
            self.peers(),
            self.logs(),
            tables::streams(base),
            self.less_for_litellm(),
            tables::idle(base),
            self.readers(),
            self.cold(),
            self.failover(),
            notes(base),
        ];
        let sections: Vec<String> = sections.into_iter().filter(|section| !section.is_empty()).collect();
        sections.join("\n")
    }

    fn losses(&self) -> String {
        section("Not whole", self.losses.is_empty(), || {
            let mut text = "What was asked for and did not come; figures are of what came.\n\n".to_owned();
            for (target, what) in &self.losses {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "- {}: {what}", target.label());
            }
            text
        })
    }

    /// CPU time per request of each peer, in ours.
    fn peers(&self) -> String {
        let peers = [Target::Smg, Target::VllmRouter, Target::Litellm];
        let ratios: Vec<_> =
            peers.map(|peer| (peer, targets::cpu_to(&self.base.samples, peer, Target::Ours))).into();
        section("CPU per request, in ours", ratios.iter().all(|(_, ratios)| ratios.is_empty()), || {
            let mut table = Table::new(&["peer", "clients", "times ours"]);
            for (peer, ratios) in &ratios {
                for (concurrency, ratio) in ratios {
                    table.row([peer.label().to_owned(), concurrency.to_string(), number(*ratio)]);
                }
            }
            format!("Medians of the ratios within each repetition.\n\n{table}")
        })
    }

    fn logs(&self) -> String {
        let is_empty = self.one_sink.is_empty() && self.no_logs.is_empty();
        section("What the lines cost", is_empty, || {
            let mut table =
                Table::new(&["lines about requests", "proxy", "requests/s", "CPU µs/request", "CPU ratio"]);
            for (lines, rows) in [("one file each", &self.one_sink), ("none", &self.no_logs)] {
                for row in rows {
                    table.row([
                        lines.to_owned(),
                        row.target.label().to_owned(),
                        median(row.requests_per_s),
                        spread(row.cpu_us),
                        spread(row.cpu_ratio),
                    ]);
                }
            }
            format!(
                "Small requests of {} clients. In the table above, ours writes each line three times, as it does by \
                 default (console, a file, syslog).\n\n{table}",
                self.plan.log_concurrency
            )
        })
    }

    fn less_for_litellm(&self) -> String {
        let streams = self.base.samples.streams.iter().any(|sample| sample.target == Target::Litellm);
        if !streams {
            return String::new();
        }
        let plan = &self.plan.slow;
        format!(
            "LiteLLM gets {} streams × {} chunks, one every {} ms, and windows of {} ms for small requests.\n",
            plan.streams,
            plan.chunks,
            plan.interval_us / 1_000,
            plan.window_ms
        )
    }

    fn readers(&self) -> String {
        section("Clients that read nothing", self.readers.is_empty(), || {
            let mut table = Table::new(&["proxy", "clients", "KiB per client", "read later", "whole"]);
            for row in &self.readers {
                table.row([
                    row.target.label().to_owned(),
                    row.readers.to_string(),
                    spread(row.rss_kib_per_reader),
                    row.read.to_string(),
                    row.whole.to_string(),
                ]);
            }
            format!(
                "A stream of {} chunks of 1 KiB, sent as fast as it is taken, to clients that take nothing, on freshly \
                 started proxies: growth of the resident memory (without the kernel's buffers) when it grows no more. \
                 Some of the streams are read to their ends after that.\n\n{table}",
                self.plan.readers.chunks
            )
        })
    }

    fn cold(&self) -> String {
        section("Cold start", self.cold.is_empty(), || {
            let mut table = Table::new(&["proxy", "starts", "ms", "worst ms"]);
            for row in &self.cold {
                table.row([
                    row.target.label().to_owned(),
                    row.ms.map_or(0, |quartiles| quartiles.n).to_string(),
                    spread(row.ms),
                    number(row.worst_ms),
                ]);
            }
            format!(
                "From the start of the process, with an empty folder for its data, to the first whole answer through \
                 it, asked for each millisecond.\n\n{table}"
            )
        })
    }

    fn failover(&self) -> String {
        section("The death of a leader", self.failover.is_empty(), || {
            let mut table = Table::new(&["longest time in ms", "median", "worst"]);
            for row in &self.failover {
                table.row([row.what.to_owned(), spread(row.ms), number(row.worst_ms)]);
            }
            let (failed, all) = rows::failures(&self.extra.failover);
            format!(
                "Three nodes of ours on this machine, not pinned; {} leaders are killed (signal 9). {failed} of {all} requests \
                 failed on the nodes that survived.\n\n{table}",
                self.plan.failovers
            )
        })
    }
}

/// What a reader must know before believing a figure.
const CAVEATS: &str = "
How far to trust it:

- Everything is on loopback. Upstream and load generator share one CPU, so requests per second are those of this \
arrangement; the CPU time of the proxy alone (scheduler time of all its threads and processes, user and system) is the \
figure to compare.
- Everybody logs: nginx and haproxy one line for each request to a file (nginx `combined`, unbuffered; haproxy `httplog` to \
its standard output), ours its access log to all its usual sinks, smg, vllm-router and LiteLLM what they log by default, to a \
file. Metrics are on everywhere: ours, smg and vllm-router for Prometheus, nginx and haproxy their own counters.
- nginx and haproxy know nothing of models, keys or tokens. smg and vllm-router route in round robin, without a tokenizer; \
LiteLLM runs one worker without a database.
- With one client, CPU per request is mostly the cost of waking up on another CPU, for every proxy alike.
- p99 delays of several milliseconds are other processes' time slices when the machine is busy; compare them within \
this run only.
- Memory of smg and vllm-router contains the Python that starts them; growth does not.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::StreamSample;

    fn report(samples: Samples, extra: Extra) -> PeersReport {
        let measured = vec![Target::Direct, Target::Ours, Target::Smg];
        let conditions = Conditions::example("scripts/bench-peers --quick", measured);
        PeersReport::new(Machine::describe(), conditions, PeersPlan::quick(), samples, extra)
    }

    #[test]
    fn a_loss_of_ours_is_a_fault_and_one_of_a_peer_is_shown() {
        let samples = Samples {
            streams: vec![StreamSample::example(Target::Ours, 10), StreamSample::example(Target::Smg, 3)],
            ..Samples::default()
        };
        let of_peer = report(samples, Extra::default());
        assert_eq!(of_peer.faults(), Vec::<String>::new());
        assert!(of_peer.markdown().contains("- smg: 7 of 10 streams not whole"));
        let samples = Samples { streams: vec![StreamSample::example(Target::Ours, 9)], ..Samples::default() };
        assert_eq!(report(samples, Extra::default()).faults(), ["ours: 1 of 10 streams not whole"]);
    }

    #[test]
    fn what_was_measured_is_in_both_forms_and_nothing_else() {
        let cold = vec![rows::ColdSample { rep: 0, target: Target::Smg, ms: 270.0 }];
        let report = report(Samples::default(), Extra { cold, ..Extra::default() });
        let text = report.markdown();
        assert!(text.contains("| smg   | 1      | 270 [270–270] | 270      |"), "{text}");
        assert!(!text.contains("## The death of a leader"));
        let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        assert_eq!(json["cold"][0]["worst_ms"], 270.0);
        assert_eq!(json["extra"]["cold"][0]["target"], "smg");
        assert_eq!(json["conditions"]["measured"][2], "smg");
    }
}
