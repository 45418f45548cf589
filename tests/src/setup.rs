//! Nodes for tests of what becomes of requests: one frontend for any host, backends named `b1`, `b2`... in the order in
//! which they are added.
#![expect(clippy::unwrap_used, reason = "a panic fails the test, which is what is wanted")]

use std::net::SocketAddr;

use crate::node::{Node, NodeBuilder};
use crate::objects::{Backend, Frontend, backend, frontend};
use serde_json::{Value, json};

/// A node to be started.
#[derive(Debug)]
pub struct Setup {
    frontend: Frontend,
    backends: Vec<Backend>,
    settings: Value,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// A frontend without backends.
    pub fn new() -> Self {
        Self { frontend: frontend("f"), backends: Vec::new(), settings: json!({}) }
    }

    /// One more backend. It stays a candidate whatever happens to requests, and takes all that come: tests of retries want
    /// to see attempts, and a busy machine must not make a backend unhealthy.
    #[must_use]
    pub fn backend(self, target: impl Into<SocketAddr>) -> Self {
        self.backend_with(target, |backend| backend)
    }

    /// The same with other properties.
    #[must_use]
    pub fn backend_with(
        mut self,
        target: impl Into<SocketAddr>,
        change: impl FnOnce(Backend) -> Backend,
    ) -> Self {
        let identifier = format!("b{}", self.backends.len() + 1);
        let lasting = backend(&identifier, target)
            .set("UnhealthyThreshold", 10_000)
            .set("MaxParallelRequests", 100_000)
            .set("RateLimitRequestsThreshold", 0)
            .set("CircuitBreakerErrorPercent", 0)
            .set("CircuitBreakerConnectFailures", 0);
        self.backends.push(change(lasting));
        self
    }

    /// A property of the frontend.
    #[must_use]
    pub fn frontend(mut self, property: &str, value: impl Into<Value>) -> Self {
        self.frontend = self.frontend.set(property, value);
        self
    }

    /// Settings merged over those of the harness.
    #[must_use]
    pub fn settings(mut self, settings: Value) -> Self {
        self.settings = settings;
        self
    }

    /// The frontend and the backends, as they stand in the settings file.
    pub fn objects(&self) -> (Frontend, Vec<Backend>) {
        let identifiers = self.backends.iter().map(Backend::identifier);
        (self.frontend.clone().backends(identifiers), self.backends.clone())
    }

    /// Starts the node and waits until all active backends are healthy.
    pub async fn start(self) -> Node {
        let active = |backend: &&Backend| backend.json()["Active"] != false;
        let identifiers: Vec<String> =
            self.backends.iter().filter(active).map(|backend| backend.identifier().to_owned()).collect();
        let identifiers: Vec<&str> = identifiers.iter().map(String::as_str).collect();
        self.start_with_healthy(&identifiers).await
    }

    /// Starts the node and waits until these backends are healthy.
    pub async fn start_with_healthy(self, identifiers: &[&str]) -> Node {
        let (frontend, backends) = self.objects();
        let builder = Node::builder().settings(&self.settings).frontend(frontend);
        let node = backends.into_iter().fold(builder, NodeBuilder::backend).start().await;
        node.wait_healthy(identifiers).await;
        node
    }
}

/// `ActiveRequests` of each backend in the admin API, in the order of their identifiers.
pub async fn active_requests(node: &Node) -> Vec<u64> {
    let mut backends = node.health().await.unwrap();
    backends.sort_by_key(|backend| backend["Identifier"].to_string());
    backends.iter().map(|backend| backend["ActiveRequests"].as_u64().unwrap()).collect()
}

/// Waits until the admin API shows no request at any backend.
pub async fn wait_idle(node: &Node) {
    crate::wait::until_answered("no backend has active requests", async || {
        let active = active_requests(node).await;
        if active.iter().all(|count| *count == 0) { Ok(()) } else { Err(format!("{active:?}")) }
    })
    .await;
}

/// The most memory that the node has ever had.
pub fn peak_bytes(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
