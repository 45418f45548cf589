//! What a browser demands before it shows an answer to a page from elsewhere.

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::node::{ADMIN_TOKEN, Node};
use serde_json::json;

use crate::{DASHBOARD, FROM_DISK, answer, pair};

const ORIGINS: [&str; 2] = [DASHBOARD, FROM_DISK];

/// What browsers were seen to ask beforehand: the path, the method, the headers.
const PREFLIGHTS: [(&str, &str, &str); 12] = [
    ("/v1.0/frontends", "GET", "authorization"),
    ("/v1.0/backends", "GET", "authorization"),
    ("/v1.0/backends/health", "GET", "authorization"),
    ("/v1.0/frontends", "PUT", "authorization,content-type"),
    ("/v1.0/backends/b1", "PUT", "authorization,content-type"),
    ("/v1.0/backends/b1", "DELETE", "authorization"),
    ("/api/chat", "POST", "content-type"),
    ("/api/pull", "POST", "content-type"),
    ("/api/delete", "DELETE", "content-type"),
    ("/v1/chat/completions", "POST", "content-type"),
    ("/v1/embeddings", "POST", "content-type"),
    ("/v1.0/nope", "GET", "authorization"),
];

/// Checks that a page of this origin may read the answer. No cookie is ever sent, so that any origin may be allowed.
#[track_caller]
fn assert_open(answer: &Collected, what: &str) {
    assert_eq!(answer.head.headers_named("Access-Control-Allow-Origin"), ["*"], "{what}");
    assert_eq!(answer.head.headers_named("Access-Control-Expose-Headers"), ["*"], "{what}");
    assert_eq!(answer.header("Access-Control-Allow-Credentials"), None, "{what}");
}

#[tokio::test]
async fn rule_12_preflights_need_no_token_and_echo_the_headers_that_are_asked_for() {
    let node = pair().start().await;
    for (path, method, headers) in PREFLIGHTS {
        for origin in ORIGINS {
            let preflight = Request::new("OPTIONS", path)
                .header("Origin", origin)
                .header("Access-Control-Request-Method", method)
                .header("Access-Control-Request-Headers", headers);
            let answer = answer(&node, preflight).await;
            let what = format!("{method} {path} from {origin}");
            assert!(matches!(answer.status(), 200 | 204), "{what}: {}", answer.status());
            assert_open(&answer, &what);
            // Not `*`, which leaves out Authorization in the Fetch standard.
            assert_eq!(answer.head.headers_named("Access-Control-Allow-Headers"), [headers], "{what}");
            let allowed = answer.header("Access-Control-Allow-Methods").unwrap();
            assert_eq!(allowed, "OPTIONS, HEAD, GET, PUT, POST, DELETE, PATCH", "{what}");
            let seconds: u32 = answer.header("Access-Control-Max-Age").unwrap().parse().unwrap();
            assert!(seconds >= 600, "{what}");
        }
    }
}

#[tokio::test]
async fn rule_12_every_admin_answer_is_open_and_is_not_stored() {
    let node = pair().start().await;
    let admin = |method: &str, path: &str| Request::new(method, path).bearer(ADMIN_TOKEN);
    let put = |path: &str, body| admin("PUT", path).json(&body);
    // In the order in which they succeed.
    let requests = [
        (200, admin("GET", "/v1.0/frontends")),
        (200, admin("GET", "/v1.0/backends/health")),
        (201, put("/v1.0/frontends", json!({ "Identifier": "f2" }))),
        (200, put("/v1.0/frontends/f2", json!({ "Name": "n" }))),
        (204, admin("DELETE", "/v1.0/frontends/f2")),
        (400, put("/v1.0/frontends", json!({}))),
        (401, Request::get("/v1.0/frontends")),
        (401, Request::get("/v1.0/frontends").bearer("wrong")),
        (404, admin("GET", "/v1.0/frontends/ghost")),
        (404, admin("GET", "/v1.0/nope")),
        (405, admin("PATCH", "/v1.0/frontends")),
        (409, admin("DELETE", "/v1.0/backends/b1")),
        (412, put("/v1.0/backends/b1", json!({})).header("If-Match", "\"0\"")),
        (413, put("/v1.0/backends", json!({ "Name": "x".repeat(1_100_000) }))),
    ];
    for origin in ORIGINS {
        for (status, request) in &requests {
            let answer = answer(&node, request.clone().header("Origin", origin)).await;
            assert_eq!(answer.status(), *status, "{}", answer.text());
            assert_open(&answer, &format!("{status} for {origin}"));
            assert_eq!(answer.header("Cache-Control"), Some("no-store"), "{status}");
        }
    }
}

#[tokio::test]
async fn rule_12_the_root_the_icon_and_what_is_not_there_are_open_too() {
    let node = pair().start().await;
    for (status, request) in [
        (200, Request::get("/")),
        (200, Request::new("HEAD", "/")),
        (200, Request::get("/favicon.ico")),
        (200, Request::get("/livez")),
        (404, Request::get("/nope")),
        (405, Request::get("/api/chat")),
        (502, Request::post("/api/chat").json(&json!({ "model": "m", "messages": [] }))),
    ] {
        for origin in ORIGINS {
            let answer = answer(&node, request.clone().header("Origin", origin)).await;
            assert_eq!(answer.status(), status, "{}", answer.text());
            assert_open(&answer, &format!("{status} for {origin}"));
        }
    }
}

/// The explorers show these, which a browser hides unless they are exposed.
#[tokio::test]
async fn rule_12_the_headers_that_the_explorers_show_are_exposed() {
    let engine = crate::engine();
    let node = Node::builder()
        .frontend(ollamaflow_tests::objects::frontend("f1").backends(["b1"]).set("UseStickySessions", true))
        .backend(ollamaflow_tests::objects::backend("b1", &engine))
        .start()
        .await;
    node.wait_healthy(&["b1"]).await;
    let body = json!({ "model": "m", "stream": false, "messages": [{ "role": "user", "content": "hello" }] });
    let answer = answer(&node, Request::post("/api/chat").header("Origin", FROM_DISK).json(&body)).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_open(&answer, "a chat");
    for name in ["X-OllamaFlow-Request", "X-OllamaFlow-Backend", "X-OllamaFlow-Sticky"] {
        assert!(answer.header(name).is_some(), "{name}");
    }
}
