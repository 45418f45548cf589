//! One benchmark run from its arguments to its files: pins itself, starts the upstream, lets the suite measure and writes
//! the report. The composition of all parts; decides nothing about how anything is measured.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::cli::RunArgs;
use crate::measure::machine::{Machine, MachineTime, load_average};
use crate::plan::Plan;
use crate::proxies::process::{StartError, contained};
use crate::proxies::{Site, Target};
use crate::report::{Conditions, Report};
use crate::suite::{Suite, progress};
use crate::upstream;

/// Where `--save` puts the published result.
const PUBLISHED: &str = "docs/benchmarks";
/// Descriptors kept free for logs, listeners and the like when connections are shared out.
const SPARE_DESCRIPTORS: u64 = 500;
/// More connections than this no scenario needs, and proxies allocate for them.
const MAX_CONNECTIONS: u64 = 16_000;
/// How long the upstream may take to print its address.
const UPSTREAM_START: Duration = Duration::from_secs(10);

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// A proxy is not there or does not work.
    #[error(transparent)]
    Proxy(#[from] StartError),
    /// The binary under test is missing.
    #[error(
        "{0} does not exist: build it with `cargo build --release -p ollamaflow` or name another with --ours"
    )]
    NoBinary(PathBuf),
    /// The upstream did not start.
    #[error("the upstream did not start: {0}")]
    Upstream(io::Error),
    /// Pinning failed.
    #[error(
        "cannot pin to CPU {cpus}: {reason}; choose others with --load-cpus and --proxy-cpus, or use --no-pin"
    )]
    Pin {
        /// The CPUs asked for.
        cpus: String,
        /// taskset's reason.
        reason: String,
    },
    /// The result could not be written.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
    /// The result could not be encoded.
    #[error("cannot encode the result: {0}")]
    Encode(#[from] serde_json::Error),
}

/// The upstream's process; ends with this value.
pub(crate) struct Upstream {
    pub(crate) addr: std::net::SocketAddr,
    _process: tokio::process::Child,
}

