//! Nodes for these tests: one frontend for any host, backends named `b1`, `b2`... in the order in which they are added, and
//! what the node tells of itself.

use std::net::SocketAddr;

use ollamaflow_tests::client::{Collected, Request, Response};
use ollamaflow_tests::node::{ADMIN_TOKEN, Node, NodeBuilder};
use ollamaflow_tests::objects::{Backend, Frontend, backend, frontend};
use ollamaflow_tests::simulated::SimulatedBackend;
use ollamaflow_tests::wait;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{at, chat};

/// One token in an hour, which no test waits for.
const TOKENS_PER_SECOND: f64 = 1.0 / 3600.0;

/// All values of `LoadBalancing`.
pub const POLICIES: [&str; 7] = [
    "Random",
    "RoundRobin",
    "LeastConnections",
    "Weighted",
    "LeastLatency",
    "ModelAffinity",
    "PrefixAffinity",
];

/// A node to be started.
pub struct Setup {
    frontend: Frontend,
    backends: Vec<Backend>,
    settings: Value,
}

/// A stream that has begun and goes on until its client leaves.
pub struct Held(Response);

impl Setup {
    pub fn new() -> Self {
        Self { frontend: frontend("f"), backends: Vec::new(), settings: json!({}) }
    }

    /// A frontend with this policy.
    pub fn balanced(policy: &str) -> Self {
        Self::new().frontend("LoadBalancing", policy)
    }

    /// One more backend, with its name as its label and no limit of any kind: each test sets the one it is about.
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
        let plain = backend(&identifier, target)
            .set("Labels", json!([identifier]))
            .set("UnhealthyThreshold", 10_000)
            .set("MaxParallelRequests", 10_000)
            .set("RateLimitRequestsThreshold", 0)
            .set("CircuitBreakerErrorPercent", 0)
            .set("CircuitBreakerConnectFailures", 0);
        self.backends.push(change(plain));
        self
    }

    /// The same with a cap on its requests.
    pub fn capped(self, target: impl Into<SocketAddr>, cap: u32) -> Self {
        self.backend_with(target, |backend| backend.set("MaxParallelRequests", cap))
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

    /// The frontend, and one more for each policy, whose host is the policy's name.
    pub fn one_for_each_policy(&self) -> Vec<Frontend> {
        let (frontend, _) = self.objects();
        let balanced =
            |policy| frontend.clone().set("Identifier", policy).hostname(policy).set("LoadBalancing", policy);
        let named: Vec<_> = POLICIES.into_iter().map(balanced).collect();
        std::iter::once(frontend.clone()).chain(named).collect()
    }

    /// Starts the node and waits until all backends that can be are healthy.
    pub async fn start(self) -> Node {
        let (frontend, _) = self.objects();
        self.start_with([frontend]).await
    }

    /// Starts the node with these frontends instead of its own.
    pub async fn start_with(self, frontends: impl IntoIterator<Item = Frontend>) -> Node {
        let disabled =
            |backend: &&Backend| backend.json()["Active"] == false || backend.json()["State"] == "Disabled";
        let (_, backends) = self.objects();
        let builder =
            frontends.into_iter().fold(Node::builder().settings(&self.settings), NodeBuilder::frontend);
        let node = backends.iter().cloned().fold(builder, NodeBuilder::backend).start().await;
        let healthy: Vec<&str> =
            backends.iter().filter(|backend| !disabled(backend)).map(Backend::identifier).collect();
        node.wait_healthy(&healthy).await;
        node
    }
}

impl Held {
    /// The client leaves.
    pub fn leave(self) {
        self.0.abort();
    }

    /// The answer, to be read on.
    pub fn into_response(self) -> Response {
        self.0
    }
}

/// Occupies so many slots of a backend, each by a stream that has begun. Later requests are answered at once, as before.
pub async fn occupy(node: &Node, backend: &SimulatedBackend, name: &str, count: usize) -> Vec<Held> {
    backend.knobs(|knobs| {
        knobs.endless = true;
        knobs.tokens_per_second = TOKENS_PER_SECOND;
    });
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let response = at(name, chat(true)).send(node.addr()).await;
        assert_eq!(
            (response.status(), response.header("x-ollamaflow-backend")),
            (200, Some(name)),
            "{:?}",
            response.head
        );
        held.push(Held(response));
    }
    backend.knobs(|knobs| {
        knobs.endless = false;
        knobs.tokens_per_second = 0.0;
    });
    held
}

