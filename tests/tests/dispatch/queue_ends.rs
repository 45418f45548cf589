//! The ways out of the queue other than a backend: full, too late, gone, nobody left.

use std::time::{Duration, Instant};

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{FaultKind, SimulatedBackend};
use serde_json::{Value, json};

use crate::setup::{Held, Setup, asking, occupy, queueing, wait_idle, wait_queued};
use crate::{ask, chat, ollama, openai_chat, saying};

/// A node whose only slot is taken, with this much room in its queue.
async fn full(max_queue_length: u32) -> (SimulatedBackend, Node, Vec<Held>) {
    let backend = ollama();
    let node = Setup::new().frontend("MaxQueueLength", max_queue_length).capped(&backend, 1).start().await;
    let held = occupy(&node, &backend, "b1", 1).await;
    (backend, node, held)
}

fn retry_after(answer: &Collected) -> u64 {
    let value = answer.header("retry-after").unwrap_or_else(|| panic!("no Retry-After: {:?}", answer.head));
    value.parse().unwrap_or_else(|e| panic!("Retry-After is whole seconds: {value}: {e}"))
}

fn is_ollama_error(answer: &Collected) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(body["error"].is_string(), "{body}");
}

fn is_openai_error(answer: &Collected) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(body["error"]["message"].is_string(), "{body}");
}

#[tokio::test]
async fn a_full_queue_is_503_with_retry_after_in_the_clients_protocol() {
    let (_backend, node, _held) = full(1).await;
    let waiting = queueing(&node, chat(false), 1).await;
    let answer = ask(&node, chat(true)).await;
    assert_eq!(answer.status(), 503, "{}", answer.text());
    assert!(retry_after(&answer) >= 1);
    is_ollama_error(&answer);
    let answer = ask(&node, openai_chat(true)).await;
    assert_eq!(answer.status(), 503);
    assert!(retry_after(&answer) >= 1);
    is_openai_error(&answer);
    assert!(!waiting.is_finished(), "the one that waits goes on");
    waiting.abort();
}

#[tokio::test]
async fn a_queue_of_length_zero_is_none() {
    let (_backend, node, mut held) = full(0).await;
    let answer = ask(&node, chat(false)).await;
    assert_eq!(answer.status(), 503);
    assert!(retry_after(&answer) >= 1);
    held.pop().unwrap().leave();
    wait_idle(&node).await;
    assert_eq!(ask(&node, chat(false)).await.status(), 200);
}

