//! Pinned properties take effect in whichever API the backend is addressed.

use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::SimulatedBackend;
use serde_json::{Value, json};

use crate::{TEXT, ollama, post, vllm};
use ollamaflow_tests::setup::Setup;

const COMPLETIONS: &str = "PinnedCompletionsProperties";
const EMBEDDINGS: &str = "PinnedEmbeddingsProperties";

async fn pinning(backend: &SimulatedBackend, property: &str, pins: Value) -> Node {
    Setup::new().frontend(property, pins).backend(backend).start().await
}

async fn pinning_openai(backend: &SimulatedBackend, pins: Value) -> Node {
    let openai = |own: ollamaflow_tests::objects::Backend| {
        own.set("ApiFormat", "OpenAI").set("HealthCheckUrl", "/health")
    };
    Setup::new().frontend(COMPLETIONS, pins).backend_with(backend, openai).start().await
}

fn chat() -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": "hello" }] })
}

#[tokio::test]
async fn num_ctx_that_is_pinned_takes_effect_for_openai_clients_of_an_ollama() {
    let backend = ollama();
    let node =
        pinning(&backend, COMPLETIONS, json!({ "options": { "num_ctx": 8192 }, "keep_alive": "1h" })).await;
    let answer = post(&node, "/v1/chat/completions", chat()).await;
    assert_eq!(answer.json()["choices"][0]["message"]["content"], TEXT, "{}", answer.text());
    let way = answer.header("x-ollamaflow-translation").unwrap();
    assert!(
        way.starts_with("/v1/chat/completions to /api/chat; pins") && way.contains("options.num_ctx"),
        "{way}"
    );
    let sent = backend.requests_to("/api/chat").pop().unwrap().json();
    assert_eq!((&sent["options"]["num_ctx"], &sent["keep_alive"]), (&json!(8192), &json!("1h")));
    assert_eq!(backend.loaded_models()[0].context_length, 8192);
    for (path, body) in [
        ("/v1/completions", json!({ "model": "m", "prompt": "hello" })),
        ("/v1/responses", json!({ "model": "m", "input": "hello" })),
        (
            "/v1/messages",
            json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": "hello" }] }),
        ),
    ] {
        assert_eq!(post(&node, path, body).await.status(), 200, "{path}");
        assert!(backend.requests_to(path).is_empty(), "{path}");
    }
}

#[tokio::test]
async fn num_ctx_of_embeddings_is_pinned_as_well() {
    let backend = ollama();
    let node = pinning(&backend, EMBEDDINGS, json!({ "options": { "num_ctx": 2048 } })).await;
    let answer = post(&node, "/v1/embeddings", json!({ "model": "m", "input": "a" })).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(backend.requests_to("/api/embed").pop().unwrap().json()["options"]["num_ctx"], 2048);
}

#[tokio::test]
async fn pins_that_ollamas_own_layer_understands_need_no_translation() {
    let backend = ollama();
    let node = pinning(&backend, COMPLETIONS, json!({ "options": { "temperature": 0.25 } })).await;
    let answer = post(&node, "/v1/chat/completions", chat()).await;
    assert_eq!(answer.header("x-ollamaflow-translation"), Some("none"));
    assert_eq!(backend.requests_to("/v1/chat/completions").pop().unwrap().json()["temperature"], 0.25);
}

#[tokio::test]
async fn pins_in_openais_form_work_for_ollama_clients_and_the_reverse() {
    let backend = ollama();
    let node = pinning(&backend, COMPLETIONS, json!({ "max_tokens": 5, "temperature": 0.25 })).await;
    let mut body = chat();
    body["stream"] = json!(false);
    assert_eq!(post(&node, "/api/chat", body.clone()).await.status(), 200);
    let sent = backend.requests_to("/api/chat").pop().unwrap().json();
    assert_eq!(sent["options"], json!({ "num_predict": 5, "temperature": 0.25 }));
    assert_eq!((&sent["max_tokens"], &sent["temperature"]), (&Value::Null, &Value::Null));

    let backend = vllm();
    let node = pinning_openai(&backend, json!({ "options": { "num_predict": 5, "num_ctx": 1 } })).await;
    let answer = post(&node, "/api/chat", body).await;
    assert_eq!(answer.json()["done_reason"], "length", "{}", answer.text());
    let sent = backend.requests_to("/v1/chat/completions").pop().unwrap().json();
    assert_eq!((&sent["max_tokens"], &sent["options"]), (&json!(5), &Value::Null));
    assert!(answer.header("x-ollamaflow-dropped").unwrap().contains("options.num_ctx"));
}

#[tokio::test]
async fn members_that_only_the_engine_knows_are_pinned_as_they_are() {
    let backend = vllm();
    let node =
        pinning_openai(&backend, json!({ "chat_template_kwargs": { "enable_thinking": false }, "top_k": 3 }))
            .await;
    let mut body = chat();
    body["stream"] = json!(false);
    assert_eq!(post(&node, "/api/chat", body).await.status(), 200);
    let sent = backend.requests_to("/v1/chat/completions").pop().unwrap().json();
    assert_eq!(
        (&sent["chat_template_kwargs"]["enable_thinking"], &sent["top_k"]),
        (&json!(false), &json!(3))
    );
}
