//! How often and how long another backend is tried: before the first content byte, `MaxAttempts`, the budget of the frontend,
//! `AllowRetries`; and what the client gets when none is left.

use std::time::Instant;

use ollamaflow_tests::client::{self, End};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::Backend;
use ollamaflow_tests::simulated::{EndBy, FaultKind, SimulatedBackend};
use serde_json::{Value, json};

use crate::scripted::ScriptedBackend;
use crate::setup::{Setup, asking, wait_idle};
use crate::{ask, attempts, chat, ollama, openai_chat, served_by, vllm, whole_text};

fn dies() -> FaultKind {
    FaultKind::CloseBeforeHeaders { by: EndBy::Reset }
}

/// Backends in tiers of their own, so that the order of attempts is known.
fn in_order(setup: Setup, backends: &[SimulatedBackend]) -> Setup {
    backends.iter().enumerate().fold(setup, |setup, (index, backend)| {
        setup.backend_with(backend, |backend| backend.set("Priority", index))
    })
}

fn total(backends: &[SimulatedBackend]) -> u64 {
    backends.iter().map(|backend| backend.stats().received()).sum()
}

#[tokio::test]
async fn a_role_only_first_chunk_is_held_back_and_another_backend_answers() {
    let (first, second) = (vllm(), vllm());
    let node = Setup::new()
        .backend_with(&first, Backend::openai)
        .backend_with(&second, |backend| backend.openai().set("Priority", 1))
        .start()
        .await;
    first.set_fault(FaultKind::ResetAfter { frames: 1 });
    let response = openai_chat(true).send(node.addr()).await;
    assert_eq!((response.status(), response.header("x-ollamaflow-backend")), (200, Some("b2")));
    let (events, end) = response.events().collect().await;
    assert!(events.last().unwrap().is_done() && end == End::Complete, "{events:?}");
    let deltas: Vec<Value> = events
        .iter()
        .filter(|event| !event.is_done())
        .map(|event| event.json()["choices"][0]["delta"].clone())
        .collect();
    assert_eq!(deltas.iter().filter(|delta| delta["role"].is_string()).count(), 1, "{deltas:?}");
    let text: String = deltas.iter().filter_map(|delta| delta["content"].as_str()).collect();
    assert_eq!(text, whole_text());
    assert_eq!((first.stats().received(), second.stats().received()), (1, 1));
}

/// Two backends whose bytes the test sends, in tiers of their own.
async fn scripted_pair() -> (ScriptedBackend, ScriptedBackend, Node) {
    let (first, second) = (ScriptedBackend::start(), ScriptedBackend::start());
    let setup = Setup::new().backend(&first).backend_with(&second, |backend| backend.set("Priority", 1));
    let node = setup.start().await;
    (first, second, node)
}

fn stream_head(content_type: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n")
}

#[tokio::test]
async fn an_empty_first_chunk_of_ollama_is_held_back_and_another_backend_answers() {
    let (mut first, mut second, node) = scripted_pair().await;
    let asked = asking(&node, chat(true));
    let mut conversation = first.next().await;
    conversation.send(stream_head("application/x-ndjson")).await;
    let frame = |at: &str, content: &str, done: bool| {
        let message = json!({ "role": "assistant", "content": content });
        format!("{}\n", json!({ "model": "m", "created_at": at, "message": message, "done": done }))
    };
    conversation.chunk(frame("2026-01-01T00:00:01Z", "", false)).await;
    conversation.reset();
    let mut conversation = second.next().await;
    conversation.send(stream_head("application/x-ndjson")).await;
    let whole = [frame("2026-01-01T00:00:02Z", "hi", false), frame("2026-01-01T00:00:03Z", "", true)];
    for frame in &whole {
        conversation.chunk(frame).await;
    }
    conversation.send("0\r\n\r\n").await;
    let answer = asked.await.unwrap();
    assert_eq!((answer.status(), served_by(&answer), attempts(&answer)), (200, "b2", 2));
    assert_eq!(answer.text(), whole.concat());
}

#[tokio::test]
async fn what_is_held_back_is_sent_when_the_content_comes() {
    let (mut first, _second, node) = scripted_pair().await;
    let asked = asking(&node, openai_chat(true));
    // A backend that speaks Ollama's API speaks this one too.
    let mut conversation = first.next().await;
    conversation.send(stream_head("text/event-stream")).await;
    let frames = [
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
        "data: [DONE]\n\n",
    ];
    for frame in frames {
        conversation.chunk(frame).await;
    }
    conversation.send("0\r\n\r\n").await;
    let answer = asked.await.unwrap();
    assert_eq!((answer.text(), attempts(&answer)), (frames.concat(), 1), "byte for byte");
}

#[tokio::test]
async fn no_more_than_max_attempts_are_made() {
    for maximum in [1, 2, 3] {
        let backends: [SimulatedBackend; 5] = std::array::from_fn(|_| ollama());
        let node = in_order(Setup::new().frontend("MaxAttempts", maximum), &backends).start().await;
        for backend in &backends {
            backend.set_fault(dies());
        }
        let answer = ask(&node, chat(true)).await;
        assert_eq!((answer.status(), attempts(&answer)), (502, maximum));
        assert_eq!(total(&backends), maximum);
        wait_idle(&node).await;
    }
}

