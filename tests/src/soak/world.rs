//! The node and its backends.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::order::{HOSTS, MODEL};
use crate::node::{Node, NodeBuilder};
use crate::objects::{Backend, Frontend, backend, frontend};
use crate::simulated::{SimConfig, SimulatedBackend, TextSource};

/// Backends, of which those of [`OPENAI`] speak `OpenAI`'s API only.
const BACKENDS: usize = 6;

/// The first of the OpenAI-compatible engines.
const OPENAI: usize = 4;

/// Requests that a backend takes at once: all together fewer than there are clients, so that queues are used.
pub(super) const CAP: u64 = 60;

/// Everything that is tested and tested against.
pub(super) struct World {
    pub node: Node,
    pub backends: Vec<SimulatedBackend>,
    kills: AtomicU64,
}

impl World {
    /// Starts the backends and the node.
    pub(super) async fn start(seed: u64) -> Self {
        let backends: Vec<_> = (0..BACKENDS).map(|index| engine(index, seed)).collect();
        let names: Vec<String> = (1..=BACKENDS).map(|number| format!("b{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let settings = json!({
            "Webserver": { "Workers": 2 },
            "Logging": { "MinimumSeverity": 3 },
        });
        let builder = Node::builder().settings(&settings);
        let builder = HOSTS.iter().map(|host| served(host, &names)).fold(builder, NodeBuilder::frontend);
        let objects = names.iter().zip(&backends).enumerate();
        let objects = objects.map(|(index, (name, target))| limits(backend(name, target), index));
        let node = objects.fold(builder, NodeBuilder::backend).start().await;
        node.wait_healthy(&names).await;
        Self { node, backends, kills: AtomicU64::new(0) }
    }

    /// Counts the death of a backend.
    pub(super) fn count_kill(&self) {
        self.kills.fetch_add(1, Ordering::Relaxed);
    }

    /// Deaths of backends so far.
    pub(super) fn kills(&self) -> u64 {
        self.kills.load(Ordering::Relaxed)
    }

    /// Inference requests that reached backends.
    pub(super) fn received(&self) -> u64 {
        self.backends.iter().map(|backend| backend.stats().received()).sum()
    }
}

/// A backend that echoes, so that each answer can be told from all others.
fn engine(index: usize, seed: u64) -> SimulatedBackend {
    let config = if index < OPENAI { SimConfig::ollama([MODEL]) } else { SimConfig::openai([MODEL]) };
    let mut config = config.with_knobs(|knobs| {
        knobs.text = TextSource::Echo;
        knobs.parallelism = 10_000;
        knobs.ttft_ms = 5;
        knobs.tokens_per_second = 500.0;
        knobs.record_requests = 16;
    });
    config.seed = seed.wrapping_add(index as u64);
    SimulatedBackend::start(config)
}

/// A frontend over all backends whose patience is short, so that hangs do not take all the time.
fn served(host: &str, names: &[&str]) -> Frontend {
    frontend(host)
        .hostname(host)
        .backends(names.iter().copied())
        .set("LoadBalancing", "LeastConnections")
        .set("TimeoutMs", 1500)
        .set("StreamIdleTimeoutMs", 1500)
        .set("QueueTimeoutMs", 5000)
        .set("ResumeStreams", host == HOSTS[1])
}

fn limits(backend: Backend, index: usize) -> Backend {
    let backend = if index < OPENAI { backend } else { backend.openai() };
    backend
        .set("MaxParallelRequests", CAP)
        // One has a limit of its own, so that this way of waiting is taken too.
        .set("RateLimitRequestsThreshold", if index == 0 { 100 } else { 0 })
        .set("CircuitBreakerOpenMs", 300)
}
