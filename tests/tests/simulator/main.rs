//! The simulated backend's own tests: it must be trusted before it can be used to judge anything else.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test, which is what is wanted")]

mod cancellation;
mod capacity;
mod command_line;
mod connection_faults;
mod continuation;
mod control;
mod framing_faults;
mod harness;
mod lifecycle;
mod loading;
mod memory;
mod models;
mod native;
mod openai;
mod prefix_cache;
mod pulls;
mod stream_faults;

use ollamaflow_tests::client::{self, Collected, Response};
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend, WORDS};
use serde_json::{Value, json};

/// An Ollama with the model `m`.
fn ollama() -> SimulatedBackend {
    SimulatedBackend::start(SimConfig::ollama(["m"]))
}

/// A vLLM-like engine with the model `m`.
fn vllm() -> SimulatedBackend {
    SimulatedBackend::start(SimConfig::openai(["m"]))
}

/// A chat with the model `m`; `stream` as given.
fn chat_body(stream: bool) -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": "hello there" }], "stream": stream })
}

/// Begins a streamed native chat.
async fn native_stream(backend: &SimulatedBackend) -> Response {
    client::post_json(backend, "/api/chat", &chat_body(true)).await
}

/// Begins a streamed chat on the `OpenAI` surface.
async fn openai_stream(backend: &SimulatedBackend) -> Response {
    client::post_json(backend, "/v1/chat/completions", &chat_body(true)).await
}

/// A whole native chat.
async fn native_chat(backend: &SimulatedBackend) -> Collected {
    client::post_json(backend, "/api/chat", &chat_body(false)).await.collect().await
}

/// What the model says when asked for nothing special.
fn whole_text() -> String {
    WORDS.concat()
}
