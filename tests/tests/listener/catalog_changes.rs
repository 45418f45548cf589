//! Other frontends and backends take effect while the node runs, and what is under way goes on. The settings file is not
//! the place to change them: a hangup does not read it again.

use std::fs;

use jiff::Timestamp;
use ollamaflow_tests::client::{self, End, Request, Response};
use ollamaflow_tests::node::{Node, Signal};
use ollamaflow_tests::objects::{backend, frontend};
use ollamaflow_tests::simulated::{FaultKind, WORDS};
use ollamaflow_tests::wait;
use serde_json::json;

use crate::{answer, b1, before, chat, engine, f1, ready};

/// Begins a streamed chat.
async fn stream(node: &Node) -> Response {
    let mut body = chat();
    body["stream"] = true.into();
    let response = client::post_json(node.addr(), "/api/chat", &body).await;
    assert_eq!(response.head.status, 200);
    response
}

/// Waits until a chat is answered with this status.
async fn until_chats_get(node: &Node, status: u16) {
    wait::until_answered(&format!("chats are answered with {status}"), async || {
        let answer = answer(node, Request::post("/api/chat").json(&chat())).await;
        if answer.status() == status {
            Ok(())
        } else {
            Err(format!("{}: {}", answer.status(), answer.text()))
        }
    })
    .await;
}

