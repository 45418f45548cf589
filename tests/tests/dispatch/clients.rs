//! Who the client is: `TrustedProxies` decide whose `X-Forwarded-For` counts, and what backends are told.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::SimulatedBackend;
use serde_json::{Value, json};

use crate::setup::{Setup, sessions};
use crate::{ask, chat, ollama};

/// A node whose sessions show whom it takes for its client.
async fn node_that_trusts(proxies: Value) -> (SimulatedBackend, Node) {
    let backend = ollama();
    let settings = json!({ "TrustedProxies": proxies, "StickyHeaders": [] });
    let node = Setup::new().frontend("UseStickySessions", true).settings(settings).backend(&backend).start();
    let node = node.await;
    (backend, node)
}

/// For whom the node takes the sender of this request.
async fn client_of(node: &Node, request: Request) -> String {
    let (status, _) = node.admin("DELETE", "/v1.0/sessions", None).await;
    assert_eq!(status, 204);
    assert_eq!(ask(node, request).await.status(), 200);
    let sessions = sessions(node, "").await;
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    sessions[0]["Client"].as_str().unwrap().to_owned()
}

fn forwarded(addresses: &str) -> Request {
    chat(false).header("X-Forwarded-For", addresses)
}

#[tokio::test]
async fn nobody_is_trusted_unless_told() {
    let (_backend, node) = node_that_trusts(json!([])).await;
    assert_eq!(client_of(&node, chat(false)).await, "127.0.0.1");
    assert_eq!(client_of(&node, forwarded("192.0.2.1")).await, "127.0.0.1");
}

#[tokio::test]
async fn a_trusted_proxy_tells_who_the_client_is() {
    let (_backend, node) = node_that_trusts(json!(["127.0.0.1"])).await;
    assert_eq!(client_of(&node, forwarded("192.0.2.1")).await, "192.0.2.1");
    assert_eq!(client_of(&node, forwarded("2001:db8::1")).await, "2001:db8::1");
    assert_eq!(client_of(&node, chat(false)).await, "127.0.0.1", "it may be a client itself");
}

#[tokio::test]
async fn the_client_is_the_rightmost_address_that_is_not_trusted_itself() {
    let (_backend, node) = node_that_trusts(json!(["127.0.0.0/8", "10.0.0.0/8"])).await;
    assert_eq!(client_of(&node, forwarded("192.0.2.1, 10.1.1.1, 10.2.2.2")).await, "192.0.2.1");
    assert_eq!(client_of(&node, forwarded("203.0.113.9, 192.0.2.1, 10.2.2.2")).await, "192.0.2.1");
    let two_lines = forwarded("203.0.113.9, 192.0.2.1").header("X-Forwarded-For", "10.2.2.2");
    assert_eq!(client_of(&node, two_lines).await, "192.0.2.1");
}

#[tokio::test]
async fn the_forwarding_headers_of_an_untrusted_peer_are_replaced() {
    let (backend, node) = node_that_trusts(json!([])).await;
    let request =
        forwarded("192.0.2.1").header("X-Forwarded-Proto", "https").header("X-Forwarded-Host", "bank");
    assert_eq!(ask(&node, request.host("here")).await.status(), 200);
    let received = backend.requests_to("/api/chat").pop().unwrap();
    assert_eq!(received.headers_named("x-forwarded-for"), ["127.0.0.1"]);
    assert!(!received.headers_named("x-forwarded-proto").contains(&"https"));
    assert!(!received.headers_named("x-forwarded-host").contains(&"bank"));
}

#[tokio::test]
async fn the_forwarding_headers_of_a_trusted_peer_are_kept_and_the_peer_is_added() {
    let (backend, node) = node_that_trusts(json!(["127.0.0.1/32"])).await;
    let request = forwarded("192.0.2.1").header("X-Forwarded-Proto", "https");
    assert_eq!(ask(&node, request).await.status(), 200);
    let received = backend.requests_to("/api/chat").pop().unwrap();
    let chain = received.headers_named("x-forwarded-for").join(", ");
    assert_eq!(chain.replace(' ', ""), "192.0.2.1,127.0.0.1");
    assert_eq!(received.headers_named("x-forwarded-proto"), ["https"]);
}
