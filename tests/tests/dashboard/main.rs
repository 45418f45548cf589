//! What the original's dashboard and API explorer need of a node, or they cannot be used. The dashboard is a program of
//! somebody else's that was built and driven in a browser; each of these was seen to break it, or was read in its source.
//!
//! | rule | what it says | file |
//! |---|---|---|
//! | 1 | `GET /` has a body without a token | `login` |
//! | 2 | a new node has a frontend to show | `login` |
//! | 3 | every backend is in the health list | `health` |
//! | 4 | the health list comes no later than the list | `health` |
//! | 5 | who has written sees it at once, in both lists | `fresh` |
//! | 6 | frontends have their lists and numbers | `shapes` |
//! | 7 | `HealthySinceUtc` is there if the backend is healthy, and only then | `health` |
//! | 8 | `Uptime` and `Downtime` are texts | `health` |
//! | 9 | errors are objects with `StatusCode` and `Message` | `errors` |
//! | 10 | 401 is a wrong key and nothing else, and 403 is nothing | `errors` |
//! | 11 | an edit keeps what its form does not know | `bodies` |
//! | 12 | every answer is open to other origins | `cors` |
//!
//! `routes` has a test for each route, `bodies` the forms as they are sent, `explorer` what the API explorer sends and reads.
//! `login` is the way in, step by step.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test, which is what is wanted")]

mod bodies;
mod cors;
mod errors;
mod explorer;
mod fresh;
mod health;
mod login;
mod routes;
mod shapes;

use std::net::SocketAddr;

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::node::{ADMIN_TOKEN, Node, NodeBuilder};
use ollamaflow_tests::objects::{backend, frontend};
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend};
use serde_json::{Map, Value, json};

/// Where the dashboard runs.
const DASHBOARD: &str = "http://localhost:3000";

/// What browsers say of a page that was opened from the disk, as the API explorer is.
const FROM_DISK: &str = "null";

/// An address where nobody listens: for backends whose health is not what a test is about.
fn nowhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

/// A backend that is well.
fn engine() -> SimulatedBackend {
    SimulatedBackend::start(SimConfig::ollama(["m"]))
}

/// The frontend `f1` for every host before the backend `b1`, which is nowhere.
fn pair() -> NodeBuilder {
    Node::builder().frontend(frontend("f1").backends(["b1"])).backend(backend("b1", nowhere()))
}

/// A request as the dashboard sends it: from its origin, with the key that its user gave.
fn with_key(method: &str, path: &str) -> Request {
    from_page(method, path).bearer(ADMIN_TOKEN)
}

/// A request of the dashboard without a key.
fn from_page(method: &str, path: &str) -> Request {
    Request::new(method, path)
        .header("Origin", DASHBOARD)
        .header("Accept", "application/json, text/plain, */*")
}

fn put(path: &str, body: &Value) -> Request {
    with_key("PUT", path).json(body)
}

/// The whole answer to a request on a connection of its own.
async fn answer(node: &Node, request: Request) -> Collected {
    request.send(node.addr()).await.collect().await
}

/// What a path shows.
async fn shown(node: &Node, path: &str) -> Value {
    expect(&answer(node, with_key("GET", path)).await, 200)
}

/// The body of an answer with this status.
#[track_caller]
fn expect(answer: &Collected, status: u16) -> Value {
    assert_eq!(answer.status(), status, "{}", answer.text());
    if answer.body.is_empty() { Value::Null } else { answer.json() }
}

/// Checks an error body and gives its message: what the dashboard shows to its user.
#[track_caller]
fn message(answer: &Collected, status: u16, kind: &str) -> String {
    let body = expect(answer, status);
    assert_eq!(body["Error"], kind, "{body}");
    assert!(body["StatusCode"].is_u64(), "{body}");
    body["Message"].as_str().unwrap_or_else(|| panic!("no message: {body}")).to_owned()
}

/// Identifiers in the order of a list.
fn identifiers(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|object| object["Identifier"].as_str().unwrap()).collect()
}

/// The dashboard's form for a new backend, as it is sent.
fn backend_form() -> Value {
    json!({
        "Identifier": "gpu-1", "Name": "GPU one", "Labels": ["gpu", "eu"], "Hostname": "127.0.0.1", "Port": 1,
        "ApiFormat": "Ollama", "MaxParallelRequests": 4, "RateLimitRequestsThreshold": 10, "HealthCheckMethod": "HEAD",
        "HealthCheckUrl": "/", "UnhealthyThreshold": 2, "HealthyThreshold": 2, "Ssl": false, "LogRequestBody": false,
        "LogResponseBody": false, "AllowEmbeddings": true, "AllowCompletions": true,
        "PinnedEmbeddingsProperties": {}, "PinnedCompletionsProperties": { "options": { "temperature": 0.1 } }
    })
}

/// The dashboard's form for a new frontend, as it is sent.
fn frontend_form() -> Value {
    json!({
        "Identifier": "front-1", "Name": "Front one", "Hostname": "localhost", "TimeoutMs": 60000,
        "LoadBalancing": "RoundRobin", "MaxRequestBodySize": 536_870_912, "AllowRetries": false,
        "LogRequestFull": false, "LogRequestBody": false, "LogResponseBody": false, "UseStickySessions": false,
        "StickySessionExpirationMs": 1_800_000, "Backends": ["gpu-1"], "RequiredModels": ["all-minilm"],
        "AllowEmbeddings": true, "AllowCompletions": true, "PinnedEmbeddingsProperties": {},
        "PinnedCompletionsProperties": {}
    })
}

/// The same without a property.
fn without(body: &Value, name: &str) -> Value {
    let others = body.as_object().unwrap().iter().filter(|(key, _)| *key != name);
    Value::Object(others.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>())
}

/// Checks that everything that was sent is in what is shown.
#[track_caller]
fn assert_holds(shown: &Value, sent: &Value) {
    for (name, value) in sent.as_object().unwrap() {
        assert_eq!(&shown[name], value, "{name}");
    }
}
