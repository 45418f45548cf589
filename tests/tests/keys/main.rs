//! Virtual keys and what they have used, as clients and operators meet them: the real binary against simulated backends.
//!
//! | file | what it proves |
//! |---|---|
//! | `access` | who is let in and who is not, in the client's protocol; no key reaches a backend |
//! | `scope` | models: by every name, in lists, behind aliases, in bodies that are ambiguous |
//! | `limits` | requests, tokens and requests in flight; places are given back however a request ends |
//! | `administering` | the admin API: secrets shown once, conditions, rotation, rollback, backup, what outlives a frontend |
//! | `usage` | counts by key, model and day; restarts; metrics; the line in the access log |
//! | `cluster` | three nodes: a key works everywhere, usage is added up, silent nodes are named |
//! | `program` | `ollamaflow keys`, `usage`, `apply` and `export` |
#![expect(clippy::unwrap_used, reason = "a panic fails the test, which is what is wanted")]

mod access;
mod administering;
mod cluster;
mod limits;
mod program;
mod scope;
mod usage;

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::node::{ADMIN_TOKEN, Node};
use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

/// The models that backends have.
const MODELS: [&str; 3] = ["llama3:8b", "llama3:70b", "qwen"];

/// A backend with all models, which are loaded at once.
fn engine() -> SimulatedBackend {
    SimulatedBackend::start(SimConfig::ollama(MODELS).with_knobs(|knobs| knobs.parallelism = 1000))
}

/// A node whose frontend `f` demands a key.
async fn demanding(backend: &SimulatedBackend) -> Node {
    Setup::new().frontend("RequireKey", true).backend(backend).start().await
}

fn admin(method: &str, path: &str) -> Request {
    Request::new(method, path).bearer(ADMIN_TOKEN)
}

async fn ask(node: &Node, request: Request) -> Collected {
    request.send(node.addr()).await.collect().await
}

/// The body of an answer with this status.
fn expect(answer: &Collected, status: u16) -> Value {
    assert_eq!(answer.status(), status, "{}", answer.text());
    if answer.body.is_empty() { Value::Null } else { answer.json() }
}

/// Makes a key with these properties; gives its secret.
async fn make(node: &Node, id: &str, properties: Value) -> String {
    let mut body = properties;
    body["Identifier"] = json!(id);
    let answer = ask(node, admin("PUT", "/v1.0/keys").json(&body)).await;
    expect(&answer, 201)["Secret"].as_str().unwrap().to_owned()
}

/// Changes a key, and waits until the change counts at this node.
async fn change(node: &Node, id: &str, properties: &Value) {
    expect(&ask(node, admin("PUT", &format!("/v1.0/keys/{id}")).json(properties)).await, 200);
}

/// A chat without a stream.
fn chat(model: &str) -> Request {
    let messages = json!([{ "role": "user", "content": "hello" }]);
    Request::post("/api/chat").json(&json!({ "model": model, "messages": messages, "stream": false }))
}

/// Waits until a request gets this status.
async fn until_status(node: &Node, status: u16, request: impl Fn() -> Request) -> Collected {
    wait::until_answered("the status", async || {
        let answer = ask(node, request()).await;
        if answer.status() == status {
            Ok(answer)
        } else {
            Err(format!("{} {}", answer.status(), answer.text()))
        }
    })
    .await
}

/// What `GET /v1.0/usage` says.
async fn usage(node: &Node, query: &str) -> Value {
    expect(&ask(node, admin("GET", &format!("/v1.0/usage{query}"))).await, 200)
}

/// Waits until usage has so many requests, in all.
async fn until_used(node: &Node, query: &str, requests: u64) -> Value {
    wait::until_answered("usage is counted", async || {
        let usage = usage(node, query).await;
        if usage["Total"]["Requests"] == requests { Ok(usage) } else { Err(usage.to_string()) }
    })
    .await
}
