//! `/livez` and `/readyz`.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::{Node, Signal};
use ollamaflow_tests::objects::backend;
use ollamaflow_tests::simulated::FaultKind;
use ollamaflow_tests::wait;
use serde_json::json;

use crate::{answer, engine, expect, f1, nowhere, pair};

/// Waits until the node wants clients.
async fn until_ready(node: &Node) {
    wait::until_answered("the node is ready", async || {
        let ready = answer(node, Request::get("/readyz")).await;
        if ready.status() == 200 { Ok(()) } else { Err(ready.text()) }
    })
    .await;
}

#[tokio::test]
async fn the_probes_need_no_token_and_no_host() {
    let node = pair().start().await;
    until_ready(&node).await;
    for host in ["127.0.0.1", "stranger.example"] {
        let live = answer(&node, Request::get("/livez").host(host)).await;
        assert_eq!(expect(&live, 200), json!({ "Live": true }));
        let ready = answer(&node, Request::get("/readyz").host(host)).await;
        assert_eq!(expect(&ready, 200), json!({ "Ready": true, "Reasons": [] }));
    }
    for path in ["/livez", "/readyz"] {
        let head = answer(&node, Request::new("HEAD", path)).await;
        assert_eq!((head.status(), head.body.len()), (200, 0));
        let post = answer(&node, Request::post(path)).await;
        assert_eq!((post.status(), post.header("Allow")), (405, Some("GET, HEAD")));
    }
}

#[tokio::test]
async fn a_node_wants_no_clients_before_it_has_found_out_about_its_backends() {
    let engine = engine();
    engine.set_fault(FaultKind::HangBeforeHeaders { for_ms: None }.path("/"));
    let node = Node::builder()
        .frontend(f1())
        .backend(backend("b1", &engine).set("UnhealthyThreshold", 100))
        .backend(backend("off", nowhere()).set("Active", false))
        .start()
        .await;
    let early = answer(&node, Request::get("/readyz")).await;
    let body = expect(&early, 503);
    assert_eq!(body["Ready"], false);
    assert!(body["Reasons"][0].as_str().unwrap().contains("which backends are healthy"), "{body}");
    assert_eq!(answer(&node, Request::get("/livez")).await.status(), 200);
    engine.clear_faults();
    until_ready(&node).await;
    // What comes later is no reason any more, and neither are backends that fail.
    engine.set_fault(FaultKind::HangBeforeHeaders { for_ms: None }.path("/"));
    node.rewrite_objects([f1()], [backend("b1", &engine), backend("b2", &engine)]).await;
    node.wait_unhealthy("b1").await;
    assert_eq!(answer(&node, Request::get("/readyz")).await.status(), 200);
}

#[tokio::test]
async fn backends_that_never_answer_do_not_keep_a_node_from_its_clients() {
    let engine = engine();
    engine.set_fault(FaultKind::HangBeforeHeaders { for_ms: None }.path("/"));
    let never = json!({ "HealthCheck": { "TimeoutMs": 60_000 } });
    let node = Node::builder().frontend(f1()).backend(backend("b1", &engine)).settings(&never).start().await;
    until_ready(&node).await;
}

#[tokio::test]
async fn a_node_alone_stops_without_delay() {
    let mut node = pair().start().await;
    node.signal(Signal::Term);
    assert!(node.wait_exit().await.success());
}
