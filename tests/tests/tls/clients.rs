//! What clients see who speak TLS.

use std::time::{Duration, Instant};

use ollamaflow_tests::client::Request;
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::authority::Authority;
use crate::{chat, connect, exchange, get, node_with, post, until_ready};

fn engine() -> SimulatedBackend {
    SimulatedBackend::start(SimConfig::ollama(["m"]))
}

/// A node of a new authority, ready for requests.
async fn served(engine: &SimulatedBackend) -> (ollamaflow_tests::node::Node, Authority, TempDir) {
    served_with(engine, &json!({})).await
}

async fn served_with(
    engine: &SimulatedBackend,
    settings: &serde_json::Value,
) -> (ollamaflow_tests::node::Node, Authority, TempDir) {
    let (authority, directory) = (Authority::new(), TempDir::new().unwrap());
    let node =
        node_with(&authority.vouch("localhost"), directory.path(), engine).settings(settings).start().await;
    until_ready(&node, &authority, None).await;
    engine.reset();
    (node, authority, directory)
}

#[tokio::test]
async fn requests_are_answered_and_the_backend_is_told_of_https() {
    let engine = engine();
    let (node, authority, _directory) = served(&engine).await;
    let mut connection = connect(node.addr(), &authority, None).await.unwrap();
    let answer = exchange(&mut connection, &post("/api/chat", &chat())).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\"done\":true"), "{answer}");
    let received = engine.requests_to("/api/chat").pop().unwrap();
    assert_eq!(received.header("x-forwarded-proto"), Some("https"));
    let mut connection = connect(node.addr(), &authority, None).await.unwrap();
    assert!(exchange(&mut connection, &get("/livez")).await.unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_stream_comes_piece_by_piece_and_a_client_that_leaves_ends_it() {
    let engine = engine();
    let (node, authority, _directory) = served(&engine).await;
    engine.knobs(|knobs| (knobs.tokens_per_second, knobs.endless) = (20.0, true));
    let mut connection = connect(node.addr(), &authority, None).await.unwrap();
    let chat = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
    connection.write_all(post("/api/chat", &chat).as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while String::from_utf8_lossy(&seen).matches("\"done\":false").count() < 5 {
        assert!(connection.read_buf(&mut seen).await.unwrap() > 0, "{}", String::from_utf8_lossy(&seen));
    }
    assert_eq!(engine.stats().cancelled(), 0);
    drop(connection);
    wait::until("the generation is ended", || engine.stats().cancelled() == 1).await;
}

#[tokio::test]
async fn requests_that_are_sent_ahead_are_answered_in_turn() {
    let engine = engine();
    let (node, authority, _directory) = served(&engine).await;
    let mut connection = connect(node.addr(), &authority, None).await.unwrap();
    let kept = get("/api/version").replace("Connection: close\r\n", "");
    let answers = exchange(&mut connection, &format!("{kept}{kept}{}", get("/api/version"))).await.unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 3, "{answers}");
}

#[tokio::test]
async fn a_client_without_tls_is_told_what_the_port_speaks() {
    let engine = engine();
    let (node, _authority, _directory) = served(&engine).await;
    let answer = Request::get("/api/tags").send(node.addr()).await.collect().await;
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.json()["Message"], "This port speaks TLS: use https.");
}

#[tokio::test]
async fn a_handshake_that_does_not_come_ends_in_time_and_holds_nobody_up() {
    let engine = engine();
    let settings = json!({ "Webserver": { "Workers": 1, "IO": { "ReadTimeoutMs": 300 } } });
    let (node, authority, _directory) = served_with(&engine, &settings).await;
    let begun = Instant::now();
    let mut silent = TcpStream::connect(node.addr()).await.unwrap();
    let mut halting = TcpStream::connect(node.addr()).await.unwrap();
    halting.write_all(&[22, 3, 1]).await.unwrap();
    let mut connection = connect(node.addr(), &authority, None).await.unwrap();
    assert!(exchange(&mut connection, &get("/api/tags")).await.unwrap().starts_with("HTTP/1.1 200"));
    for waiting in [&mut silent, &mut halting] {
        // An end or a reset: nothing can be said before a handshake.
        let end = waiting.read(&mut [0; 16]).await;
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_head_that_does_not_come_is_told_through_tls() {
    let engine = engine();
    let settings = json!({ "Webserver": { "IO": { "ReadTimeoutMs": 300 } } });
    let (node, authority, _directory) = served_with(&engine, &settings).await;
    let mut connection = connect(node.addr(), &authority, None).await.unwrap();
    let first = get("/api/version").replace("Connection: close\r\n", "");
    connection.write_all(format!("{first}GET /api/ver").as_bytes()).await.unwrap();
    let mut answers = Vec::new();
    // The connection is cut after it, without the end that TLS knows.
    let _ = connection.read_to_end(&mut answers).await;
    let answers = String::from_utf8_lossy(&answers);
    assert!(answers.contains("HTTP/1.1 408 Request Timeout\r\n"), "{answers}");
}
