//! What a backend sees of a request's head.

use ollamaflow_tests::client::{RawConnection, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{ReceivedFraming, ReceivedRequest, SimulatedBackend};
use serde_json::json;

use crate::ollama;
use ollamaflow_tests::setup::Setup;

/// Sends a request to a path that echoes, and gives what arrived there.
async fn arrives(node: &Node, backend: &SimulatedBackend, request: &Request) -> ReceivedRequest {
    let answer = request.send(node.addr()).await.collect().await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    backend.requests_to("/api/echo").pop().unwrap()
}

async fn one() -> (SimulatedBackend, Node) {
    let backend = ollama();
    let node = Setup::new().backend(&backend).start().await;
    (backend, node)
}

#[tokio::test]
async fn method_path_query_headers_and_body_arrive_as_they_were_sent() {
    let (backend, node) = one().await;
    let body: Vec<u8> = (0..=255).collect();
    let request = Request::new("PUT", "/api/echo/a%20b/c;d=1?x=1&y=%2F%20&empty=&x=2")
        .header("User-Agent", "a client/1.0")
        .header("Content-Type", "application/x-any")
        .header("Cookie", "a=1; b=2")
        .header("X-Custom", "first")
        .header("X-Custom", "second, third")
        .header("Accept-Encoding", "gzip, br")
        .body(body.clone());
    let arrived = arrives(&node, &backend, &request).await;
    assert_eq!(
        (arrived.method.as_str(), arrived.path.as_str(), arrived.query.as_deref()),
        ("PUT", "/api/echo/a%20b/c;d=1", Some("x=1&y=%2F%20&empty=&x=2"))
    );
    for (name, values) in [
        ("user-agent", vec!["a client/1.0"]),
        ("content-type", vec!["application/x-any"]),
        ("cookie", vec!["a=1; b=2"]),
        ("x-custom", vec!["first", "second, third"]),
        ("accept-encoding", vec!["gzip, br"]),
    ] {
        assert_eq!(arrived.headers_named(name), values, "{name}");
    }
    assert_eq!((arrived.framing, arrived.body.as_ref()), (ReceivedFraming::ContentLength(256), &body[..]));
}

#[tokio::test]
async fn the_host_is_that_of_the_backend_and_the_clients_host_is_passed_on_beside_it() {
    let (backend, node) = one().await;
    let request = Request::get("/api/echo/x").host("llm.example.org:8080");
    let arrived = arrives(&node, &backend, &request).await;
    assert_eq!(arrived.headers_named("host"), [backend.address().to_string()]);
    assert_eq!(arrived.headers_named("x-forwarded-host"), ["llm.example.org:8080"]);
    let request = request.header("X-Forwarded-Host", "outer.example.org");
    let arrived = arrives(&node, &backend, &request).await;
    assert_eq!(
        arrived.headers_named("x-forwarded-host"),
        ["llm.example.org:8080"],
        "a client may say anything"
    );
}

#[tokio::test]
async fn what_an_untrusted_peer_says_about_the_client_is_replaced() {
    let (backend, node) = one().await;
    let request = Request::get("/api/echo/x");
    let arrived = arrives(&node, &backend, &request).await;
    assert_eq!(arrived.headers_named("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(arrived.headers_named("x-forwarded-proto"), ["http"]);
    let request = request
        .header("X-Forwarded-For", "203.0.113.7")
        .header("X-Forwarded-For", "10.0.0.1")
        .header("X-Forwarded-Proto", "https");
    let arrived = arrives(&node, &backend, &request).await;
    assert_eq!(arrived.headers_named("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(arrived.headers_named("x-forwarded-proto"), ["http"]);
}

#[tokio::test]
async fn what_a_trusted_proxy_says_about_the_client_is_passed_on_and_the_proxy_added() {
    let backend = ollama();
    let settings = json!({ "TrustedProxies": ["::1", "127.0.0.0/8"] });
    let node = Setup::new().backend(&backend).settings(settings).start().await;
    let request = Request::get("/api/echo/x").host("llm.example.org");
    let arrived = arrives(&node, &backend, &request).await;
    assert_eq!(arrived.headers_named("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(arrived.headers_named("x-forwarded-proto"), ["http"]);
    assert_eq!(arrived.headers_named("x-forwarded-host"), ["llm.example.org"]);
    let request = request
        .header("X-Forwarded-For", "203.0.113.7")
        .header("X-Forwarded-For", "10.0.0.1")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "outer.example.org");
    let arrived = arrives(&node, &backend, &request).await;
    assert_eq!(arrived.headers_named("x-forwarded-for"), ["203.0.113.7, 10.0.0.1, 127.0.0.1"]);
    assert_eq!(arrived.headers_named("x-forwarded-proto"), ["https"]);
    assert_eq!(arrived.headers_named("x-forwarded-host"), ["outer.example.org"]);
}

#[tokio::test]
async fn the_node_adds_itself_to_via() {
    let (backend, node) = one().await;
    let request = Request::get("/api/echo/x");
    assert_eq!(arrives(&node, &backend, &request).await.headers_named("via"), ["1.1 ollamaflow"]);
    let request = request.header("Via", "1.0 edge").header("Via", "1.1 inner");
    let arrived = arrives(&node, &backend, &request).await;
    assert_eq!(arrived.headers_named("via"), ["1.0 edge, 1.1 inner, 1.1 ollamaflow"]);
}

#[tokio::test]
async fn a_trace_is_created() {
    let (backend, node) = one().await;
    let arrived = arrives(&node, &backend, &Request::get("/api/echo/x")).await;
    let parts: Vec<_> = arrived.header("traceparent").unwrap().split('-').collect();
    assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2]);
    assert_eq!(parts[0], "00");
    assert!(parts[1..3].iter().all(|id| u128::from_str_radix(id, 16).unwrap() != 0));
    let another = arrives(&node, &backend, &Request::get("/api/echo/x")).await;
    assert_ne!(another.header("traceparent"), arrived.header("traceparent"));
}

#[tokio::test]
async fn a_clients_trace_is_continued_with_a_span_of_the_nodes_own() {
    let (backend, node) = one().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = Request::get("/api/echo/x")
        .header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"))
        .header("tracestate", "vendor=1");
    let arrived = arrives(&node, &backend, &request).await;
    let sent = arrived.headers_named("traceparent");
    assert_eq!(sent.len(), 1);
    let parts: Vec<_> = sent[0].split('-').collect();
    assert_eq!((parts[0], parts[1], parts[3]), ("00", trace, "01"));
    assert_ne!(parts[2], "00f067aa0ba902b7");
    assert_eq!(arrived.headers_named("tracestate"), ["vendor=1"]);
}

#[tokio::test]
async fn a_request_has_one_id_at_the_client_and_at_the_backend() {
    let (backend, node) = one().await;
    let forged = Request::get("/api/echo/x").header("X-OllamaFlow-Request", "forged");
    let answer = forged.send(node.addr()).await.collect().await;
    let id = answer.head.headers_named("x-ollamaflow-request");
    assert_eq!((id.len(), id[0].len()), (1, 36), "{id:?}");
    let arrived = backend.requests_to("/api/echo").pop().unwrap();
    assert_eq!(arrived.headers_named("x-ollamaflow-request"), id);
    assert_eq!(arrived.headers_named("x-request-id"), id, "created when the client has none");
    let own = Request::get("/api/echo/x").header("X-Request-ID", "the client's");
    let arrived = arrives(&node, &backend, &own).await;
    assert_eq!(arrived.headers_named("x-request-id"), ["the client's"]);
    assert_ne!(arrived.headers_named("x-ollamaflow-request"), id, "each request has another");
}

#[tokio::test]
async fn headers_of_the_clients_connection_stay_on_it() {
    let (backend, node) = one().await;
    let request = Request::get("/api/echo/x")
        .header("Connection", "keep-alive, X-Private")
        .header("Connection", "x-also-private")
        .header("X-Private", "1")
        .header("X-Also-Private", "2")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Connection", "keep-alive")
        .header("Proxy-Authorization", "Basic c2VjcmV0")
        .header("TE", "trailers")
        .header("Trailer", "X-Checksum")
        .header("X-Public", "3");
    let arrived = arrives(&node, &backend, &request).await;
    for name in [
        "connection",
        "x-private",
        "x-also-private",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ] {
        assert_eq!(arrived.headers_named(name), [""; 0], "{name}");
    }
    assert_eq!(arrived.header("x-public"), Some("3"));
}

#[tokio::test]
async fn a_backends_querystring_is_appended_to_the_clients() {
    let backend = ollama();
    let node = Setup::new()
        .backend_with(&backend, |backend| backend.set("Querystring", "api-version=2&key=a%20b"))
        .start()
        .await;
    let arrived = arrives(&node, &backend, &Request::get("/api/echo/x?model=m")).await;
    assert_eq!(arrived.query.as_deref(), Some("model=m&api-version=2&key=a%20b"));
    let arrived = arrives(&node, &backend, &Request::get("/api/echo/x")).await;
    assert_eq!(arrived.query.as_deref(), Some("api-version=2&key=a%20b"));
}

#[tokio::test]
async fn a_backends_headers_override_the_clients() {
    let backend = ollama();
    let headers = json!({ "X-Team": "ours", "user-agent": "node", "X-New": "new" });
    let node = Setup::new().backend_with(&backend, |backend| backend.set("Headers", headers)).start().await;
    let request = Request::get("/api/echo/x")
        .header("x-team", "theirs")
        .header("X-TEAM", "theirs too")
        .header("User-Agent", "client")
        .header("X-Other", "other");
    let arrived = arrives(&node, &backend, &request).await;
    for (name, value) in [("x-team", "ours"), ("user-agent", "node"), ("x-new", "new"), ("x-other", "other")]
    {
        assert_eq!(arrived.headers_named(name), [value], "{name}");
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_is_told_so_and_its_body_arrives() {
    let (backend, node) = one().await;
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    let head = "POST /api/echo/x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    connection.send(head).await.unwrap();
    assert!(connection.read_some().await.unwrap().starts_with(b"HTTP/1.1 100 "));
    connection.send("hello").await.unwrap();
    assert_eq!(connection.response().await.unwrap().collect().await.status(), 200);
    let arrived = backend.requests_to("/api/echo").pop().unwrap();
    assert_eq!((arrived.text().as_str(), arrived.header("expect")), ("hello", None));
}
