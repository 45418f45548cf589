//! The health list, without which the page of the backends crashes.

use std::collections::BTreeSet;
use std::time::Instant;

use ollamaflow_tests::client::{RawConnection, Request};
use ollamaflow_tests::cluster::Cluster;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::{backend, frontend};
use ollamaflow_tests::simulated::{FaultKind, SimulatedBackend};
use serde_json::{Value, json};

use crate::{answer, engine, expect, identifiers, nowhere, pair, put, shown, with_key};

/// How often each list is asked for.
const PAGES: usize = 200;

/// A node with a backend that is healthy, one that is not, one that was never probed and one that is switched off.
async fn with_backends_of_all_kinds(engine: &SimulatedBackend) -> Node {
    let node = pair()
        .backend(backend("well", engine))
        .backend(backend("off", engine).set("Active", false))
        .start()
        .await;
    node.wait_healthy(&["well"]).await;
    expect(&answer(&node, put("/v1.0/backends", &json!({ "Identifier": "new" }))).await, 201);
    node
}

#[tokio::test]
async fn rule_3_every_backend_is_in_the_health_list_whatever_is_known_of_it() {
    let engine = engine();
    let node = with_backends_of_all_kinds(&engine).await;
    let list = shown(&node, "/v1.0/backends").await;
    let health = shown(&node, "/v1.0/backends/health").await;
    assert_eq!(identifiers(&list), identifiers(&health));
    let all: BTreeSet<_> = identifiers(&health).into_iter().collect();
    assert_eq!(all, BTreeSet::from(["b1", "new", "off", "well"]));
}

/// Whoever creates a backend elsewhere does not crash a page that is just being loaded: the health list is at least as new
/// as a list that was answered before it was asked for.
#[tokio::test]
async fn rule_3_holds_while_others_create_backends() {
    let node = pair().start().await;
    let create = async {
        for number in 2..200 {
            let new = put("/v1.0/backends", &json!({ "Identifier": format!("b{number}"), "Active": false }));
            expect(&answer(&node, new).await, 201);
        }
    };
    let look = async {
        loop {
            let list = shown(&node, "/v1.0/backends").await;
            let health = shown(&node, "/v1.0/backends/health").await;
            let known: BTreeSet<_> = identifiers(&health).into_iter().collect();
            assert!(identifiers(&list).iter().all(|id| known.contains(id)), "{known:?}");
        }
    };
    tokio::select! {
        () = create => {}
        () = look => {}
    }
}

/// The page asks for both at once and crashes if the health list comes later by some milliseconds. So it must cost the node
/// no more than the list, and must not wait for anything. What each takes is measured in turn, so that a busy machine
/// slows both, and the middle of many tells.
#[tokio::test]
async fn rule_4_the_health_list_takes_no_longer_than_the_list() {
    let backends = (0..20).map(|number| backend(&format!("b{number}"), nowhere()).set("Active", false));
    let node = backends.fold(Node::builder(), ollamaflow_tests::node::NodeBuilder::backend).start().await;
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..PAGES {
        for (path, times) in ["/v1.0/backends", "/v1.0/backends/health"].into_iter().zip(&mut times) {
            let started = Instant::now();
            connection.send_request(&with_key("GET", path)).await.unwrap();
            let (answer, again) = connection.response().await.unwrap().collect_reusable().await;
            times.push(answer.pieces.last().unwrap().at.saturating_duration_since(started));
            assert_eq!(identifiers(&answer.json()).len(), 20);
            connection = again;
        }
    }
    let [list, health] = times.map(|mut times| {
        times.sort_unstable();
        times[PAGES / 2]
    });
    assert!(
        health < list + list / 2,
        "the middle of {PAGES} is {list:?} for the list and {health:?} for health"
    );
}

/// The reason for it: the list is made of what the node knows, and asks nobody.
#[tokio::test]
async fn rule_4_the_health_list_asks_no_backend() {
    let engine = engine();
    // After its first good probe, none follows.
    let rarely = json!({ "HealthCheck": { "IntervalMs": 3_600_000 } });
    let node = Node::builder()
        .settings(&rarely)
        .frontend(frontend("f1").backends(["b1"]))
        .backend(backend("b1", &engine).set("HealthyThreshold", 1))
        .start()
        .await;
    node.wait_healthy(&["b1"]).await;
    // The models are read once, after the probe.
    ollamaflow_tests::wait::until_answered("the models are known", async || {
        let tags = answer(&node, Request::get("/api/tags")).await;
        if tags.text().contains("m:latest") { Ok(()) } else { Err(tags.text()) }
    })
    .await;
    let probes = |engine: &SimulatedBackend| {
        engine.requests().iter().filter(|request| request.method == "GET" && request.path == "/").count()
    };
    let before = probes(&engine);
    engine.set_fault(FaultKind::HangBeforeHeaders { for_ms: None }.path("/"));
    for _ in 0..50 {
        shown(&node, "/v1.0/backends/health").await;
        shown(&node, "/v1.0/backends/b1/health").await;
    }
    assert_eq!(probes(&engine), before);
}

