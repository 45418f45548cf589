//! Writes and what is seen of them, with all nodes there.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::cluster::{Cluster, Consistency, Write, etag};
use serde_json::{Value, json};

use super::{assert_dense, backends, create, creation, history, renaming, resting, scale, wait_present};

/// Writes of the test of reading them at once, unless `OLLAMAFLOW_TEST_WRITES` says otherwise.
const WRITES: usize = 1000;

#[tokio::test]
async fn a_write_on_each_node_is_seen_on_all() {
    let cluster = Cluster::of_three().await;
    for node in 0..3 {
        let id = format!("b{node}");
        let answer = cluster.admin(node).write(creation(&id)).await.done();
        assert_eq!(answer.status(), 201);
        assert_eq!(answer.header("x-ollamaflow-node"), Some(cluster.id(node).await.to_string().as_str()));
        for other in 0..3 {
            wait_present(&cluster, other, &id).await;
        }
    }
    let agreement = cluster.agree().await;
    for node in 0..3 {
        let answer = cluster.admin(node).send(Request::get("/v1.0/backends")).await.unwrap();
        assert_eq!(answer.header("x-ollamaflow-leader"), Some(agreement.leader.to_string().as_str()));
        assert_eq!(answer.header("x-ollamaflow-revision"), Some(agreement.revision.to_string().as_str()));
    }
}

/// Half of the writes go to the leader, half to a follower.
#[tokio::test]
async fn every_write_is_seen_at_once_on_the_node_that_took_it() {
    let cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    let follower = cluster.followers().await[0];
    create(&cluster, leader, "b").await;
    wait_present(&cluster, follower, "b").await;
    let mut admins = [cluster.admin(leader), cluster.admin(follower)];
    for number in 0..scale("OLLAMAFLOW_TEST_WRITES", WRITES) {
        let admin = &mut admins[number % 2];
        let name = format!("name {number}");
        let revision = etag(&admin.write(renaming("b", &name)).await.done()).unwrap();
        let listed = admin.read("/v1.0/backends", Consistency::Local).await.unwrap();
        assert_eq!((&listed[0]["Name"], listed[0]["Revision"].as_u64()), (&json!(name), Some(revision)));
        let health = admin.read("/v1.0/backends/health", Consistency::Local).await.unwrap();
        assert_eq!(health[0]["Name"], json!(name), "write {number}: {health}");
        let status = admin.read("/v1.0/cluster", Consistency::Local).await.unwrap();
        assert!(status["Revision"].as_u64() >= Some(revision), "{status}");
    }
    cluster.agree().await;
}

#[tokio::test]
async fn a_quorum_read_on_any_node_sees_every_confirmed_write() {
    let cluster = Cluster::of_three().await;
    for number in 0..60 {
        let id = format!("b{number}");
        create(&cluster, number % 3, &id).await;
        let elsewhere = (number + 1) % 3;
        let listed = backends(&mut cluster.admin(elsewhere), Consistency::Linearizable).await.unwrap();
        assert!(listed.contains(&id), "{id} is missing on node {elsewhere}");
    }
    cluster.agree().await;
}

#[tokio::test]
async fn a_followers_if_match_is_a_compare_and_swap() {
    let cluster = Cluster::of_three().await;
    let follower = cluster.followers().await[0];
    let mut admin = cluster.admin(follower);
    let first = create(&cluster, follower, "b").await;
    let write = admin.update_backend("b", &json!({ "Name": "second" }), Some(first)).await;
    let second = write.revision().unwrap();
    assert!(second > first);
    // The first revision is gone, on whichever node.
    for node in 0..3 {
        let write = cluster.admin(node).update_backend("b", &json!({ "Name": "stale" }), Some(first)).await;
        assert!(matches!(&write, Write::Refused(answer) if answer.status() == 412), "{write:?}");
    }
    let taken = admin.write(creation("b").header("If-None-Match", "*")).await;
    assert!(matches!(&taken, Write::Refused(answer) if answer.status() == 412), "{taken:?}");
    cluster.agree().await;
}

/// Of many that compare and swap at the same revision, on all nodes at once, one succeeds.
#[tokio::test]
async fn of_concurrent_swaps_one_succeeds() {
    let cluster = Cluster::of_three().await;
    let mut revision = create(&cluster, 0, "b").await;
    for round in 0..20 {
        let addresses = cluster.addresses();
        let writes = ollamaflow_tests::client::many(6, |number| {
            let mut admin = addresses.admin(number % 3);
            let name = json!({ "Name": format!("{round}-{number}") });
            async move { admin.update_backend("b", &name, Some(revision)).await }
        })
        .await;
        let won: Vec<_> = writes.iter().filter_map(Write::revision).collect();
        let lost =
            writes.iter().filter(|w| matches!(w, Write::Refused(answer) if answer.status() == 412)).count();
        assert_eq!((won.len(), lost), (1, 5), "{writes:?}");
        revision = won[0];
    }
    cluster.agree().await;
}

