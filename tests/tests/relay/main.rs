//! A request's way through one node and its answer's way back: which backend gets it, that bytes arrive as they were sent,
//! what happens when a backend fails, when a client leaves, and when there are very many of them.
//!
//! Each test starts the real binary against backends of its own. `setup` starts nodes, `scripted` is a backend whose
//! bytes the test sends itself; everything else is tests by subject.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic fails the test, which is what is wanted"
)]
#![expect(clippy::print_stdout, reason = "figures that were measured, shown with `--nocapture`")]

mod broken_answers;
mod broken_streams;
mod cancellation;
mod candidates;
mod client_limit;
mod compressed_requests;
mod credentials;
mod failed_attempts;
mod flushing;
mod framing;
mod load;
mod memory;
mod pin_scope;
mod pins;
mod reconfiguration;
mod request_head;
mod response_head;
mod resuming;
mod retries;
mod routing;
mod scripted;
mod split_frames;
mod stale_connections;
mod stalled_readers;
mod stopping;
mod uploads;

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend};
use serde_json::{Value, json};

/// An Ollama with the model `m`, which serves as many requests at once as come.
fn ollama() -> SimulatedBackend {
    SimulatedBackend::start(SimConfig::ollama(["m"]).with_knobs(|knobs| knobs.parallelism = 10_000))
}

/// A vLLM-like engine with the model `m`.
fn vllm() -> SimulatedBackend {
    SimulatedBackend::start(SimConfig::openai(["m"]).with_knobs(|knobs| knobs.parallelism = 10_000))
}

/// A chat with the model `m`.
fn chat_body(stream: bool) -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": "hello" }], "stream": stream })
}

/// A chat in Ollama's API.
fn chat(stream: bool) -> Request {
    Request::post("/api/chat").json(&chat_body(stream))
}

/// A chat in `OpenAI`'s API.
fn openai_chat(stream: bool) -> Request {
    Request::post("/v1/chat/completions").json(&chat_body(stream))
}

/// The backend that answered, as the answer says.
fn served_by(answer: &Collected) -> &str {
    answer.header("x-ollamaflow-backend").unwrap()
}
