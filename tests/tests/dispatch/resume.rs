//! `ResumeStreams`: when a backend dies within a chat or a generation, another one goes on with the same answer, and the client
//! sees one stream.

use ollamaflow_tests::client::{End, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::Backend;
use ollamaflow_tests::simulated::{FaultKind, SimulatedBackend, ToolCall};
use serde_json::{Value, json};

use crate::setup::{Setup, wait_idle};
use crate::{chat, chat_body, ollama, openai_chat, vllm, whole_text};

/// Frames that reach the client before the first backend dies.
const SAID: u64 = 7;

/// Two backends in tiers of their own; streams that begin at the first one die after some frames.
async fn pair(resume: bool, openai: bool, fault: FaultKind) -> (SimulatedBackend, SimulatedBackend, Node) {
    let backend = || if openai { vllm() } else { ollama() };
    let (first, second) = (backend(), backend());
    let format = move |backend: Backend| if openai { backend.openai() } else { backend };
    let node = Setup::new()
        .frontend("ResumeStreams", resume)
        .backend_with(&first, format)
        .backend_with(&second, |backend| format(backend).set("Priority", 1))
        .start()
        .await;
    first.set_fault(fault);
    (first, second, node)
}

fn generate() -> Request {
    Request::post("/api/generate").json(&json!({ "model": "m", "prompt": "hello" }))
}

/// The text of a stream of Ollama, its last object, and how it ended.
async fn ollama_stream(node: &Node, request: Request) -> (String, Value, End) {
    let (lines, end) = request.send(node.addr()).await.lines().collect().await;
    let objects: Vec<Value> = lines.iter().map(ollamaflow_tests::client::Frame::json).collect();
    let text = objects.iter().filter_map(|object| {
        object["message"]["content"].as_str().or_else(|| object["response"].as_str()).map(str::to_owned)
    });
    (text.collect(), objects.last().cloned().unwrap_or_default(), end)
}

fn deaths() -> [FaultKind; 5] {
    [
        FaultKind::ResetAfter { frames: SAID },
        FaultKind::CloseAfter { frames: SAID },
        FaultKind::EndWithoutMarker { after_frames: Some(SAID) },
        FaultKind::error_frame(SAID),
        FaultKind::BadChunkHeader { after_frames: SAID },
    ]
}

#[tokio::test]
async fn a_chat_whose_backend_dies_goes_on_at_another_and_the_text_is_that_of_an_uninterrupted_one() {
    for fault in deaths() {
        let (first, second, node) = pair(true, false, fault.clone()).await;
        let (text, last, end) = ollama_stream(&node, chat(true)).await;
        assert_eq!((text.as_str(), end), (whole_text().as_str(), End::Complete), "{fault:?}");
        assert_eq!(last["done"], true, "{fault:?}");
        assert_eq!(last["x_ollamaflow_resumed"], 1, "{fault:?}: {last}");
        assert_eq!((first.stats().received(), second.stats().received()), (1, 1), "{fault:?}");
        let resumed = second.requests_to("/api/chat").pop().unwrap().json();
        let messages = resumed["messages"].as_array().unwrap();
        assert_eq!(messages.len(), 2, "{resumed}");
        assert_eq!(messages[1]["role"], "assistant");
        let begun = messages[1]["content"].as_str().unwrap();
        assert!(!begun.is_empty() && whole_text().starts_with(begun), "{begun}");
        assert_eq!(node.metrics().await.count("ollamaflow_streams_resumed_total", &[]), Some(1));
        wait_idle(&node).await;
    }
}

#[tokio::test]
async fn a_generation_whose_backend_dies_goes_on_at_another() {
    for fault in deaths() {
        let (_first, second, node) = pair(true, false, fault.clone()).await;
        let (text, last, end) = ollama_stream(&node, generate()).await;
        assert_eq!((text.as_str(), end), (whole_text().as_str(), End::Complete), "{fault:?}");
        assert_eq!((&last["done"], &last["x_ollamaflow_resumed"]), (&json!(true), &json!(1)), "{last}");
        assert_eq!(second.stats().received(), 1);
    }
}

#[tokio::test]
async fn a_chat_with_a_vllm_like_engine_goes_on_by_continue_final_message() {
    for fault in deaths() {
        let (first, second, node) = pair(true, true, fault.clone()).await;
        let (events, end) = openai_chat(true).send(node.addr()).await.events().collect().await;
        let marked = events.iter().any(|event| event.text.contains(": x-ollamaflow-resumed: 1"));
        assert!(marked, "{fault:?}: {events:?}");
        let done: Vec<bool> = events
            .iter()
            .filter(|event| !event.data.is_empty())
            .map(ollamaflow_tests::client::Event::is_done)
            .collect();
        assert!(done.last() == Some(&true) && done.iter().filter(|done| **done).count() == 1, "{events:?}");
        assert_eq!(end, End::Complete);
        let chunks: Vec<Value> = events
            .iter()
            .filter(|event| !event.data.is_empty() && !event.is_done())
            .map(ollamaflow_tests::client::Event::json)
            .collect();
        let deltas = || chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]);
        let text: String = deltas().filter_map(|delta| delta["content"].as_str()).collect();
        assert_eq!(text, whole_text(), "{fault:?}");
        assert_eq!(deltas().filter(|delta| delta["role"].is_string()).count(), 1, "{fault:?}");
        let ids: std::collections::BTreeSet<String> =
            chunks.iter().map(|chunk| chunk["id"].to_string()).collect();
        assert_eq!(ids.len(), 1, "one answer has one id: {ids:?}");
        assert_eq!(first.stats().received(), 1);
        let resumed = second.requests_to("/v1/chat/completions").pop().unwrap().json();
        assert_eq!(resumed["continue_final_message"], true, "{resumed}");
        assert_eq!(resumed["add_generation_prompt"], false, "{resumed}");
        assert_eq!(resumed["messages"][1]["role"], "assistant", "{resumed}");
    }
}

