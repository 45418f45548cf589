//! The report as Markdown: verdicts first, then the circumstances, then the tables. In: a report; out: text.

pub(crate) mod format;
pub(crate) mod tables;

use std::fmt::Write as _;

use self::format::{Table, labels, number};
use super::Report;
use crate::proxies::Target;
use crate::summary::{ByRep, Quartiles};

/// The whole document.
pub(super) fn render(report: &Report) -> String {
    let sections = [
        "# Gateway benchmark\n".to_owned(),
        "Printed by `scripts/bench`. It measures one run on one machine: a benchmark, never a test. Raw samples are in \
         the JSON file beside this one.\n"
            .to_owned(),
        verdicts(report),
        conditions(report, CAVEATS),
        tables::requests(report),
        tables::streams(report),
        tables::idle(report),
        tables::faults(report),
        tables::counts(report),
        tables::wrk(report),
        notes(report),
    ];
    let sections: Vec<String> = sections.into_iter().filter(|section| !section.is_empty()).collect();
    sections.join("\n")
}

/// Goals, and what came of them.
pub(crate) fn verdicts(report: &Report) -> String {
    let mut table = Table::new(&["target", "goal", "measured", ""]);
    for verdict in &report.verdicts {
        let measured = verdict.measured.clone().unwrap_or_else(|| "–".to_owned());
        table.row([
            verdict.goal.clone(),
            verdict.target.clone(),
            measured,
            verdict.outcome.label().to_owned(),
        ]);
    }
    let mut text = format!("## Targets\n\n{table}");
    if report.conditions.quick {
        text.push_str("\nThis was a quick run: its amounts are too small to judge by.\n");
    }
    text
}

/// The circumstances, with `caveats` below them.
pub(crate) fn conditions(report: &Report, caveats: &str) -> String {
    let (machine, conditions) = (&report.machine, &report.conditions);
    let virtual_machine = if machine.virtualised { ", virtual machine" } else { "" };
    let pinned = match (&conditions.proxy_cpus, &conditions.load_cpus) {
        (Some(proxy), Some(load)) => {
            format!("each proxy on CPU {proxy}, upstream and load generator on CPU {load}")
        }
        _ => "nothing".to_owned(),
    };
    let versions: Vec<String> =
        machine.versions.iter().map(|(tool, version)| format!("{tool} (`{version}`)")).collect();
    let plan = &conditions.plan;
    let lines = [
        ("Date", machine.date.clone()),
        (
            "Machine",
            format!("{} × {}{virtual_machine}, {} MiB", machine.cpus, machine.cpu, machine.memory_mib),
        ),
        ("System", format!("{}, Linux {}", machine.system, machine.kernel)),
        ("Versions", versions.join(", ")),
        ("Gateway", conditions.revision.clone().unwrap_or_else(|| "not measured".to_owned())),
        ("Command", format!("`{}`, {} s", conditions.command, conditions.took_s)),
        ("Measured", labels(&conditions.measured)),
        (
            "Load average",
            format!(
                "{} before, {} after (the run's own load included); {} % of the time stolen by the hypervisor",
                conditions.load_before,
                conditions.load_after,
                number(conditions.steal_percent)
            ),
        ),
        ("Disturbance", disturbance(report)),
        ("Workers", format!("{} per proxy", conditions.workers)),
        ("Pinned", pinned),
        (
            "Method",
            format!(
                "{} repetitions (streams {}, idle streams {}), in each of which every proxy is measured in turn; \
                 figures are medians [quartiles]; ratios are taken to the mean of nginx and haproxy in the same \
                 repetition",
                plan.reps,
                plan.reps * plan.stream_rounds,
                plan.reps.min(plan.idle_reps)
            ),
        ),
    ];
    let mut text = "## Conditions\n\n".to_owned();
    for (name, value) in lines {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "- {name}: {value}");
    }
    text.push_str(caveats);
    text
}

/// How much the proxies had to share their CPU with strangers, which the load average cannot tell apart.
fn disturbance(report: &Report) -> String {
    let requests = report.samples.requests.iter().map(|sample| (sample.target, sample.waited_share));
    let streams = report.samples.streams.iter().map(|sample| (sample.target, sample.waited_share));
    let shares: ByRep = (0..)
        .zip(requests.chain(streams).filter(|(target, _)| *target != Target::Direct))
        .map(|(index, (_, share))| (index, 100.0 * share))
        .collect();
    match Quartiles::of(&shares) {
        Some(percent) => format!(
            "the proxies were ready to run but waited for their CPU in {} % of the measured time (near 0 on a quiet \
             machine)",
            format::spread(Some(percent))
        ),
        None => "not known".to_owned(),
    }
}

/// What a reader must know before believing a figure.
const CAVEATS: &str = "
How far to trust it:

- Everything is on loopback. Upstream and load generator share one CPU, so requests per second are those of this \
arrangement; the CPU time of the proxy alone (scheduler time of all its threads, user and system) is the figure to \
compare.
- nginx and haproxy run as plain proxies. OllamaFlow routes, checks health and accounts for every request, which they \
do not.
- With one client, CPU per request is mostly the cost of waking up on another CPU, for every proxy alike.
- p99 delays of several milliseconds are other processes' time slices when the machine is busy; compare them within \
this run only.
- Delay of a chunk: from just before the upstream's write to the read that brought it to the client. Streams are not \
in step: each keeps a phase of its own.
- System calls and instructions are counted in runs of their own under strace and valgrind, which slow a proxy down \
and let it find more work at each wake-up.
";

/// What could not be measured.
pub(crate) fn notes(report: &Report) -> String {
    if report.samples.notes.is_empty() {
        return String::new();
    }
    let mut text = "## Not measured\n\n".to_owned();
    for note in &report.samples.notes {
        let _ = writeln!(text, "- {}", note.trim().replace('\n', " "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::{Conditions, Report};
    use crate::load::faults::{StaleRace, Truncations};
    use crate::measure::machine::Machine;
    use crate::proxies::Target;
    use crate::samples::{FaultSample, Samples};

    fn report(samples: Samples) -> Report {
        let conditions = Conditions::example("scripts/bench --quick", vec![Target::Direct, Target::Ours]);
        Report::new(Machine::describe(), conditions, samples)
    }

    #[test]
    fn a_run_that_measured_nothing_still_reports_its_conditions() {
        let text = report(Samples::default()).markdown();
        assert!(text.contains("scripts/bench --quick"));
        assert!(text.contains("not measured"));
        assert!(!text.contains("## Small requests"));
    }

    #[test]
    fn verdicts_and_notes_are_in_both_forms() {
        let samples = Samples {
            faults: vec![FaultSample {
                target: Target::Ours,
                truncations: Truncations { tried: 100, cut: 100, ..Truncations::default() },
                stale: StaleRace { tried: 300, failed: 2 },
            }],
            notes: vec!["strace: not\nallowed".to_owned()],
            ..Samples::default()
        };
        let report = report(samples);
        let text = report.markdown();
        assert!(text.contains("| 2 of 300 | **missed**   |"), "{text}");
        assert!(text.contains("| 0 of 100 | met          |"), "{text}");
        assert!(text.contains("- strace: not allowed\n"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        assert_eq!(json["samples"]["faults"][0]["stale"]["failed"], 2);
        assert_eq!(json["conditions"]["measured"][1], "ours");
    }
}
