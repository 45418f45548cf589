//! Rolls beside each other, beside what an operator does, and beside nodes that are dead.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::cluster::{Cluster, Consistency};

use super::*;

/// A registry with newer versions of these than the two engines behind `b1` and `b2` have.
fn outdated(models: &[&str]) -> (Registry, [SimulatedBackend; 2]) {
    let registry = Registry::new();
    for model in models {
        registry.publish(ModelSpec::named(*model).with_size(10_000_000, 2));
    }
    let engines = [engine(&registry, models), engine(&registry, models)];
    for model in models {
        registry.update(model);
    }
    (registry, engines)
}

async fn node_of(engines: &[SimulatedBackend; 2], models: &[&str]) -> Node {
    let node = Node::builder()
        .frontend(frontend("f").backends(["b1", "b2"]))
        .backend(backend("b1", &engines[0]).set("UnhealthyThreshold", 1))
        .backend(backend("b2", &engines[1]).set("UnhealthyThreshold", 1))
        .start()
        .await;
    node.wait_healthy(&["b1", "b2"]).await;
    for backend in ["b1", "b2"] {
        for model in models {
            until_cell(&node, &format!("{model}:latest"), backend, |cell| cell["Present"] == true).await;
        }
    }
    node
}

async fn begin(node: &Node, model: &str) {
    let (status, body) = node.admin("POST", &format!("/v1.0/models/{model}/roll"), None).await;
    assert_eq!(status, 202, "{body}");
}

/// Phases and details of the roll of a model.
async fn steps(node: &Node, model: &str) -> Vec<(String, String)> {
    let (_, body) = node.admin("GET", "/v1.0/models", None).await;
    let rolls = body["Rolls"].as_array().unwrap();
    let roll = rolls.iter().find(|roll| roll["Model"] == format!("{model}:latest")).unwrap();
    let steps = roll["Steps"].as_array().unwrap().iter();
    steps.map(|step| (step["Phase"].as_str().unwrap().to_owned(), step["Detail"].to_string())).collect()
}

async fn until_phases(node: &Node, model: &str, wanted: [&str; 2]) -> Vec<(String, String)> {
    wait::until_answered_within(&format!("{model} is at {wanted:?}"), LONG, async || {
        let steps = steps(node, model).await;
        let is_so = steps.iter().map(|(phase, _)| phase.as_str()).eq(wanted);
        if is_so { Ok(steps) } else { Err(format!("{steps:?}")) }
    })
    .await
}

async fn state(node: &Node, backend: &str) -> Value {
    node.admin("GET", &format!("/v1.0/backends/{backend}"), None).await.1["State"].clone()
}

#[tokio::test]
async fn a_second_roll_waits_for_the_first_and_leaves_no_backend_out() {
    let (registry, engines) = outdated(&["aa", "bb"]);
    for model in ["aa", "bb"] {
        registry.set_pace(model, 3, Duration::from_millis(300));
    }
    let node = node_of(&engines, &["aa", "bb"]).await;
    begin(&node, "aa").await;
    wait::until("the first backend pulls", || engines[0].stats().pulls_of("aa").at_once == 1).await;
    begin(&node, "bb").await;
    wait::until_answered_within("both have ended", LONG, async || {
        let draining = [state(&node, "b1").await, state(&node, "b2").await];
        assert!(draining.iter().filter(|state| *state == "Draining").count() <= 1, "two drain at once");
        let all = [steps(&node, "aa").await, steps(&node, "bb").await].concat();
        if all.iter().all(|(phase, _)| phase == "Done") { Ok(()) } else { Err(format!("{all:?}")) }
    })
    .await;
    for engine in &engines {
        for model in ["aa", "bb"] {
            assert_eq!(engine.digest_of(model).unwrap(), registry.digest(model));
        }
    }
    assert_eq!((state(&node, "b1").await, state(&node, "b2").await), (json!("Active"), json!("Active")));
}

#[tokio::test]
async fn a_backend_that_is_down_or_off_is_passed_over_and_it_is_told_why() {
    let (_registry, engines) = outdated(&["m"]);
    let node = node_of(&engines, &["m"]).await;
    engines[0].stop();
    node.wait_unhealthy("b1").await;
    begin(&node, "m").await;
    let told = until_phases(&node, "m", ["Skipped", "Skipped"]).await;
    assert!(told[0].1.contains("the backend is down"), "{told:?}");
    assert!(told[1].1.contains("no other backend"), "{told:?}");
    engines[0].restart();
    node.wait_healthy(&["b1"]).await;
    let (status, body) = node.admin("PUT", "/v1.0/backends/b1", Some(&json!({ "State": "Disabled" }))).await;
    assert_eq!(status, 200, "{body}");
    begin(&node, "m").await;
    let told = until_phases(&node, "m", ["Skipped", "Skipped"]).await;
    assert!(told[0].1.contains("State is Disabled"), "{told:?}");
}

#[tokio::test]
async fn a_state_that_an_operator_sets_during_a_step_stays() {
    let (registry, engines) = outdated(&["m"]);
    registry.set_pace("m", 10, Duration::from_secs(3600));
    let node = node_of(&engines, &["m"]).await;
    begin(&node, "m").await;
    wait::until("the first backend pulls", || engines[0].stats().pulls_of("m").at_once == 1).await;
    let (status, body) = node.admin("PUT", "/v1.0/backends/b1", Some(&json!({ "State": "Draining" }))).await;
    assert_eq!(status, 200, "{body}");
    registry.fail("m", ollamaflow_tests::simulated::PullFault::Unavailable);
    registry.set_pace("m", 2, Duration::ZERO);
    engines[0].stop();
    engines[0].restart();
    until_phases(&node, "m", ["Failed", "Skipped"]).await;
    assert_eq!((state(&node, "b1").await, state(&node, "b2").await), (json!("Draining"), json!("Active")));
}

#[tokio::test]
async fn a_roll_does_not_wait_for_a_dead_node_to_tell_that_it_is_idle() {
    let (registry, engines) = outdated(&["m"]);
    let mut cluster = Cluster::builder()
        .frontend(frontend("f").backends(["b1", "b2"]))
        .backend(backend("b1", &engines[0]))
        .backend(backend("b2", &engines[1]))
        .start()
        .await;
    let leader = cluster.leader().await;
    let dead = cluster.followers().await[0];
    wait::until_answered("the models are known", async || {
        let matrix = cluster.admin(leader).read("/v1.0/models", Consistency::Local).await?;
        let is_there = |backend| of_matrix(&matrix, "m:latest", backend)["Present"] == true;
        if is_there("b1") && is_there("b2") { Ok(()) } else { Err(matrix.to_string()) }
    })
    .await;
    cluster.kill(dead);
    let roll = Request::post("/v1.0/models/m/roll?drain_ms=3600000");
    let answer = cluster.admin(leader).send(roll).await.unwrap();
    assert_eq!(answer.status(), 202, "{}", answer.text());
    wait::until_within("both are updated without an hour's wait", LONG, || {
        engines.iter().all(|engine| engine.digest_of("m").unwrap() == registry.digest("m"))
    })
    .await;
}
