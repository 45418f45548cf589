//! Answers that were begun elsewhere go on where they were left, and together are what one answer would have been.

use ollamaflow_tests::client;
use ollamaflow_tests::simulated::{SimulatedBackend, WORDS};
use serde_json::{Value, json};

use crate::{ollama, vllm, whole_text};

/// A chat whose answer has begun with the first so many words.
fn begun(words: usize) -> Value {
    json!([
        { "role": "user", "content": "hello there" },
        { "role": "assistant", "content": WORDS[..words].concat() },
    ])
}

/// The texts of a streamed native chat.
async fn native_pieces(backend: &SimulatedBackend, messages: &Value) -> Vec<String> {
    let body = json!({ "model": "m", "messages": messages });
    let (lines, _) = client::post_json(backend, "/api/chat", &body).await.lines().collect().await;
    let text = |line: Value| line["message"]["content"].as_str().unwrap().to_owned();
    let mut pieces: Vec<_> = lines.iter().map(|line| text(line.json())).collect();
    assert_eq!(pieces.pop().as_deref(), Some(""), "the last object has no text");
    pieces
}

/// The text of an `OpenAI` chat.
async fn openai_text(backend: &SimulatedBackend, messages: &Value, more: &Value) -> (u16, String) {
    let mut body = json!({ "model": "m", "messages": messages });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = client::post_json(backend, "/v1/chat/completions", &body).await.collect().await;
    (
        answer.status(),
        answer.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned(),
    )
}

#[tokio::test]
async fn a_native_chat_goes_on_after_a_last_message_of_the_assistant() {
    let backend = ollama();
    for words in 1..WORDS.len() {
        assert_eq!(native_pieces(&backend, &begun(words)).await, WORDS[words..], "after {words} words");
    }
    assert!(native_pieces(&backend, &begun(WORDS.len())).await.is_empty());
}

#[tokio::test]
async fn an_answer_longer_than_the_word_list_goes_on_too() {
    let backend = ollama();
    backend.knobs(|knobs| knobs.tokens = 50);
    let said: String = WORDS.iter().cycle().take(30).copied().collect();
    let messages = json!([{ "role": "user", "content": "x" }, { "role": "assistant", "content": said }]);
    let pieces = native_pieces(&backend, &messages).await;
    assert_eq!((pieces.len(), pieces.first().map(String::as_str)), (20, Some(WORDS[8])));
}

#[tokio::test]
async fn a_text_other_than_the_answer_does_not_move_it() {
    let backend = ollama();
    let messages = json!([{ "role": "user", "content": "x" }, { "role": "assistant", "content": "{" }]);
    assert_eq!(native_pieces(&backend, &messages).await, WORDS);
    let answered = json!([
        { "role": "user", "content": "x" },
        { "role": "assistant", "content": " the quick" },
        { "role": "user", "content": "y" },
    ]);
    assert_eq!(native_pieces(&backend, &answered).await, WORDS);
}

#[tokio::test]
async fn thoughts_and_tool_calls_are_not_repeated_when_an_answer_goes_on() {
    let backend = ollama();
    backend.knobs(|knobs| knobs.thinking = Some("let me see".to_owned()));
    let body = json!({ "model": "m", "messages": begun(3), "stream": false });
    let answer = client::post_json(&backend, "/api/chat", &body).await.collect().await.json();
    assert_eq!(answer["message"], json!({ "role": "assistant", "content": WORDS[3..].concat() }));
}

#[tokio::test]
async fn the_compatible_api_of_ollama_goes_on_by_itself() {
    let text = openai_text(&ollama(), &begun(5), &json!({})).await;
    assert_eq!(text, (200, WORDS[5..].concat()));
}

#[tokio::test]
async fn an_openai_engine_goes_on_only_when_told_to() {
    let backend = vllm();
    let told = json!({ "continue_final_message": true, "add_generation_prompt": false });
    assert_eq!(openai_text(&backend, &begun(5), &told).await, (200, WORDS[5..].concat()));
    assert_eq!(openai_text(&backend, &begun(5), &json!({})).await, (200, whole_text()));
    let both = json!({ "continue_final_message": true, "add_generation_prompt": true });
    assert_eq!(openai_text(&backend, &begun(5), &both).await.0, 400);
}

#[tokio::test]
async fn a_prompt_without_a_template_goes_on_from_its_end() {
    let backend = ollama();
    let body = json!({ "model": "m", "prompt": "Say: the quick brown", "raw": true, "stream": false });
    let answer = client::post_json(&backend, "/api/generate", &body).await.collect().await.json();
    assert_eq!(answer["response"], WORDS[3..].concat());
    let body = json!({ "model": "m", "prompt": "Say: the quick brown", "stream": false });
    let answer = client::post_json(&backend, "/api/generate", &body).await.collect().await.json();
    assert_eq!(answer["response"], whole_text());
    let body = json!({ "model": "m", "prompt": "Say: the quick brown" });
    let answer = client::post_json(&vllm(), "/v1/completions", &body).await.collect().await.json();
    assert_eq!(answer["choices"][0]["text"], WORDS[3..].concat());
}
