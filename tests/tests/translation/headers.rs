//! What answers tell about translation.

use serde_json::json;

use crate::{before_ollama, before_openai, ollama, post, vllm};

#[tokio::test]
async fn the_way_is_told_and_what_was_left_out_is_named() {
    let backend = vllm();
    let node = before_openai(&backend).await;
    let body = json!({ "model": "m", "stream": false, "keep_alive": "5m", "colour": "red",
        "messages": [{ "role": "user", "content": "hello" }], "options": { "num_ctx": 4096, "top_k": 3, "seed": 1 } });
    let answer = post(&node, "/api/chat", body).await;
    assert_eq!(answer.header("x-ollamaflow-translation"), Some("/api/chat to /v1/chat/completions; api"));
    let dropped = answer.header("x-ollamaflow-dropped").unwrap();
    let mut dropped: Vec<&str> = dropped.split(", ").collect();
    dropped.sort_unstable();
    assert_eq!(dropped, ["colour", "keep_alive", "options.num_ctx", "options.top_k"]);
}

#[tokio::test]
async fn an_answer_without_translation_says_so() {
    let backend = ollama();
    let node = before_ollama(&backend).await;
    for path in ["/api/chat", "/v1/chat/completions"] {
        let body =
            json!({ "model": "m", "stream": false, "messages": [{ "role": "user", "content": "hello" }] });
        let answer = post(&node, path, body).await;
        assert_eq!(answer.header("x-ollamaflow-translation"), Some("none"), "{path}");
        assert_eq!(answer.header("x-ollamaflow-dropped"), None);
    }
}

#[tokio::test]
async fn names_that_a_header_cannot_hold_are_written_so_that_it_can() {
    let backend = vllm();
    let node = before_openai(&backend).await;
    let body = json!({ "model": "m", "stream": false, "messages": [{ "role": "user", "content": "hello" }],
        "a\r\nX-Evil: 1": 1, "b, c": 1, "\u{e9}": 1, "": 1, "plain": 1 });
    let answer = post(&node, "/api/chat", body).await;
    assert_eq!((answer.status(), answer.header("x-evil")), (200, None), "{}", answer.text());
    let expected = [r#""""#, r#""a\r\nX-Evil: 1""#, r#""b, c""#, "plain", r#""\u{e9}""#];
    assert_eq!(answer.header("x-ollamaflow-dropped"), Some(expected.join(", ").as_str()));
}
