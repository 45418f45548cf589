//! Requests that no backend answers: what the client is told, and how many attempts there were.

use ollamaflow_tests::client::{Collected, End, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{FaultKind, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::json;

use crate::{chat, chat_body, ollama, openai_chat, served_by};
use ollamaflow_tests::setup::{Setup, wait_idle};

/// How long the frontends here wait for an answer: enough for backends that do answer, on a busy machine too.
const PATIENCE_MS: u64 = 2000;

const SILENCE: FaultKind = FaultKind::HangBeforeHeaders { for_ms: None };

/// Two backends with these faults.
async fn two(change: impl FnOnce(Setup) -> Setup, faults: [FaultKind; 2]) -> ([SimulatedBackend; 2], Node) {
    let backends: [SimulatedBackend; 2] = std::array::from_fn(|_| ollama());
    let setup = Setup::new().backend(&backends[0]).backend(&backends[1]);
    let node = change(setup).start().await;
    for (backend, fault) in backends.iter().zip(faults) {
        backend.set_fault(fault);
    }
    (backends, node)
}

fn received(backends: &[SimulatedBackend; 2]) -> [u64; 2] {
    backends.each_ref().map(|backend| backend.stats().received())
}

async fn ask(node: &Node, request: Request) -> Collected {
    let answer = request.send(node.addr()).await.collect().await;
    assert_eq!(answer.end, End::Complete);
    wait_idle(node).await;
    answer
}

fn once(setup: Setup) -> Setup {
    retrying(setup).frontend("AllowRetries", false)
}

fn retrying(setup: Setup) -> Setup {
    setup.frontend("TimeoutMs", PATIENCE_MS)
}

#[tokio::test]
async fn without_retries_there_is_exactly_one_attempt() {
    let busy = FaultKind::json(503, &json!({ "error": "busy" }));
    let (backends, node) = two(once, [busy, FaultKind::status(500)]).await;
    let answer = ask(&node, chat(true)).await;
    assert_eq!((answer.status(), answer.json()), (503, json!({ "error": "busy" })));
    assert_eq!((served_by(&answer), received(&backends)), ("b1", [1, 0]));
}

#[tokio::test]
async fn without_retries_a_refused_connection_is_a_502_and_silence_a_504() {
    for (fault, status) in [(FaultKind::refuse(), 502), (SILENCE, 504)] {
        let (backends, node) = two(once, [fault, FaultKind::status(500)]).await;
        assert_eq!(ask(&node, chat(true)).await.status(), status);
        assert_eq!(received(&backends)[1], 0);
    }
}

#[tokio::test]
async fn without_retries_a_healthy_backend_still_answers() {
    let (backends, node) = two(once, [FaultKind::Coalesce, FaultKind::Coalesce]).await;
    for _ in 0..4 {
        assert_eq!(ask(&node, chat(false)).await.status(), 200);
    }
    assert_eq!(received(&backends), [2, 2]);
}

#[tokio::test]
async fn when_all_refuse_the_client_gets_a_502_in_its_protocol() {
    let (_backends, node) = two(retrying, [FaultKind::refuse(), FaultKind::refuse()]).await;
    let answer = ask(&node, chat(true)).await;
    assert_eq!(answer.status(), 502);
    assert!(answer.json()["error"].as_str().unwrap().contains("could not be reached"), "{}", answer.text());
    let answer = ask(&node, openai_chat(true)).await;
    assert_eq!((answer.status(), &answer.json()["error"]["type"]), (502, &json!("api_error")));
    let answer = ask(&node, Request::post("/v1/messages").json(&chat_body(true))).await;
    assert_eq!((answer.status(), &answer.json()["type"]), (502, &json!("error")));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.header("x-ollamaflow-request").is_some(), "an error has an id too");
}

#[tokio::test]
async fn when_all_break_off_before_the_answer_the_client_gets_a_502() {
    let close = FaultKind::CloseBeforeHeaders { by: ollamaflow_tests::simulated::EndBy::Reset };
    let (backends, node) = two(retrying, [close.clone(), close]).await;
    assert_eq!(ask(&node, chat(false)).await.status(), 502);
    assert_eq!(received(&backends), [1, 1]);
    let death = FaultKind::ResetAfter { frames: 0 };
    let (backends, node) = two(retrying, [death.clone(), death]).await;
    assert_eq!(ask(&node, chat(true)).await.status(), 502);
    assert_eq!(received(&backends), [1, 1]);
}

#[tokio::test]
async fn when_all_keep_silent_the_client_gets_a_504_that_tells_how_long() {
    let (backends, node) = two(retrying, [SILENCE, SILENCE]).await;
    let answer = ask(&node, chat(false)).await;
    assert_eq!((answer.status(), received(&backends)), (504, [1, 1]));
    assert!(answer.json()["error"].as_str().unwrap().contains("2000 ms"), "{}", answer.text());
    let cancelled = || backends.each_ref().map(|backend| backend.stats().cancelled());
    wait::until_eq("both attempts were cancelled", cancelled, [1, 1]).await;
}

#[tokio::test]
async fn when_all_are_busy_the_last_ones_own_words_are_relayed() {
    let words = |text: &str| FaultKind::json(503, &json!({ "error": text }));
    let (backends, node) = two(retrying, [words("one"), words("two")]).await;
    let answer = ask(&node, chat(false)).await;
    assert_eq!((answer.status(), answer.json()), (503, json!({ "error": "two" })));
    assert_eq!((served_by(&answer), received(&backends)), ("b2", [1, 1]));
}

#[tokio::test]
async fn a_busy_backends_own_words_are_worth_more_than_another_ones_silence() {
    let words = || FaultKind::json(503, &json!({ "error": "busy" }));
    for (faults, backend) in [
        ([words(), FaultKind::refuse()], "b1"),
        ([FaultKind::refuse(), words()], "b2"),
        ([words(), SILENCE], "b1"),
    ] {
        let (_backends, node) = two(retrying, faults).await;
        let answer = ask(&node, chat(false)).await;
        assert_eq!((answer.status(), answer.json()), (503, json!({ "error": "busy" })));
        assert_eq!(served_by(&answer), backend);
    }
}

#[tokio::test]
async fn other_errors_are_answers_and_are_not_retried() {
    for status in [400, 401, 413, 501] {
        let (backends, node) = two(retrying, [FaultKind::status(status), FaultKind::status(502)]).await;
        assert_eq!(ask(&node, chat(true)).await.status(), status);
        assert_eq!(received(&backends), [1, 0]);
    }
}
