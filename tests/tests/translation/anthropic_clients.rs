//! Clients of Anthropic's API before backends that do not speak it.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::simulated::{FaultKind, SimulatedBackend};
use serde_json::{Value, json};

use crate::{TEXT, ask, before_ollama, before_openai, calls_weather, lacks, ollama, post, vllm};

fn message(stream: bool) -> Value {
    json!({ "model": "m", "max_tokens": 100, "stream": stream, "system": "be brief",
        "messages": [{ "role": "user", "content": [{ "type": "text", "text": "hello" }] }] })
}

fn without_messages(backend: SimulatedBackend) -> SimulatedBackend {
    backend.set_fault(lacks("/v1/messages"));
    backend
}

/// The names of the events of a stream, repetitions once.
fn names(text: &str) -> Vec<String> {
    let mut names: Vec<String> =
        text.lines().filter_map(|line| line.strip_prefix("event: ")).map(str::to_owned).collect();
    names.dedup();
    names
}

#[tokio::test]
async fn messages_are_answered_by_an_ollama_and_by_an_openai_engine() {
    for is_ollama in [true, false] {
        let backend = without_messages(if is_ollama { ollama() } else { vllm() });
        let node = if is_ollama { before_ollama(&backend).await } else { before_openai(&backend).await };
        let answer = post(&node, "/v1/messages", message(false)).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let object = answer.json();
        assert_eq!((&object["type"], &object["role"]), (&json!("message"), &json!("assistant")));
        assert_eq!(object["content"], json!([{ "type": "text", "text": TEXT }]));
        assert_eq!(
            (&object["stop_reason"], &object["usage"]["output_tokens"]),
            (&json!("end_turn"), &json!(22))
        );

        let answer = post(&node, "/v1/messages", message(true)).await;
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        let expected = [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ];
        assert_eq!(names(&answer.text()), expected, "{}", answer.text());
    }
}

#[tokio::test]
async fn an_ollama_of_an_older_version_is_not_asked_for_what_it_lacks() {
    let backend = ollama();
    backend.set_fault(FaultKind::json(200, &json!({ "version": "0.13.9" })).path("/api/version"));
    let node = before_ollama(&backend).await;
    ollamaflow_tests::wait::until("the version was read", || !backend.requests_to("/api/version").is_empty())
        .await;
    ollamaflow_tests::wait::until_answered("messages are translated", async || {
        let answer = post(&node, "/v1/messages", message(false)).await;
        let way = answer.header("x-ollamaflow-translation").unwrap_or_default().to_owned();
        if way == "/v1/messages to /api/chat; api" { Ok(()) } else { Err(way) }
    })
    .await;
    let asked = backend.requests_to("/v1/messages").len();
    assert_eq!(post(&node, "/v1/messages", message(false)).await.status(), 200);
    assert_eq!(backend.requests_to("/v1/messages").len(), asked);
}

#[tokio::test]
async fn tools_go_and_come_back() {
    let backend = without_messages(vllm());
    calls_weather(&backend);
    let node = before_openai(&backend).await;
    let schema = json!({ "type": "object", "properties": { "city": { "type": "string" } }, "additionalProperties": false });
    let mut body = message(false);
    body["tools"] =
        json!([{ "name": "weather", "description": "Tells the weather", "input_schema": schema }]);
    body["tool_choice"] = json!({ "type": "tool", "name": "weather" });
    let answer = post(&node, "/v1/messages", body).await;
    let object = answer.json();
    assert_eq!(object["stop_reason"], "tool_use", "{}", answer.text());
    let call =
        object["content"].as_array().unwrap().iter().find(|block| block["type"] == "tool_use").unwrap();
    assert_eq!((&call["name"], &call["input"]), (&json!("weather"), &json!({ "city": "Paris" })));
    let sent = backend.requests_to("/v1/chat/completions").pop().unwrap();
    assert!(sent.text().contains(&format!("\"parameters\":{schema}")), "{}", sent.text());
    assert_eq!(sent.json()["tool_choice"]["function"]["name"], "weather");
}

#[tokio::test]
async fn tokens_are_counted_about_and_that_is_said() {
    let backend = ollama();
    let node = before_ollama(&backend).await;
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "x".repeat(400) }] });
    let answer = post(&node, "/v1/messages/count_tokens", body).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.json(), json!({ "input_tokens": 101 }));
    assert_eq!(answer.header("x-ollamaflow-estimate"), Some("true"));
    let refused = post(&node, "/v1/messages/count_tokens", json!({ "messages": [] })).await;
    assert_eq!((refused.status(), &refused.json()["type"]), (400, &json!("error")));
    assert_eq!(ask(&node, Request::get("/v1/messages/count_tokens")).await.status(), 405);
}

#[tokio::test]
async fn what_belongs_to_the_clients_api_alone_goes_no_further() {
    let backend = without_messages(ollama());
    let node = before_ollama(&backend).await;
    let request = Request::post("/v1/messages?beta=true")
        .json(&message(false))
        .header("x-api-key", "secret")
        .header("anthropic-version", "2023-06-01")
        .header("x-stainless-lang", "python");
    assert_eq!(ask(&node, request).await.status(), 200);
    let sent = backend.requests_to("/api/chat").pop().unwrap();
    for name in ["x-api-key", "anthropic-version", "x-stainless-lang"] {
        assert_eq!(sent.header(name), None, "{name}");
    }
    assert_eq!(sent.query, None);
    assert_eq!(sent.header("content-type"), Some("application/json"));
}
