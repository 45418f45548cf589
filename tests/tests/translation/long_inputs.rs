//! Inputs of embeddings that are longer than the model's context: the client's mistake, in whatever way an engine says so.

use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::simulated::{FaultKind, SimulatedBackend};
use serde_json::{Value, json};

use crate::{before_ollama, lacks, ollama, post, vllm};

/// What Ollama answers to what it must not cut.
const WORDS: &str = "the input length exceeds the context length";

/// What llama.cpp says, whose status blames itself.
fn too_large() -> FaultKind {
    let words = "input (992 tokens) is too large to process. increase the physical batch size (current batch size: 512)";
    FaultKind::json(500, &json!({ "error": { "code": 500, "message": words, "type": "server_error" } }))
}

fn received(backends: &[SimulatedBackend], path: &str) -> usize {
    backends.iter().map(|backend| backend.requests_to(path).len()).sum()
}

#[tokio::test]
async fn an_input_that_an_openai_engine_finds_too_long_is_ollamas_400_whatever_truncate_says() {
    let words =
        "This model's maximum context length is 512 tokens. However, you requested 1451 tokens in the input";
    let refused = FaultKind::json(400, &json!({ "object": "error", "message": words, "code": 400 }));
    let page = FaultKind::json(413, &json!({ "error": { "message": words } }));
    for fault in [too_large(), refused, page] {
        let backends = [vllm(), vllm()];
        let mut setup = Setup::new();
        for backend in &backends {
            backend.set_fault(fault.clone().path("/v1/embeddings"));
            setup = setup.backend_with(backend, |own| {
                own.openai().set("CircuitBreakerErrorPercent", 50).set("CircuitBreakerMinimumRequests", 1)
            });
        }
        let node = setup.start().await;
        let bodies: [(&str, Value); 4] = [
            ("/api/embed", json!({ "model": "m", "input": "long" })),
            ("/api/embed", json!({ "model": "m", "input": ["long"], "truncate": true })),
            ("/api/embed", json!({ "model": "m", "input": "long", "truncate": false })),
            ("/api/embeddings", json!({ "model": "m", "prompt": "long" })),
        ];
        for (path, body) in bodies {
            let answer = post(&node, path, body).await;
            assert_eq!((answer.status(), answer.json()), (400, json!({ "error": WORDS })), "{path}");
            assert_eq!(answer.header("x-ollamaflow-attempts"), Some("1"));
        }
        assert_eq!(received(&backends, "/v1/embeddings"), 4, "no retries, and no circuit is open");
    }
}

#[tokio::test]
async fn an_openai_client_gets_a_400_in_the_words_of_the_ollama_that_says_500() {
    let backend = ollama();
    let words = "input length exceeds maximum context length";
    backend.set_faults(vec![
        lacks("/v1/embeddings"),
        FaultKind::json(500, &json!({ "error": words })).path("/api/embed"),
    ]);
    let node = before_ollama(&backend).await;
    let answer = post(&node, "/v1/embeddings", json!({ "model": "m", "input": "long" })).await;
    let error = &answer.json()["error"];
    assert_eq!((answer.status(), &error["message"]), (400, &json!(words)));
    assert_eq!(error["type"], "invalid_request_error");
}

#[tokio::test]
async fn an_untouched_answer_keeps_its_status_and_nobody_is_blamed_or_asked_again() {
    let backends = [vllm(), vllm()];
    let mut setup = Setup::new();
    for backend in &backends {
        backend.set_fault(too_large().path("/v1/embeddings"));
        setup = setup.backend_with(backend, |own| {
            own.openai().set("CircuitBreakerErrorPercent", 50).set("CircuitBreakerMinimumRequests", 1)
        });
    }
    let node = setup.start().await;
    for _ in 0..4 {
        let answer = post(&node, "/v1/embeddings", json!({ "model": "m", "input": "long" })).await;
        assert_eq!((answer.status(), answer.header("x-ollamaflow-attempts")), (500, Some("1")));
    }
    assert_eq!(received(&backends, "/v1/embeddings"), 4);
}
