//! Paths below `/api/` and `/v1/` that nobody lists: passed through with method, body and query, to a backend of that
//! format.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::backend;
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend};
use serde_json::json;

use crate::{answer, b1, before, engine, f1, ready};

#[tokio::test]
async fn an_unlisted_path_is_passed_through_with_method_body_and_query() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"] {
        for path in ["/api/echo/some/thing", "/v1/echo/some/thing", "/v1/echo/%E2%82%AC/a%2Fb/"] {
            let request = Request::new(method, &format!("{path}?x=%2F&x=2&flag"));
            let request = if method == "GET" { request } else { request.body(format!("{method} body")) };
            let answer = answer(&node, request).await;
            assert_eq!(answer.status(), 200, "{method} {path}: {}", answer.text());
            let seen = answer.json();
            assert_eq!(seen["method"], method);
            assert_eq!(seen["path"], path);
            assert_eq!(seen["query"], "x=%2F&x=2&flag");
            let sent = if method == "GET" { String::new() } else { format!("{method} body") };
            assert_eq!(seen["body"]["text"], sent, "{seen}");
        }
    }
}

#[tokio::test]
async fn the_backend_decides_about_an_unlisted_path() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for (method, path) in [("POST", "/api/me"), ("GET", "/v1/rerank"), ("POST", "/v1/images/generations")] {
        let direct = Request::new(method, path).send(&engine).await.collect().await;
        let relayed = answer(&node, Request::new(method, path)).await;
        assert_eq!((relayed.status(), relayed.text()), (404, direct.text()), "{method} {path}");
        assert_eq!(relayed.header("X-OllamaFlow-Backend"), Some("b1"));
        assert_eq!(engine.requests_to(path).last().unwrap().method, method);
    }
}

#[tokio::test]
async fn an_unlisted_path_goes_to_a_backend_of_its_format() {
    let openai = SimulatedBackend::start(SimConfig::openai(["m"]));
    let ollama = engine();
    let builder = Node::builder()
        .frontend(f1().backends(["b1", "b2"]))
        .backend(b1(&ollama))
        .backend(backend("b2", &openai).openai());
    let node = builder.start().await;
    node.wait_healthy(&["b1", "b2"]).await;
    // Phase 1: both serve OpenAI's paths.
    let mut by = Vec::new();
    for _ in 0..4 {
        let answer = answer(&node, Request::get("/v1/echo/x")).await;
        by.push(answer.header("X-OllamaFlow-Backend").unwrap().to_owned());
    }
    by.sort();
    assert_eq!(by, ["b1", "b1", "b2", "b2"]);
    // Phase 2: only the Ollama server is asked for a native path.
    for _ in 0..4 {
        let answer = answer(&node, Request::get("/api/echo/x")).await;
        assert_eq!(answer.header("X-OllamaFlow-Backend"), Some("b1"));
    }
}

#[tokio::test]
async fn a_native_path_that_is_not_translated_is_an_error_that_names_the_formats() {
    let openai = SimulatedBackend::start(SimConfig::openai(["m"]));
    let node = ready(Node::builder().frontend(f1()).backend(backend("b1", &openai).openai())).await;
    let push = Request::post("/api/push").json(&json!({ "model": "m" }));
    for (request, status) in [(Request::get("/api/echo/x"), 502), (push, 400)] {
        let answer = answer(&node, request).await;
        assert_eq!(answer.status(), status);
        let message = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(message.contains("Ollama") && message.contains("OpenAI"), "{message}");
    }
    assert_eq!(openai.requests_to("/api/").len(), 0);
}
