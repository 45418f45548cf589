//! Which backend gets a request, when, and what happens when that goes wrong: capacity, queues, limits, policies, sessions,
//! failures, draining. Each test is named after the sentence that it proves.
//!
//! The tests start the real binary against backends of their own. `setup` starts nodes and looks into them; everything else
//! is tests by subject.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic fails the test, which is what is wanted"
)]
#![expect(clippy::print_stdout, reason = "figures that were measured, shown with `--nocapture`")]

mod affinity;
mod breaker;
mod capacity;
mod clients;
mod draining;
mod explain;
mod headers;
mod hedging;
mod model_routing;
mod permits;
mod policies;
mod prefixes;
mod priorities;
mod queue;
mod queue_ends;
mod rate_limits;
mod resume;
mod retries;
#[path = "../relay/scripted.rs"]
mod scripted;
mod sessions;
mod setup;
mod shutdown;
mod stickiness;
mod verdicts;

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend, WORDS};
use serde_json::{Value, json};

/// So many requests at once that a simulated backend never makes one wait.
const ROOM: usize = 10_000;

/// An Ollama with the model `m`, which serves as many requests at once as come.
fn ollama() -> SimulatedBackend {
    ollama_having(&["m"])
}

/// The same with these models on its disk.
fn ollama_having(models: &[&str]) -> SimulatedBackend {
    let config = SimConfig::ollama(models.iter().copied());
    SimulatedBackend::start(config.with_knobs(|knobs| knobs.parallelism = ROOM))
}

/// A vLLM-like engine with the model `m`.
fn vllm() -> SimulatedBackend {
    SimulatedBackend::start(SimConfig::openai(["m"]).with_knobs(|knobs| knobs.parallelism = ROOM))
}

/// A chat with this model that says this.
fn chat_body(model: &str, text: &str, stream: bool) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": text }], "stream": stream })
}

/// A chat with the model `m` in Ollama's API.
fn chat(stream: bool) -> Request {
    saying("hello", stream)
}

/// The same with this text.
fn saying(text: &str, stream: bool) -> Request {
    Request::post("/api/chat").json(&chat_body("m", text, stream))
}

/// A chat with another model.
fn chat_with(model: &str) -> Request {
    Request::post("/api/chat").json(&chat_body(model, "hello", false))
}

/// A chat with the model `m` in `OpenAI`'s API.
fn openai_chat(stream: bool) -> Request {
    Request::post("/v1/chat/completions").json(&chat_body("m", "hello", stream))
}

/// An embedding by the model `m`.
fn embed() -> Request {
    Request::post("/api/embed").json(&json!({ "model": "m", "input": "x" }))
}

/// A request that only the backend of this name may take: backends have their names as labels.
fn at(backend: &str, request: Request) -> Request {
    request.header("X-OllamaFlow-Label", backend)
}

/// The whole answer.
async fn ask(node: &Node, request: Request) -> Collected {
    request.send(node.addr()).await.collect().await
}

/// Asks and gives the name of the backend that answered with 200.
async fn backend_of(node: &Node, request: Request) -> String {
    let answer = ask(node, request).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    served_by(&answer).to_owned()
}

/// The names of the backends that answer so many requests, one after the other.
async fn backends_of(node: &Node, count: usize, request: impl Fn() -> Request) -> Vec<String> {
    let mut names = Vec::with_capacity(count);
    for _ in 0..count {
        names.push(backend_of(node, request()).await);
    }
    names
}

/// How often a name is among these.
fn count_of(names: &[String], name: &str) -> usize {
    names.iter().filter(|other| *other == name).count()
}

/// The backend that answered, as the answer says.
fn served_by(answer: &Collected) -> &str {
    answer.header("x-ollamaflow-backend").unwrap_or_else(|| panic!("no backend is named: {:?}", answer.head))
}

/// A header that is a number.
fn number(answer: &Collected, name: &str) -> u64 {
    let value = answer.header(name).unwrap_or_else(|| panic!("no {name}: {:?}", answer.head));
    value.parse().unwrap_or_else(|e| panic!("{name}: {value}: {e}"))
}

/// The number of attempts, as the answer says.
fn attempts(answer: &Collected) -> u64 {
    number(answer, "x-ollamaflow-attempts")
}

/// The time in the queue, as the answer says.
fn queue_ms(answer: &Collected) -> u64 {
    number(answer, "x-ollamaflow-queue-ms")
}

/// Why it went there, as the answer says.
fn decision(answer: &Collected) -> &str {
    answer.header("x-ollamaflow-decision").unwrap_or_else(|| panic!("no decision: {:?}", answer.head))
}

/// What a simulated backend says when nothing is changed about it.
fn whole_text() -> String {
    WORDS.concat()
}
