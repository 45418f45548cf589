//! Clients of Ollama's API before engines of `OpenAI`'s.

use ollamaflow_tests::client::Request;
use serde_json::json;

use crate::{TEXT, ask, before_openai, calls_weather, lines, post, tools, vllm};

#[tokio::test]
async fn a_chat_is_answered_as_a_whole() {
    let backend = vllm();
    let node = before_openai(&backend).await;
    let body = json!({
        "model": "m", "stream": false,
        "messages": [{ "role": "system", "content": "be brief" }, { "role": "user", "content": "hello" }],
        "options": { "temperature": 0.5, "num_predict": 100, "stop": ["x"] },
    });
    let answer = post(&node, "/api/chat", body).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    let object = answer.json();
    assert_eq!(object["message"]["content"], TEXT);
    assert_eq!(
        (&object["model"], &object["done"], &object["done_reason"]),
        (&json!("m"), &json!(true), &json!("stop"))
    );
    assert_eq!(object["eval_count"], 22);
    let sent = backend.requests_to("/v1/chat/completions").pop().unwrap().json();
    assert_eq!(
        sent["messages"],
        json!([{ "role": "system", "content": "be brief" }, { "role": "user", "content": "hello" }])
    );
    assert_eq!(
        (&sent["temperature"], &sent["max_tokens"], &sent["stop"]),
        (&json!(0.5), &json!(100), &json!(["x"]))
    );
}

#[tokio::test]
async fn a_chat_is_streamed_token_by_token() {
    let backend = vllm();
    let node = before_openai(&backend).await;
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hello" }] });
    let answer = post(&node, "/api/chat", body).await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let objects = lines(&answer);
    let text: String = objects.iter().filter_map(|object| object["message"]["content"].as_str()).collect();
    assert_eq!(text, TEXT);
    assert!(objects.len() >= 22, "{}", objects.len());
    let last = objects.last().unwrap();
    assert_eq!((&last["done"], &last["eval_count"]), (&json!(true), &json!(22)));
    assert!(objects[..objects.len() - 1].iter().all(|object| object["done"] == json!(false)));
}

#[tokio::test]
async fn tools_go_as_they_are_and_their_calls_come_back_whole() {
    let backend = vllm();
    calls_weather(&backend);
    let node = before_openai(&backend).await;
    for stream in [false, true] {
        let body = json!({ "model": "m", "stream": stream, "tools": tools(),
            "messages": [{ "role": "user", "content": "weather in Paris?" }] });
        let objects = lines(&post(&node, "/api/chat", body).await);
        let calls: Vec<_> =
            objects.iter().filter(|object| !object["message"]["tool_calls"].is_null()).collect();
        assert_eq!(calls.len(), 1, "stream {stream}: {objects:?}");
        let function = &calls[0]["message"]["tool_calls"][0]["function"];
        assert_eq!(
            (&function["name"], &function["arguments"]),
            (&json!("weather"), &json!({ "city": "Paris" }))
        );
        let sent = backend.requests_to("/v1/chat/completions").pop().unwrap();
        assert!(sent.text().contains(&tools().to_string()), "byte for byte: {}", sent.text());
    }
    let history = json!({ "model": "m", "stream": false, "messages": [
        { "role": "user", "content": "weather in Paris?" },
        { "role": "assistant", "content": "", "tool_calls": [{ "function": { "name": "weather", "arguments": { "city": "Paris" } } }] },
        { "role": "tool", "tool_name": "weather", "content": "sunny" },
    ] });
    assert_eq!(post(&node, "/api/chat", history).await.status(), 200);
    let sent = backend.requests_to("/v1/chat/completions").pop().unwrap().json();
    let call = &sent["messages"][1]["tool_calls"][0];
    assert_eq!(call["function"]["arguments"], "{\"city\":\"Paris\"}");
    assert_eq!(sent["messages"][2]["tool_call_id"], call["id"]);
}

