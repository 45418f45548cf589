//! The nodes' own listener and those who have no business there.

use std::time::Duration;

use ollamaflow_tests::client::{RawConnection, Request};
use ollamaflow_tests::cluster::Cluster;

use super::create;

/// Not the secret of the other tests' nodes.
const WRONG_SECRET: &str = "another-secret-than-that-of-the-cluster";

#[tokio::test]
async fn a_node_with_a_wrong_secret_gets_nothing_and_is_counted() {
    let mut cluster = Cluster::of_three().await;
    create(&cluster, 0, "b").await;
    let before = cluster.agree().await;
    let counted = rejections(&cluster, 0).await;
    let through = cluster.advertised(0);
    let stranger = cluster
        .start_other(|builder| {
            builder.replace_arg("--cluster-secret", WRONG_SECRET).arg("--join").arg(&through)
        })
        .await;
    ollamaflow_tests::wait::until_answered("the stranger is counted", async || {
        let now = rejections(&cluster, 0).await;
        if now > counted { Ok(()) } else { Err(format!("{now} rejections")) }
    })
    .await;
    let status = cluster.status(stranger).await.unwrap();
    assert_eq!(status.role(), "Forming");
    assert_eq!((status.node_id(), status.get("ClusterId").as_str()), (None, None));
    cluster.kill(stranger);
    let after = cluster.agree().await;
    assert_eq!((after.hash, after.revision), (before.hash, before.revision));
    assert_eq!(cluster.status(0).await.unwrap().member_ids().len(), 3);
}

/// Messages that the node's listener has rejected, by its metrics.
async fn rejections(cluster: &Cluster, node: usize) -> u64 {
    let answer = Request::get("/metrics").send(cluster.node(node).addr()).await.collect().await;
    let text = answer.text();
    let lines = text.lines().filter(|line| line.starts_with("ollamaflow_") && line.contains("rejected"));
    let counts = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are whole and small")]
    counts.map(|count| count as u64).sum()
}

#[tokio::test]
async fn strangers_learn_nothing_and_do_no_harm() {
    let cluster = Cluster::of_three().await;
    create(&cluster, 0, "b").await;
    let before = cluster.agree().await;
    let term = cluster.status(0).await.unwrap().term();
    for node in 0..3 {
        let address = cluster.cluster_listener(node);
        for request in [
            Request::get("/"),
            Request::get("/v1.0/backends").bearer(ollamaflow_tests::node::ADMIN_TOKEN),
            Request::get("/metrics"),
            Request::post("/v1.0/cluster/members").body("{}"),
            Request::post("/raft/append").body(vec![0; 4096]),
            Request::post("/vote").body("x"),
        ] {
            let answer = request.send(address).await.collect().await;
            assert!((400..500).contains(&answer.status()), "{request:?}: {}", answer.status());
            assert!(!answer.text().contains("b\"") && !answer.text().contains(&before.cluster_id));
        }
        for bytes in
            [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"\0\0\0\0", b"GET", b"\r\n\r\n\r\n"]
        {
            let mut connection = RawConnection::open(address).await.unwrap();
            connection.send(bytes).await.unwrap();
            drop(connection);
        }
    }
    // Connections that say nothing take no places from the nodes.
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(RawConnection::open(cluster.cluster_listener(0)).await.unwrap());
    }
    for number in 0..10 {
        create(&cluster, number % 3, &format!("b{number}")).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(silent);
    cluster.agree().await;
    assert_eq!(cluster.status(0).await.unwrap().term(), term);
}
