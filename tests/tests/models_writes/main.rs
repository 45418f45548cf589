//! Changes of models through a frontend: they go to all its Ollama backends, are answered as one server would, and change
//! what the frontend requires.
//!
//! | file | what it proves |
//! |---|---|
//! | `permission` | who may, and what those hear who may not |
//! | `targets` | which backends are asked, which are passed over, how a client narrows them |
//! | `pulls` | one merged progress, failures, silence, clients that leave |
//! | `creations` | creating, copying, pushing: who has what it takes |
//! | `deletions` | deleting |
//! | `blobs` | blobs to many backends at once |
//! | `residence` | loading and unloading |
//! | `wishes` | `RequiredModels` after pulls and deletions |
//! | `cluster` | the same in a cluster of three nodes |
//! | `explained` | what `explain` tells of it |
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test, which is what is wanted")]

mod blobs;
mod cluster;
mod creations;
mod deletions;
mod explained;
mod permission;
mod pulls;
mod residence;
mod targets;
mod wishes;

use std::net::SocketAddr;
use std::time::Duration;

use ollamaflow_tests::client::{Collected, Frame, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::simulated::{ModelSpec, Registry, SimConfig, SimulatedBackend};
use serde_json::{Value, json};

/// A step of a download that never comes.
const NEVER: Duration = Duration::from_secs(3600);

/// A registry in which `new` has two layers of weights.
fn registry() -> Registry {
    let registry = Registry::new();
    registry.publish(ModelSpec::named("new").with_size(10_000_000, 2));
    registry
}

/// Backends with these models, which pull from one registry.
fn backends<const N: usize>(registry: &Registry, models: &[&str]) -> [SimulatedBackend; N] {
    std::array::from_fn(|_| {
        SimulatedBackend::start(SimConfig::ollama(models.iter().copied()).with_registry(registry))
    })
}

/// A node in front of these backends.
async fn node_of(backends: &[SimulatedBackend]) -> Node {
    setup(backends).start().await
}

fn setup(backends: &[SimulatedBackend]) -> Setup {
    backends.iter().fold(Setup::new(), Setup::backend)
}

fn post(path: &str, body: &Value) -> Request {
    Request::post(path).json(body)
}

fn pull() -> Request {
    post("/api/pull", &json!({ "model": "new" }))
}

fn delete(model: &str) -> Request {
    Request::new("DELETE", "/api/delete").json(&json!({ "model": model }))
}

async fn answer(target: impl Into<SocketAddr>, request: Request) -> Collected {
    request.send(target).await.collect().await
}

/// The lines of a stream.
async fn lines(target: impl Into<SocketAddr>, request: Request) -> Vec<Value> {
    let response = request.send(target).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.header("content-type"), Some("application/x-ndjson"));
    response.lines().collect().await.0.iter().map(Frame::json).collect()
}

/// The error of the last line, or of an answer that is one object.
fn error(line: &Value) -> &str {
    line["error"].as_str().unwrap_or_else(|| panic!("no error: {line}"))
}

fn success() -> Value {
    json!({ "status": "success" })
}

/// The models of each backend, in order of the alphabet.
fn models(backend: &SimulatedBackend) -> Vec<String> {
    let mut models = backend.installed_models();
    models.sort();
    models
}

/// What the header tells of each backend.
fn told(answer: &Collected) -> &str {
    answer.header("x-ollamaflow-backends").unwrap()
}

/// A property of the frontend, as the node knows it.
async fn property(node: &Node, property: &str) -> Value {
    node.admin("GET", "/v1.0/frontends/f", None).await.1[property].clone()
}
