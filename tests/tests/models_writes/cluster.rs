//! Changes through the nodes of a cluster.

use std::time::Duration;

use ollamaflow_tests::client::Request;
use ollamaflow_tests::cluster::{Cluster, Consistency, Partition};
use ollamaflow_tests::objects::{backend, frontend};
use ollamaflow_tests::simulated::SimulatedBackend;
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::{answer, backends, delete, error, lines, models, pull, registry, success};

/// Three nodes in front of two backends.
async fn three(backends: &[SimulatedBackend; 2]) -> Cluster {
    let frontend = frontend("f").backends(["b1", "b2"]).set("AllowModelManagement", true);
    let object = |name, target| backend(name, target).set("UnhealthyThreshold", 10_000);
    let cluster = Cluster::builder()
        .frontend(frontend)
        .backend(object("b1", &backends[0]))
        .backend(object("b2", &backends[1]))
        .start()
        .await;
    for node in 0..3 {
        cluster.node(node).wait_healthy(&["b1", "b2"]).await;
    }
    cluster
}

async fn required(cluster: &Cluster, node: usize) -> Value {
    let read = cluster.admin(node).read("/v1.0/frontends/f", Consistency::Local).await;
    read.unwrap_or_default()["RequiredModels"].clone()
}

/// Waits until every node knows that these models are required.
async fn wait_required(cluster: &Cluster, models: &Value) {
    for node in 0..3 {
        wait::until_answered("the node knows", async || {
            let known = required(cluster, node).await;
            if known == *models { Ok(()) } else { Err(known.to_string()) }
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_pulled_and_deleted_through_one_node_is_known_to_all() {
    let backends = backends::<2>(&registry(), &[]);
    let cluster = three(&backends).await;
    assert_eq!(lines(cluster.node(1).addr(), pull()).await.last(), Some(&success()));
    wait_required(&cluster, &json!(["new"])).await;
    assert_eq!(answer(cluster.node(2).addr(), delete("new")).await.status(), 200);
    wait_required(&cluster, &json!([])).await;
    for backend in &backends {
        assert!(models(backend).is_empty());
        // Nobody has pulled it a second time for the sake of the frontend.
        assert_eq!(backend.stats().pulls_of("new").begun, 1);
    }
}

#[tokio::test]
async fn what_is_changed_through_one_node_is_in_the_next_list_of_the_others() {
    let backends = backends::<2>(&registry(), &["m"]);
    let cluster = three(&backends).await;
    let listed = async || {
        let mut lists = Vec::new();
        for node in [1, 2] {
            let tags = answer(cluster.node(node).addr(), Request::get("/api/tags")).await.json();
            let models = tags["models"].as_array().unwrap().iter();
            lists.push(models.map(|model| model["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>());
        }
        assert_eq!(lists[0], lists[1]);
        lists.swap_remove(0)
    };
    let node = cluster.node(0).addr();
    let copy = crate::post("/api/copy", &json!({ "source": "m", "destination": "n" }));
    assert_eq!(answer(node, copy).await.status(), 200);
    let mut names = listed().await;
    names.sort();
    assert_eq!(names, ["m:latest", "n:latest"]);
    assert_eq!(answer(node, delete("m")).await.status(), 200);
    assert_eq!(listed().await, ["n:latest"]);
    let create = crate::post("/api/create", &json!({ "model": "made", "from": "n" }));
    assert_eq!(lines(node, create).await.last(), Some(&success()));
    assert!(listed().await.contains(&"made:latest".to_owned()));
}

#[tokio::test]
async fn two_clients_on_two_nodes_pull_the_same_and_no_backend_pulls_twice_at_once() {
    let registry = registry();
    registry.set_pace("new", 10, Duration::from_millis(100));
    let backends = backends::<2>(&registry, &[]);
    let cluster = three(&backends).await;
    let (one, other) =
        tokio::join!(lines(cluster.node(0).addr(), pull()), lines(cluster.node(1).addr(), pull()));
    assert_eq!((one.last(), other.last()), (Some(&success()), Some(&success())));
    for backend in &backends {
        assert_eq!(backend.stats().pulls_of("new").at_once_max, 1);
    }
    wait_required(&cluster, &json!(["new"])).await;
}

#[tokio::test]
async fn concurrent_pulls_of_different_models_are_all_recorded() {
    let backends = backends::<2>(&registry(), &[]);
    let cluster = three(&backends).await;
    let addresses: Vec<_> = (0..3).map(|node| cluster.node(node).addr()).collect();
    let ends = ollamaflow_tests::client::many(6, |number| {
        let address = addresses[number % 3];
        async move {
            let request = crate::post("/api/pull", &json!({ "model": format!("m{number}:1b") }));
            lines(address, request).await.pop()
        }
    })
    .await;
    assert!(ends.iter().all(|end| *end == Some(success())), "{ends:?}");
    wait::until_answered("all are recorded", async || {
        let known: Vec<String> = serde_json::from_value(required(&cluster, 0).await).unwrap_or_default();
        let mut sorted = known.clone();
        sorted.sort();
        let expected: Vec<_> = (0..6).map(|number| format!("m{number}:1b")).collect();
        if sorted == expected { Ok(()) } else { Err(format!("{known:?}")) }
    })
    .await;
}

#[tokio::test]
async fn without_a_quorum_a_deletion_is_refused_before_anything_is_deleted() {
    let backends = backends::<2>(&registry(), &["m"]);
    let cluster = three(&backends).await;
    cluster.isolate(0, Partition::Refused);
    let refused = answer(cluster.node(0).addr(), delete("m")).await;
    assert_eq!(refused.status(), 503, "{}", refused.text());
    assert!(error(&refused.json()).starts_with("nothing was deleted"), "{}", refused.text());
    assert!(backends.iter().all(|backend| models(backend) == ["m:latest"]));
    cluster.heal();
    wait::until_answered_within("it is deleted then", Duration::from_secs(90), async || {
        let answer = answer(cluster.node(0).addr(), delete("m")).await;
        if answer.status() == 200 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
}

#[tokio::test]
async fn who_waits_for_anothers_pull_sees_how_far_it_is() {
    let registry = registry();
    registry.set_pace("new", 25, Duration::from_millis(500));
    let backends = backends::<2>(&registry, &[]);
    let cluster = three(&backends).await;
    let (first, second) =
        tokio::join!(lines(cluster.node(0).addr(), pull()), lines(cluster.node(1).addr(), pull()));
    assert_eq!((first.last(), second.last()), (Some(&success()), Some(&success())));
    let waiting = [first, second].into_iter().flatten().filter_map(|line| {
        let status = line["status"].as_str()?;
        status.strip_suffix(" %").map(str::to_owned)
    });
    assert!(waiting.count() >= 1, "the holder tells it with each renewal, after 10 s");
}