#[tokio::test]
async fn retry_after_grows_with_the_queue_and_the_measured_service_time() {
    const WAITERS: usize = 12;
    let backend = ollama();
    backend.knobs(|knobs| knobs.ttft_ms = 300);
    let node = Setup::new().frontend("MaxQueueLength", WAITERS).capped(&backend, 1).start().await;
    for _ in 0..2 {
        assert_eq!(ask(&node, chat(false)).await.status(), 200);
    }
    let _held = occupy(&node, &backend, "b1", 1).await;
    let waiting: Vec<_> = (0..WAITERS).map(|_| asking(&node, chat(false))).collect();
    wait_queued(&node, WAITERS as u64).await;
    let refused = ask(&node, chat(false)).await;
    assert_eq!(refused.status(), 503, "{}", refused.text());
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    // Twelve before it, each 0.3 s at one after the other: 4 s, as exactly as rates can be measured from so few.
    let seconds = retry_after(&refused);
    println!("Retry-After is {seconds} s where 4 s are right");
    assert!((2..=10).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn a_wait_longer_than_queue_timeout_ms_is_504() {
    let backend = ollama();
    let node = Setup::new().frontend("QueueTimeoutMs", 300).capped(&backend, 1).start().await;
    let _held = occupy(&node, &backend, "b1", 1).await;
    for (request, check) in
        [(chat(false), is_ollama_error as fn(&Collected)), (openai_chat(true), is_openai_error)]
    {
        let started = Instant::now();
        let answer = ask(&node, request).await;
        assert_eq!(answer.status(), 504, "{}", answer.text());
        assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
        check(&answer);
    }
    wait_queued(&node, 0).await;
    assert_eq!(backend.stats().received(), 1, "the backend never saw them");
}

#[tokio::test]
async fn a_client_that_leaves_is_out_of_the_queue_at_once() {
    let (backend, node, mut held) = full(1).await;
    let leaving = queueing(&node, saying("gone", false), 1).await;
    leaving.abort();
    wait_queued(&node, 0).await;
    let staying = queueing(&node, saying("here", false), 1).await;
    held.pop().unwrap().leave();
    assert_eq!(staying.await.unwrap().status(), 200);
    let texts: Vec<_> = backend
        .requests_to("/api/chat")
        .iter()
        .map(ollamaflow_tests::simulated::ReceivedRequest::text)
        .collect();
    assert!(!texts.iter().any(|text| text.contains("gone")), "{texts:?}");
}

#[tokio::test]
async fn waiters_get_502_at_once_when_their_backend_is_removed() {
    let (backend, node, mut held) = full(10).await;
    let waiting = queueing(&node, chat(false), 1).await;
    let (frontend, _) = Setup::new().objects();
    let started = Instant::now();
    node.rewrite_objects([frontend], []).await;
    let answer = waiting.await.unwrap();
    assert_eq!(answer.status(), 502, "{}", answer.text());
    is_ollama_error(&answer);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(backend.stats().in_flight(), 1, "what ran there goes on");
    held.pop().unwrap().leave();
}

#[tokio::test]
async fn waiters_get_502_when_all_their_backends_have_become_unhealthy() {
    let backend = ollama();
    let node = Setup::new()
        .backend_with(&backend, |backend| backend.set("MaxParallelRequests", 1).set("UnhealthyThreshold", 1))
        .start()
        .await;
    let _held = occupy(&node, &backend, "b1", 1).await;
    let waiting = queueing(&node, chat(false), 1).await;
    backend.set_fault(FaultKind::HealthFails { status: 500 });
    let answer = waiting.await.unwrap();
    assert_eq!(answer.status(), 502, "{}", answer.text());
}

#[tokio::test]
async fn a_label_that_nobody_has_is_502_without_a_wait() {
    let backend = ollama();
    let node = Setup::new().capped(&backend, 1).start().await;
    let started = Instant::now();
    let answer = ask(&node, chat(false).header("X-OllamaFlow-Label", "nobody")).await;
    assert_eq!(answer.status(), 502);
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_body_that_is_still_coming_takes_no_place_in_the_queue() {
    use ollamaflow_tests::client::RawConnection;
    let (_backend, node, mut held) = full(1).await;
    let mut slow = RawConnection::open(node.addr()).await.unwrap();
    slow.send("POST /api/chat HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{\"model\"").await.unwrap();
    let waiting = queueing(&node, chat(false), 1).await;
    held.pop().unwrap().leave();
    assert_eq!(waiting.await.unwrap().status(), 200);
    drop(slow);
    let small = Request::post("/api/embed").json(&json!({ "model": "m", "input": "x" }));
    assert_eq!(ask(&node, small).await.status(), 200);
}

#[tokio::test]
async fn who_cannot_wait_for_the_backend_that_it_prefers_takes_another() {
    let backends: [SimulatedBackend; 2] = std::array::from_fn(|_| ollama());
    let setup = Setup::new().frontend("UseStickySessions", true).frontend("MaxQueueLength", 0);
    let node = backends.iter().fold(setup, |setup, backend| setup.capped(backend, 1)).start().await;
    let first = ask(&node, chat(false)).await;
    let home = first.header("x-ollamaflow-backend").unwrap().to_owned();
    let at = usize::from(home == "b2");
    wait_idle(&node).await;
    let _held = occupy(&node, &backends[at], &home, 1).await;
    let answer = ask(&node, chat(false)).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_ne!(answer.header("x-ollamaflow-backend"), Some(home.as_str()));
}
