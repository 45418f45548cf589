//! Prompts take time to be read, unless a loaded model knows their beginning.

use std::time::Duration;

use ollamaflow_tests::client;
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend};
use serde_json::{Value, json};

/// An Ollama with two models that reads a thousand tokens per second and remembers two conversations.
fn reader() -> SimulatedBackend {
    SimulatedBackend::start(SimConfig::ollama(["m", "other"]).with_knobs(|knobs| {
        knobs.prefill_tokens_per_second = 1_000.0;
        knobs.prefix_cache_entries = 2;
        knobs.max_loaded_models = 1;
        knobs.tokens = 1;
    }))
}

/// A message of 200 tokens, the same for the same number.
fn message(number: u32) -> Value {
    json!({ "role": "user", "content": format!("word{number} ").repeat(200) })
}

/// Time to read the prompt of a chat, as the engine tells it.
async fn prefill(backend: &SimulatedBackend, model: &str, messages: &[Value]) -> Duration {
    let body = json!({ "model": model, "messages": messages, "stream": false });
    let answer = client::post_json(backend, "/api/chat", &body).await.collect().await.json();
    assert_eq!(answer["prompt_eval_count"], 200 * messages.len());
    Duration::from_nanos(answer["prompt_eval_duration"].as_u64().unwrap())
}

#[tokio::test]
async fn a_longer_prompt_takes_longer() {
    let backend = reader();
    assert!(prefill(&backend, "m", &[message(1)]).await >= Duration::from_millis(200));
    assert!(prefill(&backend, "m", &[message(2), message(3)]).await >= Duration::from_millis(400));
    let stats = backend.stats();
    assert_eq!((stats.prefix_hits, stats.prompt_tokens, stats.prompt_tokens_read), (0, 600, 600));
}

#[tokio::test]
async fn what_a_conversation_has_said_before_is_not_read_again() {
    let backend = reader();
    prefill(&backend, "m", &[message(1)]).await;
    prefill(&backend, "m", &[message(1), message(2)]).await;
    prefill(&backend, "m", &[message(1), message(2), message(3)]).await;
    let stats = backend.stats();
    // Whole blocks of 16 tokens are known: 192 of the first 200, 400 of the first 400.
    assert_eq!(
        (stats.prefix_hits, stats.prompt_tokens, stats.prompt_tokens_read),
        (2, 1200, 200 + 208 + 200)
    );
}

#[tokio::test]
async fn so_many_conversations_are_remembered() {
    let backend = reader();
    for number in [1, 2, 3, 1] {
        prefill(&backend, "m", &[message(number)]).await;
    }
    assert_eq!(backend.stats().prefix_hits, 0);
    prefill(&backend, "m", &[message(3)]).await;
    assert_eq!(backend.stats().prefix_hits, 1);
}

#[tokio::test]
async fn a_model_forgets_when_it_is_dropped() {
    let backend = reader();
    prefill(&backend, "m", &[message(1)]).await;
    prefill(&backend, "other", &[message(1)]).await;
    prefill(&backend, "m", &[message(1)]).await;
    assert_eq!((backend.stats().prefix_hits, backend.stats().evictions), (0, 2));
}
