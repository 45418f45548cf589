//! `ModelAffinity`: a backend that has the model in memory with the same runner options, then one that has it on disk; and a
//! short wait for a warm one rather than loading it elsewhere.

use std::time::{Duration, Instant};

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{FaultKind, SimulatedBackend};
use serde_json::{Value, json};

use crate::scripted::ScriptedBackend;
use crate::setup::{Setup, asking, occupy, wait_active, wait_explained, wait_models};
use crate::{
    ask, at, backends_of, chat, chat_body, chat_with, decision, ollama, ollama_having, queue_ms, served_by,
};

/// Loading takes so long that a test which must not load notices.
const LOAD_MS: u64 = 700;

fn with_context(length: u64) -> Request {
    Request::post("/api/chat").json(&with_context_body(length))
}

fn with_context_body(length: u64) -> Value {
    let mut body = chat_body("m", "hello", false);
    body["options"] = json!({ "num_ctx": length });
    body
}

/// Makes a backend load the model behind the node's back, and waits until the node has seen it.
async fn warm(node: &Node, backend: &SimulatedBackend, name: &str) {
    assert_eq!(chat(false).send(backend).await.status(), 200);
    wait_explained(node, &chat_body("m", "x", false), name, "Loaded", &json!(true)).await;
}

#[tokio::test]
async fn model_affinity_prefers_the_backend_that_has_the_model_in_memory() {
    let (cold, warm_one) = (ollama(), ollama());
    let node = Setup::balanced("ModelAffinity").backend(&cold).backend(&warm_one).start().await;
    wait_models(&node, "m", &[("b1", true), ("b2", true)]).await;
    warm(&node, &warm_one, "b2").await;
    for _ in 0..5 {
        let answer = ask(&node, chat(false)).await;
        assert_eq!((answer.status(), served_by(&answer)), (200, "b2"));
        assert_eq!(decision(&answer), "ModelAffinity; loaded");
    }
    assert_eq!((cold.stats().loads, warm_one.stats().loads), (0, 1));
}

#[tokio::test]
async fn then_one_that_has_it_on_disk() {
    let (unknown, on_disk) = (ScriptedBackend::start(), ollama());
    let node = Setup::balanced("ModelAffinity").backend(&unknown).backend(&on_disk).start().await;
    wait_models(&node, "m", &[("b2", true)]).await;
    let answer = ask(&node, chat(false)).await;
    assert_eq!((answer.status(), served_by(&answer)), (200, "b2"));
    assert_eq!(decision(&answer), "ModelAffinity; on disk");
}

#[tokio::test]
async fn in_memory_counts_with_the_same_runner_options_only() {
    let (small, large) = (ollama(), ollama());
    let node = Setup::balanced("ModelAffinity").backend(&small).backend(&large).start().await;
    wait_models(&node, "m", &[("b1", true), ("b2", true)]).await;
    assert_eq!(ask(&node, at("b1", with_context(2048))).await.status(), 200);
    assert_eq!(ask(&node, at("b2", with_context(8192))).await.status(), 200);
    wait_explained(&node, &with_context_body(2048), "b1", "Loaded", &json!(true)).await;
    wait_explained(&node, &with_context_body(8192), "b2", "Loaded", &json!(true)).await;
    for _ in 0..4 {
        assert_eq!(served_by(&ask(&node, with_context(8192)).await), "b2");
        assert_eq!(served_by(&ask(&node, with_context(2048)).await), "b1");
    }
    assert_eq!((small.stats().reloads, large.stats().reloads), (0, 0));
}

#[tokio::test]
async fn several_models_settle_on_the_backends_that_have_them() {
    let models = ["m1", "m2", "m3", "m4"];
    let backends = [ollama_having(&models), ollama_having(&models)];
    for backend in &backends {
        backend.knobs(|knobs| knobs.max_loaded_models = 2);
    }
    let [one, two] = &backends;
    let node = Setup::balanced("ModelAffinity").backend(one).backend(two).start().await;
    wait_models(&node, "m1", &[("b1", true), ("b2", true)]).await;
    for model in models {
        assert_eq!(ask(&node, chat_with(model)).await.status(), 200);
    }
    for round in 0..5 {
        for model in models {
            let answer = ask(&node, chat_with(model)).await;
            assert_eq!(answer.status(), 200, "round {round}");
        }
    }
    let loads = one.stats().loads + two.stats().loads;
    println!("{loads} loads of 4 models with room for 2 on each of 2 backends, 24 requests");
    assert!(loads <= 8, "{loads} loads");
}

