//! Connections of clients: kept, pipelined, with bodies in chunks, with `Expect`, with bodies where none is needed.

use ollamaflow_tests::client::{Close, Collected, End, RawConnection, Request};
use ollamaflow_tests::simulated::{FaultKind, ReceivedFraming};
use serde_json::json;

use crate::{before, chat, engine, ready};

/// Exchanges on one connection.
async fn exchange(connection: RawConnection, request: &Request) -> (Collected, RawConnection) {
    connection.exchange(request).await.unwrap().collect_reusable().await
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    for request in [
        Request::post("/api/chat").json(&chat()),
        Request::get("/"),
        Request::get("/nope"),
        Request::get("/v1.0/backends"),
        Request::new("HEAD", "/api/tags"),
        Request::new("OPTIONS", "/api/chat"),
        Request::post("/v1/echo/x").body("hello").chunked(2),
        Request::get("/api/tags"),
    ] {
        let answer;
        (answer, connection) = exchange(connection, &request).await;
        assert_eq!(answer.end, End::Complete, "{request:?}");
        assert_eq!(connection.closed(), None, "{request:?}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let engine = engine();
    engine.set_fault(FaultKind::HangBeforeHeaders { for_ms: Some(200) }.path("/api/echo/0"));
    let node = ready(before(&engine)).await;
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    // All are sent at once; the first one takes longest.
    let mut wire = Vec::new();
    for index in 0..10 {
        let request = match index % 3 {
            0 => Request::get(&format!("/api/echo/{index}")),
            1 => Request::post(&format!("/api/echo/{index}")).body(format!("body {index}")),
            _ => Request::post(&format!("/api/echo/{index}")).body(format!("body {index}")).chunked(3),
        };
        wire.extend(request.to_wire(node.addr()));
    }
    connection.send(&wire).await.unwrap();
    for index in 0..10 {
        let answer;
        (answer, connection) = connection.response().await.unwrap().collect_reusable().await;
        let seen = answer.json();
        assert_eq!(seen["path"], format!("/api/echo/{index}"));
        let body = if index % 3 == 0 { String::new() } else { format!("body {index}") };
        assert_eq!(seen["body"]["text"], body);
    }
}

#[tokio::test]
async fn a_refused_request_does_not_hold_up_those_behind_it() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    let refused = Request::new("PUT", "/api/chat").json(&chat());
    let wire = [refused.to_wire(node.addr()), Request::get("/").to_wire(node.addr())].concat();
    connection.send(&wire).await.unwrap();
    let (first, connection) = connection.response().await.unwrap().collect_reusable().await;
    let (second, _) = connection.response().await.unwrap().collect_reusable().await;
    assert_eq!((first.status(), second.status()), (405, 200));
    assert_eq!(second.text(), "Ollama is running");
}

#[tokio::test]
async fn a_body_in_chunks_arrives_whole() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for chunk_bytes in [1, 7, 100_000] {
        let request = Request::post("/api/chat").json(&chat()).chunked(chunk_bytes);
        let answer = request.send(node.addr()).await.collect().await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(engine.requests_to("/api/chat").last().unwrap().text(), chat().to_string());
    }
}

#[tokio::test]
async fn a_large_body_of_unknown_length_arrives_whole() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    let body: Vec<u8> = (0..3 * 1024 * 1024_u32).map(|index| (index % 251) as u8).collect();
    let request = Request::post("/api/blobs/sha256:00").body(body.clone()).chunked(64 * 1024);
    request.send(node.addr()).await.collect().await;
    let arrived = engine.requests_to("/api/blobs/").pop().unwrap();
    assert_eq!(arrived.body_length, body.len() as u64);
    assert_eq!(arrived.framing, ReceivedFraming::Chunked);
}

#[tokio::test]
async fn trailers_and_chunk_extensions_of_a_request_are_no_part_of_its_body() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    let wire = "POST /v1/echo/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
        5;name=value\r\nhello\r\n0\r\n\r\n";
    connection.send(wire).await.unwrap();
    let (answer, _) = connection.response().await.unwrap().collect_reusable().await;
    assert_eq!(answer.json()["body"]["text"], "hello");
}

#[tokio::test]
async fn a_client_that_expects_it_is_told_to_continue() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    // Phase 1: the head alone.
    let head = "POST /api/echo/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    connection.send(head).await.unwrap();
    let interim = connection.read_some().await.unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100 Continue\r\n"), "{interim:?}");
    // Phase 2: the body.
    connection.send("hello").await.unwrap();
    let (answer, _) = connection.response().await.unwrap().collect_reusable().await;
    assert_eq!((answer.status(), &answer.json()["body"]["text"]), (200, &json!("hello")));
    let arrived = engine.requests_to("/api/echo").pop().unwrap();
    assert_eq!(arrived.header("expect"), None, "that was between the client and the node");
}

#[tokio::test]
async fn head_with_a_body_is_harmless() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for path in ["/", "/favicon.ico", "/api/tags", "/v1.0/backends", "/nope"] {
        let connection = RawConnection::open(node.addr()).await.unwrap();
        let head = Request::new("HEAD", path).bearer("test-token").json(&chat());
        let (answer, mut connection) = exchange(connection, &head).await;
        assert_eq!(answer.body.len(), 0, "{path}");
        // The body is never taken for another request: the connection is closed, or waits for one.
        if answer.header("Connection") == Some("close") {
            assert_eq!(connection.read_to_end().await.0, b"", "{path}");
        } else {
            let (next, _) = exchange(connection, &Request::get("/")).await;
            assert_eq!((next.status(), next.text().as_str()), (200, "Ollama is running"), "{path}");
        }
    }
}

#[tokio::test]
async fn a_client_that_asks_for_it_gets_the_connection_closed() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for path in ["/", "/api/tags"] {
        let connection = RawConnection::open(node.addr()).await.unwrap();
        let request = Request::get(path).header("Connection", "close");
        let (answer, mut connection) = exchange(connection, &request).await;
        assert_eq!((answer.status(), answer.end), (200, End::Complete));
        assert_eq!(connection.read_to_end().await, (Vec::new(), Close::Fin));
    }
}

#[tokio::test]
async fn an_offer_to_upgrade_is_declined_and_the_request_is_served() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    // As the client of the Java standard library does.
    for stream in [false, true] {
        let mut body = chat();
        body["stream"] = stream.into();
        let request = Request::post("/api/chat")
            .header("Connection", "Upgrade, HTTP2-Settings")
            .header("Upgrade", "h2c")
            .header("HTTP2-Settings", "AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA")
            .json(&body);
        let answer = request.send(node.addr()).await.collect().await;
        assert_eq!((answer.status(), answer.end), (200, End::Complete), "{}", answer.text());
        let arrived = engine.requests_to("/api/chat").pop().unwrap();
        assert_eq!(arrived.text(), body.to_string());
        assert_eq!((arrived.header("upgrade"), arrived.header("http2-settings")), (None, None));
    }
}

#[tokio::test]
async fn http_2_is_not_spoken() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    connection.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let (bytes, _) = connection.read_to_end().await;
    assert!(bytes.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&bytes));
}
