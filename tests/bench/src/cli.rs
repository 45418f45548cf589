//! The command line of `ollamaflow-bench`, which `scripts/bench` passes on.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::load::request::Api;
use crate::proxies::Target;

/// Benchmark of the gateway against nginx and haproxy.
#[derive(Debug, Parser)]
#[command(name = "ollamaflow-bench", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the upstream and the proxies, measure them interleaved and print the tables.
    Run(Box<RunArgs>),
    /// Measure beside nginx, haproxy and other gateways for language models, with lines logged about requests.
    Peers(PeersArgs),
    /// Start a cluster of three and measure it: writes, elections, restarts, memory.
    Cluster(ClusterArgs),
    /// Give the same conversations to every balancing policy, and to nginx, before simulated engines.
    Routing(RoutingArgs),
    /// Ask a node for the merged list of the models of many backends.
    Models(ModelsArgs),
    /// Translate requests and streams between all APIs, without network, and tell what it costs.
    Translation(TranslationArgs),
    /// Count the user instructions of the node per small request, and compare them with the saved number.
    Instructions(InstructionArgs),
    /// Only serve as the cheap upstream; prints its address.
    Upstream {
        /// Port on 127.0.0.1; 0 lets the system choose.
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
}

/// What is measured and how.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Small amounts: shows in less than a minute that everything works, measures nothing precisely.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Also write docs/benchmarks/gateway.{json,md}.
    #[arg(long)]
    pub(crate) save: bool,
    /// Folder of the results of every run [default: `bench` in the target folder this binary was built in].
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Binary to measure as `ours` [default: `ollamaflow` beside this one].
    #[arg(long)]
    pub(crate) ours: Option<PathBuf>,
    /// Proxies to measure; `direct` (no proxy) is always measured for the added delays.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Target::Nginx, Target::Haproxy, Target::Ours])]
    pub(crate) only: Vec<Target>,
    /// Scenarios to run.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Scenario::Requests, Scenario::Streams, Scenario::Idle, Scenario::Faults])]
    pub(crate) scenarios: Vec<Scenario>,
    /// API whose wire format is used.
    #[arg(long, value_enum, default_value_t = Api::Ollama)]
    pub(crate) api: Api,
    /// Workers of each proxy; more than one needs more CPUs, see --proxy-cpus.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) workers: u16,
    #[command(flatten)]
    pub(crate) pinning: Pinning,
    /// Repetitions.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) reps: Option<u32>,
    /// Streams at the same time.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub(crate) streams: Option<u32>,
    /// Chunks per stream.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub(crate) chunks: Option<u32>,
    /// Time between two chunks of a stream, in microseconds.
    #[arg(long, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub(crate) interval_us: Option<u32>,
    /// Open streams of the idle scenario.
    #[arg(long)]
    pub(crate) idle_streams: Option<usize>,
    /// Do not count system calls.
    #[arg(long)]
    pub(crate) no_strace: bool,
    /// Count user instructions with valgrind, for the proxies in --callgrind-only.
    #[arg(long)]
    pub(crate) callgrind: bool,
    /// Proxies whose instructions are counted.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Target::Ours])]
    pub(crate) callgrind_only: Vec<Target>,
    /// Cross-check the load generator with wrk.
    #[arg(long)]
    pub(crate) wrk: bool,
}

/// What is measured beside the peers. The binary of `ours` is the one that `OLLAMAFLOW_BIN` names, or the one beside this.
#[derive(Debug, Args)]
pub(crate) struct PeersArgs {
    /// Small amounts: shows in about a minute that everything works, measures nothing precisely.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Also write docs/benchmarks/peers.{json,md}.
    #[arg(long)]
    pub(crate) save: bool,
    /// Folder of the results of every run [default: `bench` in the target folder this binary was built in].
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Proxies to measure [default: all, with --quick all but litellm].
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Target>,
    /// Parts to run [default: all].
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) parts: Vec<Part>,
    /// Folder of the programs smg, vllm-router and litellm [default: that which `OLLAMAFLOW_PEERS` names, or the PATH].
    #[arg(long)]
    pub(crate) programs: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) pinning: Pinning,
    /// Repetitions.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) reps: Option<u32>,
}

/// A part of what is measured beside the peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Leaders of a cluster of three are killed.
    Failover,
    /// Small JSON requests in a closed loop.
    Requests,
    /// Paced streams.
    Streams,
    /// Many open streams without traffic.
    Idle,
    /// Clients that read nothing of a long fast stream.
    Readers,
    /// From the start of the process to the first answer.
    Cold,
    /// Small requests with other sinks, and without lines about them.
    Logs,
}

/// Which CPUs who gets.
#[derive(Debug, Args)]
pub(crate) struct Pinning {
    /// CPUs of the proxies, as taskset writes them.
    #[arg(long, default_value = "0")]
    pub(crate) proxy_cpus: String,
    /// CPUs of the upstream and the load generator, as taskset writes them.
    #[arg(long, default_value = "1")]
    pub(crate) load_cpus: String,
    /// Pin nothing.
    #[arg(long)]
    pub(crate) no_pin: bool,
}

/// What is measured of a cluster.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ClusterArgs {
    /// Small amounts: shows that everything works, measures nothing precisely.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Also write docs/benchmarks/cluster.{json,md}.
    #[arg(long)]
    pub(crate) save: bool,
}

/// What is measured of the policies.
#[derive(Debug, Clone, Args)]
pub(crate) struct RoutingArgs {
    /// Few policies, some seconds each: shows that everything works and that affinity saves loads.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Also write docs/benchmarks/routing.{json,md}.
    #[arg(long)]
    pub(crate) save: bool,
    /// Policies to measure, as `LoadBalancing` names them [default: all, and nginx].
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Requests per second, instead of the published rate.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
}

/// What is measured of the list of models.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ModelsArgs {
    /// Few backends and models, some seconds: shows that everything works, measures nothing precisely.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Also write docs/benchmarks/models.{json,md}.
    #[arg(long)]
    pub(crate) save: bool,
}

/// What becomes of the costs of translation.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct TranslationArgs {
    /// Also write docs/benchmarks/translation.{json,md}.
    #[arg(long)]
    pub(crate) save: bool,
}

/// How instructions are counted, and what becomes of the number.
#[derive(Debug, Clone, Args)]
pub(crate) struct InstructionArgs {
    /// Fail if the number is not within 5 % of the one saved for the same build profile.
    #[arg(long)]
    pub(crate) check: bool,
    /// Keep the number in docs/benchmarks/instructions.json, for this build profile.
    #[arg(long)]
    pub(crate) save: bool,
    /// Folder in which valgrind's file of the longer run stays, for `callgrind_annotate`.
    #[arg(long)]
    pub(crate) keep: Option<PathBuf>,
    /// Binary to measure.
    #[arg(long)]
    pub(crate) ours: PathBuf,
}

/// A part of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Small JSON requests in a closed loop.
    Requests,
    /// Paced streams.
    Streams,
    /// Many open streams without traffic.
    Idle,
    /// Truncated upstreams and stale connections.
    Faults,
}
