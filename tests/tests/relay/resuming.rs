//! `ResumeStreams`: a stream whose backend dies goes on at another one, and the client sees one uninterrupted answer.

use std::time::Duration;

use ollamaflow_tests::client::{End, RawConnection, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::Backend;
use ollamaflow_tests::simulated::{EndBy, Fault, FaultKind, SimulatedBackend, ToolCall, WORDS};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::{chat, chat_body, ollama, openai_chat, vllm};
use ollamaflow_tests::setup::{Setup, wait_idle};

/// Words that the first backend says before it dies.
const BEGUN: u64 = 5;

/// A stream that can be continued, and what kind of backends give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    Chat,
    Generate,
    OpenAiAtVllm,
    OpenAiAtOllama,
}

/// What a client has seen.
#[derive(Debug)]
struct Seen {
    text: String,
    /// End markers of the protocol.
    ends: usize,
    errors: Vec<String>,
    /// How often the stream was resumed, each time that it is said.
    marks: Vec<u64>,
    /// Generated tokens, as counted in the last object of Ollama's own API.
    tokens: Option<u64>,
    /// The value of `X-OllamaFlow-Resumed`.
    header: Option<String>,
}

const ALL: [Api; 4] = [Api::Chat, Api::Generate, Api::OpenAiAtVllm, Api::OpenAiAtOllama];

impl Api {
    fn request(self) -> Request {
        match self {
            Self::Chat => chat(true),
            Self::Generate => {
                Request::post("/api/generate").json(&json!({ "model": "m", "prompt": "hello" }))
            }
            Self::OpenAiAtVllm | Self::OpenAiAtOllama => openai_chat(true),
        }
    }

    fn backend(self) -> SimulatedBackend {
        if self == Self::OpenAiAtVllm { vllm() } else { ollama() }
    }

    fn configured(self, backend: Backend) -> Backend {
        if self == Self::OpenAiAtVllm { backend.openai() } else { backend }
    }

    /// Frames before the first word of an answer.
    fn prelude(self) -> u64 {
        u64::from(matches!(self, Self::OpenAiAtVllm | Self::OpenAiAtOllama))
    }

    async fn ask(self, node: &Node) -> Seen {
        see(self.request(), node).await
    }
}

/// Asks, and reads all of the stream.
async fn see(request: Request, node: &Node) -> Seen {
    let answer = request.send(node.addr()).await.collect().await;
    assert_eq!((answer.status(), answer.end), (200, End::Complete), "{}", answer.text());
    let header = answer.header("x-ollamaflow-resumed").map(str::to_owned);
    let mut seen =
        Seen { text: String::new(), ends: 0, errors: Vec::new(), marks: Vec::new(), tokens: None, header };
    for line in answer.text().lines().filter(|line| !line.is_empty()) {
        if let Some(mark) = line.strip_prefix(": x-ollamaflow-resumed: ") {
            seen.marks.push(mark.parse().unwrap());
            continue;
        }
        let line = line.strip_prefix("data: ").unwrap_or(line);
        if line == "[DONE]" {
            seen.ends += 1;
            continue;
        }
        let frame: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let text =
            [&frame["message"]["content"], &frame["response"], &frame["choices"][0]["delta"]["content"]];
        seen.text.extend(text.into_iter().filter_map(Value::as_str));
        let error = frame["error"].as_str().or(frame["error"]["message"].as_str());
        seen.errors.extend(error.map(str::to_owned));
        seen.marks.extend(frame["x_ollamaflow_resumed"].as_u64());
        if frame["done"] == true {
            seen.ends += 1;
            seen.tokens = frame["eval_count"].as_u64();
        }
    }
    seen
}

/// These backends, tried in this order, of a frontend with `ResumeStreams`.
fn in_order(api: Api, backends: &[SimulatedBackend]) -> Setup {
    let setup = Setup::new().frontend("ResumeStreams", true);
    backends.iter().zip(0u32..).fold(setup, |setup, (backend, tier)| {
        setup.backend_with(backend, |backend| api.configured(backend).set("Priority", tier))
    })
}

/// As many backends and their node.
async fn several(api: Api, count: usize) -> (Vec<SimulatedBackend>, Node) {
    let backends: Vec<_> = (0..count).map(|_| api.backend()).collect();
    let node = in_order(api, &backends).start().await;
    (backends, node)
}

