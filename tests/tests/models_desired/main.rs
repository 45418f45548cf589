//! What frontends want of their backends' models, and what the nodes do about it: pulls, loads and deletions, each once,
//! whichever node leads.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test, which is what is wanted")]

mod concurrent;
mod deleting;
mod leading;
mod loading;
mod planning;
mod pulling;
mod rolling;

use std::time::Duration;

use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::{Backend, Frontend, backend, frontend};
use ollamaflow_tests::simulated::{ModelSpec, Registry, SimConfig, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

/// How long something may take that waits for leases or retries: 30 s for the one, and the machine may be busy.
const LONG: Duration = Duration::from_secs(120);

/// A registry with the model `m` of some megabytes.
fn registry() -> Registry {
    let registry = Registry::new();
    registry.publish(ModelSpec::named("m").with_size(10_000_000, 2));
    registry
}

/// An Ollama with these models, which pulls from this registry.
fn engine(registry: &Registry, models: &[&str]) -> SimulatedBackend {
    SimulatedBackend::start(SimConfig::ollama(models.iter().copied()).with_registry(registry))
}

/// A frontend of the backend `b1` that wants this.
fn wanting(property: &str, models: &[&str]) -> Frontend {
    frontend("f").backends(["b1"]).set(property, json!(models))
}

/// The backend `b1`.
fn b1(engine: &SimulatedBackend) -> Backend {
    backend("b1", engine)
}

/// A node with this frontend and its backend `b1`, which is healthy.
async fn started(frontend: Frontend, engine: &SimulatedBackend) -> Node {
    let node = Node::builder().frontend(frontend).backend(b1(engine)).start().await;
    node.wait_healthy(&["b1"]).await;
    node
}

/// The cell of a model at a backend in `GET /v1.0/models`; null if there is none.
async fn cell(node: &Node, model: &str, backend: &str) -> Value {
    let (status, body) = node.admin("GET", "/v1.0/models", None).await;
    assert_eq!(status, 200, "{body}");
    of_matrix(&body, model, backend)
}

fn of_matrix(matrix: &Value, model: &str, backend: &str) -> Value {
    let find = |list: &Value, key: &str, name: &str| {
        let found = list.as_array().and_then(|list| list.iter().find(|it| it[key] == name).cloned());
        found.unwrap_or_default()
    };
    find(&find(&matrix["Models"], "Model", model)["Backends"], "Backend", backend)
}

/// Waits until the cell is as wanted, and gives it.
async fn until_cell(node: &Node, model: &str, backend: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    wait::until_answered(&format!("{model} at {backend} is as it should be"), async || {
        let cell = cell(node, model, backend).await;
        if wanted(&cell) { Ok(cell) } else { Err(cell.to_string()) }
    })
    .await
}

/// Waits until the reason of the cell has these words, and gives the cell.
async fn until_told(node: &Node, model: &str, backend: &str, words: &str) -> Value {
    let told = |cell: &Value| cell["Reason"].as_str().is_some_and(|reason| reason.contains(words));
    until_cell(node, model, backend, told).await
}

async fn until_installed(engine: &SimulatedBackend, model: &str) {
    let name = format!("{model} is installed");
    wait::until_within(&name, LONG, || engine.digest_of(model).is_some()).await;
}

fn pulls_begun(engine: &SimulatedBackend, model: &str) -> u64 {
    engine.stats().pulls_of(model).begun
}
