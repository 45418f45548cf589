//! The admin API as its clients meet it: scripts that keep a catalog in a repository, operators, and whoever watches the
//! probes. What the original's dashboard needs of it is the suite `dashboard`.
//!
//! Each test starts the real binary on a port of the OS's choice.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test, which is what is wanted")]

mod backup;
mod bodies;
mod catalog;
mod cluster;
mod concurrency;
mod conditions;
mod deleting;
mod failures;
mod freshness;
mod history;
mod own_listener;
mod probes;
mod secrets;
mod sessions;
mod token_limit;
mod tokens;
mod validation;
mod writing;

use std::net::SocketAddr;

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::node::{ADMIN_TOKEN, Node, NodeBuilder};
use ollamaflow_tests::objects::{Backend, Frontend, backend, frontend};
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend};
use serde_json::{Value, json};

/// An address where nobody listens: for backends whose health is not what a test is about.
fn nowhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

/// A backend that is well.
fn engine() -> SimulatedBackend {
    SimulatedBackend::start(SimConfig::ollama(["m"]))
}

/// The frontend `f1` for every host, with the backend `b1`.
fn f1() -> Frontend {
    frontend("f1").backends(["b1"])
}

/// The backend `b1` at [`nowhere`].
fn b1() -> Backend {
    backend("b1", nowhere())
}

/// `f1` before `b1`.
fn pair() -> NodeBuilder {
    Node::builder().frontend(f1()).backend(b1())
}

/// A request with the token of the test settings.
fn admin(method: &str, path: &str) -> Request {
    Request::new(method, path).bearer(ADMIN_TOKEN)
}

fn put(path: &str, body: &Value) -> Request {
    admin("PUT", path).json(body)
}

/// The whole answer to a request on a connection of its own.
async fn answer(node: &Node, request: Request) -> Collected {
    request.send(node.addr()).await.collect().await
}

/// What a path shows.
async fn shown(node: &Node, path: &str) -> Value {
    let answer = answer(node, admin("GET", path)).await;
    assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
    answer.json()
}

/// The body of an answer with this status.
fn expect(answer: &Collected, status: u16) -> Value {
    assert_eq!(answer.status(), status, "{}", answer.text());
    if answer.body.is_empty() { Value::Null } else { answer.json() }
}

/// Checks an error body and gives its message.
fn error(answer: &Collected, status: u16, kind: &str) -> String {
    let body = expect(answer, status);
    assert_eq!(body["Error"], kind, "{body}");
    assert!(body["StatusCode"].is_u64(), "{body}");
    body["Message"].as_str().unwrap().to_owned()
}

/// The present revision, by the header that every answer has.
async fn revision(node: &Node) -> u64 {
    let answer = answer(node, admin("GET", "/v1.0/catalog")).await;
    answer.header("X-OllamaFlow-Revision").unwrap().parse().unwrap()
}

/// Identifiers in the order of a list.
fn identifiers(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|object| object["Identifier"].as_str().unwrap()).collect()
}

/// A body with this property and the identifier.
fn named(identifier: &str) -> Value {
    json!({ "Identifier": identifier, "Name": identifier })
}
