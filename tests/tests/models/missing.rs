//! Lists while backends are down, slow or unreadable: what was known last, a bounded wait, and a header that names them.

use std::time::{Duration, Instant};

use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::simulated::{FaultKind, SimConfig, SimulatedBackend};

use ollamaflow_tests::client::Request;
use ollamaflow_tests::objects::Backend;
use ollamaflow_tests::wait;
use serde_json::json;

use crate::{ask, get, missing, names, ollama, vllm, wait_listed};

/// An Ollama that never tells what it has.
fn silent(models: &[&str]) -> SimulatedBackend {
    let config = SimConfig::ollama(models.iter().copied());
    SimulatedBackend::start(
        config.with_fault(FaultKind::HangBeforeHeaders { for_ms: None }.path("/api/tags")),
    )
}

#[tokio::test]
async fn a_backend_that_is_down_counts_with_what_was_known_and_is_named() {
    let (one, two) = (ollama(&["a"]), ollama(&["b"]));
    let node = Setup::new()
        .backend(&one)
        .backend_with(&two, |own| own.set("UnhealthyThreshold", 1).set("HealthyThreshold", 1))
        .start()
        .await;
    wait_listed(&node, "/api/tags", &["a:latest", "b:latest"]).await;
    two.stop();
    node.wait_unhealthy("b2").await;
    for path in ["/api/tags", "/v1/models"] {
        let answer = get(&node, path).await;
        assert_eq!(names(&answer), ["a:latest", "b:latest"], "{path}");
        assert_eq!(missing(&answer), Some("b2"), "{path}");
    }
    let model = get(&node, "/v1/models/b").await;
    assert_eq!((model.status(), missing(&model)), (200, Some("b2")));
    assert_eq!(missing(&get(&node, "/v1/models/nope").await), Some("b2"), "it may have come meanwhile");
    two.restart();
    node.wait_healthy(&["b2"]).await;
    assert_eq!(missing(&get(&node, "/api/tags").await), None);
}

#[tokio::test]
async fn what_was_known_is_told_even_if_all_are_down() {
    let backend = ollama(&["m"]);
    let node = Setup::new().backend_with(&backend, |own| own.set("UnhealthyThreshold", 1)).start().await;
    wait_listed(&node, "/api/tags", &["m:latest"]).await;
    backend.stop();
    node.wait_unhealthy("b1").await;
    let answer = get(&node, "/api/tags").await;
    assert_eq!((names(&answer), missing(&answer)), (vec!["m:latest".to_owned()], Some("b1")));
}

#[tokio::test]
async fn a_backend_that_does_not_tell_is_waited_for_once_and_then_named() {
    let (one, two) = (ollama(&["a"]), silent(&["b"]));
    let node = Setup::new().backend(&one).backend(&two).start().await;
    let start = Instant::now();
    for _ in 0..30 {
        let answer = get(&node, "/api/tags").await;
        assert_eq!((names(&answer), missing(&answer)), (vec!["a:latest".to_owned()], Some("b2")));
    }
    // With the whole wait for each of them it would be a minute.
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_backend_that_tells_in_time_is_in_the_first_list() {
    let slow = SimConfig::ollama(["m"])
        .with_fault(FaultKind::HangBeforeHeaders { for_ms: Some(300) }.path("/api/tags"));
    let slow = SimulatedBackend::start(slow);
    let node = Setup::new().backend(&slow).start().await;
    let answer = get(&node, "/api/tags").await;
    assert_eq!((names(&answer), missing(&answer)), (vec!["m:latest".to_owned()], None));
}

#[tokio::test]
async fn if_nothing_is_known_a_read_is_refused_as_a_request_without_backends() {
    let one = silent(&["a"]);
    let two = SimConfig::ollama(["b"]).with_fault(FaultKind::status(500).path("/api/tags"));
    let two = SimulatedBackend::start(two);
    let node = Setup::new().backend(&one).backend(&two).start().await;
    let native = get(&node, "/api/tags").await;
    assert_eq!(native.status(), 502);
    let error = native.json()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("b1") && error.contains("b2"), "{error}");
    let openai = get(&node, "/v1/models").await;
    assert_eq!(openai.status(), 502);
    assert!(openai.json()["error"]["message"].is_string(), "{}", openai.text());
    assert_eq!(get(&node, "/v1/models/a").await.status(), 502);
}

#[tokio::test]
async fn a_model_that_nobody_has_is_not_loaded_by_a_backend_that_loads_nothing() {
    let (engine, server) = (ollama(&["m"]), vllm(&["served"]));
    let node = Setup::new().backend(&engine).backend_with(&server, Backend::openai).start().await;
    node.wait_healthy(&["b1", "b2"]).await;
    wait::until_answered("the lists are known", async || {
        let names = names(&get(&node, "/api/tags").await);
        if names.len() == 2 { Ok(()) } else { Err(names.join(", ")) }
    })
    .await;
    for keep_alive in [json!("5m"), json!(0)] {
        for _ in 0..3 {
            let request =
                Request::post("/api/generate").json(&json!({ "model": "nada", "keep_alive": keep_alive }));
            let answer = ask(&node, request).await;
            assert_eq!(answer.status(), 404, "{keep_alive}: {}", answer.text());
        }
    }
    let load = Request::post("/api/generate").json(&json!({ "model": "served" }));
    assert_eq!(ask(&node, load).await.status(), 200);
}
