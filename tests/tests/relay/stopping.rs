//! `SIGTERM`: readiness fails, then the listener closes, what is in flight gets its time, and then an honest end.

use std::net::SocketAddr;

use ollamaflow_tests::client::{End, RawConnection, Request};
use ollamaflow_tests::node::{Node, Signal};
use ollamaflow_tests::simulated::{FaultKind, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::{chat, ollama, openai_chat};
use ollamaflow_tests::setup::Setup;

/// Far longer than any test: whoever ends before it was ended by something else.
const LONG_MS: u32 = 300_000;

/// What clients are told.
const REASON: &str = "the node is shutting down";

async fn one(settings: Value) -> (SimulatedBackend, Node) {
    let backend = ollama();
    let node = Setup::new().backend(&backend).settings(settings).start().await;
    (backend, node)
}

/// Streams that go on for as long as anybody reads.
async fn endless(settings: Value) -> (SimulatedBackend, Node) {
    let (backend, node) = one(settings).await;
    backend.knobs(|knobs| {
        knobs.endless = true;
        knobs.tokens_per_second = 50.0;
    });
    (backend, node)
}

async fn ends_well(mut node: Node) {
    let status = node.wait_exit().await;
    assert_eq!(status.code(), Some(0), "{status}");
}

async fn until_refused(address: SocketAddr) {
    wait::until_answered("connections are refused", async || match RawConnection::open(address).await {
        Ok(_) => Err("the node accepts connections".to_owned()),
        Err(_) => Ok(()),
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_ends_within_the_grace_time_is_finished() {
    let (backend, node) = one(json!({ "ShutdownGraceMs": LONG_MS })).await;
    backend.knobs(|knobs| {
        knobs.tokens = 20;
        knobs.tokens_per_second = 20.0;
    });
    let mut lines = chat(true).send(node.addr()).await.lines();
    lines.expect_next().await;
    node.signal(Signal::Term);
    let (frames, end) = lines.collect().await;
    assert_eq!((frames.last().unwrap().json()["done"].as_bool(), end), (Some(true), End::Complete));
    ends_well(node).await;
}

#[tokio::test]
async fn streams_that_go_on_longer_end_with_an_error_frame_of_their_protocol() {
    let (_backend, node) = endless(json!({ "ShutdownGraceMs": 300 })).await;
    let mut lines = chat(true).send(node.addr()).await.lines();
    let mut events = openai_chat(true).send(node.addr()).await.events();
    lines.expect_next().await;
    events.next().await.unwrap();
    node.signal(Signal::Term);
    let (frames, end) = lines.collect().await;
    assert_eq!((frames.last().unwrap().json(), end), (json!({ "error": REASON }), End::Complete));
    assert!(frames[..frames.len() - 1].iter().all(|frame| frame.json()["done"] == false));
    let (events, end) = events.collect().await;
    let last: Value = serde_json::from_str(&events.last().unwrap().data).unwrap();
    assert_eq!((last["error"]["message"].as_str(), end), (Some(REASON), End::Complete));
    assert!(!events.iter().any(|event| event.data == "[DONE]"), "an error is no end of an answer");
    ends_well(node).await;
}

#[tokio::test]
async fn a_stream_that_is_silent_when_the_grace_time_ends_is_told_too() {
    let (backend, node) = one(json!({ "ShutdownGraceMs": 300 })).await;
    backend.set_fault(FaultKind::HangMidStream { after_frames: 3, for_ms: None });
    let mut lines = chat(true).send(node.addr()).await.lines();
    lines.expect_next().await;
    node.signal(Signal::Term);
    let (frames, end) = lines.collect().await;
    assert_eq!((frames.last().unwrap().json(), end), (json!({ "error": REASON }), End::Complete));
    ends_well(node).await;
}

#[tokio::test]
async fn a_request_without_an_answer_yet_gets_503() {
    let (backend, node) = one(json!({ "ShutdownGraceMs": 300 })).await;
    backend.set_fault(FaultKind::HangBeforeHeaders { for_ms: None });
    let address = node.addr();
    let asking = tokio::spawn(async move { chat(true).send(address).await.collect().await });
    let arrived =
        async || if backend.requests_to("/api/chat").is_empty() { Err("none".to_owned()) } else { Ok(()) };
    wait::until_answered("the request is at the backend", arrived).await;
    node.signal(Signal::Term);
    let answer = asking.await.unwrap();
    assert_eq!((answer.status(), answer.json()), (503, json!({ "error": REASON })));
    assert_eq!(answer.header("Retry-After"), Some("1"));
    ends_well(node).await;
}

#[tokio::test]
async fn readiness_fails_while_clients_are_still_taken_and_later_they_are_refused() {
    let (_backend, node) = one(json!({ "ShutdownSettleMs": 2_000 })).await;
    let status = async |path: &str| Request::get(path).send(node.addr()).await.collect().await.status();
    assert_eq!(status("/readyz").await, 200);
    node.signal(Signal::Term);
    wait::until_answered("readiness fails", async || match status("/readyz").await {
        503 => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    assert_eq!(status("/api/echo/x").await, 200, "whoever comes meanwhile is served");
    until_refused(node.addr()).await;
    ends_well(node).await;
}

#[tokio::test]
async fn new_connections_are_refused_while_streams_go_on_and_a_second_signal_ends_these() {
    let (_backend, node) = endless(json!({ "ShutdownGraceMs": LONG_MS })).await;
    let mut lines = chat(true).send(node.addr()).await.lines();
    lines.expect_next().await;
    node.signal(Signal::Term);
    until_refused(node.addr()).await;
    for _ in 0..10 {
        assert_eq!(lines.expect_next().await.json()["done"], false);
    }
    node.signal(Signal::Term);
    let (frames, end) = lines.collect().await;
    assert_eq!((frames.last().unwrap().json(), end), (json!({ "error": REASON }), End::Complete));
    ends_well(node).await;
}

#[tokio::test]
async fn an_interrupt_waits_for_nobody() {
    let (_backend, node) = endless(json!({ "ShutdownGraceMs": LONG_MS, "ShutdownSettleMs": LONG_MS })).await;
    let mut lines = chat(true).send(node.addr()).await.lines();
    lines.expect_next().await;
    node.signal(Signal::Interrupt);
    ends_well(node).await;
}
