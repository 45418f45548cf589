//! Faults of connections and of what comes before a body.

use std::io::ErrorKind;
use std::time::Duration;

use ollamaflow_tests::client::{self, Close, End, NoResponse, RawConnection, Request};
use ollamaflow_tests::simulated::{EndBy, FaultKind, GZIP_BODY};
use ollamaflow_tests::wait;
use serde_json::json;

use crate::{chat_body, native_chat, native_stream, ollama, openai_stream, vllm};

fn chat() -> Request {
    Request::post("/api/chat").json(&chat_body(false))
}

#[tokio::test]
async fn accepted_connections_end_at_once() {
    for (by, close) in [(EndBy::Fin, Close::Fin), (EndBy::Reset, Close::Reset)] {
        let backend = ollama();
        backend.set_fault(FaultKind::AcceptThenClose { by }.times(1));
        match RawConnection::open(&backend).await {
            Ok(mut connection) => assert_eq!(connection.read_to_end().await, (Vec::new(), close)),
            // The reset may come before connecting is over.
            Err(e) => assert_eq!((e.kind(), close), (ErrorKind::ConnectionReset, Close::Reset)),
        }
        assert_eq!(native_chat(&backend).await.status(), 200);
        assert_eq!(backend.stats().connections_accepted, 2);
    }
}

#[tokio::test]
async fn a_reused_connection_ends_when_the_second_request_arrives() {
    let backend = ollama();
    backend.set_fault(FaultKind::CloseOnReuse { by: EndBy::Fin });
    let (first, connection) = chat().send(&backend).await.collect_reusable().await;
    assert_eq!((first.status(), first.header("connection")), (200, None));
    assert!(matches!(connection.exchange(&chat()).await, Err(NoResponse::Closed)));
    assert_eq!((backend.stats().received(), backend.requests().len()), (2, 2));
}

#[tokio::test]
async fn a_request_may_get_no_byte_of_an_answer() {
    let backend = ollama();
    backend.set_fault(FaultKind::CloseBeforeHeaders { by: EndBy::Reset }.times(1));
    assert!(matches!(chat().try_send(&backend).await, Err(NoResponse::Reset)));
    backend.set_fault(FaultKind::CloseBeforeHeaders { by: EndBy::Fin }.times(1));
    assert!(matches!(chat().try_send(&backend).await, Err(NoResponse::Closed)));
    assert_eq!(native_chat(&backend).await.status(), 200);
    assert_eq!(backend.stats().inference.failed, 2);
}

#[tokio::test]
async fn a_stale_connection_is_closed_after_a_complete_answer() {
    for after_ms in [0, 20] {
        let backend = ollama();
        backend.set_fault(FaultKind::StaleKeepAlive { after_ms });
        let (answer, mut connection) = chat().send(&backend).await.collect_reusable().await;
        assert_eq!((answer.end, answer.header("connection")), (End::Complete, None));
        assert_eq!(connection.read_to_end().await, (Vec::new(), Close::Fin));
    }
}

