//! Creating and changing one object.

use ollamaflow_tests::node::Node;
use serde_json::{Value, json};

use crate::{admin, answer, error, expect, named, nowhere, pair, put, shown};

#[tokio::test]
async fn a_new_object_is_created_with_the_defaults_of_what_is_left_out() {
    let node = Node::builder().start().await;
    let created = answer(&node, put("/v1.0/backends", &json!({ "Identifier": "b1", "Port": 9000 }))).await;
    assert_eq!(created.header("Location"), Some("/v1.0/backends/b1"));
    let body = expect(&created, 201);
    assert_eq!((&body["Identifier"], &body["Port"]), (&json!("b1"), &json!(9000)));
    assert_eq!((&body["MaxParallelRequests"], &body["Active"]), (&json!(4), &json!(true)));
    assert_eq!(created.header("ETag").unwrap(), format!("\"{}\"", body["Revision"]));
    assert_eq!(shown(&node, "/v1.0/backends/b1").await, body);
    let frontend =
        json!({ "Identifier": "f1", "Backends": ["b1"], "CreatedUtc": "2025-01-02T03:04:05.678900Z" });
    let body = expect(&answer(&node, put("/v1.0/frontends", &frontend)).await, 201);
    assert_eq!(body["CreatedUtc"], "2025-01-02T03:04:05.678900Z");
    assert_eq!(body["Backends"], json!(["b1"]));
}

#[tokio::test]
async fn an_identifier_that_is_taken_is_a_409() {
    let node = pair().start().await;
    for (path, id) in [("/v1.0/frontends", "f1"), ("/v1.0/backends", "b1")] {
        let message = error(&answer(&node, put(path, &named(id))).await, 409, "Conflict");
        assert!(message.contains(id) && message.contains("exists already"), "{message}");
    }
}

