//! Three nodes: a pull is done once, whoever leads, and neither lost nor doubled when that changes.

use std::time::Duration;

use ollamaflow_tests::client::Request;
use ollamaflow_tests::cluster::{Cluster, Consistency};

use super::*;

/// Three nodes with one frontend that requires `m` of one backend.
async fn cluster(engine: &SimulatedBackend) -> Cluster {
    Cluster::builder().frontend(wanting("RequiredModels", &["m"])).backend(b1(engine)).start().await
}

/// So many steps of a second each a layer takes.
fn slow(registry: &Registry, steps: u64) {
    registry.set_pace("m", steps, Duration::from_secs(1));
}

async fn until_pulling(engine: &SimulatedBackend) {
    wait::until_within("the pull begins", LONG, || engine.stats().pulls_of("m").at_once == 1).await;
}

/// Waits until a node shows the model as it should be.
async fn until_shown(cluster: &Cluster, index: usize) {
    wait::until_answered(&format!("node {index} shows the model"), async || {
        let matrix = cluster.admin(index).read("/v1.0/models", Consistency::Local).await?;
        let cell = of_matrix(&matrix, "m:latest", "b1");
        let is_there =
            cell["Present"] == true && cell["Reason"].is_null() && cell["PullingPercent"].is_null();
        if is_there { Ok(()) } else { Err(cell.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn three_nodes_pull_once_and_all_show_it() {
    let registry = registry();
    slow(&registry, 3);
    let engine = engine(&registry, &[]);
    let cluster = cluster(&engine).await;
    until_installed(&engine, "m").await;
    for index in 0..3 {
        until_shown(&cluster, index).await;
    }
    let pulls = engine.stats().pulls_of("m");
    assert_eq!((pulls.begun, pulls.finished, pulls.at_once_max), (1, 1, 1));
    cluster.agree().await;
}

#[tokio::test]
async fn a_pull_outlives_the_leadership_of_the_node_that_does_it() {
    let registry = registry();
    slow(&registry, 12);
    let engine = engine(&registry, &[]);
    let cluster = cluster(&engine).await;
    until_pulling(&engine).await;
    let leader = cluster.leader().await;
    let write = cluster.admin(leader).write(Request::post("/v1.0/cluster/transfer-leader")).await;
    write.done();
    let next = cluster.leader().await;
    assert_ne!(next, leader);
    until_installed(&engine, "m").await;
    for index in 0..3 {
        until_shown(&cluster, index).await;
    }
    let pulls = engine.stats().pulls_of("m");
    assert_eq!((pulls.begun, pulls.finished, pulls.at_once_max), (1, 1, 1), "neither lost nor doubled");
    cluster.agree().await;
}

#[tokio::test]
async fn the_next_leader_finishes_the_pull_of_a_dead_one_and_never_beside_it() {
    let registry = registry();
    slow(&registry, 3600);
    let engine = engine(&registry, &[]);
    let mut cluster = cluster(&engine).await;
    until_pulling(&engine).await;
    let leader = cluster.leader().await;
    cluster.kill(leader);
    let next = cluster.leader().await;
    registry.set_pace("m", 2, Duration::ZERO);
    until_installed(&engine, "m").await;
    until_shown(&cluster, next).await;
    let pulls = engine.stats().pulls_of("m");
    assert_eq!((pulls.begun, pulls.finished, pulls.at_once_max), (2, 1, 1));
    cluster.start(leader).await;
    cluster.formed(3).await;
    until_shown(&cluster, leader).await;
    assert_eq!(pulls_begun(&engine, "m"), 2, "the node that is back does not go on where it was");
}

#[tokio::test]
async fn a_leader_that_is_stopped_gives_its_pull_up_and_the_next_goes_on_without_waiting_for_the_lease() {
    let registry = registry();
    slow(&registry, 3600);
    let engine = engine(&registry, &[]);
    let mut cluster = cluster(&engine).await;
    until_pulling(&engine).await;
    let leader = cluster.leader().await;
    assert!(cluster.terminate(leader).await.success());
    registry.set_pace("m", 2, Duration::ZERO);
    wait::until("the next leader pulls the model", || engine.digest_of("m").is_some()).await;
    assert_eq!(engine.stats().pulls_of("m").at_once_max, 1);
}

#[tokio::test]
async fn any_node_takes_the_order_to_reconcile() {
    let registry = registry();
    registry.fail("m", ollamaflow_tests::simulated::PullFault::NotFound);
    let engine = engine(&registry, &[]);
    let cluster = cluster(&engine).await;
    wait::until_within("the pull has failed", LONG, || {
        let pulls = engine.stats().pulls_of("m");
        (pulls.begun, pulls.at_once) == (1, 0)
    })
    .await;
    let follower = cluster.followers().await[0];
    wait::until_answered("the follower knows of the failure", async || {
        let matrix = cluster.admin(follower).read("/v1.0/models", Consistency::Local).await?;
        let reason = of_matrix(&matrix, "m:latest", "b1")["Reason"].to_string();
        if reason.contains("there is no such model") { Ok(()) } else { Err(reason) }
    })
    .await;
    registry.heal("m");
    let write = cluster.admin(follower).write(Request::post("/v1.0/models/reconcile")).await;
    assert_eq!(write.done().status(), 202);
    until_installed(&engine, "m").await;
}