fn dies(api: Api) -> Fault {
    FaultKind::ResetAfter { frames: api.prelude() + BEGUN }.times(1)
}

/// Streams that went on, by the node's metrics.
async fn resumed(node: &Node) -> f64 {
    let metrics = node.metrics().await;
    metrics.sum("ollamaflow_streams_resumed_total", &[]).unwrap_or_else(|| panic!("{}", metrics.text()))
}

fn is_whole(seen: &Seen, times: u64, what: &str) {
    assert_eq!(seen.text, WORDS.concat(), "{what}: {seen:?}");
    assert_eq!((seen.ends, seen.errors.len()), (1, 0), "{what}: {seen:?}");
    assert_eq!(seen.marks, if times == 0 { vec![] } else { vec![times] }, "{what}: {seen:?}");
}

/// The client has a part, and is told that it is one.
fn is_broken(seen: &Seen) {
    assert!(WORDS.concat().starts_with(&seen.text), "{seen:?}");
    assert_eq!((seen.ends, seen.errors.len(), seen.marks.len()), (0, 1, 0), "{seen:?}");
}

#[tokio::test]
async fn a_stream_goes_on_at_another_backend_however_its_own_dies() {
    for api in ALL {
        let (backends, node) = several(api, 2).await;
        is_whole(&api.ask(&node).await, 0, "uninterrupted");
        let frames = api.prelude() + BEGUN;
        let faults = [
            FaultKind::ResetAfter { frames },
            FaultKind::CloseAfter { frames },
            FaultKind::EndWithoutMarker { after_frames: Some(frames) },
            FaultKind::error_frame(frames),
            FaultKind::LostError { after_frames: frames },
            FaultKind::BadChunkHeader { after_frames: frames },
        ];
        for (fault, times) in faults.into_iter().zip(1u32..) {
            let what = format!("{api:?}, {fault:?}");
            backends[0].set_fault(fault.times(1));
            let seen = api.ask(&node).await;
            is_whole(&seen, 1, &what);
            assert_eq!(seen.header.as_deref(), Some("true"), "{what}");
            if matches!(api, Api::Chat | Api::Generate) {
                assert_eq!(seen.tokens, Some(WORDS.len() as u64), "{what}: the tokens of both");
            }
            assert!((resumed(&node).await - f64::from(times)).abs() < 0.1, "{what}");
        }
        assert_eq!(backends[1].stats().completed(), 6, "{api:?}");
        wait_idle(&node).await;
    }
}

#[tokio::test]
async fn the_clients_connection_serves_its_next_request() {
    let (backends, node) = several(Api::Chat, 2).await;
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    for times in 1..=3 {
        backends[0].set_fault(dies(Api::Chat));
        let response = connection.exchange(&chat(true)).await.unwrap();
        let answer;
        (answer, connection) = response.collect_reusable().await;
        assert_eq!(answer.end, End::Complete);
        assert!(answer.text().ends_with("\"x_ollamaflow_resumed\":1}\n"), "{times}: {}", answer.text());
    }
    wait_idle(&node).await;
}

#[tokio::test]
async fn a_stream_goes_on_after_silence() {
    let backends = [ollama(), ollama()];
    let node = in_order(Api::Chat, &backends).frontend("StreamIdleTimeoutMs", 1500).start().await;
    backends[0].set_fault(FaultKind::HangMidStream { after_frames: BEGUN, for_ms: None });
    is_whole(&Api::Chat.ask(&node).await, 1, "silence");
    wait::until_eq("the silent one is left", || backends[0].stats().cancelled(), 1).await;
    wait_idle(&node).await;
}

#[tokio::test]
async fn a_stream_in_small_pieces_goes_on_without_half_a_frame() {
    for api in ALL {
        let (backends, node) = several(api, 2).await;
        for backend in &backends {
            backend.set_fault(FaultKind::split_frames(9));
        }
        backends[0].set_fault(dies(api));
        is_whole(&api.ask(&node).await, 1, &format!("{api:?}"));
    }
}

