//! From directories without anything in them to one cluster.

use ollamaflow_tests::cluster::{Agreement, Cluster};
use ollamaflow_tests::objects::backend;

use super::{create, wait_present};

/// Three nodes that were started one way or another are one cluster, and take a write on each.
async fn is_one_cluster(cluster: Cluster) -> Agreement {
    cluster.formed(3).await;
    for node in 0..3 {
        create(&cluster, node, &format!("b{node}")).await;
    }
    let mut ids = Vec::new();
    for node in 0..3 {
        wait_present(&cluster, node, "b2").await;
        ids.push(cluster.id(node).await);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3, "nodes share ids");
    cluster.agree().await
}

#[tokio::test]
async fn what_starts_together_is_one_cluster() {
    let mut cluster = Cluster::builder().prepare();
    cluster.start_together(&[0, 1, 2]).await;
    is_one_cluster(cluster).await;
}

#[tokio::test]
async fn what_starts_one_after_the_other_is_one_cluster() {
    let mut cluster = Cluster::builder().prepare();
    for node in [0, 1, 2] {
        cluster.start(node).await;
    }
    is_one_cluster(cluster).await;
}

#[tokio::test]
async fn what_starts_in_reverse_is_one_cluster() {
    let mut cluster = Cluster::builder().prepare();
    for node in [2, 1, 0] {
        cluster.start(node).await;
    }
    is_one_cluster(cluster).await;
}

#[tokio::test]
async fn what_dies_while_it_forms_is_one_cluster() {
    let mut cluster = Cluster::builder().prepare();
    cluster.start_together(&[0, 1]).await;
    cluster.kill(1);
    cluster.start_together(&[1, 2]).await;
    cluster.kill(0);
    cluster.start(0).await;
    is_one_cluster(cluster).await;
}

#[tokio::test]
async fn whoever_comes_late_is_let_in() {
    for late in [0, 2] {
        let mut cluster = Cluster::builder().prepare();
        let early: Vec<_> = (0..3).filter(|node| *node != late).collect();
        cluster.start_together(&early).await;
        // Whether two of three go ahead or wait for the third is the cluster's choice. It answers either way.
        for &node in &early {
            cluster.wait_status(node, "gives its status", |status| !status.role().is_empty()).await;
        }
        cluster.start(late).await;
        is_one_cluster(cluster).await;
    }
}

#[tokio::test]
async fn restarts_at_the_same_time_keep_the_cluster() {
    let mut cluster = Cluster::of_three().await;
    create(&cluster, 0, "kept").await;
    let before = cluster.agree().await;
    for _ in 0..2 {
        for node in 0..3 {
            cluster.kill(node);
        }
        cluster.start_together(&[0, 1, 2]).await;
        let after = cluster.formed(3).await;
        assert_eq!((&after.cluster_id, &after.hash), (&before.cluster_id, &before.hash));
    }
}

#[tokio::test]
async fn objects_of_the_settings_file_are_there_once_and_stay_deleted() {
    let seed = backend("seeded", ([127, 0, 0, 1], 9)).set("Active", false);
    let mut cluster = Cluster::builder().backend(seed).start().await;
    for node in 0..3 {
        wait_present(&cluster, node, "seeded").await;
    }
    let deletion = ollamaflow_tests::client::Request::new("DELETE", "/v1.0/backends/seeded");
    cluster.admin(1).write(deletion).await.done();
    for node in 0..3 {
        cluster.kill(node);
    }
    cluster.start_together(&[0, 1, 2]).await;
    cluster.formed(3).await;
    let left =
        super::backends(&mut cluster.admin(0), ollamaflow_tests::cluster::Consistency::Linearizable).await;
    assert_eq!(left, Ok(Vec::new()));
}

#[tokio::test]
async fn one_grows_to_three_by_joining() {
    let mut cluster = Cluster::builder().nodes(1).start().await;
    create(&cluster, 0, "first").await;
    let before = cluster.agree().await;
    for voters in 2..=3 {
        let node = cluster.join_through(voters - 2).await;
        let after = cluster.formed(voters).await;
        assert_eq!(after.cluster_id, before.cluster_id);
        wait_present(&cluster, node, "first").await;
    }
    create(&cluster, 2, "second").await;
    cluster.agree().await;
}

#[tokio::test]
async fn a_node_alone_needs_no_setting() {
    let mut node = ollamaflow_tests::node::Node::builder().start().await;
    let (status, created) = node.admin("PUT", "/v1.0/backends", Some(&super::resting("b"))).await;
    assert_eq!((status, created["Identifier"].as_str()), (201, Some("b")));
    node.restart().await;
    assert_eq!(node.admin("GET", "/v1.0/backends/b", None).await.0, 200);
    let (status, cluster) = node.admin("GET", "/v1.0/cluster", None).await;
    assert_eq!((status, cluster["Role"].as_str()), (200, Some("Leader")), "{cluster}");
}

#[tokio::test]
async fn a_node_of_another_cluster_is_not_merged() {
    let mut cluster = Cluster::of_three().await;
    create(&cluster, 0, "ours").await;
    // The same secret, but a cluster of its own, with content.
    let other = cluster.start_other(|builder| builder).await;
    cluster.wait_status(other, "leads", |status| status.role() == "Leader").await;
    create(&cluster, other, "theirs").await;
    let theirs = cluster.agree_among(&[other]).await;
    let ours = cluster.agree_among(&[0, 1, 2]).await;
    assert_ne!(theirs.cluster_id, ours.cluster_id);

    let body = serde_json::json!({ "Address": cluster.advertised(other) });
    let request = ollamaflow_tests::client::Request::post("/v1.0/cluster/members").json(&body);
    let answer = cluster.admin(0).send(request).await.unwrap();
    assert!((400..500).contains(&answer.status()), "{}: {}", answer.status(), answer.text());

    // Told to join at its next start, it keeps what it is.
    let through = cluster.advertised(0);
    cluster.reconfigure(other, |builder| builder.arg("--join").arg(&through));
    cluster.kill(other);
    if cluster.try_start(other).await.is_ok() {
        cluster.wait_status(other, "leads", |status| status.role() == "Leader").await;
        assert_eq!(cluster.agree_among(&[other]).await, theirs);
    }
    let after = cluster.agree_among(&[0, 1, 2]).await;
    assert_eq!((after.cluster_id, after.hash), (ours.cluster_id, ours.hash));
    assert_eq!(cluster.status(0).await.unwrap().voters().len(), 3);
}
