//! SIGTERM: readiness fails first, listeners stop after the settle time, what is in flight gets the grace time, then each
//! client is told in its own protocol.

use std::time::{Duration, Instant};

use ollamaflow_tests::client::{End, RawConnection, Request};
use ollamaflow_tests::node::{Node, Signal};
use ollamaflow_tests::simulated::{FaultKind, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::setup::{Setup, asking, queueing, wait_active};
use crate::{ask, chat, ollama, openai_chat};

async fn node_with(settle_ms: u64, grace_ms: u64, cap: u32) -> (SimulatedBackend, Node) {
    let backend = ollama();
    let settings = json!({ "ShutdownSettleMs": settle_ms, "ShutdownGraceMs": grace_ms });
    let node = Setup::new().settings(settings).capped(&backend, cap).start().await;
    (backend, node)
}

/// The status of `/readyz`, or nothing when nobody listens.
async fn ready(node: &Node) -> Option<u16> {
    let answer = Request::get("/readyz").try_send(node.addr()).await.ok()?;
    Some(answer.status())
}

#[tokio::test]
async fn readiness_fails_first_and_the_listener_serves_on_for_the_settle_time() {
    let (_backend, mut node) = node_with(1500, 5000, 10).await;
    assert_eq!(ready(&node).await, Some(200));
    let told = Instant::now();
    node.signal(Signal::Term);
    wait::until_answered("it is not ready", async || match ready(&node).await {
        Some(503) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert!(told.elapsed() < Duration::from_millis(1400), "{:?}", told.elapsed());
    assert_eq!(ask(&node, chat(true)).await.status(), 200, "balancers need time to notice");
    wait::until_answered("it does not listen any more", async || {
        match RawConnection::open(node.addr()).await {
            Ok(_) => Err("it listens".to_owned()),
            Err(_) => Ok(()),
        }
    })
    .await;
    assert!(told.elapsed() >= Duration::from_millis(1400), "{:?}", told.elapsed());
    assert!(node.wait_exit().await.success());
}

#[tokio::test]
async fn a_stream_in_flight_is_finished_within_the_grace_time() {
    let (backend, mut node) = node_with(0, 20_000, 10).await;
    backend.knobs(|knobs| knobs.tokens_per_second = 30.0);
    let mut lines = chat(true).send(node.addr()).await.lines();
    lines.expect_next().await;
    node.signal(Signal::Term);
    let (rest, end) = lines.collect().await;
    assert_eq!((rest.last().unwrap().json()["done"].clone(), end), (json!(true), End::Complete));
    let ended = Instant::now();
    assert!(node.wait_exit().await.success());
    assert!(ended.elapsed() < Duration::from_secs(10), "it does not wait for nothing");
}

#[tokio::test]
async fn after_the_grace_time_streams_end_with_an_error_frame_in_their_protocol() {
    let (backend, mut node) = node_with(0, 300, 10).await;
    backend.knobs(|knobs| {
        knobs.endless = true;
        knobs.tokens_per_second = 20.0;
    });
    let mut native = chat(true).send(node.addr()).await.lines();
    native.expect_next().await;
    let mut openai = openai_chat(true).send(node.addr()).await.events();
    openai.expect_next().await;
    node.signal(Signal::Term);
    let (lines, end) = native.collect().await;
    assert!(lines.last().unwrap().json()["error"].is_string(), "{lines:?}");
    assert_eq!(end, End::Complete);
    let (events, end) = openai.collect().await;
    assert!(events.last().unwrap().json()["error"]["message"].is_string(), "{events:?}");
    assert_eq!(end, End::Complete);
    assert!(!events.iter().any(ollamaflow_tests::client::Event::is_done));
    assert!(node.wait_exit().await.success());
    wait::until_eq("the backend's work has ended", || backend.stats().in_flight(), 0).await;
}

#[tokio::test]
async fn after_the_grace_time_requests_without_an_answer_get_503() {
    let (backend, mut node) = node_with(0, 300, 1).await;
    backend.set_fault(FaultKind::HangBeforeHeaders { for_ms: None });
    let at_the_backend = asking(&node, chat(false));
    wait_active(&node, &[1]).await;
    let queued = queueing(&node, openai_chat(false), 1).await;
    node.signal(Signal::Term);
    for (answer, openai) in [(at_the_backend, false), (queued, true)] {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 503, "{}", answer.text());
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        let message = if openai { &body["error"]["message"] } else { &body["error"] };
        assert!(message.is_string(), "{body}");
    }
    assert!(node.wait_exit().await.success());
}
