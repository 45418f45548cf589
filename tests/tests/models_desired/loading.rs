//! Models that are to be in memory.

use std::time::Instant;

use ollamaflow_tests::client::post_json;

use super::*;

#[tokio::test]
async fn a_model_to_be_preloaded_is_pulled_loaded_and_loaded_again_when_it_has_left_memory() {
    let registry = registry();
    let engine = engine(&registry, &[]);
    let node = started(wanting("PreloadModels", &["m"]), &engine).await;
    let is_loaded =
        || engine.loaded_models().iter().any(|model| model.name == "m:latest" || model.name == "m");
    wait::until_within("the model is in memory", LONG, is_loaded).await;
    let cell = until_cell(&node, "m:latest", "b1", |cell| cell["Loaded"] == true).await;
    assert_eq!((&cell["Preload"], &cell["Present"]), (&json!(true), &json!(true)), "{cell}");
    // It is told to go, as by a client with `keep_alive: 0`, or its backend is restarted.
    engine.stop();
    engine.restart();
    assert!(!is_loaded());
    wait::until_within("the model is in memory again", LONG, is_loaded).await;
    assert_eq!(pulls_begun(&engine, "m"), 1);
}

#[tokio::test]
async fn a_preloaded_model_is_kept_before_it_leaves() {
    let registry = registry();
    let engine = engine(&registry, &["m"]);
    let node = started(wanting("PreloadModels", &["m"]), &engine).await;
    let loads = || engine.requests_to("/api/generate").len();
    until_preloaded(&node, "m:latest").await;
    let first = loads();
    // A client's own wish makes it leave within the two minutes before which it is kept anew.
    let short = json!({ "model": "m", "keep_alive": "90s", "stream": false });
    post_json(&engine, "/api/generate", &short).await.collect().await;
    wait::until_within("the node asks for it again", LONG, || loads() > first + 1).await;
}

/// A frontend of the backend `b1` that wants these in memory.
fn preloading(models: &[&str]) -> Frontend {
    wanting("PreloadModels", models)
}

