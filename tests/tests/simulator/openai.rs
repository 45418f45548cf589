//! The `OpenAI` surface on the wire, in both flavours.

use ollamaflow_tests::client::{self, End, Event, Request};
use ollamaflow_tests::simulated::SimulatedBackend;
use serde_json::{Value, json};

use crate::{chat_body, ollama, openai_stream, vllm, whole_text};

async fn events(backend: &SimulatedBackend, path: &str, body: &Value) -> Vec<Event> {
    let response = client::post_json(backend, path, body).await;
    assert_eq!((response.status(), response.header("content-type")), (200, Some("text/event-stream")));
    let (events, end) = response.events().collect().await;
    assert_eq!(end, End::Complete);
    events
}

fn text_of(events: &[Event], pointer: &str) -> String {
    let parsed = events.iter().filter(|event| !event.is_done()).map(Event::json);
    parsed.filter_map(|value| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_chat_streams_chunks_then_a_finish_reason_then_done() {
    let (events, end) = openai_stream(&ollama()).await.events().collect().await;
    assert_eq!((events.len(), end), (24, End::Complete));
    assert_eq!(text_of(&events, "/choices/0/delta/content"), whole_text());
    let first = events[0].json();
    assert_eq!(
        (&first["choices"][0]["delta"]["role"], &first["object"]),
        (&json!("assistant"), &json!("chat.completion.chunk"))
    );
    assert_eq!(first["system_fingerprint"], "fp_ollama");
    assert_eq!(events[22].json()["choices"][0], json!({ "index": 0, "delta": {}, "finish_reason": "stop" }));
    assert!(events[23].is_done());
}

#[tokio::test]
async fn another_engine_begins_with_a_chunk_of_the_role_alone() {
    let (events, _) = openai_stream(&vllm()).await.events().collect().await;
    assert_eq!(events[0].json()["choices"][0]["delta"], json!({ "role": "assistant", "content": "" }));
    assert!(events[0].json()["system_fingerprint"].is_null());
    assert_eq!(text_of(&events, "/choices/0/delta/content"), whole_text());
}

#[tokio::test]
async fn usage_comes_in_a_chunk_without_choices_when_asked_for() {
    for path in ["/v1/chat/completions", "/v1/completions"] {
        let mut body = chat_body(true);
        body["prompt"] = json!("hello there");
        body["max_tokens"] = json!(2);
        body["stream_options"] = json!({ "include_usage": true });
        let events = events(&ollama(), path, &body).await;
        let usage = events[events.len() - 2].json();
        assert_eq!(usage["choices"], json!([]), "{path}");
        let expected = json!({ "prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4 });
        assert_eq!(usage["usage"], expected, "{path}");
        assert_eq!(events[events.len() - 3].json()["choices"][0]["finish_reason"], "length", "{path}");
    }
}

#[tokio::test]
async fn a_chat_is_whole_unless_a_stream_is_asked_for() {
    let backend = vllm();
    let body = json!({
        "model": "m",
        "messages": [{ "role": "user", "content": [{ "type": "text", "text": "hi" }] }],
        "max_completion_tokens": 1,
    });
    let answer = client::post_json(&backend, "/v1/chat/completions", &body).await.collect().await.json();
    assert_eq!(
        (&answer["object"], &answer["choices"][0]["message"]["content"]),
        (&json!("chat.completion"), &json!(" the"))
    );
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    let body = json!({ "model": "m", "prompt": "x" });
    let answer = client::post_json(&backend, "/v1/completions", &body).await.collect().await.json();
    assert_eq!(
        (&answer["object"], &answer["choices"][0]["text"]),
        (&json!("text_completion"), &json!(whole_text()))
    );
}

#[tokio::test]
async fn embeddings_come_as_floats_or_base64() {
    let backend = ollama();
    let embed = async |format: &str| {
        let body = json!({ "model": "m", "input": ["a", "b"], "encoding_format": format });
        client::post_json(&backend, "/v1/embeddings", &body).await.collect().await.json()
    };
    let floats = embed("float").await;
    assert_eq!(floats["data"][1]["embedding"].as_array().map(Vec::len), Some(16));
    let encoded = embed("base64").await;
    // 16 floats of 4 bytes: 64 bytes, 88 characters.
    assert_eq!(encoded["data"][1]["embedding"].as_str().map(str::len), Some(88));
    assert_eq!(encoded["usage"]["prompt_tokens"], 2);
}

#[tokio::test]
async fn responses_stream_typed_events_to_completed() {
    let body = json!({ "model": "m", "input": "hi", "stream": true });
    let events = events(&ollama(), "/v1/responses", &body).await;
    let names: Vec<_> = events.iter().filter_map(|event| event.name.clone()).collect();
    assert_eq!(names.first().map(String::as_str), Some("response.created"));
    assert_eq!(names.last().map(String::as_str), Some("response.completed"));
    assert!(events.iter().enumerate().all(|(index, event)| event.json()["sequence_number"] == index));
    let last = events.last().unwrap().json();
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], whole_text());
    let deltas = events.iter().filter(|event| event.name.as_deref() == Some("response.output_text.delta"));
    assert_eq!(
        deltas.map(|event| event.json()["delta"].as_str().unwrap().to_owned()).collect::<String>(),
        whole_text()
    );
}

#[tokio::test]
async fn messages_stream_typed_events_to_message_stop() {
    let body = json!({
        "model": "m",
        "max_tokens": 5,
        "messages": [{ "role": "user", "content": "hi" }],
        "stream": true,
    });
    let events = events(&vllm(), "/v1/messages", &body).await;
    assert_eq!(text_of(&events, "/delta/text"), " the quick brown fox jumps");
    assert_eq!(events.last().and_then(|event| event.name.as_deref()), Some("message_stop"));
    assert_eq!(events[events.len() - 2].json()["delta"]["stop_reason"], "max_tokens");
}

#[tokio::test]
async fn a_transcription_takes_a_form() {
    let form = concat!(
        "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n",
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n--b--\r\n",
    );
    let request = Request::post("/v1/audio/transcriptions").body(form);
    let request = request.header("Content-Type", "multipart/form-data; boundary=b");
    assert_eq!(request.send(&ollama()).await.collect().await.json()["text"], whole_text());
}

#[tokio::test]
async fn models_are_listed_with_tags_by_ollama_only() {
    for (backend, id) in [(ollama(), "m:latest"), (vllm(), "m")] {
        let list = client::get(&backend, "/v1/models").await.collect().await.json();
        assert_eq!((&list["object"], &list["data"][0]["id"]), (&json!("list"), &json!(id)));
        let one = client::get(&backend, "/v1/models/m").await.collect().await.json();
        assert_eq!(one["id"], "m");
        assert_eq!(client::get(&backend, "/v1/models/x").await.status(), 404);
    }
}

#[tokio::test]
async fn errors_have_the_shape_of_their_engine() {
    let body = json!({ "model": "x", "max_tokens": 1, "messages": [{ "role": "user", "content": "hi" }] });
    let error = async |backend: &SimulatedBackend, path: &str| {
        let answer = client::post_json(backend, path, &body).await.collect().await;
        assert_eq!(answer.status(), 404);
        answer.json()
    };
    let (ollama, vllm) = (ollama(), vllm());
    let expected = json!({
        "error": { "message": "model 'x' not found", "type": "not_found_error", "param": null, "code": null },
    });
    assert_eq!(error(&ollama, "/v1/chat/completions").await, expected);
    assert_eq!(error(&vllm, "/v1/chat/completions").await["error"]["type"], "NotFoundError");
    assert_eq!(error(&ollama, "/v1/messages").await["error"]["type"], "not_found_error");
    let native = client::post_json(&vllm, "/api/chat", &body).await.collect().await;
    assert_eq!((native.status(), native.json()), (404, json!({ "detail": "Not Found" })));
    assert_eq!(client::get(&vllm, "/health").await.status(), 200);
}
