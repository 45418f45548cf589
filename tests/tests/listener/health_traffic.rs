//! Live traffic and health: failed connections count as failed probes, unhealthy backends get no requests.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::backend;
use ollamaflow_tests::simulated::FaultKind;
use serde_json::json;

use crate::{NEVER_MS, answer, b1, before, chat, engine, f1, health_checks, health_of, ready};

#[tokio::test]
async fn failed_connections_of_live_traffic_count_as_failed_probes() {
    let engine = engine();
    let rare = health_checks(&json!({ "IntervalMs": NEVER_MS }));
    let builder =
        Node::builder().frontend(f1()).backend(b1(&engine).set("UnhealthyThreshold", 3)).settings(&rare);
    let node = ready(builder).await;
    // No probe will find out.
    engine.stop();
    let request = || Request::post("/api/chat").json(&chat());
    for failure in 1..=3 {
        assert!(health_of(&node, "b1").await["HealthySinceUtc"].is_string(), "before failure {failure}");
        let answer = answer(&node, request()).await;
        assert_eq!(answer.status(), 502);
        assert!(answer.text().contains("could not be reached"), "{}", answer.text());
    }
    node.wait_unhealthy("b1").await;
    let answer = answer(&node, request()).await;
    assert!(answer.text().contains("1 unhealthy"), "{}", answer.text());
}

#[tokio::test]
async fn errors_that_a_backend_answers_do_not_count() {
    let engine = engine();
    let rare = health_checks(&json!({ "IntervalMs": NEVER_MS }));
    let node = ready(before(&engine).settings(&rare)).await;
    let since = health_of(&node, "b1").await["HealthySinceUtc"].clone();
    engine.set_fault(FaultKind::status(500).path("/api/chat"));
    for _ in 0..5 {
        assert_eq!(answer(&node, Request::post("/api/chat").json(&chat())).await.status(), 500);
    }
    assert_eq!(health_of(&node, "b1").await["HealthySinceUtc"], since);
}

#[tokio::test]
async fn an_unhealthy_backend_gets_no_requests_until_it_recovers() {
    let (failing, other) = (engine(), engine());
    let builder = Node::builder().frontend(f1().backends(["b1", "b2"])).backend(b1(&failing));
    let node = builder.backend(backend("b2", &other)).start().await;
    node.wait_healthy(&["b1", "b2"]).await;
    // Phase 1: it is taken out.
    failing.set_fault(FaultKind::HealthFails { status: 500 }.path("/"));
    node.wait_unhealthy("b1").await;
    for _ in 0..4 {
        let answer = answer(&node, Request::get("/api/echo/x")).await;
        assert_eq!(answer.header("X-OllamaFlow-Backend"), Some("b2"));
    }
    // Phase 2: it is taken up again.
    failing.clear_faults();
    node.wait_healthy(&["b1"]).await;
    let mut by = Vec::new();
    for _ in 0..4 {
        by.push(
            answer(&node, Request::get("/api/echo/x"))
                .await
                .header("X-OllamaFlow-Backend")
                .map(str::to_owned),
        );
    }
    assert!(by.contains(&Some("b1".to_owned())), "{by:?}");
}
