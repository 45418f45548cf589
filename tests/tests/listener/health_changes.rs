//! Health when the configuration changes: it belongs to an address.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::simulated::FaultKind;
use ollamaflow_tests::wait;
use serde_json::json;

use crate::{NEVER_MS, answer, b1, before, engine, f1, health_checks, health_of, ready};

#[tokio::test]
async fn a_changed_address_resets_health() {
    let (old, new) = (engine(), engine());
    // The new server's probes find no end yet.
    new.set_fault(FaultKind::HangBeforeHeaders { for_ms: None }.path("/"));
    let patient = health_checks(&json!({ "IntervalMs": NEVER_MS, "TimeoutMs": 500 }));
    let node = ready(before(&old).settings(&patient)).await;
    // Phase 1: nothing is known of the new address, and nothing goes there.
    node.rewrite_objects([f1()], [b1(&new)]).await;
    node.wait_unhealthy("b1").await;
    assert_eq!(answer(&node, Request::get("/api/echo/x")).await.status(), 502);
    assert_eq!(new.requests_to("/api/echo/x").len() + old.requests_to("/api/echo/x").len(), 0);
    // Phase 2: its health is found out at the pace of the start.
    wait::until("the new address is probed", || !new.requests().is_empty()).await;
}

#[tokio::test]
async fn a_new_address_is_probed_at_once_and_taken_up() {
    let (old, new) = (engine(), engine());
    let rare = health_checks(&json!({ "IntervalMs": NEVER_MS, "TimeoutMs": 10_000 }));
    let node = ready(before(&old).settings(&rare)).await;
    node.rewrite_objects([f1()], [b1(&new)]).await;
    wait::until_answered("the new address serves", async || {
        let answer = answer(&node, Request::get("/api/echo/x")).await;
        if new.requests_to("/api/echo/x").is_empty() { Err(answer.text()) } else { Ok(()) }
    })
    .await;
    node.wait_healthy(&["b1"]).await;
}

#[tokio::test]
async fn other_changes_leave_health_as_it_is() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    let since = health_of(&node, "b1").await["HealthySinceUtc"].clone();
    node.rewrite_objects([f1()], [b1(&engine).set("Name", "renamed").set("Labels", json!(["gpu"]))]).await;
    wait::until_answered("the change is in effect", async || {
        let health = health_of(&node, "b1").await;
        // At no moment is it taken out.
        assert_eq!(health["HealthySinceUtc"], since);
        if health["Name"] == "renamed" { Ok(()) } else { Err(health.to_string()) }
    })
    .await;
    let labelled = || Request::get("/api/tags").header("X-OllamaFlow-Label", "gpu");
    wait::until_answered("the label is known", async || match answer(&node, labelled()).await.status() {
        200 => Ok(()),
        status => Err(status.to_string()),
    })
    .await;
    assert_eq!(health_of(&node, "b1").await["HealthySinceUtc"], since);
}

#[tokio::test]
async fn a_changed_health_path_is_probed_at_once() {
    let engine = engine();
    let rare = health_checks(&json!({ "IntervalMs": NEVER_MS }));
    let node = ready(before(&engine).settings(&rare)).await;
    node.rewrite_objects([f1()], [b1(&engine).set("HealthCheckUrl", "/api/echo/new")]).await;
    wait::until("the new path is probed", || !engine.requests_to("/api/echo/new").is_empty()).await;
}

#[tokio::test]
async fn a_backend_that_is_switched_on_again_has_to_prove_its_health_anew() {
    let engine = engine();
    let patient = health_checks(&json!({ "IntervalMs": NEVER_MS, "TimeoutMs": 500 }));
    let node = ready(before(&engine).settings(&patient)).await;
    node.rewrite_objects([f1()], [b1(&engine).set("Active", false)]).await;
    wait::until_answered("it is off", async || {
        match answer(&node, Request::get("/api/version")).await.status() {
            502 => Ok(()),
            status => Err(status.to_string()),
        }
    })
    .await;
    // Meanwhile it dies, and nobody looks.
    engine.set_fault(FaultKind::HangBeforeHeaders { for_ms: None }.path("/"));
    node.rewrite_objects([f1()], [b1(&engine)]).await;
    node.wait_unhealthy("b1").await;
    // Back at work, it is found at the pace of the start, not an hour later.
    engine.clear_faults();
    node.wait_healthy(&["b1"]).await;
}
