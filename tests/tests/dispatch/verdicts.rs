//! Whose fault a failure was: the client's is passed on at once, a backend's is retried and counted, an unclear one is settled
//! by a second backend, and a busy backend is left alone for a while.

use std::time::{Duration, Instant};

use ollamaflow_tests::client::{Collected, End, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::Backend;
use ollamaflow_tests::simulated::{FaultKind, SimulatedBackend};
use serde_json::{Value, json};

use crate::setup::{Setup, candidate, explain, wait_explained, wait_idle};
use crate::{ask, attempts, backends_of, chat, chat_body, ollama, openai_chat, served_by};

/// A 500 that Ollama gives for a client's fault.
const OPTION_TYPE: &str = "option \"temperature\" must be of type float32";
/// A 500 that Ollama gives when a runner has died.
const RUNNER_FAULT: &str = "model runner has unexpectedly stopped, this may be due to resource limitations";

fn says(status: u16, message: &str) -> FaultKind {
    FaultKind::json(status, &json!({ "error": message }))
}

/// Backends in tiers of their own, so that the order of attempts is known, whose breakers open at the second failure.
async fn ordered<const N: usize>() -> ([SimulatedBackend; N], Node) {
    let backends: [SimulatedBackend; N] = std::array::from_fn(|_| ollama());
    let setup = backends.iter().enumerate().fold(Setup::new(), |setup, (index, backend)| {
        let change = |backend: Backend| {
            backend
                .set("Priority", index)
                .set("CircuitBreakerErrorPercent", 1)
                .set("CircuitBreakerMinimumRequests", 2)
                .set("CircuitBreakerOpenMs", 3_600_000)
        };
        setup.backend_with(backend, change)
    });
    let node = setup.start().await;
    (backends, node)
}

fn received<const N: usize>(backends: &[SimulatedBackend; N]) -> [u64; N] {
    backends.each_ref().map(|backend| backend.stats().received())
}

async fn states<const N: usize>(node: &Node) -> [String; N] {
    wait_idle(node).await;
    let explained = explain(node, &chat_body("m", "x", false)).await;
    std::array::from_fn(|index| {
        let candidate = candidate(&explained, &format!("b{}", index + 1));
        candidate["BreakerState"].as_str().unwrap().to_ascii_lowercase()
    })
}

fn error(answer: &Collected) -> String {
    let body: Value =
        serde_json::from_slice(&answer.body).unwrap_or_else(|e| panic!("{e}: {}", answer.text()));
    body["error"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

#[tokio::test]
async fn a_fault_of_the_client_is_passed_on_without_another_attempt_and_nobody_is_blamed() {
    let (backends, node) = ordered::<2>().await;
    for (index, status) in [400, 401, 403, 413, 422].into_iter().enumerate() {
        let message = format!("it is wrong in way {status}");
        backends[0].set_faults(vec![says(status, &message).into()]);
        let answer = ask(&node, chat(true)).await;
        assert_eq!((answer.status(), attempts(&answer)), (status, 1));
        assert_eq!(error(&answer), message);
        assert_eq!(received(&backends), [index as u64 + 1, 0]);
    }
    assert_eq!(states::<2>(&node).await, ["closed"; 2]);
}

#[tokio::test]
async fn a_500_with_the_same_text_from_two_backends_is_the_clients_and_nobody_is_blamed() {
    let (backends, node) = ordered::<3>().await;
    for backend in &backends {
        backend.set_fault(says(500, OPTION_TYPE));
    }
    for round in 1..=4 {
        let answer = ask(&node, chat(true)).await;
        assert_eq!((answer.status(), attempts(&answer)), (500, 2));
        assert_eq!(error(&answer), OPTION_TYPE);
        assert_eq!(received(&backends), [round, round, 0], "two are enough");
    }
    assert_eq!(states::<3>(&node).await, ["closed"; 3]);
}

#[tokio::test]
async fn a_500_to_which_another_backend_gives_a_good_answer_was_the_first_ones_fault() {
    let (backends, node) = ordered::<2>().await;
    backends[0].set_fault(says(500, "something is wrong here"));
    for _ in 0..2 {
        let answer = ask(&node, chat(true)).await;
        assert_eq!((answer.status(), attempts(&answer), served_by(&answer)), (200, 2, "b2"));
    }
    assert_eq!(states::<2>(&node).await, ["open", "closed"]);
    assert_eq!(attempts(&ask(&node, chat(false)).await), 1);
}

#[tokio::test]
async fn a_500_from_the_only_backend_is_passed_on_in_its_own_words() {
    let (backends, node) = ordered::<1>().await;
    backends[0].set_fault(says(500, OPTION_TYPE));
    let answer = ask(&node, chat(false)).await;
    assert_eq!((answer.status(), error(&answer)), (500, OPTION_TYPE.to_owned()));
}

#[tokio::test]
async fn a_500_of_a_runner_is_the_backends_fault_and_retried() {
    let (backends, node) = ordered::<2>().await;
    backends[0].set_fault(says(500, RUNNER_FAULT));
    for _ in 0..2 {
        let answer = ask(&node, chat(true)).await;
        assert_eq!((answer.status(), attempts(&answer), served_by(&answer)), (200, 2, "b2"));
    }
    assert_eq!(states::<2>(&node).await, ["open", "closed"]);
}

#[tokio::test]
async fn a_runner_fault_from_two_backends_is_the_fault_of_both() {
    let (backends, node) = ordered::<2>().await;
    for backend in &backends {
        backend.set_fault(says(500, RUNNER_FAULT));
    }
    for _ in 0..2 {
        let answer = ask(&node, chat(true)).await;
        assert_eq!((answer.status(), error(&answer)), (500, RUNNER_FAULT.to_owned()));
    }
    assert_eq!(states::<2>(&node).await, ["open"; 2]);
}

#[tokio::test]
async fn a_502_or_504_of_a_backend_is_its_fault_and_retried() {
    for status in [502, 504] {
        let (backends, node) = ordered::<2>().await;
        backends[0].set_fault(FaultKind::status(status));
        for _ in 0..2 {
            assert_eq!(served_by(&ask(&node, chat(false)).await), "b2", "{status}");
        }
        assert_eq!(states::<2>(&node).await, ["open", "closed"], "{status}");
    }
}

#[tokio::test]
async fn a_stream_that_begins_with_the_error_of_a_runner_is_retried() {
    let (backends, node) = ordered::<2>().await;
    backends[0].set_fault(FaultKind::error_frame(0));
    for request in [chat(true), openai_chat(true)] {
        let answer = ask(&node, request).await;
        assert_eq!((answer.status(), served_by(&answer), answer.end), (200, "b2", End::Complete));
        assert!(!answer.text().contains("runner"), "{}", answer.text());
    }
    assert_eq!(states::<2>(&node).await, ["open", "closed"]);
}

#[tokio::test]
async fn a_stream_that_ends_without_its_marker_counts_as_a_failure_of_the_backend() {
    let (backends, node) = ordered::<2>().await;
    backends[0].set_fault(FaultKind::EndWithoutMarker { after_frames: Some(3) });
    for _ in 0..2 {
        assert!(ask(&node, chat(true)).await.text().contains("\"error\""));
    }
    assert_eq!(states::<2>(&node).await, ["open", "closed"]);
}

#[tokio::test]
async fn an_answer_that_is_not_whole_counts_as_a_failure_of_the_backend() {
    let (backends, node) = ordered::<2>().await;
    backends[0].set_fault(FaultKind::TruncatedLength { missing: 40 });
    for _ in 0..2 {
        ask(&node, chat(false)).await;
    }
    assert_eq!(states::<2>(&node).await, ["open", "closed"]);
}

/// `b1` is busy once, in this way; `b2` answers. Gives the node and `b1`.
async fn busy_once(status: u16, retry_after: Option<&str>) -> ([SimulatedBackend; 2], Node) {
    let (backends, node) = ordered::<2>().await;
    let headers = retry_after.map(|value| ("Retry-After".to_owned(), value.to_owned()));
    let busy = FaultKind::Answer {
        status,
        headers: headers.into_iter().collect(),
        body: Some(json!({ "error": "server busy, please try again" }).to_string()),
        body_base64: None,
    };
    backends[0].set_fault(busy.times(1));
    let answer = ask(&node, chat(true)).await;
    assert_eq!((answer.status(), served_by(&answer), attempts(&answer)), (200, "b2", 2));
    (backends, node)
}

#[tokio::test]
async fn a_busy_backend_is_left_alone_for_its_retry_after_and_not_blamed() {
    for status in [429, 503] {
        let (backends, node) = busy_once(status, Some("30")).await;
        assert_eq!(backends_of(&node, 5, || chat(false)).await, ["b2"; 5], "{status}");
        assert_eq!(received(&backends), [1, 6], "{status}");
        let explained = explain(&node, &chat_body("m", "x", false)).await;
        let busy = candidate(&explained, "b1");
        assert!(busy["Reason"].is_string(), "{explained}");
        assert_eq!(states::<2>(&node).await, ["closed"; 2]);
    }
}

#[tokio::test]
async fn without_a_retry_after_a_busy_backend_is_left_alone_for_a_second() {
    let started = Instant::now();
    let (_backends, node) = busy_once(503, None).await;
    wait_explained(&node, &chat_body("m", "x", false), "b1", "Reason", &Value::Null).await;
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(900), "{took:?}");
    assert_eq!(backends_of(&node, 1, || chat(false)).await, ["b1"]);
}

#[tokio::test]
async fn busy_backends_alone_give_the_client_their_own_words() {
    let (backends, node) = ordered::<2>().await;
    for backend in &backends {
        backend.set_fault(says(503, "server busy, please try again.  maximum pending requests exceeded"));
    }
    let answer = ask(&node, chat(false)).await;
    assert_eq!((answer.status(), attempts(&answer)), (503, 2));
    assert!(error(&answer).starts_with("server busy"), "{}", answer.text());
}

#[tokio::test]
async fn a_pull_that_fails_says_nothing_of_the_backend() {
    let backend = ollama();
    backend.knobs(|knobs| knobs.unpullable = vec!["nothing".to_owned()]);
    let node = Setup::new().backend(&backend).start().await;
    for _ in 0..20 {
        let pull = Request::post("/api/pull").json(&json!({ "model": "nothing" }));
        assert!(ask(&node, pull).await.text().contains("\"error\""));
    }
    assert_eq!(states::<1>(&node).await, ["closed"]);
    assert_eq!(ask(&node, chat(false)).await.status(), 200);
}

#[tokio::test]
async fn an_empty_answer_is_a_failure_and_a_long_error_page_is_judged_by_its_status() {
    let long = FaultKind::Answer {
        status: 502,
        headers: vec![],
        body: Some("x".repeat(200_000)),
        body_base64: None,
    };
    let empty =
        FaultKind::Answer { status: 200, headers: vec![], body: Some(String::new()), body_base64: None };
    for fault in [long, empty] {
        let ([one, _two], node) = ordered::<2>().await;
        one.set_fault(fault);
        let answer = ask(&node, chat(false)).await;
        assert_eq!((answer.status(), served_by(&answer)), (200, "b2"), "{}", answer.text().len());
    }
}

#[tokio::test]
async fn busy_is_worth_more_to_a_client_than_no_such_model() {
    let ([one, two], node) = ordered::<2>().await;
    one.set_fault(FaultKind::busy(429, 7));
    two.set_fault(FaultKind::json(404, &json!({ "error": "model 'm' not found" })));
    let answer = ask(&node, chat(false)).await;
    assert_eq!((answer.status(), answer.header("retry-after")), (429, Some("7")), "{}", answer.text());
}
