//! Whoever has written sees it at once on the same node, in the list and in the health list: the page asks for both as soon
//! as the write is answered.

use ollamaflow_tests::cluster::Cluster;
use ollamaflow_tests::node::Node;
use serde_json::json;

use crate::{answer, expect, identifiers, put, shown, with_key};

/// How many backends come and go on a node alone, and on each of two nodes of a cluster.
const ROUNDS: usize = 1000;
const ROUNDS_IN_A_CLUSTER: usize = 100;

#[tokio::test]
async fn rule_5_a_thousand_writes_are_seen_in_both_lists_at_once() {
    let node = Node::builder().start().await;
    come_and_go(&node, ROUNDS).await;
}

#[tokio::test]
async fn rule_5_holds_on_leaders_and_followers() {
    let cluster = Cluster::of_three().await;
    for index in [cluster.leader().await, cluster.followers().await[0]] {
        // The node has what was written through the one before it.
        cluster.agree().await;
        come_and_go(cluster.node(index), ROUNDS_IN_A_CLUSTER).await;
    }
}

/// Backends are created, edited and deleted, and both lists looked at together after each write.
async fn come_and_go(node: &Node, rounds: usize) {
    for round in 0..rounds {
        let id = format!("b{}", round % 10);
        let path = format!("/v1.0/backends/{id}");
        let create = json!({ "Identifier": id, "Active": false, "Name": "created" });
        expect(&answer(node, put("/v1.0/backends", &create)).await, 201);
        assert_shown(node, Some((&id, "created"))).await;
        if round % 10 == 0 {
            expect(&answer(node, put(&path, &json!({ "Name": "edited" }))).await, 200);
            assert_shown(node, Some((&id, "edited"))).await;
        }
        expect(&answer(node, with_key("DELETE", &path)).await, 204);
        assert_shown(node, None).await;
    }
}

async fn assert_shown(node: &Node, only: Option<(&str, &str)>) {
    let (list, health) = tokio::join!(shown(node, "/v1.0/backends"), shown(node, "/v1.0/backends/health"));
    for seen in [&list, &health] {
        match only {
            Some((id, name)) => assert_eq!((identifiers(seen), &seen[0]["Name"]), (vec![id], &json!(name))),
            None => assert_eq!(seen, &json!([])),
        }
    }
}

#[tokio::test]
async fn rule_5_holds_for_frontends() {
    let node = Node::builder().start().await;
    for round in 0..50 {
        let id = format!("f{round}");
        expect(&answer(&node, put("/v1.0/frontends", &json!({ "Identifier": id }))).await, 201);
        assert_eq!(identifiers(&shown(&node, "/v1.0/frontends").await)[0], id);
        expect(&answer(&node, with_key("DELETE", &format!("/v1.0/frontends/{id}"))).await, 204);
        assert_eq!(shown(&node, "/v1.0/frontends").await, json!([]));
    }
}
