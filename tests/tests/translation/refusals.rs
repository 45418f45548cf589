//! Requests that cannot be said in the backend's API.

use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{FaultKind, SimulatedBackend};
use serde_json::{Value, json};

use crate::{TEXT, before_ollama, before_openai, lacks, ollama, post, vllm};
use ollamaflow_tests::setup::Setup;

fn chat(extra: &Value) -> Value {
    let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hello" }] });
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn what_would_change_the_meaning_is_a_400_that_names_the_field_in_the_clients_protocol() {
    let backend = ollama();
    backend.set_fault(lacks("/v1/"));
    let node = before_ollama(&backend).await;
    for (extra, field) in [
        (json!({ "n": 2 }), "n"),
        (json!({ "function_call": "auto" }), "function_call"),
        (json!({ "modalities": ["audio"] }), "modalities"),
    ] {
        let answer = post(&node, "/v1/chat/completions", chat(&extra)).await;
        assert_eq!(answer.status(), 400, "{}", answer.text());
        let error = &answer.json()["error"];
        assert_eq!(error["type"], "invalid_request_error");
        assert!(error["param"].as_str().unwrap().starts_with(field), "{error}");
        assert!(error["message"].as_str().unwrap().contains(field), "{error}");
    }
    let backend = vllm();
    let node = before_openai(&backend).await;
    let answer = post(&node, "/api/chat", chat(&json!({ "keep_alive": "300" }))).await;
    assert_eq!(answer.status(), 400);
    assert!(answer.json()["error"].as_str().unwrap().contains("keep_alive"), "{}", answer.text());
    assert!(backend.requests_to("/v1/chat").is_empty());
}

#[tokio::test]
async fn a_backend_that_speaks_the_clients_api_takes_what_another_cannot_be_told() {
    let (native, other) = (ollama(), vllm());
    native.set_fault(lacks("/v1/"));
    let node = Setup::new()
        .backend(&native)
        .backend_with(&other, |own| own.set("ApiFormat", "OpenAI").set("HealthCheckUrl", "/health"))
        .start()
        .await;
    for _ in 0..4 {
        let body = chat(&json!({ "n": 2 }));
        let answer = post(&node, "/v1/chat/completions", body).await;
        assert_eq!(answer.json()["choices"][0]["message"]["content"], TEXT, "{}", answer.text());
        assert_eq!(answer.header("x-ollamaflow-backend"), Some("b2"));
    }
}

/// An Ollama that cannot be told of `n`, to be asked first, and an engine that can.
async fn choosy(native: &SimulatedBackend, other: &SimulatedBackend, change: fn(Setup) -> Setup) -> Node {
    native.set_fault(lacks("/v1/"));
    let setup = change(Setup::new().backend_with(native, |own| own.set("Priority", 0)));
    setup
        .backend_with(other, |own| own.openai().set("Priority", 1).set("MaxParallelRequests", 1))
        .start()
        .await
}

#[tokio::test]
async fn what_a_backend_cannot_be_told_is_no_attempt_and_costs_none() {
    let (native, other) = (ollama(), vllm());
    let sparing = |setup: Setup| setup.frontend("AllowRetries", false).frontend("RetryBudgetPercent", 0);
    let node = choosy(&native, &other, sparing).await;
    for _ in 0..20 {
        let answer = post(&node, "/v1/chat/completions", chat(&json!({ "n": 2 }))).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.header("x-ollamaflow-backend"), Some("b2"));
        assert_eq!(answer.header("x-ollamaflow-attempts"), Some("1"));
    }
}

#[tokio::test]
async fn a_request_that_one_backend_takes_is_not_refused_because_that_one_is_busy_or_broken() {
    let (native, other) = (ollama(), vllm());
    let node = choosy(&native, &other, |setup| setup.frontend("QueueTimeoutMs", 200)).await;
    other.set_fault(FaultKind::HangBeforeHeaders { for_ms: None }.path("/v1/chat"));
    let held =
        ollamaflow_tests::client::Request::post("/v1/chat/completions").json(&chat(&json!({ "n": 2 })));
    let addr = node.addr();
    let held = tokio::spawn(async move { held.send(addr).await });
    ollamaflow_tests::wait::until("the engine is busy", || !other.requests_to("/v1/chat").is_empty()).await;
    let answer = post(&node, "/v1/chat/completions", chat(&json!({ "n": 2 }))).await;
    assert_eq!(answer.status(), 504, "{}", answer.text());
    held.abort();
    other.set_faults(vec![FaultKind::runner_fault().path("/v1/chat")]);
    ollamaflow_tests::wait::until_answered("the engine is free and broken", async || {
        let answer = post(&node, "/v1/chat/completions", chat(&json!({ "n": 2 }))).await;
        if answer.status() == 500 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
}

#[tokio::test]
async fn broken_and_deep_json_is_a_400_and_the_node_lives_on() {
    let backend = vllm();
    let node = before_openai(&backend).await;
    let deep = format!("{{\"model\":\"m\",\"messages\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
    for body in ["", "{", "[]", "not json", &deep] {
        let request = ollamaflow_tests::client::Request::post("/api/chat").body(body.to_owned());
        let answer = crate::ask(&node, request).await;
        assert_eq!(answer.status(), 400, "{}", answer.text());
        assert!(answer.json()["error"].is_string());
    }
    assert_eq!(post(&node, "/api/chat", chat(&json!({ "stream": false }))).await.status(), 200);
}

#[tokio::test]
async fn image_urls_are_refused_unless_the_frontend_allows_them() {
    let backend = ollama();
    backend.set_fault(lacks("/v1/"));
    let node = before_ollama(&backend).await;
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": [
        { "type": "image_url", "image_url": { "url": "http://127.0.0.1/x.png" } },
    ] }] });
    let answer = post(&node, "/v1/chat/completions", body.clone()).await;
    assert_eq!(answer.status(), 400, "{}", answer.text());
    let node = Setup::new().frontend("AllowImageUrls", true).backend(&backend).start().await;
    let answer = post(&node, "/v1/chat/completions", body).await;
    assert_eq!(answer.status(), 400, "a loopback address: {}", answer.text());
    let error = answer.json()["error"].clone();
    assert!(error["message"].as_str().unwrap().contains("127.0.0.1"), "{error}");
    assert!(error["param"].as_str().unwrap().starts_with("messages[0].content"), "{error}");
}
