//! The routes that the page, the original's SDK and browsers use: a test for each.

use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::{backend, frontend};
use serde_json::{Value, json};

use crate::{
    answer, backend_form, expect, from_page, frontend_form, identifiers, message, nowhere, pair, put, shown,
    with_key, without,
};

#[tokio::test]
async fn get_root_is_200_with_text_and_a_page_for_browsers() {
    let node = pair().start().await;
    let text = answer(&node, from_page("GET", "/")).await;
    assert_eq!((text.status(), text.body.is_empty()), (200, false));
    let page =
        answer(&node, ollamaflow_tests::client::Request::get("/").header("Accept", "text/html,*/*;q=0.8"))
            .await;
    assert_eq!((page.status(), page.body.is_empty()), (200, false));
    assert!(page.header("Content-Type").unwrap().starts_with("text/html"));
}

#[tokio::test]
async fn head_root_is_200_without_a_token() {
    let node = pair().start().await;
    let head = answer(&node, from_page("HEAD", "/")).await;
    assert_eq!((head.status(), head.body.len()), (200, 0));
}

#[tokio::test]
async fn get_frontends_is_a_bare_array_with_the_newest_first() {
    lists_the_newest_first("/v1.0/frontends", "/v1.0/frontends").await;
}

#[tokio::test]
async fn get_backends_is_a_bare_array_with_the_newest_first() {
    lists_the_newest_first("/v1.0/backends", "/v1.0/backends").await;
}

#[tokio::test]
async fn get_backends_health_is_a_bare_array_with_the_newest_first() {
    lists_the_newest_first("/v1.0/backends", "/v1.0/backends/health").await;
}

async fn lists_the_newest_first(collection: &str, list: &str) {
    let node = Node::builder().start().await;
    for id in ["a", "c", "b"] {
        expect(&answer(&node, put(collection, &json!({ "Identifier": id, "Hostname": id }))).await, 201);
    }
    let list = shown(&node, list).await;
    assert!(list.is_array(), "{list}");
    assert_eq!(identifiers(&list), ["b", "c", "a"]);
}

#[tokio::test]
async fn get_frontend_is_the_object_or_a_404() {
    gets_the_object_or_404("/v1.0/frontends", "f1").await;
}

#[tokio::test]
async fn get_backend_is_the_object_or_a_404() {
    gets_the_object_or_404("/v1.0/backends", "b1").await;
}

async fn gets_the_object_or_404(collection: &str, id: &str) {
    let node = pair().start().await;
    let one = shown(&node, &format!("{collection}/{id}")).await;
    assert_eq!(one["Identifier"], id);
    let listed = &shown(&node, collection).await[0];
    assert_eq!(&one, listed);
    let ghost = answer(&node, with_key("GET", &format!("{collection}/ghost"))).await;
    assert!(message(&ghost, 404, "NotFound").contains("ghost"));
}

#[tokio::test]
async fn put_frontends_creates_with_201_and_gives_the_object() {
    creates("/v1.0/frontends", &without_links(&frontend_form())).await;
}

#[tokio::test]
async fn put_backends_creates_with_201_and_gives_the_object() {
    creates("/v1.0/backends", &backend_form()).await;
}

fn without_links(form: &Value) -> Value {
    let mut form = form.clone();
    form["Backends"] = json!([]);
    form
}

async fn creates(collection: &str, form: &Value) {
    let node = Node::builder().start().await;
    let created = expect(&answer(&node, put(collection, form)).await, 201);
    crate::assert_holds(&created, form);
    // A name that is taken is told, and nothing is changed.
    let mut other = form.clone();
    other["Name"] = "other".into();
    let twice = answer(&node, put(collection, &other)).await;
    assert!(message(&twice, 409, "Conflict").contains(form["Identifier"].as_str().unwrap()));
    assert_eq!(shown(&node, collection).await[0]["Name"], form["Name"]);
}

#[tokio::test]
async fn put_frontend_updates_with_200_and_gives_the_object() {
    updates("/v1.0/frontends", &without_links(&frontend_form())).await;
}

#[tokio::test]
async fn put_backend_updates_with_200_and_gives_the_object() {
    updates("/v1.0/backends", &backend_form()).await;
}

async fn updates(collection: &str, form: &Value) {
    let node = Node::builder().start().await;
    let path = format!("{collection}/{}", form["Identifier"].as_str().unwrap());
    let mut edit = without(form, "Identifier");
    edit["Name"] = "edited".into();
    // An edit makes nothing new.
    message(&answer(&node, put(&path, &edit)).await, 404, "NotFound");
    expect(&answer(&node, put(collection, form)).await, 201);
    let updated = expect(&answer(&node, put(&path, &edit)).await, 200);
    crate::assert_holds(&updated, &edit);
    assert_eq!(updated["Identifier"], form["Identifier"]);
    assert_eq!(updated, shown(&node, &path).await);
}

