//! Pinned properties: what becomes of a request's body.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::Backend;
use ollamaflow_tests::simulated::{FaultKind, SimulatedBackend};
use serde_json::{Value, json};

use crate::{chat_body, ollama};
use ollamaflow_tests::setup::Setup;

const PINS: &str = "PinnedCompletionsProperties";

/// A node with one backend, the frontend pinning `frontend` and the backend `backend`.
async fn pinning(frontend: Value, backend: Value) -> (SimulatedBackend, Node) {
    let simulated = ollama();
    let node = Setup::new()
        .frontend(PINS, frontend)
        .backend_with(&simulated, |own| own.set(PINS, backend))
        .start()
        .await;
    (simulated, node)
}

/// The body that arrives when a client sends this one.
async fn arrives(node: &Node, backend: &SimulatedBackend, body: &str) -> String {
    Request::post("/api/chat").body(body.to_owned()).send(node.addr()).await.collect().await;
    backend.requests_to("/api/chat").pop().unwrap().text()
}

#[tokio::test]
async fn a_backends_pins_win_over_the_frontends_and_both_over_the_clients_values() {
    let (backend, node) = pinning(
        json!({ "model": "of the frontend", "keep_alive": 60, "think": false }),
        json!({ "model": "of the backend", "think": null }),
    )
    .await;
    let body = r#"{"model":"of the client","keep_alive":1,"stream":false}"#;
    let arrived = arrives(&node, &backend, body).await;
    assert_eq!(arrived, r#"{"model":"of the backend","keep_alive":60,"stream":false,"think":null}"#);
}

#[tokio::test]
async fn objects_merge_at_any_depth_and_arrays_are_replaced() {
    let (backend, node) = pinning(
        json!({ "options": { "num_ctx": 8192, "stop": ["f"], "deep": { "f": 1, "both": "f" } } }),
        json!({ "options": { "stop": ["b", "c"], "deep": { "both": "b" } } }),
    )
    .await;
    let body = json!({
        "model": "m",
        "options": { "num_ctx": 1, "seed": 7, "stop": ["x", "y", "z"], "deep": { "own": [1], "both": "x" } },
    });
    let arrived: Value = serde_json::from_str(&arrives(&node, &backend, &body.to_string()).await).unwrap();
    let expected = json!({
        "model": "m",
        "options": {
            "num_ctx": 8192,
            "seed": 7,
            "stop": ["b", "c"],
            "deep": { "own": [1], "both": "b", "f": 1 },
        },
    });
    assert_eq!(arrived, expected);
}

#[tokio::test]
async fn what_is_not_pinned_stays_byte_for_byte() {
    let (backend, node) = pinning(json!({ "model": "pinned" }), json!({})).await;
    let body = "\t{ \"n\" : 1.50e+3,\r\n \"text\":\"\\u00e9 \\/ <&> é 🙂\" , \"model\":\"x\", \"dup\":1, \"dup\":2,\
        \"big\":123456789012345678901234567890, \"o\":{ } }\n";
    let arrived = arrives(&node, &backend, body).await;
    assert_eq!(arrived, body.replace("\"x\"", "\"pinned\""));
}

#[tokio::test]
async fn a_body_without_any_pin_is_not_even_read() {
    let backend = ollama();
    let node = Setup::new().backend(&backend).start().await;
    for body in ["not json", "[1]", "{\"a\":", " {\"b\" : 1 } "] {
        assert_eq!(arrives(&node, &backend, body).await, body);
    }
}

#[tokio::test]
async fn no_other_spelling_and_no_duplicate_escapes_a_pin() {
    let (backend, node) = pinning(json!({ "model": "pinned" }), json!({})).await;
    for (body, expected) in [
        (r#"{"model":"x","model":"y"}"#, r#"{"model":"pinned","model":"pinned"}"#),
        (r#"{"MODEL":"x"}"#, r#"{"MODEL":"pinned","model":"pinned"}"#),
        (r#"{"Model":"x","model":"y"}"#, r#"{"Model":"pinned","model":"pinned"}"#),
        (r#"{"\u006dodel":"x"}"#, r#"{"\u006dodel":"pinned"}"#),
        (r#"{"m\u006Fdel":"x","model":null}"#, r#"{"m\u006Fdel":"pinned","model":"pinned"}"#),
        (r#"{"a":{"model":"x"}}"#, r#"{"a":{"model":"x"},"model":"pinned"}"#),
    ] {
        assert_eq!(arrives(&node, &backend, body).await, expected, "{body}");
    }
    let (backend, node) = pinning(json!({ "options": { "seed": 7 } }), json!({})).await;
    for (body, expected) in [
        (r#"{"options":{"SEED":1,"seed":2}}"#, r#"{"options":{"SEED":7,"seed":7}}"#),
        (r#"{"options":{"seed":1},"options":{}}"#, r#"{"options":{"seed":7},"options":{"seed":7}}"#),
        (r#"{"options":"x"}"#, r#"{"options":{"seed":7}}"#),
    ] {
        assert_eq!(arrives(&node, &backend, body).await, expected, "{body}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_object_is_a_400_in_the_clients_protocol_and_reaches_nobody() {
    let (backend, node) = pinning(json!({ "model": "pinned" }), json!({})).await;
    for body in ["[1]", "\"text\"", "7", "null", "{", "{}x", "{\"a\":}", "not json"] {
        let send = async |path| {
            let answer = Request::post(path).body(body).send(node.addr()).await.collect().await;
            assert_eq!(answer.status(), 400, "{path} {body}: {}", answer.text());
            answer.json()
        };
        assert!(send("/api/chat").await["error"].as_str().unwrap().contains("JSON object"));
        let error = &send("/v1/chat/completions").await["error"];
        assert_eq!(error["type"], "invalid_request_error");
        assert!(error["message"].as_str().unwrap().contains("JSON object"));
        let answer = send("/v1/messages").await;
        assert_eq!(
            (&answer["type"], &answer["error"]["type"]),
            (&json!("error"), &json!("invalid_request_error"))
        );
    }
    let broken = Request::post("/api/chat").body(&b"{\"a\":\"\xff\"}"[..]);
    assert_eq!(broken.send(node.addr()).await.status(), 400, "not utf-8");
    assert_eq!(backend.stats().received(), 0);
}

#[tokio::test]
async fn an_empty_body_is_left_alone() {
    let (backend, node) = pinning(json!({ "model": "pinned" }), json!({})).await;
    for request in [Request::post("/api/chat"), Request::post("/api/chat").body("")] {
        let through = request.send(node.addr()).await.collect().await;
        let direct = request.send(&backend).await.collect().await;
        assert_eq!((through.status(), through.text()), (direct.status(), direct.text()));
    }
    assert!(backend.requests_to("/api/chat").iter().all(|request| request.body.is_empty()));
}

#[tokio::test]
async fn each_backend_that_is_tried_gets_its_own_pins_and_not_those_of_the_one_before() {
    let (one, two) = (ollama(), ollama());
    one.set_fault(FaultKind::status(503));
    let pin = |name: &'static str| move |backend: Backend| backend.set(PINS, json!({ (name): 1 }));
    let node = Setup::new().backend_with(&one, pin("of_one")).backend_with(&two, pin("of_two")).start().await;
    let arrived = arrives(&node, &two, &chat_body(false).to_string()).await;
    assert!(arrived.contains("of_two") && !arrived.contains("of_one"), "{arrived}");
    let first = one.requests_to("/api/chat").pop().unwrap().text();
    assert!(first.contains("of_one") && !first.contains("of_two"), "{first}");
}
