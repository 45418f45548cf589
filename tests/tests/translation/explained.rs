//! `POST /v1.0/frontends/{id}/explain` tells of each backend what the request would become there.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::{ADMIN_TOKEN, Node};
use ollamaflow_tests::objects::Backend;
use ollamaflow_tests::setup::Setup;
use serde_json::{Value, json};

use crate::{ask, lacks, ollama, post, vllm};

fn chat(extra: &Value) -> Value {
    let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hello" }] });
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

/// (translation, what is dropped, refusal) of the backends in order.
async fn explained(node: &Node, path: &str, body: &Value) -> Vec<[Value; 3]> {
    let request = Request::post(&format!("/v1.0/frontends/f/explain?path={path}"))
        .header("authorization", &format!("Bearer {ADMIN_TOKEN}"))
        .json(body);
    let answer = ask(node, request).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let candidates = answer.json()["Candidates"].as_array().unwrap().clone();
    candidates.iter().map(|it| ["Translation", "Dropped", "Refusal"].map(|name| it[name].clone())).collect()
}

#[tokio::test]
async fn an_explanation_tells_for_each_backend_what_the_header_of_an_answer_will() {
    let (native, other) = (ollama(), vllm());
    let node = Setup::new().backend(&native).backend_with(&other, Backend::openai).start().await;
    let body = chat(&json!({ "stream": false, "keep_alive": "5m", "options": { "num_ctx": 4096 } }));
    let told = explained(&node, "/api/chat", &body).await;
    assert_eq!(told[0], [json!("none"), json!([]), Value::Null]);
    let way = "/api/chat to /v1/chat/completions; api";
    assert_eq!(told[1][0], json!(way));
    assert_eq!((told[1][1].as_array().unwrap().len(), &told[1][2]), (2, &Value::Null), "{told:?}");
    assert!(native.requests_to("/api/chat").is_empty() && other.requests_to("/v1/chat").is_empty());
    for _ in 0..2 {
        let answer = post(&node, "/api/chat", body.clone()).await;
        let index = usize::from(answer.header("x-ollamaflow-backend") == Some("b2"));
        assert_eq!(answer.header("x-ollamaflow-translation"), told[index][0].as_str());
    }
    assert_eq!(other.requests_to("/v1/chat").len(), 1);
}

#[tokio::test]
async fn an_explanation_tells_where_and_why_a_request_cannot_be_said() {
    let (native, other) = (ollama(), vllm());
    native.set_fault(lacks("/v1/"));
    let node = Setup::new()
        .frontend("PinnedCompletionsProperties", json!({ "options": { "num_ctx": 8192 } }))
        .backend(&native)
        .backend_with(&other, Backend::openai)
        .start()
        .await;
    let told = explained(&node, "/v1/chat/completions", &chat(&json!({ "n": 2 }))).await;
    assert_eq!((&told[0][0], &told[0][1]), (&Value::Null, &json!([])));
    assert!(told[0][2].as_str().unwrap().contains('n'), "{told:?}");
    assert_eq!((&told[1][0], &told[1][2]), (&json!("none"), &Value::Null));
    let told = explained(&node, "/v1/chat/completions", &chat(&json!({}))).await;
    assert_eq!(told[0][0], "/v1/chat/completions to /api/chat; pins options.num_ctx");
    let told = explained(&node, "/api/chat", &chat(&json!({ "keep_alive": "300" }))).await;
    assert!(told[1][2].as_str().unwrap().contains("keep_alive"), "{told:?}");
}

#[tokio::test]
async fn an_explanation_tells_what_takes_no_backend_and_fetches_no_image() {
    let (native, other) = (ollama(), vllm());
    native.set_fault(lacks("/v1/"));
    let before = |allowed: bool| {
        let setup = Setup::new().frontend("AllowImageUrls", allowed);
        setup.backend_with(&native, |own| {
            own.set("PinnedCompletionsProperties", json!({ "keep_alive": "5m" }))
        })
    };
    let node = before(true).backend_with(&other, Backend::openai).start().await;
    let told = explained(&node, "/api/chat", &json!({ "model": "m", "messages": [] })).await;
    assert_eq!((&told[0][0], &told[1][0]), (&json!("none"), &json!("answered here")));
    let counted = explained(&node, "/v1/messages/count_tokens", &chat(&json!({}))).await;
    assert_eq!((&counted[0][0], &counted[1][0]), (&json!("answered here"), &json!("answered here")));
    let image = json!({ "model": "m", "messages": [{ "role": "user", "content": [
        { "type": "image_url", "image_url": { "url": "http://127.0.0.1:1/x.png" } },
    ] }] });
    let told = explained(&node, "/v1/chat/completions", &image).await;
    assert_eq!(told[0][0], "/v1/chat/completions to /api/chat; pins keep_alive", "{told:?}");
    let told = explained(&before(false).start().await, "/v1/chat/completions", &image).await;
    assert!(told[0][2].as_str().unwrap().contains("image"), "{told:?}");
}
