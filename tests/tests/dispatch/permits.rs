//! The property of permits: never exceeded and never leaked, whatever way a request ends.

use std::time::Duration;

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{EndBy, Fault, FaultKind, SimulatedBackend, SplitUnit};
use ollamaflow_tests::wait;
use serde_json::json;
use tokio::task::JoinSet;

use crate::setup::{Setup, active_requests, occupy, wait_explained, wait_idle, wait_queued};
use crate::{ask, at, chat, chat_body, embed, ollama, openai_chat};

const CAP: u32 = 3;
const CLIENTS: u64 = 300;

/// Who ends requests before their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Departures {
    /// Nobody but the backends: they know exactly how many requests they have.
    None,
    /// Clients that leave, and the node when a backend hangs for ever. How soon a backend learns of a connection that was
    /// closed is up to the operating system: on a busy machine it may get the next request first.
    Many,
}

/// Requests that a backend may count beyond those that it has, while departures are on their way to it.
const UNNOTICED: u64 = 3;

/// Every way in which an answer can fail, each with its chance.
fn trouble(departures: Departures) -> Vec<Fault> {
    let for_ms = (departures == Departures::None).then_some(50);
    let busy = |status| FaultKind::Answer {
        status,
        headers: vec![("Retry-After".to_owned(), "1".to_owned())],
        body: Some(json!({ "error": "server busy" }).to_string()),
        body_base64: None,
    };
    vec![
        FaultKind::CloseBeforeHeaders { by: EndBy::Reset }.probability(0.06),
        FaultKind::CloseBeforeHeaders { by: EndBy::Fin }.probability(0.04),
        FaultKind::HangBeforeHeaders { for_ms }.probability(0.03),
        FaultKind::HangAfterHeaders { for_ms }.probability(0.03),
        FaultKind::HangMidStream { after_frames: 3, for_ms }.probability(0.03),
        FaultKind::ResetAfter { frames: 0 }.probability(0.04),
        FaultKind::ResetAfter { frames: 5 }.probability(0.06),
        FaultKind::CloseAfter { frames: 4 }.probability(0.04),
        FaultKind::EndWithoutMarker { after_frames: Some(4) }.probability(0.04),
        FaultKind::error_frame(2).probability(0.04),
        FaultKind::BadChunkHeader { after_frames: 3 }.probability(0.03),
        FaultKind::TruncatedLength { missing: 20 }.probability(0.03),
        FaultKind::json(500, &json!({ "error": "something is wrong" })).probability(0.05),
        FaultKind::status(502).probability(0.03),
        busy(429).times(1).probability(0.1),
        busy(503).times(1).probability(0.1),
        // Slow bytes: each frame in two parts. Faults that pause after the last byte too would have the backend count
        // a request that is over.
        FaultKind::SplitFrames { offset: 20, unit: SplitUnit::Writes, gap_ms: 5 }.probability(0.08),
        FaultKind::split_frames(7).probability(0.05),
        FaultKind::EarlyResponse { status: 413, linger: true }.probability(0.02),
        FaultKind::StaleKeepAlive { after_ms: 0 }.probability(0.1),
    ]
}

async fn troubled(departures: Departures, resume: bool) -> ([SimulatedBackend; 3], Node) {
    let backends: [SimulatedBackend; 3] = std::array::from_fn(|_| ollama());
    let patience_ms = if departures == Departures::Many { 400 } else { 20_000 };
    let setup = Setup::balanced("LeastConnections")
        .frontend("TimeoutMs", patience_ms)
        .frontend("StreamIdleTimeoutMs", patience_ms)
        .frontend("ResumeStreams", resume)
        .frontend("RetryBudgetPercent", 100);
    let setup = backends.iter().fold(setup, |setup, backend| {
        setup.backend_with(backend, |backend| {
            backend
                .set("MaxParallelRequests", CAP)
                .set("CircuitBreakerErrorPercent", 50)
                .set("CircuitBreakerMinimumRequests", 10)
                .set("CircuitBreakerConnectFailures", 5)
                .set("CircuitBreakerOpenMs", 50)
        })
    });
    let node = setup.start().await;
    for backend in &backends {
        backend.knobs(|knobs| {
            knobs.ttft_ms = 2;
            knobs.tokens_per_second = 2000.0;
        });
        backend.set_faults(trouble(departures));
    }
    (backends, node)
}

fn request(dice: &mut fastrand::Rng) -> Request {
    match dice.u8(0..6) {
        0 | 1 => chat(true),
        2 => chat(false),
        3 => openai_chat(true),
        4 => openai_chat(false),
        _ => embed(),
    }
}

