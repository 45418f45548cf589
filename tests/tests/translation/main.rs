//! Any client to any backend: a request reaches a backend of the other API in that API, and its answer the client in its own.
//!
//! Each test starts the real binary against simulated backends. What is said in which API to the last member is tested in
//! `protocol`; here it is that a node does it, when it does it, and how it ends.
#![expect(clippy::unwrap_used, reason = "a panic fails the test, which is what is wanted")]

mod anthropic_clients;
mod breaking;
mod explained;
mod headers;
mod long_inputs;
mod ollama_clients;
mod openai_clients;
mod pins;
mod refusals;
mod request_ids;
mod responses_clients;
mod untouched;
mod usage;

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{Fault, FaultKind, SimConfig, SimulatedBackend};
use serde_json::{Value, json};

use ollamaflow_tests::setup::Setup;

/// What every answer of default length says.
const TEXT: &str = " the quick brown fox jumps over lazy dog and counts one two three four five six seven eight nine ten \
                    then stops";

/// An Ollama with the model `m`.
fn ollama() -> SimulatedBackend {
    SimulatedBackend::start(SimConfig::ollama(["m"]).with_knobs(|knobs| knobs.parallelism = 1000))
}

/// A vLLM-like engine with the model `m`.
fn vllm() -> SimulatedBackend {
    SimulatedBackend::start(SimConfig::openai(["m"]).with_knobs(|knobs| knobs.parallelism = 1000))
}

/// Makes a backend one that does not know this path.
fn lacks(path: &str) -> Fault {
    FaultKind::json(404, &json!({ "detail": "Not Found" })).path(path)
}

/// A node before one engine of `OpenAI`'s API.
async fn before_openai(backend: &SimulatedBackend) -> Node {
    Setup::new()
        .backend_with(backend, |own| own.set("ApiFormat", "OpenAI").set("HealthCheckUrl", "/health"))
        .start()
        .await
}

/// A node before one Ollama.
async fn before_ollama(backend: &SimulatedBackend) -> Node {
    Setup::new().backend(backend).start().await
}

async fn ask(node: &Node, request: Request) -> Collected {
    request.send(node.addr()).await.collect().await
}

async fn post(node: &Node, path: &str, body: Value) -> Collected {
    ask(node, Request::post(path).json(&body)).await
}

/// The objects of an NDJSON answer.
fn lines(answer: &Collected) -> Vec<Value> {
    let text = answer.text();
    assert!(!text.contains("\n\n"), "blank lines break clients: {text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The data of a server-sent event stream, and whether `[DONE]` ends it.
fn events(answer: &Collected) -> (Vec<Value>, bool) {
    let text = answer.text();
    let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let done = data.last() == Some(&"[DONE]");
    let objects = data.iter().filter(|data| **data != "[DONE]");
    (objects.map(|data| serde_json::from_str(data).unwrap()).collect(), done)
}

/// The text of a stream of chunks.
fn chunk_text(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}

/// The tools that requests of these tests offer.
fn tools() -> Value {
    json!([{ "type": "function", "function": {
        "name": "weather",
        "description": "Tells the weather",
        "parameters": { "type": "object", "properties": { "city": { "type": "string", "minLength": 1 } },
                        "additionalProperties": false, "x-rank": 1.0 },
    } }])
}

/// Makes a backend call that tool when tools are offered.
fn calls_weather(backend: &SimulatedBackend) {
    backend.knobs(|knobs| {
        knobs.tool_call = Some(ollamaflow_tests::simulated::ToolCall {
            name: "weather".to_owned(),
            arguments: json!({ "city": "Paris" }),
        });
    });
}
