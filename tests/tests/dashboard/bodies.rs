//! The forms as the page sends them, key by key, and what an edit does to what its form does not know.

use ollamaflow_tests::node::Node;
use serde_json::{Value, json};

use crate::{
    answer, assert_holds, backend_form, expect, frontend_form, identifiers, message, put, shown, with_key,
    without,
};

/// A node with a backend and a frontend that were made by the forms.
async fn with_both() -> Node {
    let node = Node::builder().start().await;
    expect(&answer(&node, put("/v1.0/backends", &backend_form())).await, 201);
    expect(&answer(&node, put("/v1.0/frontends", &frontend_form())).await, 201);
    node
}

#[tokio::test]
async fn the_form_of_a_new_backend_is_taken() {
    let node = Node::builder().start().await;
    let created = expect(&answer(&node, put("/v1.0/backends", &backend_form())).await, 201);
    assert_holds(&created, &backend_form());
    assert_holds(&shown(&node, "/v1.0/backends/gpu-1").await, &backend_form());
    assert_holds(&shown(&node, "/v1.0/backends").await[0], &backend_form());
}

#[tokio::test]
async fn the_form_of_a_new_frontend_is_taken() {
    let node = with_both().await;
    assert_holds(&shown(&node, "/v1.0/frontends/front-1").await, &frontend_form());
    assert_holds(&shown(&node, "/v1.0/frontends").await[0], &frontend_form());
}

#[tokio::test]
async fn the_edit_form_of_a_backend_is_taken() {
    let node = with_both().await;
    let before = shown(&node, "/v1.0/backends/gpu-1").await;
    let mut edit = without(&backend_form(), "Identifier");
    edit["Name"] = "edited".into();
    let after = expect(&answer(&node, put("/v1.0/backends/gpu-1", &edit)).await, 200);
    assert_holds(&after, &edit);
    assert_eq!((&after["Identifier"], &after["CreatedUtc"]), (&before["Identifier"], &before["CreatedUtc"]));
}

#[tokio::test]
async fn the_edit_form_of_a_frontend_is_taken() {
    let node = with_both().await;
    let before = shown(&node, "/v1.0/frontends/front-1").await;
    let mut edit = without(&frontend_form(), "Identifier");
    edit["Name"] = "edited".into();
    let after = expect(&answer(&node, put("/v1.0/frontends/front-1", &edit)).await, 200);
    assert_holds(&after, &edit);
    assert_eq!((&after["Identifier"], &after["CreatedUtc"]), (&before["Identifier"], &before["CreatedUtc"]));
}

#[tokio::test]
async fn rule_11_an_edit_of_a_backend_keeps_what_its_form_does_not_know() {
    let node = Node::builder().start().await;
    let mut backend = backend_form();
    for (name, value) in [
        ("Active", json!(false)),
        ("BearerToken", json!("hunter2")),
        ("Querystring", json!("k=v")),
        ("Headers", json!({ "X-Key": "hunter2" })),
        ("LogRequestFull", json!(true)),
        ("CreatedUtc", json!("2025-01-02T03:04:05.678900Z")),
    ] {
        backend[name] = value;
    }
    let created = expect(&answer(&node, put("/v1.0/backends", &backend)).await, 201);
    let mut edit = without(&backend_form(), "Identifier");
    edit["Name"] = "edited".into();
    let updated = expect(&answer(&node, put("/v1.0/backends/gpu-1", &edit)).await, 200);
    for name in ["Active", "BearerToken", "Querystring", "Headers", "LogRequestFull", "CreatedUtc"] {
        assert!(!created[name].is_null(), "{name}");
        assert_eq!(updated[name], created[name], "{name}");
    }
    // The secrets themselves are kept, and not the marks that stand for them: a backup has them.
    let backup = shown(&node, "/v1.0/cluster/backup?secrets=true").await.to_string();
    assert_eq!(backup.matches("hunter2").count(), 2, "{backup}");
    assert!(backup.contains("k=v"), "{backup}");
}

