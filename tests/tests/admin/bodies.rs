//! Bodies: bounded, whole, and JSON.

use ollamaflow_tests::client::RawConnection;
use ollamaflow_tests::node::ADMIN_TOKEN;
use serde_json::{Value, json};

use crate::{admin, answer, error, expect, pair, put, shown};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_body_that_is_missing_or_no_json_is_a_400_that_says_so() {
    let node = pair().start().await;
    for path in ["/v1.0/backends", "/v1.0/backends/b1", "/v1.0/frontends/f1", "/v1.0/catalog", "/v1.0/tokens"]
    {
        for empty in [admin("PUT", path), admin("PUT", path).body(" \r\n")] {
            assert!(error(&answer(&node, empty).await, 400, "BadRequest").contains("no body"), "{path}");
        }
        for broken in ["{", "name", "{\"Name\": \"a\",}", "{} {}", "\u{feff}{}"] {
            let message = error(&answer(&node, admin("PUT", path).body(broken)).await, 400, "BadRequest");
            assert!(message.contains("line 1"), "{path} {broken}: {message}");
        }
    }
}

#[tokio::test]
async fn json_that_is_nested_without_end_is_a_400() {
    let node = pair().start().await;
    let deep = format!("{{\"Labels\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for path in ["/v1.0/backends/b1", "/v1.0/catalog"] {
        error(&answer(&node, admin("PUT", path).body(deep.clone())).await, 400, "BadRequest");
    }
    // As deep as stored values may be nested.
    let nested = (0..200).fold(json!(1), |inner, _| json!({ "a": inner }));
    let body = json!({ "PinnedCompletionsProperties": nested });
    error(&answer(&node, put("/v1.0/backends/b1", &body)).await, 400, "BadRequest");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_a_413_that_the_client_gets_to_read() {
    let node = pair().start().await;
    let body = |bytes: usize| json!({ "Name": "x".repeat(bytes) }).to_string();
    for (path, limit) in [("/v1.0/backends/b1", MIB), ("/v1.0/tokens", MIB), ("/v1.0/catalog", 5 * MIB)] {
        for bytes in [limit + 1, 3 * limit] {
            let whole = answer(&node, admin("PUT", path).body(body(bytes))).await;
            assert!(error(&whole, 413, "TooLarge").contains(&limit.to_string()), "{path}");
        }
        let chunked = admin("PUT", path).body(body(limit + 1)).chunked(64 * 1024);
        error(&answer(&node, chunked).await, 413, "TooLarge");
    }
    assert_eq!(shown(&node, "/v1.0/backends/b1").await["Name"], "b1");
}

#[tokio::test]
async fn a_body_that_is_announced_too_large_is_a_413_before_it_is_sent() {
    let node = pair().start().await;
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    let head = format!(
        "PUT /v1.0/backends/b1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\nContent-Length: 9999999\r\n\r\n"
    );
    connection.send(head).await.unwrap();
    let (answer, _) = connection.response().await.unwrap().collect_reusable().await;
    error(&answer, 413, "TooLarge");
}

#[tokio::test]
async fn an_object_that_is_too_large_to_be_stored_is_a_413_too() {
    let node = pair().start().await;
    let labels: Vec<Value> = (0..9000).map(|n| json!(format!("label-{n}"))).collect();
    let message =
        error(&answer(&node, put("/v1.0/backends/b1", &json!({ "Labels": labels }))).await, 413, "TooLarge");
    assert!(message.contains("backend b1 would take"), "{message}");
}

#[tokio::test]
async fn a_body_in_chunks_is_taken() {
    let node = pair().start().await;
    let chunked = put("/v1.0/backends/b1", &json!({ "Name": "chunked" })).chunked(3);
    assert_eq!(expect(&answer(&node, chunked).await, 200)["Name"], "chunked");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_a_408() {
    let impatient = json!({ "Webserver": { "IO": { "ReadTimeoutMs": 200 } } });
    let node = pair().settings(&impatient).start().await;
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    let head = format!(
        "PUT /v1.0/backends/b1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\nContent-Length: 100\r\n\r\n{{"
    );
    connection.send(head).await.unwrap();
    let (answer, _) = connection.response().await.unwrap().collect_reusable().await;
    error(&answer, 408, "BadRequest");
}
