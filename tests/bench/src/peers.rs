//! The gateway beside nginx, haproxy, and the other gateways for language models that `PyPI` has: `smg`, `vllm-router` and the
//! `LiteLLM` proxy. The scenarios are those of the gateway's benchmark in `OpenAI`'s API with lines logged about requests, and
//! four more: clients that read nothing, cold starts, what the lines cost, and the death of a cluster's leader.

mod failover;
mod order;
mod plan;
mod report;
mod rows;
mod targets;
mod wholeness;

use std::path::{Path, PathBuf};
use std::time::Instant;

use self::order::{Extra, Order};
use self::plan::PeersPlan;
use self::report::PeersReport;
use crate::cli::{Part, PeersArgs};
use crate::load::request::Api;
use crate::measure::machine::{Machine, MachineTime, load_average};
use crate::plan::Plan;
use crate::proxies::{Logs, Site, Target};
use crate::report::Conditions;
use crate::run::RunError;
use crate::stage::{self, StageError};
use crate::suite::Suite;

/// Names the binary of ours, also for the harness that starts the nodes of a cluster.
const BINARY_VARIABLE: &str = "OLLAMAFLOW_BIN";
/// Names the folder of the peers' programs.
const PROGRAMS_VARIABLE: &str = "OLLAMAFLOW_PEERS";
/// The programs of the peers and the packages that they are in.
const PACKAGES: [(&str, &str); 3] =
    [("smg", "tokenspeed_smg"), ("vllm-router", "vllm_router"), ("litellm", "litellm")];

/// Measures and reports.
///
/// # Errors
/// See [`RunError`]; never because a figure is bad.
pub(crate) async fn run(args: &PeersArgs) -> Result<(), RunError> {
    let mut machine = Machine::describe();
    let programs = args.programs.clone().or_else(|| variable(PROGRAMS_VARIABLE)).map(|path| absolute(&path));
    machine.versions.extend(programs.as_deref().map(package_versions).unwrap_or_default());
    let load_before = load_average();
    let (start, time_before) = (Instant::now(), MachineTime::now());
    let max_connections = stage::connections();
    let named = variable(BINARY_VARIABLE);
    let (targets, parts, plan) = (targets(args), parts(args), plan(args));
    let measures_ours = targets.contains(&Target::Ours);
    let ours = stage::binary(named.as_deref(), measures_ours)?;
    // The script names the one that it has built of these sources, too.
    let built = stage::binary(None, false)?;
    let foreign = named.clone().filter(|_| ours != built);

    let (mut extra, mut notes) = (Extra::default(), Vec::new());
    if parts.contains(&Part::Failover) && measures_ours {
        // Before this process is pinned: the nodes are started by it and would share its CPU.
        if named.is_some() {
            let upstream = stage::start_upstream(None).await.map_err(RunError::Upstream)?;
            extra.failover = failover::measure(upstream.addr, plan.failovers, plan.failover_watch_ms).await;
        } else {
            notes.push(format!("the death of a leader: {BINARY_VARIABLE} names no binary"));
        }
    }
    let proxy_cpus = stage::pinned(args.pinning.no_pin, &args.pinning.proxy_cpus)?;
    let load_cpus = stage::pinned(args.pinning.no_pin, &args.pinning.load_cpus)?;
    if let Some(cpus) = &load_cpus {
        stage::pin_self(cpus)?;
    }
    let upstream = stage::start_upstream(load_cpus.as_deref()).await.map_err(RunError::Upstream)?;
    let site = Site {
        upstream: upstream.addr,
        workers: 1,
        max_connections,
        cpus: proxy_cpus.clone(),
        ours,
        api: Api::Openai,
        logs: Logs::On,
        programs,
    };
    let with = |plan: &Plan| Suite {
        plan: plan.clone(),
        site: site.clone(),
        targets: targets.clone(),
        scenarios: Vec::new(),
        api: Api::Openai,
        strace: false,
        callgrind: Vec::new(),
        wrk: false,
    };
    let order = Order { fast: with(&plan.fast), slow: with(&plan.slow), plan: plan.clone(), parts };
    let mut samples = order.run(&mut extra).await?;
    samples.notes.splice(0..0, notes);
    let conditions = Conditions {
        command: stage::command_line("scripts/bench-peers"),
        revision: measures_ours.then(|| stage::revision(foreign.as_deref(), &site.ours)),
        measured: targets,
        workers: site.workers,
        proxy_cpus,
        load_cpus,
        load_before,
        load_after: load_average(),
        steal_percent: MachineTime::now().steal_percent_since(time_before),
        took_s: start.elapsed().as_secs(),
        quick: args.quick,
        plan: plan.fast.clone(),
    };
    let report = PeersReport::new(machine, conditions, plan, samples, extra);
    stage::publish("peers", args.out.as_deref(), args.save, &report.markdown(), &report.json()?)
        .map_err(StageError::Output)?;
    let faults = report.faults();
    if faults.is_empty() { Ok(()) } else { Err(RunError::NotWhole(faults)) }
}

