//! Secrets go in and never come out; sending back what is shown in their place keeps them.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::frontend;
use ollamaflow_tests::simulated::SimulatedBackend;
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::{answer, engine, error, expect, put, shown};

/// A node with a backend that has a secret of each kind.
async fn guarded(engine: &SimulatedBackend) -> Node {
    let backend = ollamaflow_tests::objects::backend("b1", engine)
        .set("BearerToken", "hunter2-token")
        .set("Querystring", "api-key=hunter2-query")
        .set("Headers", json!({ "X-Key": "hunter2-key", "X-Other": "hunter2-other" }));
    let node = Node::builder().frontend(frontend("f1").backends(["b1"])).backend(backend).start().await;
    node.wait_healthy(&["b1"]).await;
    node
}

/// What the backend gets with a request, once it has the given token: two headers and the query.
async fn sent(node: &Node, engine: &SimulatedBackend, token: Option<&str>) -> [Option<String>; 3] {
    wait::until_answered("the backend gets the token", async || {
        answer(node, Request::get("/api/echo/x")).await;
        let requests = engine.requests_to("/api/echo/x");
        let last = requests.last().ok_or("no request")?;
        let header = |name: &str| last.header(name).map(str::to_owned);
        let expected = token.map(|token| format!("Bearer {token}"));
        if header("authorization") == expected {
            Ok([header("x-key"), header("x-other"), last.query.clone()])
        } else {
            Err(format!("{:?}", header("authorization")))
        }
    })
    .await
}

#[tokio::test]
async fn no_answer_shows_a_secret() {
    let engine = engine();
    let node = guarded(&engine).await;
    expect(&answer(&node, put("/v1.0/backends/b1", &json!({ "BearerToken": "hunter2-new" }))).await, 200);
    for path in [
        "/v1.0/backends",
        "/v1.0/backends/b1",
        "/v1.0/backends/health",
        "/v1.0/backends/b1/health",
        "/v1.0/catalog",
        "/v1.0/history",
        "/v1.0/cluster",
        "/v1.0/cluster/backup",
    ] {
        let text = shown(&node, path).await.to_string();
        assert!(!text.contains("hunter2"), "{path}: {text}");
    }
    let backend = shown(&node, "/v1.0/backends/b1").await;
    assert_eq!((&backend["BearerToken"], &backend["Querystring"]), (&json!("********"), &json!("********")));
    assert!(!node.logs().contains("hunter2"), "{}", node.logs());
}

#[tokio::test]
async fn secrets_survive_updates_that_do_not_name_them_and_those_that_send_them_back() {
    let engine = engine();
    let node = guarded(&engine).await;
    let stored = ["hunter2-key", "hunter2-other", "api-key=hunter2-query"].map(|text| Some(text.to_owned()));
    let read = shown(&node, "/v1.0/backends/b1").await;
    for body in [json!({ "Name": "n" }), read, json!({ "BearerToken": "********" })] {
        expect(&answer(&node, put("/v1.0/backends/b1", &body)).await, 200);
        assert_eq!(sent(&node, &engine, Some("hunter2-token")).await, stored);
    }
    let catalog = shown(&node, "/v1.0/catalog").await;
    expect(&answer(&node, put("/v1.0/catalog", &catalog)).await, 200);
    sent(&node, &engine, Some("hunter2-token")).await;
}

#[tokio::test]
async fn secrets_are_replaced_and_removed_one_by_one() {
    let engine = engine();
    let node = guarded(&engine).await;
    let one = json!({ "BearerToken": "other-token", "Querystring": "k=v",
        "Headers": { "x-key": "********", "X-Other": "other" } });
    expect(&answer(&node, put("/v1.0/backends/b1", &one)).await, 200);
    let keys = sent(&node, &engine, Some("other-token")).await;
    assert_eq!(keys, ["hunter2-key", "other", "k=v"].map(|text| Some(text.to_owned())));
    let cleared = json!({ "BearerToken": null, "Headers": null, "Querystring": null });
    let cleared = expect(&answer(&node, put("/v1.0/backends/b1", &cleared)).await, 200);
    assert!(cleared.get("BearerToken").is_none());
    assert_eq!(sent(&node, &engine, None).await, [None, None, None]);
}

#[tokio::test]
async fn a_mark_that_stands_for_nothing_is_a_400_that_names_its_place() {
    let node = crate::pair().start().await;
    let marks: [(Value, &str); 3] = [
        (json!({ "Querystring": "********" }), "Querystring is \"********\""),
        (json!({ "BearerToken": "********" }), "BearerToken is \"********\""),
        (json!({ "Headers": { "X-Key": "********" } }), "Headers.X-Key is \"********\""),
    ];
    for (body, part) in marks {
        let message = error(&answer(&node, put("/v1.0/backends/b1", &body)).await, 400, "BadRequest");
        assert!(message.contains(part), "{message}");
        let mut new = body.clone();
        new["Identifier"] = "b2".into();
        let message = error(&answer(&node, put("/v1.0/backends", &new)).await, 400, "BadRequest");
        assert!(message.contains(part), "{message}");
        let catalog = json!({ "Frontends": [], "Backends": [new] });
        let message = error(&answer(&node, put("/v1.0/catalog", &catalog)).await, 400, "BadRequest");
        assert!(message.contains("backend b2") && message.contains(part), "{message}");
    }
}
