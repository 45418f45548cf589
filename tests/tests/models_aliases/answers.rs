//! Streams name the client's model in every frame, whoever they come from and however they are cut; answers to requests
//! that do not ask for an alias stay what they are.

use ollamaflow_tests::client::End;
use ollamaflow_tests::simulated::FaultKind;

use super::*;

/// Streamed requests of each API, and where their frames name the model.
fn streams(model: &str) -> Vec<(&'static str, Value, &'static [&'static str])> {
    let messages = json!([{ "role": "user", "content": "hello" }]);
    vec![
        ("/api/chat", json!({ "model": model, "messages": messages }), &["/model"]),
        ("/api/generate", json!({ "model": model, "prompt": "hello" }), &["/model"]),
        (
            "/v1/chat/completions",
            json!({ "model": model, "messages": messages, "stream": true }),
            &["/model"],
        ),
        ("/v1/completions", json!({ "model": model, "prompt": "hello", "stream": true }), &["/model"]),
        ("/v1/responses", json!({ "model": model, "input": "hello", "stream": true }), &["/response/model"]),
        (
            "/v1/messages",
            json!({ "model": model, "messages": messages, "max_tokens": 99, "stream": true }),
            &["/message/model"],
        ),
    ]
}

/// The JSON texts of a stream.
fn frames(text: &str) -> Vec<Value> {
    let texts = text.lines().map(|line| line.strip_prefix("data: ").unwrap_or(line));
    texts.filter_map(|text| serde_json::from_str(text).ok()).collect()
}

/// Checks a whole stream; gives its frames.
fn checked(answer: &Collected, places: &[&str], why: &str) -> Vec<Value> {
    assert_eq!((answer.status(), answer.end), (200, End::Complete), "{why}: {}", answer.text());
    let text = answer.text();
    let frames = frames(&text);
    let names: Vec<&Value> =
        frames.iter().flat_map(|frame| places.iter().filter_map(|place| frame.pointer(place))).collect();
    assert!(!names.is_empty() && names.iter().all(|name| **name == ASKED), "{why}: {text}");
    assert!(!text.contains(REAL), "{why}: {text}");
    assert_eq!(answer.header("x-ollamaflow-model"), Some(REAL), "{why}");
    frames
}

#[tokio::test]
async fn every_frame_of_every_stream_names_the_clients_model() {
    let backend = ollama(&[REAL]);
    let node = aliased().backend(&backend).start().await;
    for (path, body, places) in streams(ASKED) {
        let plain = ask(&node, Request::post(path).json(&with_model(&body, REAL))).await;
        assert!(plain.text().contains(REAL), "{}", plain.text());
        let answer = post(&node, path, body).await;
        let named = checked(&answer, places, path);
        assert_eq!(named.len(), frames(&plain.text()).len(), "{path}");
    }
}

fn with_model(body: &Value, model: &str) -> Value {
    let mut body = body.clone();
    body["model"] = json!(model);
    body
}

#[tokio::test]
async fn frames_that_come_in_pieces_name_it_too() {
    for offset in [1, 9, 12, 20] {
        let backend = ollama(&[REAL]);
        let node = aliased().backend(&backend).start().await;
        backend.set_fault(FaultKind::split_frames(offset));
        for (path, body, places) in streams(ASKED) {
            let answer = post(&node, path, body).await;
            checked(&answer, places, &format!("{path}, cut at {offset}"));
        }
    }
}

#[tokio::test]
async fn streams_that_are_translated_name_it() {
    let (engine, old) = (vllm(&[REAL]), ollama(&[REAL]));
    let node = aliased().backend_with(&engine, openai).start().await;
    for (path, body, places) in streams(ASKED) {
        checked(&post(&node, path, body).await, places, path);
    }
    // An Ollama that does not know the newer APIs is asked in its own.
    let unknown = |path| FaultKind::json(404, &json!({ "detail": "Not Found" })).path(path);
    old.set_faults(vec![
        unknown("/v1/responses"),
        unknown("/v1/messages"),
        unknown("/v1/chat"),
        unknown("/v1/comp"),
    ]);
    let node = aliased().backend(&old).start().await;
    for (path, body, places) in streams(ASKED) {
        checked(&post(&node, path, body).await, places, path);
        assert_eq!(last_posted(&old).json()["model"], REAL, "{path}");
    }
}

#[tokio::test]
async fn a_stream_that_goes_on_elsewhere_asks_for_that_backends_target_and_names_the_clients_model() {
    let (first, second) = (ollama(&[REAL]), ollama(&["other:7b"]));
    let setup = Setup::new().frontend("ModelAliases", json!({ "gpt-4o": { "b1": REAL, "*": "other:7b" } }));
    let node = setup
        .frontend("ResumeStreams", true)
        .backend(&first)
        .backend_with(&second, |backend| backend.set("Priority", 1))
        .start()
        .await;
    first.set_fault(FaultKind::ResetAfter { frames: 7 });
    let answer = ask(&node, chat(ASKED, true)).await;
    let frames = checked(&answer, &["/model"], "resumed");
    assert_eq!(frames.last().unwrap()["x_ollamaflow_resumed"], 1, "{}", answer.text());
    assert!(!answer.text().contains("other:7b"), "{}", answer.text());
    assert_eq!(received(&first, "/api/chat")["model"], REAL);
    assert_eq!(received(&second, "/api/chat")["model"], "other:7b");
}

#[tokio::test]
async fn a_stream_that_dies_ends_with_an_error_frame_as_ever() {
    let backend = ollama(&[REAL]);
    let node = aliased().backend(&backend).start().await;
    backend.set_fault(FaultKind::ResetAfter { frames: 5 });
    let answer = ask(&node, chat(ASKED, true)).await;
    let frames = frames(&answer.text());
    assert_eq!(answer.text().lines().count(), frames.len(), "each line is whole: {}", answer.text());
    assert!(frames.last().unwrap()["error"].is_string(), "{}", answer.text());
    assert!(frames[..frames.len() - 1].iter().all(|frame| frame["model"] == ASKED), "{}", answer.text());
}

#[tokio::test]
async fn an_answer_that_is_changed_is_asked_for_uncompressed_and_has_no_wrong_length() {
    let backend = ollama(&[REAL]);
    backend.knobs(|knobs| knobs.add_header("ETag", "\"x\""));
    let node = aliased().backend(&backend).start().await;
    let request = |model| chat(model, false).header("Accept-Encoding", "gzip");
    let answer = ask(&node, request(ASKED)).await;
    assert_eq!((answer.status(), answer.end, &answer.json()["model"]), (200, End::Complete, &json!(ASKED)));
    assert_eq!((answer.header("content-length"), answer.header("etag")), (None, None));
    assert_eq!(backend.requests_to("/api/chat").pop().unwrap().header("accept-encoding"), None);
    let plain = ask(&node, request(REAL)).await;
    assert_eq!(plain.header("content-length"), Some(plain.body.len().to_string().as_str()));
    assert_eq!((plain.header("etag"), plain.header("x-ollamaflow-model")), (Some("\"x\""), None));
    assert_eq!(backend.requests_to("/api/chat").pop().unwrap().header("accept-encoding"), Some("gzip"));
    // One that is compressed all the same goes on as it is.
    backend.set_fault(FaultKind::gzip().path("/api/chat"));
    let coded = ask(&node, request(ASKED)).await;
    assert_eq!((coded.status(), coded.header("content-encoding")), (200, Some("gzip")));
}

#[tokio::test]
async fn errors_of_the_backend_are_passed_on_in_its_words() {
    let backend = ollama(&["another"]);
    let node = aliased().backend(&backend).start().await;
    let answer = ask(&node, chat(ASKED, false)).await;
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.json()["error"], format!("model '{REAL}' not found"));
    assert_eq!(answer.header("x-ollamaflow-model"), Some(REAL), "so that it can be understood");
}
