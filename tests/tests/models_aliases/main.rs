//! Other names for models: what a client calls `GPT-4o` goes to each backend by the name that it has there, and comes back as
//! the client wrote it. And whatever the names are: a request reaches backends only that have its model.
//!
//! Each test starts the real binary against simulated backends, which answer 404 to a name that they do not list.
#![expect(clippy::unwrap_used, reason = "a panic fails the test, which is what is wanted")]

mod answers;
mod bodies;
mod defaults;
mod operations;
mod places;
mod sole_owner;
mod targets;

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::Backend;
use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::simulated::{ReceivedRequest, SimConfig, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

/// The model that backends have.
const REAL: &str = "llama3.1:70b";
/// What the client calls it; the alias is `gpt-4o`.
const ASKED: &str = "GPT-4o:latest";

/// An Ollama with these models.
fn ollama(models: &[&str]) -> SimulatedBackend {
    SimulatedBackend::start(
        SimConfig::ollama(models.iter().copied()).with_knobs(|knobs| knobs.parallelism = 1000),
    )
}

/// A vLLM-like engine with these models.
fn vllm(models: &[&str]) -> SimulatedBackend {
    SimulatedBackend::start(
        SimConfig::openai(models.iter().copied()).with_knobs(|knobs| knobs.parallelism = 1000),
    )
}

/// A node for which `gpt-4o` is the model that backends have.
fn aliased() -> Setup {
    Setup::new().frontend("ModelAliases", json!({ "gpt-4o": REAL }))
}

async fn ask(node: &Node, request: Request) -> Collected {
    request.send(node.addr()).await.collect().await
}

async fn post(node: &Node, path: &str, body: Value) -> Collected {
    ask(node, Request::post(path).json(&body)).await
}

/// A chat of Ollama's API.
fn chat(model: &str, stream: bool) -> Request {
    Request::post("/api/chat").json(&chat_body(model, stream))
}

fn chat_body(model: &str, stream: bool) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }], "stream": stream })
}

/// The last request at the backend that had a body: probes have none.
fn last_posted(backend: &SimulatedBackend) -> ReceivedRequest {
    backend.requests().into_iter().rev().find(|request| request.method == "POST").unwrap()
}

/// The last request to this path at the backend.
fn received(backend: &SimulatedBackend, path: &str) -> Value {
    backend.requests_to(path).pop().unwrap().json()
}

/// The backend that answered with 200.
fn served_by(answer: &Collected) -> &str {
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.header("x-ollamaflow-backend").unwrap()
}

async fn explain(node: &Node, body: &Value) -> Value {
    let (status, explained) = node.admin("POST", "/v1.0/frontends/f/explain", Some(body)).await;
    assert_eq!(status, 200, "{explained}");
    explained
}

/// What an explanation says of a backend.
fn candidate<'e>(explained: &'e Value, backend: &str) -> &'e Value {
    let mut candidates = explained["Candidates"].as_array().unwrap().iter();
    candidates.find(|candidate| candidate["Backend"] == backend).unwrap()
}

/// Waits until it is known of each of these backends whether it has what they would be asked for.
async fn wait_models(node: &Node, model: &str, known: &[(&str, bool)]) {
    let body = chat_body(model, false);
    wait::until_answered("the lists of models are known", async || {
        let explained = explain(node, &body).await;
        let all = known.iter().all(|(backend, has)| candidate(&explained, backend)["HasModel"] == *has);
        if all { Ok(()) } else { Err(explained.to_string()) }
    })
    .await;
}

/// An engine of `OpenAI`'s API.
fn openai(backend: Backend) -> Backend {
    backend.openai()
}
