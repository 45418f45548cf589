//! Models over many backends.

use ollamaflow_tests::simulated::{ModelSpec, Registry, SimConfig, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::program::Operator;
use crate::{World, node_of};

/// Backends with the model `m`, and a registry in which there is `new`.
async fn world() -> (Registry, World) {
    let registry = Registry::new();
    registry.publish(ModelSpec::named("m"));
    registry.publish(ModelSpec::named("new").with_size(10_000_000, 2));
    let backends: [_; 2] =
        std::array::from_fn(|_| SimulatedBackend::start(SimConfig::ollama(["m"]).with_registry(&registry)));
    (registry, node_of(backends).await)
}

fn has(backend: &SimulatedBackend, model: &str) -> bool {
    backend.installed_models().iter().any(|known| known.starts_with(model))
}

#[tokio::test]
async fn a_pull_brings_a_model_everywhere_and_a_removal_takes_it_away() {
    let (_registry, node) = world().await;
    let backends = &node.backends;
    let operator = Operator::of(&node);
    let told = operator.done("models pull new").await;
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.first(), Some(&"pulling manifest"), "{told}");
    assert_eq!(lines.last(), Some(&"new was pulled to b1, b2"), "{told}");
    assert!(!told.contains('\u{1b}'), "no bars where nobody sees them: {told}");
    assert!(backends.iter().all(|backend| has(backend, "new")));
    assert_eq!(operator.json("frontends get f").await["RequiredModels"], json!(["new"]));
    let list = operator.done("models list new").await;
    assert_eq!(list.matches("required").count(), 2, "{list}");
    assert_eq!(operator.json("models list new").await["Models"].as_array().unwrap().len(), 1);
    let removed = operator.json("models remove new").await;
    assert_eq!(removed["Backends"], "b1=done, b2=done");
    assert!(!backends.iter().any(|backend| has(backend, "new")));
    assert!(operator.fails("models list new", 5).await.contains("models pull"));
    operator.fails("models remove new", 5).await;
}

#[tokio::test]
async fn with_json_a_pull_is_the_lines_of_its_progress() {
    let (_registry, node) = world().await;
    let backends = &node.backends;
    let told = Operator::of(&node).done("models pull new --backend b2 --json").await;
    let lines: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.first(), Some(&json!({ "status": "pulling manifest" })));
    assert_eq!(lines.last(), Some(&json!({ "status": "success" })));
    assert!(has(&backends[1], "new") && !has(&backends[0], "new"), "only where it was asked for");
}

#[tokio::test]
async fn a_pull_that_fails_says_why_and_has_an_exit_code() {
    let (_registry, node) = world().await;
    let backends = &node.backends;
    let operator = Operator::of(&node);
    backends[1].knobs(|knobs| knobs.unpullable = vec!["new".to_owned()]);
    let printed = operator.run("models pull new").await;
    assert_eq!(printed.code, 1, "{printed:?}");
    assert!(printed.stderr.contains("new was not pulled everywhere: "), "{printed:?}");
    assert!(operator.fails("models pull new --frontend g", 5).await.contains("must be one of f"));
    operator.done("frontends set f AllowModelManagement=false").await;
    assert!(operator.fails("models pull new", 1).await.contains("AllowModelManagement=true"));
}

#[tokio::test]
async fn a_plan_tells_and_a_roll_does() {
    let (registry, node) = world().await;
    let backends = &node.backends;
    let operator = Operator::of(&node);
    assert_eq!(operator.done("models plan").await, "nothing to do\n");
    assert_eq!(operator.json("models plan").await["Actions"], json!([]));
    assert!(operator.done("models reconcile").await.contains("asked for"));
    registry.update("m");
    assert!(operator.done("models roll m").await.contains("b1, b2, in this order"));
    let digest = registry.digest("m");
    wait::until("both are updated", || {
        backends.iter().all(|backend| backend.digest_of("m").as_deref() == Some(&*digest))
    })
    .await;
    operator.fails("models roll nope", 5).await;
}