#[tokio::test]
async fn keep_alive_and_pipelining_are_served_in_order() {
    let backend = ollama();
    let mut connection = RawConnection::open(&backend).await.unwrap();
    let wire = [1, 2, 3].map(|n| format!("GET /api/echo/{n} HTTP/1.1\r\nHost: h\r\n\r\n")).concat();
    connection.send(wire).await.unwrap();
    for n in 1..=3 {
        let (answer, next) = connection.response().await.unwrap().collect_reusable().await;
        assert_eq!(answer.json()["path"], format!("/api/echo/{n}"));
        connection = next;
    }
    assert_eq!(backend.stats().connections_accepted, 1);
    connection.send("GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let (answer, mut connection) = connection.response().await.unwrap().collect_reusable().await;
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(connection.read_to_end().await.1, Close::Fin);
}

#[tokio::test]
async fn an_old_client_gets_a_stream_delimited_by_the_close() {
    let backend = ollama();
    let mut connection = RawConnection::open(&backend).await.unwrap();
    let body = chat_body(true).to_string();
    let head = format!("POST /api/chat HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len());
    connection.send(head + &body).await.unwrap();
    let response = connection.response().await.unwrap();
    assert_eq!(response.header("transfer-encoding"), None);
    let (lines, end) = response.lines().collect().await;
    assert_eq!((lines.len(), end), (23, End::Complete));
}

#[tokio::test]
async fn hanging_before_headers_ends_after_its_time() {
    let backend = ollama();
    backend.set_fault(FaultKind::HangBeforeHeaders { for_ms: Some(30) }.times(1));
    assert_eq!(native_chat(&backend).await.status(), 200);
}

#[tokio::test]
async fn hanging_after_headers_shows_the_head_alone() {
    let backend = ollama();
    backend.set_fault(FaultKind::HangAfterHeaders { for_ms: None });
    for stream in [true, false] {
        let response = client::post_json(&backend, "/api/chat", &chat_body(stream)).await;
        assert_eq!(response.status(), 200);
        let mut connection = response.into_connection();
        let silence = tokio::time::timeout(Duration::from_millis(50), connection.read_some()).await;
        assert!(silence.is_err(), "{silence:?}");
    }
    wait::until_eq("both left", || backend.stats().cancelled(), 2).await;
}

#[tokio::test]
async fn the_head_comes_with_the_first_token_or_early() {
    let backend = ollama();
    backend.knobs(|knobs| {
        knobs.ttft_ms = 3_600_000;
        knobs.early_headers = true;
    });
    assert_eq!(native_stream(&backend).await.status(), 200);
    backend.knobs(|knobs| knobs.early_headers = false);
    let answered = tokio::time::timeout(Duration::from_millis(50), native_stream(&backend)).await;
    assert!(answered.is_err());
}

#[tokio::test]
async fn canned_answers_replace_the_real_one() {
    let backend = ollama();
    backend.set_fault(FaultKind::status(500).times(1));
    let answer = native_chat(&backend).await;
    assert_eq!((answer.status(), answer.json()), (500, json!({ "error": "simulated error 500" })));
    let kind = FaultKind::json(429, &json!({ "error": "slow down" }));
    let FaultKind::Answer { status, mut headers, body, body_base64 } = kind else { unreachable!() };
    headers.push(("Retry-After".to_owned(), "7".to_owned()));
    backend.set_fault(FaultKind::Answer { status, headers, body, body_base64 }.times(1));
    let answer = native_chat(&backend).await;
    assert_eq!((answer.status(), answer.header("retry-after")), (429, Some("7")));
    assert_eq!(answer.head.headers_named("content-type"), ["application/json"]);
    backend.set_fault(FaultKind::gzip().times(1));
    let answer = native_chat(&backend).await;
    assert_eq!((answer.header("content-encoding"), answer.body.as_ref()), (Some("gzip"), GZIP_BODY));
}

#[tokio::test]
async fn errors_have_the_words_of_an_engine_and_the_shape_of_the_path() {
    let backend = ollama();
    backend.set_fault(FaultKind::busy(503, 3).times(1));
    let answer = native_chat(&backend).await;
    assert_eq!((answer.status(), answer.header("retry-after")), (503, Some("3")));
    backend.set_fault(FaultKind::runner_fault().times(1));
    let answer = native_chat(&backend).await;
    assert!(answer.json()["error"].as_str().unwrap().contains("unexpectedly stopped"), "{}", answer.text());
    backend.set_fault(FaultKind::client_fault().times(1));
    let answer = openai_stream(&backend).await.collect().await;
    assert_eq!((answer.status(), &answer.json()["error"]["type"]), (500, &json!("api_error")));
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("float32"), "{}", answer.text());
}

#[tokio::test]
async fn a_redirect_has_a_location() {
    let backend = ollama();
    backend.set_fault(FaultKind::Redirect { status: 307, location: "http://127.0.0.1:1/".to_owned() });
    let answer = native_chat(&backend).await;
    assert_eq!((answer.status(), answer.header("location")), (307, Some("http://127.0.0.1:1/")));
}

#[tokio::test]
async fn health_can_fail_while_the_rest_works() {
    for (backend, path) in [(ollama(), "/"), (vllm(), "/health")] {
        backend.set_fault(FaultKind::HealthFails { status: 500 });
        assert_eq!(client::get(&backend, path).await.status(), 500);
        let body = chat_body(false);
        assert_eq!(client::post_json(&backend, "/v1/chat/completions", &body).await.status(), 200);
        assert_eq!(client::get(&backend, "/v1/models").await.status(), 200);
    }
}

#[tokio::test]
async fn an_early_answer_comes_before_the_body_is_sent() {
    let backend = ollama();
    backend.set_fault(FaultKind::EarlyResponse { status: 413, linger: true });
    let mut connection = RawConnection::open(&backend).await.unwrap();
    connection.send("POST /api/chat HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n").await.unwrap();
    let response = connection.response().await.unwrap();
    assert_eq!((response.status(), response.header("connection")), (413, Some("close")));
    let mut connection = response.into_connection();
    // The backend goes on reading, so that sending does not fail before the answer is read.
    connection.send(vec![b'x'; 1_000_000]).await.unwrap();
    assert_eq!(connection.read_to_end().await.1, Close::Fin);
}

#[tokio::test]
async fn interim_answers_come_first() {
    let backend = ollama();
    backend.set_fault(FaultKind::Interim { statuses: vec![100, 103] });
    let response = native_stream(&backend).await;
    let interim: Vec<_> = response.interim.iter().map(|head| head.status).collect();
    assert_eq!((interim, response.status()), (vec![100, 103], 200));
    assert_eq!(response.interim[1].header("link"), Some("</hint>; rel=preload"));
    assert_eq!(response.collect().await.end, End::Complete);
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_told_to_continue() {
    let backend = ollama();
    let mut connection = RawConnection::open(&backend).await.unwrap();
    let head = "POST /api/echo/x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    connection.send(head).await.unwrap();
    assert!(connection.read_some().await.unwrap().starts_with(b"HTTP/1.1 100 "));
    connection.send("ok").await.unwrap();
    assert_eq!(connection.response().await.unwrap().collect().await.json()["body"]["text"], "ok");
}

#[tokio::test]
async fn requests_with_ambiguous_framing_or_too_much_body_are_refused() {
    let backend = ollama();
    let ambiguous = Request::post("/api/chat").body("x").chunked(1).header("Content-Length", "1");
    assert_eq!(ambiguous.send(&backend).await.status(), 400);
    backend.knobs(|knobs| knobs.max_body_bytes = 10);
    assert_eq!(chat().send(&backend).await.status(), 413);
}