/// One client. It reads its answer to the end, or leaves at a random moment in one of two ways.
async fn client(node: std::net::SocketAddr, seed: u64, departures: Departures) {
    let mut dice = fastrand::Rng::with_seed(seed);
    tokio::time::sleep(Duration::from_millis(dice.u64(0..400))).await;
    let request = request(&mut dice);
    let leaves = departures == Departures::Many && dice.bool();
    let patience = leaves.then(|| Duration::from_micros(dice.u64(0..60_000)));
    let by_reset = dice.bool();
    let asking = async {
        let Ok(mut response) = request.try_send(node).await else { return };
        while response.next_piece().await.is_some() {
            if patience.is_some() && by_reset && dice.u8(0..8) == 0 {
                return response.abort();
            }
        }
    };
    match patience {
        None => asking.await,
        Some(patience) => drop(tokio::time::timeout(patience, asking).await),
    }
}

/// Hundreds of clients, every kind of trouble; then nothing is held and everything can be used.
async fn are_never_exceeded_and_never_leaked(departures: Departures, resume: bool) {
    let seed = 2 * u64::from(resume) + u64::from(departures == Departures::Many);
    let (backends, node) = troubled(departures, resume).await;
    let mut clients = JoinSet::new();
    for index in 0..CLIENTS {
        clients.spawn(client(node.addr(), seed * CLIENTS + index, departures));
    }
    while !clients.is_empty() {
        // What the node itself counts is exact, whoever leaves.
        let active = active_requests(&node).await;
        assert!(active.iter().all(|count| *count <= u64::from(CAP)), "{active:?}");
        while let Some(ended) = clients.try_join_next() {
            ended.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    wait_idle(&node).await;
    wait_queued(&node, 0).await;
    let limit = u64::from(CAP) + if departures == Departures::Many { UNNOTICED } else { 0 };
    let received: u64 = backends.iter().map(|backend| backend.stats().received()).sum();
    for (index, backend) in backends.iter().enumerate() {
        wait::until_eq("the backend is idle too", || backend.stats().in_flight(), 0).await;
        let stats = backend.stats();
        println!("b{}: {:?}", index + 1, stats.inference);
        assert!(stats.inference.in_flight_max <= limit, "b{}: {:?}", index + 1, stats.inference);
        backend.clear_faults();
    }
    assert!(received > CLIENTS / 2, "{received}");
    // Each slot of each backend can be used again.
    for (index, backend) in backends.iter().enumerate() {
        let name = format!("b{}", index + 1);
        wait_explained(&node, &chat_body("m", "x", false), &name, "Candidate", &json!(true)).await;
        // A circuit that is half open takes one at a time until that one was good.
        let answer = at(&name, chat(false)).send(node.addr()).await.collect().await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let held = occupy(&node, backend, &name, CAP as usize).await;
        drop(held);
    }
    wait_idle(&node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn permits_are_never_exceeded_and_never_leaked_whatever_way_backends_fail() {
    are_never_exceeded_and_never_leaked(Departures::None, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn permits_are_never_exceeded_and_never_leaked_when_clients_leave_and_backends_hang() {
    are_never_exceeded_and_never_leaked(Departures::Many, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn permits_are_never_exceeded_and_never_leaked_when_streams_are_resumed() {
    are_never_exceeded_and_never_leaked(Departures::None, true).await;
    are_never_exceeded_and_never_leaked(Departures::Many, true).await;
}

#[tokio::test]
async fn each_single_way_to_fail_gives_its_permit_back() {
    let backend = ollama();
    let node = Setup::new()
        .frontend("TimeoutMs", 300)
        .frontend("StreamIdleTimeoutMs", 300)
        .frontend("MaxQueueLength", 0)
        .capped(&backend, 1)
        .start()
        .await;
    for fault in trouble(Departures::Many) {
        // Cool-downs are not the subject here.
        if matches!(fault.kind, FaultKind::Answer { status: 429 | 503, .. }) {
            continue;
        }
        for request in [chat(true), chat(false), openai_chat(true)] {
            backend.set_faults(vec![fault.kind.clone().times(1)]);
            let _answer: Collected = ask(&node, request).await;
            wait_idle(&node).await;
        }
        backend.clear_faults();
        let answer = ask(&node, chat(true)).await;
        assert_eq!(answer.status(), 200, "after {fault:?}: {}", answer.text());
    }
    assert_eq!(backend.stats().inference.in_flight_max, 1);
}

#[tokio::test]
async fn a_backend_that_is_killed_and_comes_back_has_all_its_slots() {
    let backend = ollama();
    let node = Setup::new().capped(&backend, CAP).start().await;
    for _ in 0..3 {
        let held = occupy(&node, &backend, "b1", CAP as usize).await;
        backend.stop();
        for one in held {
            let text = one.into_response().collect().await.text();
            assert!(text.contains("\"error\""), "{text}");
        }
        wait_idle(&node).await;
        backend.restart();
    }
    occupy(&node, &backend, "b1", CAP as usize).await;
}