#[tokio::test]
async fn without_allow_retries_one_attempt_is_made() {
    let backends: [SimulatedBackend; 2] = std::array::from_fn(|_| ollama());
    let node = in_order(Setup::new().frontend("AllowRetries", false), &backends).start().await;
    for fault in [dies(), FaultKind::status(503), FaultKind::json(500, &json!({ "error": "x" }))] {
        backends[0].set_faults(vec![fault.into()]);
        let answer = ask(&node, chat(false)).await;
        assert!(answer.status() >= 500 && attempts(&answer) == 1, "{:?}", answer.head);
        // Busy backends are left alone for a while, which is not the subject here.
        if answer.status() == 503 {
            break;
        }
    }
    assert_eq!(backends[1].stats().received(), 0);
}

#[tokio::test]
async fn a_retry_budget_of_zero_percent_is_none() {
    let backends: [SimulatedBackend; 2] = std::array::from_fn(|_| ollama());
    let node = in_order(Setup::new().frontend("RetryBudgetPercent", 0), &backends).start().await;
    backends[0].set_fault(dies());
    let answer = ask(&node, chat(false)).await;
    assert_eq!((answer.status(), attempts(&answer)), (502, 1));
    assert_eq!(backends[1].stats().received(), 0);
}

#[tokio::test]
async fn an_outage_is_not_amplified_beyond_the_retry_budget() {
    const REQUESTS: u64 = 1_600;
    let backends: [SimulatedBackend; 3] = std::array::from_fn(|_| ollama());
    let node = backends.iter().fold(Setup::new(), Setup::backend).start().await;
    for backend in &backends {
        backend.set_fault(dies());
    }
    let started = Instant::now();
    let address = node.addr();
    for _ in 0..8 {
        let failed = client::many(usize::try_from(REQUESTS / 8).unwrap(), move |_| async move {
            chat(false).send(address).await.collect().await.status() == 502
        });
        assert!(failed.await.into_iter().all(|failed| failed));
    }
    let retries = total(&backends) - REQUESTS;
    let seconds = started.elapsed().as_secs() + 1;
    // A tenth of the requests and ten a second, and what is saved up at the start.
    let allowed = REQUESTS / 10 + 10 * (seconds + 1) + 100;
    println!("{retries} retries of {REQUESTS} failing requests in {seconds} s, {allowed} allowed");
    assert!(retries >= 10, "some are made: {retries}");
    assert!(retries <= allowed, "{retries} retries, {allowed} allowed");
}

#[tokio::test]
async fn the_budget_of_one_frontend_is_not_spent_by_another() {
    let backends: [SimulatedBackend; 2] = std::array::from_fn(|_| ollama());
    let setup = in_order(Setup::new(), &backends);
    let (frontend, _) = setup.objects();
    let named = |host: &str| frontend.clone().set("Identifier", host).hostname(host);
    let node: Node = setup.start_with([named("one"), named("two")]).await;
    for backend in &backends {
        backend.set_fault(dies());
    }
    for _ in 0..60 {
        assert_eq!(ask(&node, chat(false).host("one")).await.status(), 502);
    }
    backends[1].clear_faults();
    for _ in 0..3 {
        let answer = ask(&node, chat(false).host("two")).await;
        assert_eq!((answer.status(), served_by(&answer)), (200, "b2"));
    }
}

#[tokio::test]
async fn the_best_answer_so_far_is_what_the_client_gets_when_no_attempt_is_left() {
    let words = FaultKind::json(503, &json!({ "error": "b's own words" }));
    for faults in [[words.clone(), dies()], [dies(), words]] {
        let backends: [SimulatedBackend; 2] = std::array::from_fn(|_| ollama());
        let node = in_order(Setup::new(), &backends).start().await;
        for (backend, fault) in backends.iter().zip(faults) {
            backend.set_fault(fault);
        }
        let answer = ask(&node, chat(false)).await;
        assert_eq!((answer.status(), attempts(&answer)), (503, 2), "{}", answer.text());
        assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap()["error"], "b's own words");
    }
}

#[tokio::test]
async fn a_retry_waits_for_a_slot_like_any_other_request() {
    let (first, second) = (ollama(), ollama());
    let node = Setup::new()
        .backend(&first)
        .backend_with(&second, |backend| backend.set("Priority", 1).set("MaxParallelRequests", 1))
        .start()
        .await;
    first.set_fault(dies());
    let mut held = crate::setup::occupy(&node, &second, "b2", 1).await;
    let asked = asking(&node, chat(false));
    crate::setup::wait_queued(&node, 1).await;
    held.pop().unwrap().leave();
    let answer = asked.await.unwrap();
    assert_eq!((answer.status(), served_by(&answer)), (200, "b2"));
    assert_eq!(second.stats().inference.in_flight_max, 1);
}
