//! Errors, of which the page shows the `Message` and nothing else.

use ollamaflow_tests::client::Collected;
use ollamaflow_tests::cluster::Cluster;
use ollamaflow_tests::node::{Node, Signal};
use ollamaflow_tests::objects::{backend, frontend};
use serde_json::{Value, json};

use crate::{answer, expect, from_page, message, nowhere, pair, put, with_key};

/// The kinds that clients of the original know, each with the status that belongs to it.
const KINDS: [(&str, u16); 16] = [
    ("AuthenticationFailed", 401),
    ("AuthorizationFailed", 401),
    ("BadGateway", 502),
    ("BadRequest", 400),
    ("Conflict", 409),
    ("DeserializationError", 400),
    ("Inactive", 401),
    ("InternalError", 500),
    ("InvalidRange", 400),
    ("InUse", 409),
    ("NotEmpty", 400),
    ("NotFound", 404),
    ("SlowDown", 429),
    ("TokenExpired", 401),
    ("TooLarge", 413),
    ("UnsupportedHttpVersion", 505),
];

/// Checks what the page reads of an error, and gives its message.
#[track_caller]
fn readable(answer: &Collected, status: u16) -> String {
    assert_eq!(answer.status(), status, "{}", answer.text());
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    let body = answer.json();
    let kind = KINDS.iter().find(|(kind, _)| body["Error"] == *kind);
    let (_, code) = kind.unwrap_or_else(|| panic!("{body} is of no kind that is known"));
    assert_eq!(body["StatusCode"], json!(code), "{body}");
    let message = body["Message"].as_str().unwrap_or_else(|| panic!("no message: {body}"));
    assert!(message.contains(' '), "the message is no sentence: {body}");
    assert!(body.get("Description").is_none_or(Value::is_string), "{body}");
    message.to_owned()
}

#[tokio::test]
async fn rule_9_every_error_is_an_object_with_a_status_and_a_message() {
    let node = pair().start().await;
    let table = [
        (401, from_page("GET", "/v1.0/frontends")),
        (401, from_page("GET", "/v1.0/frontends").bearer("wrong")),
        (404, with_key("GET", "/v1.0/frontends/ghost")),
        (404, with_key("GET", "/v1.0/backends/ghost")),
        (404, with_key("GET", "/v1.0/backends/ghost/health")),
        (404, with_key("DELETE", "/v1.0/frontends/ghost")),
        (404, with_key("DELETE", "/v1.0/backends/ghost")),
        (404, put("/v1.0/backends/ghost", &json!({ "Name": "n" }))),
        (404, with_key("GET", "/v1.0/nope")),
        (404, from_page("GET", "/nope")),
        (405, with_key("POST", "/v1.0/frontends")),
        (405, with_key("PATCH", "/v1.0/backends/b1")),
        (400, put("/v1.0/backends", &json!({}))),
        (400, put("/v1.0/frontends", &json!([]))),
        (400, with_key("PUT", "/v1.0/frontends")),
        (400, with_key("PUT", "/v1.0/backends").body("{ this is not JSON")),
        (400, put("/v1.0/backends", &json!({ "Identifier": "b2", "Port": 70_000 }))),
        (400, put("/v1.0/frontends", &json!({ "Identifier": "f2", "Backends": ["ghost"] }))),
        (409, put("/v1.0/backends", &json!({ "Identifier": "b1" }))),
        (409, with_key("DELETE", "/v1.0/backends/b1")),
        (413, put("/v1.0/backends", &json!({ "Identifier": "b2", "Name": "x".repeat(1_100_000) }))),
    ];
    for (status, request) in table {
        let answer = answer(&node, request).await;
        readable(&answer, status);
        assert!(answer.header("Access-Control-Allow-Origin") == Some("*"), "{status}");
    }
}

/// The page never shows `Description`: what its user needs is in the message.
#[tokio::test]
async fn rule_9_the_message_is_the_sentence_that_helps() {
    let node = pair().start().await;
    for (status, kind, request, part) in [
        (409, "InUse", with_key("DELETE", "/v1.0/backends/b1"), "backend b1 is still used by"),
        (409, "Conflict", put("/v1.0/frontends", &json!({ "Identifier": "f1" })), "f1"),
        (404, "NotFound", with_key("GET", "/v1.0/frontends/ghost"), "ghost"),
        (400, "BadRequest", put("/v1.0/backends/b1", &json!({ "Port": -1 })), "Port must be"),
        (
            400,
            "BadRequest",
            put("/v1.0/frontends/f1", &json!({ "LoadBalancing": "Telepathy" })),
            "LoadBalancing",
        ),
        (400, "BadRequest", put("/v1.0/frontends/f1", &json!({ "Backends": ["ghost"] })), "ghost"),
        (401, "AuthenticationFailed", from_page("GET", "/v1.0/backends").bearer("wrong"), "token"),
    ] {
        let shown = message(&answer(&node, request).await, status, kind);
        assert!(shown.contains(part), "{shown}");
    }
}

