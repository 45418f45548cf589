//! The description of the API, and its explorer: that they say what the program does, and that both are whole.
//!
//! `scripts/api-check` sends what the document allows, and what it forbids, and opens the explorer in a browser.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test, which is what is wanted")]

mod committed;
mod explorer;
mod routed;
mod served;

use std::process::Command;

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::node::{Node, binary_path};
use serde_json::Value;

/// What `ollamaflow openapi` prints.
fn printed() -> String {
    let output = Command::new(binary_path()).arg("openapi").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn document() -> Value {
    serde_json::from_str(&printed()).unwrap()
}

/// The whole answer to a request on a connection of its own.
async fn answer(node: &Node, request: Request) -> Collected {
    request.send(node.addr()).await.collect().await
}
