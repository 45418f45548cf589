//! Each request is counted once, where and how it ended; its times, its tokens, and what was done for it.

use std::collections::BTreeMap;
use std::time::Duration;

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::{Metrics, Node};
use ollamaflow_tests::objects::{backend, frontend};
use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::simulated::{FaultKind, SimConfig, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::json;

use crate::exposition::{growing, told};

/// Words of an answer of default length.
const WORDS: u64 = 22;

/// An Ollama with the model `m`, which serves as many requests at once as come.
pub fn ollama() -> SimulatedBackend {
    SimulatedBackend::start(SimConfig::ollama(["m"]).with_knobs(|knobs| knobs.parallelism = 1000))
}

pub fn chat(stream: bool) -> Request {
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }], "stream": stream });
    Request::post("/api/chat").json(&body)
}

fn embed() -> Request {
    Request::post("/api/embed").json(&json!({ "model": "m", "input": "x" }))
}

pub async fn ask(node: &Node, request: Request) -> u16 {
    request.send(node.addr()).await.collect().await.status()
}

/// Waits until a sum of samples is as expected, and gives what was told then.
pub async fn wait_count(node: &Node, name: &str, labels: &[(&str, &str)], expected: u64) -> Metrics {
    wait::until_answered(&format!("{name}{labels:?} is {expected}"), async || {
        let metrics = node.metrics().await;
        match metrics.count(name, labels) {
            Some(count) if count == expected => Ok(metrics),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

/// A node that knows that its backends have the model.
pub async fn start(setup: Setup, backends: u64) -> Node {
    let node = setup.start().await;
    wait_count(&node, "ollamaflow_backend_models", &[("state", "on_disk")], backends).await;
    node
}

#[tokio::test]
async fn every_request_that_was_sent_is_in_the_sum_of_the_outcomes() {
    let backend = ollama();
    let node = start(Setup::new().frontend("AllowEmbeddings", false).backend(&backend), 1).await;
    for _ in 0..3 {
        assert_eq!(ask(&node, chat(false)).await, 200);
    }
    assert_eq!(ask(&node, chat(true)).await, 200);
    assert_eq!(ask(&node, Request::get("/api/tags")).await, 200);
    assert_eq!(ask(&node, Request::get("/")).await, 200);
    assert_eq!(ask(&node, Request::get("/nothing/here")).await, 404);
    assert_eq!(ask(&node, Request::get("/api/chat")).await, 405);
    assert_eq!(ask(&node, embed()).await, 403);
    backend.set_fault(FaultKind::Error { status: 400, message: "no".to_owned() });
    assert_eq!(ask(&node, chat(false)).await, 400);
    backend.clear_faults();
    backend.set_fault(FaultKind::ResetAfter { frames: 2 });
    assert_eq!(ask(&node, chat(true)).await, 200, "an error frame ends it");
    backend.clear_faults();
    backend.set_fault(FaultKind::HangMidStream { after_frames: 2, for_ms: None });
    let mut left = chat(true).send(node.addr()).await;
    assert!(left.next_piece().await.is_some());
    wait_count(&node, "ollamaflow_requests_in_flight", &[("frontend", "f")], 1).await;
    left.abort();
    let metrics = wait_count(&node, "ollamaflow_requests_total", &[], 12).await;
    let ended = |labels: &[(&str, &str)]| metrics.count("ollamaflow_requests_total", labels);
    let at = |operation, outcome| {
        ended(&[("frontend", "f"), ("backend", "b1"), ("operation", operation), ("outcome", outcome)])
    };
    assert_eq!(at("ollama_chat", "complete"), Some(4));
    assert_eq!(at("ollama_chat", "error"), Some(2));
    assert_eq!(at("ollama_chat", "cancelled"), Some(1));
    let nowhere = [("frontend", "f"), ("backend", ""), ("operation", "ollama_tags"), ("outcome", "complete")];
    assert_eq!(ended(&nowhere), Some(1), "it was answered from what is known");
    let refused = [("frontend", "f"), ("operation", "ollama_embed"), ("outcome", "refused")];
    assert_eq!(ended(&refused), Some(1));
    assert_eq!(ended(&[("operation", ""), ("outcome", "complete")]), Some(1));
    assert_eq!(ended(&[("operation", ""), ("outcome", "refused")]), Some(2));
    // Durations are those of the requests that were let in.
    assert_eq!(metrics.count("ollamaflow_request_duration_seconds_count", &[]), Some(8));
    assert_eq!(metrics.count("ollamaflow_requests_in_flight", &[]), Some(0));
    let attempts = |outcome| metrics.count("ollamaflow_backend_attempts_total", &[("outcome", outcome)]);
    assert_eq!(
        [attempts("complete"), attempts("failed"), attempts("cancelled")],
        [Some(5), Some(1), Some(1)]
    );
}

#[tokio::test]
async fn times_of_a_stream_are_those_that_its_client_sees() {
    let backend = ollama();
    let node = start(Setup::new().backend(&backend), 1).await;
    backend.knobs(|knobs| (knobs.ttft_ms, knobs.tokens_per_second) = (300, 20.0));
    assert_eq!(ask(&node, chat(true)).await, 200);
    assert_eq!(ask(&node, chat(false)).await, 200);
    let metrics = wait_count(&node, "ollamaflow_request_duration_seconds_count", &[], 2).await;
    let of = |name: &str, labels: &[(&str, &str)]| metrics.sum(name, labels).unwrap();
    let route = [("frontend", "f"), ("backend", "b1")];
    let first = of("ollamaflow_time_to_first_token_seconds_sum", &route);
    assert!((0.3..3.0).contains(&first), "{first}");
    let first = metrics.count("ollamaflow_time_to_first_token_seconds_count", &route);
    assert_eq!(first, Some(1), "an answer as a whole has no first token");
    let gaps = metrics.count("ollamaflow_inter_token_gap_seconds_count", &[("backend", "b1")]).unwrap();
    // One less than the words, and one for the end; pieces may be joined on a busy machine.
    assert!((WORDS / 2..=WORDS + 1).contains(&gaps), "{gaps}");
    let pauses = of("ollamaflow_inter_token_gap_seconds_sum", &[("backend", "b1")]);
    assert!((0.9..5.0).contains(&pauses), "{pauses}");
    let durations = [("frontend", "f"), ("operation", "ollama_chat")];
    let durations = of("ollamaflow_request_duration_seconds_sum", &durations);
    assert!((2.0..20.0).contains(&durations) && durations > pauses + 0.3, "{durations}");
}

#[tokio::test]
async fn a_stream_that_goes_on_tells_its_pauses_before_its_end() {
    let backend = ollama();
    let node = start(Setup::new().backend(&backend), 1).await;
    backend.knobs(|knobs| (knobs.endless, knobs.tokens_per_second) = (true, 500.0));
    let mut stream = chat(true).send(node.addr()).await;
    let told = async || node.metrics().await.count("ollamaflow_inter_token_gap_seconds_count", &[]);
    for _ in 0..1_000 {
        assert!(stream.next_piece().await.is_some());
    }
    wait::until_answered("pauses are told", async || match told().await {
        Some(gaps) if gaps >= 64 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    stream.abort();
}

#[tokio::test]
async fn tokens_are_counted_by_the_models_that_backends_have() {
    let backend = SimulatedBackend::start(SimConfig::ollama(["m", "od\"d\\name"]));
    let node = start(Setup::new().frontend("DefaultModel", "m").backend(&backend), 2).await;
    let of = |model: &str| {
        let body =
            json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }], "stream": false });
        Request::post("/api/chat").json(&body)
    };
    for model in ["m", "m:latest", "od\"d\\name"] {
        assert_eq!(ask(&node, of(model)).await, 200, "{model}");
    }
    assert_eq!(ask(&node, of("unheard-of")).await, 404);
    let written = wait_count(
        &node,
        "ollamaflow_tokens_total",
        &[("model", "m:latest"), ("kind", "completion")],
        2 * WORDS,
    )
    .await;
    assert!(written.count("ollamaflow_tokens_total", &[("model", "m:latest"), ("kind", "prompt")]) > Some(0));
    let (_, families) = told(&node).await;
    let models: Vec<_> = families["ollamaflow_tokens"].samples.iter().map(|it| &it.labels["model"]).collect();
    assert!(models.iter().any(|model| model.starts_with("od\"d\\name")), "{models:?}");
    assert!(!models.iter().any(|model| model.contains("unheard")), "{models:?}");
}

#[tokio::test]
async fn waiting_and_being_sent_away_are_counted() {
    let backend = ollama();
    let capped = |own: ollamaflow_tests::objects::Backend| own.set("MaxParallelRequests", 1);
    let setup = Setup::new().frontend("MaxQueueLength", 1).frontend("QueueTimeoutMs", 300);
    let node = start(setup.backend_with(&backend, capped), 1).await;
    backend.set_fault(FaultKind::HangMidStream { after_frames: 2, for_ms: None });
    let mut holding = chat(true).send(node.addr()).await;
    assert!(holding.next_piece().await.is_some());
    let metrics = node.metrics().await;
    assert_eq!(metrics.count("ollamaflow_backend_in_flight", &[("backend", "b1")]), Some(1));
    assert_eq!(metrics.count("ollamaflow_backend_permits", &[("backend", "b1")]), Some(1));
    assert_eq!(metrics.count("ollamaflow_queue_limit", &[("frontend", "f")]), Some(1));
    assert_eq!(metrics.count("ollamaflow_queue_wait_seconds_count", &[("frontend", "f")]), Some(1));
    assert_eq!(metrics.sum("ollamaflow_queue_wait_seconds_sum", &[("frontend", "f")]), Some(0.0));
    let address = node.addr();
    let waiting = tokio::spawn(async move { chat(false).send(address).await.collect().await.status() });
    wait_count(&node, "ollamaflow_queue_length", &[("frontend", "f")], 1).await;
    assert_eq!(ask(&node, chat(false)).await, 503, "the queue is full");
    assert!(waiting.await.unwrap() >= 500, "its time is over");
    holding.abort();
    let metrics = wait_count(&node, "ollamaflow_requests_in_flight", &[], 0).await;
    let denied = |reason| metrics.count("ollamaflow_denied_total", &[("frontend", "f"), ("reason", reason)]);
    assert_eq!([denied("queue_full"), denied("queue_timeout")], [Some(1), Some(1)]);
    assert_eq!([denied("no_backend"), denied("rate_limited")], [Some(0), Some(0)]);
    assert_eq!(metrics.count("ollamaflow_queue_wait_seconds_count", &[("frontend", "f")]), Some(2));
    let waited = metrics.sum("ollamaflow_queue_wait_seconds_sum", &[("frontend", "f")]).unwrap();
    assert!((0.3..3.0).contains(&waited), "{waited}");
}

/// Two backends in tiers of their own.
async fn pair(setup: Setup) -> (SimulatedBackend, SimulatedBackend, Node) {
    let (first, second) = (ollama(), ollama());
    let setup = setup.backend(&first).backend_with(&second, |own| own.set("Priority", 1));
    let node = start(setup, 2).await;
    (first, second, node)
}

#[tokio::test]
async fn a_retry_is_counted_and_the_request_is_of_the_backend_that_answered() {
    let (first, _second, node) = pair(Setup::new()).await;
    first.set_fault(FaultKind::Error {
        status: 500,
        message: "model runner has unexpectedly stopped".to_owned(),
    });
    assert_eq!(ask(&node, chat(false)).await, 200);
    let route = [("backend", "b2"), ("operation", "ollama_chat"), ("outcome", "complete")];
    let metrics = wait_count(&node, "ollamaflow_requests_total", &route, 1).await;
    assert_eq!(metrics.count("ollamaflow_requests_total", &[]), Some(1));
    assert_eq!(metrics.count("ollamaflow_retries_total", &[("frontend", "f")]), Some(1));
    let failed = [("backend", "b1"), ("outcome", "failed")];
    assert_eq!(metrics.count("ollamaflow_backend_attempts_total", &failed), Some(1));
}

#[tokio::test]
async fn a_stream_that_goes_on_elsewhere_is_counted_there() {
    let (first, _second, node) = pair(Setup::new().frontend("ResumeStreams", true)).await;
    first.set_fault(FaultKind::ResetAfter { frames: 5 });
    assert_eq!(ask(&node, chat(true)).await, 200);
    let metrics = wait_count(&node, "ollamaflow_streams_resumed_total", &[("frontend", "f")], 1).await;
    let ended = |backend| {
        metrics.count("ollamaflow_requests_total", &[("backend", backend), ("outcome", "complete")])
    };
    assert_eq!((ended("b1").unwrap_or_default(), ended("b2")), (0, Some(1)));
    assert_eq!(metrics.count("ollamaflow_retries_total", &[]), Some(0), "a resumption is no retry");
}

#[tokio::test]
async fn a_second_request_for_a_slow_embedding_is_counted() {
    let (first, _second, node) = pair(Setup::new().frontend("HedgeEmbeddings", true)).await;
    for _ in 0..25 {
        assert_eq!(ask(&node, embed()).await, 200);
    }
    let before = node.metrics().await.count("ollamaflow_hedges_total", &[("frontend", "f")]).unwrap();
    first.set_fault(FaultKind::HangBeforeHeaders { for_ms: None });
    assert_eq!(ask(&node, embed()).await, 200);
    wait_count(&node, "ollamaflow_hedges_total", &[("frontend", "f")], before + 1).await;
    let route = [("backend", "b2"), ("operation", "ollama_embed"), ("outcome", "complete")];
    assert!(node.metrics().await.count("ollamaflow_requests_total", &route) > Some(0), "of who answered");
}

#[tokio::test]
async fn requests_in_another_api_are_counted_as_translations() {
    let engine = SimulatedBackend::start(SimConfig::openai(["m"]));
    let setup = Setup::new().backend_with(&engine, ollamaflow_tests::objects::Backend::openai);
    let node = start(setup, 1).await;
    assert_eq!(ask(&node, chat(false)).await, 200);
    let native = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
    assert_eq!(ask(&node, Request::post("/v1/chat/completions").json(&native)).await, 200);
    let labels = [("backend", "b1"), ("operation", "ollama_chat")];
    let metrics = wait_count(&node, "ollamaflow_translations_total", &labels, 1).await;
    assert_eq!(metrics.count("ollamaflow_translations_total", &[]), Some(1));
}

/// Whatever clients make up: hosts, paths, methods, models, headers.
async fn storm(node: &Node, from: usize, to: usize) {
    for number in from..to {
        let chat = json!({ "model": format!("made-up-{number}"), "messages": [], "stream": false });
        let requests = [
            Request::post("/api/chat").json(&chat),
            Request::post("/v1/chat/completions").json(&chat),
            Request::get(&format!("/made/up/{number}")),
            Request::get(&format!("/api/made-up-{number}")),
            Request::new("BREW", "/api/chat"),
            Request::get("/api/tags").host(&format!("{number}.made.up")),
            Request::get("/api/tags").header("X-OllamaFlow-Label", &format!("made-up-{number}")),
        ];
        for request in requests {
            request.send(node.addr()).await.collect().await;
        }
    }
}

#[tokio::test]
async fn nothing_that_clients_make_up_becomes_a_series() {
    let backend = ollama();
    let node = Setup::new().frontend("Hostname", "127.0.0.1").backend(&backend).start().await;
    storm(&node, 0, 2).await;
    let (_, before) = told(&node).await;
    storm(&node, 2, 60).await;
    let (metrics, after) = told(&node).await;
    let series = |families: &BTreeMap<String, crate::exposition::Family>| -> Vec<_> {
        let samples = families.values().flat_map(|family| &family.samples);
        samples.map(|sample| (sample.name.clone(), sample.labels.clone())).collect()
    };
    assert_eq!(series(&before), series(&after));
    assert!(!metrics.text().contains("made"), "{}", metrics.text());
}

#[tokio::test]
async fn counters_only_grow() {
    let backend = ollama();
    let node = start(Setup::new().backend(&backend), 1).await;
    let mut before = BTreeMap::new();
    for round in 0..5 {
        backend.clear_faults();
        assert_eq!(ask(&node, chat(round % 2 == 0)).await, 200);
        backend.set_fault(FaultKind::ResetAfter { frames: 1 });
        ask(&node, chat(true)).await;
        let (_, families) = told(&node).await;
        let after = growing(&families);
        for (series, value) in &before {
            assert!(after.get(series).is_some_and(|after| after >= value), "{series:?}: {value} {after:?}");
        }
        before = after;
    }
    assert!(before.len() > 100, "{}", before.len());
}

#[tokio::test]
async fn what_is_removed_is_not_told_any_more() {
    let (first, second) = (ollama(), ollama());
    let node = start(Setup::new().backend(&first).backend(&second), 2).await;
    for _ in 0..4 {
        assert_eq!(ask(&node, chat(true)).await, 200);
    }
    assert!(node.metrics().await.text().contains("b2"));
    node.rewrite_objects([frontend("other").backends(["b1"])], [backend("b1", &first)]).await;
    wait::until_answered("the rest is gone", async || {
        let metrics = node.metrics().await;
        let is_gone = !metrics.text().contains("\"b2\"") && !metrics.text().contains("frontend=\"f\"");
        if is_gone { Ok(()) } else { Err(metrics.text().to_owned()) }
    })
    .await;
    tokio::time::timeout(Duration::from_secs(20), ask(&node, chat(true))).await.unwrap();
    let labels = [("frontend", "other"), ("backend", "b1")];
    wait_count(&node, "ollamaflow_requests_total", &labels, 1).await;
}