#[tokio::test]
async fn rule_11_an_edit_of_a_frontend_keeps_what_its_form_does_not_know() {
    let node = Node::builder().start().await;
    expect(&answer(&node, put("/v1.0/backends", &backend_form())).await, 201);
    let mut frontend = frontend_form();
    for (name, value) in [
        ("Active", json!(false)),
        ("BlockHttp10", json!(false)),
        ("CreatedUtc", json!("2025-01-02T03:04:05.678900Z")),
        ("ModelAliases", json!({ "small": "all-minilm" })),
        ("MaxQueueLength", json!(7)),
    ] {
        frontend[name] = value;
    }
    let created = expect(&answer(&node, put("/v1.0/frontends", &frontend)).await, 201);
    let edit = without(&frontend_form(), "Identifier");
    let updated = expect(&answer(&node, put("/v1.0/frontends/front-1", &edit)).await, 200);
    for name in ["Active", "BlockHttp10", "CreatedUtc", "ModelAliases", "MaxQueueLength"] {
        assert_eq!(updated[name], created[name], "{name}");
    }
    assert_eq!((&updated["Active"], &updated["MaxQueueLength"]), (&json!(false), &json!(7)));
}

#[tokio::test]
async fn rule_11_an_explicit_null_clears() {
    let node = with_both().await;
    let secrets = json!({ "BearerToken": "hunter2", "Headers": { "X-Key": "hunter2" }, "Active": false });
    let stored = expect(&answer(&node, put("/v1.0/backends/gpu-1", &secrets)).await, 200);
    assert!(stored["BearerToken"].is_string() && stored["Active"] == json!(false), "{stored}");
    let nulls = json!({ "BearerToken": null, "Headers": null, "Active": null });
    let cleared = expect(&answer(&node, put("/v1.0/backends/gpu-1", &nulls)).await, 200);
    assert_eq!(
        (cleared.get("BearerToken"), &cleared["Headers"], &cleared["Active"]),
        (None, &json!({}), &json!(true))
    );
}

/// The editor of the pinned properties hands over null when it is empty.
#[tokio::test]
async fn an_empty_editor_of_pinned_properties_is_an_empty_object() {
    let node = Node::builder().start().await;
    let names = ["PinnedEmbeddingsProperties", "PinnedCompletionsProperties"];
    for (path, mut form) in [("/v1.0/backends", backend_form()), ("/v1.0/frontends", frontend_form())] {
        for name in names {
            form[name] = Value::Null;
        }
        let created = expect(&answer(&node, put(path, &form)).await, 201);
        let edited = format!("{path}/{}", form["Identifier"].as_str().unwrap());
        let edited = expect(&answer(&node, put(&edited, &without(&form, "Identifier"))).await, 200);
        for name in names {
            assert_eq!((&created[name], &edited[name]), (&json!({}), &json!({})), "{name}");
        }
    }
}

/// What is no JSON in the editor comes as a text.
#[tokio::test]
async fn a_broken_editor_of_pinned_properties_is_refused_by_name() {
    let node = with_both().await;
    for (path, id) in [("/v1.0/backends", "gpu-1"), ("/v1.0/frontends", "front-1")] {
        let broken = json!({ "PinnedCompletionsProperties": "{ \"options\":" });
        let refused = answer(&node, put(&format!("{path}/{id}"), &broken)).await;
        assert!(message(&refused, 400, "BadRequest").contains("PinnedCompletionsProperties"));
    }
}

