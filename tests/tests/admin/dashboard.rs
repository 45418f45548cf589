//! What the original's dashboard needs of the API, or it cannot be used (its rules 1 to 12).

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::{backend, frontend};
use serde_json::{Value, json};

use crate::{admin, answer, engine, expect, identifiers, nowhere, pair, put, shown};

/// Where the dashboard runs, and what a page that was opened from the disk says.
const ORIGINS: [&str; 2] = ["http://localhost:3000", "null"];

#[tokio::test]
async fn a_fresh_node_lets_the_dashboard_log_in() {
    // No objects are configured: the first ones are seeded.
    let node = Node::builder().settings(&json!({ "Frontends": null, "Backends": null })).start().await;
    let home = answer(&node, Request::get("/").header("Accept", "application/json, text/plain, */*")).await;
    assert_eq!(home.status(), 200);
    assert!(!home.text().is_empty());
    // Its user presses Enter, which submits twice at once: first with a wrong key, then with the right one.
    let wrong = || answer(&node, Request::get("/v1.0/frontends").bearer("wrong"));
    let (one, other) = tokio::join!(wrong(), wrong());
    assert_eq!((one.status(), other.status()), (401, 401));
    let right = || answer(&node, admin("GET", "/v1.0/frontends"));
    let (one, other) = tokio::join!(right(), right());
    for list in [expect(&one, 200), expect(&other, 200)] {
        assert!(list.is_array(), "{list}");
    }
}

#[tokio::test]
async fn health_lists_every_backend_whatever_is_known_of_it() {
    let engine = engine();
    let node = pair()
        .backend(backend("b2", &engine))
        .backend(backend("off", &engine).set("Active", false))
        .start()
        .await;
    node.wait_healthy(&["b2"]).await;
    expect(&answer(&node, put("/v1.0/backends", &json!({ "Identifier": "new" }))).await, 201);
    let list = shown(&node, "/v1.0/backends").await;
    let health = shown(&node, "/v1.0/backends/health").await;
    assert_eq!(identifiers(&health), identifiers(&list));
    assert_eq!(identifiers(&health).len(), 4);
    for backend in health.as_array().unwrap() {
        let is_healthy = backend["Identifier"] == "b2";
        assert_eq!(backend.get("HealthySinceUtc").is_some(), is_healthy, "{backend}");
        assert_eq!(backend.get("UnhealthySinceUtc").is_some(), !is_healthy, "{backend}");
        let span = if is_healthy { &backend["Uptime"] } else { &backend["Downtime"] };
        assert!(span.as_str().unwrap().contains(':'), "{backend}");
        assert!(backend["ActiveRequests"].is_u64(), "{backend}");
    }
}

#[tokio::test]
async fn frontends_always_have_their_lists_and_numbers() {
    let node = Node::builder().frontend(frontend("f1")).start().await;
    let nulls = json!({ "Backends": null, "RequiredModels": null, "StickySessionExpirationMs": null });
    for frontend in [
        shown(&node, "/v1.0/frontends/f1").await,
        expect(&answer(&node, put("/v1.0/frontends/f1", &nulls)).await, 200),
        shown(&node, "/v1.0/frontends").await[0].clone(),
    ] {
        assert_eq!((&frontend["Backends"], &frontend["RequiredModels"]), (&json!([]), &json!([])));
        assert_eq!(frontend["StickySessionExpirationMs"], 1_800_000);
        assert!(frontend["PinnedCompletionsProperties"].is_object());
    }
}

#[tokio::test]
async fn head_of_an_object_has_the_length_of_true_or_false() {
    let node = pair().start().await;
    for (path, status, length) in [
        ("/v1.0/frontends/f1", 200, "4"),
        ("/v1.0/backends/b1", 200, "4"),
        ("/v1.0/frontends/ghost", 404, "5"),
        ("/v1.0/backends/ghost", 404, "5"),
        ("/v1.0/backends/health", 200, ""),
    ] {
        let head = answer(&node, admin("HEAD", path)).await;
        assert_eq!((head.status(), head.body.len()), (status, 0), "{path}");
        if !length.is_empty() {
            assert_eq!(head.header("Content-Length"), Some(length), "{path}");
        }
    }
}

