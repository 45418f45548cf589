//! Backups, and what is needed to restore them.

use ollamaflow_tests::node::Node;
use serde_json::{Value, json};

use crate::{admin, answer, b1, error, expect, f1, named, put, shown};

async fn secretive() -> Node {
    let backend = b1()
        .set("BearerToken", "hunter2")
        .set("Headers", json!({ "X-Key": "hunter3" }))
        .set("PinnedCompletionsProperties", json!({ "a": [1, 2.5, null, { "b": "c" }] }));
    Node::builder().frontend(f1()).backend(backend).start().await
}

fn restore(backup: &Value) -> ollamaflow_tests::client::Request {
    admin("POST", "/v1.0/cluster/restore").json(backup)
}

#[tokio::test]
async fn a_backup_is_a_file_without_secrets_unless_they_are_asked_for() {
    let node = secretive().await;
    let taken = answer(&node, admin("GET", "/v1.0/cluster/backup")).await;
    let disposition = taken.header("Content-Disposition").unwrap();
    assert!(disposition.starts_with("attachment; filename=\"ollamaflow-"), "{disposition}");
    let backup = expect(&taken, 200);
    let names: Vec<&String> = backup.as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        ["Format", "ClusterId", "Revision", "CreatedUtc", "HasSecrets", "Frontends", "Backends", "Keys"]
    );
    assert_eq!((&backup["Format"], &backup["HasSecrets"]), (&json!(1), &json!(false)));
    assert_eq!(backup["Backends"][0]["BearerToken"], "********");
    assert!(!backup.to_string().contains("hunter"));
    let full = shown(&node, "/v1.0/cluster/backup?secrets=true").await;
    assert_eq!(full["HasSecrets"], true);
    assert_eq!(full["Backends"][0]["BearerToken"], "hunter2");
    assert_eq!(full["Backends"][0]["Headers"]["X-Key"], "hunter3");
    // The catalog never shows them.
    let catalog = shown(&node, "/v1.0/catalog?secrets=true").await;
    assert!(!catalog.to_string().contains("hunter"));
}

#[tokio::test]
async fn a_backup_with_secrets_is_restored_on_another_node() {
    let (one, other) = (secretive().await, Node::builder().start().await);
    let backup = shown(&one, "/v1.0/cluster/backup?secrets=true").await;
    let restored = expect(&answer(&other, restore(&backup)).await, 200);
    assert_eq!(
        restored["Backends"][0]["PinnedCompletionsProperties"],
        json!({ "a": [1, 2.5, null, { "b": "c" }] })
    );
    let again = shown(&other, "/v1.0/cluster/backup?secrets=true").await;
    for (list, object) in [("Frontends", "f1"), ("Backends", "b1")] {
        assert_eq!(again[list][0]["Identifier"], object);
        for (name, value) in backup[list][0].as_object().unwrap() {
            if !["Revision", "LastUpdateUtc"].contains(&name.as_str()) {
                assert_eq!(&again[list][0][name], value, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn a_backup_without_secrets_keeps_those_that_are_stored_and_asks_for_the_others() {
    let node = secretive().await;
    let backup = shown(&node, "/v1.0/cluster/backup").await;
    expect(&answer(&node, put("/v1.0/backends", &named("b2"))).await, 201);
    expect(&answer(&node, put("/v1.0/backends/b1", &json!({ "Name": "changed" }))).await, 200);
    expect(&answer(&node, restore(&backup)).await, 200);
    let full = shown(&node, "/v1.0/cluster/backup?secrets=true").await;
    assert_eq!(
        (&full["Backends"][0]["Name"], &full["Backends"][0]["BearerToken"]),
        (&json!("b1"), &json!("hunter2"))
    );
    assert_eq!(full["Backends"].as_array().unwrap().len(), 1);
    let other = Node::builder().start().await;
    let message = error(&answer(&other, restore(&backup)).await, 400, "BadRequest");
    assert!(message.contains("backend b1") && message.contains("BearerToken"), "{message}");
    assert_eq!(shown(&other, "/v1.0/backends").await, json!([]));
}

#[tokio::test]
async fn a_restore_wants_a_backup_and_heeds_conditions() {
    let node = secretive().await;
    let backup = shown(&node, "/v1.0/cluster/backup").await;
    for (format, part) in
        [(json!(2), "update this node"), (json!("x"), "Format must be 1"), (Value::Null, "Format must be 1")]
    {
        let mut other = backup.clone();
        other["Format"] = format;
        assert!(error(&answer(&node, restore(&other)).await, 400, "BadRequest").contains(part));
    }
    error(&answer(&node, restore(&json!({ "Format": 1 }))).await, 400, "BadRequest");
    assert_eq!(answer(&node, restore(&backup).header("If-Match", "\"0\"")).await.status(), 412);
    let tag = answer(&node, admin("GET", "/v1.0/cluster/backup")).await.header("ETag").unwrap().to_owned();
    assert_eq!(answer(&node, restore(&backup).header("If-Match", &tag)).await.status(), 200);
}
