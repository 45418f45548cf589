//! Clients that leave.

use ollamaflow_tests::client::{RawConnection, Request};
use ollamaflow_tests::simulated::{FaultKind, Operation, SimulatedBackend};
use ollamaflow_tests::wait;

use crate::{chat_body, native_stream, ollama};

/// Sends a chat and does not wait for anything.
async fn asking(backend: &SimulatedBackend) -> RawConnection {
    let mut connection = RawConnection::open(backend).await.unwrap();
    let request = Request::post("/api/chat").json(&chat_body(true));
    connection.send_request(&request).await.unwrap();
    wait::until_eq("the request is there", || backend.stats().in_flight(), 1).await;
    connection
}

async fn cancelled_once(backend: &SimulatedBackend) {
    wait::until_eq("the cancellation is counted", || backend.stats().cancelled(), 1).await;
    let stats = backend.stats();
    assert_eq!((stats.in_flight(), stats.running, stats.completed()), (0, 0, 0));
    assert_eq!(stats.operation(Operation::Chat).cancelled, 1);
}

#[tokio::test]
async fn leaving_before_the_first_token_is_noticed_by_fin_and_by_reset() {
    for reset in [false, true] {
        let backend = ollama();
        backend.knobs(|knobs| knobs.ttft_ms = 3_600_000);
        let connection = asking(&backend).await;
        wait::until_eq("it runs", || backend.stats().running, 1).await;
        if reset {
            connection.abort();
        } else {
            drop(connection);
        }
        cancelled_once(&backend).await;
    }
}

#[tokio::test]
async fn leaving_between_two_tokens_is_noticed_while_nothing_is_written() {
    let backend = ollama();
    // The second token would come in an hour.
    backend.knobs(|knobs| knobs.tokens_per_second = 1.0 / 3600.0);
    let mut lines = native_stream(&backend).await.lines();
    lines.expect_next().await;
    lines.into_response().close();
    cancelled_once(&backend).await;
}

#[tokio::test]
async fn leaving_an_endless_fast_stream_ends_it() {
    let backend = ollama();
    backend.knobs(|knobs| {
        knobs.endless = true;
        knobs.frame_bytes = Some(10_000);
    });
    let mut response = native_stream(&backend).await;
    response.next_piece().await;
    response.abort();
    cancelled_once(&backend).await;
}

#[tokio::test]
async fn leaving_the_queue_frees_the_place() {
    let backend = ollama();
    backend.knobs(|knobs| {
        knobs.parallelism = 1;
        knobs.endless = true;
        knobs.tokens_per_second = 200.0;
    });
    let running = native_stream(&backend).await;
    let mut waiting = RawConnection::open(&backend).await.unwrap();
    waiting.send_request(&Request::post("/api/chat").json(&chat_body(true))).await.unwrap();
    wait::until_eq("it waits", || backend.stats().waiting, 1).await;
    waiting.abort();
    wait::until_eq("the cancellation is counted", || backend.stats().cancelled(), 1).await;
    assert_eq!((backend.stats().waiting, backend.stats().running), (0, 1));
    drop(running);
}

#[tokio::test]
async fn leaving_a_hanging_answer_is_a_cancellation() {
    let backend = ollama();
    backend.set_fault(FaultKind::HangBeforeHeaders { for_ms: None });
    let connection = asking(&backend).await;
    connection.abort();
    cancelled_once(&backend).await;
}

#[tokio::test]
async fn leaving_within_the_request_body_is_a_cancellation() {
    let backend = ollama();
    let mut connection = RawConnection::open(&backend).await.unwrap();
    connection
        .send("POST /api/chat HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{\"model\"")
        .await
        .unwrap();
    wait::until_eq("the request is there", || backend.stats().in_flight(), 1).await;
    connection.abort();
    cancelled_once(&backend).await;
}

#[tokio::test]
async fn a_reader_that_stalls_is_not_taken_for_one_that_left() {
    let backend = ollama();
    backend.knobs(|knobs| {
        knobs.endless = true;
        knobs.frame_bytes = Some(100_000);
    });
    let mut connection = RawConnection::open_with_receive_buffer(&backend, 4096).await.unwrap();
    connection.send_request(&Request::post("/api/chat").json(&chat_body(true))).await.unwrap();
    let mut response = connection.response().await.unwrap();
    let read = response
        .read_slowly(1000, std::time::Duration::from_millis(1), std::time::Duration::from_millis(100))
        .await;
    assert!(read > 0);
    assert_eq!((backend.stats().in_flight(), backend.stats().cancelled()), (1, 0));
    response.close();
    cancelled_once(&backend).await;
}
