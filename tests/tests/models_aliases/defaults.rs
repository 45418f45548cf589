//! `DefaultModel`: the model of requests that name none.

use super::*;

/// Requests of each API without a model.
fn nameless() -> Vec<(&'static str, Value)> {
    let messages = json!([{ "role": "user", "content": "hello" }]);
    vec![
        ("/api/chat", json!({ "messages": messages, "stream": false })),
        ("/api/chat", json!({ "model": "", "messages": messages, "stream": false })),
        ("/api/chat", json!({ "model": null, "messages": messages, "stream": false })),
        ("/api/generate", json!({ "prompt": "hello", "stream": false })),
        ("/api/embed", json!({ "input": "hello" })),
        ("/v1/chat/completions", json!({ "messages": messages })),
        ("/v1/completions", json!({ "prompt": "hello" })),
        ("/v1/embeddings", json!({ "input": "hello" })),
        ("/v1/responses", json!({ "input": "hello" })),
        ("/v1/messages", json!({ "messages": messages, "max_tokens": 9 })),
    ]
}

/// Asks without a model at each path; answers show `shown`, and the backend is asked for `target`.
async fn check(node: &Node, backend: &SimulatedBackend, shown: &str, target: &str) {
    for (path, body) in nameless() {
        let answer = post(node, path, body.clone()).await;
        assert_eq!(answer.status(), 200, "{path} {body}: {}", answer.text());
        if let Some(model) = answer.json().get("model") {
            assert_eq!(model, shown, "{path} {body}");
        }
        assert_eq!(answer.header("x-ollamaflow-model"), Some(target), "{path} {body}");
        assert_eq!(last_posted(backend).json()["model"], target, "{path} {body}");
    }
}

#[tokio::test]
async fn a_request_without_a_model_gets_the_default() {
    let (native, engine) = (ollama(&[REAL]), vllm(&[REAL]));
    let node = Setup::new().frontend("DefaultModel", REAL).backend(&native).start().await;
    check(&node, &native, REAL, REAL).await;
    let node = Setup::new().frontend("DefaultModel", REAL).backend_with(&engine, openai).start().await;
    check(&node, &engine, REAL, REAL).await;
}

#[tokio::test]
async fn the_default_may_be_an_alias_which_is_resolved_in_one_step() {
    let (native, engine) = (ollama(&[REAL]), vllm(&[REAL]));
    let aliased = || {
        aliased()
            .frontend("DefaultModel", ASKED)
            .frontend("ModelAliases", json!({ "gpt-4o": REAL, REAL: "not this" }))
    };
    let node = aliased().backend(&native).start().await;
    check(&node, &native, ASKED, REAL).await;
    let node = aliased().backend_with(&engine, openai).start().await;
    check(&node, &engine, ASKED, REAL).await;
}

#[tokio::test]
async fn a_request_that_names_its_model_has_nothing_to_do_with_the_default() {
    let backend = ollama(&[REAL, "m"]);
    let node = Setup::new().frontend("DefaultModel", REAL).backend(&backend).start().await;
    let answer = ask(&node, chat("m", false)).await;
    assert_eq!((answer.status(), &answer.json()["model"]), (200, &json!("m")));
    assert_eq!(answer.header("x-ollamaflow-model"), None);
    assert_eq!(received(&backend, "/api/chat"), chat_body("m", false));
}

#[tokio::test]
async fn a_request_for_the_default_goes_where_that_is() {
    let (without, with) = (ollama(&["m"]), ollama(&[REAL]));
    let node = Setup::new().frontend("DefaultModel", REAL).backend(&without).backend(&with).start().await;
    wait_models(&node, REAL, &[("b1", false), ("b2", true)]).await;
    let body = json!({ "messages": [{ "role": "user", "content": "hello" }] });
    for _ in 0..4 {
        assert_eq!(served_by(&post(&node, "/api/chat", body.clone()).await), "b2");
    }
    assert_eq!(without.stats().received(), 0);
    let explained = explain(&node, &body).await;
    assert_eq!(
        (&explained["DefaultModel"], &explained["Alias"]),
        (&json!(true), &Value::Null),
        "{explained}"
    );
    assert_eq!(explained["Chosen"], "b2", "{explained}");
    assert_eq!(candidate(&explained, "b2")["Model"], REAL, "{explained}");
}
