//! Who is let in, and what becomes of the key.

use super::*;

/// One request of each API, with where its sentence is in an error.
fn requests() -> Vec<(Request, &'static str)> {
    let messages = json!([{ "role": "user", "content": "hello" }]);
    let body = json!({ "model": "qwen", "messages": messages, "max_tokens": 5, "stream": false });
    vec![
        (Request::post("/api/chat").json(&body), "/error"),
        (Request::post("/v1/chat/completions").json(&body), "/error/message"),
        (Request::post("/v1/messages").json(&body), "/error/message"),
    ]
}

#[tokio::test]
async fn without_a_key_every_api_says_so_in_its_own_words() {
    let backend = engine();
    let node = demanding(&backend).await;
    make(&node, "k", json!({})).await;
    for (request, place) in requests() {
        let answer = ask(&node, request.clone()).await;
        let body = expect(&answer, 401);
        assert!(
            body.pointer(place).unwrap().as_str().unwrap().starts_with("a key is required here"),
            "{body}"
        );
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"ollamaflow\""));
        for wrong in [request.clone().bearer("sk-of-wrong"), request.header("x-api-key", "sk-of-wrong")] {
            let answer = ask(&node, wrong).await;
            let body = expect(&answer, 401);
            assert!(body.pointer(place).unwrap().as_str().unwrap().contains("not known here"), "{body}");
            assert!(answer.header("www-authenticate").unwrap().contains("invalid_token"));
        }
    }
    let openai = ask(&node, requests().remove(1).0).await.json();
    assert_eq!(openai["error"]["type"], "authentication_error", "{openai}");
    let anthropic = ask(&node, requests().remove(2).0).await.json();
    assert_eq!(
        (&anthropic["type"], &anthropic["error"]["type"]),
        (&json!("error"), &json!("authentication_error"))
    );
    assert!(backend.requests_to("/api/chat").is_empty() && backend.requests_to("/v1/").is_empty());
    assert_eq!(ask(&node, Request::get("/")).await.status(), 200, "probes of clients need none");
}

#[tokio::test]
async fn a_key_is_taken_wherever_clients_put_it_and_goes_no_further() {
    let backend = engine();
    let node = demanding(&backend).await;
    let (key, other) = (make(&node, "k", json!({})).await, make(&node, "k2", json!({})).await);
    assert!(key.starts_with("sk-of-") && key.len() == 6 + 64, "{key}");
    for (request, _) in requests() {
        for shown in [
            request.clone().bearer(&key),
            request.clone().header("x-api-key", &key),
            request.clone().header("authorization", &format!("bearer  {key}")),
            request.clone().bearer(&key).header("x-api-key", &other),
            request.clone().bearer("of-the-backend").bearer(&key),
        ] {
            expect(&ask(&node, shown).await, 200);
        }
    }
    expect(&ask(&node, Request::get("/api/tags").bearer(&key)).await, 200);
    for request in backend.requests() {
        let sent = format!("{request:?}");
        assert!(!sent.contains(&key) && !sent.contains(&other), "{sent}");
    }
}

#[tokio::test]
async fn a_frontend_that_demands_none_counts_a_key_and_passes_on_what_is_none() {
    let backend = engine();
    let node = Setup::new().backend(&backend).start().await;
    let key = make(&node, "k", json!({})).await;
    expect(&ask(&node, chat("qwen")).await, 200);
    expect(&ask(&node, chat("qwen").bearer("of-the-backend").header("x-api-key", "theirs")).await, 200);
    expect(&ask(&node, chat("qwen").bearer(&key).header("x-api-key", "theirs")).await, 200);
    let got = backend.requests_to("/api/chat");
    let shown: Vec<_> = got.iter().map(|it| (it.header("authorization"), it.header("x-api-key"))).collect();
    assert_eq!(
        shown,
        [(None, None), (Some("Bearer of-the-backend"), Some("theirs")), (None, Some("theirs"))]
    );
    until_used(&node, "?key=k", 1).await;
}

#[tokio::test]
async fn what_looks_like_a_key_goes_no_further_though_it_is_none_any_more() {
    let backend = engine();
    let node = Setup::new().backend(&backend).start().await;
    // Before there is any key, and with another one.
    for id in ["k1", "k2"] {
        let lost = "sk-of-0123456789abcdef0123456789abcdef";
        expect(&ask(&node, chat("qwen").bearer(lost).header("x-api-key", lost)).await, 200);
        make(&node, id, json!({})).await;
    }
    for request in backend.requests_to("/api/chat") {
        assert_eq!((request.header("authorization"), request.header("x-api-key")), (None, None));
    }
}

#[tokio::test]
async fn the_admin_token_is_no_key_and_a_key_is_no_admin_token() {
    let backend = engine();
    let node = demanding(&backend).await;
    let key = make(&node, "k", json!({})).await;
    expect(&ask(&node, chat("qwen").bearer(ADMIN_TOKEN)).await, 401);
    expect(&ask(&node, Request::get("/v1.0/keys").bearer(&key)).await, 401);
}

#[tokio::test]
async fn a_key_that_is_off_expired_or_deleted_lets_nobody_in() {
    let backend = engine();
    let node = demanding(&backend).await;
    let key = make(&node, "k", json!({})).await;
    let asked = || chat("qwen").bearer(&key);
    expect(&ask(&node, asked()).await, 200);
    change(&node, "k", &json!({ "Active": false })).await;
    let answer = until_status(&node, 401, asked).await;
    assert_eq!(answer.json()["error"], "this key is switched off");
    change(&node, "k", &json!({ "Active": true, "ExpiresUtc": "2020-01-01" })).await;
    wait::until_answered("the key has expired", async || {
        let answer = ask(&node, asked()).await;
        if answer.json()["error"] == "this key has expired" { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    change(&node, "k", &json!({ "ExpiresUtc": "2999-01-01" })).await;
    until_status(&node, 200, asked).await;
    expect(&ask(&node, admin("DELETE", "/v1.0/keys/k")).await, 204);
    let answer = until_status(&node, 401, asked).await;
    assert!(answer.json()["error"].as_str().unwrap().contains("not known here"));
}

#[tokio::test]
async fn a_key_is_for_its_frontends_and_operations() {
    let backend = engine();
    let node = demanding(&backend).await;
    let other = json!({ "Identifier": "g", "Hostname": "g.test" });
    expect(&ask(&node, admin("PUT", "/v1.0/frontends").json(&other)).await, 201);
    let elsewhere = make(&node, "elsewhere", json!({ "Frontends": ["g"] })).await;
    let embeds = make(&node, "embeds", json!({ "Operations": ["Embeddings"] })).await;
    for (request, place) in requests() {
        let body = expect(&ask(&node, request.clone().bearer(&elsewhere)).await, 403);
        assert_eq!(body.pointer(place).unwrap(), "this key is not for frontend 'f'", "{body}");
        let body = expect(&ask(&node, request.bearer(&embeds)).await, 403);
        assert_eq!(body.pointer(place).unwrap(), "this key is not for completions", "{body}");
    }
    let embed = Request::post("/api/embed").json(&json!({ "model": "qwen", "input": "x" }));
    expect(&ask(&node, embed.bearer(&embeds)).await, 200);
    expect(&ask(&node, Request::get("/api/tags").bearer(&embeds)).await, 403);
}
