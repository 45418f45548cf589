//! Measures a cluster of three real nodes on this machine: how long writes take, how soon the other nodes route by them,
//! how long an election takes, how soon a restarted node serves, and what an idle node weighs.
//!
//! Nodes are started by the harness of the suites, without its forwarders between them. The binary is the one that
//! `OLLAMAFLOW_BIN` names, or is built.

mod elections;
mod report;
mod restarts;
mod writes;

use std::io::{self, Write as _};

use ollamaflow_tests::cluster::Cluster;
use ollamaflow_tests::objects::{backend, frontend};
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend};
use serde_json::json;

use self::report::{Report, Sample};
use crate::cli::ClusterArgs;
use crate::measure::machine::{Machine, load_average};
use crate::suite::progress;

/// Where `--save` puts the published result.
const PUBLISHED: &str = "docs/benchmarks";
/// The host of the frontend that is there all the time.
const HOST: &str = "constant.test";
/// Bytes in a MiB.
const MIB: f64 = 1024.0 * 1024.0;

/// How much is measured.
#[derive(Debug, Clone, Copy, serde::Serialize)]
struct Amounts {
    /// Writes through the leader, and as many through a follower.
    writes: usize,
    /// Writes of each of eight clients at once.
    concurrent_writes: usize,
    /// Frontends whose way into the routing tables is timed.
    routings: usize,
    /// Leaders that are killed.
    elections: usize,
    /// Objects in the catalog of a node that is restarted.
    objects: usize,
    /// Restarts.
    restarts: usize,
}

const FULL: Amounts = Amounts {
    writes: 1000,
    concurrent_writes: 200,
    routings: 500,
    elections: 20,
    objects: 1000,
    restarts: 20,
};
const QUICK: Amounts =
    Amounts { writes: 50, concurrent_writes: 10, routings: 20, elections: 2, objects: 100, restarts: 2 };

/// Measures and reports.
///
/// # Errors
/// The result cannot be written. A cluster that does not work panics; a bad figure is a line in the report.
pub(crate) async fn run(args: ClusterArgs) -> io::Result<()> {
    let amounts = if args.quick { QUICK } else { FULL };
    let (machine, load_before) = (Machine::describe(), load_average());
    let engine = SimulatedBackend::start(SimConfig::ollama(["m"]));
    let mut cluster = Cluster::builder()
        .direct()
        .frontend(frontend("constant").hostname(HOST).backends(["engine"]))
        .backend(backend("engine", &engine))
        .settings(&json!({ "HealthCheck": null }))
        .start()
        .await;
    for node in cluster.running() {
        cluster.node(node).wait_healthy(&["engine"]).await;
    }
    let mut samples = Vec::new();
    progress("memory of idle nodes");
    samples.push(memory(&cluster, "memory of an idle node", Some(40.0)));
    progress("writes");
    samples.extend(writes::measure(&cluster, amounts).await);
    progress("routing by a write on the other nodes");
    samples.push(writes::measure_routing(&cluster, amounts.routings).await);
    progress("elections");
    samples.extend(elections::measure(&mut cluster, amounts.elections).await);
    progress("restarts");
    samples.extend(restarts::measure(&mut cluster, amounts).await);
    samples.push(memory(&cluster, "memory of a node with all these objects, after all these writes", None));
    let agreement = cluster.agree().await;
    progress(&format!("all nodes agree on revision {}", agreement.revision));
    publish(args, &Report { machine, load_before, load_after: load_average(), amounts, samples })
}

/// Resident memory of each node, in MiB.
fn memory(cluster: &Cluster, what: &str, target: Option<f64>) -> Sample {
    #[expect(clippy::cast_precision_loss, reason = "memory of a process is far below 2^53 bytes")]
    let values = cluster.running().into_iter().map(|node| cluster.node(node).rss_bytes() as f64 / MIB);
    Sample { what: what.to_owned(), unit: "MiB", target_max: target, values: values.collect() }
}

fn publish(args: ClusterArgs, report: &Report) -> io::Result<()> {
    let markdown = report.markdown();
    if args.save {
        std::fs::create_dir_all(PUBLISHED)?;
        std::fs::write(format!("{PUBLISHED}/cluster.json"), serde_json::to_vec_pretty(report)?)?;
        std::fs::write(format!("{PUBLISHED}/cluster.md"), &markdown)?;
        progress(&format!("wrote {PUBLISHED}/cluster.md and {PUBLISHED}/cluster.json"));
    }
    io::stdout().write_all(markdown.as_bytes())
}