#[tokio::test]
async fn the_other_backend_is_asked_for_the_rest_with_its_own_pins_and_what_is_left_of_limits() {
    let backends = [ollama(), ollama()];
    let pins = json!({ "options": { "temperature": 0.5 } });
    let node = Setup::new()
        .frontend("ResumeStreams", true)
        .frontend("PinnedCompletionsProperties", json!({ "options": { "num_predict": 22 } }))
        .backend(&backends[0])
        .backend_with(&backends[1], |backend| {
            backend.set("Priority", 1).set("PinnedCompletionsProperties", pins)
        })
        .start()
        .await;
    backends[0].set_fault(dies(Api::Generate));
    let request = Api::Generate.request().header("Accept-Encoding", "gzip").header("X-Own", "kept");
    is_whole(&see(request, &node).await, 1, "generate");
    let asked = backends[1].requests_to("/api/chat").pop().unwrap();
    assert_eq!(asked.header("content-type"), Some("application/json"));
    assert_eq!((asked.header("accept-encoding"), asked.header("x-own")), (None, Some("kept")));
    assert_eq!(asked.headers_named("content-length").len(), 1);
    let body = asked.json();
    let begun = usize::try_from(BEGUN).unwrap();
    assert_eq!(body["options"], json!({ "num_predict": 22 - begun, "temperature": 0.5 }));
    assert_eq!(body["messages"][1], json!({ "role": "assistant", "content": WORDS[..begun].concat() }));
}

#[tokio::test]
async fn a_second_death_is_survived_too() {
    for api in ALL {
        let (backends, node) = several(api, 3).await;
        backends[0].set_fault(dies(api));
        backends[1].set_fault(dies(api));
        is_whole(&api.ask(&node).await, 2, &format!("{api:?}"));
        assert!((resumed(&node).await - 2.0).abs() < 0.1);
        wait_idle(&node).await;
    }
}

#[tokio::test]
async fn a_backend_that_cannot_go_on_is_passed_over() {
    let (backends, node) = several(Api::Chat, 3).await;
    for fault in
        [FaultKind::status(500), FaultKind::status(400), FaultKind::gzip(), FaultKind::error_frame(0)]
    {
        backends[0].set_fault(dies(Api::Chat));
        let what = format!("{fault:?}");
        backends[1].set_fault(fault.times(1));
        is_whole(&Api::Chat.ask(&node).await, 1, &what);
    }
    assert_eq!(backends[2].stats().completed(), 4);
    wait_idle(&node).await;
}

#[tokio::test]
async fn without_the_property_the_client_is_told_of_the_break() {
    let backends = [ollama(), ollama()];
    let node = Setup::new().backend(&backends[0]).backend(&backends[1]).start().await;
    backends[0].set_fault(dies(Api::Chat));
    let seen = Api::Chat.ask(&node).await;
    is_broken(&seen);
    assert_eq!(seen.header, None);
    assert!(resumed(&node).await < 0.1);
}

#[tokio::test]
async fn without_another_backend_the_client_is_told_of_the_break() {
    for api in ALL {
        let (backends, node) = several(api, 1).await;
        backends[0].set_fault(dies(api));
        is_broken(&api.ask(&node).await);
        backends[0].set_fault(FaultKind::error_frame(api.prelude() + BEGUN).times(1));
        let seen = api.ask(&node).await;
        is_broken(&seen);
        assert!(seen.errors[0].contains("runner"), "the backend's own words: {seen:?}");
        wait_idle(&node).await;
    }
}

#[tokio::test]
async fn an_error_that_is_not_the_backends_is_passed_on() {
    let (backends, node) = several(Api::Chat, 2).await;
    let message = "its own words".to_owned();
    backends[0].set_fault(FaultKind::ErrorFrame { after_frames: BEGUN, message });
    let seen = Api::Chat.ask(&node).await;
    is_broken(&seen);
    assert_eq!(seen.errors, ["its own words"]);
    assert_eq!(backends[1].stats().received(), 0);
}

#[tokio::test]
async fn thoughts_and_tool_calls_are_not_continued() {
    let (backends, node) = several(Api::Chat, 2).await;
    for backend in &backends {
        backend.knobs(|knobs| knobs.thinking = Some("let me see".to_owned()));
    }
    backends[0].set_fault(FaultKind::ResetAfter { frames: BEGUN }.times(1));
    is_broken(&Api::Chat.ask(&node).await);
    for backend in &backends {
        backend.knobs(|knobs| {
            knobs.thinking = None;
            knobs.tool_call = Some(ToolCall { name: "look".to_owned(), arguments: json!({}) });
        });
    }
    backends[0].set_fault(FaultKind::ResetAfter { frames: 1 }.times(1));
    let mut body = chat_body(true);
    body["tools"] = json!([{ "type": "function", "function": { "name": "look", "parameters": {} } }]);
    is_broken(&see(Request::post("/api/chat").json(&body), &node).await);
    assert_eq!(backends[1].stats().received(), 0);
}

