//! The whole catalog at once.

use ollamaflow_tests::objects::{backend, frontend};
use serde_json::json;

use crate::{admin, answer, b1, error, expect, f1, identifiers, nowhere, pair, put, revision, shown};

#[tokio::test]
async fn the_catalog_shows_every_object_in_the_order_of_their_names() {
    let node = pair().backend(backend("a", nowhere())).frontend(frontend("z").hostname("z")).start().await;
    let catalog = shown(&node, "/v1.0/catalog").await;
    assert_eq!(identifiers(&catalog["Frontends"]), ["f1", "z"]);
    assert_eq!(identifiers(&catalog["Backends"]), ["a", "b1"]);
    // Configuration only: nothing that moves by itself.
    assert!(catalog["Backends"][0].get("ActiveRequests").is_none());
    let names: Vec<&String> = catalog.as_object().unwrap().keys().collect();
    assert_eq!(names, ["Revision", "Frontends", "Backends", "Keys"]);
}

#[tokio::test]
async fn a_catalog_that_is_put_back_as_it_was_read_changes_nothing() {
    let node = pair().backend(backend("b2", nowhere()).set("BearerToken", "hunter2")).start().await;
    let catalog = shown(&node, "/v1.0/catalog").await;
    let before = revision(&node).await;
    assert_eq!(expect(&answer(&node, put("/v1.0/catalog", &catalog)).await, 200), catalog);
    assert_eq!(revision(&node).await, before);
}

#[tokio::test]
async fn a_replacement_creates_changes_and_deletes_at_once() {
    let node = pair().backend(backend("b2", nowhere())).start().await;
    let before = shown(&node, "/v1.0/catalog").await;
    let next = json!({
        "Frontends": [f1().backends(["b3", "b1"]).json()],
        "Backends": [b1().json(), backend("b3", nowhere()).set("Port", 2).json()]
    });
    let replaced = answer(&node, put("/v1.0/catalog", &next)).await;
    let after = expect(&replaced, 200);
    assert_eq!(identifiers(&after["Backends"]), ["b1", "b3"]);
    assert_eq!(after["Frontends"][0]["Backends"], json!(["b3", "b1"]));
    assert_eq!(after["Revision"].as_u64().unwrap(), before["Revision"].as_u64().unwrap() + 1);
    // What stays as it is keeps its revision.
    assert_eq!(after["Backends"][0], before["Backends"][0]);
    assert_eq!(after["Backends"][1]["Revision"], after["Revision"]);
    assert_eq!(shown(&node, "/v1.0/catalog").await, after);
    assert_eq!(identifiers(&shown(&node, "/v1.0/backends/health").await).len(), 2);
}

#[tokio::test]
async fn a_catalog_with_errors_changes_nothing_and_every_error_is_told() {
    let node = pair().start().await;
    let before = shown(&node, "/v1.0/catalog").await;
    let wrong = [
        (json!({ "Frontends": [] }), "Backends must be a list"),
        (
            json!({ "Frontends": [f1().json()], "Backends": [] }),
            "Frontends[0].Backends[0] of frontend f1 names",
        ),
        (
            json!({ "Frontends": [], "Backends": [b1().json(), b1().json()] }),
            "Backends[1].Identifier repeats",
        ),
        (json!({ "Frontends": [], "Backends": [b1().set("Port", -1).json()] }), "Backends[0].Port must be"),
        (
            json!({ "Frontends": [f1().set("TimeoutMs", -1).json()], "Backends": [b1().set("Port", -1).json()] }),
            "Frontends[0].TimeoutMs must be a whole number of 0 or more (at most 2147483647), but is -1; Backends[0].Port",
        ),
        (
            json!({ "Frontends": [], "Backends": [b1().set("Wieght", 1).json()] }),
            "Backends[0].Wieght is not known",
        ),
        (json!({ "Frontends": [], "Backends": [], "Backend": [] }), "Backend is not known"),
    ];
    for (catalog, part) in wrong {
        let message = error(&answer(&node, put("/v1.0/catalog", &catalog)).await, 400, "BadRequest");
        assert!(message.contains(part), "{message}");
        assert_eq!(shown(&node, "/v1.0/catalog").await, before);
    }
    let lenient = json!({ "Frontends": [], "Backends": [b1().set("Wieght", 1).json()], "Comment": "mine" });
    let accepted = answer(&node, put("/v1.0/catalog", &lenient).header("X-OllamaFlow-Lenient", "1")).await;
    expect(&accepted, 200);
}

#[tokio::test]
async fn other_methods_are_refused() {
    let node = pair().start().await;
    for method in ["POST", "DELETE", "PATCH"] {
        let answer = answer(&node, admin(method, "/v1.0/catalog")).await;
        assert_eq!((answer.status(), answer.header("Allow")), (405, Some("GET, HEAD, PUT")), "{method}");
    }
}