#[tokio::test]
async fn without_resume_streams_a_death_is_an_error_frame() {
    let (_first, second, node) = pair(false, false, FaultKind::ResetAfter { frames: SAID }).await;
    let (text, last, _) = ollama_stream(&node, chat(true)).await;
    assert!(whole_text().starts_with(&text) && text.len() < whole_text().len());
    assert!(last["error"].is_string(), "{last}");
    assert_eq!(second.stats().received(), 0);
}

#[tokio::test]
async fn the_header_tells_whether_a_stream_may_be_resumed() {
    for (resume, expected) in [(true, "true"), (false, "false")] {
        let (first, _second, node) = pair(resume, false, FaultKind::status(502)).await;
        first.clear_faults();
        let answer = crate::ask(&node, chat(true)).await;
        let told = answer.header("x-ollamaflow-resumed").unwrap_or("false");
        assert_eq!(told, expected, "{:?}", answer.head);
    }
}

#[tokio::test]
async fn a_stream_whose_tool_call_was_sent_in_part_is_not_resumed() {
    let (first, second) = (vllm(), vllm());
    let node = Setup::new()
        .frontend("ResumeStreams", true)
        .backend_with(&first, Backend::openai)
        .backend_with(&second, |backend| backend.openai().set("Priority", 1))
        .start()
        .await;
    first.knobs(|knobs| {
        knobs.tool_call = Some(ToolCall { name: "look".to_owned(), arguments: json!({ "at": "it" }) });
    });
    // The role, the call; then death before the finish.
    first.set_fault(FaultKind::ResetAfter { frames: 2 });
    let mut body = chat_body("m", "hello", true);
    body["tools"] = json!([{ "type": "function", "function": { "name": "look", "parameters": {} } }]);
    let request = Request::post("/v1/chat/completions").json(&body);
    let (events, _) = request.send(node.addr()).await.events().collect().await;
    assert!(events.last().unwrap().json()["error"]["message"].is_string(), "{events:?}");
    assert_eq!(second.stats().received(), 0);
}

#[tokio::test]
async fn what_breaks_before_the_first_content_is_a_plain_retry() {
    let (_first, second, node) = pair(true, false, FaultKind::ResetAfter { frames: 0 }).await;
    let (text, last, _) = ollama_stream(&node, chat(true)).await;
    assert_eq!((text, &last["x_ollamaflow_resumed"]), (whole_text(), &Value::Null));
    let retried = second.requests_to("/api/chat").pop().unwrap().json();
    assert_eq!(retried["messages"].as_array().unwrap().len(), 1, "{retried}");
}

#[tokio::test]
async fn a_stream_that_breaks_at_every_backend_ends_in_an_error_frame() {
    let (first, second, node) = pair(true, false, FaultKind::ResetAfter { frames: SAID }).await;
    second.set_fault(FaultKind::ResetAfter { frames: 3 });
    let (text, last, _) = ollama_stream(&node, chat(true)).await;
    assert!(whole_text().starts_with(&text), "{text}");
    assert!(last["error"].is_string(), "{last}");
    assert_eq!((first.stats().received(), second.stats().received()), (1, 1));
    wait_idle(&node).await;
}

#[tokio::test]
async fn a_backend_that_dies_and_is_resumed_elsewhere_is_blamed_all_the_same() {
    let (first, second) = (ollama(), ollama());
    let node = Setup::new()
        .frontend("ResumeStreams", true)
        .backend_with(&first, |backend| {
            backend
                .set("CircuitBreakerErrorPercent", 50)
                .set("CircuitBreakerMinimumRequests", 2)
                .set("CircuitBreakerOpenMs", 3_600_000)
        })
        .backend_with(&second, |backend| backend.set("Priority", 1))
        .start()
        .await;
    first.set_fault(FaultKind::ResetAfter { frames: SAID });
    for _ in 0..2 {
        assert_eq!(ollama_stream(&node, chat(true)).await.0, whole_text());
    }
    let body = chat_body("m", "x", false);
    crate::setup::wait_explained(&node, &body, "b1", "BreakerState", &json!("Open")).await;
}

#[tokio::test]
async fn a_client_that_leaves_a_resumed_stream_cancels_the_second_backend() {
    let (_first, second, node) = pair(true, false, FaultKind::ResetAfter { frames: SAID }).await;
    second.knobs(|knobs| knobs.tokens_per_second = 0.01);
    let mut lines = chat(true).send(node.addr()).await.lines();
    for _ in 0..=SAID {
        lines.expect_next().await;
    }
    lines.into_response().abort();
    ollamaflow_tests::wait::until_eq("the second is cancelled", || second.stats().cancelled(), 1).await;
    wait_idle(&node).await;
}
