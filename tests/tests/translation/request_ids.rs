//! Clients of Anthropic's API find the request's id where that API has it: in the header `request-id`, and in errors.

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::simulated::FaultKind;
use serde_json::{Value, json};

use crate::{ask, before_ollama, before_openai, lacks, ollama, post, vllm};

fn message() -> Value {
    json!({ "model": "m", "max_tokens": 100, "messages": [{ "role": "user", "content": "hello" }] })
}

/// Both headers name the request alike; returns how.
fn named(answer: &Collected) -> String {
    let id = answer.header("x-ollamaflow-request").unwrap();
    assert_eq!(answer.header("request-id"), Some(id), "{}", answer.text());
    id.to_owned()
}

fn assert_error_is_named(answer: &Collected, status: u16) {
    assert_eq!(answer.status(), status, "{}", answer.text());
    let object = answer.json();
    assert_eq!((&object["type"], &object["request_id"]), (&json!("error"), &json!(named(answer))));
    assert!(object["error"]["message"].is_string(), "{object}");
}

#[tokio::test]
async fn a_refusal_of_the_node_names_the_request_in_header_and_body() {
    let backend = ollama();
    backend.set_fault(lacks("/v1/"));
    let node = before_ollama(&backend).await;
    assert_error_is_named(&post(&node, "/v1/messages", json!({ "model": "m" })).await, 400);
    assert_error_is_named(&post(&node, "/v1/messages/count_tokens", json!({ "messages": [] })).await, 400);
    assert_error_is_named(&ask(&node, Request::get("/v1/messages")).await, 405);
    let forbidding = Setup::new().frontend("AllowCompletions", false).backend(&backend).start().await;
    assert_error_is_named(&post(&forbidding, "/v1/messages", message()).await, 403);
    let nobody = Setup::new().start().await;
    assert_error_is_named(&post(&nobody, "/v1/messages", message()).await, 502);
}

#[tokio::test]
async fn an_error_of_a_backend_is_named_like_the_request_when_it_is_translated() {
    for (backend, is_ollama) in [(ollama(), true), (vllm(), false)] {
        let fault = FaultKind::json(400, &json!({ "error": { "message": "no such thing" } }));
        let path = if is_ollama { "/api/chat" } else { "/v1/chat" };
        backend.set_faults(vec![lacks("/v1/messages"), fault.path(path)]);
        let node = if is_ollama { before_ollama(&backend).await } else { before_openai(&backend).await };
        let answer = post(&node, "/v1/messages", message()).await;
        assert_error_is_named(&answer, 400);
        assert_eq!(answer.json()["error"]["message"], "no such thing");
    }
}

#[tokio::test]
async fn an_answer_names_the_request_in_its_header_and_keeps_the_name_that_a_backend_gave() {
    let backend = ollama();
    backend.set_fault(lacks("/v1/messages"));
    let node = before_ollama(&backend).await;
    let answer = post(&node, "/v1/messages", message()).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    named(&answer);
    let chat = json!({ "model": "m", "messages": [{ "role": "user", "content": "hello" }] });
    assert_eq!(post(&node, "/v1/chat/completions", chat).await.header("request-id"), None);
    let own = ollama();
    let headers = vec![("request-id".to_owned(), "req_theirs".to_owned())];
    let answer = FaultKind::Answer { status: 200, headers, body: Some("{}".to_owned()), body_base64: None };
    own.set_fault(answer.path("/v1/messages"));
    let node = before_ollama(&own).await;
    let answer = post(&node, "/v1/messages", message()).await;
    assert_eq!((answer.header("request-id"), answer.text()), (Some("req_theirs"), "{}".to_owned()));
}
