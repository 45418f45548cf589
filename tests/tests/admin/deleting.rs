//! Deleting objects, and what stands in the way.

use ollamaflow_tests::objects::{backend, frontend};
use serde_json::json;

use crate::{admin, answer, error, expect, nowhere, pair, shown};

#[tokio::test]
async fn a_deleted_object_is_gone() {
    let node = pair().backend(backend("b2", nowhere())).start().await;
    for path in ["/v1.0/backends/b2", "/v1.0/frontends/f1"] {
        let deleted = answer(&node, admin("DELETE", path)).await;
        assert_eq!((deleted.status(), deleted.body.len()), (204, 0), "{path}");
        assert_eq!(answer(&node, admin("GET", path)).await.status(), 404);
        let message = error(&answer(&node, admin("DELETE", path)).await, 404, "NotFound");
        assert!(message.contains(path.rsplit('/').next().unwrap()), "{message}");
    }
}

#[tokio::test]
async fn a_backend_in_use_stays_and_the_answer_names_its_frontends() {
    let others = frontend("f2").hostname("other").backends(["b1"]);
    let node = pair().frontend(others).start().await;
    let message = error(&answer(&node, admin("DELETE", "/v1.0/backends/b1")).await, 409, "InUse");
    assert!(message.contains("backend b1 is still used by frontends f1, f2"), "{message}");
    let unforced = answer(&node, admin("DELETE", "/v1.0/backends/b1?force=false")).await;
    assert_eq!(error(&unforced, 409, "InUse"), message);
    assert_eq!(shown(&node, "/v1.0/frontends/f1").await["Backends"], json!(["b1"]));
}

#[tokio::test]
async fn force_takes_a_backend_out_of_its_frontends() {
    let others = frontend("f2").hostname("other").backends(["b2", "b1"]);
    let node = pair().frontend(others).backend(backend("b2", nowhere())).start().await;
    let deleted = answer(&node, admin("DELETE", "/v1.0/backends/b1?force=true")).await;
    expect(&deleted, 204);
    assert_eq!(shown(&node, "/v1.0/frontends/f1").await["Backends"], json!([]));
    assert_eq!(shown(&node, "/v1.0/frontends/f2").await["Backends"], json!(["b2"]));
    assert_eq!(answer(&node, admin("GET", "/v1.0/backends/b1")).await.status(), 404);
}

#[tokio::test]
async fn a_force_that_is_neither_true_nor_false_is_a_400() {
    let node = pair().start().await;
    let message =
        error(&answer(&node, admin("DELETE", "/v1.0/backends/b1?force=maybe")).await, 400, "BadRequest");
    assert!(message.contains("force"), "{message}");
    shown(&node, "/v1.0/backends/b1").await;
}
