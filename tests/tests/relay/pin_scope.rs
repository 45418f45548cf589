//! Which requests pinned properties concern, and in which sizes and framings.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{ReceivedFraming, SimulatedBackend};
use serde_json::{Value, json};

use crate::{chat_body, ollama};
use ollamaflow_tests::setup::Setup;

/// A node which pins `kind: completions` and `kind: embeddings`, by the frontend or by the backend.
async fn pinning(by_backend: bool) -> (SimulatedBackend, Node) {
    let backend = ollama();
    let completions = json!({ "kind": "completions" });
    let embeddings = json!({ "kind": "embeddings" });
    let setup = if by_backend {
        Setup::new().backend_with(&backend, |own| {
            own.set("PinnedCompletionsProperties", completions).set("PinnedEmbeddingsProperties", embeddings)
        })
    } else {
        Setup::new()
            .frontend("PinnedCompletionsProperties", completions)
            .frontend("PinnedEmbeddingsProperties", embeddings)
            .backend(&backend)
    };
    (backend, setup.start().await)
}

#[tokio::test]
async fn completions_and_embeddings_have_pins_of_their_own_and_other_requests_none() {
    let cases = [
        ("/api/generate", "completions"),
        ("/api/chat", "completions"),
        ("/v1/chat/completions", "completions"),
        ("/v1/completions", "completions"),
        ("/v1/responses", "completions"),
        ("/v1/messages", "completions"),
        ("/api/embed", "embeddings"),
        ("/api/embeddings", "embeddings"),
        ("/v1/embeddings", "embeddings"),
        ("/api/show", "none"),
        ("/api/pull", "none"),
        ("/api/any", "none"),
        ("/v1/any", "none"),
    ];
    for by_backend in [false, true] {
        let (backend, node) = pinning(by_backend).await;
        for (path, kind) in cases {
            let body = json!({ "model": "m", "kind": "none" });
            Request::post(path).json(&body).send(node.addr()).await.collect().await;
            let arrived = backend.requests_to(path).pop().unwrap().json();
            assert_eq!(arrived, json!({ "model": "m", "kind": kind }), "{path}");
        }
    }
}

#[tokio::test]
async fn the_alias_of_chat_is_pinned_like_chat() {
    let (backend, node) = pinning(false).await;
    let request = Request::post("/api/chat/generate").json(&chat_body(false));
    assert_eq!(request.send(node.addr()).await.status(), 200);
    let arrived = backend.requests_to("/api/chat").pop().unwrap();
    assert_eq!((arrived.path.as_str(), &arrived.json()["kind"]), ("/api/chat", &json!("completions")));
}

#[tokio::test]
async fn an_escaped_path_does_not_escape_its_pins() {
    let (backend, node) = pinning(false).await;
    for path in ["/api/%63hat", "//api//chat/", "/api/chat?x=1", "/v1/chat%2Fcompletions"] {
        Request::post(path).json(&chat_body(false)).send(node.addr()).await.collect().await;
        let arrived = backend.requests().into_iter().rfind(|request| request.method == "POST").unwrap();
        assert_eq!(arrived.json()["kind"], "completions", "{path} arrived as {}", arrived.path);
    }
}

#[tokio::test]
async fn a_chunked_body_is_pinned_too() {
    let (backend, node) = pinning(false).await;
    let request = Request::post("/api/chat").json(&chat_body(false)).chunked(7);
    assert_eq!(request.send(node.addr()).await.status(), 200);
    let arrived = backend.requests_to("/api/chat").pop().unwrap();
    let mut expected = chat_body(false);
    expected["kind"] = json!("completions");
    assert_eq!(arrived.json(), expected);
    assert_eq!(arrived.framing, ReceivedFraming::ContentLength(arrived.body.len() as u64));
}

#[tokio::test]
async fn a_body_too_large_to_be_kept_is_pinned_too() {
    let (backend, node) = pinning(false).await;
    backend.knobs(|knobs| knobs.record_body_bytes = 16 * 1024 * 1024);
    let image = "QUJD".repeat(800_000);
    let mut body = chat_body(false);
    body["messages"][0]["images"] = json!([image]);
    for request in
        [Request::post("/api/chat").json(&body), Request::post("/api/chat").json(&body).chunked(100_000)]
    {
        assert_eq!(request.send(node.addr()).await.status(), 200);
        let arrived = backend.requests_to("/api/chat").pop().unwrap().json();
        assert_eq!(arrived["kind"], "completions");
        let pinned: Value = [("kind".to_owned(), json!("completions"))].into_iter().collect();
        assert!(arrived["messages"] == body["messages"] && arrived["kind"] == pinned["kind"]);
    }
}