#[tokio::test]
async fn concurrent_writers_on_all_nodes_make_one_dense_order() {
    let cluster = Cluster::of_three().await;
    let before = cluster.agree().await.revision;
    let addresses = cluster.addresses();
    let acknowledged = ollamaflow_tests::client::many(9, |writer| {
        let mut admin = addresses.admin(writer % 3);
        async move {
            let mut revisions = Vec::new();
            for number in 0..10 {
                let write = admin.write(creation(&format!("w{writer}-{number}"))).await;
                revisions.push(etag(&write.done()).unwrap());
            }
            assert!(revisions.is_sorted(), "{revisions:?}");
            revisions
        }
    })
    .await;
    let mut revisions = acknowledged.concat();
    revisions.sort_unstable();
    let expected: Vec<u64> = (before + 1..=before + 90).collect();
    assert_eq!(revisions, expected);
    assert_eq!(cluster.agree().await.revision, before + 90);
    let first = history(&mut cluster.admin(0)).await;
    assert_dense(&first);
    for node in 1..3 {
        assert_eq!(history(&mut cluster.admin(node)).await, first, "node {node}");
    }
}

/// A refusal by a rule is the same on every node, and changes nothing.
#[tokio::test]
async fn rules_are_the_same_on_every_node() {
    let cluster = Cluster::of_three().await;
    create(&cluster, 0, "b").await;
    let frontend = json!({ "Identifier": "f", "Name": "f", "Hostname": "*", "Backends": ["b"] });
    cluster.admin(1).write(Request::new("PUT", "/v1.0/frontends").json(&frontend)).await.done();
    let before = cluster.agree().await;
    let stranger = json!({ "Identifier": "g", "Name": "g", "Hostname": "g", "Backends": ["nobody"] });
    for node in 0..3 {
        let mut admin = cluster.admin(node);
        for (request, status, word) in [
            (creation("b"), 409, "b"),
            (Request::new("PUT", "/v1.0/frontends").json(&stranger), 400, "nobody"),
            (Request::new("DELETE", "/v1.0/backends/b"), 409, "f"),
            (Request::new("DELETE", "/v1.0/backends/nobody"), 404, "nobody"),
        ] {
            match admin.write(request).await {
                Write::Refused(answer) => {
                    assert_eq!(answer.status(), status, "{}", answer.text());
                    assert!(ollamaflow_tests::cluster::message(&answer).contains(word), "{}", answer.text());
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(cluster.agree().await, before);
}

#[tokio::test]
async fn the_whole_catalog_is_replaced_at_once_or_not_at_all() {
    let cluster = Cluster::of_three().await;
    create(&cluster, 0, "old").await;
    let mut admin = cluster.admin(1);
    let exported = admin.send(Request::get("/v1.0/catalog?consistency=linearizable")).await.unwrap();
    let revision = etag(&exported).unwrap();
    let put = |catalog: &Value, at: u64| {
        Request::new("PUT", "/v1.0/catalog").json(catalog).header("If-Match", &format!("\"{at}\""))
    };
    let catalog = json!({ "Frontends": [], "Backends": [resting("n1"), resting("n2")] });
    create(&cluster, 2, "meanwhile").await;
    let stale = admin.write(put(&catalog, revision)).await;
    assert!(matches!(&stale, Write::Refused(answer) if answer.status() == 412), "{stale:?}");
    let exported = admin.send(Request::get("/v1.0/catalog?consistency=linearizable")).await.unwrap();
    admin.write(put(&catalog, etag(&exported).unwrap())).await.done();
    let broken = json!({
        "Frontends": [{ "Identifier": "f", "Name": "f", "Hostname": "*", "Backends": ["nobody"] }],
        "Backends": [resting("n3")],
    });
    let refused = admin.write(Request::new("PUT", "/v1.0/catalog").json(&broken)).await;
    assert!(matches!(&refused, Write::Refused(answer) if answer.status() == 400), "{refused:?}");
    cluster.agree().await;
    for node in 0..3 {
        let mut listed = backends(&mut cluster.admin(node), Consistency::Local).await.unwrap();
        listed.sort_unstable();
        assert_eq!(listed, ["n1", "n2"]);
    }
}
