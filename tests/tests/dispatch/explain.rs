//! `POST /v1.0/frontends/{id}/explain`: which backends are candidates, why each other is not, and what would be chosen.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::objects::Backend;
use serde_json::{Value, json};

use crate::setup::{
    Setup, active_requests, candidate, explain, explain_request, occupy, wait_explained, wait_models,
};
use crate::{backend_of, chat, chat_body, ollama, ollama_having, vllm};

fn asks(path: &str, body: &Value) -> Request {
    Request::post(&format!("/v1.0/frontends/f/explain{path}")).json(body)
}

/// It is no candidate, and a reason is given, which is given back.
fn reason(explained: &Value, name: &str) -> String {
    let candidate = candidate(explained, name);
    assert_eq!(candidate["Candidate"], false, "{explained}");
    candidate["Reason"].as_str().unwrap_or_else(|| panic!("no reason: {explained}")).to_owned()
}

#[tokio::test]
async fn an_explanation_shows_all_backends_and_the_choice() {
    let (one, two) = (ollama(), ollama());
    let node = Setup::new()
        .backend_with(&one, |backend| {
            backend.set("Priority", 3).set("Weight", 7).set("MaxParallelRequests", 9)
        })
        .backend(&two)
        .start()
        .await;
    wait_models(&node, "m", &[("b1", true), ("b2", true)]).await;
    let _held = occupy(&node, &one, "b1", 2).await;
    wait_explained(&node, &chat_body("m", "x", false), "b1", "Loaded", &json!(true)).await;
    let explained = explain(&node, &chat_body("m", "x", true)).await;
    assert_eq!((&explained["Frontend"], &explained["Model"]), (&json!("f"), &json!("m:latest")));
    assert_eq!((&explained["Policy"], &explained["Chosen"]), (&json!("RoundRobin"), &json!("b2")));
    assert_eq!(explained["Wait"], false);
    assert!(explained["Operation"].is_string() && explained["Decision"].is_string(), "{explained}");
    assert_eq!(explained["Candidates"].as_array().unwrap().len(), 2);
    let one = candidate(&explained, "b1");
    assert_eq!((&one["InFlight"], &one["MaxParallelRequests"]), (&json!(2), &json!(9)));
    assert_eq!((&one["Priority"], &one["Weight"]), (&json!(3), &json!(7)));
    assert_eq!((&one["Loaded"], &one["HasModel"]), (&json!(true), &json!(true)));
    assert!(one["BreakerState"].as_str().unwrap().eq_ignore_ascii_case("closed"), "{one}");
    let two = candidate(&explained, "b2");
    assert_eq!(
        (&two["Candidate"], &two["Reason"], &two["InFlight"]),
        (&json!(true), &Value::Null, &json!(0))
    );
}

#[tokio::test]
async fn each_backend_that_is_no_candidate_has_a_reason_of_its_own() {
    let backends = [ollama(), ollama(), ollama(), ollama_having(&["other"]), ollama()];
    let [good, drains, forbids, lacks, unlabelled] = &backends;
    let labelled = |backend: Backend| backend.set("Labels", json!(["here"]));
    let node = Setup::new()
        .backend_with(good, labelled)
        .backend_with(drains, |backend| labelled(backend).set("State", "Draining"))
        .backend_with(forbids, |backend| labelled(backend).set("AllowCompletions", false))
        .backend_with(lacks, labelled)
        .backend(unlabelled)
        .start()
        .await;
    wait_models(&node, "m", &[("b1", true), ("b4", false)]).await;
    let request = asks("", &chat_body("m", "x", false)).header("X-OllamaFlow-Label", "here");
    let explained = explain_request(&node, request).await;
    assert_eq!(explained["Chosen"], "b1", "{explained}");
    let mut reasons: Vec<String> =
        ["b2", "b3", "b4", "b5"].iter().map(|name| reason(&explained, name)).collect();
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons.len(), 4, "{reasons:?}");
}

#[tokio::test]
async fn with_nobody_to_choose_nothing_is_chosen() {
    let backend = ollama();
    let node = Setup::new().backend(&backend).start().await;
    let request = asks("", &chat_body("m", "x", false)).header("X-OllamaFlow-Label", "nobody");
    let explained = explain_request(&node, request).await;
    assert_eq!(explained["Chosen"], Value::Null);
    reason(&explained, "b1");
}

#[tokio::test]
async fn an_explanation_takes_no_permit_and_no_turn() {
    let (one, two) = (ollama(), ollama());
    let node = Setup::new().capped(&one, 1).capped(&two, 1).start().await;
    for _ in 0..3 {
        let explained = explain(&node, &chat_body("m", "x", false)).await;
        let again = explain(&node, &chat_body("m", "x", false)).await;
        assert_eq!(explained["Chosen"], again["Chosen"]);
        assert_eq!(active_requests(&node).await, [0, 0]);
        assert_eq!(backend_of(&node, chat(false)).await, explained["Chosen"].as_str().unwrap());
    }
    assert_eq!(one.stats().received() + two.stats().received(), 3);
}

#[tokio::test]
async fn full_backends_make_it_a_wait() {
    let backend = ollama();
    let node = Setup::new().capped(&backend, 1).start().await;
    let _held = occupy(&node, &backend, "b1", 1).await;
    let explained = explain(&node, &chat_body("m", "x", false)).await;
    assert_eq!(explained["Wait"], true, "{explained}");
}

#[tokio::test]
async fn the_path_can_be_told_and_is_guessed_from_the_body_otherwise() {
    let (no_embeddings, engine) = (ollama(), vllm());
    let node = Setup::new()
        .backend_with(&no_embeddings, |backend| backend.set("AllowEmbeddings", false))
        .backend_with(&engine, Backend::openai)
        .start()
        .await;
    let of = async |path: &str, body: Value| {
        let explained = explain_request(&node, asks(path, &body)).await;
        let b1 = candidate(&explained, "b1")["Candidate"].clone();
        let b2 = candidate(&explained, "b2")["Candidate"].clone();
        (b1, b2)
    };
    let expected = |one: bool, two: bool| (json!(one), json!(two));
    assert_eq!(of("", chat_body("m", "x", false)).await, expected(true, true));
    assert_eq!(of("", json!({ "model": "m", "prompt": "x" })).await, expected(true, true));
    assert_eq!(of("", json!({ "model": "m", "input": "x" })).await, expected(false, true));
    let v1 = of("?path=/v1/chat/completions", chat_body("m", "x", false)).await;
    assert_eq!(v1, expected(true, true));
    let v1 = of("?path=/v1/embeddings", json!({ "model": "m", "input": "x" })).await;
    assert_eq!(v1, expected(false, true));
}

#[tokio::test]
async fn what_cannot_be_explained_is_refused() {
    let backend = ollama();
    let node = Setup::new().backend(&backend).start().await;
    let (status, _) =
        node.admin("POST", "/v1.0/frontends/none/explain", Some(&chat_body("m", "x", false))).await;
    assert_eq!(status, 404);
    let (status, _) = node.admin("POST", "/v1.0/frontends/f/explain?path=/nope", Some(&json!({}))).await;
    assert_eq!(status, 400);
    let answer = asks("", &chat_body("m", "x", false)).send(node.addr()).await;
    assert_eq!(answer.status(), 401, "without a token");
}
