//! `HedgeEmbeddings`: an embedding slower than 95 % of them gets a second chance at another backend.

use std::time::{Duration, Instant};

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{FaultKind, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::setup::{Setup, asking, wait_idle};
use crate::{ask, attempts, chat, embed, ollama, served_by};

/// How many durations a frontend must have seen, and some more.
const SAMPLES: usize = 25;

/// Two backends in tiers of their own, and a frontend that knows how long embeddings take.
async fn practised(hedges: bool) -> (SimulatedBackend, SimulatedBackend, Node) {
    let (first, second) = (ollama(), ollama());
    let node = Setup::new()
        .frontend("HedgeEmbeddings", hedges)
        .backend(&first)
        .backend_with(&second, |backend| backend.set("Priority", 1))
        .start()
        .await;
    first.knobs(|knobs| knobs.ttft_ms = 5);
    for _ in 0..SAMPLES {
        assert_eq!(ask(&node, embed()).await.status(), 200);
    }
    wait_idle(&node).await;
    // What was hedged meanwhile, on a busy machine, is not counted.
    for backend in [&first, &second] {
        wait::until_eq("it is idle", || backend.stats().in_flight(), 0).await;
        backend.reset();
    }
    (first, second, node)
}

fn hangs() -> FaultKind {
    FaultKind::HangBeforeHeaders { for_ms: None }
}

#[tokio::test]
async fn a_slow_embedding_is_asked_for_again_elsewhere_and_the_first_answer_wins() {
    let (first, second, node) = practised(true).await;
    first.set_fault(hangs());
    let v1 = Request::post("/v1/embeddings").json(&json!({ "model": "m", "input": "x" }));
    for (index, request) in [embed(), v1].into_iter().enumerate() {
        let started = Instant::now();
        let answer = ask(&node, request).await;
        assert_eq!((answer.status(), served_by(&answer), attempts(&answer)), (200, "b2", 2));
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(body["embeddings"].is_array() || body["data"].is_array(), "{body}");
        let cancelled = index as u64 + 1;
        wait::until_eq("the loser is cancelled", || first.stats().cancelled(), cancelled).await;
    }
    assert_eq!(second.stats().received(), 2);
    wait_idle(&node).await;
}

#[tokio::test]
async fn the_first_one_wins_when_it_answers_before_the_second() {
    let (first, second, node) = practised(true).await;
    first.knobs(|knobs| knobs.ttft_ms = 400);
    second.set_fault(hangs());
    let answer = ask(&node, embed()).await;
    assert_eq!((answer.status(), served_by(&answer)), (200, "b1"));
    wait::until_eq("the loser is cancelled", || second.stats().cancelled(), 1).await;
    wait_idle(&node).await;
}

#[tokio::test]
async fn an_embedding_of_the_usual_speed_is_asked_for_once() {
    let (first, second, node) = practised(true).await;
    for _ in 0..10 {
        assert_eq!(ask(&node, embed()).await.status(), 200);
    }
    let hedged = second.stats().received();
    assert!(hedged <= 3, "{hedged} of 10");
    assert_eq!(first.stats().received(), 10);
}

#[tokio::test]
async fn without_hedge_embeddings_a_slow_one_is_waited_for() {
    let (first, second, node) = practised(false).await;
    first.knobs(|knobs| knobs.ttft_ms = 400);
    let answer = ask(&node, embed()).await;
    assert_eq!((served_by(&answer), attempts(&answer)), ("b1", 1));
    assert_eq!(second.stats().received(), 0);
}

#[tokio::test]
async fn chats_are_not_hedged() {
    let (first, second, node) = practised(true).await;
    first.knobs(|knobs| knobs.ttft_ms = 400);
    let answer = ask(&node, chat(false)).await;
    assert_eq!((served_by(&answer), attempts(&answer)), ("b1", 1));
    assert_eq!(second.stats().received(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_cancels_both() {
    let (first, second, node) = practised(true).await;
    first.set_fault(hangs());
    second.set_fault(hangs());
    let asked = asking(&node, embed());
    wait::until_eq("both work", || (first.stats().in_flight(), second.stats().in_flight()), (1, 1)).await;
    asked.abort();
    wait::until_eq("both are cancelled", || (first.stats().in_flight(), second.stats().in_flight()), (0, 0))
        .await;
    wait_idle(&node).await;
}

#[tokio::test]
async fn hedges_are_retries_to_the_budget_and_to_the_limits_of_attempts() {
    for (property, value) in
        [("RetryBudgetPercent", json!(0)), ("AllowRetries", json!(false)), ("MaxAttempts", json!(1))]
    {
        let (first, second) = (ollama(), ollama());
        let node = Setup::new()
            .frontend("HedgeEmbeddings", true)
            .frontend(property, value)
            .backend(&first)
            .backend_with(&second, |backend| backend.set("Priority", 1))
            .start()
            .await;
        for _ in 0..SAMPLES {
            ask(&node, embed()).await;
        }
        first.knobs(|knobs| knobs.ttft_ms = 400);
        assert_eq!(served_by(&ask(&node, embed()).await), "b1", "{property}");
        assert_eq!(second.stats().received(), 0, "{property}");
    }
}
