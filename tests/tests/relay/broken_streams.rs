//! Streams that break after the client has part of them: the client is told so in its own protocol, and never mistakes
//! what it got for a whole answer.

use std::net::SocketAddr;

use ollamaflow_tests::client::{self, End, Event, Frame, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{Fault, FaultKind, SimulatedBackend, StreamFraming};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::{chat_body, ollama};
use ollamaflow_tests::setup::{Setup, wait_idle};

/// A streamed answer of one of the APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    Chat,
    Generate,
    Pull,
    OpenAiChat,
    OpenAiCompletion,
    Responses,
    Messages,
}

/// A frame of any of them.
#[derive(Debug)]
struct Told {
    name: Option<String>,
    data: String,
}

/// All but the pull make a model work.
const GENERATIONS: u64 = 6;

const ALL: [Api; 7] = [
    Api::Chat,
    Api::Generate,
    Api::Pull,
    Api::OpenAiChat,
    Api::OpenAiCompletion,
    Api::Responses,
    Api::Messages,
];

impl Api {
    fn request(self) -> Request {
        let post = |path: &str, body: Value| Request::post(path).json(&body);
        match self {
            Self::Chat => post("/api/chat", chat_body(true)),
            Self::Generate => post("/api/generate", json!({ "model": "m", "prompt": "x" })),
            Self::Pull => post("/api/pull", json!({ "model": "new" })),
            Self::OpenAiChat => post("/v1/chat/completions", chat_body(true)),
            Self::OpenAiCompletion => {
                post("/v1/completions", json!({ "model": "m", "prompt": "x", "stream": true }))
            }
            Self::Responses => post("/v1/responses", json!({ "model": "m", "input": "x", "stream": true })),
            Self::Messages => {
                let mut body = chat_body(true);
                body["max_tokens"] = json!(100);
                post("/v1/messages", body)
            }
        }
    }

    /// Asks, and gives the frames and how the stream ended.
    async fn frames(self, address: SocketAddr) -> (Vec<Told>, End) {
        let response = self.request().send(address).await;
        assert_eq!(response.status(), 200, "{self:?}");
        if matches!(self, Self::Chat | Self::Generate | Self::Pull) {
            let (lines, end) = response.lines().collect().await;
            (lines.into_iter().map(|Frame { text, .. }| Told { name: None, data: text }).collect(), end)
        } else {
            let (events, end) = response.events().collect().await;
            (events.into_iter().map(|Event { name, data, .. }| Told { name, data }).collect(), end)
        }
    }

    /// The message, if the frame is an error in the shape that this API has for errors in streams.
    fn error(self, frame: &Told) -> Option<String> {
        let value: Value = serde_json::from_str(&frame.data).ok()?;
        let named = frame.name.as_deref() == Some("error");
        let message = match self {
            Self::Chat | Self::Generate | Self::Pull => &value["error"],
            Self::Responses | Self::Messages if !named => return None,
            _ => &value["error"]["message"],
        };
        message.as_str().map(str::to_owned)
    }

    /// Whether the frame says that the answer is complete.
    fn is_end(self, frame: &Told) -> bool {
        let value: Value = serde_json::from_str(&frame.data).unwrap_or(Value::Null);
        match self {
            Self::Chat | Self::Generate => value["done"] == true,
            Self::Pull => value["status"] == "success",
            Self::OpenAiChat | Self::OpenAiCompletion => frame.data == "[DONE]",
            Self::Responses => value["type"] == "response.completed",
            Self::Messages => value["type"] == "message_stop",
        }
    }
}

/// So many frames of any of them have content: before it, a break is no matter of the stream, but of another attempt.
const BEGUN: usize = 5;

async fn one() -> (SimulatedBackend, Node) {
    let backend = ollama();
    let node = Setup::new().backend(&backend).start().await;
    (backend, node)
}

/// With this fault a stream of any API has `good` frames and then one that tells of the break. Gives what it says.
async fn is_told(good: usize, fault: impl Into<Fault>) -> Vec<String> {
    let (backend, node) = one().await;
    backend.set_fault(fault);
    are_told(good, &node).await
}

