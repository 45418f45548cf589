//! Attempts that fail before anything has reached the client: another backend answers, and the client sees none of it.

use ollamaflow_tests::client::{self, End, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{EndBy, Fault, FaultKind, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::json;

use crate::scripted::ScriptedBackend;
use crate::{chat, ollama, openai_chat, served_by};
use ollamaflow_tests::setup::{Setup, wait_idle};

/// Two backends of which the first one, which gets the first request, has this fault.
async fn first_fails(fault: impl Into<Fault>) -> (SimulatedBackend, SimulatedBackend, Node) {
    let (first, second) = (ollama(), ollama());
    let node = Setup::new()
        .frontend("TimeoutMs", 2500)
        .frontend("StreamIdleTimeoutMs", 2500)
        .backend(&first)
        .backend(&second)
        .start()
        .await;
    first.set_fault(fault);
    (first, second, node)
}

/// One request meets this fault and is answered by the other backend as if nothing had happened.
async fn is_not_seen(fault: impl Into<Fault>, request: Request, attempts: u64) {
    let (first, second, node) = first_fails(fault).await;
    let answer = request.send(node.addr()).await.collect().await;
    assert_eq!((answer.status(), answer.end), (200, End::Complete), "{}", answer.text());
    assert_eq!(served_by(&answer), "b2");
    assert!(!answer.text().contains("error"), "{}", answer.text());
    let second_stats = second.stats();
    assert_eq!((second_stats.received(), second_stats.completed()), (1, 1));
    wait::until_eq("the failed attempt is counted", || first.stats().received(), attempts).await;
    wait_idle(&node).await;
}

#[tokio::test]
async fn a_refused_connection_is_not_seen() {
    is_not_seen(FaultKind::refuse(), chat(true), 0).await;
}

#[tokio::test]
async fn a_connection_that_ends_at_once_is_not_seen() {
    for by in [EndBy::Fin, EndBy::Reset] {
        is_not_seen(FaultKind::AcceptThenClose { by }, chat(false), 0).await;
    }
}

#[tokio::test]
async fn a_connection_that_ends_before_the_head_is_not_seen() {
    for by in [EndBy::Fin, EndBy::Reset] {
        is_not_seen(FaultKind::CloseBeforeHeaders { by }, openai_chat(true), 1).await;
    }
}

#[tokio::test]
async fn the_statuses_502_503_and_504_are_not_seen() {
    for status in [502, 503, 504] {
        is_not_seen(FaultKind::status(status), chat(true), 1).await;
    }
}

#[tokio::test]
async fn silence_instead_of_an_answer_is_not_seen() {
    is_not_seen(FaultKind::HangBeforeHeaders { for_ms: None }, chat(true), 1).await;
}

#[tokio::test]
async fn silence_between_head_and_body_is_not_seen() {
    is_not_seen(FaultKind::HangAfterHeaders { for_ms: None }, chat(true), 1).await;
}

#[tokio::test]
async fn a_death_between_head_and_first_byte_of_the_body_is_not_seen() {
    for fault in [FaultKind::ResetAfter { frames: 0 }, FaultKind::CloseAfter { frames: 0 }] {
        is_not_seen(fault.clone(), chat(true), 1).await;
        is_not_seen(fault, openai_chat(true), 1).await;
    }
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_not_seen() {
    for wire in [
        "HTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ] {
        let (mut first, second) = (ScriptedBackend::start(), ollama());
        let node = Setup::new().backend(&first).backend(&second).start().await;
        let answer = first.relays(&node, &chat(false), wire).await;
        assert_eq!((answer.status(), served_by(&answer)), (200, "b2"), "{wire:?}");
    }
}

#[tokio::test]
async fn the_second_attempt_carries_the_same_request() {
    for request in [chat(false), chat(false).chunked(5)] {
        let (first, second, node) = first_fails(FaultKind::status(503)).await;
        assert_eq!(request.send(node.addr()).await.status(), 200);
        let at = |backend: &SimulatedBackend| backend.requests_to("/api/chat").pop().unwrap();
        let (one, two) = (at(&first), at(&second));
        assert_eq!((&one.body, &one.path, one.framing), (&two.body, &two.path, two.framing));
        let id = |request: &ollamaflow_tests::simulated::ReceivedRequest| {
            request.header("x-ollamaflow-request").unwrap().to_owned()
        };
        assert_eq!(id(&one), id(&two), "both attempts are one request");
    }
}

#[tokio::test]
async fn each_backend_is_tried_at_most_once() {
    let backends: [SimulatedBackend; 3] = std::array::from_fn(|_| ollama());
    for backend in &backends {
        backend.set_fault(FaultKind::json(503, &json!({ "error": "busy" })));
    }
    let node = backends.iter().fold(Setup::new(), Setup::backend).start().await;
    for requests in 1..=3 {
        assert_eq!(chat(true).send(node.addr()).await.status(), 503);
        assert_eq!(backends.each_ref().map(|backend| backend.stats().received()), [requests; 3]);
    }
}

#[tokio::test]
async fn a_backend_listed_twice_is_tried_once() {
    let backend = ollama();
    backend.set_fault(FaultKind::status(503));
    let (frontend, backends) = Setup::new().backend(&backend).objects();
    let node = Node::builder().frontend(frontend.backends(["b1", "b1"])).backend(backends[0].clone()).start();
    let node = node.await;
    node.wait_healthy(&["b1"]).await;
    assert_eq!(chat(false).send(node.addr()).await.status(), 503);
    assert_eq!(backend.stats().received(), 1);
}

#[tokio::test]
async fn nothing_is_retried_once_the_client_has_a_byte() {
    let (first, second, node) = first_fails(FaultKind::ResetAfter { frames: 1 }).await;
    let answer = chat(true).send(node.addr()).await.collect().await;
    assert_eq!((answer.status(), served_by(&answer)), (200, "b1"));
    assert_eq!((first.stats().received(), second.stats().received()), (1, 0));
}

#[tokio::test]
async fn no_client_sees_that_a_backend_is_killed_before_the_first_byte() {
    const REQUESTS: usize = 200;
    let backends: [SimulatedBackend; 4] = std::array::from_fn(|_| ollama());
    let node = backends.iter().fold(Setup::new(), Setup::backend).start().await;
    let address = node.addr();
    let burst = || async move {
        let answers = client::many(REQUESTS, |index| async move {
            let answer = chat(index % 2 == 0).send(address).await.collect().await;
            (answer.status(), answer.end, answer.text().contains("error"))
        });
        answers.await.into_iter().filter(|answer| *answer != (200, End::Complete, false)).count()
    };

    // Killed while a quarter of the requests waits for its answer.
    backends[0].set_fault(FaultKind::HangBeforeHeaders { for_ms: None });
    let first = tokio::spawn(burst());
    let answered = || backends[1..].iter().map(|backend| backend.stats().completed()).sum::<u64>();
    wait::until_eq(
        "all requests are answered or wait at the first backend",
        || answered() + backends[0].stats().in_flight(),
        REQUESTS as u64,
    )
    .await;
    let waiting = backends[0].stats().in_flight();
    backends[0].stop();
    let seen = first.await.unwrap();
    println!(
        "{waiting} of {REQUESTS} requests waited at the backend when it was killed: {seen} failures seen"
    );
    assert!(waiting > 0 && seen == 0, "{waiting} waited, {seen} failures");

    // And while it is dead, which nobody has told the node.
    let seen = burst().await;
    println!("{REQUESTS} requests with one of four backends dead: {seen} failures seen");
    assert_eq!(seen, 0);
    wait_idle(&node).await;
}
