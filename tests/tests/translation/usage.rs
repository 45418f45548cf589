//! Every finished request yields its counts of tokens, translated or not.

use ollamaflow_tests::simulated::FaultKind;
use serde_json::json;

use crate::{before_ollama, before_openai, lacks, ollama, post, vllm};

async fn completion_tokens(node: &ollamaflow_tests::node::Node) -> u64 {
    node.metrics().await.count("ollamaflow_tokens_total", &[("kind", "completion")]).unwrap_or_default()
}

#[tokio::test]
async fn tokens_are_counted_on_the_way_whatever_the_api() {
    for (is_ollama, translated) in [(true, false), (true, true), (false, false), (false, true)] {
        let backend = if is_ollama { ollama() } else { vllm() };
        if is_ollama && translated {
            backend.set_fault(lacks("/v1/"));
        }
        let node = if is_ollama { before_ollama(&backend).await } else { before_openai(&backend).await };
        let speaks_ollama = is_ollama != translated;
        let path = if speaks_ollama { "/api/chat" } else { "/v1/chat/completions" };
        let mut expected = 0;
        for stream in [false, true] {
            let mut body = json!({ "model": "m", "stream": stream, "messages": [{ "role": "user", "content": "hello" }] });
            if !speaks_ollama && stream {
                body["stream_options"] = json!({ "include_usage": true });
            }
            assert_eq!(post(&node, path, body).await.status(), 200);
            expected += 22;
            ollamaflow_tests::wait::until_answered("the tokens are counted", async || {
                let counted = completion_tokens(&node).await;
                if counted == expected { Ok(()) } else { Err(format!("{path} stream {stream}: {counted}")) }
            })
            .await;
        }
    }
}

#[tokio::test]
async fn counts_that_no_request_can_have_are_not_counted() {
    let backend = vllm();
    let usage = json!({ "prompt_tokens": u64::MAX, "completion_tokens": u64::MAX });
    let answer = json!({ "id": "x", "object": "chat.completion", "choices": [], "usage": usage });
    backend.set_fault(FaultKind::json(200, &answer).path("/v1/chat"));
    let node = before_openai(&backend).await;
    let messages = json!([{ "role": "user", "content": "hello" }]);
    for _ in 0..2 {
        let body = json!({ "model": "m", "messages": messages });
        assert_eq!(post(&node, "/v1/chat/completions", body).await.status(), 200);
    }
    backend.clear_faults();
    let body = json!({ "model": "m", "messages": messages });
    post(&node, "/v1/chat/completions", body).await;
    ollamaflow_tests::wait::until_answered("only the possible counts", async || {
        let counted = completion_tokens(&node).await;
        if counted == 22 { Ok(()) } else { Err(format!("{counted}")) }
    })
    .await;
}
