//! Who may change models.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::{Node, NodeBuilder};
use ollamaflow_tests::objects::Backend;
use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend};
use serde_json::json;

use crate::{answer, backends, delete, error, models, node_of, post, pull, registry, setup};

/// One request of each kind that takes the permission.
fn changes() -> Vec<Request> {
    let blob = format!("/api/blobs/sha256:{}", "ab".repeat(32));
    vec![
        pull(),
        delete("m"),
        post("/api/copy", &json!({ "source": "m", "destination": "n" })),
        post("/api/create", &json!({ "model": "n", "from": "m" })),
        post("/api/push", &json!({ "model": "m" })),
        Request::post(&blob).body("x"),
        post("/api/generate", &json!({ "model": "m", "keep_alive": 0 })),
        post("/api/chat", &json!({ "model": "m", "messages": [], "keep_alive": "0s" })),
    ]
}

#[tokio::test]
async fn without_permission_every_change_is_refused_by_the_name_of_the_property_and_no_backend_hears_of_it() {
    let backends = backends::<2>(&registry(), &["m"]);
    let node = setup(&backends).frontend("AllowModelManagement", false).start().await;
    for request in changes() {
        let answer = answer(node.addr(), request.clone()).await;
        assert_eq!(answer.status(), 403, "{request:?}");
        assert!(error(&answer.json()).contains("AllowModelManagement"), "{}", answer.text());
    }
    let head = Request::new("HEAD", &format!("/api/blobs/sha256:{}", "ab".repeat(32)));
    assert_eq!(answer(node.addr(), head).await.status(), 403);
    for backend in &backends {
        let changing = ["/api/pull", "/api/delete", "/api/copy", "/api/create", "/api/push", "/api/blobs"];
        assert!(changing.iter().all(|path| backend.requests_to(path).is_empty()));
        assert!(
            backend.requests_to("/api/generate").is_empty() && backend.requests_to("/api/chat").is_empty()
        );
    }
}

#[tokio::test]
async fn without_permission_a_load_is_a_request_like_any_other() {
    let backends = backends::<2>(&registry(), &["m"]);
    let node = setup(&backends).frontend("AllowModelManagement", false).start().await;
    let answer = answer(node.addr(), post("/api/generate", &json!({ "model": "m" }))).await;
    assert_eq!((answer.status(), &answer.json()["done_reason"]), (200, &json!("load")));
    let loads: usize = backends.iter().map(|backend| backend.loaded_models().len()).sum();
    assert_eq!(loads, 1);
}

#[tokio::test]
async fn clients_of_a_node_that_listens_on_the_loopback_only_may() {
    let backends = backends::<1>(&registry(), &["m"]);
    let node = node_of(&backends).await;
    assert_eq!(answer(node.addr(), delete("m")).await.status(), 200);
}

#[tokio::test]
async fn clients_of_a_node_that_others_reach_may_only_if_the_frontend_says_so() {
    let backends = backends::<1>(&registry(), &["m"]);
    for (allowed, status) in [(None, 403), (Some(true), 200)] {
        let (frontend, objects) = setup(&backends).objects();
        let frontend = match allowed {
            Some(allowed) => frontend.set("AllowModelManagement", allowed),
            None => frontend,
        };
        let builder = Node::builder().arg("--listen").arg("0.0.0.0:0").frontend(frontend);
        let node = objects.into_iter().fold(builder, NodeBuilder::backend).start().await;
        node.wait_healthy(&["b1"]).await;
        assert_eq!(answer(node.addr(), delete("m")).await.status(), status);
    }
}

#[tokio::test]
async fn a_frontend_without_a_backend_that_can_says_so() {
    let engine = SimulatedBackend::start(SimConfig::openai(["m"]));
    let node = Setup::new().backend_with(&engine, Backend::openai).start().await;
    for request in [pull(), delete("m")] {
        let answer = answer(node.addr(), request).await;
        assert_eq!(answer.status(), 400);
        assert!(
            error(&answer.json()).contains("no backend of frontend 'f' can manage models"),
            "{}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn pages_of_other_sites_may_change_nothing_unless_they_are_let() {
    let backends = backends::<1>(&registry(), &["m", "other"]);
    let node = node_of(&backends).await;
    for foreign in ["https://evil.example", "null"] {
        for request in changes() {
            let answer = answer(node.addr(), request.header("Origin", foreign)).await;
            assert_eq!(answer.status(), 403, "{foreign}");
        }
    }
    assert_eq!(models(&backends[0]), ["m:latest", "other:latest"]);
    let own = delete("m").header("Origin", "http://localhost:3000");
    assert_eq!(answer(node.addr(), own).await.status(), 200);
    let allowing = setup(&backends).frontend("AllowModelManagement", true).start().await;
    let let_in = delete("other").header("Origin", "https://dashboard.example");
    assert_eq!(answer(allowing.addr(), let_in).await.status(), 200);
}
