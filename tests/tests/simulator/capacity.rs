//! How much is served at once.

use ollamaflow_tests::client;
use ollamaflow_tests::simulated::Operation;
use ollamaflow_tests::wait;
use serde_json::json;

use crate::{native_chat, native_stream, ollama};

#[tokio::test]
async fn more_than_parallelism_waits_and_is_served_in_turn() {
    let backend = ollama();
    backend.knobs(|knobs| {
        knobs.parallelism = 2;
        knobs.endless = true;
        knobs.tokens_per_second = 200.0;
    });
    let first = native_stream(&backend).await;
    let second = native_stream(&backend).await;
    let address = backend.address();
    let third = tokio::spawn(async move {
        let body = json!({ "model": "m", "prompt": "x", "options": { "num_predict": 1 } });
        client::post_json(address, "/api/generate", &body).await.collect().await
    });
    wait::until_eq("the third waits", || backend.stats().waiting, 1).await;
    assert_eq!((backend.stats().running, backend.stats().in_flight()), (2, 3));
    first.abort();
    assert_eq!(third.await.unwrap().status(), 200);
    second.abort();
    wait::until_eq("nothing is in flight", || backend.stats().in_flight(), 0).await;
    let stats = backend.stats();
    assert_eq!((stats.running_max, stats.inference.in_flight_max), (2, 3));
    assert_eq!((stats.cancelled(), stats.completed()), (2, 1));
}

#[tokio::test]
async fn a_full_queue_is_a_503() {
    let backend = ollama();
    backend.knobs(|knobs| {
        knobs.parallelism = 1;
        knobs.max_queue = 1;
        knobs.endless = true;
        knobs.tokens_per_second = 200.0;
    });
    let _running = native_stream(&backend).await;
    let address = backend.address();
    let body = json!({ "model": "m", "messages": [{}] });
    let waiting = tokio::spawn({
        let body = body.clone();
        async move { client::post_json(address, "/api/chat", &body).await.status() }
    });
    wait::until_eq("one waits", || backend.stats().waiting, 1).await;
    let answer = client::post_json(&backend, "/api/chat", &body).await.collect().await;
    let message = "server busy, please try again.  maximum pending requests exceeded";
    assert_eq!((answer.status(), answer.json()), (503, json!({ "error": message })));
    assert_eq!(backend.stats().waiting, 1);
    backend.knobs(|knobs| knobs.parallelism = 2);
    assert_eq!(waiting.await.unwrap(), 200);
}

#[tokio::test]
async fn waiting_requests_are_served_in_order_of_arrival() {
    let backend = ollama();
    backend.knobs(|knobs| {
        knobs.parallelism = 1;
        knobs.endless = true;
        knobs.tokens_per_second = 200.0;
    });
    let running = native_stream(&backend).await;
    let (report, mut finished) = tokio::sync::mpsc::channel(8);
    for number in 0..4_u64 {
        let (address, report) = (backend.address(), report.clone());
        tokio::spawn(async move {
            let body = json!({ "model": "m", "prompt": "x", "options": { "num_predict": 1 } });
            client::post_json(address, "/api/generate", &body).await.collect().await;
            report.send(number).await.unwrap();
        });
        wait::until_eq("it waits", || backend.stats().waiting, number + 1).await;
    }
    running.abort();
    let mut order = Vec::new();
    while order.len() < 4 {
        order.push(finished.recv().await.unwrap());
    }
    assert_eq!(order, [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_hundred_streams_at_once_are_all_complete() {
    let backend = ollama();
    backend.knobs(|knobs| knobs.parallelism = 100);
    let address = backend.address();
    let lengths = client::many(100, move |_| async move {
        let body = json!({ "model": "m", "prompt": "x" });
        client::post_json(address, "/api/generate", &body).await.lines().collect().await.0.len()
    })
    .await;
    assert_eq!(lengths, vec![23; 100]);
    wait::until_eq("all are counted", || backend.stats().operation(Operation::Generate).completed, 100).await;
}

#[tokio::test]
async fn frames_have_the_size_asked_for() {
    let backend = ollama();
    backend.knobs(|knobs| {
        knobs.frame_bytes = Some(100_000);
        knobs.tokens = 5;
    });
    let (lines, _) = native_stream(&backend).await.lines().collect().await;
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[4].json()["message"]["content"].as_str().map(str::len), Some(100_000));
    assert_eq!(
        native_chat(&backend).await.json()["message"]["content"].as_str().map(str::len),
        Some(500_000)
    );
}
