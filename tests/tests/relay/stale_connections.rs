//! Connections that a backend closes between two requests: no client sees it, even when nothing may be retried.

use std::time::Duration;

use ollamaflow_tests::client::{End, RawConnection};
use ollamaflow_tests::simulated::{EndBy, Fault, FaultKind, SimulatedBackend};

use crate::{chat, ollama};
use ollamaflow_tests::setup::Setup;

const REQUESTS: usize = 300;

/// So many requests over one client connection with a pause after each, all at one backend with this fault; gives the
/// failures.
async fn failures(fault: impl Into<Fault>, pause: Duration) -> (usize, SimulatedBackend) {
    let backend = ollama();
    backend.knobs(|knobs| knobs.tokens = 1);
    // One attempt, one thread: the same connections are used again and again.
    let node = Setup::new()
        .settings(serde_json::json!({ "Webserver": { "Workers": 1 } }))
        .frontend("AllowRetries", false)
        .backend(&backend)
        .start()
        .await;
    backend.set_fault(fault);
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    let mut failures = 0;
    for _ in 0..REQUESTS {
        connection.send_request(&chat(false)).await.unwrap();
        let (answer, next) = connection.response().await.unwrap().collect_reusable().await;
        failures += usize::from((answer.status(), answer.end) != (200, End::Complete));
        connection = next;
        tokio::time::sleep(pause).await;
    }
    (failures, backend)
}

async fn nobody_sees(name: &str, fault: impl Into<Fault>, pause: Duration) {
    let (failures, backend) = failures(fault, pause).await;
    let connections = backend.stats().connections_accepted;
    println!("{name}: {failures} failures in {REQUESTS} requests over {connections} connections");
    assert_eq!(failures, 0, "{name}");
}

#[tokio::test]
async fn a_connection_closed_at_once_after_each_answer_fails_no_request() {
    nobody_sees("closed at once", FaultKind::StaleKeepAlive { after_ms: 0 }, Duration::ZERO).await;
}

#[tokio::test]
async fn a_connection_closed_about_when_the_next_request_comes_fails_no_request() {
    let pause = Duration::from_millis(1);
    nobody_sees("closed after a millisecond", FaultKind::StaleKeepAlive { after_ms: 1 }, pause).await;
}

#[tokio::test]
async fn a_connection_closed_when_the_next_request_arrives_fails_no_request() {
    nobody_sees("closed on reuse", FaultKind::CloseOnReuse { by: EndBy::Fin }, Duration::ZERO).await;
}

#[tokio::test]
async fn a_connection_reset_when_the_next_request_arrives_fails_no_request() {
    nobody_sees("reset on reuse", FaultKind::CloseOnReuse { by: EndBy::Reset }, Duration::ZERO).await;
}

#[tokio::test]
async fn a_healthy_connection_is_used_again() {
    let (failures, backend) = failures(FaultKind::Coalesce, Duration::ZERO).await;
    let requests = backend.requests_to("/api/chat");
    let connections: std::collections::BTreeSet<u64> =
        requests.iter().map(|request| request.connection).collect();
    assert_eq!((failures, requests.len(), connections.len()), (0, REQUESTS, 1));
}
