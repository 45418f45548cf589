//! Which backends a change goes to.

use ollamaflow_tests::client::{Frame, Request};
use ollamaflow_tests::objects::Backend;
use ollamaflow_tests::simulated::{FaultKind, SimConfig, SimulatedBackend};
use serde_json::json;

use crate::{
    answer, backends, delete, error, lines, models, node_of, property, pull, registry, setup, success, told,
};

const FILTER: &str = "X-OllamaFlow-Backend-Filter";

#[tokio::test]
async fn a_change_goes_to_every_ollama_backend_of_the_frontend_and_to_no_other() {
    let backends = backends::<3>(&registry(), &["m"]);
    let engine = SimulatedBackend::start(SimConfig::openai(["m"]));
    let node = setup(&backends).backend_with(&engine, Backend::openai).start().await;
    let answer = answer(node.addr(), delete("m")).await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, ""));
    assert_eq!(told(&answer), "b1=done, b2=done, b3=done");
    assert_eq!(answer.header("x-ollamaflow-decision"), Some("EachBackend"));
    assert_eq!(answer.header("x-ollamaflow-attempts"), Some("3"));
    assert!(backends.iter().all(|backend| models(backend).is_empty()));
    assert!(engine.requests_to("/api/delete").is_empty());
}

#[tokio::test]
async fn the_filter_narrows_it_to_the_backends_it_names() {
    let backends = backends::<3>(&registry(), &["m"]);
    let node = node_of(&backends).await;
    let answer = answer(node.addr(), delete("m").header(FILTER, "b1, b3")).await;
    assert_eq!((answer.status(), told(&answer)), (200, "b1=done, b3=done"));
    let left = backends.each_ref().map(|backend| models(backend).len());
    assert_eq!(left, [0, 1, 0]);
}

#[tokio::test]
async fn labels_narrow_it_to_the_backends_that_have_them() {
    let backends = backends::<2>(&registry(), &["m"]);
    let node = setup(&backends[..1])
        .backend_with(&backends[1], |backend| backend.set("Labels", json!(["eu"])))
        .start()
        .await;
    let told_of = answer(node.addr(), delete("m").header("X-OllamaFlow-Label", "eu")).await;
    assert_eq!((told_of.status(), told(&told_of)), (200, "b2=done"));
    let nobody = answer(node.addr(), delete("m").header("X-OllamaFlow-Label", "us")).await;
    assert_eq!(nobody.status(), 503);
    assert!(error(&nobody.json()).contains("labels"), "{}", nobody.text());
    assert_eq!(models(&backends[0]).len(), 1);
}

#[tokio::test]
async fn a_filter_that_names_no_backend_of_the_frontend_is_refused_by_that_name() {
    let backends = backends::<1>(&registry(), &["m"]);
    let engine = SimulatedBackend::start(SimConfig::openai(["m"]));
    let node = setup(&backends).backend_with(&engine, Backend::openai).start().await;
    for (filter, name) in [("b1,b7", "'b7'"), ("b2", "'b2'")] {
        let answer = answer(node.addr(), delete("m").header(FILTER, filter)).await;
        assert_eq!(answer.status(), 400);
        assert!(error(&answer.json()).contains(name), "{}", answer.text());
    }
    assert_eq!(models(&backends[0]).len(), 1);
}

#[tokio::test]
async fn a_narrowed_change_leaves_the_required_models_alone() {
    let backends = backends::<2>(&registry(), &["m"]);
    let node = setup(&backends).frontend("RequiredModels", json!(["m"])).start().await;
    assert_eq!(answer(node.addr(), delete("m").header(FILTER, "b1")).await.status(), 200);
    assert_eq!(lines(node.addr(), pull().header(FILTER, "b1")).await.last(), Some(&success()));
    assert_eq!(property(&node, "RequiredModels").await, json!(["m"]));
}

#[tokio::test]
async fn a_backend_that_is_down_is_passed_over_and_the_answer_says_so() {
    let backends = backends::<2>(&registry(), &["m"]);
    backends[1].stop();
    let node = setup(&backends).start_with_healthy(&["b1"]).await;
    let response = pull().send(node.addr()).await;
    assert_eq!(response.header("x-ollamaflow-backends"), Some("b1=asked, b2=unhealthy"));
    let lines: Vec<_> = response.lines().collect().await.0.iter().map(Frame::json).collect();
    assert_eq!(lines[0], json!({ "status": "passed over: b2 is unhealthy" }));
    assert_eq!(lines.last(), Some(&success()));
    assert_eq!(models(&backends[0]), ["m:latest", "new:latest"]);
}

#[tokio::test]
async fn a_backend_that_seems_healthy_and_cannot_be_reached_fails_the_change() {
    let backends = backends::<2>(&registry(), &["m"]);
    let node = node_of(&backends).await;
    backends[1].set_fault(FaultKind::refuse());
    let answer = answer(node.addr(), delete("m")).await;
    assert_eq!((answer.status(), told(&answer)), (502, "b1=done, b2=failed"));
    assert!(error(&answer.json()).starts_with("backend b2: it could not be reached"), "{}", answer.text());
}

#[tokio::test]
async fn a_backend_that_is_drained_pulls_nothing_and_deletes() {
    let backends = backends::<2>(&registry(), &["m"]);
    let node = setup(&backends[..1])
        .backend_with(&backends[1], |backend| backend.set("State", "Draining"))
        .start()
        .await;
    assert_eq!(lines(node.addr(), pull()).await.last(), Some(&success()));
    let deleted = answer(node.addr(), delete("m")).await;
    assert_eq!((deleted.status(), told(&deleted)), (200, "b1=done, b2=done"));
    assert_eq!((models(&backends[0]), models(&backends[1]).len()), (vec!["new:latest".to_owned()], 0));
}

#[tokio::test]
async fn with_no_backend_that_can_be_asked_the_answer_says_how_each_stands() {
    let backends = backends::<2>(&registry(), &["m"]);
    backends[0].stop();
    let node = setup(&backends[..1])
        .backend_with(&backends[1], |backend| backend.set("State", "Draining"))
        .start_with_healthy(&[])
        .await;
    let answer = answer(node.addr(), pull()).await;
    assert_eq!(answer.status(), 503);
    let why = answer.json();
    assert!(error(&why).contains("b1 is unhealthy") && error(&why).contains("b2 is draining"), "{why}");
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn a_change_takes_no_slot_of_its_backends() {
    let backends = backends::<1>(&registry(), &["m"]);
    let node = ollamaflow_tests::setup::Setup::new()
        .backend_with(&backends[0], |backend| backend.set("MaxParallelRequests", 1))
        .start()
        .await;
    backends[0].knobs(|knobs| {
        knobs.endless = true;
        knobs.tokens_per_second = 1.0;
    });
    let chat = json!({ "model": "m", "messages": [{ "role": "user", "content": "hello" }] });
    let held = Request::post("/api/chat").json(&chat).send(node.addr()).await;
    assert_eq!(held.status(), 200);
    assert_eq!(lines(node.addr(), pull()).await.last(), Some(&success()));
    held.abort();
}
