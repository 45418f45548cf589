//! Creating, copying and pushing: who has what it takes.

use ollamaflow_tests::simulated::sha256;
use serde_json::json;

use crate::{answer, backends, error, lines, models, node_of, post, registry, setup, success, told};

#[tokio::test]
async fn a_copy_is_made_by_every_backend_that_has_the_source() {
    let backends = backends::<3>(&registry(), &["m"]);
    backends[2].remove_model("m");
    let node = node_of(&backends).await;
    let copied = answer(node.addr(), post("/api/copy", &json!({ "source": "m", "destination": "n" }))).await;
    assert_eq!((copied.status(), copied.text().as_str()), (200, ""));
    assert_eq!(told(&copied), "b1=done, b2=done, b3=without");
    assert_eq!(models(&backends[1]), ["m:latest", "n:latest"]);
    let tags = answer(node.addr(), ollamaflow_tests::client::Request::get("/api/tags")).await.text();
    assert!(tags.contains("n:latest"), "{tags}");
}

#[tokio::test]
async fn a_copy_of_what_nobody_has_is_not_found() {
    let backends = backends::<2>(&registry(), &["m"]);
    let node = node_of(&backends).await;
    let copied = answer(node.addr(), post("/api/copy", &json!({ "source": "x", "destination": "n" }))).await;
    assert_eq!(copied.status(), 404);
    assert!(error(&copied.json()).contains("not found"), "{}", copied.text());
}

#[tokio::test]
async fn a_model_is_created_where_its_base_is_and_nobody_pulls_that() {
    let backends = backends::<2>(&registry(), &["m"]);
    backends[1].remove_model("m");
    let node = node_of(&backends).await;
    let create = post("/api/create", &json!({ "model": "made", "from": "m", "system": "be kind" }));
    let lines = lines(node.addr(), create).await;
    assert_eq!(lines[0], json!({ "status": "passed over: b2 is without" }));
    assert_eq!(lines.last(), Some(&success()));
    assert_eq!(
        (models(&backends[0]), models(&backends[1])),
        (vec!["m:latest".to_owned(), "made:latest".to_owned()], vec![])
    );
    let nowhere = answer(node.addr(), post("/api/create", &json!({ "model": "made", "from": "x" }))).await;
    assert_eq!((nowhere.status(), nowhere.json()), (404, json!({ "error": "model 'x' not found" })));
    assert!(backends.iter().all(|backend| backend.stats().pulls.is_empty()));
}

#[tokio::test]
async fn a_model_is_created_where_its_blobs_are() {
    let backends = backends::<2>(&registry(), &[]);
    let node = node_of(&backends).await;
    let digest = sha256("GGUF weights");
    let upload =
        ollamaflow_tests::client::Request::post(&format!("/api/blobs/{digest}")).body("GGUF weights");
    assert_eq!(upload.send(&backends[1]).await.status(), 201);
    let body = json!({ "model": "mine", "files": { "mine.gguf": digest }, "stream": false });
    let made = answer(node.addr(), post("/api/create", &body)).await;
    assert_eq!((made.status(), told(&made)), (200, "b2=done, b1=without"));
    assert_eq!((models(&backends[0]), models(&backends[1])), (vec![], vec!["mine:latest".to_owned()]));
}

#[tokio::test]
async fn a_push_goes_to_one_backend_that_has_the_model() {
    let backends = backends::<3>(&registry(), &["me/mine"]);
    backends[0].remove_model("me/mine");
    let node = node_of(&backends).await;
    let response = post("/api/push", &json!({ "model": "me/mine" })).send(node.addr()).await;
    assert_eq!(response.header("x-ollamaflow-decision"), Some("OneBackend; least in flight"));
    response.collect().await;
    let pushes = backends.each_ref().map(|backend| backend.requests_to("/api/push").len());
    assert_eq!((pushes[0], pushes[1] + pushes[2]), (0, 1));
    let missing = answer(node.addr(), post("/api/push", &json!({ "model": "x" }))).await;
    assert_eq!((missing.status(), missing.json()), (404, json!({ "error": "model 'x' not found" })));
}

#[tokio::test]
async fn what_the_frontend_forbids_is_neither_pulled_nor_copied_nor_created() {
    let backends = backends::<1>(&registry(), &["m"]);
    let node = setup(&backends).frontend("ForbiddenModels", json!(["new"])).start().await;
    for request in [
        crate::pull(),
        post("/api/copy", &json!({ "source": "m", "destination": "new:1b" })),
        post("/api/create", &json!({ "model": "new", "from": "m" })),
    ] {
        let answer = answer(node.addr(), request).await;
        assert_eq!(answer.status(), 403);
        assert!(error(&answer.json()).contains("ForbiddenModels"), "{}", answer.text());
    }
    assert_eq!(models(&backends[0]), ["m:latest"]);
}

#[tokio::test]
async fn a_body_without_a_model_is_refused_by_what_it_lacks() {
    let backends = backends::<1>(&registry(), &["m"]);
    let node = node_of(&backends).await;
    for (path, body, why) in [
        ("/api/pull", "{}", "model is required"),
        ("/api/push", r#"{"model":""}"#, "model is required"),
        ("/api/copy", r#"{"source":"m"}"#, "destination is required"),
        ("/api/pull", "", "missing request body"),
    ] {
        let request = ollamaflow_tests::client::Request::post(path).body(body);
        let answer = answer(node.addr(), request).await;
        assert_eq!((answer.status(), answer.json()), (400, json!({ "error": why })), "{path} {body}");
    }
}

#[tokio::test]
async fn what_would_leave_two_models_under_one_name_is_refused() {
    let backends = backends::<2>(&registry(), &["common", "m"]);
    backends[1].remove_model("m");
    let node = node_of(&backends).await;
    let copy = post("/api/copy", &json!({ "source": "m", "destination": "common" }));
    let create = post("/api/create", &json!({ "model": "common", "from": "m" }));
    let before = backends[0].digest_of("common");
    for request in [copy.clone(), create] {
        let refused = answer(node.addr(), request).await;
        assert_eq!(refused.status(), 409, "{}", refused.text());
        assert!(
            error(&refused.json()).contains("backends b2 have another model 'common'"),
            "{}",
            refused.text()
        );
    }
    assert_eq!(backends[0].digest_of("common"), before);
    let narrowed = copy.header("X-OllamaFlow-Backend-Filter", "b1");
    assert_eq!(answer(node.addr(), narrowed).await.status(), 200);
    assert_ne!(backends[0].digest_of("common"), before);
}
