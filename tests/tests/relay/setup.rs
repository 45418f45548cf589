//! Nodes for these tests: one frontend for any host, backends named `b1`, `b2`... in the order in which they are added.

use std::net::SocketAddr;

use ollamaflow_tests::node::{Node, NodeBuilder};
use ollamaflow_tests::objects::{Backend, Frontend, backend, frontend};
use serde_json::{Value, json};

/// A node to be started.
pub struct Setup {
    frontend: Frontend,
    backends: Vec<Backend>,
    settings: Value,
}

impl Setup {
    pub fn new() -> Self {
        Self { frontend: frontend("f"), backends: Vec::new(), settings: json!({}) }
    }

    /// One more backend. It stays a candidate whatever happens to requests: tests of retries want to see attempts, and a
    /// busy machine must not make a backend unhealthy.
    pub fn backend(self, target: impl Into<SocketAddr>) -> Self {
        self.backend_with(target, |backend| backend)
    }

    /// The same with other properties.
    pub fn backend_with(
        mut self,
        target: impl Into<SocketAddr>,
        change: impl FnOnce(Backend) -> Backend,
    ) -> Self {
        let identifier = format!("b{}", self.backends.len() + 1);
        self.backends.push(change(backend(&identifier, target).set("UnhealthyThreshold", 10_000)));
        self
    }

    /// A property of the frontend.
    pub fn frontend(mut self, property: &str, value: impl Into<Value>) -> Self {
        self.frontend = self.frontend.set(property, value);
        self
    }

    /// Settings merged over those of the harness.
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
    ollamaflow_tests::wait::until_answered("no backend has active requests", async || {
        let active = active_requests(node).await;
        if active.iter().all(|count| *count == 0) { Ok(()) } else { Err(format!("{active:?}")) }
    })
    .await;
}
