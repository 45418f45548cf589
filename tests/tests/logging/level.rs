//! `/v1.0/logging`: what is logged, changed while the node runs.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::{chat, line_of, objects, one, requests};

async fn put(node: &Node, body: Value) -> (u16, Value) {
    node.admin("PUT", "/v1.0/logging", Some(&body)).await
}

fn debug_lines(node: &Node) -> usize {
    objects(&node.logs()).iter().filter(|line| line["level"] == "DEBUG").count()
}

#[tokio::test]
async fn the_level_is_changed_while_the_node_runs() {
    let (_backend, node) = one(json!({})).await;
    let nothing = Request::get("/nothing");
    nothing.send(node.addr()).await.collect().await;
    line_of(&node, "/nothing").await;
    assert_eq!(debug_lines(&node), 0);

    let (status, shown) = put(&node, json!({ "MinimumSeverity": 0 })).await;
    assert_eq!((status, &shown["MinimumSeverity"]), (200, &json!(0)));
    nothing.send(node.addr()).await.collect().await;
    wait::until("the refusal is told", || debug_lines(&node) > 0).await;

    let (_, shown) = put(&node, json!({ "MinimumSeverity": 3 })).await;
    assert_eq!(
        shown["EffectiveFilter"],
        "error,openraft=off,ollamaflow=error,actix_http::h1::dispatcher=off"
    );
    chat(false).send(node.addr()).await.collect().await;
    assert_eq!(put(&node, json!({ "MinimumSeverity": null })).await.1["MinimumSeverity"], 1);
    Request::get("/last").send(node.addr()).await.collect().await;
    line_of(&node, "/last").await;
    assert!(
        !requests(objects(&node.logs())).iter().any(|line| line["path"] == "/api/chat"),
        "{}",
        node.logs()
    );
}

#[tokio::test]
async fn a_filter_decides_by_part_and_lines_of_requests_can_be_switched() {
    let (_backend, node) = one(json!({})).await;
    let (status, shown) = put(&node, json!({ "Filter": "error,access=info" })).await;
    assert_eq!((status, &shown["Filter"]), (200, &json!("error,access=info")));
    Request::get("/one").send(node.addr()).await.collect().await;
    line_of(&node, "/one").await;
    let (_, shown) = put(&node, json!({ "AccessLog": false })).await;
    assert_eq!((&shown["AccessLog"], &shown["Filter"]), (&json!(false), &json!("error,access=info")));
    Request::get("/two").send(node.addr()).await.collect().await;
    put(&node, json!({ "AccessLog": true, "Filter": null })).await;
    Request::get("/three").send(node.addr()).await.collect().await;
    line_of(&node, "/three").await;
    assert!(!node.logs().contains("/two"), "{}", node.logs());
}

#[tokio::test]
async fn what_is_no_level_is_refused_and_changes_nothing() {
    let (_backend, node) = one(json!({})).await;
    let (status, before) = node.admin("GET", "/v1.0/logging", None).await;
    assert_eq!((status, &before["Format"], &before["Console"]), (200, &json!("Json"), &json!(true)));
    assert!(before["File"].as_str().unwrap().starts_with("./logs/ollamaflow.log."), "{before:#}");
    assert_eq!(before["Servers"], json!(["127.0.0.1:514"]));
    for body in [
        json!({ "MinimumSeverity": 8 }),
        json!({ "MinimumSeverity": "loud" }),
        json!({ "Filter": "ollamaflow=loud" }),
        json!({ "Level": 1 }),
        json!([]),
    ] {
        let (status, answer) = put(&node, body.clone()).await;
        assert_eq!(status, 400, "{body}: {answer}");
        assert!(!answer["Message"].as_str().unwrap().is_empty());
    }
    let rehearsed =
        node.admin("PUT", "/v1.0/logging?validate=true", Some(&json!({ "MinimumSeverity": 5 }))).await;
    assert_eq!(rehearsed.0, 200);
    let (_, after) = node.admin("GET", "/v1.0/logging", None).await;
    for name in ["MinimumSeverity", "AccessLog", "EffectiveFilter", "Filter"] {
        assert_eq!(before[name], after[name], "{name}");
    }
    let head = Request::new("HEAD", "/v1.0/logging").bearer(ollamaflow_tests::node::ADMIN_TOKEN);
    assert_eq!(head.send(node.addr()).await.collect().await.status(), 200);
    assert_eq!(Request::get("/v1.0/logging").send(node.addr()).await.collect().await.status(), 401);
}

#[tokio::test]
async fn commands_to_the_replicated_state_are_logged_if_that_is_wanted() {
    let (_backend, node) = one(json!({ "MinimumSeverity": 0, "LogQueries": true, "LogResults": true })).await;
    let body = json!({ "Identifier": "new", "Hostname": "10.0.0.1", "BearerToken": "backends-credential" });
    let (status, _) = node.admin("PUT", "/v1.0/backends", Some(&body)).await;
    assert!(status < 300, "{status}");
    let line = |target: &str| {
        let of = |line: &Value| line["target"] == target && line["command"] == "PutBackend";
        objects(&node.logs()).into_iter().find(of)
    };
    let asked = wait::until_some("the command is logged", || line("ollamaflow::queries")).await;
    let result = wait::until_some("its result is logged", || line("ollamaflow::results")).await;
    assert_eq!((&asked["by"], &asked["revision"]), (&json!("file-1"), &result["revision"]));
    assert!(!node.logs().contains("backends-credential"), "{}", node.logs());
}