/// Measures and reports.
///
/// # Errors
/// See [`RunError`]; never because a figure is bad.
pub(crate) async fn run(args: &RunArgs) -> Result<(), RunError> {
    let machine = Machine::describe();
    let load_before = load_average();
    let descriptors = raise_descriptor_limit();
    let proxy_cpus = pinned(args, &args.proxy_cpus)?;
    let load_cpus = pinned(args, &args.load_cpus)?;
    if let Some(cpus) = &load_cpus {
        pin_self(cpus)?;
    }
    let upstream = start_upstream(load_cpus.as_deref()).await.map_err(RunError::Upstream)?;

    let suite = Suite {
        plan: plan(args),
        site: Site {
            upstream: upstream.addr,
            workers: args.workers,
            max_connections: descriptors.saturating_sub(SPARE_DESCRIPTORS).clamp(100, MAX_CONNECTIONS),
            cpus: proxy_cpus.clone(),
            ours: binary(args)?,
        },
        targets: targets(args),
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
        command: command_line(),
        revision: revision(args, &suite),
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
    publish(args, &Report::new(machine, conditions, samples))
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

/// The absolute path of our binary, which must exist if it is measured: proxies run in folders of their own.
fn binary(args: &RunArgs) -> Result<PathBuf, RunError> {
    let path = match &args.ours {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("ollamaflow"),
    };
    if !targets(args).contains(&Target::Ours) {
        return Ok(path);
    }
    path.canonicalize().map_err(|_| RunError::NoBinary(path))
}

/// The folder of this run's results: by default `bench` beside the profile's folder that holds this binary.
fn results_folder(args: &RunArgs) -> io::Result<PathBuf> {
    if let Some(folder) = &args.out {
        return Ok(folder.clone());
    }
    let binary = std::env::current_exe()?;
    Ok(binary.ancestors().nth(2).unwrap_or(Path::new(".")).join("bench"))
}

fn pinned(args: &RunArgs, cpus: &str) -> Result<Option<String>, RunError> {
    if args.no_pin {
        return Ok(None);
    }
    // Fails early and with taskset's words, not inside the start of a proxy.
    taskset(&["-c", cpus, "true"]).map_err(|reason| RunError::Pin { cpus: cpus.to_owned(), reason })?;
    Ok(Some(cpus.to_owned()))
}

fn pin_self(cpus: &str) -> Result<(), RunError> {
    let own_pid = std::process::id().to_string();
    taskset(&["-a", "-c", "-p", cpus, &own_pid])
        .map_err(|reason| RunError::Pin { cpus: cpus.to_owned(), reason })
}

fn taskset(args: &[&str]) -> Result<(), String> {
    let output = Command::new("taskset").args(args).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

fn tool_exists(tool: &str, flag: &str) -> bool {
    Command::new(tool).arg(flag).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Raises the soft limit to the hard one for this process and all it starts; the limit in force.
fn raise_descriptor_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(_) => current,
    }
    .unwrap_or(u64::MAX)
}

/// Starts the upstream as a process of its own.
pub(crate) async fn start_upstream(cpus: Option<&str>) -> io::Result<Upstream> {
    let words = contained(cpus);
    let (first, rest) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut process = tokio::process::Command::new(first)
        .args(rest)
        .arg(std::env::current_exe()?)
        .arg("upstream")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut line = String::new();
    tokio::time::timeout(UPSTREAM_START, BufReader::new(stdout).read_line(&mut line))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let addr = line.trim().strip_prefix(upstream::READY).and_then(|addr| addr.parse().ok());
    let addr = addr.ok_or_else(|| io::Error::other(format!("it printed {line:?} instead of its address")))?;
    Ok(Upstream { addr, _process: process })
}

/// The command as typed: `scripts/bench` stands for this binary and its `run`.
fn command_line() -> String {
    let words = std::env::args().skip(2).map(|word| if word.is_empty() { "''".to_owned() } else { word });
    std::iter::once("scripts/bench".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// The version of the measured gateway and, unless its binary was named, the state of the sources it was built from;
/// `None` if it is not measured.
fn revision(args: &RunArgs, suite: &Suite) -> Option<String> {
    if !suite.targets.contains(&Target::Ours) {
        return None;
    }
    let first_line = |command: &mut Command| {
        let output = command.stderr(Stdio::null()).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned())
    };
    let version = first_line(Command::new(&suite.site.ours).arg("--version")).unwrap_or_default();
    let sources = match &args.ours {
        Some(path) => Some(format!("{} as named", path.display())),
        None => first_line(Command::new("git").args(["describe", "--always", "--dirty"])),
    };
    Some(format!("{version}, {}", sources.as_deref().unwrap_or("of an unknown commit")))
}

fn publish(args: &RunArgs, report: &Report) -> Result<(), RunError> {
    let (markdown, json) = (report.markdown(), report.json()?);
    let mut folders = vec![results_folder(args)?];
    if args.save {
        folders.push(PUBLISHED.into());
    }
    for folder in folders {
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("gateway.json"), &json)?;
        std::fs::write(folder.join("gateway.md"), &markdown)?;
        progress(&format!("wrote {0}/gateway.md and {0}/gateway.json", folder.display()));
    }
    io::stdout().write_all(markdown.as_bytes())?;
    Ok(())
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
    fn a_missing_binary_matters_only_if_it_is_measured() {
        let missing = "/nonexistent/ollamaflow";
        assert!(matches!(binary(&args(&["--ours", missing])), Err(RunError::NoBinary(_))));
        assert!(binary(&args(&["--ours", missing, "--only", "nginx"])).is_ok());
    }

    #[test]
    fn all_scenarios_run_by_default() {
        let args = args(&[]);
        for scenario in [Scenario::Requests, Scenario::Streams, Scenario::Idle, Scenario::Faults] {
            assert!(args.scenarios.contains(&scenario));
        }
    }
}
