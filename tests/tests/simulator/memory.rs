//! How much memory models take, and which of them give way.

use ollamaflow_tests::client;
use ollamaflow_tests::simulated::{ModelSpec, SimConfig, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

/// Bytes of the models: with a context of 3750 tokens, each takes a tenth more.
const MODEL_BYTES: u64 = 1_000_000;

/// Models `a`, `b`, `c` of one size, one request at a time each, and so many bytes of memory.
fn with_memory(vram_bytes: u64) -> SimulatedBackend {
    let models = ["a", "b", "c"].map(|name| ModelSpec { size: MODEL_BYTES, ..ModelSpec::named(name) });
    let config = SimConfig { models: models.to_vec(), ..SimConfig::default() };
    SimulatedBackend::start(config.with_knobs(|knobs| {
        knobs.vram_bytes = vram_bytes;
        knobs.parallelism = 1;
        knobs.context_length = 3_750;
    }))
}

async fn generate(backend: &SimulatedBackend, model: &str, num_ctx: u64) {
    let options = json!({ "num_ctx": num_ctx });
    let body = json!({ "model": model, "prompt": "x", "stream": false, "options": options });
    let answer = client::post_json(backend, "/api/generate", &body).await.collect().await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
}

/// Names, size in memory and size in that of the GPU, by name.
async fn ps(backend: &SimulatedBackend) -> Vec<(String, u64, u64)> {
    let answer = client::get(backend, "/api/ps").await.collect().await.json();
    let entry = |model: &Value| {
        let bytes = |name: &str| model[name].as_u64().unwrap();
        (model["name"].as_str().unwrap().to_owned(), bytes("size"), bytes("size_vram"))
    };
    let mut models: Vec<_> = answer["models"].as_array().unwrap().iter().map(entry).collect();
    models.sort();
    models
}

fn entry(name: &str, bytes: u64) -> (String, u64, u64) {
    (format!("{name}:latest"), bytes, bytes)
}

#[tokio::test]
async fn models_which_fit_stay_and_the_one_idle_for_longest_gives_way() {
    let backend = with_memory(2_200_000);
    for model in ["a", "b", "a"] {
        generate(&backend, model, 3_750).await;
    }
    assert_eq!(ps(&backend).await, [entry("a", 1_100_000), entry("b", 1_100_000)]);
    generate(&backend, "c", 3_750).await;
    assert_eq!(ps(&backend).await, [entry("a", 1_100_000), entry("c", 1_100_000)]);
    let stats = backend.stats();
    assert_eq!((stats.loads, stats.evictions), (3, 1));
}

#[tokio::test]
async fn a_wider_context_takes_room_from_others() {
    let backend = with_memory(2_200_000);
    generate(&backend, "a", 3_750).await;
    generate(&backend, "b", 3_750).await;
    generate(&backend, "b", 7_500).await;
    assert_eq!(ps(&backend).await, [entry("b", 1_200_000)]);
    let stats = backend.stats();
    assert_eq!((stats.loads, stats.reloads, stats.evictions), (3, 1, 1));
}

#[tokio::test]
async fn each_parallel_slot_has_a_context_of_its_own() {
    let backend = with_memory(2_200_000);
    backend.knobs(|knobs| knobs.parallelism = 4);
    generate(&backend, "a", 3_750).await;
    generate(&backend, "b", 3_750).await;
    assert_eq!(ps(&backend).await, [entry("b", 1_400_000)]);
}

#[tokio::test]
async fn as_many_give_way_as_it_takes_and_what_is_too_large_is_loaded_in_part() {
    let backend = with_memory(2_500_000);
    generate(&backend, "a", 3_750).await;
    generate(&backend, "b", 3_750).await;
    generate(&backend, "c", 75_000).await;
    assert_eq!(ps(&backend).await, [("c:latest".to_owned(), 3_000_000, 2_500_000)]);
    assert_eq!(backend.stats().evictions, 2);
}

#[tokio::test]
async fn a_model_in_use_keeps_its_memory() {
    let backend = with_memory(1_500_000);
    backend.knobs(|knobs| {
        knobs.endless = true;
        knobs.tokens_per_second = 200.0;
    });
    let running = client::post_json(&backend, "/api/generate", &json!({ "model": "a", "prompt": "x" })).await;
    backend.knobs(|knobs| knobs.endless = false);
    let address = backend.address();
    let other = tokio::spawn(async move {
        let body = json!({ "model": "b", "prompt": "x", "stream": false });
        client::post_json(address, "/api/generate", &body).await.collect().await.status()
    });
    wait::until_eq("the other model waits for memory", || backend.stats().waiting, 1).await;
    assert_eq!(ps(&backend).await, [entry("a", 1_100_000)]);
    running.abort();
    assert_eq!(other.await.unwrap(), 200);
    assert_eq!(ps(&backend).await, [entry("b", 1_100_000)]);
}

#[tokio::test]
async fn the_number_of_models_counts_beside_the_memory() {
    let backend = with_memory(1_000_000_000);
    backend.knobs(|knobs| knobs.max_loaded_models = 1);
    generate(&backend, "a", 3_750).await;
    generate(&backend, "b", 3_750).await;
    assert_eq!(ps(&backend).await, [entry("b", 1_100_000)]);
}
