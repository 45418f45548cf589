//! Who changed what and when, and the way back.

use ollamaflow_tests::client::Request;
use serde_json::{Value, json};

use crate::{admin, answer, error, expect, named, pair, put, revision, shown};

#[tokio::test]
async fn the_history_tells_who_changed_what_newest_first() {
    let node = pair().start().await;
    let alice = expect(&answer(&node, put("/v1.0/tokens", &json!({ "Name": "alice" }))).await, 201);
    let token = alice["Token"].as_str().unwrap();
    let by_alice =
        Request::new("PUT", "/v1.0/backends/b1").bearer(token).json(&json!({ "Port": 2, "Name": "n" }));
    expect(&answer(&node, by_alice).await, 200);
    expect(&answer(&node, admin("DELETE", "/v1.0/frontends/f1")).await, 204);
    let history = shown(&node, "/v1.0/history").await;
    let changes = history.as_array().unwrap();
    let told: Vec<_> = changes
        .iter()
        .map(|change| {
            let text = |name: &str| change[name].as_str().unwrap().to_owned();
            (text("By"), text("Action"), text("Kind"), text("Identifier"))
        })
        .collect();
    let told: Vec<_> =
        told.iter().map(|(a, b, c, d)| (a.as_str(), b.as_str(), c.as_str(), d.as_str())).collect();
    assert_eq!(
        told[..3],
        [
            ("file-1", "Delete", "Frontend", "f1"),
            ("alice", "Update", "Backend", "b1"),
            ("file-1", "Create", "Token", "alice")
        ]
    );
    assert_eq!(changes[1]["What"], "changed Name, Port of backend b1");
    let revisions: Vec<u64> = changes.iter().map(|change| change["Revision"].as_u64().unwrap()).collect();
    assert!(revisions.is_sorted_by(|newer, older| newer == &(older + 1)), "{revisions:?}");
    for change in changes {
        assert!(change["AtUtc"].as_str().unwrap().ends_with('Z'), "{change}");
        assert!(change["Node"].is_u64(), "{change}");
    }
    assert!(!history.to_string().contains(token));
}

#[tokio::test]
async fn the_history_keeps_the_last_hundred_changes() {
    let node = pair().start().await;
    for port in 1..=120 {
        expect(&answer(&node, put("/v1.0/backends/b1", &json!({ "Port": port + 1 }))).await, 200);
    }
    let history = shown(&node, "/v1.0/history").await;
    assert_eq!(history.as_array().unwrap().len(), 100);
    assert_eq!(history[0]["Revision"].as_u64().unwrap(), revision(&node).await);
    // What is older cannot be restored, and the answer says what can.
    let message = error(&answer(&node, admin("POST", "/v1.0/rollback/2")).await, 404, "NotFound");
    assert!(message.contains("the history holds the revisions from"), "{message}");
}

#[tokio::test]
async fn a_rollback_restores_what_was_and_nothing_else() {
    let node = pair().start().await;
    expect(&answer(&node, put("/v1.0/backends/b1", &json!({ "BearerToken": "hunter2" }))).await, 200);
    let then = revision(&node).await;
    let before = shown(&node, "/v1.0/catalog").await;
    expect(&answer(&node, put("/v1.0/tokens", &json!({ "Name": "alice" }))).await, 201);
    expect(&answer(&node, put("/v1.0/backends", &named("b2"))).await, 201);
    expect(&answer(&node, put("/v1.0/backends/b1", &json!({ "BearerToken": null, "Name": "x" }))).await, 200);
    expect(&answer(&node, admin("DELETE", "/v1.0/frontends/f1")).await, 204);
    let now = revision(&node).await;
    let done = expect(&answer(&node, admin("POST", &format!("/v1.0/rollback/{then}"))).await, 200);
    assert_eq!(done, json!({ "Revision": now + 1, "ToRevision": then, "Restored": 3 }));
    let after = shown(&node, "/v1.0/catalog").await;
    let content = |catalog: &Value| {
        let mut catalog = catalog.clone();
        catalog["Revision"] = Value::Null;
        catalog["Frontends"][0]["Revision"] = Value::Null;
        catalog["Backends"][0]["Revision"] = Value::Null;
        catalog
    };
    assert_eq!(content(&after), content(&before));
    let tokens = shown(&node, "/v1.0/tokens").await;
    assert!(tokens.to_string().contains("alice"), "{tokens}");
    assert_eq!(shown(&node, "/v1.0/history").await[0]["Action"], "Rollback");
    // Once more there is nothing to do.
    let again = expect(&answer(&node, admin("POST", &format!("/v1.0/rollback/{then}"))).await, 200);
    assert_eq!(again, json!({ "Revision": now + 1, "ToRevision": then, "Restored": 0 }));
}

#[tokio::test]
async fn a_rollback_can_be_bound_to_the_catalog_that_was_seen() {
    let node = pair().start().await;
    let tag = answer(&node, admin("GET", "/v1.0/catalog")).await.header("ETag").unwrap().to_owned();
    expect(&answer(&node, put("/v1.0/backends", &named("b2"))).await, 201);
    let rollback = |tag: &str| admin("POST", "/v1.0/rollback/1").header("If-Match", tag);
    assert_eq!(answer(&node, rollback(&tag)).await.status(), 412);
    let tag = answer(&node, admin("GET", "/v1.0/catalog")).await.header("ETag").unwrap().to_owned();
    expect(&answer(&node, rollback(&tag)).await, 200);
    for wrong in ["first", "-1", "1.5", "99999999999999999999999"] {
        let path = format!("/v1.0/rollback/{wrong}");
        assert!(
            error(&answer(&node, admin("POST", &path)).await, 400, "BadRequest").contains("not a revision")
        );
    }
}
