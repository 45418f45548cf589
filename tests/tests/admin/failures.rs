//! Error bodies: always the same shape, always with a sentence that helps.

use ollamaflow_tests::client::Request;
use serde_json::json;

use crate::{admin, answer, named, pair, put};

#[tokio::test]
async fn every_failure_has_the_body_that_clients_of_the_original_know() {
    let node = pair().start().await;
    let table = [
        (401, "AuthenticationFailed", 401, Request::get("/v1.0/frontends")),
        (401, "AuthenticationFailed", 401, Request::get("/v1.0/nope").bearer("wrong")),
        (400, "BadRequest", 400, put("/v1.0/backends", &json!({}))),
        (400, "BadRequest", 400, admin("PUT", "/v1.0/backends")),
        (404, "NotFound", 404, admin("GET", "/v1.0/backends/ghost")),
        (404, "NotFound", 404, admin("GET", "/v1.0/nope")),
        (404, "NotFound", 404, admin("POST", "/v1.0/rollback/77")),
        (404, "NotFound", 404, admin("DELETE", "/v1.0/tokens/ghost")),
        (405, "BadRequest", 400, admin("POST", "/v1.0/backends")),
        (409, "Conflict", 409, put("/v1.0/backends", &named("b1"))),
        (409, "InUse", 409, admin("DELETE", "/v1.0/backends/b1")),
        (412, "Conflict", 409, put("/v1.0/backends/b1", &json!({})).header("If-Match", "\"0\"")),
        (413, "TooLarge", 413, put("/v1.0/backends", &named(&"x".repeat(1_100_000)))),
    ];
    for (status, kind, code, request) in table {
        let answer = answer(&node, request).await;
        assert_eq!(answer.status(), status, "{}", answer.text());
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        let body = answer.json();
        assert_eq!((&body["Error"], &body["StatusCode"]), (&json!(kind), &json!(code)), "{body}");
        assert!(body["Message"].as_str().unwrap().len() > 10, "{body}");
        let names: Vec<&String> = body.as_object().unwrap().keys().collect();
        assert_eq!(names, ["Error", "Message", "StatusCode"]);
    }
}

#[tokio::test]
async fn every_path_names_the_methods_that_it_takes() {
    let node = pair().start().await;
    for (path, allowed) in [
        ("/v1.0/frontends", "GET, HEAD, PUT"),
        ("/v1.0/frontends/f1", "GET, HEAD, PUT, DELETE"),
        ("/v1.0/backends", "GET, HEAD, PUT"),
        ("/v1.0/backends/b1", "GET, HEAD, PUT, DELETE"),
        ("/v1.0/backends/health", "GET, HEAD"),
        ("/v1.0/backends/b1/health", "GET, HEAD"),
        ("/v1.0/catalog", "GET, HEAD, PUT"),
        ("/v1.0/history", "GET, HEAD"),
        ("/v1.0/rollback/1", "POST"),
        ("/v1.0/tokens", "GET, HEAD, PUT"),
        ("/v1.0/tokens/ghost", "DELETE"),
        ("/v1.0/cluster", "GET, HEAD"),
        ("/v1.0/cluster/members", "GET, HEAD, POST"),
        ("/v1.0/cluster/members/9", "DELETE"),
        ("/v1.0/cluster/transfer-leader", "POST"),
        ("/v1.0/cluster/snapshot", "POST"),
        ("/v1.0/cluster/backup", "GET, HEAD"),
        ("/v1.0/cluster/restore", "POST"),
        ("/livez", "GET, HEAD"),
        ("/readyz", "GET, HEAD"),
    ] {
        for method in ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"] {
            if allowed.split(", ").any(|known| known == method) {
                // Asked in a way that does no harm.
                let answer = answer(&node, admin(method, &format!("{path}?validate=true&force=true"))).await;
                assert_ne!(answer.status(), 405, "{method} {path}");
            } else {
                let answer = answer(&node, admin(method, path)).await;
                assert_eq!(
                    (answer.status(), answer.header("Allow")),
                    (405, Some(allowed)),
                    "{method} {path}"
                );
            }
        }
    }
}
