//! Requests that a client sends ahead: each gets its own answer, whatever the next one is like.

use ollamaflow_tests::client::{RawConnection, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::FaultKind;
use ollamaflow_tests::wait;
use serde_json::json;

use crate::{before, chat, engine, ready};

/// Everything that comes back for these requests, sent at once.
async fn answers(node: &Node, requests: &[Request]) -> String {
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    let wire: Vec<u8> = requests.iter().flat_map(|request| request.to_wire(node.addr())).collect();
    connection.send(&wire).await.unwrap();
    String::from_utf8(connection.read_to_end().await.0).unwrap()
}

fn last() -> Request {
    Request::get("/").header("Connection", "close")
}

#[tokio::test]
async fn a_head_request_behind_a_stream_takes_nothing_from_it() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    let chat = Request::post("/api/chat")
        .json(&json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }] }));
    let text = answers(&node, &[chat, Request::new("HEAD", "/api/tags"), last()]).await;
    let (stream, rest) =
        text.split_once("\r\n0\r\n\r\n").unwrap_or_else(|| panic!("no whole stream: {text}"));
    assert!(stream.starts_with("HTTP/1.1 200 ") && stream.contains("\"done\":true"), "{text}");
    assert!(rest.starts_with("HTTP/1.1 200 "), "{rest}");
    assert!(rest.ends_with("Ollama is running"), "{rest}");
    assert_eq!(text.matches("HTTP/1.1 200 ").count(), 3, "{text}");
    assert!(!rest.contains("\"models\""), "an answer to HEAD has no body: {rest}");
}

#[tokio::test]
async fn head_and_get_requests_may_take_turns() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    let head = || Request::new("HEAD", "/api/version");
    let get = || Request::get("/api/version");
    let text = answers(&node, &[head(), get(), head(), get(), last()]).await;
    assert_eq!(text.matches("HTTP/1.1 200 ").count(), 5, "{text}");
    assert_eq!(text.matches("\"version\"").count(), 2, "{text}");
}

#[tokio::test]
async fn only_the_answer_to_the_request_that_closes_says_so() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    let text = answers(&node, &[Request::get("/api/version"), last()]).await.to_lowercase();
    let (first, second) = text.split_at(text.rfind("http/1.1 200").unwrap());
    assert!(!first.contains("connection: close"), "{text}");
    assert!(second.contains("connection: close"), "{text}");
}

#[tokio::test]
async fn an_answer_has_the_version_of_its_own_request() {
    let engine = engine();
    let frontend = crate::f1().set("BlockHttp10", false);
    let node = Node::builder().frontend(frontend).backend(crate::b1(&engine));
    let node = ready(node).await;
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    let mut wire = Request::post("/api/chat").json(&chat()).to_wire(node.addr());
    wire.extend_from_slice(b"GET /api/version HTTP/1.0\r\nHost: x\r\n\r\n");
    connection.send(&wire).await.unwrap();
    let text = String::from_utf8(connection.read_to_end().await.0).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    assert!(text.contains("HTTP/1.0 200 "), "{text}");
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_behind_what_it_sent_ahead() {
    let engine = engine();
    engine.set_fault(FaultKind::HangBeforeHeaders { for_ms: None }.path("/api/chat"));
    let node = ready(before(&engine)).await;
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    let chat = Request::post("/api/chat").json(&chat()).to_wire(node.addr());
    connection.send([chat, Request::get("/").to_wire(node.addr())].concat()).await.unwrap();
    wait::until("the chat is under way", || engine.stats().in_flight() == 1).await;
    connection.abort();
    wait::until("it is cancelled", || engine.stats().cancelled() == 1).await;
}
