//! The reading half of the admin API.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::{backend, frontend};
use serde_json::{Value, json};

use crate::{answer, b1, before, engine, f1, ready};

/// Every path that can be read.
const PATHS: [&str; 6] = [
    "/v1.0/frontends",
    "/v1.0/frontends/f1",
    "/v1.0/backends",
    "/v1.0/backends/b1",
    "/v1.0/backends/health",
    "/v1.0/backends/b1/health",
];

fn admin(method: &str, path: &str) -> Request {
    Request::new(method, path).bearer("test-token")
}

/// Identifiers in the order of a list.
fn identifiers(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|object| object["Identifier"].as_str().unwrap()).collect()
}

/// A request without the right to it is a 401 that says so.
async fn assert_unauthenticated(node: &Node, request: Request, what: &str) {
    let answer = answer(node, request).await;
    assert_eq!(answer.status(), 401, "{what}");
    let error = answer.json();
    assert_eq!((&error["Error"], &error["StatusCode"]), (&json!("AuthenticationFailed"), &json!(401)));
    assert!(!error["Message"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn without_a_token_every_path_is_a_401() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    let useless = [
        ("no header", None),
        ("another scheme", Some("Basic test-token")),
        ("no scheme", Some("test-token")),
        ("no token", Some("Bearer ")),
    ];
    for path in PATHS.into_iter().chain(["/v1.0/backends/ghost", "/v1.0/nope", "/v1.0/", "/v1.0/catalog"]) {
        for (what, authorization) in useless {
            for method in ["GET", "PUT", "DELETE"] {
                let request = Request::new(method, path);
                let request =
                    authorization.map_or(request.clone(), |value| request.header("Authorization", value));
                assert_unauthenticated(&node, request, &format!("{method} {path} with {what}")).await;
            }
        }
    }
}

#[tokio::test]
async fn with_a_wrong_token_every_path_is_a_401() {
    let engine = engine();
    // More wrong tokens than these would be answered with 429.
    for wrong in ["wrong", "test-toke", "test-token2", "TEST-TOKEN"] {
        let node = ready(before(&engine)).await;
        for path in PATHS.into_iter().chain(["/v1.0/nope"]) {
            assert_unauthenticated(&node, Request::get(path).bearer(wrong), &format!("{path} with {wrong}"))
                .await;
        }
        let put = Request::new("PUT", "/v1.0/backends/b1").bearer(wrong).json(&json!({ "Name": "stolen" }));
        assert_unauthenticated(&node, put, wrong).await;
        assert_unauthenticated(&node, Request::new("DELETE", "/v1.0/frontends/f1").bearer(wrong), wrong)
            .await;
        assert_eq!(node.admin("GET", "/v1.0/backends/b1", None).await.1["Name"], "b1");
    }
}

#[tokio::test]
async fn the_names_of_header_and_scheme_are_read_in_any_case() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for (name, value) in [
        ("Authorization", "Bearer test-token"),
        ("authorization", "bearer test-token"),
        ("AUTHORIZATION", "BEARER test-token"),
    ] {
        let answer = answer(&node, Request::get("/v1.0/backends").header(name, value)).await;
        assert_eq!(answer.status(), 200, "{name}: {value}");
    }
}

#[tokio::test]
async fn each_of_several_tokens_opens_the_api_and_none_closes_it() {
    let open = |tokens: Value| Node::builder().settings(&json!({ "AdminBearerTokens": tokens })).start();
    let node = open(json!(["one", "two"])).await;
    for token in ["one", "two"] {
        assert_eq!(answer(&node, Request::get("/v1.0/backends").bearer(token)).await.status(), 200);
    }
    let closed = open(json!([])).await;
    for token in ["", "one", "null"] {
        assert_eq!(answer(&closed, Request::get("/v1.0/backends").bearer(token)).await.status(), 401);
    }
}

#[tokio::test]
async fn lists_are_bare_arrays_with_the_newest_first() {
    let engine = engine();
    let at = |day: u8| format!("2025-01-{day:02}T00:00:00.000000Z");
    let builder = Node::builder()
        .frontend(frontend("f-middle").hostname("a").set("CreatedUtc", at(2)))
        .frontend(frontend("f-new").hostname("b").set("CreatedUtc", at(3)))
        .frontend(frontend("f-old").hostname("c").set("CreatedUtc", at(1)))
        .backend(backend("b-old", &engine).set("CreatedUtc", at(1)))
        .backend(backend("b-new", &engine).set("CreatedUtc", at(3)))
        .backend(backend("b-middle", &engine).set("CreatedUtc", at(2)));
    let node = builder.start().await;
    let (_, frontends) = node.admin("GET", "/v1.0/frontends", None).await;
    assert_eq!(identifiers(&frontends), ["f-new", "f-middle", "f-old"]);
    for path in ["/v1.0/backends", "/v1.0/backends/health"] {
        let (_, backends) = node.admin("GET", path, None).await;
        assert_eq!(identifiers(&backends), ["b-new", "b-middle", "b-old"], "{path}");
    }
}

#[tokio::test]
async fn an_object_is_shown_with_all_its_properties() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    let (status, frontend) = node.admin("GET", "/v1.0/frontends/f1", None).await;
    assert_eq!((status, &frontend["Identifier"]), (200, &json!("f1")));
    assert_eq!(frontend["Backends"], json!(["b1"]));
    assert_eq!(frontend["RequiredModels"], json!([]));
    assert_eq!(frontend["StickySessionExpirationMs"], 1_800_000);
    assert_eq!(frontend["LoadBalancing"], "RoundRobin");
    assert_eq!(frontend["MaxRequestBodySize"], 536_870_912);
    let (status, backend) = node.admin("GET", "/v1.0/backends/b1", None).await;
    assert_eq!((status, &backend["Identifier"]), (200, &json!("b1")));
    assert_eq!(backend["Port"], engine.port());
    assert_eq!(backend["ApiFormat"], "Ollama");
    assert_eq!(backend["HealthCheckMethod"], "GET");
    assert_eq!(backend["ActiveRequests"], 0);
    // Absent rather than null.
    assert!(!backend.as_object().unwrap().values().any(Value::is_null), "{backend}");
    assert!(backend.get("BearerToken").is_none());
}