#[tokio::test]
async fn thoughts_come_as_thinking() {
    let backend = vllm();
    backend.knobs(|knobs| knobs.thinking = Some("hm".to_owned()));
    let node = before_openai(&backend).await;
    let body = json!({ "model": "m", "think": true, "messages": [{ "role": "user", "content": "hello" }] });
    let objects = lines(&post(&node, "/api/chat", body).await);
    let thinking: String =
        objects.iter().filter_map(|object| object["message"]["thinking"].as_str()).collect();
    assert_eq!(thinking, "hm");
}

#[tokio::test]
async fn images_go_as_parts_with_their_media_type() {
    let backend = vllm();
    let node = before_openai(&backend).await;
    let png =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let body = json!({ "model": "m", "stream": false,
        "messages": [{ "role": "user", "content": "what is this?", "images": [png] }] });
    assert_eq!(post(&node, "/api/chat", body).await.status(), 200);
    let sent = backend.requests_to("/v1/chat/completions").pop().unwrap().json();
    assert_eq!(
        sent["messages"][0]["content"],
        json!([
            { "type": "text", "text": "what is this?" },
            { "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{png}") } },
        ])
    );
}

#[tokio::test]
async fn a_generate_becomes_a_chat_and_a_raw_one_a_completion() {
    let backend = vllm();
    let node = before_openai(&backend).await;
    let body = json!({ "model": "m", "system": "be brief", "prompt": "hello" });
    let objects = lines(&post(&node, "/api/generate", body).await);
    let text: String = objects.iter().filter_map(|object| object["response"].as_str()).collect();
    assert_eq!(text, TEXT);
    assert_eq!(objects.last().unwrap()["done_reason"], "stop");
    let sent = backend.requests_to("/v1/chat/completions").pop().unwrap().json();
    assert_eq!(
        sent["messages"],
        json!([{ "role": "system", "content": "be brief" }, { "role": "user", "content": "hello" }])
    );

    let body = json!({ "model": "m", "prompt": "hello", "raw": true, "stream": false });
    let answer = post(&node, "/api/generate", body).await;
    assert_eq!(answer.json()["response"], TEXT, "{}", answer.text());
    assert_eq!(backend.requests_to("/v1/completions").pop().unwrap().json()["prompt"], "hello");
}

#[tokio::test]
async fn what_loads_or_unloads_a_model_is_answered_without_the_backend() {
    let backend = vllm();
    let node = before_openai(&backend).await;
    for (path, body, reason) in [
        ("/api/generate", json!({ "model": "m" }), "load"),
        ("/api/generate", json!({ "model": "m", "prompt": "", "keep_alive": 0 }), "unload"),
        ("/api/chat", json!({ "model": "m", "messages": [] }), "load"),
        ("/api/chat", json!({ "model": "m", "messages": [], "keep_alive": 0 }), "unload"),
    ] {
        let answer = post(&node, path, body).await;
        let object = answer.json();
        assert_eq!(
            (&object["done"], &object["done_reason"]),
            (&json!(true), &json!(reason)),
            "{}",
            answer.text()
        );
        assert_eq!(answer.header("x-ollamaflow-translation"), Some("answered here"));
    }
    assert_eq!(
        post(&node, "/api/embed", json!({ "model": "m", "input": [] })).await.json()["embeddings"],
        json!([])
    );
    assert!(backend.requests_to("/v1/chat").is_empty() && backend.requests_to("/v1/completions").is_empty());
    assert!(backend.requests_to("/v1/embeddings").is_empty());
}

#[tokio::test]
async fn embeddings_come_in_both_of_ollamas_forms() {
    let backend = vllm();
    let node = before_openai(&backend).await;
    let answer = post(&node, "/api/embed", json!({ "model": "m", "input": ["a", "b"] })).await;
    let object = answer.json();
    let vectors = object["embeddings"].as_array().unwrap();
    assert_eq!(vectors.len(), 2, "{}", answer.text());
    for vector in vectors {
        let length: f64 = vector.as_array().unwrap().iter().map(|x| x.as_f64().unwrap().powi(2)).sum();
        assert!((length - 1.0).abs() < 1e-3, "normalised: {length}");
    }
    let answer = post(&node, "/api/embeddings", json!({ "model": "m", "prompt": "a" })).await;
    assert!(!answer.json()["embedding"].as_array().unwrap().is_empty(), "{}", answer.text());
}