#[tokio::test]
async fn a_short_wait_for_a_warm_backend_beats_loading_the_model_elsewhere() {
    let (warm_one, cold) = (ollama(), ollama());
    let node = Setup::balanced("ModelAffinity").capped(&warm_one, 1).capped(&cold, 1).start().await;
    wait_models(&node, "m", &[("b1", true), ("b2", true)]).await;
    warm(&node, &warm_one, "b1").await;
    cold.knobs(|knobs| knobs.load_ms = LOAD_MS);
    warm_one.knobs(|knobs| knobs.ttft_ms = 200);
    let first = asking(&node, chat(false));
    wait_active(&node, &[1, 0]).await;
    let second = ask(&node, chat(false)).await;
    assert_eq!((second.status(), served_by(&second)), (200, "b1"));
    assert!(queue_ms(&second) > 0, "{:?}", second.head);
    assert_eq!(first.await.unwrap().status(), 200);
    assert_eq!(cold.stats().loads, 0);
}

#[tokio::test]
async fn the_wait_for_a_warm_backend_is_no_longer_than_affinity_wait_ms() {
    let (warm_one, cold) = (ollama(), ollama());
    let node = Setup::balanced("ModelAffinity")
        .frontend("AffinityWaitMs", 250)
        .capped(&warm_one, 1)
        .capped(&cold, 1)
        .start()
        .await;
    wait_models(&node, "m", &[("b1", true), ("b2", true)]).await;
    warm(&node, &warm_one, "b1").await;
    let _held = occupy(&node, &warm_one, "b1", 1).await;
    let started = Instant::now();
    let answer = ask(&node, chat(false)).await;
    assert_eq!((answer.status(), served_by(&answer)), (200, "b2"));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert!(queue_ms(&answer) <= 1500, "{:?}", answer.head);
}

#[tokio::test]
async fn with_affinity_wait_ms_zero_nobody_waits_for_a_warm_backend() {
    let (warm_one, cold) = (ollama(), ollama());
    let node = Setup::balanced("ModelAffinity")
        .frontend("AffinityWaitMs", 0)
        .capped(&warm_one, 1)
        .capped(&cold, 1)
        .start()
        .await;
    wait_models(&node, "m", &[("b1", true), ("b2", true)]).await;
    warm(&node, &warm_one, "b1").await;
    let _held = occupy(&node, &warm_one, "b1", 1).await;
    let answer = ask(&node, chat(false)).await;
    assert_eq!((served_by(&answer), queue_ms(&answer)), ("b2", 0));
}

#[tokio::test]
async fn a_model_that_was_dropped_from_memory_draws_nobody_any_more() {
    let (dropped, warm_one) = (ollama(), ollama());
    let node = Setup::balanced("ModelAffinity").backend(&dropped).backend(&warm_one).start().await;
    wait_models(&node, "m", &[("b1", true), ("b2", true)]).await;
    warm(&node, &dropped, "b1").await;
    let unload = Request::post("/api/generate").json(&json!({ "model": "m", "prompt": "", "keep_alive": 0 }));
    assert_eq!(unload.send(&dropped).await.status(), 200);
    wait_explained(&node, &chat_body("m", "x", false), "b1", "Loaded", &json!(false)).await;
    warm(&node, &warm_one, "b2").await;
    assert_eq!(backends_of(&node, 3, || chat(false)).await, ["b2"; 3]);
}

#[tokio::test]
async fn a_warm_backend_that_fails_does_not_keep_its_requests() {
    let (warm_one, cold) = (ollama(), ollama());
    let node = Setup::balanced("ModelAffinity").backend(&warm_one).backend(&cold).start().await;
    wait_models(&node, "m", &[("b1", true), ("b2", true)]).await;
    warm(&node, &warm_one, "b1").await;
    warm_one.set_fault(FaultKind::status(502));
    assert_eq!(backends_of(&node, 2, || chat(false)).await, ["b2"; 2]);
}
