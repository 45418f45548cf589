//! Models over many backends: what a node knows of them, and what it tells clients. Each test is named after the sentence
//! that it proves.
//!
//! The tests start the real binary against simulated backends.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test, which is what is wanted")]

mod inventory;
mod memory;
mod merged;
mod missing;

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

/// An Ollama with these models.
fn ollama(models: &[&str]) -> SimulatedBackend {
    SimulatedBackend::start(SimConfig::ollama(models.iter().copied()))
}

/// A vLLM-like engine with these models.
fn vllm(models: &[&str]) -> SimulatedBackend {
    SimulatedBackend::start(SimConfig::openai(models.iter().copied()))
}

async fn ask(node: &Node, request: Request) -> Collected {
    request.send(node.addr()).await.collect().await
}

async fn get(node: &Node, path: &str) -> Collected {
    ask(node, Request::get(path)).await
}

/// A chat with this model.
fn chat(model: &str) -> Request {
    Request::post("/api/chat").json(&chat_body(model))
}

fn chat_body(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }], "stream": false })
}

/// The names that a list of either API has, sorted.
fn names(answer: &Collected) -> Vec<String> {
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let body = answer.json();
    let (list, name) = if body["models"].is_array() { ("models", "name") } else { ("data", "id") };
    let list = body[list].as_array().unwrap_or_else(|| panic!("no list: {body}"));
    let mut names: Vec<String> = list.iter().map(|model| model[name].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// Which backends an answer says are missing.
fn missing(answer: &Collected) -> Option<&str> {
    answer.header("x-ollamaflow-missing")
}

/// Waits until a list has these names, in their order, and gives it.
async fn wait_listed(node: &Node, path: &str, expected: &[&str]) -> Collected {
    wait::until_answered(&format!("{path} lists {expected:?}"), async || {
        let answer = get(node, path).await;
        if answer.status() == 200 && names(&answer) == expected { Ok(answer) } else { Err(answer.text()) }
    })
    .await
}