#[tokio::test]
async fn what_is_not_there_is_a_404() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for path in [
        "/v1.0/frontends/ghost",
        "/v1.0/backends/ghost",
        "/v1.0/backends/ghost/health",
        "/v1.0/frontends/F1",
        "/v1.0/frontends/f1/health",
        "/v1.0/session",
        "/v1.0",
    ] {
        let answer = answer(&node, admin("GET", path)).await;
        assert_eq!(answer.status(), 404, "{path}");
        let error = answer.json();
        assert_eq!((&error["Error"], &error["StatusCode"]), (&json!("NotFound"), &json!(404)), "{path}");
        assert!(error["Message"].is_string(), "{path}");
    }
}

#[tokio::test]
async fn head_answers_like_get_without_a_body() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for path in PATHS {
        let head = answer(&node, admin("HEAD", path)).await;
        assert_eq!((head.status(), head.body.len()), (200, 0), "{path}");
    }
    for path in ["/v1.0/frontends/ghost", "/v1.0/backends/ghost"] {
        let head = answer(&node, admin("HEAD", path)).await;
        assert_eq!((head.status(), head.body.len()), (404, 0), "{path}");
    }
}

#[tokio::test]
async fn doubled_and_trailing_slashes_are_tolerated() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for path in PATHS {
        let plain = answer(&node, admin("GET", path)).await.json();
        for spelling in [format!("{path}/"), path.replace("/v1.0/", "/v1.0//"), format!("{path}?a=b")] {
            let answer = answer(&node, admin("GET", &spelling)).await;
            assert_eq!(answer.status(), 200, "{spelling}");
            let name = |value: &Value| value.get(0).unwrap_or(value)["Identifier"].clone();
            assert_eq!(name(&answer.json()), name(&plain), "{spelling}");
        }
    }
}

#[tokio::test]
async fn other_methods_are_a_405_that_names_those_of_the_path() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for path in PATHS {
        for method in ["POST", "PATCH", "QUERY"] {
            let answer = answer(&node, admin(method, path).json(&json!({ "Identifier": "x" }))).await;
            assert_eq!(answer.status(), 405, "{method} {path}");
            let allowed = answer.header("Allow").unwrap().to_owned();
            assert!(allowed.starts_with("GET, HEAD"), "{path}: {allowed}");
            assert!(answer.json()["Message"].as_str().unwrap().contains(&allowed), "{}", answer.text());
        }
    }
    for path in ["/v1.0/backends/health", "/v1.0/backends/b1/health"] {
        for method in ["PUT", "DELETE"] {
            let answer = answer(&node, admin(method, path)).await;
            assert_eq!(
                (answer.status(), answer.header("Allow")),
                (405, Some("GET, HEAD")),
                "{method} {path}"
            );
        }
    }
    // Nothing has changed.
    assert_eq!(answer(&node, admin("GET", "/v1.0/backends/b1")).await.status(), 200);
}

#[tokio::test]
async fn the_health_list_has_every_backend_at_once() {
    let engine = engine();
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let builder = Node::builder()
        .frontend(f1())
        .backend(b1(&engine))
        .backend(backend("b-inactive", &engine).set("Active", false))
        .backend(backend("b-dead", nowhere))
        .backend(backend("b-unused", &engine));
    let node = builder.start().await;
    let (_, listed) = node.admin("GET", "/v1.0/backends", None).await;
    let (_, health) = node.admin("GET", "/v1.0/backends/health", None).await;
    assert_eq!(identifiers(&listed).len(), 4);
    assert_eq!(identifiers(&health), identifiers(&listed));
}

#[tokio::test]
async fn admin_answers_must_not_be_stored() {
    let engine = engine();
    let node = ready(before(&engine)).await;
    for path in PATHS {
        let answer = answer(&node, admin("GET", path)).await;
        assert_eq!(answer.header("Cache-Control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("Content-Type"), Some("application/json"), "{path}");
    }
}

#[tokio::test]
async fn the_admin_api_answers_on_every_host() {
    let engine = engine();
    let node = ready(Node::builder().frontend(f1().hostname("only.example")).backend(b1(&engine))).await;
    for host in ["only.example", "stranger.example", "127.0.0.1"] {
        assert_eq!(answer(&node, admin("GET", "/v1.0/backends").host(host)).await.status(), 200, "{host}");
    }
}