#[tokio::test]
async fn models_are_listed_shown_and_said_to_be_in_memory() {
    let backend = vllm();
    let node = before_openai(&backend).await;
    let tags = ask(&node, Request::get("/api/tags")).await.json();
    assert_eq!((&tags["models"][0]["name"], &tags["models"][0]["model"]), (&json!("m"), &json!("m")));
    assert_eq!(tags["models"][0]["digest"].as_str().unwrap().len(), 64);
    let ps = ask(&node, Request::get("/api/ps")).await.json();
    assert_eq!(ps["models"][0]["name"], "m");
    let show = post(&node, "/api/show", json!({ "model": "m" })).await;
    assert_eq!(show.status(), 200, "{}", show.text());
    assert!(show.json()["model_info"].is_object() && show.json()["details"].is_object());
    let missing = post(&node, "/api/show", json!({ "model": "nope" })).await;
    assert_eq!((missing.status(), missing.json()), (404, json!({ "error": "model 'nope' not found" })));
    let version = ask(&node, Request::get("/api/version")).await;
    assert_eq!(version.status(), 200);
    assert!(version.json()["version"].is_string());
    let head = ask(&node, Request::new("HEAD", "/api/tags")).await;
    assert_eq!((head.status(), head.text().as_str()), (200, ""));
}

#[tokio::test]
async fn an_ollama_and_an_openai_engine_share_the_work_of_one_frontend() {
    let (native, other) = (crate::ollama(), vllm());
    let node = ollamaflow_tests::setup::Setup::new()
        .backend(&native)
        .backend_with(&other, |own| own.set("ApiFormat", "OpenAI").set("HealthCheckUrl", "/health"))
        .start()
        .await;
    for _ in 0..4 {
        let body =
            json!({ "model": "m", "stream": false, "messages": [{ "role": "user", "content": "hello" }] });
        let answer = post(&node, "/api/chat", body).await;
        assert_eq!(answer.json()["message"]["content"], TEXT, "{}", answer.text());
    }
    assert_eq!(native.requests_to("/api/chat").len(), 2);
    assert_eq!(other.requests_to("/v1/chat/completions").len(), 2);
}

#[tokio::test]
async fn a_model_is_asked_for_by_the_name_that_the_engine_has_for_it() {
    let backend = vllm();
    let node = before_openai(&backend).await;
    let messages = json!([{ "role": "user", "content": "hello" }]);
    for name in ["m:latest", "M", "library/m"] {
        for (path, body, asked) in [
            ("/api/chat", json!({ "model": name, "messages": messages, "stream": false }), "/v1/chat"),
            ("/api/generate", json!({ "model": name, "prompt": "hello", "stream": false }), "/v1/chat"),
            ("/api/embed", json!({ "model": name, "input": "hello" }), "/v1/embeddings"),
        ] {
            // Until the list of models is read, names are passed on.
            ollamaflow_tests::wait::until_answered("the engine is asked for its own name", async || {
                let answer = post(&node, path, body.clone()).await;
                if answer.status() == 200 {
                    assert_eq!(answer.json()["model"], name, "the client sees its own");
                    return Ok(());
                }
                Err(answer.text())
            })
            .await;
            assert_eq!(backend.requests_to(asked).pop().unwrap().json()["model"], "m");
        }
    }
    let answer =
        post(&node, "/api/chat", json!({ "model": "m:7b", "messages": messages, "stream": false })).await;
    assert_eq!(answer.status(), 404, "another tag is another model: {}", answer.text());
}
