//! What an answer tells of its way: `X-OllamaFlow-Backend`, `-Attempts`, `-Queue-Ms`, `-Decision`.

use ollamaflow_tests::client;
use ollamaflow_tests::simulated::{EndBy, FaultKind};

use crate::setup::{POLICIES, Setup, occupy, queueing};
use crate::{ask, attempts, chat, decision, embed, ollama, openai_chat, queue_ms, served_by};

#[tokio::test]
async fn an_answer_at_the_first_attempt_without_a_wait_says_so() {
    let backend = ollama();
    let node = Setup::new().backend(&backend).start().await;
    for request in [chat(true), chat(false), openai_chat(true), embed(), client::Request::get("/api/echo/x")]
    {
        let answer = ask(&node, request).await;
        assert_eq!((answer.status(), served_by(&answer)), (200, "b1"));
        assert_eq!((attempts(&answer), queue_ms(&answer)), (1, 0));
        assert!(decision(&answer).starts_with("RoundRobin"), "{}", decision(&answer));
    }
}

#[tokio::test]
async fn the_decision_names_the_policy() {
    let backend = ollama();
    let setup = Setup::new().backend(&backend);
    let frontends = setup.one_for_each_policy();
    let node = setup.start_with(frontends).await;
    for policy in POLICIES {
        let answer = ask(&node, chat(false).host(policy)).await;
        assert_eq!(decision(&answer).split(';').next(), Some(policy), "{}", decision(&answer));
    }
}

#[tokio::test]
async fn attempts_are_counted() {
    let (one, two) = (ollama(), ollama());
    let node =
        Setup::new().backend(&one).backend_with(&two, |backend| backend.set("Priority", 1)).start().await;
    one.set_fault(FaultKind::CloseBeforeHeaders { by: EndBy::Fin });
    let answer = ask(&node, chat(true)).await;
    assert_eq!((served_by(&answer), attempts(&answer)), ("b2", 2));
}

#[tokio::test]
async fn the_time_in_the_queue_is_told_in_milliseconds() {
    const WAIT: std::time::Duration = std::time::Duration::from_millis(250);
    let backend = ollama();
    let node = Setup::new().capped(&backend, 1).start().await;
    let mut held = occupy(&node, &backend, "b1", 1).await;
    let waiting = queueing(&node, chat(false), 1).await;
    tokio::time::sleep(WAIT).await;
    held.pop().unwrap().leave();
    let told = queue_ms(&waiting.await.unwrap());
    assert!((250..5000).contains(&told), "{told}");
}

#[tokio::test]
async fn errors_after_the_routing_carry_them_too() {
    let (one, two) = (ollama(), ollama());
    let node = Setup::new().backend(&one).backend(&two).start().await;
    for backend in [&one, &two] {
        backend.set_fault(FaultKind::CloseBeforeHeaders { by: EndBy::Reset });
    }
    let answer = ask(&node, chat(true)).await;
    assert_eq!((answer.status(), attempts(&answer), queue_ms(&answer)), (502, 2, 0));
}

#[tokio::test]
async fn a_backend_cannot_forge_them() {
    let backend = ollama();
    backend.knobs(|knobs| {
        knobs.add_header("X-OllamaFlow-Attempts", "77");
        knobs.add_header("X-OllamaFlow-Queue-Ms", "77");
        knobs.add_header("X-OllamaFlow-Decision", "Forged");
    });
    let node = Setup::new().backend(&backend).start().await;
    let answer = ask(&node, chat(false)).await;
    for name in ["x-ollamaflow-attempts", "x-ollamaflow-queue-ms", "x-ollamaflow-decision"] {
        assert_eq!(answer.head.headers_named(name).len(), 1, "{name}: {:?}", answer.head);
    }
    assert_eq!((attempts(&answer), queue_ms(&answer)), (1, 0));
    assert!(decision(&answer).starts_with("RoundRobin"));
}