#[tokio::test]
async fn every_choice_of_the_forms_is_taken() {
    let node = with_both().await;
    for policy in ["RoundRobin", "LeastConnections", "Weighted", "Random"] {
        let edit = json!({ "LoadBalancing": policy });
        let updated = expect(&answer(&node, put("/v1.0/frontends/front-1", &edit)).await, 200);
        assert_eq!(updated["LoadBalancing"], policy);
    }
    for (name, choices) in [
        ("ApiFormat", json!(["Ollama", "OpenAI"])),
        ("HealthCheckMethod", json!(["GET", "HEAD"])),
        ("Ssl", json!([true, false])),
        ("Port", json!([1, 11435, 65535])),
        ("MaxParallelRequests", json!([1, 100])),
        ("RateLimitRequestsThreshold", json!([1, 1000])),
        ("UnhealthyThreshold", json!([1, 10])),
        ("HealthyThreshold", json!([1, 10])),
        // 256 characters in all.
        ("Labels", json!([[], ["gpu"], ["a".repeat(127), "b".repeat(128)]])),
    ] {
        for choice in choices.as_array().unwrap() {
            let edit = json!({ name: choice });
            let updated = expect(&answer(&node, put("/v1.0/backends/gpu-1", &edit)).await, 200);
            assert_eq!(&updated[name], choice, "{name}");
        }
    }
    for (name, ends) in [
        ("TimeoutMs", [1000, 300_000]),
        ("MaxRequestBodySize", [1024, 1_073_741_824]),
        ("StickySessionExpirationMs", [60_000, 3_600_000]),
    ] {
        for end in ends {
            let edit = json!({ name: end });
            let updated = expect(&answer(&node, put("/v1.0/frontends/front-1", &edit)).await, 200);
            assert_eq!(updated[name], json!(end), "{name}");
        }
    }
}

/// The form sets `AllowRetries` to false: the frontend then serves with one attempt, and does not refuse everything.
#[tokio::test]
async fn a_frontend_of_the_form_serves_although_it_allows_no_retries() {
    let engine = crate::engine();
    let node = Node::builder().start().await;
    let mut backend = backend_form();
    backend["Port"] = engine.port().into();
    expect(&answer(&node, put("/v1.0/backends", &backend)).await, 201);
    let mut frontend = frontend_form();
    (frontend["Hostname"], frontend["RequiredModels"]) = ("*".into(), json!(["m"]));
    assert_eq!(frontend["AllowRetries"], json!(false));
    expect(&answer(&node, put("/v1.0/frontends", &frontend)).await, 201);
    node.wait_healthy(&["gpu-1"]).await;
    let chat = json!({ "model": "m", "stream": false, "messages": [{ "role": "user", "content": "hello" }] });
    ollamaflow_tests::wait::until_answered("the frontend serves", async || {
        let answer = answer(&node, crate::from_page("POST", "/api/chat").json(&chat)).await;
        if answer.status() == 200 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
}

/// The original's SDK sends back what it has read, the live properties included.
#[tokio::test]
async fn objects_with_live_properties_as_the_sdk_sends_them_are_taken() {
    let node = Node::builder().start().await;
    let mut backend = backend_form();
    for (name, value) in [
        ("HealthySinceUtc", json!("2025-10-08T17:24:38.120000Z")),
        ("UnhealthySinceUtc", Value::Null),
        ("Uptime", json!("00:03:11.5210000")),
        ("Downtime", Value::Null),
        ("ActiveRequests", json!(7)),
        ("IsSticky", json!(true)),
        ("CreatedUtc", json!("2025-10-08T17:24:38.120000Z")),
        ("LastUpdateUtc", json!("2025-10-08T17:24:38.120000Z")),
        ("ApiFormat", json!(1)),
    ] {
        backend[name] = value;
    }
    let created = expect(&answer(&node, put("/v1.0/backends", &backend)).await, 201);
    assert_eq!((&created["ActiveRequests"], &created["IsSticky"]), (&json!(0), &json!(false)));
    assert_eq!(created["CreatedUtc"], "2025-10-08T17:24:38.120000Z");
    expect(&answer(&node, put("/v1.0/backends/gpu-1", &backend)).await, 200);
}

/// The page links both, edits both and deletes both, and its lists follow.
#[tokio::test]
async fn a_day_at_the_dashboard() {
    let node = with_both().await;
    assert_eq!(identifiers(&shown(&node, "/v1.0/frontends").await), ["front-1"]);
    let in_use = answer(&node, with_key("DELETE", "/v1.0/backends/gpu-1")).await;
    assert!(message(&in_use, 409, "InUse").contains("front-1"));
    for path in ["/v1.0/frontends/front-1", "/v1.0/backends/gpu-1"] {
        let deleted = answer(&node, with_key("DELETE", path)).await;
        assert_eq!((deleted.status(), deleted.body.len()), (204, 0));
    }
    for path in ["/v1.0/frontends", "/v1.0/backends", "/v1.0/backends/health"] {
        assert_eq!(shown(&node, path).await, json!([]), "{path}");
    }
}
