//! One benchmark run from its arguments to its files: pins itself, starts the upstream, lets the suite measure and writes
//! the report. The composition of all parts; decides nothing about how anything is measured.

use std::io;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::cli::RunArgs;
use crate::measure::machine::{Machine, MachineTime, load_average};
use crate::plan::Plan;
use crate::proxies::process::StartError;
use crate::proxies::{Logs, Site, Target};
use crate::report::{Conditions, Report};
use crate::stage::{self, StageError};
use crate::suite::Suite;

/// Why there is no result, or one that is worth nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// A proxy is not there or does not work.
    #[error(transparent)]
    Proxy(#[from] StartError),
    /// The run could not begin or end.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The upstream's process did not come up.
    #[error("the upstream does not start: {0}")]
    Upstream(io::Error),
    /// The result could not be encoded.
    #[error("cannot encode the result: {0}")]
    Encode(#[from] serde_json::Error),
    /// What was asked for did not come. The report is written all the same.
    #[error("the figures mean nothing: {}", .0.join("; "))]
    NotWhole(Vec<String>),
}

/// Measures and reports.
///
/// # Errors
/// See [`RunError`]; never because a figure is bad.
pub(crate) async fn run(args: &RunArgs) -> Result<(), RunError> {
    let machine = Machine::describe();
    let load_before = load_average();
    let max_connections = stage::connections();
    let proxy_cpus = stage::pinned(args.pinning.no_pin, &args.pinning.proxy_cpus)?;
    let load_cpus = stage::pinned(args.pinning.no_pin, &args.pinning.load_cpus)?;
    if let Some(cpus) = &load_cpus {
        stage::pin_self(cpus)?;
    }
    let upstream = stage::start_upstream(load_cpus.as_deref()).await.map_err(RunError::Upstream)?;

    let targets = targets(args);
    let measures_ours = targets.contains(&Target::Ours);
    let suite = Suite {
        plan: plan(args),
        site: Site {
            upstream: upstream.addr,
            workers: args.workers,
            max_connections,
            cpus: proxy_cpus.clone(),
            ours: stage::binary(args.ours.as_deref(), measures_ours)?,
            api: args.api,
            logs: Logs::Plain,
            programs: None,
        },
        targets,
        scenarios: args.scenarios.clone(),
        api: args.api,
        strace: !args.no_strace && tool_exists("strace", "-V"),
        callgrind: if args.callgrind { args.callgrind_only.clone() } else { Vec::new() },
        wrk: args.wrk,
    };
    let (start, time_before) = (Instant::now(), MachineTime::now());
    let mut samples = suite.run().await?;
    if !suite.strace && !args.no_strace {
        samples.notes.push("system calls: strace is not installed".to_owned());
    }
    let conditions = Conditions {
        command: stage::command_line("scripts/bench"),
        revision: measures_ours.then(|| stage::revision(args.ours.as_deref(), &suite.site.ours)),
        measured: suite.targets.clone(),
        workers: args.workers,
        proxy_cpus,
        load_cpus,
        load_before,
        load_after: load_average(),
        steal_percent: MachineTime::now().steal_percent_since(time_before),
        took_s: start.elapsed().as_secs(),
        quick: args.quick,
        plan: suite.plan,
    };
    let report = Report::new(machine, conditions, samples);
    stage::publish("gateway", args.out.as_deref(), args.save, &report.markdown(), &report.json()?)
        .map_err(StageError::Output)?;
    Ok(())
}

fn plan(args: &RunArgs) -> Plan {
    let mut plan = if args.quick { Plan::quick() } else { Plan::full() };
    plan.reps = args.reps.unwrap_or(plan.reps);
    plan.streams = args.streams.unwrap_or(plan.streams);
    plan.chunks = args.chunks.unwrap_or(plan.chunks);
    plan.interval_us = args.interval_us.unwrap_or(plan.interval_us);
    plan.idle_streams = args.idle_streams.unwrap_or(plan.idle_streams);
    plan
}

/// What was asked for, in table order, with [`Target::Direct`] always.
fn targets(args: &RunArgs) -> Vec<Target> {
    let mut targets = args.only.clone();
    targets.push(Target::Direct);
    targets.sort_unstable();
    targets.dedup();
    targets
}

fn tool_exists(tool: &str, flag: &str) -> bool {
    Command::new(tool).arg(flag).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command, Scenario};

    fn args(words: &[&str]) -> RunArgs {
        let words = ["ollamaflow-bench", "run"].iter().chain(words);
        match Cli::try_parse_from(words).unwrap().command {
            Command::Run(args) => *args,
            _ => panic!("not a run"),
        }
    }

    #[test]
    fn direct_is_always_measured_and_nothing_twice() {
        assert_eq!(
            targets(&args(&["--only", "ours,nginx,ours"])),
            [Target::Direct, Target::Nginx, Target::Ours]
        );
        assert_eq!(targets(&args(&[])).len(), 4);
    }

    #[test]
    fn amounts_on_the_command_line_replace_those_of_the_plan() {
        let plan = plan(&args(&["--quick", "--reps", "7", "--streams", "3"]));
        assert_eq!((plan.reps, plan.streams, plan.chunks), (7, 3, Plan::quick().chunks));
    }

    #[test]
    fn all_scenarios_run_by_default() {
        let args = args(&[]);
        for scenario in [Scenario::Requests, Scenario::Streams, Scenario::Idle, Scenario::Faults] {
            assert!(args.scenarios.contains(&scenario));
        }
    }
}
