//! Requests whose end is in doubt: refused with 400, never forwarded, and nothing behind them is read.

use ollamaflow_tests::client::RawConnection;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::SimulatedBackend;

use crate::{before, engine, ready};

/// What would be smuggled in.
const BEHIND: &str = "GET /api/echo/smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

/// Sends the bytes and something behind them: one answer must come, a 400, and the connection must end.
async fn assert_refused(node: &Node, engine: &SimulatedBackend, wire: &str) {
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    connection.send(format!("{wire}{BEHIND}")).await.unwrap();
    let (bytes, _) = connection.read_to_end().await;
    let answer = String::from_utf8(bytes).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{wire:?}: {answer:?}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{wire:?}: {answer:?}");
    let forwarded = engine.requests().into_iter().filter(|request| request.path.starts_with("/api/echo"));
    assert_eq!(forwarded.count(), 0, "{wire:?}");
}

#[tokio::test]
async fn a_length_and_chunks_together_are_refused() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nTransfer-Encoding: Chunked",
        "Content-Length: 5\r\ntransfer-encoding:\tchunked",
    ] {
        let wire = format!("POST /api/echo/x HTTP/1.1\r\nHost: h\r\n{headers}\r\n\r\n0\r\n\r\n");
        assert_refused(&node, &engine, &wire).await;
    }
}

#[tokio::test]
async fn a_length_that_is_not_one_number_is_refused() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for headers in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 6",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length:",
        "Content-Length: 18446744073709551621",
    ] {
        let wire = format!("POST /api/echo/x HTTP/1.1\r\nHost: h\r\n{headers}\r\n\r\nhello");
        assert_refused(&node, &engine, &wire).await;
    }
}

#[tokio::test]
async fn a_coding_that_is_not_chunked_alone_is_refused() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for headers in [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity",
        "Transfer-Encoding:",
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
    ] {
        let wire = format!("POST /api/echo/x HTTP/1.1\r\nHost: h\r\n{headers}\r\n\r\n0\r\n\r\n");
        assert_refused(&node, &engine, &wire).await;
    }
}

#[tokio::test]
async fn a_chunk_size_that_is_no_number_is_refused() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for body in [
        "x\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloo\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
    ] {
        let wire =
            format!("POST /api/echo/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        assert_refused(&node, &engine, &wire).await;
    }
}

#[tokio::test]
async fn chunks_in_http_1_0_are_refused() {
    let engine = engine();
    let forgiving = crate::f1().set("BlockHttp10", false);
    let node = ready(Node::builder().frontend(forgiving).backend(crate::b1(&engine))).await;
    let wire = "POST /api/echo/x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    connection.send(format!("{wire}{BEHIND}")).await.unwrap();
    let answer = String::from_utf8(connection.read_to_end().await.0).unwrap();
    assert!(answer.contains(" 400 "), "{answer}");
    assert_eq!(engine.requests_to("/api/echo").len(), 0);
}

#[tokio::test]
async fn a_head_that_is_no_http_is_refused() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for head in [
        "GET /api/echo/x HTTP/1.1\r\nHost: h\r\nBad Header: 1\r\n\r\n",
        "GET /api/echo/x HTTP/1.1\r\nHost: h\r\nX-Control: a\u{0}b\r\n\r\n",
        "GET /api/echo/x HTTP/1.1\r\nHost: h\r\nX-Folded: a\r\n b\r\n\r\n",
        "GET /api/echo/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /api/echo/x y HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET  HTTP/1.1\r\nHost: h\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        assert_refused(&node, &engine, head).await;
    }
}
