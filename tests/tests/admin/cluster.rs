//! The cluster as its only node tells of it.

use serde_json::json;

use crate::{admin, answer, error, expect, pair, put, revision, shown};

#[tokio::test]
async fn a_node_alone_is_a_cluster_of_one_that_it_leads() {
    let node = pair().start().await;
    let status = shown(&node, "/v1.0/cluster").await;
    assert_eq!((&status["Role"], &status["HasQuorum"]), (&json!("Leader"), &json!(true)));
    assert_eq!(status["Leader"], status["NodeId"]);
    assert!(status["NodeId"].is_u64() && status["ClusterId"].is_string(), "{status}");
    assert_eq!(status["Revision"].as_u64().unwrap(), revision(&node).await);
    assert_eq!(status["CatalogHash"].as_str().unwrap().len(), 64);
    let members = shown(&node, "/v1.0/cluster/members").await;
    assert_eq!(members, status["Members"]);
    assert_eq!(members.as_array().unwrap().len(), 1);
    let only = &members[0];
    for property in ["IsVoter", "IsLeader", "IsSelf"] {
        assert_eq!(only[property], true, "{property}");
    }
    // A write moves what it should.
    expect(&answer(&node, put("/v1.0/backends/b1", &json!({ "Name": "n" }))).await, 200);
    let after = shown(&node, "/v1.0/cluster").await;
    assert_ne!(after["CatalogHash"], status["CatalogHash"]);
    assert!(after["AppliedIndex"].as_u64() > status["AppliedIndex"].as_u64());
}

#[tokio::test]
async fn what_a_node_alone_cannot_do_is_a_409() {
    let node = pair().start().await;
    let id = shown(&node, "/v1.0/cluster").await["NodeId"].clone();
    let impossible = [
        admin("DELETE", &format!("/v1.0/cluster/members/{id}")),
        admin("POST", "/v1.0/cluster/transfer-leader"),
        admin("POST", "/v1.0/cluster/transfer-leader").json(&json!({})),
        admin("POST", "/v1.0/cluster/transfer-leader").json(&json!({ "NodeId": 77 })),
    ];
    for request in impossible {
        error(&answer(&node, request).await, 409, "Conflict");
    }
    shown(&node, "/v1.0/backends").await;
}

#[tokio::test]
async fn a_snapshot_can_be_asked_for() {
    let node = pair().start().await;
    let written = expect(&answer(&node, admin("POST", "/v1.0/cluster/snapshot")).await, 200);
    assert!(written["Index"].as_u64().unwrap() > 0, "{written}");
}

#[tokio::test]
async fn bodies_that_make_no_sense_are_400s() {
    let node = pair().start().await;
    for (path, body, part) in [
        ("members", json!({}), "Address must be"),
        ("members", json!({ "Address": " " }), "Address must be"),
        ("members", json!({ "Address": 5 }), "Address must be a string"),
        ("members", json!({ "Adress": "h:1" }), "Adress is not known here"),
        ("transfer-leader", json!({ "NodeId": "two" }), "NodeId must be"),
        ("transfer-leader", json!({ "Node": 2 }), "Node is not known here"),
    ] {
        let request = admin("POST", &format!("/v1.0/cluster/{path}")).json(&body);
        let message = error(&answer(&node, request).await, 400, "BadRequest");
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(answer(&node, admin("POST", "/v1.0/cluster/members")).await.status(), 400);
    assert_eq!(answer(&node, admin("DELETE", "/v1.0/cluster/members/two")).await.status(), 404);
}
