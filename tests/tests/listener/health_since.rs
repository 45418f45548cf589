//! Since when a backend has been as it is: exactly one of the two times, and how long that is as text.

use jiff::Timestamp;
use ollamaflow_tests::simulated::FaultKind;
use serde_json::Value;

use crate::{before, engine, health_of};

/// The properties of one state, and those that must be absent then.
const UP: [&str; 2] = ["HealthySinceUtc", "Uptime"];
const DOWN: [&str; 2] = ["UnhealthySinceUtc", "Downtime"];

/// Checks form and exclusiveness; gives the time.
fn since(health: &Value, present: [&str; 2], absent: [&str; 2]) -> Timestamp {
    for property in absent {
        assert!(health.get(property).is_none(), "{property} in {health}");
    }
    let text = |property: &str| health[property].as_str().unwrap_or_else(|| panic!("{property} in {health}"));
    let (time, span) = (text(present[0]), text(present[1]));
    // yyyy-MM-ddTHH:mm:ss.ffffffZ
    assert!(time.len() == 27 && time.ends_with('Z') && &time[10..11] == "T", "{time}");
    // [d.]hh:mm:ss[.fffffff]
    let (hms, fraction) = span.split_once('.').unwrap_or((span, "0"));
    let parts: Vec<&str> = hms.split(':').collect();
    assert!(parts.len() == 3 && parts.iter().all(|part| part.len() == 2), "{span}");
    assert!(fraction.bytes().all(|byte| byte.is_ascii_digit()), "{span}");
    time.parse().unwrap()
}

#[tokio::test]
async fn the_times_switch_with_the_state() {
    let engine = engine();
    let started = Timestamp::now();
    // Phase 1: not probed to an end yet, which counts as unhealthy.
    engine.set_fault(FaultKind::HangBeforeHeaders { for_ms: None }.path("/"));
    let node = before(&engine).start().await;
    let at_start = since(&health_of(&node, "b1").await, DOWN, UP);
    assert!(at_start >= started);
    // Phase 2: healthy.
    engine.clear_faults();
    node.wait_healthy(&["b1"]).await;
    let up = since(&health_of(&node, "b1").await, UP, DOWN);
    assert!(up > at_start && up <= Timestamp::now());
    // Phase 3: unhealthy again, since later.
    engine.set_fault(FaultKind::HealthFails { status: 500 }.path("/"));
    node.wait_unhealthy("b1").await;
    let down = since(&health_of(&node, "b1").await, DOWN, UP);
    assert!(down > up && down <= Timestamp::now());
}

#[tokio::test]
async fn the_time_stays_while_the_state_does() {
    let engine = engine();
    let node = before(&engine).start().await;
    node.wait_healthy(&["b1"]).await;
    let first = health_of(&node, "b1").await;
    let probes = || engine.requests().iter().filter(|request| request.path == "/").count();
    let more = probes() + 3;
    ollamaflow_tests::wait::until("more probes came", || probes() >= more).await;
    let later = health_of(&node, "b1").await;
    assert_eq!(later["HealthySinceUtc"], first["HealthySinceUtc"]);
    assert!(later["Uptime"].as_str() > first["Uptime"].as_str(), "{later}");
}

#[tokio::test]
async fn both_health_routes_say_the_same_and_plain_reads_say_nothing_about_health() {
    let engine = engine();
    let node = before(&engine).start().await;
    node.wait_healthy(&["b1"]).await;
    let (_, one) = node.admin("GET", "/v1.0/backends/b1/health", None).await;
    assert_eq!(one["HealthySinceUtc"], health_of(&node, "b1").await["HealthySinceUtc"]);
    let (_, plain) = node.admin("GET", "/v1.0/backends/b1", None).await;
    for property in UP.into_iter().chain(DOWN) {
        assert!(plain.get(property).is_none(), "{property} in {plain}");
    }
}

#[tokio::test]
async fn requests_under_way_are_counted_in_the_health_list() {
    let engine = engine();
    engine.set_fault(FaultKind::HangBeforeHeaders { for_ms: None }.path("/api/chat"));
    let node = crate::ready(before(&engine)).await;
    assert_eq!(health_of(&node, "b1").await["ActiveRequests"], 0);
    let request = ollamaflow_tests::client::Request::post("/api/chat").json(&crate::chat());
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let (request, address) = (request.clone(), node.addr());
            tokio::spawn(async move { request.try_send(address).await })
        })
        .collect();
    let until_active = async |expected: u64| {
        ollamaflow_tests::wait::until_answered("as many requests are under way", async || {
            let active = health_of(&node, "b1").await["ActiveRequests"].clone();
            if active == expected { Ok(()) } else { Err(active.to_string()) }
        })
        .await;
    };
    until_active(3).await;
    for request in waiting {
        request.abort();
    }
    until_active(0).await;
}
