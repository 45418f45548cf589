//! What one key may use on one node.

use ollamaflow_tests::client::{End, RawConnection, Response};
use ollamaflow_tests::simulated::FaultKind;

use super::*;

/// A stream that has begun.
async fn streaming(node: &Node, key: &str) -> Response {
    let messages = json!([{ "role": "user", "content": "hello" }]);
    let request = Request::post("/api/chat").json(&json!({ "model": "qwen", "messages": messages }));
    request.bearer(key).send(node.addr()).await
}

/// Seconds after which to try again.
fn retry_after(answer: &Collected) -> u64 {
    answer.header("retry-after").unwrap().parse().unwrap()
}

#[tokio::test]
async fn requests_per_minute_are_bounded_and_told_when_to_come_again() {
    let backend = engine();
    let node = demanding(&backend).await;
    let key = make(&node, "k", json!({ "RequestsPerMinute": 3 })).await;
    for _ in 0..3 {
        expect(&ask(&node, chat("qwen").bearer(&key)).await, 200);
    }
    let answer = ask(&node, chat("qwen").bearer(&key)).await;
    assert_eq!(expect(&answer, 429)["error"], "this key may send 3 requests per minute");
    assert!((1..=20).contains(&retry_after(&answer)));
    let messages = json!([{ "role": "user", "content": "hello" }]);
    let openai =
        Request::post("/v1/chat/completions").json(&json!({ "model": "qwen", "messages": messages }));
    assert_eq!(expect(&ask(&node, openai.bearer(&key)).await, 429)["error"]["type"], "rate_limit_error");
    let other = make(&node, "other", json!({})).await;
    expect(&ask(&node, chat("qwen").bearer(&other)).await, 200);
    change(&node, "k", &json!({ "RequestsPerMinute": 0 })).await;
    until_status(&node, 200, || chat("qwen").bearer(&key)).await;
}

#[tokio::test]
async fn tokens_are_charged_when_they_are_known_and_bar_what_follows() {
    let backend = engine();
    let node = demanding(&backend).await;
    let key = make(&node, "k", json!({ "TokensPerMinute": 5 })).await;
    let stream = streaming(&node, &key).await.collect().await;
    assert_eq!((stream.status(), stream.end), (200, End::Complete));
    let answer = until_status(&node, 429, || chat("qwen").bearer(&key)).await;
    assert!(answer.json()["error"].as_str().unwrap().contains("5 tokens per minute"), "{}", answer.text());
    assert!(retry_after(&answer) > 1);
}

#[tokio::test]
async fn places_are_given_back_however_a_request_ends() {
    let backend = engine();
    let node = demanding(&backend).await;
    let key = make(&node, "k", json!({ "MaxParallelRequests": 1 })).await;
    let asked = || chat("qwen").bearer(&key);
    backend.set_fault(FaultKind::HangMidStream { after_frames: 2, for_ms: None }.path("/api/chat"));
    let held = streaming(&node, &key).await;
    let answer = ask(&node, asked()).await;
    assert_eq!(expect(&answer, 429)["error"], "this key may have 1 requests in flight");
    assert_eq!(retry_after(&answer), 1);
    // The client hangs up.
    held.abort();
    backend.clear_faults();
    until_status(&node, 200, asked).await;
    // One after the other there is always room: a place is free before the client has the end of the answer.
    for _ in 0..50 {
        expect(&ask(&node, asked()).await, 200);
        assert_eq!(streaming(&node, &key).await.collect().await.status(), 200);
    }
    // The backend breaks off, fails, or there is no such model.
    backend.set_fault(FaultKind::ResetAfter { frames: 2 }.path("/api/chat"));
    streaming(&node, &key).await.collect().await;
    backend.clear_faults();
    until_status(&node, 200, asked).await;
    backend.set_fault(FaultKind::status(500).path("/api/chat"));
    ask(&node, asked()).await;
    backend.clear_faults();
    until_status(&node, 200, asked).await;
    ask(&node, chat("nothing").bearer(&key)).await;
    ask(&node, Request::post("/api/chat").body("{").bearer(&key)).await;
    // A client that leaves before its body is there. Which of two requests is let in first is up to the node.
    let half = Request::post("/api/chat").header("content-length", "100").bearer(&key).to_wire(node.addr());
    let raw = wait::until_answered("the place is taken", async || {
        let mut raw = RawConnection::open(node.addr()).await.unwrap();
        raw.send(&half).await.unwrap();
        let answer = ask(&node, asked()).await;
        if answer.status() == 429 { Ok(raw) } else { Err(answer.text()) }
    })
    .await;
    raw.abort();
    until_status(&node, 200, asked).await;
}
