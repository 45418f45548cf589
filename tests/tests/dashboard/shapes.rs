//! The objects as the page reads them: names, types, and the defaults of the original.

use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::frontend;
use serde_json::{Value, json};

use crate::{answer, expect, put, shown};

/// A frontend of which nothing is said but its name.
fn plain_frontend() -> Value {
    json!({
        "Identifier": "f1", "Name": "one", "Hostname": "*", "TimeoutMs": 60_000, "LoadBalancing": "RoundRobin",
        "BlockHttp10": true, "MaxRequestBodySize": 536_870_912, "Backends": [], "RequiredModels": [],
        "LogRequestFull": false, "LogRequestBody": false, "LogResponseBody": false, "UseStickySessions": false,
        "StickySessionExpirationMs": 1_800_000, "PinnedEmbeddingsProperties": {}, "PinnedCompletionsProperties": {},
        "AllowEmbeddings": true, "AllowCompletions": true, "AllowRetries": true, "Active": true
    })
}

/// A backend of which nothing is said but where it is.
fn plain_backend() -> Value {
    json!({
        "Identifier": "b1", "Name": "one", "Hostname": "127.0.0.1", "Port": 9000, "Ssl": false,
        "ApiFormat": "Ollama", "UnhealthyThreshold": 2, "HealthyThreshold": 2, "HealthCheckMethod": "GET",
        "HealthCheckUrl": "/", "MaxParallelRequests": 4, "RateLimitRequestsThreshold": 10, "LogRequestFull": false,
        "LogRequestBody": false, "LogResponseBody": false, "PinnedEmbeddingsProperties": {},
        "PinnedCompletionsProperties": {}, "AllowEmbeddings": true, "AllowCompletions": true, "Labels": [],
        "Active": true, "ActiveRequests": 0
    })
}

/// A time as the page parses it: `yyyy-MM-ddTHH:mm:ss.ffffffZ`.
#[track_caller]
pub(crate) fn assert_time(text: &str) {
    let pattern = "0000-00-00T00:00:00.000000Z";
    let fits =
        |(given, wanted): (char, char)| if wanted == '0' { given.is_ascii_digit() } else { given == wanted };
    assert!(text.len() == pattern.len() && text.chars().zip(pattern.chars()).all(fits), "{text}");
}

#[tokio::test]
async fn a_frontend_has_every_property_with_its_default() {
    let node = Node::builder().start().await;
    let created = expect(
        &answer(&node, put("/v1.0/frontends", &json!({ "Identifier": "f1", "Name": "one" }))).await,
        201,
    );
    for object in
        [&created, &shown(&node, "/v1.0/frontends/f1").await, &shown(&node, "/v1.0/frontends").await[0]]
    {
        crate::assert_holds(object, &plain_frontend());
        assert_time(object["CreatedUtc"].as_str().unwrap());
        assert_time(object["LastUpdateUtc"].as_str().unwrap());
    }
}

#[tokio::test]
async fn a_backend_has_every_property_with_its_default() {
    let node = Node::builder().start().await;
    let body = json!({ "Identifier": "b1", "Name": "one", "Hostname": "127.0.0.1", "Port": 9000 });
    let created = expect(&answer(&node, put("/v1.0/backends", &body)).await, 201);
    for object in
        [&created, &shown(&node, "/v1.0/backends/b1").await, &shown(&node, "/v1.0/backends").await[0]]
    {
        crate::assert_holds(object, &plain_backend());
        assert_time(object["CreatedUtc"].as_str().unwrap());
        assert_time(object["LastUpdateUtc"].as_str().unwrap());
    }
}

/// The page asks these for their length and writes them with separators, whatever they are.
#[tokio::test]
async fn rule_6_frontends_always_have_their_lists_and_numbers() {
    let node = Node::builder().frontend(frontend("f1")).start().await;
    let nulls = json!({ "Backends": null, "RequiredModels": null, "StickySessionExpirationMs": null });
    for frontend in [
        shown(&node, "/v1.0/frontends/f1").await,
        expect(&answer(&node, put("/v1.0/frontends/f1", &nulls)).await, 200),
        shown(&node, "/v1.0/frontends/f1").await,
        shown(&node, "/v1.0/frontends").await[0].clone(),
    ] {
        assert_eq!((&frontend["Backends"], &frontend["RequiredModels"]), (&json!([]), &json!([])));
        assert!(frontend["StickySessionExpirationMs"].is_u64(), "{frontend}");
    }
}

/// To the page, absent and null are the same; the original leaves nulls out.
#[tokio::test]
async fn what_has_no_value_is_absent() {
    let node = crate::pair().start().await;
    let backend = shown(&node, "/v1.0/backends/b1").await;
    for name in ["BearerToken", "Querystring"] {
        assert_eq!(backend.get(name), None, "{name}");
    }
    assert_eq!(backend["Headers"], json!({}));
}

#[tokio::test]
async fn a_change_moves_the_time_of_the_last_update_and_not_that_of_the_creation() {
    let node = crate::pair().start().await;
    let before = shown(&node, "/v1.0/frontends/f1").await;
    let after = expect(&answer(&node, put("/v1.0/frontends/f1", &json!({ "Name": "n" }))).await, 200);
    assert_eq!(after["CreatedUtc"], before["CreatedUtc"]);
    assert!(after["LastUpdateUtc"].as_str() > before["LastUpdateUtc"].as_str(), "{after}");
}
