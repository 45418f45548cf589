//! Each documented operation is there, and each path takes the methods that are documented and no others.

use std::collections::BTreeSet;

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::{ADMIN_TOKEN, Node};
use ollamaflow_tests::objects::frontend;
use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend};
use serde_json::Value;

use crate::{answer, document};

/// Sentences by which the node says that it knows no such path.
const NO_ROUTE: [&str; 2] = ["there is no admin route", "there is nothing at this path"];

/// The path with the examples of its parameters.
fn filled(path: &str, operation: &Value) -> String {
    let mut filled = path.to_owned();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        if parameter["in"] == "path" {
            let name = parameter["name"].as_str().unwrap();
            filled = filled.replace(&format!("{{{name}}}"), parameter["example"].as_str().unwrap());
        }
    }
    assert!(!filled.contains('{'), "{filled}");
    filled
}

fn example(path: &str, method: &str, operation: &Value) -> Request {
    let request = Request::new(&method.to_uppercase(), &filled(path, operation));
    let request = if path.starts_with("/v1.0") { request.bearer(ADMIN_TOKEN) } else { request };
    let body = &operation["requestBody"]["content"]["application/json"]["example"];
    if body.is_null() { request } else { request.json(body) }
}

#[tokio::test]
async fn each_documented_operation_is_routed() {
    let engine = SimulatedBackend::start(SimConfig::ollama(["llama3.2:1b", "all-minilm"]));
    let mut tried = 0;
    for (path, methods) in document()["paths"].as_object().unwrap() {
        // A node for each path: some of them delete what others need.
        let node = Setup::new().backend(&engine).frontend("AllowModelManagement", true).start().await;
        for (method, operation) in methods.as_object().unwrap() {
            let answer = answer(&node, example(path, method, operation)).await;
            let (status, text) = (answer.status(), answer.text());
            assert_ne!(status, 405, "{method} {path}: {text}");
            assert_ne!(status, 401, "{method} {path}: {text}");
            assert!(!NO_ROUTE.iter().any(|sentence| text.contains(sentence)), "{method} {path}: {text}");
            let known = &operation["responses"];
            assert!(
                known.get(status.to_string()).is_some() || known.get("default").is_some(),
                "{method} {path} answers {status}, which is not documented: {text}"
            );
            tried += 1;
        }
    }
    assert!(tried > 60, "only {tried} operations");
}

#[tokio::test]
async fn a_path_takes_the_methods_that_are_documented_and_no_others() {
    let node = Node::builder().frontend(frontend("f")).start().await;
    for (path, methods) in document()["paths"].as_object().unwrap() {
        if path.ends_with("/{path}") {
            continue;
        }
        let (_, operation) = methods.as_object().unwrap().iter().next().unwrap();
        // No path takes it.
        let request = Request::new("TRACE", &filled(path, operation)).bearer(ADMIN_TOKEN);
        let refused = answer(&node, request).await;
        assert_eq!(refused.status(), 405, "{path}: {}", refused.text());
        let allowed: BTreeSet<String> =
            refused.header("Allow").unwrap().split(", ").map(str::to_owned).collect();
        let mut documented: BTreeSet<String> =
            methods.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        if documented.contains("GET") {
            documented.insert("HEAD".to_owned());
        }
        assert_eq!(allowed, documented, "{path}");
    }
}
