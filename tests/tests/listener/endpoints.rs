//! The table of endpoints: each is recognised and reaches its upstream path with its method. Those that are answered from
//! what all backends have are in the suite `models`.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::simulated::{ReceivedRequest, SimulatedBackend};
use serde_json::json;

use crate::{answer, before, engine, ready};

/// What the client asks for, and the path that the backend sees.
const ENDPOINTS: [(&str, &str, &str); 20] = [
    ("POST", "/api/generate", "/api/generate"),
    ("POST", "/api/chat", "/api/chat"),
    ("POST", "/api/chat/generate", "/api/chat"),
    ("POST", "/api/embed", "/api/embed"),
    ("POST", "/api/embeddings", "/api/embeddings"),
    ("POST", "/api/show", "/api/show"),
    ("POST", "/api/pull", "/api/pull"),
    ("POST", "/api/push", "/api/push"),
    ("POST", "/api/create", "/api/create"),
    ("POST", "/api/copy", "/api/copy"),
    ("HEAD", "/api/blobs/sha256:29fdb9", "/api/blobs/sha256:29fdb9"),
    ("POST", "/api/blobs/sha256:29fdb9", "/api/blobs/sha256:29fdb9"),
    ("POST", "/v1/chat/completions", "/v1/chat/completions"),
    ("POST", "/v1/completions", "/v1/completions"),
    ("POST", "/v1/embeddings", "/v1/embeddings"),
    ("POST", "/v1/responses", "/v1/responses"),
    ("POST", "/v1/messages", "/v1/messages"),
    ("POST", "/v1/audio/transcriptions", "/v1/audio/transcriptions"),
    // Doubled and trailing slashes mean the same.
    ("POST", "//api//generate/", "/api/generate"),
    ("DELETE", "/api/delete", "/api/delete"),
];

/// A body that every endpoint understands.
fn body() -> serde_json::Value {
    json!({
        "model": "m", "name": "m", "from": "m", "source": "m", "destination": "copied", "prompt": "hello",
        "input": "hello", "messages": [{ "role": "user", "content": "hello" }], "max_tokens": 8, "stream": false,
    })
}

/// The request that carried this value in `X-Case`, if it arrived.
fn arrived(engine: &SimulatedBackend, case: &str) -> Option<ReceivedRequest> {
    let mut requests = engine.requests().into_iter().filter(|request| request.header("x-case") == Some(case));
    let request = requests.next();
    assert!(requests.next().is_none(), "{case} arrived twice");
    request
}

#[tokio::test]
async fn every_endpoint_reaches_its_path_with_its_method_body_and_query() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for (index, (method, path, upstream)) in ENDPOINTS.into_iter().enumerate() {
        let case = format!("{index} {method} {path}");
        let request = Request::new(method, &format!("{path}?a=1&b=%20c")).header("X-Case", &case);
        let request = if method == "POST" || method == "DELETE" { request.json(&body()) } else { request };
        let answer = answer(&node, request).await;
        let seen = arrived(&engine, &case);
        let seen =
            seen.unwrap_or_else(|| panic!("{case} did not arrive: {} {}", answer.status(), answer.text()));
        assert_eq!((seen.method.as_str(), seen.path.as_str()), (method, upstream), "{case}");
        assert_eq!(seen.query.as_deref(), Some("a=1&b=%20c"), "{case}");
        let sent = if matches!(method, "POST" | "DELETE") { body().to_string() } else { String::new() };
        assert_eq!(seen.body_length, sent.len() as u64, "{case}");
        // A simulated engine does not remember blobs.
        if !upstream.contains("blobs") {
            assert_eq!(seen.text(), sent, "{case}");
        }
        assert_eq!(answer.header("X-OllamaFlow-Backend"), Some("b1"), "{case}");
    }
}

#[tokio::test]
async fn chat_generate_is_an_alias_of_chat() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    let answer = answer(&node, Request::post("/api/chat/generate").json(&crate::chat())).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json()["message"]["role"], "assistant");
    assert_eq!(engine.requests_to("/api/chat").last().unwrap().path, "/api/chat");
}

#[tokio::test]
async fn paths_are_case_sensitive() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for path in ["/API/chat", "/V1/chat/completions"] {
        assert_eq!(answer(&node, Request::post(path).json(&crate::chat())).await.status(), 404, "{path}");
    }
}