/// Waits until the node has loaded the model and has seen for itself that it stays in memory.
async fn until_preloaded(node: &Node, model: &str) {
    wait::until_answered_within(&format!("{model} is preloaded"), LONG, async || {
        let cell = cell(node, model, "b1").await;
        let running = [("kind", "load"), ("state", "running")];
        let running = node.metrics().await.sum("ollamaflow_model_works", &running);
        let is_settled = cell["Loaded"] == true && cell["Reason"].is_null() && running == Some(0.0);
        if is_settled { Ok(()) } else { Err(format!("{cell}, loads: {running:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_model_that_is_to_leave_memory_soon_is_kept_there_as_long_as_it_is_there() {
    let registry = registry();
    let engine = engine(&registry, &["m"]);
    engine.knobs(|knobs| knobs.max_keep_alive_s = Some(60));
    let node = started(preloading(&["m"]), &engine).await;
    let cell = until_told(&node, "m:latest", "b1", "leaves it earlier than it was told to").await;
    assert_eq!(cell["Loaded"], true, "{cell}");
    assert_eq!(node.metrics().await.sum("ollamaflow_models_missing", &[]), Some(0.0));
    let keeps = || engine.requests_to("/api/generate").len();
    wait::until_within("it is kept three times more", LONG, || keeps() > 3).await;
    assert_eq!((engine.stats().loads, engine.loaded_models().len()), (1, 1));
}

/// What the matrix says of these models, by name.
async fn reasons(node: &Node, models: &[&str]) -> Vec<(String, Value)> {
    let mut reasons = Vec::new();
    for model in models {
        reasons.push((
            (*model).to_owned(),
            cell(node, &format!("{model}:latest"), "b1").await["Reason"].clone(),
        ));
    }
    reasons
}

/// Waits until so many of the models are told to find no place in memory.
async fn until_crowded(node: &Node, models: &[&str], count: usize) {
    wait::until_answered(&format!("{count} find no place"), async || {
        let reasons = reasons(node, models).await;
        let is_crowded =
            |reason: &Value| reason.as_str().is_some_and(|it| it.contains("does not fit beside"));
        let crowded = reasons.iter().filter(|(_, reason)| is_crowded(reason)).count();
        let settled = reasons.iter().filter(|(_, reason)| reason.is_null()).count();
        if crowded == count && crowded + settled == models.len() {
            Ok(())
        } else {
            Err(format!("{reasons:?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn models_to_be_preloaded_that_do_not_fit_together_do_not_drive_each_other_out() {
    const MODELS: [&str; 5] = ["p1", "p2", "p3", "p4", "p5"];
    let registry = registry();
    let engine = engine(&registry, &MODELS);
    engine.knobs(|knobs| knobs.max_loaded_models = 3);
    let node = started(preloading(&MODELS), &engine).await;
    until_crowded(&node, &MODELS, 2).await;
    let (loads, evictions) = (engine.stats().loads, engine.stats().evictions);
    assert!(loads <= 8, "{loads} loads");
    let metrics = node.metrics().await;
    assert!(metrics.sum("ollamaflow_model_works", &[("kind", "load"), ("state", "waiting")]) >= Some(1.0));
    assert_eq!(metrics.sum("ollamaflow_models_missing", &[]), Some(2.0));
    // Five looks at memory later, each of which would have been a reason to load one.
    let looks = || engine.requests_to("/api/ps").len();
    let before = looks();
    wait::until_within("memory was looked into", LONG, || looks() > before + 5).await;
    assert_eq!((engine.stats().loads, engine.stats().evictions), (loads, evictions));
    // There is more room now, and somebody says so.
    engine.knobs(|knobs| knobs.max_loaded_models = 5);
    let (status, body) = node.admin("POST", "/v1.0/models/reconcile", None).await;
    assert_eq!(status, 202, "{body}");
    until_crowded(&node, &MODELS, 0).await;
    assert_eq!(engine.stats().loads, loads + 2);
}

#[tokio::test]
async fn clients_keep_their_model_in_memory_beside_more_to_be_preloaded_than_fits() {
    let registry = registry();
    let engine = engine(&registry, &["work", "p1", "p2", "p3"]);
    engine.knobs(|knobs| knobs.max_loaded_models = 2);
    let node = started(preloading(&["p1", "p2", "p3"]), &engine).await;
    let chat = json!({ "model": "work", "prompt": "x", "stream": false });
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        let answer = post_json(node.addr(), "/api/generate", &chat).await.collect().await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let loads = engine.stats().loads;
    assert!(loads <= 10, "{loads} loads in 20 s");
}

#[tokio::test]
async fn a_model_is_preloaded_with_the_options_with_which_requests_come() {
    let registry = registry();
    let engine = engine(&registry, &["m"]);
    let front = preloading(&["m"])
        .set("PinnedCompletionsProperties", json!({ "keep_alive": "30m", "options": { "num_ctx": 8192 } }));
    let own = b1(&engine).set("PinnedCompletionsProperties", json!({ "options": { "num_gpu": 20 } }));
    let node = Node::builder().frontend(front).backend(own).start().await;
    wait::until_within("the model is in memory", LONG, || !engine.loaded_models().is_empty()).await;
    assert_eq!(engine.loaded_models()[0].context_length, 8192);
    until_cell(&node, "m:latest", "b1", |cell| cell["Loaded"] == true).await;
    let message = json!({ "role": "user", "content": "hello" });
    let chat = json!({ "model": "m", "messages": [message], "stream": false });
    let answer = post_json(node.addr(), "/api/chat", &chat).await.collect().await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(engine.stats().loads, 1, "the request finds the model as it wants it");
}

#[tokio::test]
async fn a_model_that_is_kept_in_memory_keeps_the_context_that_a_client_has_asked_for() {
    let registry = registry();
    let engine = engine(&registry, &["m"]);
    let node = started(preloading(&["m"]), &engine).await;
    until_preloaded(&node, "m:latest").await;
    let own = json!({
        "model": "m", "prompt": "x", "stream": false, "keep_alive": "20s", "options": { "num_ctx": 8192 },
    });
    let before = engine.requests_to("/api/generate").len();
    post_json(&engine, "/api/generate", &own).await.collect().await;
    let loaded = engine.stats().loads;
    let kept = || engine.requests_to("/api/generate").len() > before + 1;
    wait::until_within("the node keeps it", LONG, kept).await;
    wait::until_eq("it keeps its context", || engine.loaded_models()[0].context_length, 8192).await;
    assert_eq!(engine.stats().loads, loaded);
}