#[tokio::test]
async fn rule_10_a_wrong_key_is_a_401_on_every_route() {
    let node = pair().start().await;
    for (method, path) in [
        ("GET", "/v1.0/frontends"),
        ("GET", "/v1.0/frontends/f1"),
        ("PUT", "/v1.0/frontends"),
        ("DELETE", "/v1.0/frontends/f1"),
        ("GET", "/v1.0/backends/health"),
        ("HEAD", "/v1.0/backends/b1"),
        ("GET", "/v1.0/nope"),
    ] {
        // Without a key nothing is guessed, and so nobody is slowed down.
        assert_eq!(answer(&node, from_page(method, path)).await.status(), 401, "{method} {path}");
    }
}

/// It would throw the user out: 401 and 403 are the order to forget the key.
#[tokio::test]
async fn rule_10_with_the_right_key_nothing_is_a_401_or_403() {
    // An engine that refuses the node itself, and a frontend that allows nothing.
    let strict = frontend("f1").backends(["b1"]).set("AllowCompletions", false).set("AllowEmbeddings", false);
    let node = Node::builder().frontend(strict).backend(backend("b1", nowhere())).start().await;
    for method in ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"] {
        for path in [
            "/v1.0/frontends",
            "/v1.0/frontends/ghost",
            "/v1.0/backends",
            "/v1.0/backends/ghost",
            "/v1.0/backends/health",
            "/v1.0/backends/ghost/health",
            "/v1.0/nope",
        ] {
            let status = answer(&node, with_key(method, path)).await.status();
            assert!(status != 401 && status != 403, "{method} {path}: {status}");
        }
    }
}

#[tokio::test]
async fn rule_10_guessing_is_slowed_down_with_a_429_and_not_for_who_has_the_key() {
    let node = pair().start().await;
    let mut slowed = None;
    for _ in 0..100 {
        let refused = answer(&node, from_page("GET", "/v1.0/frontends").bearer("wrong")).await;
        if refused.status() != 401 {
            slowed = Some(refused);
            break;
        }
    }
    message(&slowed.unwrap(), 429, "SlowDown");
    expect(&answer(&node, with_key("GET", "/v1.0/frontends")).await, 200);
}

#[tokio::test]
async fn rule_10_without_a_leader_reads_go_on_and_writes_are_a_503() {
    let mut cluster = Cluster::builder()
        .frontend(frontend("f1").backends(["b1"]))
        .backend(backend("b1", nowhere()))
        .start()
        .await;
    let alone = cluster.followers().await[0];
    for node in (0..3).filter(|node| *node != alone) {
        cluster.kill(node);
    }
    cluster.wait_status(alone, "has lost its leader", |status| status.leader().is_none()).await;
    let node = cluster.node(alone);
    for path in ["/v1.0/frontends", "/v1.0/backends", "/v1.0/backends/health", "/v1.0/backends/b1"] {
        expect(&answer(node, with_key("GET", path)).await, 200);
    }
    for request in [
        put("/v1.0/backends", &json!({ "Identifier": "b2" })),
        put("/v1.0/backends/b1", &json!({ "Name": "n" })),
        put("/v1.0/frontends/f1", &json!({ "Name": "n" })),
        with_key("DELETE", "/v1.0/frontends/f1"),
    ] {
        assert!(readable(&answer(node, request).await, 503).contains("no leader"));
    }
}

#[tokio::test]
async fn rule_10_a_stopping_node_still_knows_the_key() {
    let settings = json!({ "ShutdownSettleMs": 60_000 });
    let node = pair().settings(&settings).start().await;
    node.signal(Signal::Term);
    ollamaflow_tests::wait::until_answered("the node is stopping", async || {
        let ready = answer(&node, from_page("GET", "/readyz")).await;
        if ready.status() == 503 { Ok(()) } else { Err(ready.text()) }
    })
    .await;
    expect(&answer(&node, with_key("GET", "/v1.0/frontends")).await, 200);
}
