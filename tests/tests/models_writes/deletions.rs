//! Deleting models.

use ollamaflow_tests::client::Request;
use serde_json::json;

use crate::{answer, backends, delete, error, models, node_of, registry, setup, told};

#[tokio::test]
async fn a_model_is_deleted_at_every_backend_that_has_it() {
    let backends = backends::<3>(&registry(), &["m", "other"]);
    backends[1].remove_model("m");
    let node = node_of(&backends).await;
    let deleted = answer(node.addr(), delete("M:latest")).await;
    assert_eq!((deleted.status(), deleted.text().as_str()), (200, ""));
    assert_eq!(told(&deleted), "b1=done, b2=without, b3=done");
    assert!(backends.iter().all(|backend| models(backend) == ["other:latest"]));
}

#[tokio::test]
async fn the_next_list_does_not_show_it() {
    let backends = backends::<2>(&registry(), &["m"]);
    let node = node_of(&backends).await;
    assert_eq!(answer(node.addr(), delete("m")).await.status(), 200);
    let tags = answer(node.addr(), Request::get("/api/tags")).await.json();
    assert_eq!(tags["models"], json!([]));
}

#[tokio::test]
async fn what_nobody_has_is_not_found_in_the_words_of_a_backend() {
    let backends = backends::<2>(&registry(), &["m"]);
    let node = node_of(&backends).await;
    let answer = answer(node.addr(), delete("x")).await;
    assert_eq!((answer.status(), answer.json()), (404, json!({ "error": "model 'x' not found" })));
}

#[tokio::test]
async fn what_only_a_backend_has_that_is_down_now_is_not_said_to_be_nowhere() {
    let backends = backends::<2>(&registry(), &["m"]);
    backends[0].remove_model("m");
    let node = setup(&backends[..1])
        .backend_with(&backends[1], |backend| backend.set("UnhealthyThreshold", 1))
        .start()
        .await;
    ollamaflow_tests::wait::until_answered("the model is listed", async || {
        let tags = answer(node.addr(), Request::get("/api/tags")).await.text();
        if tags.contains("m:latest") { Ok(()) } else { Err(tags) }
    })
    .await;
    backends[1].stop();
    node.wait_unhealthy("b2").await;
    let answer = answer(node.addr(), delete("m")).await;
    assert_eq!(answer.status(), 503);
    assert!(error(&answer.json()).contains("b2, which is unhealthy"), "{}", answer.text());
}

#[tokio::test]
async fn what_another_frontend_requires_there_is_not_deleted() {
    let backends = backends::<2>(&registry(), &["m"]);
    let node = node_of(&backends).await;
    let other = json!({
        "Identifier": "other", "Hostname": "other", "Backends": ["b2"], "RequiredModels": ["m"]
    });
    assert_eq!(node.admin("PUT", "/v1.0/frontends", Some(&other)).await.0, 201);
    let refused = answer(node.addr(), delete("m")).await;
    assert_eq!(refused.status(), 409, "{}", refused.text());
    assert!(
        error(&refused.json()).contains("frontend 'other' requires 'm' of backend 'b2'"),
        "{}",
        refused.text()
    );
    assert!(backends.iter().all(|backend| models(backend) == ["m:latest"]));
    let nothing = json!({ "RequiredModels": [] });
    assert_eq!(node.admin("PUT", "/v1.0/frontends/other", Some(&nothing)).await.0, 200);
    assert_eq!(answer(node.addr(), delete("m")).await.status(), 200);
}
