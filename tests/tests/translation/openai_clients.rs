//! Clients of `OpenAI`'s API before something that speaks Ollama's own API only.

use base64::Engine as _;
use ollamaflow_tests::client::Request;
use ollamaflow_tests::simulated::SimulatedBackend;
use serde_json::json;

use crate::{TEXT, ask, before_ollama, calls_weather, chunk_text, events, lacks, ollama, post, tools};

/// An Ollama without its layer for `OpenAI`'s API.
fn native_only() -> SimulatedBackend {
    let backend = ollama();
    backend.set_fault(lacks("/v1/"));
    backend
}

#[tokio::test]
async fn a_chat_is_answered_as_a_whole() {
    let backend = native_only();
    let node = before_ollama(&backend).await;
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hello" }], "max_completion_tokens": 100,
        "seed": 7, "stop": "x" });
    let answer = post(&node, "/v1/chat/completions", body).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let object = answer.json();
    assert_eq!(object["object"], "chat.completion");
    assert_eq!(object["choices"][0]["message"], json!({ "role": "assistant", "content": TEXT }));
    assert_eq!(object["choices"][0]["finish_reason"], "stop");
    assert_eq!(object["usage"]["completion_tokens"], 22);
    let sent = backend.requests_to("/api/chat").pop().unwrap().json();
    let options = json!({ "temperature": 1.0, "top_p": 1.0, "num_predict": 100, "seed": 7, "stop": ["x"] });
    for (name, value) in options.as_object().unwrap() {
        assert_eq!(sent["options"][name].as_f64(), value.as_f64(), "{name}: {sent}");
        assert!(sent["options"][name] == *value || value.is_number(), "{name}: {sent}");
    }
}

#[tokio::test]
async fn the_path_is_asked_for_once_and_what_was_learned_is_kept() {
    let backend = native_only();
    let node = before_ollama(&backend).await;
    for _ in 0..3 {
        let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hello" }] });
        assert_eq!(post(&node, "/v1/chat/completions", body).await.status(), 200);
    }
    assert_eq!(backend.requests_to("/v1/chat/completions").len(), 1);
    assert_eq!(backend.requests_to("/api/chat").len(), 3);
}

#[tokio::test]
async fn a_chat_is_streamed_and_counts_its_tokens_when_asked() {
    let backend = native_only();
    let node = before_ollama(&backend).await;
    for include_usage in [false, true] {
        let body = json!({ "model": "m", "stream": true, "stream_options": { "include_usage": include_usage },
            "messages": [{ "role": "user", "content": "hello" }] });
        let answer = post(&node, "/v1/chat/completions", body).await;
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        let (chunks, done) = events(&answer);
        assert!(done, "{}", answer.text());
        assert_eq!(chunk_text(&chunks), TEXT);
        assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
        let counted = chunks.iter().find(|chunk| chunk["usage"].is_object());
        assert_eq!(
            counted.map(|chunk| &chunk["usage"]["completion_tokens"]),
            include_usage.then_some(&json!(22))
        );
        assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"]));
    }
}

#[tokio::test]
async fn tools_go_and_come_back() {
    let backend = native_only();
    calls_weather(&backend);
    let node = before_ollama(&backend).await;
    let body =
        json!({ "model": "m", "tools": tools(), "messages": [{ "role": "user", "content": "weather?" }] });
    let answer = post(&node, "/v1/chat/completions", body).await;
    let choice = &answer.json()["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls", "{}", answer.text());
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!((&call["type"], &call["function"]["name"]), (&json!("function"), &json!("weather")));
    assert_eq!(call["function"]["arguments"], "{\"city\":\"Paris\"}");
    let sent = backend.requests_to("/api/chat").pop().unwrap();
    assert!(sent.text().contains(&tools().to_string()), "byte for byte: {}", sent.text());
    backend.knobs(|knobs| knobs.tool_call = None);
    let history = json!({ "model": "m", "messages": [
        { "role": "user", "content": "weather?" },
        { "role": "assistant", "content": null, "tool_calls": [call] },
        { "role": "tool", "tool_call_id": call["id"], "content": [{ "type": "text", "text": "sunny" }] },
    ] });
    assert_eq!(post(&node, "/v1/chat/completions", history).await.status(), 200);
    let sent = backend.requests_to("/api/chat").pop().unwrap().json();
    assert_eq!(sent["messages"][1]["tool_calls"][0]["function"]["arguments"], json!({ "city": "Paris" }));
    assert_eq!(
        (&sent["messages"][2]["tool_name"], &sent["messages"][2]["content"]),
        (&json!("weather"), &json!("sunny"))
    );
}

#[tokio::test]
async fn completions_embeddings_and_models_work_too() {
    let backend = native_only();
    let node = before_ollama(&backend).await;
    let answer = post(&node, "/v1/completions", json!({ "model": "m", "prompt": "hello" })).await;
    assert_eq!(answer.json()["choices"][0]["text"], TEXT, "{}", answer.text());
    let answer =
        post(&node, "/v1/completions", json!({ "model": "m", "prompt": "hello", "stream": true })).await;
    let (chunks, done) = events(&answer);
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
    assert_eq!((text.as_str(), done), (TEXT, true));

    let floats = post(&node, "/v1/embeddings", json!({ "model": "m", "input": "a" })).await.json();
    let body = json!({ "model": "m", "input": "a", "encoding_format": "base64" });
    let coded = post(&node, "/v1/embeddings", body).await.json();
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(coded["data"][0]["embedding"].as_str().unwrap())
        .unwrap();
    let decoded: Vec<f64> =
        bytes.chunks(4).map(|four| f64::from(f32::from_le_bytes(four.try_into().unwrap()))).collect();
    let plain: Vec<f64> =
        floats["data"][0]["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    assert_eq!(decoded.len(), plain.len());
    assert!(decoded.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-6));

    let models = ask(&node, Request::get("/v1/models")).await.json();
    assert_eq!((&models["object"], &models["data"][0]["id"]), (&json!("list"), &json!("m:latest")));
    let model = ask(&node, Request::get("/v1/models/m")).await.json();
    assert_eq!((&model["id"], &model["object"]), (&json!("m"), &json!("model")));
    let missing = ask(&node, Request::get("/v1/models/nope")).await;
    assert_eq!((missing.status(), &missing.json()["error"]["type"]), (404, &json!("not_found_error")));
}

#[tokio::test]
async fn a_large_request_is_translated_as_well() {
    let backend = native_only();
    let node = before_ollama(&backend).await;
    let long = "x".repeat(3 * 1024 * 1024);
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": long }] });
    let answer = post(&node, "/v1/chat/completions", body).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let sent = backend.requests_to("/api/chat").pop().unwrap();
    assert!(sent.body_length > 3 * 1024 * 1024);
}
