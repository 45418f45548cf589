//! Compares the policies, and nginx, by what they make of one load: conversations with six models, before four simulated
//! engines that have room for two each. Where a request goes decides whether it waits for a model to load.
//!
//! [`plan`] says how much, [`workload`] who asks what and when, [`site`] starts engines and balancer anew for each policy,
//! [`load`] asks, [`report`] tells.

mod load;
mod plan;
mod report;
mod site;
mod workload;

use std::io::{self, Write as _};

use self::plan::{FULL, Plan, QUICK};
use self::report::{NGINX, Outcome, Report};
use self::site::{Balancer, Engine, SiteError};
use self::workload::Arrival;
use crate::cli::RoutingArgs;
use crate::measure::machine::{Machine, load_average};
use crate::suite::progress;

/// Where `--save` puts the published result.
const PUBLISHED: &str = "docs/benchmarks";
/// What is compared, in this order.
const ALL: [&str; 8] = [
    "RoundRobin",
    "Random",
    "Weighted",
    "LeastConnections",
    "LeastLatency",
    "ModelAffinity",
    "PrefixAffinity",
    NGINX,
];
/// What a quick run compares.
const FEW: [&str; 3] = ["RoundRobin", "ModelAffinity", NGINX];

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoutingError {
    /// The result cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An engine or nginx does not work.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// Most requests of a policy failed: nothing was measured.
    #[error("{failed} of {all} requests failed with {policy}: {example}")]
    Failed {
        /// The policy.
        policy: &'static str,
        /// Requests that failed.
        failed: usize,
        /// All requests.
        all: usize,
        /// One of the reasons.
        example: String,
    },
    /// The one thing a quick run is sure to show.
    #[error("ModelAffinity loaded {affinity} models, RoundRobin {turns}")]
    NoAffinity {
        /// Loads of `ModelAffinity`.
        affinity: u64,
        /// Loads of `RoundRobin`.
        turns: u64,
    },
}

/// Measures and reports.
///
/// # Errors
/// Something does not work. A missed target is a line in the report.
pub(crate) async fn run(args: RoutingArgs) -> Result<(), RoutingError> {
    let mut plan = if args.quick { QUICK } else { FULL };
    plan.rate_per_s = args.rate.unwrap_or(plan.rate_per_s);
    let policies: &[&'static str] = if args.quick { &FEW } else { &ALL };
    let wanted = |policy: &&&str| args.only.is_empty() || args.only.iter().any(|only| only == **policy);
    let (machine, load_before) = (Machine::describe(), load_average());
    let arrivals = workload::arrivals(&plan);
    let mut outcomes = Vec::new();
    for policy in policies.iter().filter(wanted) {
        progress(&format!("{policy}: {} requests", arrivals.len()));
        let outcome = measure(policy, &plan, &arrivals).await?;
        check(&outcome)?;
        outcomes.push(outcome);
    }
    let report = Report { machine, load_before, load_after: load_average(), plan, outcomes };
    publish(args.save, &report)?;
    let loads = |policy| report.outcomes.iter().find(|outcome| outcome.policy == policy).map(Outcome::loads);
    match (loads("ModelAffinity"), loads("RoundRobin")) {
        (Some(affinity), Some(turns)) if args.quick && affinity >= turns => {
            Err(RoutingError::NoAffinity { affinity, turns })
        }
        _ => Ok(()),
    }
}

/// One policy, with engines that have nothing in memory.
async fn measure(policy: &'static str, plan: &Plan, arrivals: &[Arrival]) -> Result<Outcome, RoutingError> {
    let mut engines = Vec::new();
    for _ in 0..plan.backends {
        engines.push(Engine::start(plan).await?);
    }
    let balancer = match policy {
        NGINX => Balancer::nginx(&engines).await?,
        policy => Balancer::ours(policy, plan, &engines).await,
    };
    let samples = load::run(balancer.addr(), plan, arrivals).await;
    let mut stats = Vec::new();
    for engine in &engines {
        stats.push(engine.stats().await?);
    }
    Ok(Outcome { policy, samples, engines: stats })
}

/// Figures of which half are failures say nothing.
fn check(outcome: &Outcome) -> Result<(), RoutingError> {
    let (failed, all) = (outcome.errors(), outcome.samples.len());
    if failed * 2 <= all {
        return Ok(());
    }
    let example = outcome.samples.iter().find_map(|sample| sample.error.clone()).unwrap_or_default();
    Err(RoutingError::Failed { policy: outcome.policy, failed, all, example })
}

fn publish(saves: bool, report: &Report) -> io::Result<()> {
    let markdown = report.markdown();
    if saves {
        std::fs::create_dir_all(PUBLISHED)?;
        std::fs::write(format!("{PUBLISHED}/routing.json"), serde_json::to_vec(report)?)?;
        std::fs::write(format!("{PUBLISHED}/routing.md"), &markdown)?;
        progress(&format!("wrote {PUBLISHED}/routing.md and {PUBLISHED}/routing.json"));
    }
    io::stdout().write_all(markdown.as_bytes())
}
