//! `RequiredModels` after what clients have changed.

use std::time::Duration;

use ollamaflow_tests::simulated::PullFault;
use ollamaflow_tests::wait;
use serde_json::json;

use crate::{
    NEVER, answer, backends, delete, lines, models, node_of, post, property, pull, registry, setup, success,
};

#[tokio::test]
async fn a_pull_that_succeeds_adds_the_model_once() {
    let backends = backends::<2>(&registry(), &[]);
    let node = setup(&backends).frontend("RequiredModels", json!(["m"])).start().await;
    for _ in 0..2 {
        assert_eq!(lines(node.addr(), pull()).await.last(), Some(&success()));
        assert_eq!(property(&node, "RequiredModels").await, json!(["m", "new"]));
    }
    let whole = post("/api/pull", &json!({ "model": "more:1b", "stream": false }));
    let pulled = answer(node.addr(), whole).await;
    assert_eq!((pulled.status(), pulled.header("x-ollamaflow-unrecorded")), (200, None));
    assert_eq!(property(&node, "RequiredModels").await, json!(["m", "new", "more:1b"]));
}

#[tokio::test]
async fn a_pull_that_fails_adds_nothing() {
    let registry = registry();
    registry.fail("new", PullFault::NotFound);
    let backends = backends::<2>(&registry, &[]);
    let node = node_of(&backends).await;
    assert!(lines(node.addr(), pull()).await.last().unwrap()["error"].is_string());
    assert_eq!(property(&node, "RequiredModels").await, json!([]));
}

#[tokio::test]
async fn a_deletion_removes_the_model_from_what_is_required_and_preloaded() {
    let backends = backends::<2>(&registry(), &["m", "other"]);
    let node = setup(&backends)
        .frontend("RequiredModels", json!(["other", "M:latest"]))
        .frontend("PreloadModels", json!(["m"]))
        .start()
        .await;
    assert_eq!(answer(node.addr(), delete("m")).await.status(), 200);
    assert_eq!(property(&node, "RequiredModels").await, json!(["other"]));
    assert_eq!(property(&node, "PreloadModels").await, json!([]));
}

#[tokio::test]
async fn copies_and_creations_add_nothing() {
    let backends = backends::<1>(&registry(), &["m"]);
    let node = node_of(&backends).await;
    let copy = post("/api/copy", &json!({ "source": "m", "destination": "n" }));
    assert_eq!(answer(node.addr(), copy).await.status(), 200);
    let create = post("/api/create", &json!({ "model": "made", "from": "m" }));
    assert_eq!(lines(node.addr(), create).await.last(), Some(&success()));
    assert_eq!(models(&backends[0]).len(), 3);
    assert_eq!(property(&node, "RequiredModels").await, json!([]));
}

#[tokio::test]
async fn a_pull_that_cannot_be_recorded_says_so_and_is_a_success() {
    let backends = backends::<1>(&registry(), &[]);
    let full: Vec<String> = (0..1000).map(|number| format!("m{number}:1b")).collect();
    let node = setup(&backends).start().await;
    let (status, answer_text) =
        node.admin("PUT", "/v1.0/frontends/f", Some(&json!({ "RequiredModels": full }))).await;
    assert_eq!(status, 200, "{answer_text}");
    let streamed = lines(node.addr(), pull()).await;
    let told = &streamed[streamed.len() - 2]["status"];
    assert!(told.as_str().unwrap().contains("not added to RequiredModels"), "{told}");
    assert_eq!(streamed.last(), Some(&success()));
    let whole = answer(node.addr(), post("/api/pull", &json!({ "model": "new", "stream": false }))).await;
    assert_eq!((whole.status(), whole.json()), (200, success()));
    assert!(whole.header("x-ollamaflow-unrecorded").unwrap().contains("1000"));
}

#[tokio::test]
async fn a_deletion_ends_the_pull_that_was_begun_for_the_wish() {
    let registry = registry();
    registry.set_pace("new", 10, NEVER);
    let backends = backends::<2>(&registry, &[]);
    let node = setup(&backends).frontend("RequiredModels", json!(["new"])).start().await;
    let pulls = || backends.iter().map(|backend| backend.stats().pulls_of("new").at_once).sum::<u64>();
    wait::until("both pull", || pulls() == 2).await;
    assert_eq!(answer(node.addr(), delete("new")).await.status(), 404);
    assert_eq!(property(&node, "RequiredModels").await, json!([]));
    wait::until("nobody pulls", || pulls() == 0).await;
}

#[tokio::test]
async fn a_deletion_during_a_pull_is_not_undone_by_its_end() {
    let registry = registry();
    registry.set_pace("new", 10, Duration::from_millis(60));
    let backends = backends::<2>(&registry, &[]);
    let node = node_of(&backends).await;
    let pulling = || backends.iter().all(|backend| backend.stats().pulls_of("new").at_once == 1);
    let (pulled, deleted) = tokio::join!(lines(node.addr(), pull()), async {
        wait::until("both pull", pulling).await;
        answer(node.addr(), delete("new")).await
    });
    assert_eq!(pulled.last(), Some(&success()));
    assert_eq!(deleted.status(), 200, "{}", deleted.text());
    assert_eq!(property(&node, "RequiredModels").await, json!([]));
    assert!(backends.iter().all(|backend| models(backend).is_empty()));
    // A look of the reconciler later it is the same.
    let (status, plan) = node.admin("POST", "/v1.0/models/reconcile?plan=true", None).await;
    assert_eq!((status, &plan["Actions"]), (200, &json!([])), "{plan}");
}
