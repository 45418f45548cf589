//! Traces: what a collector is told about requests, and what it is not.
//!
//! Each test starts the real binary, with a collector that decodes what it gets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test, which is what is wanted")]

mod collector;
mod context;
mod losses;
mod spans;

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend};
use serde_json::{Value, json};

use crate::collector::{Collector, Manner};

/// What a client asks, and what no span may have.
const PROMPT: &str = "what nobody else may read";

fn ollama() -> SimulatedBackend {
    SimulatedBackend::start(SimConfig::ollama(["m"]).with_knobs(|knobs| knobs.parallelism = 10_000))
}

fn traced(collector: &Collector) -> Value {
    json!({ "Tracing": { "Endpoint": collector.url() } })
}

/// A node that is traced, and its backend.
async fn one() -> (Collector, SimulatedBackend, Node) {
    let (collector, backend) = (Collector::start(Manner::Takes).await, ollama());
    let node = Setup::new().backend(&backend).settings(traced(&collector)).start().await;
    (collector, backend, node)
}

fn chat(stream: bool) -> Request {
    let messages = json!([{ "role": "user", "content": PROMPT }]);
    Request::post("/api/chat").json(&json!({ "model": "m", "messages": messages, "stream": stream }))
}

async fn ask(node: &Node, request: Request) -> u16 {
    request.send(node.addr()).await.collect().await.status()
}
