//! `/api/ps`: what is in the memory of any backend of a frontend.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::objects::Backend;
use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::wait;
use serde_json::json;

use crate::{ask, chat, chat_body, get, missing, names, ollama, vllm, wait_listed};

/// A chat that leaves its model in memory for so long.
fn chat_for(model: &str, keep_alive: &str) -> Request {
    let mut body = chat_body(model);
    body["keep_alive"] = json!(keep_alive);
    Request::post("/api/chat").json(&body)
}

#[tokio::test]
async fn models_that_requests_load_are_listed_from_all_backends() {
    let (one, two) = (ollama(&["a"]), ollama(&["b"]));
    let node = Setup::new().backend(&one).backend(&two).start().await;
    wait_listed(&node, "/api/tags", &["a:latest", "b:latest"]).await;
    wait_listed(&node, "/api/ps", &[]).await;
    assert_eq!(ask(&node, chat_for("a", "1h")).await.status(), 200);
    assert_eq!(ask(&node, chat_for("b", "2h")).await.status(), 200);
    let answer = wait_listed(&node, "/api/ps", &["a:latest", "b:latest"]).await;
    let models = answer.json()["models"].clone();
    assert_eq!(models[0]["name"], "b:latest", "what stays longest comes first: {models}");
    for model in models.as_array().unwrap() {
        assert!(
            model["size"].as_u64().unwrap() > 0 && model["context_length"].as_u64().unwrap() > 0,
            "{model}"
        );
        assert!(model["expires_at"].is_string(), "{model}");
    }
    assert!(answer.header("etag").is_some());
}

#[tokio::test]
async fn an_engine_of_openais_api_has_in_memory_what_it_serves() {
    let (native, other) = (ollama(&["m"]), vllm(&["Qwen/Q"]));
    let node = Setup::new().backend(&native).backend_with(&other, Backend::openai).start().await;
    assert_eq!(ask(&node, chat("m")).await.status(), 200);
    wait_listed(&node, "/api/ps", &["Qwen/Q", "m:latest"]).await;
}

#[tokio::test]
async fn what_has_expired_at_a_backend_that_is_down_is_listed_no_more() {
    let (one, two) = (ollama(&["a"]), ollama(&["b"]));
    let node =
        Setup::new().backend_with(&one, |own| own.set("UnhealthyThreshold", 1)).backend(&two).start().await;
    wait_listed(&node, "/api/tags", &["a:latest", "b:latest"]).await;
    assert_eq!(ask(&node, chat_for("a", "8s")).await.status(), 200);
    assert_eq!(ask(&node, chat_for("b", "1h")).await.status(), 200);
    wait_listed(&node, "/api/ps", &["a:latest", "b:latest"]).await;
    one.stop();
    node.wait_unhealthy("b1").await;
    let answer = wait_listed(&node, "/api/ps", &["b:latest"]).await;
    assert_eq!(missing(&answer), Some("b1"));
}

#[tokio::test]
async fn a_model_that_leaves_memory_leaves_the_list() {
    let backend = ollama(&["m"]);
    let node = Setup::new().backend(&backend).start().await;
    assert_eq!(ask(&node, chat_for("m", "1h")).await.status(), 200);
    wait_listed(&node, "/api/ps", &["m:latest"]).await;
    // Behind the node's back.
    let unload = json!({ "model": "m", "keep_alive": 0 });
    let answer = Request::post("/api/generate").json(&unload).send(backend.address()).await.collect().await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    wait::until("it is out of memory", || backend.loaded_models().is_empty()).await;
    wait_listed(&node, "/api/ps", &[]).await;
    assert!(names(&get(&node, "/api/tags").await).contains(&"m:latest".to_owned()), "it is on the disk");
}
