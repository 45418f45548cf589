//! What the load runs against: fresh simulated engines, each a process of its own, and before them the node or nginx.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::{backend, frontend};
use ollamaflow_tests::simulated::Stats;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::plan::{FACTOR, MODELS, Plan};
use crate::load::client::{Client, ClientError};
use crate::load::request;
use crate::proxies::least_conn;
use crate::proxies::process::contained;

/// How long a process may take until it listens.
const START: Duration = Duration::from_secs(20);
/// Time between two looks at whether it does.
const POLL: Duration = Duration::from_millis(20);
/// What an engine's first line ends with.
const READY: &str = "listening on http://";

/// Why a part of the site is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SiteError {
    /// A process or file could not be made.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: String,
        /// The system's reason.
        source: io::Error,
    },
    /// It printed no address, or did not listen in time.
    #[error("{0} did not start")]
    NotStarted(&'static str),
    /// An engine's counters could not be read.
    #[error("no counters: {0}")]
    Stats(#[from] ClientError),
    /// They are not what they should be.
    #[error("strange counters: {0}")]
    StrangeStats(#[from] serde_json::Error),
}

/// An engine. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) addr: SocketAddr,
    _process: Child,
}

/// What stands before the engines.
pub(super) enum Balancer {
    /// The node.
    Ours(Box<Node>),
    /// nginx.
    Nginx(Box<Nginx>),
}

/// nginx with its folder. Ends when it is dropped.
pub(super) struct Nginx {
    addr: SocketAddr,
    _process: Child,
    _dir: TempDir,
}

impl Engine {
    /// Starts the binary `simulated-backend` that was built beside this one.
    pub(super) async fn start(plan: &Plan) -> Result<Self, SiteError> {
        let binary = beside_this("simulated-backend");
        let fault = |source| SiteError::Io { what: binary.display().to_string(), source };
        let mut command = command(&binary).map_err(fault)?;
        for (model, load_ms) in MODELS {
            command.args(["--model", model, "--load-ms-by-model", &format!("{model}={load_ms}")]);
        }
        let knobs = [
            ("--listen", "127.0.0.1:0".to_owned()),
            ("--max-loaded-models", plan.models_in_memory.to_string()),
            ("--parallelism", plan.parallelism.to_string()),
            ("--ttft-ms", plan.first_token_ms.to_string()),
            ("--prefill-tokens-per-second", plan.prefill_tokens_per_s.to_string()),
            ("--prefix-cache-entries", plan.prefix_cache_entries.to_string()),
            ("--tokens-per-second", plan.tokens_per_s.to_string()),
            // Each request says how many it wants.
            ("--tokens", u32::MAX.to_string()),
        ];
        for (flag, value) in knobs {
            command.args([flag, &value]);
        }
        let mut process = command.stdout(Stdio::piped()).spawn().map_err(fault)?;
        let output = process.stdout.take().ok_or(SiteError::NotStarted("an engine"))?;
        let line = BufReader::new(output).lines().next_line().await.map_err(fault)?.unwrap_or_default();
        let addr = line.split_once(READY).and_then(|(_, address)| address.trim().parse().ok());
        Ok(Self { addr: addr.ok_or(SiteError::NotStarted("an engine"))?, _process: process })
    }

    /// Its counters.
    pub(super) async fn stats(&self) -> Result<Stats, SiteError> {
        let answer = Client::connect(self.addr).await?.fetch(&request::get("/__sim/stats", None)).await?;
        Ok(serde_json::from_slice(&answer.body)?)
    }
}

impl Balancer {
    /// The node with one frontend of this policy and the limits of the engines. What the node does by the clock is as
    /// much faster as the engines are: its defaults divided by [`FACTOR`].
    pub(super) async fn ours(policy: &str, plan: &Plan, engines: &[Engine]) -> Self {
        let names: Vec<String> = (0..engines.len()).map(|number| format!("engine{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let only = frontend("f")
            .backends(names.iter().copied())
            .set("LoadBalancing", policy)
            .set("TimeoutMs", 0)
            .set("AffinityWaitMs", 3_000 / FACTOR)
            .set("QueueTimeoutMs", 600_000);
        let checks = json!({ "IntervalMs": 5_000 / FACTOR, "TimeoutMs": 2_500, "JitterPercent": 10 });
        let mut builder = Node::builder().settings(&json!({ "HealthCheck": checks })).frontend(only);
        for (name, engine) in names.iter().zip(engines) {
            let limited = backend(name, engine.addr)
                .set("MaxParallelRequests", plan.parallelism)
                .set("RateLimitRequestsThreshold", 0);
            builder = builder.backend(limited);
        }
        let node = builder.start().await;
        node.wait_healthy(&names).await;
        Self::Ours(Box::new(node))
    }

    /// nginx with `least_conn`, its choice for requests of unequal cost.
    pub(super) async fn nginx(engines: &[Engine]) -> Result<Self, SiteError> {
        let fault = |source| SiteError::Io { what: "nginx".to_owned(), source };
        let dir = TempDir::with_prefix("ollamaflow-bench-").map_err(fault)?;
        let addr =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr()).map_err(fault)?;
        let servers: Vec<_> = engines.iter().map(|engine| engine.addr).collect();
        let path = dir.path().join("nginx.conf");
        std::fs::write(&path, least_conn(&servers, addr.port(), dir.path())).map_err(fault)?;
        let mut command = command(Path::new("nginx")).map_err(fault)?;
        command.args(["-e", "stderr", "-p"]).arg(dir.path()).arg("-c").arg(&path);
        let process = command.stdout(Stdio::null()).spawn().map_err(fault)?;
        let listening = async {
            while Client::connect(addr).await.is_err() {
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(START, listening).await.map_err(|_| SiteError::NotStarted("nginx"))?;
        Ok(Self::Nginx(Box::new(Nginx { addr, _process: process, _dir: dir })))
    }

    /// Where it listens.
    pub(super) fn addr(&self) -> SocketAddr {
        match self {
            Self::Ours(node) => node.addr(),
            Self::Nginx(nginx) => nginx.addr,
        }
    }
}

/// A command whose process ends with this one at the latest, whatever ends this one.
fn command(program: &Path) -> io::Result<Command> {
    let words = contained(None);
    let (first, rest) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(first);
    command.args(rest).arg(program).stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}

/// A binary in the folder of this one.
fn beside_this(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap_or_default();
    this.with_file_name(name)
}
