//! Verdicts about a backend: soon after the start, and by consecutive probes against the thresholds.

use std::time::Instant;

use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::backend;
use ollamaflow_tests::simulated::{FaultKind, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::json;

use crate::{NEVER_MS, b1, before, engine, f1, health_checks, health_of};

/// Probes that arrived.
fn probes(engine: &SimulatedBackend) -> usize {
    engine.requests().iter().filter(|request| request.path == "/").count()
}

#[tokio::test]
async fn with_the_default_settings_a_backend_is_taken_up_soon_after_the_start() {
    let engine = engine();
    let defaults = json!({ "IntervalMs": NEVER_MS, "TimeoutMs": null, "StartupIntervalMs": null });
    let node = before(&engine).settings(&health_checks(&defaults)).start().await;
    let started = Instant::now();
    node.wait_healthy(&["b1"]).await;
    // Two good probes are needed, and the second one would come an hour later at the usual pace.
    println!("taken up {} ms after the start", started.elapsed().as_millis());
    assert!(probes(&engine) >= 2);
}

#[tokio::test]
async fn a_good_probe_is_followed_sooner_than_a_failed_one_until_the_first_verdict() {
    let (dead, good) = (engine(), engine());
    dead.set_fault(FaultKind::HealthFails { status: 500 }.path("/"));
    let paces = json!({ "IntervalMs": NEVER_MS, "StartupIntervalMs": 10_000, "TimeoutMs": 10_000 });
    let node = before(&dead).settings(&health_checks(&paces)).backend(backend("good", &good)).start().await;
    node.wait_healthy(&["good"]).await;
    wait::until("the dead backend was probed", || probes(&dead) >= 1).await;
    assert_eq!((probes(&good), probes(&dead)), (2, 1));
}

#[tokio::test]
async fn a_backend_that_comes_up_late_is_taken_up_too() {
    let engine = engine();
    engine.stop();
    let node = before(&engine).start().await;
    node.wait_unhealthy("b1").await;
    engine.restart();
    node.wait_healthy(&["b1"]).await;
}

#[tokio::test]
async fn after_the_first_verdict_probes_take_their_usual_pace() {
    let (dead, clock) = (engine(), engine());
    dead.set_fault(FaultKind::HealthFails { status: 500 }.path("/"));
    let builder =
        before(&dead).settings(&health_checks(&json!({ "IntervalMs": NEVER_MS, "TimeoutMs": 10_000 })));
    let node = builder.backend(backend("clock", &clock).set("HealthyThreshold", 40)).start().await;
    // Until its first verdict the other backend is probed at the pace of the start, and so would the dead one be.
    node.wait_healthy(&["clock"]).await;
    assert!(probes(&clock) >= 40);
    assert_eq!(probes(&dead), 2, "two failures are a verdict");
}

#[tokio::test]
async fn as_many_good_probes_as_the_threshold_says_take_a_backend_up() {
    for threshold in [1, 5] {
        let engine = engine();
        let node = Node::builder().frontend(f1()).backend(b1(&engine).set("HealthyThreshold", threshold));
        let node = node.start().await;
        node.wait_healthy(&["b1"]).await;
        assert!(probes(&engine) >= threshold, "{} probes, threshold {threshold}", probes(&engine));
    }
}

#[tokio::test]
async fn one_good_probe_is_enough_for_a_threshold_of_one() {
    let engine = engine();
    let rare =
        health_checks(&json!({ "IntervalMs": NEVER_MS, "StartupIntervalMs": NEVER_MS, "TimeoutMs": 10_000 }));
    let builder =
        Node::builder().frontend(f1()).backend(b1(&engine).set("HealthyThreshold", 1)).settings(&rare);
    let node = builder.start().await;
    node.wait_healthy(&["b1"]).await;
    assert_eq!(probes(&engine), 1);
}

#[tokio::test]
async fn fewer_failed_probes_than_the_threshold_change_nothing() {
    let engine = engine();
    let patient = health_checks(&json!({ "TimeoutMs": 10_000, "IntervalMs": 100 }));
    let builder =
        Node::builder().frontend(f1()).backend(b1(&engine).set("UnhealthyThreshold", 3)).settings(&patient);
    let node = builder.start().await;
    node.wait_healthy(&["b1"]).await;
    let since = health_of(&node, "b1").await["HealthySinceUtc"].clone();
    // Twice two failures, with good probes between.
    for _ in 0..2 {
        engine.set_fault(FaultKind::HealthFails { status: 500 }.path("/").times(2));
        let failed_after = probes(&engine) + 4;
        wait::until("two probes failed and more came", || probes(&engine) >= failed_after).await;
    }
    assert_eq!(health_of(&node, "b1").await["HealthySinceUtc"], since);
}

#[tokio::test]
async fn as_many_failed_probes_as_the_threshold_says_take_a_backend_out() {
    let engine = engine();
    let quick = health_checks(&json!({ "TimeoutMs": 10_000, "IntervalMs": 100 }));
    let builder =
        Node::builder().frontend(f1()).backend(b1(&engine).set("UnhealthyThreshold", 3)).settings(&quick);
    let node = builder.start().await;
    node.wait_healthy(&["b1"]).await;
    let good = probes(&engine);
    engine.set_fault(FaultKind::HealthFails { status: 503 }.path("/"));
    node.wait_unhealthy("b1").await;
    assert!(probes(&engine) >= good + 3, "{} probes after {good}", probes(&engine));
    // It comes back by itself.
    engine.clear_faults();
    node.wait_healthy(&["b1"]).await;
}

#[tokio::test]
async fn an_unreachable_and_a_silent_backend_are_taken_out_too() {
    for fault in [
        FaultKind::refuse().into(),
        FaultKind::HangBeforeHeaders { for_ms: None }.path("/"),
        FaultKind::CloseBeforeHeaders { by: ollamaflow_tests::simulated::EndBy::Reset }.path("/"),
        FaultKind::status(404).path("/"),
    ] {
        let engine = engine();
        let quick = health_checks(&json!({ "TimeoutMs": 200, "IntervalMs": 100 }));
        let node = before(&engine).settings(&quick).start().await;
        node.wait_healthy(&["b1"]).await;
        engine.set_fault(fault);
        node.wait_unhealthy("b1").await;
    }
}

#[tokio::test]
async fn a_backend_that_was_never_healthy_is_warned_of_with_the_reason() {
    let engine = engine();
    engine.set_fault(FaultKind::HealthFails { status: 500 }.path("/"));
    let node = before(&engine).start().await;
    wait::until("the warning", || node.logs().contains("backend is unhealthy")).await;
    let logs = node.logs();
    let line = logs.lines().find(|line| line.contains("backend is unhealthy")).unwrap_or_default();
    assert!(line.contains("b1") && line.contains("status 500"), "{line}");
}