/// Neither the other nodes nor backends that do not answer hold it up.
#[tokio::test]
async fn rule_4_the_health_list_waits_for_no_node_and_no_backend() {
    let engine = engine();
    engine.set_fault(FaultKind::HangBeforeHeaders { for_ms: None }.path("/"));
    let mut cluster = Cluster::builder()
        .settings(&json!({ "HealthCheck": { "TimeoutMs": 60_000 } }))
        .frontend(frontend("f1").backends(["b1"]))
        .backend(backend("b1", &engine))
        .start()
        .await;
    let alone = cluster.followers().await[0];
    for node in (0..3).filter(|node| *node != alone) {
        cluster.kill(node);
    }
    cluster.wait_status(alone, "has lost its leader", |status| status.leader().is_none()).await;
    let node = cluster.node(alone);
    for path in ["/v1.0/backends", "/v1.0/backends/health"] {
        assert_eq!(identifiers(&shown(node, path).await), ["b1"], "{path}");
    }
}

#[tokio::test]
async fn rule_7_exactly_one_of_the_two_times_is_there() {
    let engine = engine();
    let node = with_backends_of_all_kinds(&engine).await;
    for backend in shown(&node, "/v1.0/backends/health").await.as_array().unwrap() {
        let is_well = backend["Identifier"] == "well";
        assert_eq!(backend.get("HealthySinceUtc").is_some(), is_well, "{backend}");
        assert_eq!(backend.get("UnhealthySinceUtc").is_some(), !is_well, "{backend}");
        let since = backend[if is_well { "HealthySinceUtc" } else { "UnhealthySinceUtc" }].as_str().unwrap();
        crate::shapes::assert_time(since);
        let id = backend["Identifier"].as_str().unwrap();
        let one = shown(&node, &format!("/v1.0/backends/{id}/health")).await;
        assert_eq!(one.get("HealthySinceUtc"), backend.get("HealthySinceUtc"), "{id}");
    }
}

#[tokio::test]
async fn rule_7_a_backend_that_dies_is_healthy_no_longer() {
    let engine = engine();
    let node = Node::builder()
        .frontend(frontend("f1").backends(["b1"]))
        .backend(backend("b1", &engine).set("UnhealthyThreshold", 1))
        .start()
        .await;
    node.wait_healthy(&["b1"]).await;
    engine.stop();
    node.wait_unhealthy("b1").await;
    let one = shown(&node, "/v1.0/backends/b1/health").await;
    assert_eq!((one.get("HealthySinceUtc"), one.get("Uptime")), (None, None), "{one}");
}

#[tokio::test]
async fn rule_8_spans_are_texts_of_days_and_hours() {
    let engine = engine();
    let node = with_backends_of_all_kinds(&engine).await;
    for backend in shown(&node, "/v1.0/backends/health").await.as_array().unwrap() {
        let (there, absent) = match backend.get("HealthySinceUtc") {
            Some(_) => ("Uptime", "Downtime"),
            None => ("Downtime", "Uptime"),
        };
        assert_eq!(backend.get(absent), None, "{backend}");
        assert_span(backend[there].as_str().unwrap_or_else(|| panic!("{there} is no text: {backend}")));
        assert!(backend["ActiveRequests"].is_u64(), "{backend}");
    }
}

/// A span as .NET writes it: `[d.]hh:mm:ss[.fffffff]`.
fn assert_span(text: &str) {
    let (rest, fraction) = match text.rsplit_once('.') {
        Some((rest, fraction)) if rest.contains(':') => (rest, fraction),
        _ => (text, "0000000"),
    };
    let clock = rest.rsplit('.').next().unwrap_or_default();
    let parts: Vec<&str> = clock.split(':').collect();
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    assert!(parts.len() == 3 && parts.iter().all(|part| digits(part, 2)) && digits(fraction, 7), "{text}");
}

/// What its popover shows, and the properties of a backend besides.
#[tokio::test]
async fn the_health_of_a_backend_has_all_that_is_shown() {
    let engine = engine();
    let node = with_backends_of_all_kinds(&engine).await;
    let of_id = |list: Value, id: &str| {
        let found = list.as_array().unwrap().iter().find(|backend| backend["Identifier"] == id).cloned();
        found.unwrap_or_else(|| panic!("no {id}"))
    };
    let stored = of_id(shown(&node, "/v1.0/backends").await, "well");
    let live = of_id(shown(&node, "/v1.0/backends/health").await, "well");
    for name in stored.as_object().unwrap().keys() {
        assert!(live.get(name).is_some(), "{name} is in the list and not in the health list");
    }
    assert_eq!((&live["Name"], &live["ActiveRequests"]), (&json!("well"), &json!(0)));
}
