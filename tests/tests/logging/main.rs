//! What a node logs, and where to: lines of requests, files by day, syslog, bodies for those that ask, the level.
//!
//! Each test starts the real binary and reads what it wrote.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test, which is what is wanted")]

mod access;
mod bodies;
mod file;
mod level;
mod syslog;

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

/// What a client asks, and what must not be found in a log.
const PROMPT: &str = "what nobody else may read";

/// An Ollama with the model `m`, which serves as many requests at once as come.
fn ollama() -> SimulatedBackend {
    SimulatedBackend::start(SimConfig::ollama(["m"]).with_knobs(|knobs| knobs.parallelism = 10_000))
}

/// Settings of a node that logs JSON, with these over them.
fn json_log(mut logging: Value) -> Value {
    logging["Format"] = "Json".into();
    json!({ "Logging": logging })
}

/// A node that logs JSON, and its backend.
async fn one(logging: Value) -> (SimulatedBackend, Node) {
    let backend = ollama();
    let node = Setup::new().backend(&backend).settings(json_log(logging)).start().await;
    (backend, node)
}

fn chat_body(stream: bool) -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": PROMPT }], "stream": stream })
}

/// A chat in Ollama's API.
fn chat(stream: bool) -> Request {
    Request::post("/api/chat").json(&chat_body(stream))
}

/// The objects among these lines.
fn objects(text: &str) -> Vec<Value> {
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = complete.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// The lines of requests among these objects, without those of the admin API.
fn requests(objects: Vec<Value>) -> Vec<Value> {
    let is_request = |line: &Value| line["target"] == "access" && line["operation"] != "admin";
    objects.into_iter().filter(is_request).collect()
}

/// Waits until there is a line of a request for this path, and gives all of them: there must be no more than one.
async fn line_of(node: &Node, path: &str) -> Value {
    let look = || requests(objects(&node.logs())).into_iter().find(|line| line["path"] == path);
    let line = wait::until_some(&format!("the request for {path} is logged"), look).await;
    let all = requests(objects(&node.logs()));
    let same = all.iter().filter(|other| other["request"] == line["request"]).count();
    assert_eq!(same, 1, "{all:#?}");
    line
}