#[tokio::test]
async fn the_header_tells_which_answers_may_be_resumed() {
    let (backends, node) = several(Api::Chat, 2).await;
    let mut grammar = chat_body(true);
    grammar["format"] = json!("json");
    for request in [chat(false), Request::post("/api/chat").json(&grammar), Request::get("/api/echo/x")] {
        let answer = request.send(node.addr()).await.collect().await;
        assert_eq!(answer.header("x-ollamaflow-resumed"), Some("false"));
    }
    backends[0].set_fault(dies(Api::Chat));
    is_broken(&see(Request::post("/api/chat").json(&grammar), &node).await);
}

#[tokio::test]
async fn attempts_and_the_retry_budget_bound_it() {
    for (property, value, asked) in
        [("MaxAttempts", json!(2), 1), ("RetryBudgetPercent", json!(0), 0), ("AllowRetries", json!(false), 0)]
    {
        let backends = [ollama(), ollama(), ollama()];
        let node = in_order(Api::Chat, &backends).frontend(property, value).start().await;
        backends[0].set_fault(dies(Api::Chat));
        backends[1].set_fault(dies(Api::Chat));
        let seen = Api::Chat.ask(&node).await;
        is_broken(&seen);
        let may_be = if asked > 0 { "true" } else { "false" };
        assert_eq!(seen.header.as_deref(), Some(may_be), "{property}");
        assert_eq!(
            (backends[1].stats().received(), backends[2].stats().received()),
            (asked, 0),
            "{property}"
        );
    }
}

#[tokio::test]
async fn a_stream_waits_for_a_busy_backend_and_goes_on() {
    let backends = [ollama(), ollama()];
    let node = Setup::new()
        .frontend("ResumeStreams", true)
        .backend(&backends[0])
        .backend_with(&backends[1], |backend| backend.set("Priority", 1).set("MaxParallelRequests", 1))
        .start()
        .await;
    // The first is silent before its death, so that the other one is busy by then.
    backends[0].set_fault(FaultKind::HangMidStream { after_frames: BEGUN, for_ms: None }.times(1));
    let response = chat(true).send(node.addr()).await;
    let mut lines = response.lines();
    lines.expect_next().await;
    backends[1].set_fault(FaultKind::HangBeforeHeaders { for_ms: Some(700) }.times(1));
    backends[0].set_fault(FaultKind::CloseBeforeHeaders { by: EndBy::Fin }.times(1));
    let address = node.addr();
    let other = tokio::spawn(async move { chat(true).send(address).await.collect().await });
    wait::until_eq("the other one is busy", || backends[1].stats().in_flight(), 1).await;
    backends[0].stop();
    let (lines, end) = lines.collect().await;
    assert_eq!(end, End::Complete);
    assert_eq!(lines.last().unwrap().json()["x_ollamaflow_resumed"], 1, "{lines:?}");
    assert_eq!(other.await.unwrap().end, End::Complete);
    wait_idle(&node).await;
}

#[tokio::test]
async fn the_pause_is_no_longer_than_the_longest_silence() {
    let backends = [ollama(), ollama()];
    let node = in_order(Api::Chat, &backends).frontend("StreamIdleTimeoutMs", 1000).start().await;
    backends[0].set_fault(dies(Api::Chat));
    backends[1].set_fault(FaultKind::HangBeforeHeaders { for_ms: None });
    is_broken(&Api::Chat.ask(&node).await);
    wait::until_eq("the search is given up", || backends[1].stats().cancelled(), 1).await;
    wait_idle(&node).await;
}

#[tokio::test]
async fn a_client_that_leaves_meanwhile_cancels_it() {
    let (backends, node) = several(Api::Chat, 2).await;
    backends[0].set_fault(dies(Api::Chat));
    backends[1].set_fault(FaultKind::HangBeforeHeaders { for_ms: None });
    let response = chat(true).send(node.addr()).await;
    wait::until_eq("another backend is asked", || backends[1].stats().in_flight(), 1).await;
    response.close();
    wait::until_eq("the other one is left", || backends[1].stats().cancelled(), 1).await;
    wait_idle(&node).await;
    let seen = tokio::time::timeout(Duration::from_secs(5), resumed(&node)).await.unwrap();
    assert!(seen < 0.1);
}
