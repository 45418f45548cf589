//! Models that are to be in memory.

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
    let _node = started(wanting("PreloadModels", &["m"]), &engine).await;
    let loads = || engine.requests_to("/api/generate").len();
    wait::until_within("the model is in memory", LONG, || !engine.loaded_models().is_empty()).await;
    let first = loads();
    // A client's own wish makes it leave within the two minutes before which it is kept anew.
    let short = json!({ "model": "m", "keep_alive": "90s", "stream": false });
    ollamaflow_tests::client::post_json(&engine, "/api/generate", &short).await.collect().await;
    wait::until_within("the node asks for it again", LONG, || loads() > first + 1).await;
}