#[tokio::test]
async fn delete_frontend_is_204_and_empty() {
    deletes("/v1.0/frontends", "f2").await;
}

#[tokio::test]
async fn delete_backend_is_204_and_empty() {
    deletes("/v1.0/backends", "b2").await;
}

async fn deletes(collection: &str, id: &str) {
    let other = frontend("f2").hostname("other");
    let node = pair().frontend(other).backend(backend("b2", nowhere())).start().await;
    let path = format!("{collection}/{id}");
    let deleted = answer(&node, with_key("DELETE", &path)).await;
    assert_eq!((deleted.status(), deleted.body.len()), (204, 0));
    message(&answer(&node, with_key("GET", &path)).await, 404, "NotFound");
    message(&answer(&node, with_key("DELETE", &path)).await, 404, "NotFound");
    assert_eq!(shown(&node, collection).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn delete_of_a_linked_backend_is_refused_and_names_its_frontends() {
    let node = pair().start().await;
    let refused = answer(&node, with_key("DELETE", "/v1.0/backends/b1")).await;
    let message = message(&refused, 409, "InUse");
    assert!(message.contains("b1") && message.contains("f1"), "{message}");
    assert_eq!(identifiers(&shown(&node, "/v1.0/backends").await), ["b1"]);
}

#[tokio::test]
async fn get_backend_health_is_the_entry_of_the_list_or_a_404() {
    let node = pair().start().await;
    let one = shown(&node, "/v1.0/backends/b1/health").await;
    let listed = &shown(&node, "/v1.0/backends/health").await[0];
    let names = |object: &Value| object.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!((&one["Identifier"], names(&one)), (&json!("b1"), names(listed)));
    let ghost = answer(&node, with_key("GET", "/v1.0/backends/ghost/health")).await;
    assert!(message(&ghost, 404, "NotFound").contains("ghost"));
}

/// The original answers `true` and `false`; to a `HEAD` that is their length.
#[tokio::test]
async fn head_of_an_object_tells_whether_it_is_there() {
    let node = pair().start().await;
    for (path, status, length) in [
        ("/v1.0/frontends/f1", 200, "4"),
        ("/v1.0/backends/b1", 200, "4"),
        ("/v1.0/frontends/ghost", 404, "5"),
        ("/v1.0/backends/ghost", 404, "5"),
    ] {
        let head = answer(&node, with_key("HEAD", path)).await;
        assert_eq!((head.status(), head.body.len()), (status, 0), "{path}");
        assert_eq!(head.header("Content-Length"), Some(length), "{path}");
    }
}

#[tokio::test]
async fn options_needs_no_token_on_any_path() {
    let node = pair().start().await;
    for path in ["/", "/v1.0/frontends", "/v1.0/backends/b1", "/api/chat", "/v1/models", "/nope"] {
        let preflight = from_page("OPTIONS", path).header("Access-Control-Request-Method", "GET");
        let status = answer(&node, preflight).await.status();
        assert!(matches!(status, 200 | 204), "{path}: {status}");
    }
}

#[tokio::test]
async fn the_icon_is_there_without_a_token() {
    let node = pair().start().await;
    let icon = answer(&node, from_page("GET", "/favicon.ico")).await;
    assert_eq!((icon.status(), icon.body.is_empty()), (200, false));
    let head = answer(&node, from_page("HEAD", "/favicon.ico")).await;
    assert_eq!((head.status(), head.body.len()), (200, 0));
}

/// Identifiers are put into paths as they are, and `health` is taken.
#[tokio::test]
async fn identifiers_are_what_a_path_can_hold() {
    let node = Node::builder().start().await;
    for id in ["ab", "GPU-1", "a.b_c~d", "0"] {
        expect(&answer(&node, put("/v1.0/backends", &json!({ "Identifier": id }))).await, 201);
        assert_eq!(shown(&node, &format!("/v1.0/backends/{id}")).await["Identifier"], id);
    }
    for id in ["", "a b", "a/b", "a?b", "a#b", "a%20b", "ü", "health"] {
        let refused = answer(&node, put("/v1.0/backends", &json!({ "Identifier": id }))).await;
        assert!(message(&refused, 400, "BadRequest").contains("Identifier"), "{id}");
    }
}
