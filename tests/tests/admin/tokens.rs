//! Admin tokens: made, listed, used and revoked.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use serde_json::json;

use crate::{admin, answer, error, expect, put, shown};

async fn status_with(node: &Node, token: &str) -> u16 {
    answer(node, Request::get("/v1.0/frontends").bearer(token)).await.status()
}

#[tokio::test]
async fn a_token_is_shown_once_works_and_can_be_revoked() {
    let node = Node::builder().start().await;
    let made = expect(&answer(&node, put("/v1.0/tokens", &json!({ "Name": "alice" }))).await, 201);
    let token = made["Token"].as_str().unwrap().to_owned();
    assert_eq!((made["Name"].as_str(), token.len()), (Some("alice"), 64));
    assert_eq!(status_with(&node, &token).await, 200);
    assert_eq!(status_with(&node, &token.to_uppercase()).await, 401);
    let listed = shown(&node, "/v1.0/tokens").await;
    let names: Vec<_> =
        listed.as_array().unwrap().iter().map(|token| (&token["Name"], &token["Source"])).collect();
    assert_eq!(names, [(&json!("file-1"), &json!("File")), (&json!("alice"), &json!("Cluster"))]);
    assert!(listed[1]["CreatedUtc"].is_string() && listed[1]["Revision"].is_u64(), "{listed}");
    assert!(!listed.to_string().contains(&token));
    // It may even revoke itself.
    let revoke = Request::new("DELETE", "/v1.0/tokens/alice").bearer(&token);
    expect(&answer(&node, revoke).await, 204);
    assert_eq!(status_with(&node, &token).await, 401);
    assert!(!node.logs().contains(&token));
}

#[tokio::test]
async fn a_chosen_token_has_to_be_long_and_a_name_new() {
    let node = Node::builder().start().await;
    let chosen = json!({ "Name": "bob", "Token": "correct-horse-battery-staple" });
    let made = expect(&answer(&node, put("/v1.0/tokens", &chosen)).await, 201);
    assert_eq!(made["Token"], "correct-horse-battery-staple");
    assert_eq!(status_with(&node, "correct-horse-battery-staple").await, 200);
    assert!(error(&answer(&node, put("/v1.0/tokens", &chosen)).await, 409, "Conflict").contains("bob"));
    for (wrong, part) in [
        (json!({ "Name": "x", "Token": "short" }), "Token must have 16"),
        (json!({ "Name": "x", "Token": "with spaces in it here" }), "Token must consist of"),
        (json!({ "Token": "correct-horse-battery-staple" }), "Name must not be empty"),
        (json!({ "Name": "a b" }), "Name may only contain"),
        (json!({ "Name": "file-1" }), "Name must not start with file-"),
        (json!({ "Name": "x", "Tokn": "correct-horse-battery-staple" }), "Tokn is not known here"),
        (json!(["x"]), "must be an object"),
    ] {
        let message = error(&answer(&node, put("/v1.0/tokens", &wrong)).await, 400, "BadRequest");
        assert!(message.contains(part), "{message}");
        assert!(!message.contains("with spaces in it here"), "{message}");
    }
}

#[tokio::test]
async fn tokens_of_the_settings_file_are_listed_and_stay() {
    let node = Node::builder()
        .settings(&json!({ "AdminBearerTokens": ["test-token", "second-token"] }))
        .start()
        .await;
    let listed = shown(&node, "/v1.0/tokens").await;
    assert_eq!(
        listed,
        json!([{ "Name": "file-1", "Source": "File" }, { "Name": "file-2", "Source": "File" }])
    );
    let message = error(&answer(&node, admin("DELETE", "/v1.0/tokens/file-2")).await, 409, "Conflict");
    assert!(message.contains("AdminBearerTokens"), "{message}");
    assert_eq!(status_with(&node, "second-token").await, 200);
    assert_eq!(answer(&node, admin("DELETE", "/v1.0/tokens/file-3")).await.status(), 404);
    assert_eq!(answer(&node, admin("DELETE", "/v1.0/tokens/nobody")).await.status(), 404);
}
