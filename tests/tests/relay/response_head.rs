//! What a client sees of an answer's head.

use ollamaflow_tests::client::{Collected, End, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::Backend;
use ollamaflow_tests::simulated::FaultKind;
use serde_json::json;

use crate::scripted::ScriptedBackend;
use crate::{chat, ollama, openai_chat, vllm};
use ollamaflow_tests::setup::Setup;

async fn one() -> (ScriptedBackend, Node) {
    let backend = ScriptedBackend::start();
    let node = Setup::new().backend(&backend).start().await;
    (backend, node)
}

/// What a client gets for an answer with these header lines.
async fn relayed(head: &str) -> Collected {
    let (mut backend, node) = one().await;
    let wire = format!("HTTP/1.1 200 OK\r\n{head}Content-Length: 2\r\n\r\nok");
    let answer = backend.relays(&node, &Request::get("/api/any"), wire).await;
    assert_eq!((answer.status(), answer.text().as_str(), answer.end), (200, "ok", End::Complete));
    answer
}

#[tokio::test]
async fn end_to_end_headers_are_kept_and_repeated_ones_stay_apart_in_their_order() {
    let answer = relayed(concat!(
        "Content-Type: text/plain; charset=koi8-r\r\n",
        "Set-Cookie: a=1; Path=/\r\n",
        "X-Custom: one\r\n",
        "Set-Cookie: b=2; Expires=Wed, 01 Jan 2031 00:00:00 GMT\r\n",
        "x-custom: two\r\n",
        "Set-Cookie: c=3\r\n",
        "Server: uvicorn\r\n",
        "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        "Retry-After: 7\r\n",
        "ETag: \"x\"\r\n",
        "Cache-Control: no-store\r\n",
        "Content-Language: de\r\n",
    ))
    .await;
    let cookies = ["a=1; Path=/", "b=2; Expires=Wed, 01 Jan 2031 00:00:00 GMT", "c=3"];
    assert_eq!(answer.head.headers_named("set-cookie"), cookies);
    for (name, values) in [
        ("content-type", vec!["text/plain; charset=koi8-r"]),
        ("x-custom", vec!["one", "two"]),
        ("server", vec!["uvicorn"]),
        ("date", vec!["Sun, 06 Nov 1994 08:49:37 GMT"]),
        ("retry-after", vec!["7"]),
        ("etag", vec!["\"x\""]),
        ("cache-control", vec!["no-store"]),
        ("content-language", vec!["de"]),
        ("content-length", vec!["2"]),
    ] {
        assert_eq!(answer.head.headers_named(name), values, "{name}");
    }
}

#[tokio::test]
async fn headers_of_the_backends_connection_stay_on_it() {
    let answer = relayed(concat!(
        "Connection: X-Private, close\r\n",
        "X-Private: 1\r\n",
        "Keep-Alive: timeout=5\r\n",
        "Proxy-Authenticate: Basic\r\n",
        "Trailer: X-Checksum\r\n",
        "Upgrade: h2c\r\n",
        "X-Public: 2\r\n",
    ))
    .await;
    for name in ["x-private", "keep-alive", "proxy-authenticate", "trailer", "upgrade"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_ne!(answer.header("connection"), Some("X-Private, close"));
    assert_eq!(answer.header("x-public"), Some("2"));
}

#[tokio::test]
async fn the_node_tells_request_backend_and_stickiness_and_exposes_all_headers() {
    for (sticky, told) in [(false, "False"), (true, "True")] {
        let backend = ollama();
        let node = Setup::new().backend(&backend).frontend("UseStickySessions", sticky).start().await;
        let answer = chat(false).send(node.addr()).await.collect().await;
        let only = |name| {
            let values = answer.head.headers_named(name);
            assert_eq!(values.len(), 1, "{name}");
            values[0].to_owned()
        };
        assert_eq!(only("x-ollamaflow-backend"), "b1");
        assert_eq!(only("x-ollamaflow-sticky"), told);
        assert_eq!(only("access-control-expose-headers"), "*");
        assert_eq!(only("access-control-allow-origin"), "*");
        let id = only("x-ollamaflow-request");
        let hexadecimal = id.split('-').all(|part| part.chars().all(|digit| digit.is_ascii_hexdigit()));
        assert!(id.len() == 36 && hexadecimal, "{id}");
    }
}

#[tokio::test]
async fn what_a_backend_says_in_the_nodes_own_headers_is_replaced() {
    let answer = relayed(concat!(
        "X-OllamaFlow-Backend: inner\r\n",
        "X-OllamaFlow-Request: inner\r\n",
        "X-OllamaFlow-Sticky: True\r\n",
        "X-OllamaFlow-Attempts: 7\r\n",
        "X-OllamaFlow-Queue-Ms: 7\r\n",
        "X-OllamaFlow-Decision: inner\r\n",
        "X-OllamaFlow-Translation: inner\r\n",
        "Access-Control-Expose-Headers: X-Inner\r\n",
        "Access-Control-Allow-Origin: https://inner.example.org\r\n",
        "Access-Control-Allow-Credentials: true\r\n",
    ))
    .await;
    assert_eq!(answer.head.headers_named("x-ollamaflow-backend"), ["b1"]);
    assert_eq!(answer.head.headers_named("x-ollamaflow-sticky"), ["False"]);
    assert_eq!(answer.head.headers_named("x-ollamaflow-attempts"), ["1"]);
    assert_eq!(answer.head.headers_named("x-ollamaflow-queue-ms"), ["0"]);
    assert_eq!(answer.head.headers_named("x-ollamaflow-decision"), ["RoundRobin"]);
    assert_eq!(answer.head.headers_named("x-ollamaflow-translation"), ["none"]);
    assert_eq!(answer.head.headers_named("access-control-expose-headers"), ["*"]);
    assert_eq!(answer.head.headers_named("access-control-allow-origin"), ["*"]);
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert_ne!(answer.head.headers_named("x-ollamaflow-request"), ["inner"]);
}

#[tokio::test]
async fn statuses_and_bodies_of_a_backends_errors_are_relayed_as_they_are() {
    let (native, openai) = (ollama(), vllm());
    // Each before a backend of its own API: in the other one they are translated.
    let before_native = Setup::new().backend(&native).start().await;
    let before_openai = Setup::new().backend_with(&openai, Backend::openai).start().await;
    for status in [400, 401, 403, 404, 405, 409, 413, 422, 429, 499, 500, 501, 507, 529] {
        let body = json!({ "error": format!("words for {status}"), "extra": [1, 2] });
        let FaultKind::Answer { mut headers, body: Some(text), .. } = FaultKind::json(status, &body) else {
            unreachable!()
        };
        headers.push(("X-Reason".to_owned(), "own".to_owned()));
        let sides = [(&native, &before_native, chat(true)), (&openai, &before_openai, openai_chat(true))];
        for (backend, node, request) in sides {
            let (headers, body) = (headers.clone(), Some(text.clone()));
            backend.set_faults(vec![FaultKind::Answer { status, headers, body, body_base64: None }.into()]);
            let answer = request.send(node.addr()).await.collect().await;
            assert_eq!((answer.status(), &answer.text(), answer.end), (status, &text, End::Complete));
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("x-reason"), Some("own"));
        }
    }
}

#[tokio::test]
async fn unusual_statuses_are_kept() {
    let (mut backend, node) = one().await;
    for status in [201, 202, 203, 206, 226, 299, 418, 451, 599] {
        let wire = format!("HTTP/1.1 {status} Any\r\nContent-Length: 2\r\n\r\nok");
        let answer = backend.relays(&node, &Request::get("/api/any"), wire).await;
        assert_eq!((answer.status(), answer.text().as_str()), (status, "ok"));
    }
}

#[tokio::test]
async fn redirects_are_relayed_and_not_followed() {
    let (backend, elsewhere) = (ollama(), ollama());
    let node = Setup::new().backend(&backend).start().await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("{}/api/chat", elsewhere.url());
        backend.set_faults(vec![FaultKind::Redirect { status, location: location.clone() }.into()]);
        let answer = chat(false).send(node.addr()).await.collect().await;
        assert_eq!((answer.status(), answer.header("location")), (status, Some(location.as_str())));
    }
    assert_eq!((backend.stats().received(), elsewhere.stats().requests), (5, 0));
}
