//! Bytes pass through untouched where the backend speaks the client's protocol.

use ollamaflow_tests::client::Request;

use crate::{ask, before_ollama, before_openai, ollama, vllm};

#[tokio::test]
async fn bodies_and_answers_are_those_of_client_and_backend_byte_for_byte() {
    let body = "{ \"model\":\"m\",  \"messages\":[{\"role\":\"user\",\"content\":\"h\\u0069\"}], \"unknown\": 1.50, \"stream\":false }";
    for is_ollama in [true, false] {
        let backend = if is_ollama { ollama() } else { vllm() };
        let node = if is_ollama { before_ollama(&backend).await } else { before_openai(&backend).await };
        let answer = ask(&node, Request::post("/v1/chat/completions").body(body)).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(backend.requests_to("/v1/chat/completions").pop().unwrap().text(), body);
    }
}

#[tokio::test]
async fn paths_that_the_engine_has_of_itself_are_not_translated() {
    let backend = vllm();
    let node = before_openai(&backend).await;
    for (path, body) in [
        ("/v1/responses", r#"{"model":"m","input":"hello","x":1}"#),
        (
            "/v1/messages",
            r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hello"}],"x":1}"#,
        ),
    ] {
        let answer = ask(&node, Request::post(path).body(body)).await;
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
        assert_eq!(answer.header("x-ollamaflow-translation"), Some("none"));
        assert_eq!(backend.requests_to(path).pop().unwrap().text(), body);
    }
}
