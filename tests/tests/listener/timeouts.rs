//! Clients that are too slow: 408, whether the head or the body stalls or trickles.

use std::time::Duration;

use ollamaflow_tests::client::{self, RawConnection, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{Operation, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::{before, chat, engine, ready};

/// What these nodes wait for a head, and between the pieces of a body.
const READ_TIMEOUT_MS: u64 = 500;

/// Time between two drops of a trickling client: well below the timeout.
const DROP_INTERVAL: Duration = Duration::from_millis(50);

async fn impatient(engine: &SimulatedBackend) -> Node {
    let settings = json!({ "Webserver": { "IO": { "ReadTimeoutMs": READ_TIMEOUT_MS } } });
    ready(before(engine).settings(&settings)).await
}

/// All that comes back, until the node closes.
async fn rest(mut connection: RawConnection) -> String {
    String::from_utf8(connection.read_to_end().await.0).unwrap()
}

/// Sends bytes one by one until the node closes; gives what came back.
async fn trickle(mut connection: RawConnection, bytes: &[u8]) -> String {
    for byte in bytes {
        if connection.send([*byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(DROP_INTERVAL).await;
    }
    rest(connection).await
}

/// The 408 in the shape of Ollama's errors.
fn assert_body_timeout(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(serde_json::from_str::<Value>(body).unwrap()["error"].is_string(), "{answer}");
}

/// The head of a chat whose body is said to have this many bytes.
fn head(length: usize) -> String {
    format!("POST /api/chat HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n")
}

#[tokio::test]
async fn a_head_that_stalls_is_a_408() {
    let engine = engine();
    let node = impatient(&engine).await;
    for beginning in ["", "GET /api/tags HT", "POST /api/chat HTTP/1.1\r\nHost: h\r\nContent-Le"] {
        let mut connection = RawConnection::open(node.addr()).await.unwrap();
        connection.send(beginning).await.unwrap();
        let answer = rest(connection).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
}

#[tokio::test]
async fn a_head_that_trickles_is_a_408() {
    let engine = engine();
    let node = impatient(&engine).await;
    let connection = RawConnection::open(node.addr()).await.unwrap();
    let answer = trickle(connection, &[b'x'; 200]).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn a_body_that_stalls_is_a_408() {
    let engine = engine();
    let node = impatient(&engine).await;
    let chunked = "POST /api/chat HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"mod";
    for beginning in [head(100), head(100) + "{\"model\":", chunked.to_owned()] {
        let mut connection = RawConnection::open(node.addr()).await.unwrap();
        connection.send(&beginning).await.unwrap();
        assert_body_timeout(&rest(connection).await);
    }
    assert_eq!(engine.requests_to("/api/chat").len(), 0);
}

#[tokio::test]
async fn a_body_that_trickles_is_a_408() {
    let engine = engine();
    let node = impatient(&engine).await;
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    connection.send(head(200)).await.unwrap();
    assert_body_timeout(&trickle(connection, &[b' '; 200]).await);
    assert_eq!(engine.requests_to("/api/chat").len(), 0);
}

#[tokio::test]
async fn an_upload_that_stalls_halfway_is_a_408_and_the_backend_is_rid_of_it() {
    let engine = engine();
    let node = impatient(&engine).await;
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    // More than is kept in memory: it is on its way to the backend when it stalls.
    let length = 4 * 1024 * 1024;
    let head = format!("POST /api/blobs/sha256:00 HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
    connection.send(head).await.unwrap();
    connection.send(vec![0; length / 2]).await.unwrap();
    assert_body_timeout(&rest(connection).await);
    let uploads = || engine.stats().operation(Operation::BlobPost);
    wait::until_eq("the upload is given up", || (uploads().cancelled, uploads().in_flight), (1, 0)).await;
}

#[tokio::test]
async fn a_refused_client_does_not_hold_its_connection_by_never_ending_its_body() {
    const REFUSED: [&str; 4] = ["PUT /nope", "GET /api/chat", "PUT /v1.0/backends", "POST /"];
    let engine = engine();
    let node = impatient(&engine).await;
    let address = node.addr();
    let head = |line: &str| format!("{line} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    // Phase 1: clients that stall.
    let answers = client::many(REFUSED.len(), |index| async move {
        let mut stalling = RawConnection::open(address).await.unwrap();
        stalling.send(format!("{}5\r\nhe", head(REFUSED[index]))).await.unwrap();
        rest(stalling).await
    });
    for answer in answers.await {
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    // Phase 2: clients that go on for ever.
    client::many(REFUSED.len(), |index| async move {
        let mut endless = RawConnection::open(address).await.unwrap();
        endless.send(head(REFUSED[index])).await.unwrap();
        let until_it_ends = async { while endless.send("5\r\nhello\r\n").await.is_ok() {} };
        tokio::time::timeout(wait::PATIENCE, until_it_ends).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_slow_client_does_not_disturb_the_others() {
    let engine = engine();
    let node = impatient(&engine).await;
    let mut slow = RawConnection::open(node.addr()).await.unwrap();
    slow.send(head(100)).await.unwrap();
    let answer = Request::post("/api/chat").json(&chat()).send(node.addr()).await.collect().await;
    assert_eq!(answer.status(), 200);
    assert_body_timeout(&rest(slow).await);
}

#[tokio::test]
async fn a_later_head_that_stalls_or_trickles_is_a_408_too() {
    let engine = engine();
    let node = impatient(&engine).await;
    for trickles in [false, true] {
        let connection = RawConnection::open(node.addr()).await.unwrap();
        let (first, mut connection) =
            connection.exchange(&Request::get("/")).await.unwrap().collect_reusable().await;
        assert_eq!(first.status(), 200);
        let answer = if trickles {
            trickle(connection, &b"GET /api/tags HTTP/1.1\r\nHost: h\r\n".repeat(20)).await
        } else {
            connection.send("GET /api/tags HT").await.unwrap();
            rest(connection).await
        };
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
}