#[tokio::test]
async fn the_last_frontend_can_be_deleted_and_the_list_is_empty_then() {
    let node = pair().start().await;
    expect(&answer(&node, admin("DELETE", "/v1.0/frontends/f1")).await, 204);
    // The original's dashboard cannot log in now: it takes an empty list for a wrong key. Everything else works.
    assert_eq!(shown(&node, "/v1.0/frontends").await, json!([]));
    expect(&answer(&node, put("/v1.0/frontends", &json!({ "Identifier": "f2" }))).await, 201);
    assert_eq!(identifiers(&shown(&node, "/v1.0/frontends").await), ["f2"]);
}

#[tokio::test]
async fn preflights_need_no_token_and_echo_the_headers_that_are_asked_for() {
    let node = pair().start().await;
    for origin in ORIGINS {
        for (path, method, headers) in [
            ("/v1.0/frontends", "GET", "authorization"),
            ("/v1.0/frontends", "PUT", "authorization,content-type"),
            ("/v1.0/backends/b1", "DELETE", "authorization"),
            ("/v1.0/catalog", "PUT", "authorization,content-type,if-match"),
            ("/v1.0/nope", "GET", "authorization"),
            ("/readyz", "GET", "x-anything"),
        ] {
            let preflight = Request::new("OPTIONS", path)
                .header("Origin", origin)
                .header("Access-Control-Request-Method", method)
                .header("Access-Control-Request-Headers", headers);
            let answer = answer(&node, preflight).await;
            assert_eq!(answer.status(), 204, "{path}");
            assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"));
            assert_eq!(answer.header("Access-Control-Allow-Headers"), Some(headers));
            assert!(answer.header("Access-Control-Allow-Methods").unwrap().contains(method));
            assert_eq!(answer.header("Access-Control-Max-Age"), Some("600"));
        }
    }
}

#[tokio::test]
async fn every_answer_is_open_to_every_origin_and_must_not_be_stored() {
    let node = pair().start().await;
    let requests: [(u16, Request); 11] = [
        (200, admin("GET", "/v1.0/frontends")),
        (201, put("/v1.0/frontends", &json!({ "Identifier": "f2" }))),
        (200, put("/v1.0/frontends/f2", &json!({ "Name": "n" }))),
        (204, admin("DELETE", "/v1.0/frontends/f2")),
        (400, put("/v1.0/frontends", &json!({}))),
        (401, Request::get("/v1.0/frontends").bearer("wrong")),
        (404, admin("GET", "/v1.0/frontends/ghost")),
        (405, admin("PATCH", "/v1.0/frontends")),
        (409, admin("DELETE", "/v1.0/backends/b1")),
        (412, put("/v1.0/backends/b1", &json!({})).header("If-Match", "\"0\"")),
        (200, Request::get("/livez")),
    ];
    for (status, request) in requests {
        for origin in ORIGINS {
            let answer = answer(&node, request.clone().header("Origin", origin)).await;
            assert_eq!(answer.head.headers_named("Access-Control-Allow-Origin"), ["*"], "{status}");
            assert_eq!(answer.header("Access-Control-Expose-Headers"), Some("*"), "{status}");
            assert_eq!(answer.header("Cache-Control"), Some("no-store"), "{status}");
            assert!(answer.header("X-OllamaFlow-Request").is_some(), "{status}");
            if origin == ORIGINS[0] {
                assert_eq!(answer.status(), status, "{}", answer.text());
            }
        }
    }
}

#[tokio::test]
async fn lists_show_the_newest_object_first() {
    let node = Node::builder().backend(backend("old", nowhere())).start().await;
    for id in ["b1", "b3", "b2"] {
        expect(&answer(&node, put("/v1.0/backends", &json!({ "Identifier": id }))).await, 201);
    }
    for path in ["/v1.0/backends", "/v1.0/backends/health"] {
        let list: Value = shown(&node, path).await;
        assert_eq!(identifiers(&list), ["b2", "b3", "b1", "old"], "{path}");
    }
}
