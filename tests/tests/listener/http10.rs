//! HTTP/1.0: refused by `BlockHttp10`, and without it answered in a way that such clients understand.

use ollamaflow_tests::client::{Close, RawConnection};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::Frontend;
use serde_json::Value;

use crate::{b1, chat, engine, f1, ready};

/// Sends a request of HTTP/1.0; gives the head and body of the answer.
async fn ask(node: &Node, line: &str, headers: &str, body: &str) -> (String, String) {
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    connection.send(format!("{line} HTTP/1.0\r\n{headers}\r\n{body}")).await.unwrap();
    let (bytes, close) = connection.read_to_end().await;
    assert_eq!(close, Close::Fin);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

async fn chat_with(node: &Node, stream: bool, headers: &str) -> (String, String) {
    let mut body = chat();
    body["stream"] = stream.into();
    let body = body.to_string();
    let length = body.len();
    let headers = format!("Content-Length: {length}\r\nContent-Type: application/json\r\n{headers}");
    ask(node, "POST /api/chat", &headers, &body).await
}

async fn node_with(frontend: Frontend, engine: &ollamaflow_tests::simulated::SimulatedBackend) -> Node {
    ready(Node::builder().frontend(frontend).backend(b1(engine))).await
}

#[tokio::test]
async fn http_1_0_is_refused_with_505_by_default() {
    let engine = engine();
    let node = node_with(f1(), &engine).await;
    let (head, body) = chat_with(&node, false, "").await;
    assert!(head.starts_with("HTTP/1.") && head.contains(" 505 "), "{head}");
    assert!(serde_json::from_str::<Value>(&body).unwrap()["error"].is_string(), "{body}");
    let (head, _) = ask(&node, "GET /v1/models", "Host: h\r\n", "").await;
    assert!(head.contains(" 505 "), "{head}");
    assert_eq!(engine.requests_to("/api/chat").len() + engine.requests_to("/v1/").len(), 0);
}

#[tokio::test]
async fn http_1_0_is_served_when_the_frontend_allows_it() {
    let engine = engine();
    let node = node_with(f1().set("BlockHttp10", false), &engine).await;
    let (head, body) = chat_with(&node, false, "").await;
    assert!(head.contains(" 200 "), "{head}");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["message"]["role"], "assistant");
    assert_eq!(engine.requests_to("/api/chat")[0].http_minor, 1, "backends are spoken to in HTTP/1.1");
}

#[tokio::test]
async fn a_stream_over_http_1_0_ends_with_the_connection_and_has_no_chunks() {
    let engine = engine();
    let node = node_with(f1().set("BlockHttp10", false), &engine).await;
    // Whatever the client says about keeping the connection.
    for headers in ["", "Connection: keep-alive\r\n"] {
        let (head, body) = chat_with(&node, true, headers).await;
        assert!(head.contains(" 200 "), "{head}");
        assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
        let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines.len() > 2);
        assert_eq!(lines.last().unwrap()["done"], true);
    }
}

#[tokio::test]
async fn the_home_page_is_served_over_http_1_0() {
    let node = Node::builder().start().await;
    let (head, body) = ask(&node, "GET /", "", "").await;
    assert!(head.contains(" 200 "), "{head}");
    assert_eq!(body, "Ollama is running");
}