async fn are_told(good: usize, node: &Node) -> Vec<String> {
    let address = node.addr();
    let answers = client::many(ALL.len(), move |index| async move { ALL[index].frames(address).await }).await;
    let mut messages = Vec::new();
    for (api, (frames, end)) in ALL.into_iter().zip(answers) {
        assert_eq!((frames.len(), end), (good + 1, End::Complete), "{api:?}: {frames:?}");
        let (last, before) = frames.split_last().unwrap();
        let message = api.error(last).unwrap_or_else(|| panic!("{api:?} is not told of an error: {last:?}"));
        assert!(before.iter().all(|frame| api.error(frame).is_none()), "{api:?}: {frames:?}");
        assert!(!frames.iter().any(|frame| api.is_end(frame)), "{api:?}: {frames:?}");
        if matches!(api, Api::Responses | Api::Messages) {
            let data: Value = serde_json::from_str(&last.data).unwrap();
            assert_eq!(data["type"], "error", "a typed event is read by the type in its data");
        }
        messages.push(message);
    }
    wait_idle(node).await;
    messages
}

#[tokio::test]
async fn every_api_has_an_end_and_a_healthy_stream_has_it_and_no_error() {
    let (_backend, node) = one().await;
    for api in ALL {
        let (frames, end) = api.frames(node.addr()).await;
        assert_eq!(end, End::Complete);
        assert!(api.is_end(frames.last().unwrap()), "{api:?}: {frames:?}");
        assert!(frames.iter().all(|frame| api.error(frame).is_none()), "{api:?}: {frames:?}");
    }
}

#[tokio::test]
async fn a_reset_is_told() {
    is_told(BEGUN, FaultKind::ResetAfter { frames: BEGUN as u64 }).await;
}

#[tokio::test]
async fn a_close_without_the_end_of_the_chunked_body_is_told() {
    is_told(BEGUN, FaultKind::CloseAfter { frames: BEGUN as u64 }).await;
}

#[tokio::test]
async fn a_clean_end_in_the_middle_is_told() {
    is_told(BEGUN, FaultKind::EndWithoutMarker { after_frames: Some(BEGUN as u64) }).await;
}

#[tokio::test]
async fn silence_beyond_the_limit_is_told_and_the_backend_is_freed() {
    let backend = ollama();
    let node = Setup::new().frontend("StreamIdleTimeoutMs", 1000).backend(&backend).start().await;
    backend.set_fault(FaultKind::HangMidStream { after_frames: BEGUN as u64, for_ms: None });
    for message in are_told(BEGUN, &node).await {
        assert!(message.contains("silent"), "{message}");
    }
    wait::until_eq("all are cancelled", || backend.stats().cancelled(), GENERATIONS).await;
}

#[tokio::test]
async fn a_malformed_chunk_is_told() {
    for message in is_told(BEGUN, FaultKind::BadChunkHeader { after_frames: BEGUN as u64 }).await {
        assert!(message.contains("chunk"), "{message}");
    }
}

#[tokio::test]
async fn a_chunk_that_is_shorter_than_promised_is_told() {
    let (backend, node) = one().await;
    backend.set_fault(FaultKind::TruncatedLength { missing: 10 });
    for api in [Api::Chat, Api::Generate, Api::Pull] {
        let (frames, end) = api.frames(node.addr()).await;
        assert_eq!((frames.len(), end), (2, End::Complete), "{api:?}: {frames:?}");
        assert!(api.error(&frames[1]).is_some(), "{api:?}: {frames:?}");
    }
}

#[tokio::test]
async fn a_break_before_any_content_is_an_error_and_no_stream() {
    let (backend, node) = one().await;
    backend.set_fault(FaultKind::ResetAfter { frames: 1 });
    for api in [Api::Responses, Api::Messages] {
        let answer = api.request().send(node.addr()).await.collect().await;
        assert_eq!(answer.status(), 502, "{api:?}");
        let body: Value = answer.json();
        assert!(body["error"]["message"].is_string(), "{api:?}: {body}");
    }
}

