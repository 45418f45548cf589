//! Errors of the node in the shape that the client's own protocol has for them.

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::{backend, frontend};
use serde_json::{Value, json};

use crate::answer;

/// A request of each protocol that generates text.
fn generations() -> [(Protocol, Request); 3] {
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hello" }], "max_tokens": 5 });
    [
        (Protocol::Ollama, Request::post("/api/chat").json(&body)),
        (Protocol::OpenAi, Request::post("/v1/chat/completions").json(&body)),
        (Protocol::Anthropic, Request::post("/v1/messages").json(&body)),
    ]
}

#[derive(Debug, Clone, Copy)]
enum Protocol {
    Ollama,
    OpenAi,
    Anthropic,
    Admin,
}

/// Checks the shape, and returns the message.
fn message(protocol: Protocol, answer: &Collected) -> String {
    assert_eq!(answer.header("Content-Type"), Some("application/json"), "{protocol:?}");
    let body = answer.json();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let message = match protocol {
        Protocol::Ollama => {
            assert_eq!(names(&body), ["error"]);
            &body["error"]
        }
        Protocol::OpenAi => {
            assert_eq!(names(&body), ["error"]);
            assert_eq!(names(&body["error"]), ["message", "type", "param", "code"]);
            assert!(body["error"]["type"].as_str().unwrap().ends_with("_error"), "{body}");
            &body["error"]["message"]
        }
        Protocol::Anthropic => {
            assert_eq!(names(&body), ["type", "error", "request_id"]);
            assert_eq!(body["type"], "error");
            assert_eq!(names(&body["error"]), ["type", "message"]);
            &body["error"]["message"]
        }
        Protocol::Admin => {
            assert!(body["Error"].is_string() && body["StatusCode"].is_number(), "{body}");
            &body["Message"]
        }
    };
    let message = message.as_str().unwrap().to_owned();
    assert!(!message.is_empty());
    message
}

/// What an OpenAI client reads as the kind of an error.
fn openai_type(answer: &Collected) -> Value {
    answer.json()["error"]["type"].clone()
}

/// A node whose only backend does not answer: nothing listens on port 1.
async fn without_backends(frontend: ollamaflow_tests::objects::Frontend) -> Node {
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    Node::builder().frontend(frontend.backends(["b1"])).backend(backend("b1", nowhere)).start().await
}

#[tokio::test]
async fn no_frontend_for_the_host_is_a_404() {
    let node = without_backends(frontend("f1").hostname("known.example")).await;
    for (protocol, request) in generations() {
        let answer = answer(&node, request.host("stranger.example")).await;
        assert_eq!(answer.status(), 404);
        let message = message(protocol, &answer);
        assert!(message.contains("stranger.example"), "{message}");
    }
}

#[tokio::test]
async fn no_healthy_backend_is_a_502() {
    let node = without_backends(frontend("f1")).await;
    for (protocol, request) in generations() {
        let answer = answer(&node, request).await;
        assert_eq!(answer.status(), 502);
        let message = message(protocol, &answer);
        assert!(message.contains("1 unhealthy"), "{message}");
    }
}

#[tokio::test]
async fn a_forbidden_kind_is_a_403() {
    let node = without_backends(frontend("f1").set("AllowCompletions", false)).await;
    for (protocol, request) in generations() {
        let answer = answer(&node, request).await;
        assert_eq!(answer.status(), 403);
        message(protocol, &answer);
        if let Protocol::OpenAi = protocol {
            assert_eq!(openai_type(&answer), "permission_error");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_a_413() {
    let node = without_backends(frontend("f1").set("MaxRequestBodySize", 10)).await;
    for (protocol, request) in generations() {
        let answer = answer(&node, request).await;
        assert_eq!(answer.status(), 413);
        let message = message(protocol, &answer);
        assert!(message.contains("10 bytes"), "{message}");
    }
}

#[tokio::test]
async fn wrong_methods_and_paths_are_answered_in_the_protocol_of_the_path() {
    let node = without_backends(frontend("f1")).await;
    for (method, path, status, protocol) in [
        ("GET", "/api/chat", 405, Protocol::Ollama),
        ("GET", "/v1/completions", 405, Protocol::OpenAi),
        ("GET", "/v1/messages", 405, Protocol::Anthropic),
        ("POST", "/", 405, Protocol::Admin),
        ("GET", "/api", 404, Protocol::Ollama),
        ("GET", "/v1", 404, Protocol::OpenAi),
        ("GET", "/nope", 404, Protocol::Admin),
        ("GET", "/api/../x", 400, Protocol::Ollama),
        ("GET", "/v1/../x", 400, Protocol::OpenAi),
        ("GET", "/x/../y", 400, Protocol::Admin),
    ] {
        let answer = answer(&node, Request::new(method, path)).await;
        assert_eq!(answer.status(), status, "{method} {path}");
        message(protocol, &answer);
    }
}

#[tokio::test]
async fn errors_of_the_admin_protocol_carry_their_name_and_status() {
    let node = without_backends(frontend("f1")).await;
    let error = answer(&node, Request::get("/nope")).await.json();
    assert_eq!((&error["Error"], &error["StatusCode"]), (&json!("NotFound"), &json!(404)));
}

#[tokio::test]
async fn an_error_to_head_has_no_body() {
    let node = without_backends(frontend("f1")).await;
    for path in ["/api/tags", "/v1/models", "/api/chat", "/nope"] {
        let answer = answer(&node, Request::new("HEAD", path)).await;
        assert!(answer.status() >= 400, "{path}");
        assert_eq!(answer.body.len(), 0, "{path}");
    }
}

#[tokio::test]
async fn every_answer_carries_a_request_id_of_its_own() {
    let node = without_backends(frontend("f1")).await;
    let others =
        ["/", "/favicon.ico", "/nope", "/api/chat", "/v1.0/backends", "/v1.0/nope"].map(Request::get);
    let requests = generations().map(|(_, request)| request).into_iter().chain(others);
    let mut ids = Vec::new();
    for request in requests {
        let answer = answer(&node, request).await;
        let id = answer.head.headers_named("X-OllamaFlow-Request");
        assert_eq!((id.len(), id[0].len()), (1, 36));
        ids.push(id[0].to_owned());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 9);
}
