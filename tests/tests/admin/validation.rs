//! `?validate=true`: the answer that a write would get, and no write.

use serde_json::json;

use crate::{admin, answer, error, expect, named, pair, put, revision, shown};

#[tokio::test]
async fn a_rehearsal_answers_like_the_write_and_changes_nothing() {
    let node = pair().start().await;
    let before = (revision(&node).await, shown(&node, "/v1.0/catalog").await);
    let empty = json!({ "Frontends": [], "Backends": [] });
    let good = [
        (201, put("/v1.0/backends?validate=true", &named("b2"))),
        (200, put("/v1.0/backends/b1?validate=true", &json!({ "Name": "new" }))),
        (200, put("/v1.0/frontends/f1?validate=1", &json!({ "Backends": [] }))),
        (204, admin("DELETE", "/v1.0/frontends/f1?validate=true")),
        (204, admin("DELETE", "/v1.0/backends/b1?force=true&validate=true")),
        (200, put("/v1.0/catalog?validate=true", &empty)),
        (200, admin("POST", "/v1.0/rollback/1?validate=true")),
        (201, put("/v1.0/tokens?validate=true", &json!({ "Name": "alice" }))),
    ];
    for (status, request) in good {
        let answer = answer(&node, request).await;
        expect(&answer, status);
        assert_eq!(answer.header("X-OllamaFlow-Validated"), Some("true"));
        // Its revision will never be, or be another one's.
        assert_eq!(answer.header("ETag"), None);
        assert_eq!((revision(&node).await, shown(&node, "/v1.0/catalog").await), before);
    }
    let renamed = answer(&node, put("/v1.0/backends/b1?validate=true", &json!({ "Name": "new" }))).await;
    assert_eq!(renamed.json()["Name"], "new");
}

#[tokio::test]
async fn a_rehearsal_fails_where_the_write_would_fail() {
    let node = pair().start().await;
    let bad = [
        (409, "Conflict", put("/v1.0/backends?validate=true", &named("b1"))),
        (400, "BadRequest", put("/v1.0/backends/b1?validate=true", &json!({ "Port": -1 }))),
        (400, "BadRequest", put("/v1.0/frontends/f1?validate=true", &json!({ "Backends": ["ghost"] }))),
        (404, "NotFound", put("/v1.0/backends/ghost?validate=true", &json!({}))),
        (409, "InUse", admin("DELETE", "/v1.0/backends/b1?validate=true")),
        (412, "Conflict", put("/v1.0/backends/b1?validate=true", &json!({})).header("If-Match", "\"0\"")),
        (404, "NotFound", admin("POST", "/v1.0/rollback/99?validate=true")),
        (400, "BadRequest", put("/v1.0/backends?validate=perhaps", &named("b2"))),
    ];
    for (status, kind, request) in bad {
        error(&answer(&node, request).await, status, kind);
    }
}

#[tokio::test]
async fn what_cannot_be_rehearsed_is_not_done_instead() {
    let node = pair().start().await;
    for request in [
        admin("POST", "/v1.0/cluster/members?validate=true").json(&json!({ "Address": "127.0.0.1:1" })),
        admin("DELETE", "/v1.0/cluster/members/1?validate=true"),
        admin("POST", "/v1.0/cluster/transfer-leader?validate=true"),
        admin("POST", "/v1.0/cluster/snapshot?validate=true"),
    ] {
        assert!(error(&answer(&node, request).await, 400, "BadRequest").contains("validate"));
    }
}
