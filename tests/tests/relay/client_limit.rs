//! `RateLimitPerClient`: a client that sends too fast is told so at once, and nobody else is.

use std::time::Duration;

use ollamaflow_tests::client::{Collected, RawConnection, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::SimulatedBackend;
use serde_json::json;

use crate::ollama;
use ollamaflow_tests::setup::Setup;

/// Requests per second, and at once. Low, so that none comes back while a test runs its course on a busy machine.
const LIMIT: usize = 1;

/// Sent in a row, of which most must be too many however slow the machine is.
const MANY: usize = 20;

async fn one(limit: usize) -> (SimulatedBackend, Node) {
    let backend = ollama();
    let settings = json!({ "TrustedProxies": ["127.0.0.1"] });
    let setup = Setup::new().backend(&backend).settings(settings).frontend("RateLimitPerClient", limit);
    (backend, setup.start().await)
}

async fn ask(node: &Node, request: Request) -> Collected {
    request.send(node.addr()).await.collect().await
}

fn from(client: &str) -> Request {
    Request::get("/api/echo/x").header("X-Forwarded-For", client)
}

/// Asks until a request is refused, and gives that answer.
async fn refused(node: &Node, request: Request) -> Collected {
    for _ in 0..MANY {
        let answer = ask(node, request.clone()).await;
        if answer.status() == 429 {
            return answer;
        }
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
    panic!("{MANY} requests in a row were not too many");
}

#[tokio::test]
async fn a_client_that_is_too_fast_gets_429_and_when_to_come_back() {
    let (_backend, node) = one(LIMIT).await;
    let answer = refused(&node, from("203.0.113.7")).await;
    assert_eq!(answer.header("Retry-After"), Some("1"));
    assert!(answer.json()["error"].as_str().unwrap().contains("per second"), "{}", answer.text());
    let openai = Request::get("/v1/models").header("X-Forwarded-For", "203.0.113.7");
    let answer = refused(&node, openai).await;
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("per second"), "{}", answer.text());
}

#[tokio::test]
async fn other_clients_are_not_held_to_it() {
    let (_backend, node) = one(LIMIT).await;
    refused(&node, from("203.0.113.7")).await;
    for last in 0..10 {
        assert_eq!(ask(&node, from(&format!("198.51.100.{last}"))).await.status(), 200);
    }
}

#[tokio::test]
async fn who_comes_by_the_same_untrusted_hop_is_one_client() {
    let (_backend, node) = one(LIMIT).await;
    let mut refused = 0;
    for last in 0..MANY {
        let spoofed = from(&format!("198.51.100.{last}, 203.0.113.7"));
        refused += usize::from(ask(&node, spoofed).await.status() == 429);
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn it_is_said_before_the_body_is_read() {
    let (backend, node) = one(LIMIT).await;
    let head = "POST /api/chat HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n";
    for _ in 0..MANY {
        refused(&node, Request::get("/api/echo/x")).await;
        let mut connection = RawConnection::open(node.addr()).await.unwrap();
        connection.send(head).await.unwrap();
        // One that came when the second was over is let in, and its body awaited.
        let answered = tokio::time::timeout(Duration::from_secs(2), connection.response()).await;
        let Ok(answer) = answered else { continue };
        assert_eq!(answer.unwrap().collect().await.status(), 429);
        assert!(backend.requests_to("/api/chat").is_empty());
        return;
    }
    panic!("no request with an outstanding body was refused");
}

#[tokio::test]
async fn without_a_limit_nobody_is_too_fast() {
    let (_backend, node) = one(0).await;
    for _ in 0..100 {
        assert_eq!(ask(&node, from("203.0.113.7")).await.status(), 200);
    }
}
