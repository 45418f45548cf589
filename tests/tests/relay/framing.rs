//! The bytes of a body arrive unchanged, however the backend delimits it.

use ollamaflow_tests::client::{Collected, End, RawConnection, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{FaultKind, GZIP_BODY};

use crate::scripted::{ScriptedBackend, chunk};
use crate::{chat, ollama};
use ollamaflow_tests::setup::Setup;

/// Larger than every buffer on the way.
const LARGE_BYTES: usize = 3 * 1024 * 1024;

/// Every byte value, so that nothing can pass as text.
fn bytes() -> Vec<u8> {
    (0..=255).cycle().take(1024).collect()
}

async fn one() -> (ScriptedBackend, Node) {
    let backend = ScriptedBackend::start();
    let node = Setup::new().backend(&backend).start().await;
    (backend, node)
}

fn wire(head: &str, parts: &[&[u8]]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\n{head}\r\n").as_bytes(), &parts.concat()].concat()
}

fn assert_whole(answer: &Collected, body: &[u8], framing: &str) {
    assert_eq!((answer.status(), answer.end), (200, End::Complete), "{framing}");
    assert!(answer.body == body, "{framing}: the body differs");
}

#[tokio::test]
async fn a_body_is_the_same_in_every_framing() {
    let (mut backend, node) = one().await;
    let body = bytes();
    let (left, right) = body.split_at(300);
    let (one, two) = (chunk(left), chunk(right));
    let sized = format!("Content-Length: {}\r\n", body.len());
    let twice = format!("{sized}{sized}");
    let chunked = "Transfer-Encoding: chunked\r\n";
    let extended = [b"12C;name=\"a;b\";flag\r\n", left, b"\r\n2d4 ;x=y\r\n", right, b"\r\n"].concat();
    let cases: [(&str, Vec<u8>); 9] = [
        ("a length", wire(&sized, &[&body])),
        ("the same length twice", wire(&twice, &[&body])),
        ("chunks", wire(chunked, &[&one, &two, b"0\r\n\r\n"])),
        ("a coding in other case", wire("transfer-encoding: CHUNKED\r\n", &[&one, &two, b"0\r\n\r\n"])),
        ("chunk extensions", wire(chunked, &[&extended, b"0;last\r\n\r\n"])),
        ("trailers", wire(chunked, &[&one, &two, b"0\r\nX-Checksum: abc\r\nX-Other: d\r\n\r\n"])),
        ("leading zeros", wire(chunked, &[b"00012c\r\n", left, b"\r\n", &two, b"000\r\n\r\n"])),
        ("the close", wire("Connection: close\r\n", &[&body])),
        ("the close of http/1.0", [b"HTTP/1.0 200 OK\r\n\r\n", body.as_slice()].concat()),
    ];
    for (framing, wire) in cases {
        let answer = backend.relays(&node, &Request::get("/api/any"), wire).await;
        assert_whole(&answer, &body, framing);
        assert_eq!(answer.trailers, [], "trailers are of the connection; no client asked for them");
    }
}

#[tokio::test]
async fn a_large_body_is_the_same_in_every_framing() {
    let (mut backend, node) = one().await;
    let mut body = vec![0; LARGE_BYTES];
    fastrand::Rng::with_seed(7).fill(&mut body);
    let chunks: Vec<u8> = body.chunks(100_003).flat_map(chunk).collect();
    let sized = format!("Content-Length: {}\r\n", body.len());
    for (framing, wire) in [
        ("a length", wire(&sized, &[&body])),
        ("chunks", wire("Transfer-Encoding: chunked\r\n", &[&chunks, b"0\r\n\r\n"])),
        ("the close", wire("", &[&body])),
    ] {
        let answer = backend.relays(&node, &Request::get("/api/any"), wire).await;
        assert_whole(&answer, &body, framing);
    }
}

#[tokio::test]
async fn an_empty_body_is_empty_in_every_framing() {
    let (mut backend, node) = one().await;
    for head in ["Content-Length: 0\r\n", "Connection: close\r\n"] {
        let answer = backend.relays(&node, &Request::get("/api/any"), wire(head, &[])).await;
        assert_whole(&answer, b"", head);
    }
    let chunked = wire("Transfer-Encoding: chunked\r\n", &[b"0\r\n\r\n"]);
    assert_whole(&backend.relays(&node, &Request::get("/api/any"), chunked).await, b"", "chunks");
}

#[tokio::test]
async fn an_answer_after_interim_ones_is_the_answer() {
    let backend = ollama();
    let node = Setup::new().backend(&backend).start().await;
    let expected = chat(true).send(&backend).await.lines().collect().await.0.len();
    backend.set_fault(FaultKind::Interim { statuses: vec![100, 102, 103] });
    let (lines, end) = chat(true).send(node.addr()).await.lines().collect().await;
    assert_eq!((lines.len(), end), (expected, End::Complete));
}

#[tokio::test]
async fn a_compressed_body_stays_compressed() {
    let backend = ollama();
    let node = Setup::new().backend(&backend).start().await;
    backend.set_fault(FaultKind::gzip());
    let request = chat(false).header("Accept-Encoding", "gzip");
    let answer = request.send(node.addr()).await.collect().await;
    assert_eq!((answer.header("content-encoding"), answer.end), (Some("gzip"), End::Complete));
    assert_eq!(answer.body, GZIP_BODY);
    assert_eq!(answer.header("content-length"), Some(GZIP_BODY.len().to_string().as_str()));
}

#[tokio::test]
async fn answers_without_a_body_have_none_and_the_connection_goes_on() {
    let (mut backend, node) = one().await;
    let cases = [
        ("GET", "204 No Content", "", None),
        ("GET", "304 Not Modified", "Content-Length: 1234\r\nETag: \"x\"\r\n", Some("1234")),
        ("HEAD", "200 OK", "Content-Length: 1234\r\n", Some("1234")),
        ("HEAD", "200 OK", "Transfer-Encoding: chunked\r\n", None),
        ("HEAD", "404 Not Found", "Content-Length: 5\r\n", Some("5")),
    ];
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    for (method, status, head, length) in cases {
        connection.send_request(&Request::new(method, "/api/any")).await.unwrap();
        backend.next().await.send(format!("HTTP/1.1 {status}\r\n{head}\r\n")).await;
        let response = connection.response().await.unwrap();
        assert_eq!(response.status().to_string(), status[..3], "{method} {status}");
        assert_eq!(
            response.head.headers_named("content-length"),
            Vec::from_iter(length),
            "{method} {status}"
        );
        let (answer, next) = response.collect_reusable().await;
        assert_eq!((answer.end, answer.body.len()), (End::Complete, 0), "{method} {status}");
        connection = next;
    }
    // Anything sent too much would be taken for the beginning of this answer.
    connection.send_request(&Request::get("/api/any")).await.unwrap();
    backend.next().await.send(wire("Content-Length: 2\r\n", &[b"ok"])).await;
    let (answer, _) = connection.response().await.unwrap().collect_reusable().await;
    assert_whole(&answer, b"ok", "after all of them");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let backend = ollama();
    let node = Setup::new().backend(&backend).start().await;
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    let requests =
        (0..5).map(|n| format!("POST /api/echo/{n} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n{n}"));
    connection.send(requests.collect::<String>()).await.unwrap();
    for n in 0..5 {
        let (answer, next) = connection.response().await.unwrap().collect_reusable().await;
        assert_eq!(answer.json()["path"], format!("/api/echo/{n}"));
        assert_eq!(answer.json()["body"]["text"], n.to_string());
        connection = next;
    }
}

#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_is_the_same() {
    let backend = ollama();
    backend.knobs(|knobs| knobs.tokens = 2);
    let node = Setup::new().backend(&backend).start().await;
    let trailers = vec![("X-Checksum".to_owned(), "abc".to_owned())];
    backend.set_faults(vec![
        FaultKind::ChunkExtras { extension: ";a=b".to_owned(), trailers }.into(),
        FaultKind::SlowBytes { interval_ms: 0, bytes: 1, head: true }.into(),
    ]);
    let (lines, end) = chat(true).send(node.addr()).await.lines().collect().await;
    assert_eq!((lines.len(), end), (3, End::Complete));
    assert_eq!(lines[2].json()["done"], true);
    let words: String =
        lines.iter().map(|line| line.json()["message"]["content"].as_str().unwrap().to_owned()).collect();
    assert_eq!(words, " the quick");
}
