//! Cross-origin access: any origin, no credentials, on every answer.

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::FaultKind;
use serde_json::json;

use crate::{answer, b1, before, chat, engine, f1, ready};

/// Where dashboards and explorers are: on another port, opened from disk, elsewhere.
const ORIGINS: [&str; 3] = ["http://localhost:3000", "null", "https://example.com"];

/// Exactly one of each, with this value.
fn assert_open(answer: &Collected, what: &str) {
    assert_eq!(answer.head.headers_named("Access-Control-Allow-Origin"), ["*"], "{what}");
    assert_eq!(answer.head.headers_named("Access-Control-Expose-Headers"), ["*"], "{what}");
    assert_eq!(answer.header("Access-Control-Allow-Credentials"), None, "{what}");
}

#[tokio::test]
async fn preflights_are_answered_without_authentication_and_echo_the_requested_headers() {
    let node = Node::builder().start().await;
    for (path, method, headers) in [
        ("/v1.0/frontends", "GET", "authorization"),
        ("/v1.0/backends/health", "GET", "authorization"),
        ("/v1.0/backends", "PUT", "authorization,content-type"),
        ("/v1.0/backends/b1", "PUT", "authorization,content-type"),
        ("/v1.0/frontends/f1", "DELETE", "authorization"),
        ("/api/chat", "POST", "content-type"),
        ("/api/delete", "DELETE", "content-type"),
        ("/v1/chat/completions", "POST", "content-type, x-stainless-os,X-OllamaFlow-Label"),
        ("/", "GET", "accept"),
        ("/nope", "POST", "content-type"),
    ] {
        for origin in ORIGINS {
            let request = Request::new("OPTIONS", path)
                .header("Origin", origin)
                .header("Access-Control-Request-Method", method)
                .header("Access-Control-Request-Headers", headers);
            let answer = answer(&node, request).await;
            let what = format!("{method} {path} from {origin}");
            assert!(matches!(answer.status(), 200 | 204), "{what}: {}", answer.status());
            assert_open(&answer, &what);
            assert_eq!(answer.head.headers_named("Access-Control-Allow-Headers"), [headers], "{what}");
            let methods = answer.header("Access-Control-Allow-Methods");
            assert_eq!(methods, Some("OPTIONS, HEAD, GET, PUT, POST, DELETE, PATCH"), "{what}");
            let seconds: u32 = answer.header("Access-Control-Max-Age").unwrap().parse().unwrap();
            assert!(seconds > 0, "{what}");
        }
    }
}

#[tokio::test]
async fn a_preflight_without_requested_headers_allows_any() {
    let node = Node::builder().start().await;
    let request = Request::new("OPTIONS", "/api/tags").header("Origin", "null");
    let answer = answer(&node, request.header("Access-Control-Request-Method", "GET")).await;
    assert_eq!(answer.header("Access-Control-Allow-Headers"), Some("*"));
}

#[tokio::test]
async fn a_preflight_reaches_no_backend() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for path in ["/api/chat", "/v1/chat/completions", "/api/echo/x"] {
        answer(&node, Request::new("OPTIONS", path).header("Origin", "null")).await;
    }
    assert!(engine.requests().iter().all(|request| request.method != "OPTIONS"));
}

#[tokio::test]
async fn every_kind_of_answer_is_open_to_every_origin() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    let admin = |method: &str, path: &str| Request::new(method, path).bearer("test-token");
    let kinds = [
        ("the home page", 200, Request::get("/")),
        ("the icon", 200, Request::get("/favicon.ico")),
        ("a proxied answer", 200, Request::post("/api/chat").json(&chat())),
        ("a proxied head", 200, Request::new("HEAD", "/api/echo/x")),
        ("a merged list", 200, Request::get("/api/tags")),
        ("an error of the backend", 404, Request::post("/api/show").json(&json!({ "model": "ghost" }))),
        ("an unknown model", 404, Request::get("/v1/models/ghost")),
        ("an unknown path", 404, Request::get("/nope")),
        ("a wrong method", 405, Request::get("/api/chat")),
        ("a dot segment", 400, Request::get("/api/../x")),
        ("an unknown host", 200, Request::get("/api/tags").host("other.example")),
        ("an admin list", 200, admin("GET", "/v1.0/backends")),
        ("the health list", 200, admin("GET", "/v1.0/backends/health")),
        ("an admin object", 200, admin("GET", "/v1.0/frontends/f1")),
        ("a missing object", 404, admin("GET", "/v1.0/frontends/ghost")),
        ("an unknown admin route", 404, admin("GET", "/v1.0/ghosts")),
        ("a wrong admin method", 405, admin("POST", "/v1.0/frontends/f1")),
        ("a wrong token", 401, Request::get("/v1.0/backends").bearer("wrong")),
        ("no token", 401, Request::get("/v1.0/backends/health")),
    ];
    for (kind, status, request) in kinds {
        for origin in ORIGINS {
            let answer = answer(&node, request.clone().header("Origin", origin)).await;
            assert_eq!(answer.status(), status, "{kind}");
            assert_open(&answer, kind);
        }
    }
}

#[tokio::test]
async fn refusals_of_a_frontend_are_open_to_every_origin() {
    let engine = engine();
    let strict = f1().hostname("h").set("AllowCompletions", false).set("MaxRequestBodySize", 10);
    let node = ready(Node::builder().frontend(strict).backend(b1(&engine).set("Labels", json!([])))).await;
    let body = vec![b'x'; 11];
    for (kind, status, request) in [
        ("no frontend", 404, Request::get("/api/tags").host("stranger")),
        ("a forbidden kind", 403, Request::post("/api/chat").host("h").json(&chat())),
        ("a body that is too large", 413, Request::post("/api/show").host("h").body(body)),
        ("no candidate", 502, Request::get("/api/tags").host("h").header("X-OllamaFlow-Label", "gpu")),
    ] {
        let answer = answer(&node, request).await;
        assert_eq!(answer.status(), status, "{kind}");
        assert_open(&answer, kind);
    }
}

#[tokio::test]
async fn cross_origin_headers_of_a_backend_are_replaced_and_not_doubled() {
    let engine = engine();
    engine.knobs(|knobs| {
        knobs.add_header("Access-Control-Allow-Origin", "http://localhost:3000");
        knobs.add_header("Access-Control-Expose-Headers", "X-One");
        knobs.add_header("access-control-expose-headers", "X-Two");
        knobs.add_header("Access-Control-Allow-Credentials", "true");
    });
    let node = ready(before(&engine)).await;
    let mut streamed = chat();
    streamed["stream"] = true.into();
    for request in [
        Request::get("/api/echo/x"),
        Request::post("/api/chat").json(&chat()),
        Request::post("/api/chat").json(&streamed),
    ] {
        let answer = answer(&node, request.header("Origin", "http://localhost:3000")).await;
        assert_eq!(answer.status(), 200);
        assert_open(&answer, "a backend with its own headers");
    }
    // Errors of the backend are no exception.
    engine.set_fault(FaultKind::status(500).path("/api/show"));
    let answer = answer(&node, Request::post("/api/show").json(&chat())).await;
    assert_eq!(answer.status(), 500);
    assert_open(&answer, "an error of a backend with its own headers");
}
