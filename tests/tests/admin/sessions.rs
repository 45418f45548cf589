//! The sessions of a node's clients: who may see and end them, and of which frontends.

use ollamaflow_tests::client::Request;
use serde_json::json;

use crate::{admin, answer, error, pair};

#[tokio::test]
async fn without_sessions_the_list_is_empty_and_clearing_it_does_nothing() {
    let node = pair().start().await;
    for path in ["/v1.0/sessions", "/v1.0/sessions?frontend=f1", "/v1.0/sessions/"] {
        let listed = answer(&node, admin("GET", path)).await;
        assert_eq!((listed.status(), listed.json()), (200, json!([])), "{path}");
        let cleared = answer(&node, admin("DELETE", path)).await;
        assert_eq!((cleared.status(), cleared.text().as_str()), (204, ""), "{path}");
    }
    let head = answer(&node, admin("HEAD", "/v1.0/sessions")).await;
    assert_eq!((head.status(), head.header("Content-Type")), (200, Some("application/json")));
}

#[tokio::test]
async fn sessions_are_for_those_with_a_token() {
    let node = pair().start().await;
    for method in ["GET", "DELETE"] {
        error(&answer(&node, Request::new(method, "/v1.0/sessions")).await, 401, "AuthenticationFailed");
    }
}

#[tokio::test]
async fn a_frontend_that_is_not_there_has_no_sessions_to_tell_of() {
    let node = pair().start().await;
    for method in ["GET", "DELETE"] {
        for id in ["f2", "F1", "no%20name", ""] {
            let refused = answer(&node, admin(method, &format!("/v1.0/sessions?frontend={id}"))).await;
            let message = error(&refused, 404, "NotFound");
            assert!(message.contains("there is no frontend"), "{message}");
        }
    }
}

#[tokio::test]
async fn sessions_cannot_be_written() {
    let node = pair().start().await;
    for method in ["PUT", "POST", "PATCH"] {
        let refused = answer(&node, admin(method, "/v1.0/sessions")).await;
        error(&refused, 405, "BadRequest");
        assert_eq!(refused.header("Allow"), Some("GET, HEAD, DELETE"));
    }
}
