//! Failures of backends reach each kind of client in its own protocol.

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{FaultKind, SimulatedBackend};
use serde_json::{Value, json};

use crate::{TEXT, ask, before_ollama, before_openai, lacks, lines, ollama, post, vllm};
use ollamaflow_tests::setup::Setup;

/// A streamed request of each kind of client.
fn requests() -> [(&'static str, Value); 6] {
    let messages = json!([{ "role": "user", "content": "hello" }]);
    [
        ("/api/chat", json!({ "model": "m", "messages": messages })),
        ("/api/generate", json!({ "model": "m", "prompt": "hello" })),
        ("/v1/chat/completions", json!({ "model": "m", "stream": true, "messages": messages })),
        ("/v1/completions", json!({ "model": "m", "stream": true, "prompt": "hello" })),
        ("/v1/responses", json!({ "model": "m", "stream": true, "input": "hello" })),
        ("/v1/messages", json!({ "model": "m", "stream": true, "max_tokens": 99, "messages": messages })),
    ]
}

/// The words of the error that ends a stream, as the client's SDK finds them; none if it does not.
fn error_at_the_end(path: &str, answer: &Collected) -> Option<String> {
    let text = answer.text();
    assert!(
        !text.contains("[DONE]") && !text.contains("\"done\":true") && !text.contains("message_stop"),
        "{text}"
    );
    let last = text.trim_end().lines().last()?;
    let object: Value = serde_json::from_str(last.strip_prefix("data: ").unwrap_or(last)).ok()?;
    let words = match path {
        "/api/chat" | "/api/generate" => &object["error"],
        "/v1/responses" => {
            assert!(text.contains("event: response.failed\n"), "{text}");
            &object["response"]["error"]["message"]
        }
        "/v1/messages" => {
            assert!(text.contains("event: error\n"), "{text}");
            &object["error"]["message"]
        }
        _ => &object["error"]["message"],
    };
    words.as_str().map(str::to_owned)
}

/// The clients of the other API before this kind of backend, whose streams are to break by `fault`.
async fn broken(fault: impl Fn() -> FaultKind) -> Vec<(&'static str, Collected)> {
    let mut answers = Vec::new();
    for (is_ollama, api) in [(true, "/api/"), (false, "/v1/chat/")] {
        let backend = if is_ollama { ollama() } else { vllm() };
        let others =
            if is_ollama { vec![lacks("/v1/")] } else { vec![lacks("/v1/responses"), lacks("/v1/messages")] };
        backend.set_faults(others.into_iter().chain([fault().path(api)]).collect());
        let node = if is_ollama { before_ollama(&backend).await } else { before_openai(&backend).await };
        for (path, body) in requests() {
            let is_native = path.starts_with("/api/");
            let speaks_it = if is_ollama { is_native } else { path.contains("completions") };
            if speaks_it {
                continue;
            }
            let answer = post(&node, path, body).await;
            assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
            answers.push((path, answer));
        }
    }
    assert_eq!(answers.len(), 8);
    answers
}

#[tokio::test]
async fn a_death_in_the_middle_of_a_stream_is_an_error_of_the_clients_protocol() {
    for (path, answer) in broken(|| FaultKind::ResetAfter { frames: 5 }).await {
        assert!(error_at_the_end(path, &answer).is_some(), "{path}: {}", answer.text());
        assert!(answer.text().contains("quick"), "what came before is not lost: {path}");
    }
}

#[tokio::test]
async fn an_error_line_in_the_middle_of_a_stream_reaches_the_client_in_its_own_words() {
    for (path, answer) in broken(|| FaultKind::error_frame(5)).await {
        let words = error_at_the_end(path, &answer).unwrap_or_else(|| panic!("{path}: {}", answer.text()));
        assert!(words.contains("runner"), "{path}: {words}");
    }
}

#[tokio::test]
async fn a_stream_that_ends_without_its_end_is_an_error() {
    for (path, answer) in broken(|| FaultKind::EndWithoutMarker { after_frames: Some(5) }).await {
        assert!(error_at_the_end(path, &answer).is_some(), "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn errors_before_the_answer_keep_their_status_and_words() {
    let backend = vllm();
    let node = before_openai(&backend).await;
    let body =
        json!({ "model": "nope", "stream": false, "messages": [{ "role": "user", "content": "hello" }] });
    let answer = post(&node, "/api/chat", body).await;
    assert_eq!(answer.status(), 404);
    assert!(answer.json()["error"].as_str().unwrap().contains("nope"), "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));

    let backend = ollama();
    backend.set_fault(lacks("/v1/"));
    let node = before_ollama(&backend).await;
    for (path, body) in requests() {
        let mut body = body;
        body["model"] = json!("nope");
        if path.starts_with("/api/") {
            continue;
        }
        let answer = post(&node, path, body).await;
        assert_eq!(answer.status(), 404, "{path}: {}", answer.text());
        let error = &answer.json()["error"];
        assert_eq!(error["type"], "not_found_error", "{path}");
        assert!(error["message"].as_str().unwrap().contains("nope"), "{path}");
    }
}

#[tokio::test]
async fn a_refusal_of_our_own_credentials_is_not_the_clients() {
    let backend = vllm();
    let headers = vec![("WWW-Authenticate".to_owned(), "Bearer".to_owned())];
    let body = Some(json!({ "error": { "message": "bad key" } }).to_string());
    backend.set_fault(FaultKind::Answer { status: 401, headers, body, body_base64: None }.path("/v1/chat"));
    let node = before_openai(&backend).await;
    let body = json!({ "model": "m", "stream": false, "messages": [{ "role": "user", "content": "hello" }] });
    let answer = post(&node, "/api/chat", body).await;
    assert_eq!(answer.status(), 502, "{}", answer.text());
    assert_eq!(answer.header("www-authenticate"), None, "nor is what the backend wants");
}

#[tokio::test]
async fn an_answer_without_a_body_is_none_to_a_translated_request() {
    for status in [204, 205, 304, 302] {
        let backend = vllm();
        let headers = vec![("Location".to_owned(), "http://127.0.0.1:1/".to_owned())];
        let body =
            (status == 302).then(|| json!({ "choices": [{ "message": { "content": "x" } }] }).to_string());
        let body = body.or(Some(String::new()));
        backend.set_fault(FaultKind::Answer { status, headers, body, body_base64: None }.path("/v1/chat"));
        let node = before_openai(&backend).await;
        for stream in [true, false] {
            let body = json!({ "model": "m", "stream": stream, "messages": [{ "role": "user", "content": "hello" }] });
            let answer = post(&node, "/api/chat", body).await;
            assert_eq!(answer.status(), 502, "{status}: {}", answer.text());
            assert!(answer.json()["error"].is_string());
            assert_eq!(answer.header("location"), None);
        }
    }
}

async fn resuming(backends: [&SimulatedBackend; 2]) -> Node {
    let openai = |own: ollamaflow_tests::objects::Backend| {
        own.set("ApiFormat", "OpenAI").set("HealthCheckUrl", "/health")
    };
    Setup::new()
        .frontend("ResumeStreams", true)
        .backend_with(backends[0], openai)
        .backend_with(backends[1], openai)
        .start()
        .await
}

#[tokio::test]
async fn a_translated_stream_whose_backend_dies_goes_on_at_another() {
    let backends = [vllm(), vllm()];
    backends[0].set_fault(FaultKind::ResetAfter { frames: 8 }.path("/v1/chat"));
    let node = resuming([&backends[0], &backends[1]]).await;
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hello" }] });
    let answer = post(&node, "/api/chat", body).await;
    let objects = lines(&answer);
    let text: String = objects.iter().filter_map(|object| object["message"]["content"].as_str()).collect();
    assert_eq!(text, TEXT, "{}", answer.text());
    assert_eq!(objects.last().unwrap()["done"], true);
}

#[tokio::test]
async fn a_client_that_leaves_a_translated_stream_cancels_it() {
    let backend = vllm();
    backend.knobs(|knobs| {
        knobs.endless = true;
        knobs.tokens_per_second = 200.0;
    });
    let node = before_openai(&backend).await;
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hello" }] });
    let mut response = Request::post("/api/chat").json(&body).send(node.addr()).await;
    response.next_piece().await.unwrap();
    response.abort();
    ollamaflow_tests::wait::until("it is cancelled", || backend.stats().cancelled() == 1).await;
    ollamaflow_tests::setup::wait_idle(&node).await;
}

#[tokio::test]
async fn a_translated_request_that_fails_is_tried_at_another_backend() {
    let (bad, good) = (vllm(), ollama());
    bad.set_fault(FaultKind::runner_fault().path("/v1/chat"));
    let node = Setup::new()
        .backend_with(&bad, |own| own.set("ApiFormat", "OpenAI").set("HealthCheckUrl", "/health"))
        .backend(&good)
        .start()
        .await;
    let body = json!({ "model": "m", "stream": false, "messages": [{ "role": "user", "content": "hello" }] });
    for _ in 0..2 {
        let request = Request::post("/api/chat").json(&body);
        let answer = ask(&node, request).await;
        assert_eq!(answer.json()["message"]["content"], TEXT, "{}", answer.text());
        assert_eq!(answer.header("x-ollamaflow-backend"), Some("b2"));
        assert_eq!(answer.header("x-ollamaflow-translation"), Some("none"));
    }
}
