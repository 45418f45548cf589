//! `Webserver.Headers.DefaultHeaders`: on every answer that does not have them.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use serde_json::json;

use crate::{answer, before, chat, engine, ready};

#[tokio::test]
async fn default_headers_are_on_every_answer() {
    let engine = engine();
    let headers = json!({ "X-Served-By": "the basement", "Strict-Transport-Security": "max-age=60" });
    let node = ready(
        before(&engine).settings(&json!({ "Webserver": { "Headers": { "DefaultHeaders": headers } } })),
    )
    .await;
    for request in [
        Request::get("/"),
        Request::get("/favicon.ico"),
        Request::get("/nope"),
        Request::get("/api/chat"),
        Request::new("OPTIONS", "/api/chat"),
        Request::post("/api/chat").json(&chat()),
        Request::get("/v1.0/backends").bearer("test-token"),
        Request::get("/v1.0/backends").bearer("wrong"),
        Request::get("/v1.0/nope").bearer("test-token"),
    ] {
        let answer = answer(&node, request.clone()).await;
        assert_eq!(answer.head.headers_named("X-Served-By"), ["the basement"], "{request:?}");
        assert_eq!(answer.head.headers_named("Strict-Transport-Security"), ["max-age=60"], "{request:?}");
    }
}

#[tokio::test]
async fn a_header_that_an_answer_has_is_left_alone() {
    let engine = engine();
    engine.knobs(|knobs| knobs.add_header("X-Served-By", "the engine"));
    let headers = json!({
        "x-served-by": "the basement", "Content-Type": "text/plain", "Access-Control-Allow-Origin": "http://one",
        "X-OllamaFlow-Request": "always-the-same", "Cache-Control": "no-cache",
    });
    let node = ready(
        before(&engine).settings(&json!({ "Webserver": { "Headers": { "DefaultHeaders": headers } } })),
    )
    .await;
    let proxied = answer(&node, Request::post("/api/show").json(&json!({ "model": "m" }))).await;
    assert_eq!(proxied.head.headers_named("X-Served-By"), ["the engine"]);
    assert_eq!(proxied.head.headers_named("Content-Type"), ["application/json; charset=utf-8"]);
    assert_eq!(proxied.head.headers_named("Access-Control-Allow-Origin"), ["*"]);
    assert_ne!(proxied.head.headers_named("X-OllamaFlow-Request"), ["always-the-same"]);
    assert_eq!(proxied.head.headers_named("Cache-Control"), ["no-cache"]);
    let admin = answer(&node, Request::get("/v1.0/backends").bearer("test-token")).await;
    assert_eq!(admin.head.headers_named("Cache-Control"), ["no-store"]);
}

#[tokio::test]
async fn headers_that_frame_or_route_a_message_are_never_added() {
    let headers = json!({
        "Connection": "close", "Transfer-Encoding": "chunked", "Content-Length": "7", "Host": "h", "Accept": "*/*",
        "X-Empty": "",
    });
    let node = Node::builder()
        .settings(&json!({ "Webserver": { "Headers": { "DefaultHeaders": headers } } }))
        .start()
        .await;
    let page = answer(&node, Request::get("/")).await;
    assert_eq!(page.text(), "Ollama is running");
    for name in ["Connection", "Transfer-Encoding", "Host", "Accept", "X-Empty"] {
        assert_eq!(page.header(name), None, "{name}");
    }
}