/// A path in the environment.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Proxies run in folders of their own.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn plan(args: &PeersArgs) -> PeersPlan {
    let mut plan = if args.quick { PeersPlan::quick() } else { PeersPlan::full() };
    plan.fast.reps = args.reps.unwrap_or(plan.fast.reps);
    plan
}

/// What was asked for, in table order, with [`Target::Direct`] always. `LiteLLM` takes most of a minute to start, which a
/// quick run has not.
fn targets(args: &PeersArgs) -> Vec<Target> {
    let mut targets = args.only.clone();
    if targets.is_empty() {
        targets = vec![Target::Nginx, Target::Haproxy, Target::Ours, Target::Smg, Target::VllmRouter];
        targets.extend((!args.quick).then_some(Target::Litellm));
    }
    targets.push(Target::Direct);
    targets.sort_unstable();
    targets.dedup();
    targets
}

fn parts(args: &PeersArgs) -> Vec<Part> {
    if !args.parts.is_empty() {
        return args.parts.clone();
    }
    vec![Part::Failover, Part::Requests, Part::Streams, Part::Idle, Part::Readers, Part::Cold, Part::Logs]
}

/// The versions of the peers' packages, as the environments that their programs are in name their folders of metadata.
fn package_versions(programs: &Path) -> Vec<(String, String)> {
    let version = |(program, package): (&str, &str)| {
        // The program may be a link into an environment.
        let program = programs.join(program).canonicalize().ok()?;
        let pythons = std::fs::read_dir(program.ancestors().nth(2)?.join("lib")).ok()?;
        let packages = pythons.flatten().flat_map(|python| {
            std::fs::read_dir(python.path().join("site-packages")).into_iter().flatten().flatten()
        });
        let mut versions = packages.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (name, version) = name.strip_suffix(".dist-info")?.split_once('-')?;
            (name == package).then(|| version.to_owned())
        });
        Some((package.to_owned(), versions.next()?))
    };
    PACKAGES.into_iter().filter_map(version).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(words: &[&str]) -> PeersArgs {
        let words = ["ollamaflow-bench", "peers"].iter().chain(words);
        match Cli::try_parse_from(words).unwrap().command {
            Command::Peers(args) => args,
            _ => panic!("not a run beside the peers"),
        }
    }

    #[test]
    fn a_quick_run_leaves_litellm_out_unless_it_is_named() {
        assert!(targets(&args(&[])).contains(&Target::Litellm));
        assert!(!targets(&args(&["--quick"])).contains(&Target::Litellm));
        let named = targets(&args(&["--quick", "--only", "litellm,ours,vllm-router"]));
        assert_eq!(named, [Target::Direct, Target::Ours, Target::VllmRouter, Target::Litellm]);
    }

    #[test]
    fn all_parts_run_by_default() {
        assert_eq!(parts(&args(&[])).len(), 7);
        assert_eq!(parts(&args(&["--parts", "cold,idle"])), [Part::Cold, Part::Idle]);
    }

    #[test]
    fn versions_are_read_from_the_environment() {
        let venv = tempfile::tempdir().unwrap();
        let packages = venv.path().join("lib/python3.11/site-packages");
        for name in
            ["litellm-1.2.3.dist-info", "litellm", "vllm_router-0.1.17.dist-info", "httpx-1.0.dist-info"]
        {
            std::fs::create_dir_all(packages.join(name)).unwrap();
        }
        let (bin, links) = (venv.path().join("bin"), venv.path().join("links"));
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir_all(&links).unwrap();
        std::fs::write(bin.join("litellm"), "").unwrap();
        std::os::unix::fs::symlink(bin.join("litellm"), links.join("litellm")).unwrap();
        let versions = package_versions(&links);
        let versions: Vec<_> = versions.iter().map(|(name, version)| (&**name, &**version)).collect();
        assert_eq!(versions, [("litellm", "1.2.3")]);
    }
}
