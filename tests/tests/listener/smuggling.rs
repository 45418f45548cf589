//! Requests that two programs might read differently: one list, of which each case is refused, or is exactly one request.
//!
//! Every case goes over a connection of its own, with another request right behind it. Refused means: one answer, of that status, the
//! connection ends, and the backend has seen nothing. One request means: the backend has seen that one, with that body, and then
//! the one behind it, as such. After each case a plain request must arrive as it was sent, so that nothing is left in between.

use std::fmt::Write as _;
use std::time::Duration;

use ollamaflow_tests::client::{RawConnection, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{ReceivedRequest, SimulatedBackend};
use serde_json::json;

use crate::{b1, engine, f1, ready};

/// What would be smuggled in.
const BEHIND: &str = "GET /api/echo/behind HTTP/1.1\r\nHost: h\r\n\r\n";

/// How long the rest of a head or body may take: a case that leaves the server waiting ends by that.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is to become of a case.
#[derive(Clone, Copy, Debug)]
enum Expect {
    /// One answer of this status, and the end of the connection.
    Refused(u16),
    /// The backend gets one request with this body, and the one behind it.
    One(&'static str),
    /// The backend gets one request with this body, and the connection ends behind the answer: nothing else is read from it.
    Last(&'static str),
    /// The node answers this itself; the one behind it is served.
    Answered(u16),
}

use Expect::{Answered, Last, One, Refused};

/// A node that lets HTTP/1.0 in, so that its own rules are seen, and waits for slow clients for a moment only.
async fn node(engine: &SimulatedBackend) -> Node {
    let builder = Node::builder().frontend(f1().set("BlockHttp10", false)).backend(b1(engine));
    let times =
        json!({ "Webserver": { "IO": { "ReadTimeoutMs": u64::try_from(PATIENCE.as_millis()).unwrap() } } });
    ready(builder.settings(&times)).await
}

/// Requests for `/api/echo`, since `after`.
fn arrived(engine: &SimulatedBackend, after: u64) -> Vec<ReceivedRequest> {
    let all = engine.requests_to("/api/echo");
    all.into_iter().filter(|request| request.sequence > after).collect()
}

fn statuses(answer: &str) -> Vec<u16> {
    answer.match_indices("HTTP/1.1 ").filter_map(|(at, _)| answer[at + 9..].get(..3)?.parse().ok()).collect()
}

/// What is wrong with what became of this case; nothing if it is as it should be.
async fn fault(node: &Node, engine: &SimulatedBackend, wire: &[u8], expect: Expect) -> Option<String> {
    let before = engine.requests().last().map_or(0, |request| request.sequence);
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    let behind = if matches!(expect, Refused(_)) {
        BEHIND.to_owned()
    } else {
        // The last one, so that the connection ends.
        BEHIND.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
    };
    // A server that has refused the first part may have closed before it got the second.
    let _ = connection.send([wire, behind.as_bytes()].concat()).await;
    let (bytes, _) = connection.read_to_end().await;
    let answer = String::from_utf8_lossy(&bytes).into_owned();
    let seen = arrived(engine, before);
    let bodies: Vec<_> =
        seen.iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect();
    let paths: Vec<_> = seen.iter().map(|request| request.path.as_str()).collect();
    let told = statuses(&answer);
    let is_right = match expect {
        Refused(status) => told == [status] && seen.is_empty(),
        One(body) => {
            told == [200, 200]
                && paths.len() == 2
                && paths[0].starts_with("/api/echo/x")
                && paths[1] == "/api/echo/behind"
                && bodies == [body, ""]
                && seen[0].headers_named("transfer-encoding").len()
                    + seen[0].headers_named("content-length").len()
                    <= 1
        }
        Last(body) => told == [200] && paths == ["/api/echo/x"] && bodies == [body],
        Answered(status) => told == [status, 200] && paths == ["/api/echo/behind"],
    };
    if !is_right {
        return Some(format!("{expect:?}: answers {told:?}, the backend saw {paths:?} with {bodies:?}"));
    }
    // Nothing is left behind on the way to the backend, either.
    let plain = Request::post("/api/echo/plain").body("plain").send(node.addr()).await.collect().await;
    let last = engine.requests_to("/api/echo").pop().unwrap();
    let is_plain = plain.status() == 200 && last.path == "/api/echo/plain" && last.body == "plain";
    (!is_plain).then(|| format!("{expect:?}: the next request is {} of {:?}", plain.status(), last.path))
}

/// Runs a list of cases and tells of all that are wrong.
async fn check(cases: impl IntoIterator<Item = (String, Expect)>) {
    let engine = engine();
    let node = node(&engine).await;
    let mut faults = String::new();
    for (wire, expect) in cases {
        if let Some(fault) = fault(&node, &engine, wire.as_bytes(), expect).await {
            let shown: String = wire.chars().take(160).collect();
            writeln!(faults, "{shown:?}\n    {fault}").unwrap();
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

/// A request with these header lines and what is sent as its body.
fn post(headers: &str, body: &str) -> String {
    format!("POST /api/echo/x HTTP/1.1\r\nHost: h\r\n{headers}\r\n\r\n{body}")
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked", body)
}

#[tokio::test]
async fn a_length_and_chunks_together_are_refused() {
    let cases = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nTransfer-Encoding: Chunked",
        "Content-Length: 5\r\ntransfer-encoding:\tchunked",
        "Content-Length: 5\r\nTransfer-Encoding: identity",
        "Content-Length: 5\r\nTransfer-Encoding: xchunked",
        "Content-Length: 5\r\nConnection: Content-Length\r\nTransfer-Encoding: chunked",
    ];
    check(cases.map(|headers| (post(headers, "0\r\n\r\n"), Refused(400)))).await;
}

#[tokio::test]
async fn a_length_is_one_number() {
    let refused = [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nX-Between: 1\r\ncontent-length: 5",
        "Content-Length: 5, 6",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length: 5.0",
        "Content-Length: 5;",
        "Content-Length: \"5\"",
        "Content-Length: five",
        "Content-Length:",
        "Content-Length: \t",
        "Content-Length : 5",
        " Content-Length: 5",
        "Content-Length\t: 5",
        "Content-Length: 18446744073709551616",
        "Content-Length: 18446744073709551621",
        "Content-Length: 99999999999999999999999999999999999999",
    ];
    let one = [
        "Content-Length: 5",
        "content-LENGTH:5",
        "Content-Length:  5 ",
        "Content-Length: 00005",
        // Names of connections' own headers do not take the framing away.
        "Content-Length: 5\r\nConnection: Content-Length",
        "Content-Length: 5\r\nConnection: keep-alive, Transfer-Encoding",
        // Another header, whatever it looks like.
        "Content-Length: 5\r\nTransfer_Encoding: chunked",
        "Content-Length: 5\r\nX-Transfer-Encoding: chunked",
        "Content-Length: 5\r\nTE: trailers, chunked",
        "Content-Length: 5\r\nTrailer: Content-Length",
    ];
    let refused = refused.map(|headers| (post(headers, "hello"), Refused(400)));
    check(refused.into_iter().chain(one.map(|headers| (post(headers, "hello"), One("hello"))))).await;
}

#[tokio::test]
async fn a_coding_is_chunked_and_nothing_else() {
    let refused = [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: , chunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunkedx",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding: chunked\u{b}",
        "Transfer-Encoding: \u{1}chunked",
        "Transfer-Encoding: chun\u{212a}ed",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding:",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        " Transfer-Encoding: chunked",
        "Transfer-Encoding:\r\n chunked",
        "X: 1\r\n Transfer-Encoding: chunked",
        "X: 1\rTransfer-Encoding: chunked",
    ];
    let one = [
        "Transfer-Encoding: chunked",
        "transfer-encoding:CHUNKED",
        "Transfer-Encoding:  chunked\t",
        "Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding",
    ];
    let refused = refused.map(|headers| (post(headers, "5\r\nhello\r\n0\r\n\r\n"), Refused(400)));
    let one = one.map(|headers| (post(headers, "5\r\nhello\r\n0\r\n\r\n"), One("hello")));
    check(refused.into_iter().chain(one)).await;
}

#[tokio::test]
async fn chunks_are_what_their_sizes_say() {
    let refused = [
        "x\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "5g\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        ";x\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\nhelloo\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\u{0}b\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n-0\r\n\r\n",
    ];
    let one = [
        "5\r\nhello\r\n0\r\n\r\n",
        "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        "00000005\r\nhello\r\n000\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5;name=value\r\nhello\r\n0;last\r\n\r\n",
        "5;name=\"a;b\"\r\nhello\r\n0\r\n\r\n",
        // Trailers are no headers: they frame nothing, and end here.
        "5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n",
        "5\r\nhello\r\n0\r\nContent-Length: 400\r\n\r\n",
        "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\nHost: other\r\n\r\n",
    ];
    let refused = refused.map(|body| (chunked(body), Refused(400)));
    check(refused.into_iter().chain(one.map(|body| (chunked(body), One("hello"))))).await;
}

#[tokio::test]
async fn what_is_no_head_is_refused() {
    let get = |line: &str, headers: &str| format!("{line}\r\n{headers}\r\n");
    let refused = [
        get("GET /api/echo/x HTTP/1.1", "Host: h\r\nBad Header: 1\r\n"),
        get("GET /api/echo/x HTTP/1.1", "Host: h\r\nno colon\r\n"),
        get("GET /api/echo/x HTTP/1.1", "Host: h\r\n: no name\r\n"),
        get("GET /api/echo/x HTTP/1.1", "Host: h\r\nX-Space : 1\r\n"),
        get("GET /api/echo/x HTTP/1.1", "Host: h\r\nX-Control: a\u{0}b\r\n"),
        get("GET /api/echo/x HTTP/1.1", "Host: h\r\nX-Control: a\u{7f}b\r\n"),
        get("GET /api/echo/x HTTP/1.1", "Host: h\r\nX-\u{0}: 1\r\n"),
        get("GET /api/echo/x HTTP/1.1", "Host: h\r\nX-Bare: a\rb\r\n"),
        get("GET /api/echo/x HTTP/1.1", "Host: h\r\nX-Folded: a\r\n b\r\n"),
        get("GET /api/echo/x HTTP/1.1", "Host: h\r\nX-Folded: a\r\n\tb\r\n"),
        get("GET /api/echo/x HTTP/1.1", " Host: h\r\n"),
        get("GET /api/echo/x HTTP/1.1", ""),
        get("GET /api/echo/x HTTP/1.1", "Host: a\r\nHost: b\r\n"),
        get("GET /api/echo/x HTTP/1.1", "Host: a\r\nHost: a\r\n"),
        get("GET /api/echo/x y HTTP/1.1", "Host: h\r\n"),
        get("GET /api/echo/x\ty HTTP/1.1", "Host: h\r\n"),
        get("GET /api/echo/\u{0} HTTP/1.1", "Host: h\r\n"),
        get("GET  HTTP/1.1", "Host: h\r\n"),
        get("GET HTTP/1.1", "Host: h\r\n"),
        get("GET /api/echo/x", "Host: h\r\n"),
        get("G(T /api/echo/x HTTP/1.1", "Host: h\r\n"),
        get("GET /api/echo/x HTTP/0.9", "Host: h\r\n"),
        get("GET /api/echo/x HTTP/1.2", "Host: h\r\n"),
        get("GET /api/echo/x HTTP/1.10", "Host: h\r\n"),
        get("GET /api/echo/x HTTP/2.0", "Host: h\r\n"),
        get("GET /api/echo/x http/1.1", "Host: h\r\n"),
        get("PRI * HTTP/2.0", ""),
        "nonsense\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\u{0}\r\n\r\n".to_owned(),
    ];
    let one = [
        ("GET /api/echo/x HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), One("")),
        ("\r\n\r\nGET /api/echo/x HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), One("")),
        ("GET http://h/api/echo/x HTTP/1.1\r\nHost: other\r\n\r\n".to_owned(), One("")),
        // A lone line feed ends a line (RFC 9112 2.2); what goes on is written anew.
        ("POST /api/echo/x HTTP/1.1\nHost: h\nContent-Length: 5\n\nhello".to_owned(), One("hello")),
    ];
    check(refused.map(|wire| (wire, Refused(400))).into_iter().chain(one)).await;
}

#[tokio::test]
async fn targets_that_are_no_paths_reach_no_backend() {
    let cases = [
        ("CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", Refused(405)),
        // It has no path: that is the home page.
        ("GET h:443 HTTP/1.1\r\nHost: h\r\n\r\n", Answered(200)),
        ("GET * HTTP/1.1\r\nHost: h\r\n\r\n", Answered(404)),
        ("GET /api/echo/../tags HTTP/1.1\r\nHost: h\r\n\r\n", Answered(400)),
        ("GET /api/echo/%2e%2e/tags HTTP/1.1\r\nHost: h\r\n\r\n", Answered(400)),
    ];
    check(cases.map(|(wire, expect)| (wire.to_owned(), expect))).await;
}

#[tokio::test]
async fn chunks_in_http_1_0_are_refused() {
    let cases = [
        "POST /api/echo/x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /api/echo/x HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /api/echo/x HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ];
    let engine = engine();
    let node = node(&engine).await;
    for wire in cases {
        let mut connection = RawConnection::open(node.addr()).await.unwrap();
        connection.send(format!("{wire}{BEHIND}")).await.unwrap();
        let answer = String::from_utf8(connection.read_to_end().await.0).unwrap();
        assert!(answer.contains(" 400 ") && answer.matches("HTTP/1.").count() == 1, "{answer}");
        assert_eq!(engine.requests_to("/api/echo").len(), 0);
    }
}

#[tokio::test]
async fn heads_have_bounds() {
    let fields = |count: usize| (0..count).fold(String::new(), |all, n| format!("{all}X-{n}: 1\r\n"));
    let head = |fields: &str| format!("GET /api/echo/x HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    let cases = [
        (head(&fields(95)), One("")),
        (head(&fields(96)), Refused(431)),
        (head(&fields(5_000)), Refused(431)),
        (head(&format!("X: {}\r\n", "a".repeat(60_000))), One("")),
        (head(&format!("X: {}\r\n", "a".repeat(140_000))), Refused(431)),
        (head(&format!("{}: 1\r\n", "a".repeat(140_000))), Refused(431)),
        (format!("GET /api/echo/x?{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(60_000)), One("")),
        (format!("GET /api/echo/x?{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(70_000)), Refused(400)),
        (format!("GET /api/echo/x?{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(140_000)), Refused(431)),
    ];
    check(cases).await;
}

#[tokio::test]
async fn what_does_not_arrive_in_time_ends_the_connection() {
    let cases = [
        // The request behind is what is read for it, and does not fill it.
        (post("Content-Length: 5000", "hello"), Refused(408)),
        (chunked("1000\r\nhello"), Refused(408)),
        (chunked("5\r\nhello\r\n0\r\nX: a\n\n"), Refused(408)),
        ("GET /api/echo/x HTTP/1.1\r\nHost: h\r\nX: ".to_owned(), Refused(400)),
    ];
    check(cases).await;
}

#[tokio::test]
async fn offers_of_another_protocol_change_no_framing() {
    let cases = [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAA",
        "Connection: Upgrade\r\nUpgrade: websocket",
        "Upgrade: websocket",
    ];
    check(cases.map(|offer| (post(&format!("{offer}\r\nContent-Length: 5"), "hello"), Last("hello")))).await;
}
