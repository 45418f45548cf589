//! Ways a stream ends badly.

use std::time::Duration;

use ollamaflow_tests::client::{End, Event};
use ollamaflow_tests::simulated::{BodyFraming, FaultKind};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::{native_chat, native_stream, ollama, openai_stream, vllm};

#[tokio::test]
async fn a_reset_after_some_frames_delivers_them() {
    let backend = ollama();
    backend.set_fault(FaultKind::ResetAfter { frames: 3 }.times(1));
    let (lines, end) = native_stream(&backend).await.lines().collect().await;
    assert_eq!((lines.len(), end), (3, End::Reset));
    assert_eq!(native_stream(&backend).await.collect().await.end, End::Complete);
    wait::until_eq("it is counted as failed", || backend.stats().inference.failed, 1).await;
}

#[tokio::test]
async fn a_close_after_some_frames_leaves_the_body_unfinished() {
    let backend = ollama();
    backend.set_fault(FaultKind::CloseAfter { frames: 3 });
    let (lines, end) = native_stream(&backend).await.lines().collect().await;
    assert_eq!((lines.len(), end), (3, End::Truncated));
}

#[tokio::test]
async fn a_close_after_the_last_frame_still_leaves_the_body_unfinished() {
    let backend = ollama();
    backend.set_fault(FaultKind::CloseAfter { frames: 23 });
    let (lines, end) = native_stream(&backend).await.lines().collect().await;
    assert_eq!((lines.len(), end), (23, End::Truncated));
    assert_eq!(lines[22].json()["done"], true);
}

#[tokio::test]
async fn a_death_after_no_frame_leaves_the_head() {
    let backend = ollama();
    backend.set_fault(FaultKind::ResetAfter { frames: 0 });
    let answer = native_stream(&backend).await.collect().await;
    assert_eq!((answer.status(), answer.body.len(), answer.end), (200, 0, End::Reset));
}

#[tokio::test]
async fn whole_answers_are_cut_in_the_middle() {
    let backend = ollama();
    for framing in [BodyFraming::ContentLength, BodyFraming::Chunked] {
        backend.knobs(|knobs| knobs.body_framing = framing);
        let whole = native_chat(&backend).await.body.len();
        backend.set_fault(FaultKind::CloseAfter { frames: 0 }.times(1));
        let answer = native_chat(&backend).await;
        assert_eq!(answer.end, End::Truncated, "{framing:?}");
        assert!(!answer.body.is_empty() && answer.body.len() < whole, "{framing:?}");
    }
    backend.set_fault(FaultKind::ResetAfter { frames: 0 }.times(1));
    assert_eq!(native_chat(&backend).await.end, End::Reset);
}

#[tokio::test]
async fn a_clean_end_may_lack_the_marker_or_more() {
    let backend = ollama();
    backend.set_fault(FaultKind::EndWithoutMarker { after_frames: None });
    let (lines, end) = native_stream(&backend).await.lines().collect().await;
    assert_eq!((lines.len(), end), (22, End::Complete));
    let (events, end) = openai_stream(&backend).await.events().collect().await;
    assert_eq!((events.len(), end), (23, End::Complete));
    assert_eq!(events[22].json()["choices"][0]["finish_reason"], "stop");
    backend.set_faults(vec![FaultKind::EndWithoutMarker { after_frames: Some(2) }.into()]);
    let (lines, end) = native_stream(&backend).await.lines().collect().await;
    assert_eq!((lines.len(), end, lines[1].json()["done"].clone()), (2, End::Complete, json!(false)));
}

#[tokio::test]
async fn an_error_frame_ends_the_stream_cleanly() {
    let backend = ollama();
    backend.set_fault(FaultKind::ErrorFrame { after_frames: 2, message: "boom".to_owned() });
    let (lines, end) = native_stream(&backend).await.lines().collect().await;
    assert_eq!((lines.len(), end, lines[2].json()), (3, End::Complete, json!({ "error": "boom" })));
    let (events, end) = openai_stream(&backend).await.events().collect().await;
    assert_eq!((events.len(), end), (3, End::Complete));
    assert_eq!(events[2].json()["error"]["message"], "boom");
    assert!(!events.iter().any(Event::is_done));
}

#[tokio::test]
async fn a_lost_error_is_an_empty_chunk_without_a_model() {
    let backend = ollama();
    backend.set_fault(FaultKind::LostError { after_frames: 2 });
    let (events, end) = openai_stream(&backend).await.events().collect().await;
    assert_eq!((events.len(), end), (3, End::Complete));
    let last = events[2].json();
    assert_eq!((&last["model"], &last["choices"][0]["finish_reason"]), (&json!(""), &Value::Null));
    let (lines, _) = native_stream(&backend).await.lines().collect().await;
    assert!(lines[2].json()["error"].is_string());
}

#[tokio::test]
async fn a_malformed_frame_stands_between_good_ones() {
    let backend = vllm();
    backend.set_fault(FaultKind::malformed_frame(2));
    let (events, end) = openai_stream(&backend).await.events().collect().await;
    assert_eq!(end, End::Complete);
    assert!(serde_json::from_str::<Value>(&events[2].data).is_err());
    assert!(events[3].json().is_object());
    assert!(events.last().is_some_and(Event::is_done));
}

#[tokio::test]
async fn a_hang_within_a_stream_goes_on_after_its_time() {
    let backend = ollama();
    backend.set_fault(FaultKind::HangMidStream { after_frames: 5, for_ms: Some(20) });
    let (lines, end) = native_stream(&backend).await.lines().collect().await;
    assert_eq!((lines.len(), end), (23, End::Complete));
}

#[tokio::test]
async fn a_hang_without_a_time_lasts_until_the_client_leaves() {
    let backend = ollama();
    backend.set_fault(FaultKind::HangMidStream { after_frames: 5, for_ms: None });
    let mut lines = native_stream(&backend).await.lines();
    for _ in 0..5 {
        lines.expect_next().await;
    }
    let silence = tokio::time::timeout(Duration::from_millis(50), lines.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    drop(lines);
    wait::until_eq("the cancellation is counted", || backend.stats().cancelled(), 1).await;
}

#[tokio::test]
async fn several_faults_happen_to_one_stream() {
    let backend = ollama();
    backend.set_faults(vec![
        FaultKind::malformed_frame(1).into(),
        FaultKind::split_frames(2).into(),
        FaultKind::ResetAfter { frames: 4 }.into(),
    ]);
    let (lines, end) = native_stream(&backend).await.lines().collect().await;
    assert_eq!((lines.len(), end), (5, End::Reset));
}
