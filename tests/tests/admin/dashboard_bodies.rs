//! The bodies that the original's dashboard, its API collection and its SDK send, key by key.

use ollamaflow_tests::node::Node;
use serde_json::{Map, Value, json};

use crate::{admin, answer, expect, put, shown};

/// The dashboard's form for a new backend.
fn backend_form() -> Value {
    json!({
        "Identifier": "gpu-1", "Name": "GPU one", "Labels": ["gpu", "eu"], "Hostname": "127.0.0.1", "Port": 1,
        "ApiFormat": "Ollama", "MaxParallelRequests": 4, "RateLimitRequestsThreshold": 10, "HealthCheckMethod": "HEAD",
        "HealthCheckUrl": "/", "UnhealthyThreshold": 2, "HealthyThreshold": 2, "Ssl": false, "LogRequestBody": false,
        "LogResponseBody": false, "AllowEmbeddings": true, "AllowCompletions": true,
        "PinnedEmbeddingsProperties": {}, "PinnedCompletionsProperties": { "options": { "temperature": 0.1 } }
    })
}

/// The dashboard's form for a new frontend.
fn frontend_form() -> Value {
    json!({
        "Identifier": "front-1", "Name": "Front one", "Hostname": "localhost", "TimeoutMs": 60000,
        "LoadBalancing": "RoundRobin", "MaxRequestBodySize": 536_870_912, "AllowRetries": false,
        "LogRequestFull": false, "LogRequestBody": false, "LogResponseBody": false, "UseStickySessions": false,
        "StickySessionExpirationMs": 1_800_000, "Backends": ["gpu-1"], "RequiredModels": ["all-minilm"],
        "AllowEmbeddings": true, "AllowCompletions": true, "PinnedEmbeddingsProperties": {},
        "PinnedCompletionsProperties": {}
    })
}

/// Everything that was sent is in what is shown.
fn assert_holds(shown: &Value, sent: &Value) {
    for (name, value) in sent.as_object().unwrap() {
        assert_eq!(&shown[name], value, "{name}");
    }
}

fn without(body: &Value, name: &str) -> Value {
    let properties: Map<String, Value> = body
        .as_object()
        .unwrap()
        .iter()
        .filter(|(key, _)| *key != name)
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    Value::Object(properties)
}

#[tokio::test]
async fn the_forms_of_the_dashboard_round_trip() {
    let node = Node::builder().start().await;
    for (path, form) in [("/v1.0/backends", backend_form()), ("/v1.0/frontends", frontend_form())] {
        let created = expect(&answer(&node, put(path, &form)).await, 201);
        assert_holds(&created, &form);
        let one = format!("{path}/{}", form["Identifier"].as_str().unwrap());
        assert_holds(&shown(&node, &one).await, &form);
        // The edit form sends the same without the identifier.
        let mut edited = without(&form, "Identifier");
        edited["Name"] = "edited".into();
        let updated = expect(&answer(&node, put(&one, &edited)).await, 200);
        assert_holds(&updated, &edited);
        assert_eq!(updated["CreatedUtc"], created["CreatedUtc"]);
    }
}

#[tokio::test]
async fn the_edit_form_does_not_reset_what_it_does_not_know() {
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
    let edit = without(&backend_form(), "Identifier");
    let updated = expect(&answer(&node, put("/v1.0/backends/gpu-1", &edit)).await, 200);
    for name in
        ["Active", "BearerToken", "Querystring", "Headers", "LogRequestFull", "CreatedUtc", "Revision"]
    {
        assert_eq!(updated[name], created[name], "{name}");
    }
    let mut frontend = frontend_form();
    (frontend["Active"], frontend["BlockHttp10"]) = (json!(false), json!(false));
    expect(&answer(&node, put("/v1.0/frontends", &frontend)).await, 201);
    let edit = without(&frontend_form(), "Identifier");
    let updated = expect(&answer(&node, put("/v1.0/frontends/front-1", &edit)).await, 200);
    assert_eq!((&updated["Active"], &updated["BlockHttp10"]), (&json!(false), &json!(false)));
}

#[tokio::test]
async fn policies_that_are_not_there_are_refused_by_name_and_empty_editors_are_taken() {
    let node = Node::builder().start().await;
    expect(&answer(&node, put("/v1.0/backends", &backend_form())).await, 201);
    let mut form = frontend_form();
    form["PinnedCompletionsProperties"] = Value::Null;
    for policy in ["RoundRobin", "Random"] {
        form["Identifier"] = policy.into();
        form["LoadBalancing"] = policy.into();
        let created = expect(&answer(&node, put("/v1.0/frontends", &form)).await, 201);
        assert_eq!(
            (&created["LoadBalancing"], &created["PinnedCompletionsProperties"]),
            (&json!(policy), &json!({}))
        );
    }
    (form["Identifier"], form["LoadBalancing"]) = ("f3".into(), "Telepathy".into());
    let message = crate::error(&answer(&node, put("/v1.0/frontends", &form)).await, 400, "BadRequest");
    assert!(
        message.starts_with("LoadBalancing must be one of") && message.contains("RoundRobin"),
        "{message}"
    );
}

#[tokio::test]
async fn objects_with_live_properties_as_the_sdk_sends_them_back_are_taken() {
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
    let frontend = frontend_form();
    expect(&answer(&node, put("/v1.0/frontends", &frontend)).await, 201);
    // The whole life of the collection's examples ends with their deletion.
    expect(&answer(&node, admin("DELETE", "/v1.0/frontends/front-1")).await, 204);
    expect(&answer(&node, admin("DELETE", "/v1.0/backends/gpu-1")).await, 204);
}