#[tokio::test]
async fn a_create_that_breaks_a_rule_is_a_400_that_names_the_property() {
    let node = pair().start().await;
    for (body, part) in [
        (json!({ "Name": "no name" }), "Identifier must not be empty"),
        (json!({ "Identifier": "" }), "Identifier must not be empty"),
        (json!({ "Identifier": "a b" }), "Identifier may only contain"),
        (json!({ "Identifier": "health" }), "reserved for the health endpoint"),
        (json!({ "Identifier": "b2", "Port": 65_536 }), "Port must be a whole number from 0 to 65535"),
        (json!({ "Identifier": "b2", "Hostname": "" }), "Hostname must not be empty"),
        (json!({ "Identifier": "b2", "ApiFormat": "Telepathy" }), "ApiFormat must be one of Ollama, OpenAI"),
        (json!({ "Identifier": "b2", "Labels": "gpu" }), "Labels must be"),
        (json!({ "Identifier": "b2", "CreatedUtc": "yesterday" }), "CreatedUtc must be a date"),
        (json!([]), "must be an object"),
        (Value::Null, "must be an object"),
    ] {
        let message = error(&answer(&node, put("/v1.0/backends", &body)).await, 400, "BadRequest");
        assert!(message.contains(part), "{body}: {message}");
    }
    let dangling = json!({ "Identifier": "f2", "Backends": ["b1", "ghost"] });
    let message = error(&answer(&node, put("/v1.0/frontends", &dangling)).await, 400, "BadRequest");
    assert!(message.contains("frontend f2 names the backend ghost, which does not exist"), "{message}");
    assert_eq!(shown(&node, "/v1.0/backends").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_update_keeps_what_is_absent_and_resets_what_is_null() {
    let node = pair().start().await;
    let full = json!({
        "Name": "one", "Port": 9000, "Labels": ["gpu"], "Active": false, "Querystring": "k=v", "MaxParallelRequests": 7,
        "PinnedCompletionsProperties": { "options": { "num_ctx": 1 } }
    });
    let before = expect(&answer(&node, put("/v1.0/backends/b1", &full)).await, 200);
    assert_eq!((&before["Active"], &before["Labels"]), (&json!(false), &json!(["gpu"])));
    let after = expect(&answer(&node, put("/v1.0/backends/b1", &json!({ "Name": "two" }))).await, 200);
    for (name, value) in before.as_object().unwrap() {
        match name.as_str() {
            "Name" => assert_eq!(after["Name"], "two"),
            "Revision" => assert!(after["Revision"].as_u64() > value.as_u64()),
            "LastUpdateUtc" => assert!(after["LastUpdateUtc"].as_str() >= value.as_str()),
            _ => assert_eq!(after[name], *value, "{name}"),
        }
    }
    let nulls = json!({ "Port": null, "Active": null, "Labels": null, "PinnedCompletionsProperties": null });
    let reset = expect(&answer(&node, put("/v1.0/backends/b1", &nulls)).await, 200);
    assert_eq!(
        (&reset["Port"], &reset["Active"], &reset["Labels"]),
        (&json!(8000), &json!(true), &json!([]))
    );
    assert_eq!((&reset["PinnedCompletionsProperties"], &reset["Name"]), (&json!({}), &json!("two")));
}

#[tokio::test]
async fn the_path_and_the_time_of_creation_outrank_the_body() {
    let node = pair().start().await;
    let before = shown(&node, "/v1.0/backends/b1").await;
    let body =
        json!({ "Identifier": "other", "CreatedUtc": "2001-01-01T00:00:00Z", "Revision": 99, "Name": "n" });
    let after = expect(&answer(&node, put("/v1.0/backends/b1", &body)).await, 200);
    assert_eq!((&after["Identifier"], &after["CreatedUtc"]), (&before["Identifier"], &before["CreatedUtc"]));
    assert_eq!(after["Revision"].as_u64().unwrap(), before["Revision"].as_u64().unwrap() + 1);
}

#[tokio::test]
async fn an_update_is_no_upsert() {
    let node = pair().start().await;
    for path in ["/v1.0/backends/ghost", "/v1.0/frontends/ghost", "/v1.0/backends/a%20b"] {
        // Said whatever the body is.
        for request in [put(path, &json!({ "Name": "n" })), admin("PUT", path), admin("PUT", path).body("{")]
        {
            assert!(error(&answer(&node, request).await, 404, "NotFound").contains("there is no"), "{path}");
        }
    }
    assert_eq!(shown(&node, "/v1.0/backends").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn unknown_properties_are_refused_by_name_unless_the_client_does_not_mind() {
    let node = pair().start().await;
    let body = json!({ "Name": "n", "Wieght": 3, "Colour": null });
    for path in ["/v1.0/backends/b1", "/v1.0/frontends/f1"] {
        let message = error(&answer(&node, put(path, &body)).await, 400, "BadRequest");
        assert!(message.starts_with("Wieght, Colour are not known here"), "{message}");
        assert_ne!(shown(&node, path).await["Name"], "n");
        let lenient = answer(&node, put(path, &body).header("X-OllamaFlow-Lenient", "true")).await;
        assert_eq!(expect(&lenient, 200)["Name"], "n");
    }
    let new = json!({ "Identifier": "b2", "Wieght": 3 });
    let message = error(&answer(&node, put("/v1.0/backends", &new)).await, 400, "BadRequest");
    assert!(message.starts_with("Wieght is not known here"), "{message}");
    let lenient = put("/v1.0/backends", &new).header("x-ollamaflow-lenient", "");
    assert_eq!(answer(&node, lenient).await.status(), 201);
}

#[tokio::test]
async fn what_a_read_shows_can_be_sent_back_as_it_is() {
    let node = pair().start().await;
    for path in ["/v1.0/backends/b1", "/v1.0/backends/b1/health", "/v1.0/frontends/f1"] {
        let read = shown(&node, path).await;
        let stored = shown(&node, path.trim_end_matches("/health")).await;
        let written = expect(&answer(&node, put(path.trim_end_matches("/health"), &read)).await, 200);
        // It was no change, and made no revision.
        assert_eq!(written, stored);
    }
    // Under another name it is a new object.
    let mut copy = shown(&node, "/v1.0/backends/b1/health").await;
    copy["Identifier"] = "b2".into();
    assert_eq!(answer(&node, put("/v1.0/backends", &copy)).await.status(), 201);
}

#[tokio::test]
async fn names_of_properties_are_read_in_any_case() {
    let node = pair().start().await;
    let body = json!({ "NAME": "n", "port": 1234, "apiformat": "openai" });
    let after = expect(&answer(&node, put("/v1.0/backends/b1", &body)).await, 200);
    assert_eq!(
        (&after["Name"], &after["Port"], &after["ApiFormat"]),
        (&json!("n"), &json!(1234), &json!("OpenAI"))
    );
}

#[tokio::test]
async fn a_created_frontend_and_backend_carry_traffic() {
    let engine = crate::engine();
    let node = Node::builder().settings(&json!({ "Frontends": [], "Backends": [] })).start().await;
    assert_ne!(engine.address(), nowhere());
    let backend = json!({ "Identifier": "b1", "Hostname": "127.0.0.1", "Port": engine.port() });
    assert_eq!(answer(&node, put("/v1.0/backends", &backend)).await.status(), 201);
    let frontend = json!({ "Identifier": "f1", "Backends": ["b1"] });
    assert_eq!(answer(&node, put("/v1.0/frontends", &frontend)).await.status(), 201);
    node.wait_healthy(&["b1"]).await;
    ollamaflow_tests::wait::until_answered("requests get there", async || {
        let tags = answer(&node, ollamaflow_tests::client::Request::get("/api/tags")).await;
        if tags.status() == 200 { Ok(()) } else { Err(tags.text()) }
    })
    .await;
}
