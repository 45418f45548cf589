//! Models that are forbidden.

use super::*;

#[tokio::test]
async fn forbidden_models_are_deleted_only_if_the_frontend_says_so() {
    let registry = registry();
    let engine = engine(&registry, &["bad:1b", "bad:7b", "good"]);
    let front = wanting("ForbiddenModels", &["bad"]);
    let node = started(front.clone(), &engine).await;
    // A wish without a tag stands at `latest`.
    until_told(&node, "bad:latest", "b1", "not to be deleted").await;
    assert_eq!(engine.installed_models().len(), 3);
    let telling = front.set("DeleteForbiddenModels", true).json();
    let (status, body) = node.admin("PUT", "/v1.0/frontends/f", Some(&telling)).await;
    assert_eq!(status, 200, "{body}");
    wait::until_within("the forbidden ones are gone", LONG, || engine.installed_models() == ["good:latest"])
        .await;
    until_cell(&node, "bad:1b", "b1", Value::is_null).await;
}

#[tokio::test]
async fn what_one_frontend_requires_is_not_deleted_for_another() {
    let registry = registry();
    let engine = engine(&registry, &["m", "bad"]);
    let requiring = wanting("RequiredModels", &["m"]);
    let forbidding = frontend("g")
        .hostname("g")
        .backends(["b1"])
        .set("ForbiddenModels", json!(["m", "bad"]))
        .set("DeleteForbiddenModels", true);
    let node = Node::builder().frontend(requiring).frontend(forbidding).backend(b1(&engine)).start().await;
    until_told(&node, "m:latest", "b1", "it stays").await;
    wait::until_within("the other one is gone", LONG, || engine.installed_models() == ["m:latest"]).await;
}