/// Asks in the background.
pub fn asking(node: &Node, request: Request) -> JoinHandle<Collected> {
    let address = node.addr();
    tokio::spawn(async move { request.send(address).await.collect().await })
}

/// Asks in the background and waits until so many requests wait in queues.
pub async fn queueing(node: &Node, request: Request, length: u64) -> JoinHandle<Collected> {
    let asking = asking(node, request);
    wait_queued(node, length).await;
    asking
}

/// `ActiveRequests` of each backend in the admin API, in the order of their identifiers.
pub async fn active_requests(node: &Node) -> Vec<u64> {
    let mut backends = node.health().await.unwrap();
    backends.sort_by_key(|backend| backend["Identifier"].to_string());
    backends.iter().map(|backend| backend["ActiveRequests"].as_u64().unwrap()).collect()
}

/// Waits until the admin API shows so many requests at each backend.
pub async fn wait_active(node: &Node, expected: &[u64]) {
    wait::until_answered(&format!("the backends have {expected:?} requests"), async || {
        let active = active_requests(node).await;
        if active == expected { Ok(()) } else { Err(format!("{active:?}")) }
    })
    .await;
}

/// Waits until the admin API shows no request at any backend.
pub async fn wait_idle(node: &Node) {
    wait::until_answered("no backend has active requests", async || {
        let active = active_requests(node).await;
        if active.iter().all(|count| *count == 0) { Ok(()) } else { Err(format!("{active:?}")) }
    })
    .await;
}

/// Waits until so many requests wait in the queues of the node.
pub async fn wait_queued(node: &Node, length: u64) {
    wait::until_answered(&format!("{length} requests are queued"), async || {
        let queued = node.metrics().await.count("ollamaflow_queue_length", &[]);
        if queued == Some(length) { Ok(()) } else { Err(format!("ollamaflow_queue_length: {queued:?}")) }
    })
    .await;
}

/// What would happen to this body at the frontend `f`.
pub async fn explain(node: &Node, body: &Value) -> Value {
    explain_request(node, Request::post("/v1.0/frontends/f/explain").json(body)).await
}

/// The same with a request of the test's own, without its token.
pub async fn explain_request(node: &Node, request: Request) -> Value {
    let answer = request.bearer(ADMIN_TOKEN).send(node.addr()).await.collect().await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// What an explanation says of this backend.
pub fn candidate<'e>(explained: &'e Value, name: &str) -> &'e Value {
    let candidates = explained["Candidates"].as_array().unwrap_or_else(|| panic!("{explained}"));
    let found = candidates.iter().find(|candidate| candidate["Backend"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {explained}"))
}

/// Waits until an explanation says this of a backend.
pub async fn wait_explained(node: &Node, body: &Value, name: &str, property: &str, expected: &Value) {
    wait::until_answered(&format!("{name} has {property} {expected}"), async || {
        let explained = explain(node, body).await;
        let members = explained["Candidates"].as_array().unwrap();
        let Some(seen) = members.iter().find(|it| it["Backend"] == name).map(|it| &it[property]) else {
            return Err(format!("no {name} in {explained}"));
        };
        let same = match (seen.as_str(), expected.as_str()) {
            (Some(seen), Some(expected)) => seen.eq_ignore_ascii_case(expected),
            _ => seen == expected,
        };
        if same { Ok(()) } else { Err(explained.to_string()) }
    })
    .await;
}

/// Waits until the node knows of each of these backends whether it has the model.
pub async fn wait_models(node: &Node, model: &str, expected: &[(&str, bool)]) {
    for (name, has) in expected {
        wait_explained(node, &crate::chat_body(model, "x", false), name, "HasModel", &json!(has)).await;
    }
}

/// The sessions that the node knows.
pub async fn sessions(node: &Node, query: &str) -> Vec<Value> {
    let (status, body) = node.admin("GET", &format!("/v1.0/sessions{query}"), None).await;
    assert_eq!(status, 200, "{body}");
    body.as_array().unwrap_or_else(|| panic!("no list: {body}")).clone()
}
