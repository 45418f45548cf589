//! Models in memory.

use std::time::{Duration, Instant};

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
async fn a_load_is_given_up_when_nobody_waits_for_it_any_more() {
    let backend = three_models();
    backend.knobs(|knobs| knobs.load_ms_by_model = vec![("a".to_owned(), 3_600_000)]);
    let body = json!({ "model": "a", "prompt": "x" });
    let mut connections = Vec::new();
    for number in 1..=2 {
        let mut connection = client::RawConnection::open(&backend).await.unwrap();
        connection.send_request(&client::Request::post("/api/generate").json(&body)).await.unwrap();
        wait::until_eq("it waits for the load", || backend.stats().running, number).await;
        connections.push(connection);
    }
    connections.pop().unwrap().abort();
    wait::until_eq("one is gone", || backend.stats().cancelled(), 1).await;
    assert_eq!((loaded(&backend), backend.stats().aborted_loads), (vec!["a:latest".to_owned()], 0));
    connections.pop().unwrap().abort();
    wait::until_eq("both are gone", || backend.stats().aborted_loads, 1).await;
    assert!(loaded(&backend).is_empty());
    generate(&backend, "b", &json!({})).await;
}

#[tokio::test]
async fn models_are_loaded_one_after_the_other() {
    let backend = three_models();
    backend.knobs(|knobs| knobs.load_ms = 200);
    let address = backend.address();
    let started = Instant::now();
    let times = client::many(2, move |index| async move {
        let model = ["a", "b"][index];
        let body = json!({ "model": model, "prompt": "x", "stream": false });
        let answer = client::post_json(address, "/api/generate", &body).await.collect().await;
        (started.elapsed(), answer.json()["load_duration"].as_u64().unwrap())
    })
    .await;
    let last = times.iter().max().unwrap();
    assert!(last.0 >= Duration::from_millis(400), "{times:?}");
    assert!(last.1 >= 390_000_000, "the wait for the other load counts as loading: {times:?}");
    let started = Instant::now();
    generate(&backend, "a", &json!({})).await;
    assert!(started.elapsed() < Duration::from_millis(200), "it was in memory");
}

#[tokio::test]
async fn a_request_for_a_loaded_model_does_not_wait_for_the_load_of_another() {
    let backend = three_models();
    generate(&backend, "a", &json!({})).await;
    backend.knobs(|knobs| knobs.load_ms = 3_600_000);
    let mut loading = client::RawConnection::open(&backend).await.unwrap();
    let request = client::Request::post("/api/generate").json(&json!({ "model": "b", "prompt": "x" }));
    loading.send_request(&request).await.unwrap();
    wait::until_eq("the other loads", || backend.stats().loads, 2).await;
    generate(&backend, "a", &json!({})).await;
}

#[tokio::test]
async fn each_runner_option_and_shift_reload_the_model() {
    let backend = three_models();
    generate(&backend, "a", &json!({})).await;
    let others = [
        json!({ "options": { "num_ctx": 8192 } }),
        json!({ "options": { "num_batch": 128 } }),
        json!({ "options": { "num_gpu": 1 } }),
        json!({ "options": { "main_gpu": 1 } }),
        json!({ "options": { "use_mmap": false } }),
        json!({ "options": { "num_thread": 3 } }),
        json!({ "options": { "draft_num_predict": 4 } }),
        json!({ "shift": false }),
    ];
    for (before, other) in others.iter().enumerate() {
        generate(&backend, "a", other).await;
        assert_eq!(backend.stats().reloads, before as u64 + 1, "{other}");
        generate(&backend, "a", other).await;
        assert_eq!(backend.stats().reloads, before as u64 + 1, "{other}, again");
    }
    assert_eq!(backend.stats().evictions, 0);
}
