//! The node as its clients and its operator meet it, before and beside the proxied bytes: settings and command line, the
//! listener, classification, frontends, cross-origin access, health and the reading half of the admin API.
//!
//! Each test starts the real binary on a port of the OS's choice, in front of simulated backends.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed unwrap fails the test, which is what is wanted; what is printed is shown with it"
)]

mod admin_reads;
mod body_limits;
mod catalog_changes;
mod connections;
mod cors;
mod default_headers;
mod endpoints;
mod error_bodies;
mod health_changes;
mod health_probes;
mod health_since;
mod health_tls;
mod health_traffic;
mod health_verdicts;
mod home;
mod hosts;
mod http10;
mod passthrough;
mod pipelining;
mod program;
mod refusals;
mod settings_check;
mod settings_errors;
mod settings_first_run;
mod settings_listen;
mod settings_names;
mod settings_precedence;
mod settings_secrets;
mod smuggling;
mod timeouts;

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::node::{Node, NodeBuilder};
use ollamaflow_tests::objects::{Backend, Frontend, backend, frontend};
use ollamaflow_tests::simulated::{ApiFormat, SimConfig, SimulatedBackend};
use serde_json::{Value, json};

/// A backend with the model `m` that serves both APIs and every health path.
fn engine() -> SimulatedBackend {
    SimulatedBackend::start(SimConfig { format: ApiFormat::Both, ..SimConfig::ollama(["m"]) })
}

/// The frontend `f1` for every host, with the backend `b1`.
fn f1() -> Frontend {
    frontend("f1").backends(["b1"])
}

/// The backend `b1` at `engine`.
fn b1(engine: &SimulatedBackend) -> Backend {
    backend("b1", engine)
}

/// A node to be, with `f1` before `b1`.
fn before(engine: &SimulatedBackend) -> NodeBuilder {
    Node::builder().frontend(f1()).backend(b1(engine))
}

/// Starts a node and waits until it has taken up `b1`.
async fn ready(builder: NodeBuilder) -> Node {
    let node = builder.start().await;
    node.wait_healthy(&["b1"]).await;
    node
}

/// The whole answer to a request on a connection of its own.
async fn answer(node: &Node, request: Request) -> Collected {
    request.send(node.addr()).await.collect().await
}

/// A chat with the model `m` that is answered at once.
fn chat() -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": "hello" }], "stream": false })
}

/// What the health list says about a backend.
async fn health_of(node: &Node, identifier: &str) -> Value {
    let listed = node.health().await.unwrap();
    listed.into_iter().find(|backend| backend["Identifier"] == identifier).unwrap()
}

/// Settings of health checks that merge with those of the tests.
fn health_checks(settings: &Value) -> Value {
    json!({ "HealthCheck": settings })
}

/// An hour: what is to happen at this pace does not happen during a test.
const NEVER_MS: u32 = 3_600_000;
