//! The control API.

use std::net::Ipv4Addr;

use ollamaflow_tests::client::{self, RawConnection, Request};
use ollamaflow_tests::simulated::{FaultKind, SimConfig, SimulatedBackend};
use serde_json::{Value, json};

use crate::{native_chat, native_stream, ollama};

async fn control(backend: &SimulatedBackend, method: &str, path: &str, body: Option<Value>) -> Value {
    let request = Request::new(method, path);
    let request = body.map_or(request.clone(), |body| request.json(&body));
    let target = backend.control_address().unwrap_or(backend.address());
    let answer = request.send(target).await.collect().await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn faults_are_set_listed_and_cleared() {
    let backend = ollama();
    let faults = json!([{ "kind": "answer", "status": 500, "times": 1 }, { "kind": "coalesce" }]);
    assert_eq!(
        control(&backend, "POST", "/__sim/faults", Some(faults)).await.as_array().map(Vec::len),
        Some(2)
    );
    assert_eq!(native_chat(&backend).await.status(), 500);
    let left = control(&backend, "GET", "/__sim/faults", None).await;
    assert_eq!((left.as_array().map(Vec::len), &left[0]["kind"]), (Some(1), &json!("coalesce")));
    assert_eq!(control(&backend, "DELETE", "/__sim/faults", None).await, json!([]));
    let bad = Request::post("/__sim/faults").json(&json!({ "kind": "no such" })).send(&backend).await;
    assert_eq!(bad.status(), 400);
}

#[tokio::test]
async fn knobs_are_shown_and_patched() {
    let backend = ollama();
    let knobs =
        control(&backend, "PATCH", "/__sim/knobs", Some(json!({ "tokens": 2, "text": "echo" }))).await;
    assert_eq!((&knobs["tokens"], &knobs["parallelism"]), (&json!(2), &json!(4)));
    assert_eq!(control(&backend, "GET", "/__sim/knobs", None).await["text"], "echo");
    assert_eq!(native_chat(&backend).await.json()["message"]["content"], "hello there");
    let bad = Request::new("PATCH", "/__sim/knobs").json(&json!({ "tokns": 2 })).send(&backend).await;
    assert_eq!(bad.status(), 400);
}

#[tokio::test]
async fn statistics_and_requests_are_shown_and_reset() {
    let backend = ollama();
    native_chat(&backend).await;
    let stats = control(&backend, "GET", "/__sim/stats", None).await;
    assert_eq!((&stats["requests"], &stats["completed"]), (&json!(1), &json!(1)));
    assert_eq!(stats["operations"]["chat"]["completed"], 1);
    let requests = control(&backend, "GET", "/__sim/requests", None).await;
    assert_eq!((&requests[0]["path"], &requests[0]["operation"]), (&json!("/api/chat"), &json!("chat")));
    assert!(requests[0]["body"]["text"].as_str().unwrap().contains("hello there"));
    control(&backend, "POST", "/__sim/reset", None).await;
    assert_eq!(control(&backend, "GET", "/__sim/stats", None).await["requests"], 0);
}

#[tokio::test]
async fn the_control_port_is_up_while_the_main_one_refuses() {
    let control_listen = Some((Ipv4Addr::LOCALHOST, 0).into());
    let config = SimConfig { control_listen, ..SimConfig::ollama(["m"]) };
    let backend = SimulatedBackend::start(config);
    control(&backend, "POST", "/__sim/faults", Some(json!({ "kind": "refuse" }))).await;
    assert!(RawConnection::open(&backend).await.is_err());
    control(&backend, "DELETE", "/__sim/faults", None).await;
    assert_eq!(client::get(&backend, "/").await.status(), 200);
    let other = client::get(backend.control_address().unwrap(), "/api/tags").await;
    assert_eq!(other.status(), 404);
    backend.stop();
    control(&backend, "GET", "/__sim/stats", None).await;
}

#[tokio::test]
async fn requests_are_remembered_with_framing_connection_and_order() {
    let backend = ollama();
    let request = Request::post("/api/echo/a").header("X-One", "1").body("abc");
    let (_, connection) = request.send(&backend).await.collect_reusable().await;
    let (_, connection) =
        connection.exchange(&request.clone().chunked(2)).await.unwrap().collect_reusable().await;
    drop(connection);
    native_stream(&backend).await.collect().await;
    let seen = backend.requests_to("/api/echo/");
    assert_eq!((seen.len(), seen[0].header("x-one"), seen[0].text().as_str()), (2, Some("1"), "abc"));
    assert_eq!(json!(seen[0].framing), json!({ "content_length": 3 }));
    assert_eq!(json!(seen[1].framing), json!("chunked"));
    assert_eq!((seen[0].connection, seen[1].sequence), (seen[1].connection, 2));
    assert_ne!(backend.requests()[2].connection, seen[0].connection);
}

#[tokio::test]
async fn faults_do_not_touch_control_requests() {
    let backend = ollama();
    backend.set_fault(FaultKind::status(500).path("/"));
    assert_eq!(client::get(&backend, "/").await.status(), 500);
    assert_eq!(client::get(&backend, "/__sim/stats").await.status(), 200);
}
