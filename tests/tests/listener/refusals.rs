//! Paths and methods that are refused, and that nothing of them reaches a backend.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::simulated::{ReceivedRequest, SimulatedBackend};

use crate::{answer, before, chat, engine, f1, ready};

/// The requests of clients, without those by which the node looks after the backend.
fn of_clients(engine: &SimulatedBackend) -> Vec<ReceivedRequest> {
    let mut requests = engine.requests();
    requests.retain(|request| request.header("x-ollamaflow-request").is_some());
    requests
}

#[tokio::test]
async fn a_wrong_method_is_a_405_that_names_the_right_ones() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for (method, path, allow) in [
        ("GET", "/api/chat", "POST"),
        ("PUT", "/api/chat/generate", "POST"),
        ("GET", "/api/generate", "POST"),
        ("DELETE", "/api/embed", "POST"),
        ("POST", "/api/tags", "GET, HEAD"),
        ("POST", "/api/ps", "GET, HEAD"),
        ("POST", "/api/version", "GET, HEAD"),
        ("GET", "/api/show", "POST"),
        ("GET", "/api/pull", "POST"),
        ("POST", "/api/delete", "DELETE"),
        ("PUT", "/api/blobs/sha256:00", "HEAD, POST"),
        ("GET", "/v1/chat/completions", "POST"),
        ("PATCH", "/v1/completions", "POST"),
        ("GET", "/v1/embeddings", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("DELETE", "/v1/models/m", "GET, HEAD"),
        ("GET", "/v1/responses", "POST"),
        ("GET", "/v1/messages", "POST"),
        ("GET", "/v1/audio/transcriptions", "POST"),
        ("POST", "/", "GET, HEAD"),
        ("DELETE", "/favicon.ico", "GET, HEAD"),
    ] {
        let answer = answer(&node, Request::new(method, path)).await;
        assert_eq!(answer.status(), 405, "{method} {path}");
        assert_eq!(answer.header("Allow"), Some(allow), "{method} {path}");
    }
    assert_eq!(of_clients(&engine).len(), 0);
}

#[tokio::test]
async fn an_unknown_path_is_a_404() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for path in
        ["/nope", "/api", "/api/", "/v1", "/v1/", "/v2/models", "/apis/chat", "/metric", "/v1.1/backends"]
    {
        for method in ["GET", "POST", "HEAD"] {
            assert_eq!(answer(&node, Request::new(method, path)).await.status(), 404, "{method} {path}");
        }
    }
    assert_eq!(of_clients(&engine).len(), 0);
}

#[tokio::test]
async fn dot_segments_are_a_400_in_every_spelling() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for path in [
        "/api/../v1/models",
        "/api/./chat",
        "/api/echo/..",
        "/v1/%2e%2e/api/chat",
        "/v1/.%2E/x",
        "/v1/models/..%2f..%2fapi%2fchat",
        "/v1/models/a/%2E%2E/b",
        "/../etc/passwd",
    ] {
        for method in ["GET", "POST"] {
            assert_eq!(answer(&node, Request::new(method, path)).await.status(), 400, "{method} {path}");
        }
    }
    assert_eq!(of_clients(&engine).len(), 0);
}

/// Other spellings of paths that generate text.
const DISGUISED: [&str; 12] = [
    "/api/%63hat",
    "/%61pi/chat",
    "/api%2Fchat",
    "/api/chat%2Fgenerate",
    "//api///chat//",
    "/api/generat%65/",
    "/v1/chat%2Fcompletions",
    "/v1/%63%68%61%74/completions",
    "/v1%2fchat%2fcompletions",
    "/v1//completions",
    "/v1/respons%65s",
    "/v1/message%73",
];

#[tokio::test]
async fn an_escaped_path_does_not_get_around_a_forbidden_completion() {
    let engine = engine();
    let node = ready(before(&engine).frontend(
        f1().set("Identifier", "strict").hostname("strict.example").set("AllowCompletions", false),
    ))
    .await;
    for path in DISGUISED {
        let answer = answer(&node, Request::post(path).host("strict.example").json(&chat())).await;
        assert_eq!(answer.status(), 403, "{path}: {}", answer.text());
    }
    assert_eq!(of_clients(&engine).len(), 0);
}

#[tokio::test]
async fn an_escaped_path_does_not_get_around_a_backend_that_forbids_completions() {
    let engine = engine();
    let node = ready(
        ollamaflow_tests::node::Node::builder()
            .frontend(f1())
            .backend(crate::b1(&engine).set("AllowCompletions", false)),
    )
    .await;
    for path in DISGUISED {
        let answer = answer(&node, Request::post(path).json(&chat())).await;
        assert_eq!(answer.status(), 502, "{path}: {}", answer.text());
    }
    assert_eq!(of_clients(&engine).len(), 0);
}

#[tokio::test]
async fn an_escaped_path_arrives_as_the_plain_one() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for path in DISGUISED {
        let answer = answer(&node, Request::post(path).json(&chat())).await;
        assert_ne!(answer.status(), 403, "{path}");
        let arrived = of_clients(&engine).pop().unwrap();
        assert!(
            !arrived.path.contains('%') && !arrived.path.contains("//"),
            "{path} arrived as {}",
            arrived.path
        );
    }
    assert_eq!(of_clients(&engine).len(), DISGUISED.len());
}

#[tokio::test]
async fn forbidden_embeddings_are_a_403_and_nothing_else_is() {
    let engine = engine();
    let forbidding = ollamaflow_tests::node::Node::builder()
        .frontend(f1().set("AllowEmbeddings", false))
        .backend(crate::b1(&engine));
    let node = ready(forbidding).await;
    for path in ["/api/embed", "/api/embeddings", "/v1/embeddings", "/v1/%65mbeddings"] {
        assert_eq!(answer(&node, Request::post(path).json(&chat())).await.status(), 403, "{path}");
    }
    assert_eq!(of_clients(&engine).len(), 0);
    assert_eq!(answer(&node, Request::post("/api/chat").json(&chat())).await.status(), 200);
    assert_eq!(answer(&node, Request::get("/api/tags")).await.status(), 200);
}
