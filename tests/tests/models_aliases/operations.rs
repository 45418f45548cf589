//! Each path whose model is there to be used takes an alias; those that change what backends have do not.

use super::*;

/// The requests of each API that name a model in their body.
fn requests(model: &str) -> Vec<(&'static str, Value)> {
    let messages = json!([{ "role": "user", "content": "hello" }]);
    vec![
        ("/api/chat", json!({ "model": model, "messages": messages, "stream": false })),
        ("/api/generate", json!({ "model": model, "prompt": "hello", "stream": false })),
        ("/api/embed", json!({ "model": model, "input": "hello" })),
        ("/api/embeddings", json!({ "model": model, "prompt": "hello" })),
        ("/api/show", json!({ "name": model })),
        ("/v1/chat/completions", json!({ "model": model, "messages": messages })),
        ("/v1/completions", json!({ "model": model, "prompt": "hello" })),
        ("/v1/embeddings", json!({ "model": model, "input": "hello" })),
        ("/v1/responses", json!({ "model": model, "input": "hello" })),
        ("/v1/messages", json!({ "model": model, "messages": messages, "max_tokens": 9 })),
    ]
}

#[tokio::test]
async fn every_path_takes_an_alias_and_answers_by_the_name_that_the_client_used() {
    let backend = ollama(&[REAL]);
    let node = aliased().backend(&backend).start().await;
    for (path, body) in requests(ASKED) {
        let answer = post(&node, path, body).await;
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
        assert_eq!(answer.header("x-ollamaflow-model"), Some(REAL), "{path}");
        if let Some(model) = answer.json().get("model") {
            assert_eq!(model, ASKED, "{path}: {}", answer.text());
        }
        let got = last_posted(&backend);
        assert_eq!(got.path, path);
        let body = got.json();
        let names: Vec<&Value> = ["model", "name"].iter().filter_map(|key| body.get(key)).collect();
        assert!(!names.is_empty() && names.iter().all(|name| **name == REAL), "{path}: {}", got.text());
    }
}

#[tokio::test]
async fn every_path_takes_an_alias_where_it_is_translated() {
    let engine = vllm(&["Org/Model"]);
    let setup = Setup::new().frontend("ModelAliases", json!({ "gpt-4o": "org/model" }));
    let node = setup.backend_with(&engine, openai).start().await;
    wait_models(&node, "gpt-4o", &[("b1", true)]).await;
    for (path, body) in requests(ASKED) {
        let answer = post(&node, path, body).await;
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
        if let Some(model) = answer.json().get("model") {
            assert_eq!(model, ASKED, "{path}: {}", answer.text());
        }
        assert_eq!(answer.header("x-ollamaflow-model"), Some("Org/Model"), "{path}");
        // What describes a model is found in the list, which is asked for without a body.
        if path != "/api/show" {
            assert_eq!(last_posted(&engine).json()["model"], "Org/Model", "in its own spelling, {path}");
        }
    }
}

#[tokio::test]
async fn the_catalogue_of_openais_api_describes_the_target_under_the_name_that_was_asked_for() {
    let (native, engine) = (ollama(&[REAL]), vllm(&[REAL]));
    for (node, backend) in [
        (aliased().backend(&native).start().await, &native),
        (aliased().backend_with(&engine, openai).start().await, &engine),
    ] {
        let answer = ask(&node, Request::get("/v1/models/GPT%2D4o:latest")).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.json()["id"], ASKED, "{}", answer.text());
        assert_eq!(answer.header("x-ollamaflow-model"), None, "no backend was asked");
        assert!(backend.requests().iter().all(|request| !request.path.contains("4o")));
        let missing = ask(&node, Request::get("/v1/models/nothing")).await;
        assert_eq!((missing.status(), missing.header("x-ollamaflow-model")), (404, None));
    }
}

#[tokio::test]
async fn tokens_are_counted_for_an_alias_and_for_the_default() {
    let backend = ollama(&[REAL]);
    let node = aliased().frontend("DefaultModel", "gpt-4o").backend(&backend).start().await;
    let messages = json!([{ "role": "user", "content": "hello" }]);
    for body in [json!({ "model": ASKED, "messages": messages }), json!({ "messages": messages })] {
        let answer = post(&node, "/v1/messages/count_tokens", body).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert!(answer.json()["input_tokens"].as_u64() > Some(0), "{}", answer.text());
    }
}

#[tokio::test]
async fn what_changes_the_models_of_a_backend_names_real_ones() {
    let backend = ollama(&[REAL]);
    let node = aliased().frontend("DefaultModel", "gpt-4o").backend(&backend).start().await;
    for (method, path, body) in [
        ("POST", "/api/pull", json!({ "model": "gpt-4o", "stream": false })),
        ("POST", "/api/push", json!({ "model": "gpt-4o", "stream": false })),
        ("POST", "/api/create", json!({ "model": "gpt-4o", "from": REAL, "stream": false })),
        ("POST", "/api/copy", json!({ "source": "gpt-4o", "destination": "x" })),
        ("DELETE", "/api/delete", json!({ "model": "gpt-4o" })),
    ] {
        let answer = ask(&node, Request::new(method, path).json(&body)).await;
        assert_eq!(answer.header("x-ollamaflow-model"), None, "{path}: {}", answer.text());
        for request in backend.requests_to(path) {
            // Progress is always asked for as a stream.
            let (mut sent, mut written) = (request.json(), body.clone());
            for fields in [&mut sent, &mut written] {
                fields.as_object_mut().unwrap().remove("stream");
            }
            assert!(request.text().contains("gpt-4o") && sent == written, "{path}: {}", request.text());
        }
    }
}
