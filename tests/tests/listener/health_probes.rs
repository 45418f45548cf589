//! What a probe is: its method, path, query, credentials, and what counts as success.

use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::{Backend, backend};
use ollamaflow_tests::simulated::{FaultKind, ReceivedRequest, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::json;

use crate::{b1, before, engine, f1, health_of, ready};

/// A probe of a backend that is configured so, after it was taken up.
async fn probe_of(engine: &SimulatedBackend, backend: Backend, path: &str) -> ReceivedRequest {
    let node = ready(Node::builder().frontend(f1()).backend(backend)).await;
    let probes = engine.requests_to(path);
    drop(node);
    probes.into_iter().find(|probe| probe.path == path).unwrap()
}

#[tokio::test]
async fn a_probe_is_a_get_of_the_root_by_default() {
    let engine = engine();
    let probe = probe_of(&engine, b1(&engine), "/").await;
    assert_eq!((probe.method.as_str(), probe.path.as_str(), &probe.query), ("GET", "/", &None));
    assert_eq!(probe.header("Host"), Some(engine.address().to_string().as_str()));
    assert_eq!((probe.header("Authorization"), probe.body_length), (None, 0));
}

#[tokio::test]
async fn method_and_path_of_the_probe_can_be_set() {
    for method in ["GET", "HEAD"] {
        let engine = engine();
        let backend = b1(&engine).set("HealthCheckMethod", method).set("HealthCheckUrl", "/api/echo/health");
        let probe = probe_of(&engine, backend, "/api/echo/health").await;
        assert_eq!((probe.method.as_str(), probe.query), (method, None));
        assert!(engine.requests().iter().all(|request| request.path != "/"));
    }
}

#[tokio::test]
async fn a_probe_carries_the_query_the_bearer_token_and_the_headers_of_the_backend() {
    let engine = engine();
    let backend = b1(&engine)
        .set("Querystring", "key=v&x=%20")
        .set("BearerToken", "the-token")
        .set("Headers", json!({ "X-Tenant": "seven", "x-plan": "gold" }));
    let probe = probe_of(&engine, backend, "/").await;
    assert_eq!(probe.query.as_deref(), Some("key=v&x=%20"));
    assert_eq!(probe.headers_named("Authorization"), ["Bearer the-token"]);
    assert_eq!(probe.headers_named("X-Tenant"), ["seven"]);
    assert_eq!(probe.headers_named("X-Plan"), ["gold"]);
}

#[tokio::test]
async fn the_query_of_the_backend_comes_after_that_of_the_health_path() {
    let engine = engine();
    let backend = b1(&engine).set("HealthCheckUrl", "/api/echo/health?deep=1").set("Querystring", "?key=v");
    let probe = probe_of(&engine, backend, "/api/echo/health").await;
    assert_eq!(probe.query.as_deref(), Some("deep=1&key=v"));
}

#[tokio::test]
async fn any_status_of_the_two_hundreds_is_a_success() {
    let engine = engine();
    engine.set_fault(FaultKind::status(204).path("/"));
    ready(before(&engine)).await;
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let engine = engine();
    let elsewhere = engine.url() + "/api/version";
    engine.set_fault(FaultKind::Redirect { status: 302, location: elsewhere }.path("/"));
    let node = before(&engine).start().await;
    wait::until("several probes came", || engine.requests().len() >= 4).await;
    assert!(health_of(&node, "b1").await["UnhealthySinceUtc"].is_string());
    assert_eq!(engine.requests_to("/api/version").len(), 0);
}

#[tokio::test]
async fn an_inactive_backend_is_not_probed_until_it_is_active() {
    let (inactive, clock) = (engine(), engine());
    let clock_backend = || backend("clock", &clock).set("HealthyThreshold", 20);
    let builder = Node::builder().frontend(f1()).backend(b1(&inactive).set("Active", false));
    let node = builder.backend(clock_backend()).start().await;
    // Phase 1: another backend was probed twenty times meanwhile.
    node.wait_healthy(&["clock"]).await;
    assert_eq!(inactive.requests().len(), 0);
    // Phase 2: it is activated.
    node.rewrite_objects([f1()], [b1(&inactive), clock_backend()]).await;
    node.wait_healthy(&["b1"]).await;
    // Phase 3: and put to rest again: what was known stays, traffic does not go there.
    node.rewrite_objects([f1()], [b1(&inactive).set("Active", false), clock_backend()]).await;
    wait::until_answered("requests are refused", async || {
        let answer = crate::answer(&node, ollamaflow_tests::client::Request::get("/api/tags")).await;
        if answer.status() == 502 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    assert!(health_of(&node, "b1").await["HealthySinceUtc"].is_string());
}
