//! `MaxRequestBodySize`: 413 as soon as it is known, by the announced length or while reading.

use ollamaflow_tests::client::{Collected, RawConnection, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{Operation, SimulatedBackend};
use ollamaflow_tests::wait;

use crate::{answer, b1, engine, f1, ready};

const MIB: usize = 1024 * 1024;

async fn limited(engine: &SimulatedBackend, bytes: usize) -> Node {
    ready(Node::builder().frontend(f1().set("MaxRequestBodySize", bytes)).backend(b1(engine))).await
}

fn assert_too_large(answer: &Collected) {
    assert_eq!(answer.status(), 413, "{}", answer.text());
    assert!(answer.json()["error"].as_str().unwrap().contains("1000 bytes"), "{}", answer.text());
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_accepted() {
    let engine = engine();
    let node = limited(&engine, 1000).await;
    for request in [
        Request::post("/api/echo/x").body(vec![b'x'; 1000]),
        Request::post("/api/echo/x").body(vec![b'x'; 1000]).chunked(300),
    ] {
        assert_eq!(answer(&node, request).await.status(), 200);
    }
}

#[tokio::test]
async fn a_body_that_is_announced_too_large_is_a_413_before_it_is_sent() {
    let engine = engine();
    let node = limited(&engine, 1000).await;
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    connection.send("POST /api/chat HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n").await.unwrap();
    let (answer, _) = connection.response().await.unwrap().collect_reusable().await;
    assert_too_large(&answer);
    assert_eq!(engine.requests_to("/api/chat").len(), 0);
}

#[tokio::test]
async fn a_client_that_sends_a_body_that_is_too_large_gets_to_read_the_413() {
    let engine = engine();
    let node = limited(&engine, 1000).await;
    for body_bytes in [1001, 100_000, 8 * MIB] {
        assert_too_large(&answer(&node, Request::post("/api/chat").body(vec![b'x'; body_bytes])).await);
    }
    assert_eq!(engine.requests_to("/api/chat").len(), 0);
}

#[tokio::test]
async fn a_body_in_chunks_that_grows_too_large_is_a_413() {
    let engine = engine();
    let node = limited(&engine, 1000).await;
    for body_bytes in [1001, 100_000] {
        let request = Request::post("/api/chat").body(vec![b'x'; body_bytes]).chunked(100);
        assert_too_large(&answer(&node, request).await);
    }
    // Without an end in sight, too.
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    let head = "POST /api/chat HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    connection.send(format!("{head}3e9\r\n{}\r\n", "x".repeat(1001))).await.unwrap();
    let (answer, _) = connection.response().await.unwrap().collect_reusable().await;
    assert_too_large(&answer);
    assert_eq!(engine.requests_to("/api/chat").len(), 0);
}

#[tokio::test]
async fn an_upload_that_grows_too_large_on_its_way_is_a_413_and_the_backend_is_rid_of_it() {
    let engine = engine();
    let node = limited(&engine, 2 * MIB).await;
    let request = Request::post("/api/blobs/sha256:00").body(vec![0; 3 * MIB]).chunked(64 * 1024);
    assert_eq!(answer(&node, request).await.status(), 413);
    let uploads = || engine.stats().operation(Operation::BlobPost);
    wait::until_eq("the upload is given up", || (uploads().completed, uploads().in_flight), (0, 0)).await;
}
