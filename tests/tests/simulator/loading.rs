//! Models in memory.

use ollamaflow_tests::client;
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

async fn generate(backend: &SimulatedBackend, model: &str, more: &Value) {
    let mut body = json!({ "model": model, "prompt": "x", "stream": false });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = client::post_json(backend, "/api/generate", &body).await.collect().await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
}

fn three_models() -> SimulatedBackend {
    SimulatedBackend::start(
        SimConfig::ollama(["a", "b", "c"]).with_knobs(|knobs| knobs.max_loaded_models = 2),
    )
}

fn loaded(backend: &SimulatedBackend) -> Vec<String> {
    let mut names: Vec<_> = backend.loaded_models().into_iter().map(|model| model.name).collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_model_idle_for_longest_makes_room() {
    let backend = three_models();
    for model in ["a", "b", "a", "c"] {
        generate(&backend, model, &json!({})).await;
    }
    assert_eq!(loaded(&backend), ["a:latest", "c:latest"]);
    let stats = backend.stats();
    assert_eq!((stats.loads, stats.evictions, stats.reloads), (3, 1, 0));
}

#[tokio::test]
async fn other_runner_options_reload_the_model() {
    let backend = three_models();
    let wide = json!({ "options": { "num_ctx": 8192 } });
    generate(&backend, "a", &json!({})).await;
    generate(&backend, "a", &json!({ "options": { "temperature": 0 } })).await;
    assert_eq!(backend.stats().reloads, 0);
    generate(&backend, "a", &wide).await;
    generate(&backend, "a", &wide).await;
    let stats = backend.stats();
    assert_eq!((stats.loads, stats.reloads), (2, 1));
    let ps = client::get(&backend, "/api/ps").await.collect().await.json();
    assert_eq!(
        (&ps["models"][0]["name"], &ps["models"][0]["context_length"]),
        (&json!("a:latest"), &json!(8192))
    );
    assert!(ps["models"][0]["expires_at"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn a_model_in_use_is_not_evicted() {
    let backend = three_models();
    backend.knobs(|knobs| {
        knobs.max_loaded_models = 1;
        knobs.endless = true;
        knobs.tokens_per_second = 200.0;
    });
    let running = client::post_json(&backend, "/api/generate", &json!({ "model": "a", "prompt": "x" })).await;
    let address = backend.address();
    let other = tokio::spawn(async move {
        let body = json!({ "model": "b", "prompt": "" });
        client::post_json(address, "/api/generate", &body).await.collect().await.status()
    });
    wait::until_eq("the other model waits for room", || backend.stats().waiting, 1).await;
    assert_eq!(loaded(&backend), ["a:latest"]);
    running.abort();
    assert_eq!(other.await.unwrap(), 200);
    assert_eq!(loaded(&backend), ["b:latest"]);
}

#[tokio::test]
async fn keep_alive_decides_how_long_a_model_stays() {
    let backend = three_models();
    generate(&backend, "a", &json!({ "keep_alive": 0 })).await;
    assert!(loaded(&backend).is_empty());
    generate(&backend, "a", &json!({ "keep_alive": "10ms" })).await;
    wait::until("it is dropped", || loaded(&backend).is_empty()).await;
    assert_eq!(backend.stats().expirations, 1);
    generate(&backend, "a", &json!({ "keep_alive": -1 })).await;
    assert_eq!(loaded(&backend), ["a:latest"]);
}

#[tokio::test]
async fn a_load_goes_on_when_its_request_leaves() {
    let backend = three_models();
    backend.knobs(|knobs| knobs.load_ms_by_model = vec![("a".to_owned(), 3_600_000)]);
    let mut connection = client::RawConnection::open(&backend).await.unwrap();
    let request = client::Request::post("/api/generate").json(&json!({ "model": "a", "prompt": "x" }));
    connection.send_request(&request).await.unwrap();
    wait::until_eq("it loads", || backend.stats().loads, 1).await;
    connection.abort();
    wait::until_eq("it is cancelled", || backend.stats().cancelled(), 1).await;
    assert_eq!(loaded(&backend), ["a:latest"]);
    generate(&backend, "b", &json!({})).await;
}
