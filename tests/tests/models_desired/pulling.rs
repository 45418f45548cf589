//! Required models: pulled where they are missing, once; and what is told of those that cannot be pulled.

use std::time::Duration;

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::{backend, frontend};
use ollamaflow_tests::simulated::{PullFault, SimConfig, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::json;

use super::*;

#[tokio::test]
async fn a_missing_model_is_pulled_and_shown_with_what_it_takes() {
    let registry = registry();
    let engine = engine(&registry, &["other"]);
    registry.set_pace("m", 20, Duration::from_millis(100));
    let node = started(wanting("RequiredModels", &["m"]), &engine).await;
    let pulling = until_cell(&node, "m:latest", "b1", |cell| !cell["PullingPercent"].is_null()).await;
    assert_eq!((&pulling["Required"], &pulling["Present"]), (&json!(true), &json!(false)), "{pulling}");
    assert_eq!(pulling["Reason"], "it is being pulled");
    let there = until_cell(&node, "m:latest", "b1", |cell| cell["Present"] == true).await;
    let known = until_cell(&node, "m:latest", "b1", |cell| cell["PullingPercent"].is_null()).await;
    assert_eq!((&known["Digest"], &known["Reason"]), (&there["Digest"], &json!(null)));
    assert_eq!(known["Digest"], registry.digest("m"));
    assert_eq!(pulls_begun(&engine, "m"), 1);
    let metrics = node.metrics().await;
    assert_eq!(metrics.sum("ollamaflow_models_missing", &[]), Some(0.0));
    assert_eq!(metrics.sum("ollamaflow_model_works", &[("kind", "pull"), ("state", "running")]), Some(0.0));
}

#[tokio::test]
async fn any_tag_satisfies_a_wish_without_one_and_nothing_is_pulled() {
    let registry = registry();
    let engine = engine(&registry, &["all-minilm:33m"]);
    let node = started(wanting("RequiredModels", &["all-minilm", "m"]), &engine).await;
    until_installed(&engine, "m").await;
    until_told(&node, "all-minilm:latest", "b1", "all-minilm:33m is there for it").await;
    assert_eq!(pulls_begun(&engine, "all-minilm"), 0);
}

#[tokio::test]
async fn what_two_frontends_require_is_pulled_once() {
    let registry = registry();
    let engine = engine(&registry, &[]);
    registry.set_pace("m", 5, Duration::from_millis(50));
    let requiring = |id: &str, host: &str, model: &str| {
        frontend(id).hostname(host).backends(["b1"]).set("RequiredModels", json!([model]))
    };
    let node = Node::builder()
        .frontend(requiring("f1", "one", "m"))
        .frontend(requiring("f2", "two", "library/M:latest"))
        .backend(b1(&engine))
        .start()
        .await;
    until_installed(&engine, "m").await;
    until_cell(&node, "m:latest", "b1", |cell| cell["Present"] == true && cell["Reason"].is_null()).await;
    assert_eq!(pulls_begun(&engine, "m"), 1);
}

#[tokio::test]
async fn a_pull_carries_the_credentials_of_the_backend() {
    let registry = registry();
    let engine = engine(&registry, &[]);
    let secured = b1(&engine)
        .set("BearerToken", "secret-of-b1")
        .set("Headers", json!({ "x-team": "blue" }))
        .set("Querystring", "key=7");
    let _node = Node::builder().frontend(wanting("RequiredModels", &["m"])).backend(secured).start().await;
    until_installed(&engine, "m").await;
    let pulls = engine.requests_to("/api/pull");
    let pull = &pulls[0];
    assert_eq!(pull.header("authorization"), Some("Bearer secret-of-b1"));
    assert_eq!(pull.header("x-team"), Some("blue"));
    assert_eq!(pull.query.as_deref(), Some("key=7"));
}

#[tokio::test]
async fn a_model_that_does_not_exist_is_told_of_and_not_asked_for_again_until_somebody_says_so() {
    let registry = registry();
    registry.fail("m", PullFault::NotFound);
    let engine = engine(&registry, &[]);
    let node = started(wanting("RequiredModels", &["m"]), &engine).await;
    until_told(&node, "m:latest", "b1", "there is no such model").await;
    let metrics = node.metrics().await;
    assert_eq!(metrics.sum("ollamaflow_model_works", &[("kind", "pull"), ("state", "final")]), Some(1.0));
    assert_eq!(metrics.sum("ollamaflow_models_missing", &[]), Some(1.0));
    assert_eq!(pulls_begun(&engine, "m"), 1);
    registry.heal("m");
    let (status, body) = node.admin("POST", "/v1.0/models/reconcile", None).await;
    assert_eq!(status, 202, "{body}");
    let action = json!({ "Backend": "b1", "Kind": "Pull", "Model": "m" });
    assert_eq!(body, json!({ "Begins": true, "Actions": [action] }));
    until_installed(&engine, "m").await;
    assert_eq!(pulls_begun(&engine, "m"), 2);
}

#[tokio::test]
async fn a_full_disk_is_told_of_and_the_model_pulled_when_something_was_deleted() {
    let registry = registry();
    registry.fail_times("m", PullFault::DiskFull, 1);
    let engine = engine(&registry, &["big"]);
    let node = started(wanting("RequiredModels", &["m"]), &engine).await;
    until_told(&node, "m:latest", "b1", "the disk is full").await;
    assert_eq!(pulls_begun(&engine, "m"), 1);
    assert!(engine.remove_model("big"));
    // The inventory is read every 30 seconds at least.
    until_installed(&engine, "m").await;
}

#[tokio::test]
async fn a_pull_that_breaks_off_is_tried_again_by_itself() {
    let registry = registry();
    registry.fail_times("m", PullFault::Unavailable, 1);
    let engine = engine(&registry, &[]);
    let node = started(wanting("RequiredModels", &["m"]), &engine).await;
    until_told(&node, "m:latest", "b1", "it is tried again at").await;
    until_installed(&engine, "m").await;
    assert_eq!(pulls_begun(&engine, "m"), 2);
}

#[tokio::test]
async fn an_engine_that_cannot_pull_is_shown_as_such() {
    let engine = SimulatedBackend::start(SimConfig::openai(["served"]));
    let front = frontend("f").backends(["b1"]).set("RequiredModels", json!(["m", "served"]));
    let node = Node::builder().frontend(front).backend(backend("b1", &engine).openai()).start().await;
    node.wait_healthy(&["b1"]).await;
    until_told(&node, "m:latest", "b1", "missing, cannot pull").await;
    until_cell(&node, "served:latest", "b1", |cell| cell["Present"] == true && cell["Reason"].is_null())
        .await;
    assert_eq!(engine.requests_to("/api/pull").len(), 0);
}

#[tokio::test]
async fn nothing_is_begun_at_a_backend_that_drains_or_is_off() {
    let registry = registry();
    let (first, second) = (engine(&registry, &[]), engine(&registry, &[]));
    let front = frontend("f").backends(["b1", "b2"]).set("RequiredModels", json!(["m"]));
    let draining = b1(&first).set("State", "Draining");
    let node = Node::builder()
        .frontend(front)
        .backend(draining.clone())
        .backend(backend("b2", &second))
        .start()
        .await;
    until_installed(&second, "m").await;
    until_told(&node, "m:latest", "b1", "off or does not answer").await;
    assert_eq!(pulls_begun(&first, "m"), 0);
    let active = draining.set("State", "Active").json();
    let (status, body) = node.admin("PUT", "/v1.0/backends/b1", Some(&active)).await;
    assert_eq!(status, 200, "{body}");
    until_installed(&first, "m").await;
}

#[tokio::test]
async fn a_node_that_is_killed_in_the_middle_of_a_pull_goes_on_with_it_at_once() {
    let registry = registry();
    let engine = engine(&registry, &[]);
    registry.set_pace("m", 10, Duration::from_secs(3600));
    let mut node = started(wanting("RequiredModels", &["m"]), &engine).await;
    wait::until_eq("the pull begins", || engine.stats().pulls_of("m").at_once, 1).await;
    node.kill();
    wait::until_eq("the pull ends with the node", || engine.stats().pulls_of("m").at_once, 0).await;
    registry.set_pace("m", 2, Duration::ZERO);
    node.restart().await;
    // Nobody but this node can have held its claim: there is no lease to wait for.
    wait::until("the model is there", || engine.digest_of("m").is_some()).await;
    assert_eq!(engine.stats().pulls_of("m").at_once_max, 1);
}

#[tokio::test]
async fn the_routes_take_their_methods_and_need_a_token() {
    let node = Node::builder().start().await;
    let answer = Request::get("/v1.0/models").send(node.addr()).await.collect().await;
    assert_eq!(answer.status(), 401);
    let (status, body) = node.admin("GET", "/v1.0/models", None).await;
    assert_eq!((status, body), (200, json!({ "Models": [], "Rolls": [] })));
    let (status, body) = node.admin("DELETE", "/v1.0/models/reconcile", None).await;
    assert_eq!(status, 405, "{body}");
    let (status, body) = node.admin("POST", "/v1.0/models/reconcile?validate=true", None).await;
    assert_eq!(status, 400, "{body}");
}

#[tokio::test]
async fn eight_pulls_run_at_once_in_all_and_three_at_a_backend() {
    let registry = registry();
    let models = ["v", "w", "x", "y", "z"];
    for model in models {
        registry.publish(ModelSpec::named(model).with_size(10_000_000, 2));
        registry.set_pace(model, 10, Duration::from_secs(3600));
    }
    let engines = [(); 4].map(|()| engine(&registry, &[]));
    let names = ["b1", "b2", "b3", "b4"];
    let front = frontend("f").backends(names).set("RequiredModels", json!(models));
    let node = names
        .iter()
        .zip(&engines)
        .fold(Node::builder().frontend(front), |node, (name, engine)| node.backend(backend(name, engine)));
    let node = node.start().await;
    let at = |engine: &SimulatedBackend| -> u64 {
        models.iter().map(|model| engine.stats().pulls_of(model).at_once).sum()
    };
    let pulling = || engines.iter().map(at).sum::<u64>();
    wait::until_eq("as many as may be", pulling, 8).await;
    until_told(&node, "z:latest", "b4", "waits for other pulls").await;
    let looks = || engines[0].requests_to("/api/tags").len();
    let before = looks();
    wait::until("it was looked again", || looks() > before + 1).await;
    assert_eq!(pulling(), 8);
    assert!(engines.iter().map(at).all(|own| own <= 3));
}