#[tokio::test]
async fn a_clean_end_before_the_marker_is_told() {
    let (backend, node) = one().await;
    for api in ALL {
        backend.clear_faults();
        let (whole, _) = api.frames(node.addr()).await;
        // A second pull of what is there would be shorter.
        backend.remove_model("new");
        backend.set_fault(FaultKind::EndWithoutMarker { after_frames: None });
        let (frames, end) = api.frames(node.addr()).await;
        assert_eq!((frames.len(), end), (whole.len(), End::Complete), "{api:?}");
        assert!(api.error(frames.last().unwrap()).is_some(), "{api:?}: {frames:?}");
    }
}

#[tokio::test]
async fn a_lost_error_of_ollamas_openai_layer_is_told() {
    let (backend, node) = one().await;
    backend.set_fault(FaultKind::LostError { after_frames: BEGUN as u64 });
    for api in ALL {
        let (frames, end) = api.frames(node.addr()).await;
        let errors: Vec<String> = frames.iter().filter_map(|frame| api.error(frame)).collect();
        assert_eq!((errors.len(), end), (1, End::Complete), "{api:?}: {frames:?}");
        assert!(api.error(frames.last().unwrap()).is_some());
    }
}

#[tokio::test]
async fn an_error_that_the_backend_reports_itself_is_relayed_once_and_none_is_added() {
    let (backend, node) = one().await;
    backend
        .set_fault(FaultKind::ErrorFrame { after_frames: BEGUN as u64, message: "its own words".to_owned() });
    for api in ALL {
        let (frames, end) = api.frames(node.addr()).await;
        assert_eq!((frames.len(), end), (BEGUN + 1, End::Complete), "{api:?}: {frames:?}");
        let errors: Vec<String> = frames.iter().filter_map(|frame| api.error(frame)).collect();
        assert_eq!(errors, ["its own words"], "{api:?}");
    }
}

#[tokio::test]
async fn a_death_after_the_end_marker_is_no_error() {
    let (backend, node) = one().await;
    for api in ALL {
        backend.clear_faults();
        let (whole, _) = api.frames(node.addr()).await;
        let count = whole.len() as u64;
        for fault in [FaultKind::ResetAfter { frames: count }, FaultKind::CloseAfter { frames: count }] {
            backend.remove_model("new");
            backend.set_faults(vec![fault.into()]);
            let (frames, end) = api.frames(node.addr()).await;
            assert_eq!((frames.len(), end), (whole.len(), End::Complete), "{api:?}: {frames:?}");
            assert!(api.is_end(frames.last().unwrap()), "{api:?}: {frames:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_ends_with_the_connection_is_held_to_its_end_marker_too() {
    let (backend, node) = one().await;
    backend.knobs(|knobs| knobs.stream_framing = StreamFraming::Close);
    for api in ALL {
        backend.clear_faults();
        let (frames, end) = api.frames(node.addr()).await;
        assert!(end == End::Complete && api.is_end(frames.last().unwrap()), "{api:?}: {frames:?}");
        backend.set_fault(FaultKind::CloseAfter { frames: BEGUN as u64 });
        let (frames, end) = api.frames(node.addr()).await;
        assert_eq!((frames.len(), end), (BEGUN + 1, End::Complete), "{api:?}: {frames:?}");
        assert!(api.error(&frames[BEGUN]).is_some(), "{api:?}: {frames:?}");
    }
}

#[tokio::test]
async fn a_frame_that_is_no_json_is_relayed_as_it_is_and_the_stream_goes_on() {
    let (backend, node) = one().await;
    backend.set_fault(FaultKind::MalformedFrame { after_frames: 2, text: Some("{\"a\":\"cut".to_owned()) });
    // Progress is read here and not relayed.
    for api in ALL.into_iter().filter(|api| *api != Api::Pull) {
        let (frames, end) = api.frames(node.addr()).await;
        assert_eq!((frames[2].data.as_str(), end), ("{\"a\":\"cut", End::Complete), "{api:?}");
        assert!(api.is_end(frames.last().unwrap()), "{api:?}: {frames:?}");
    }
}
