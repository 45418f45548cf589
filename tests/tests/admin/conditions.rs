//! Entity tags and conditions: nobody overwrites what somebody else has changed meanwhile.

use serde_json::json;

use crate::{admin, answer, error, expect, named, pair, put, revision, shown};

#[tokio::test]
async fn objects_carry_their_revision_as_entity_tag() {
    let node = pair().start().await;
    for path in ["/v1.0/backends/b1", "/v1.0/frontends/f1", "/v1.0/catalog"] {
        let read = answer(&node, admin("GET", path)).await;
        let tag = format!("\"{}\"", read.json()["Revision"]);
        assert_eq!(read.header("ETag"), Some(tag.as_str()), "{path}");
        assert_eq!(answer(&node, admin("HEAD", path)).await.header("ETag"), Some(tag.as_str()), "{path}");
    }
}

#[tokio::test]
async fn what_a_reader_has_already_is_a_304_without_a_body() {
    let node = pair().start().await;
    for path in ["/v1.0/backends/b1", "/v1.0/frontends/f1", "/v1.0/catalog"] {
        let tag = answer(&node, admin("GET", path)).await.header("ETag").unwrap().to_owned();
        for tags in [tag.clone(), format!("\"0\", W/{tag}"), "*".to_owned()] {
            let same = answer(&node, admin("GET", path).header("If-None-Match", &tags)).await;
            assert_eq!((same.status(), same.body.len()), (304, 0), "{path} {tags}");
            assert_eq!(same.header("ETag"), Some(tag.as_str()));
            assert_eq!(same.header("Access-Control-Allow-Origin"), Some("*"));
        }
        assert_eq!(answer(&node, admin("GET", path).header("If-None-Match", "\"0\"")).await.status(), 200);
    }
}

#[tokio::test]
async fn a_write_is_made_only_at_the_revision_that_it_names() {
    let node = pair().start().await;
    for path in ["/v1.0/backends/b1", "/v1.0/frontends/f1"] {
        let before = shown(&node, path).await;
        let (old, other) = (format!("\"{}\"", before["Revision"]), "\"999\"".to_owned());
        for wrong in [&other, &format!("W/{old}")] {
            let refused = answer(&node, put(path, &json!({ "Name": "x" })).header("If-Match", wrong)).await;
            assert!(error(&refused, 412, "Conflict").contains("read it again"), "{}", refused.text());
        }
        assert_eq!(shown(&node, path).await, before);
        let changed = put(path, &json!({ "Name": "new" })).header("If-Match", &old);
        let after = expect(&answer(&node, changed.clone()).await, 200);
        assert_eq!(after["Name"], "new");
        assert_eq!(answer(&node, changed).await.status(), 412);
        assert_eq!(answer(&node, put(path, &json!({})).header("If-Match", "*")).await.status(), 200);
        assert_eq!(answer(&node, put(path, &json!({})).header("If-None-Match", "*")).await.status(), 412);
        assert_eq!(answer(&node, admin("DELETE", path).header("If-Match", &old)).await.status(), 412);
        assert_eq!(shown(&node, path).await, after);
    }
    for path in ["/v1.0/frontends/f1", "/v1.0/backends/b1"] {
        let tag = answer(&node, admin("GET", path)).await.header("ETag").unwrap().to_owned();
        assert_eq!(answer(&node, admin("DELETE", path).header("If-Match", &tag)).await.status(), 204);
        // What is not there is a 404, whatever was expected of it.
        assert_eq!(answer(&node, admin("DELETE", path).header("If-Match", &tag)).await.status(), 404);
        assert_eq!(answer(&node, put(path, &json!({})).header("If-Match", &tag)).await.status(), 404);
    }
}

#[tokio::test]
async fn a_create_only_if_there_is_none_is_a_412_and_not_a_409() {
    let node = pair().start().await;
    let create = |id: &str| put("/v1.0/backends", &named(id)).header("If-None-Match", "*");
    assert_eq!(answer(&node, create("b2")).await.status(), 201);
    assert!(error(&answer(&node, create("b2")).await, 412, "Conflict").contains("exists already"));
}

#[tokio::test]
async fn the_catalog_is_replaced_only_at_the_revision_that_is_named() {
    let node = pair().start().await;
    let read = answer(&node, admin("GET", "/v1.0/catalog")).await;
    let (catalog, tag) = (read.json(), read.header("ETag").unwrap().to_owned());
    expect(&answer(&node, put("/v1.0/backends/b1", &json!({ "Name": "meanwhile" }))).await, 200);
    let replace = |tag: &str| put("/v1.0/catalog", &catalog).header("If-Match", tag);
    assert!(
        error(&answer(&node, replace(&tag)).await, 412, "Conflict").contains("the catalog is at revision")
    );
    assert_eq!(shown(&node, "/v1.0/backends/b1").await["Name"], "meanwhile");
    // A change of something else moves the revision, but not the catalog's.
    let tag = answer(&node, admin("GET", "/v1.0/catalog")).await.header("ETag").unwrap().to_owned();
    let before = revision(&node).await;
    expect(&answer(&node, put("/v1.0/tokens", &json!({ "Name": "alice" }))).await, 201);
    assert_eq!(revision(&node).await, before + 1);
    assert_eq!(answer(&node, replace(&tag)).await.status(), 200);
    assert_eq!(shown(&node, "/v1.0/backends/b1").await["Name"], "b1");
    let only_if_empty = || put("/v1.0/catalog", &catalog).header("If-None-Match", "*");
    assert_eq!(answer(&node, only_if_empty()).await.status(), 412);
    node.rewrite_objects([], []).await;
    assert_eq!(answer(&node, only_if_empty()).await.status(), 200);
}

#[tokio::test]
async fn every_answer_tells_the_node_the_revision_and_the_leader() {
    let node = pair().start().await;
    let requests = [
        admin("GET", "/v1.0/backends"),
        admin("HEAD", "/v1.0/backends/b1"),
        admin("GET", "/v1.0/nope"),
        admin("DELETE", "/v1.0/backends/b1"),
        put("/v1.0/backends/b1", &json!({ "Name": "n" })),
        ollamaflow_tests::client::Request::get("/v1.0/backends").bearer("wrong"),
    ];
    for request in requests {
        let answer = answer(&node, request).await;
        for name in ["X-OllamaFlow-Node", "X-OllamaFlow-Revision", "X-OllamaFlow-Leader"] {
            assert!(answer.header(name).unwrap().parse::<u64>().unwrap() > 0, "{name}");
        }
    }
}
