//! Which models a key is for.

use super::*;

/// A node with an alias to a model of each family, and a key for one of them.
async fn scoped(backend: &SimulatedBackend) -> (Node, String) {
    let aliases = json!({ "small": "llama3:8b", "llama3:fast": "qwen", "llama3:good": "llama3:70b" });
    let setup = Setup::new().frontend("RequireKey", true).frontend("ModelAliases", aliases);
    let node = setup.frontend("AllowModelManagement", true).backend(backend).start().await;
    wait::until_answered("models are known", async || {
        let answer = ask(&node, Request::get("/v1.0/models").bearer(ADMIN_TOKEN)).await;
        if answer.text().contains("llama3:8b") { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    let key = make(&node, "k", json!({ "Models": ["llama3*", "LLAMA3:8b"] })).await;
    (node, key)
}

#[tokio::test]
async fn neither_the_name_nor_what_it_stands_for_gets_around_the_key() {
    let backend = engine();
    let (node, key) = scoped(&backend).await;
    for (model, status) in [
        ("llama3:8b", 200),
        ("LLAMA3:70B", 200),
        ("llama3:good", 200),
        // The name is not among those of the key, though its target is.
        ("small", 403),
        // The name is, and its target is not.
        ("llama3:fast", 403),
        ("qwen", 403),
    ] {
        let answer = ask(&node, chat(model).bearer(&key)).await;
        let body = expect(&answer, status);
        if status == 403 {
            assert_eq!(body["error"], format!("this key is not for model '{model}'"));
        }
    }
    assert_eq!(backend.requests_to("/api/chat").len(), 3);
}

#[tokio::test]
async fn a_body_that_readers_take_differently_is_refused() {
    let backend = engine();
    let (node, key) = scoped(&backend).await;
    let post = |path: &str, body: &str| {
        let request = Request::post(path).header("content-type", "application/json");
        request.body(body.to_owned()).bearer(&key)
    };
    let messages = r#""messages":[{"role":"user","content":"hello"}],"stream":false"#;
    let padding = " ".repeat(2 * 1024 * 1024);
    for (path, body) in [
        ("/api/chat", format!(r#"{{"model":"llama3:8b","model":"qwen",{messages}}}"#)),
        ("/api/chat", format!(r#"{{"model":"llama3:8b","Model":"qwen",{messages}}}"#)),
        ("/v1/chat/completions", format!(r#"{{"model":"llama3:8b","MODEL":"qwen",{messages}}}"#)),
        ("/v1/chat/completions", format!(r#"{{"model":"llama3:8b",{messages}{padding},"model":"qwen"}}"#)),
        ("/api/chat", format!(r#"{{"model":"llama3:8b",{messages}"#)),
        ("/api/chat", format!("{{{messages}}}")),
        ("/v1/rerank", r#"{"query":"x"}"#.to_owned()),
        ("/api/show", r#"{"model":"llama3:8b","name":"qwen"}"#.to_owned()),
        ("/api/copy", r#"{"source":"qwen","destination":"llama3:mine"}"#.to_owned()),
        ("/api/create", r#"{"model":"llama3:mine","from":"qwen"}"#.to_owned()),
        ("/api/pull", r#"{"model":"mistral"}"#.to_owned()),
    ] {
        let answer = ask(&node, post(path, &body)).await;
        assert_eq!(answer.status(), 403, "{path} {}: {}", &body[..body.len().min(99)], answer.text());
    }
    let posted: Vec<_> = backend.requests().into_iter().filter(|it| it.method == "POST").collect();
    assert!(posted.is_empty(), "{posted:?}");
    let long = format!(r#"{{"model":"llama3:8b",{messages}{padding}}}"#);
    expect(&ask(&node, post("/api/chat", &long)).await, 200);
}

#[tokio::test]
async fn lists_have_only_what_the_key_is_for() {
    let backend = engine();
    let (node, key) = scoped(&backend).await;
    let all = make(&node, "all", json!({})).await;
    let names = |body: &Value| -> Vec<String> {
        let (list, name) =
            if body["data"].is_array() { (&body["data"], "id") } else { (&body["models"], "name") };
        let mut names: Vec<_> =
            list.as_array().unwrap().iter().map(|it| it[name].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    expect(&ask(&node, chat("llama3:8b").bearer(&all)).await, 200);
    expect(&ask(&node, chat("qwen").bearer(&all)).await, 200);
    for path in ["/api/tags", "/v1/models"] {
        let listed = ask(&node, Request::get(path).bearer(&key)).await;
        assert_eq!(names(&expect(&listed, 200)), ["llama3:70b", "llama3:8b", "llama3:good"], "{path}");
        let full = ask(&node, Request::get(path).bearer(&all)).await;
        assert_eq!(names(&expect(&full, 200)).len(), 6, "{path}");
        assert_ne!(listed.header("etag"), full.header("etag"));
    }
    let loaded = names(&expect(&ask(&node, Request::get("/api/ps").bearer(&key)).await, 200));
    assert!(loaded.contains(&"llama3:8b".to_owned()) && !loaded.iter().any(|name| name.contains("qwen")));
    expect(&ask(&node, Request::get("/v1/models/llama3:8b").bearer(&key)).await, 200);
    expect(&ask(&node, Request::get("/v1/models/qwen").bearer(&key)).await, 403);
    change(&node, "k", &json!({ "Models": ["qwen"] })).await;
    wait::until_answered("the list follows the key", async || {
        let names = names(&ask(&node, Request::get("/api/tags").bearer(&key)).await.json());
        if names == ["qwen:latest"] || names == ["qwen"] { Ok(()) } else { Err(format!("{names:?}")) }
    })
    .await;
}

#[tokio::test]
async fn the_default_model_is_one_as_any_other() {
    let backend = engine();
    let setup = Setup::new().frontend("RequireKey", true).frontend("DefaultModel", "qwen");
    let node = setup.backend(&backend).start().await;
    let (llama, qwen) = (
        make(&node, "llama", json!({ "Models": ["llama3*"] })).await,
        make(&node, "q", json!({ "Models": ["qwen"] })).await,
    );
    let unnamed = Request::post("/api/generate").json(&json!({ "prompt": "x", "stream": false }));
    expect(&ask(&node, unnamed.clone().bearer(&llama)).await, 403);
    expect(&ask(&node, unnamed.bearer(&qwen)).await, 200);
}
