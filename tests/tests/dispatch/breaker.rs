//! The circuit breaker of a backend: what opens it, what does not, and how it closes again.

use ollamaflow_tests::client;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::Backend;
use ollamaflow_tests::simulated::{FaultKind, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::json;

use crate::setup::{Setup, candidate, explain, occupy, wait_explained, wait_idle};
use crate::{ask, at, backend_of, backends_of, chat, chat_body, count_of, ollama};

/// Longer than any test.
const FOR_LONG_MS: u32 = 3_600_000;

/// A breaker that opens when half of at least four requests have failed.
fn breaker(open_ms: u32) -> impl Fn(Backend) -> Backend {
    move |backend| {
        backend
            .set("CircuitBreakerErrorPercent", 50)
            .set("CircuitBreakerMinimumRequests", 4)
            .set("CircuitBreakerOpenMs", open_ms)
    }
}

async fn two(open_ms: u32) -> (SimulatedBackend, SimulatedBackend, Node) {
    let (one, two) = (ollama(), ollama());
    let node =
        Setup::new().backend_with(&one, breaker(open_ms)).backend_with(&two, breaker(open_ms)).start().await;
    (one, two, node)
}

/// Waits until the breaker of this backend is in this state.
async fn wait_state(node: &Node, name: &str, state: &str) {
    wait_explained(node, &chat_body("m", "x", false), name, "BreakerState", &json!(state)).await;
}

async fn state(node: &Node, name: &str) -> String {
    let explained = explain(node, &chat_body("m", "x", false)).await;
    candidate(&explained, name)["BreakerState"].as_str().unwrap().to_ascii_lowercase()
}

/// Streams that break in the middle, at this backend.
async fn break_streams(node: &Node, backend: &SimulatedBackend, name: &str, count: usize) {
    backend.set_fault(FaultKind::ResetAfter { frames: 3 });
    for _ in 0..count {
        let answer = ask(node, at(name, chat(true))).await;
        assert!(answer.status() == 200 && answer.text().contains("\"error\""), "{}", answer.text());
    }
}

#[tokio::test]
async fn deaths_in_the_middle_of_streams_open_the_circuit() {
    let (one, _two, node) = two(FOR_LONG_MS).await;
    break_streams(&node, &one, "b1", 4).await;
    wait_state(&node, "b1", "Open").await;
    one.clear_faults();
    assert_eq!(backends_of(&node, 6, || chat(false)).await, ["b2"; 6], "it gets nothing");
    assert_eq!(one.stats().received(), 4);
}

#[tokio::test]
async fn fewer_requests_than_the_minimum_do_not_open_it() {
    let (one, _two, node) = two(FOR_LONG_MS).await;
    break_streams(&node, &one, "b1", 3).await;
    wait_idle(&node).await;
    assert_eq!(state(&node, "b1").await, "closed");
}

#[tokio::test]
async fn a_share_of_errors_below_the_threshold_does_not_open_it() {
    let (one, _two, node) = two(FOR_LONG_MS).await;
    for _ in 0..8 {
        assert_eq!(backend_of(&node, at("b1", chat(false))).await, "b1");
    }
    break_streams(&node, &one, "b1", 6).await;
    wait_idle(&node).await;
    assert_eq!(state(&node, "b1").await, "closed");
    break_streams(&node, &one, "b1", 2).await;
    wait_state(&node, "b1", "Open").await;
}

#[tokio::test]
async fn an_error_percentage_of_zero_never_opens_it() {
    let (one, two) = (ollama(), ollama());
    let node = Setup::new().backend(&one).backend(&two).start().await;
    break_streams(&node, &one, "b1", 12).await;
    wait_idle(&node).await;
    assert_eq!(state(&node, "b1").await, "closed");
}

#[tokio::test]
async fn consecutive_failed_connects_open_it() {
    let (one, two) = (ollama(), ollama());
    let node = Setup::new()
        .backend_with(&one, |backend| {
            backend.set("CircuitBreakerConnectFailures", 3).set("CircuitBreakerOpenMs", FOR_LONG_MS)
        })
        .backend(&two)
        .start()
        .await;
    one.stop();
    for _ in 0..3 {
        // Each is answered by the other one, after a failed connect or without.
        assert_eq!(backends_of(&node, 2, || chat(false)).await, ["b2"; 2]);
    }
    wait_state(&node, "b1", "Open").await;
    one.restart();
    assert_eq!(backends_of(&node, 4, || chat(false)).await, ["b2"; 4], "open is open");
}

/// Opens the circuit of `b1` for a short time.
async fn opened(open_ms: u32) -> (SimulatedBackend, SimulatedBackend, Node) {
    let (one, two, node) = two(open_ms).await;
    break_streams(&node, &one, "b1", 4).await;
    wait_state(&node, "b1", "Open").await;
    one.clear_faults();
    (one, two, node)
}

#[tokio::test]
async fn after_open_ms_one_request_is_let_through_and_its_success_closes_it() {
    let (one, _two, node) = opened(400).await;
    let before = one.stats().received();
    wait::until_answered("b1 answers again", async || {
        let name = backend_of(&node, chat(false)).await;
        if name == "b1" { Ok(()) } else { Err(name) }
    })
    .await;
    assert_eq!(one.stats().received(), before + 1);
    wait_state(&node, "b1", "Closed").await;
    let names = backends_of(&node, 8, || chat(false)).await;
    assert!(count_of(&names, "b1") >= 3, "{names:?}");
}

#[tokio::test]
async fn while_the_trial_runs_no_other_request_is_let_through() {
    let (one, _two, node) = opened(300).await;
    let before = one.stats().received();
    // A trial that does not end.
    one.set_fault(FaultKind::HangBeforeHeaders { for_ms: None });
    let address = node.addr();
    let asking: Vec<_> = (0..3)
        .map(|_| {
            tokio::spawn(async move {
                loop {
                    assert_eq!(chat(false).send(address).await.collect().await.status(), 200);
                }
            })
        })
        .collect();
    wait::until("the trial is at the backend", || one.stats().in_flight() == 1).await;
    let answers = client::many(20, move |_| async move {
        let answer = chat(false).send(address).await.collect().await;
        (answer.status(), crate::served_by(&answer).to_owned())
    });
    assert_eq!(answers.await, vec![(200, "b2".to_owned()); 20]);
    assert_eq!(one.stats().received(), before + 1, "one trial, however many requests there are");
    asking.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_trial_that_fails_opens_it_again() {
    let (one, _two, node) = opened(300).await;
    let before = one.stats().received();
    one.set_fault(FaultKind::ResetAfter { frames: 3 }.times(1));
    wait::until_answered("the trial fails", async || {
        let broken = ask(&node, chat(true)).await.text().contains("\"error\"");
        if broken { Ok(()) } else { Err("no trial yet".to_owned()) }
    })
    .await;
    wait_state(&node, "b1", "Open").await;
    assert_eq!(one.stats().received(), before + 1);
    wait::until_answered("a later trial closes it", async || {
        let name = backend_of(&node, chat(false)).await;
        if name == "b1" { Ok(()) } else { Err(name) }
    })
    .await;
}

#[tokio::test]
async fn a_trial_whose_client_leaves_says_nothing_and_makes_room_for_the_next() {
    let (one, _two, node) = opened(200).await;
    one.set_fault(FaultKind::HangBeforeHeaders { for_ms: None }.times(1));
    let address = node.addr();
    let asking = tokio::spawn(async move {
        loop {
            assert_eq!(chat(false).send(address).await.collect().await.status(), 200);
        }
    });
    wait::until("the trial is at the backend", || one.stats().in_flight() == 1).await;
    asking.abort();
    wait::until("it has left", || one.stats().in_flight() == 0).await;
    wait::until_answered("another trial is made, and good", async || {
        let name = backend_of(&node, chat(false)).await;
        if name == "b1" { Ok(()) } else { Err(name) }
    })
    .await;
}

#[tokio::test]
async fn a_request_under_way_goes_on_when_the_circuit_opens() {
    let (one, _two, node) = two(FOR_LONG_MS).await;
    one.knobs(|knobs| knobs.tokens_per_second = 30.0);
    let mut lines = at("b1", chat(true)).send(node.addr()).await.lines();
    lines.expect_next().await;
    one.knobs(|knobs| knobs.tokens_per_second = 0.0);
    break_streams(&node, &one, "b1", 4).await;
    wait_state(&node, "b1", "Open").await;
    let (rest, _) = lines.collect().await;
    assert_eq!(rest.last().unwrap().json()["done"], true);
}

#[tokio::test]
async fn faults_of_the_client_do_not_trip_it() {
    let (one, two, node) = two(FOR_LONG_MS).await;
    let bad = [
        FaultKind::json(400, &json!({ "error": "invalid format" })),
        FaultKind::json(404, &json!({ "error": "no such route" })),
        FaultKind::json(422, &json!({ "error": "unprocessable" })),
        FaultKind::json(500, &json!({ "error": "option \"temperature\" must be of type float32" })),
    ];
    for fault in bad {
        one.set_faults(vec![fault.clone().into()]);
        two.set_faults(vec![fault.into()]);
        for _ in 0..5 {
            assert!(ask(&node, chat(false)).await.status() >= 400);
        }
    }
    wait_idle(&node).await;
    assert_eq!([state(&node, "b1").await, state(&node, "b2").await], ["closed", "closed"]);
}

#[tokio::test]
async fn clients_that_leave_do_not_trip_it() {
    let (one, _two, node) = two(FOR_LONG_MS).await;
    for _ in 0..6 {
        occupy(&node, &one, "b1", 1).await.pop().unwrap().leave();
    }
    wait_idle(&node).await;
    assert_eq!(state(&node, "b1").await, "closed");
}