/// What the model says when asked for nothing special.
fn text_of(lines: &[client::Frame]) -> String {
    lines
        .iter()
        .map(|line| line.json()["message"]["content"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test]
async fn an_added_frontend_and_backend_take_effect() {
    let (old, new) = (engine(), engine());
    let node = ready(before(&old)).await;
    let added = frontend("f2").hostname("new.example").backends(["b2"]);
    node.rewrite_objects([f1(), added], [b1(&old), backend("b2", &new)]).await;
    wait::until_answered("the new frontend answers", async || {
        let request = Request::post("/api/chat").host("new.example").json(&chat());
        let answer = answer(&node, request).await;
        let by = answer.header("X-OllamaFlow-Backend").map(str::to_owned);
        if (answer.status(), by.as_deref()) == (200, Some("b2")) { Ok(()) } else { Err(format!("{by:?}")) }
    })
    .await;
    assert_eq!(answer(&node, Request::get("/api/echo/x")).await.header("X-OllamaFlow-Backend"), Some("b1"));
}

#[tokio::test]
async fn a_changed_frontend_takes_effect() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    until_chats_get(&node, 200).await;
    node.rewrite_objects([f1().set("AllowCompletions", false)], [b1(&engine)]).await;
    until_chats_get(&node, 403).await;
    assert_eq!(node.admin("GET", "/v1.0/frontends/f1", None).await.1["AllowCompletions"], false);
}

#[tokio::test]
async fn a_changed_backend_takes_effect() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    node.rewrite_objects([f1()], [b1(&engine).set("BearerToken", "changed")]).await;
    wait::until_answered("the backend gets its new token", async || {
        answer(&node, Request::post("/api/chat").json(&chat())).await;
        let requests = engine.requests_to("/api/chat");
        let token = requests.last().and_then(|request| request.header("authorization"));
        if token == Some("Bearer changed") { Ok(()) } else { Err(format!("{token:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_removed_frontend_is_found_no_more() {
    let engine = engine();
    let builder = before(&engine).frontend(frontend("f2").hostname("old.example").backends(["b1"]));
    let node = ready(builder.settings(&json!({}))).await;
    let old = || Request::get("/api/tags").host("old.example");
    assert_eq!(answer(&node, old()).await.status(), 200);
    node.rewrite_objects([f1().hostname("kept.example")], [b1(&engine)]).await;
    wait::until_answered("the old host is unknown", async || match answer(&node, old()).await.status() {
        404 => Ok(()),
        status => Err(status.to_string()),
    })
    .await;
    assert_eq!(node.admin("GET", "/v1.0/frontends/f2", None).await.0, 404);
    assert_eq!(answer(&node, Request::get("/api/tags").host("kept.example")).await.status(), 200);
}

#[tokio::test]
async fn a_removed_backend_gets_no_more_requests() {
    let (old, kept) = (engine(), engine());
    let builder = before(&old).backend(backend("b2", &kept));
    let node = ready(builder).await;
    node.rewrite_objects([f1().backends(["b2"])], [backend("b2", &kept)]).await;
    wait::until_answered("the other backend serves", async || {
        let answer = answer(&node, Request::get("/api/echo/x")).await;
        let by = answer.header("X-OllamaFlow-Backend").map(str::to_owned);
        if by.as_deref() == Some("b2") { Ok(()) } else { Err(format!("{by:?}")) }
    })
    .await;
    assert_eq!(node.admin("GET", "/v1.0/backends/b1", None).await.0, 404);
    let before = old.requests_to("/api/echo/x").len();
    for _ in 0..4 {
        assert_eq!(answer(&node, Request::get("/api/echo/x")).await.status(), 200);
    }
    assert_eq!(old.requests_to("/api/echo/x").len(), before);
}

#[tokio::test]
async fn a_stream_goes_on_while_its_frontend_and_backend_change() {
    let engine = engine();
    engine.knobs(|knobs| {
        knobs.endless = true;
        knobs.tokens_per_second = 50.0;
    });
    let node = ready(before(&engine)).await;
    // Phase 1: a stream has begun.
    let mut lines = stream(&node).await.lines();
    lines.next().await.unwrap();
    // Phase 2: everything it depends on changes, and the change is in effect.
    let frontend = f1().set("AllowCompletions", false).set("TimeoutMs", 1).hostname("other.example");
    node.rewrite_objects([frontend], [b1(&engine).set("AllowCompletions", false).set("Name", "other")]).await;
    wait::until_answered("the old host is unknown", async || {
        let status = answer(&node, Request::get("/api/tags")).await.status();
        if status == 404 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    let changed_at = Timestamp::now();
    // Phase 3: tokens made later than that still arrive.
    loop {
        let line = lines.next().await.unwrap().json();
        let made_at: Timestamp = line["created_at"].as_str().unwrap().parse().unwrap();
        if made_at > changed_at {
            break;
        }
    }
}

#[tokio::test]
async fn a_stream_is_finished_after_its_frontend_and_backend_were_removed() {
    let engine = engine();
    engine.set_fault(FaultKind::HangMidStream { after_frames: 3, for_ms: Some(1_000) }.path("/api/chat"));
    let node = ready(before(&engine)).await;
    let mut lines = stream(&node).await.lines();
    let mut seen = vec![lines.next().await.unwrap()];
    // Both are gone before the engine goes on.
    node.rewrite_objects([], []).await;
    until_chats_get(&node, 404).await;
    let (rest, end) = lines.collect().await;
    seen.extend(rest);
    assert_eq!(end, End::Complete);
    assert_eq!(text_of(&seen), WORDS.concat());
    assert_eq!(seen.last().unwrap().json()["done"], true);
}

/// What the node says to a hangup.
const EXPLAINED: &str = "a hangup has certificate files read again";

#[tokio::test]
async fn a_hangup_right_after_the_start_does_not_end_the_node() {
    for _ in 0..5 {
        let mut node = Node::builder().start().await;
        node.signal(Signal::Hangup);
        wait::until("it explains itself", || !node.is_running() || node.logs().contains(EXPLAINED)).await;
        assert!(node.is_running());
    }
}

#[tokio::test]
async fn a_hangup_does_not_read_the_settings_again() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    let stored = node.admin("GET", "/v1.0/catalog", None).await;
    for text in ["{ \"Backends\": 7 }", "{ \"Frontends\": [], \"Backends\": [] }"] {
        fs::write(node.settings_file(), text).unwrap();
        let explained = node.logs().matches(EXPLAINED).count();
        node.signal(Signal::Hangup);
        wait::until("it explains itself", || node.logs().matches(EXPLAINED).count() > explained).await;
    }
    assert!(node.logs().contains("ollamaflow apply"), "{}", node.logs());
    assert_eq!(node.admin("GET", "/v1.0/catalog", None).await, stored);
    until_chats_get(&node, 200).await;
}
