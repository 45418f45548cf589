//! The way in: from the page's first request to the list of frontends, as a browser was seen to send it.

use ollamaflow_tests::client::Collected;
use ollamaflow_tests::cluster::Cluster;
use ollamaflow_tests::node::{ADMIN_TOKEN, Node};
use ollamaflow_tests::objects::frontend;
use serde_json::{Value, json};

use crate::{answer, expect, from_page, identifiers, message, pair, shown, with_key};

/// A node at its first run: there is no settings file.
async fn fresh() -> Node {
    let tokens = json!([ADMIN_TOKEN]).to_string();
    Node::builder()
        .arg("--config")
        .arg("none-yet.json")
        .env("OLLAMAFLOW_ADMINBEARERTOKENS", &tokens)
        .start()
        .await
}

/// Whether the page takes an answer for a server that is there: 2xx, readable for it, and a body that is true to a script,
/// whether that takes it for text or for JSON.
fn enables_the_key_field(answer: &Collected) -> bool {
    let is_true = match serde_json::from_slice::<Value>(&answer.body) {
        Ok(Value::Null | Value::Bool(false)) => false,
        Ok(Value::Number(number)) => number.as_f64() != Some(0.0),
        Ok(Value::String(text)) => !text.is_empty(),
        Ok(_) => true,
        Err(_) => !answer.body.is_empty(),
    };
    is_true
        && (200..300).contains(&answer.status())
        && answer.header("Access-Control-Allow-Origin") == Some("*")
}

#[tokio::test]
async fn rule_1_the_root_has_a_body_without_a_token() {
    let node = fresh().await;
    assert!(enables_the_key_field(&answer(&node, from_page("GET", "/")).await));
    // Not even a wrong key, left over from another server, is in the way.
    assert!(enables_the_key_field(&answer(&node, from_page("GET", "/").bearer("wrong")).await));
}

#[tokio::test]
async fn rule_1_holds_for_every_host_name_and_with_no_frontend_for_it() {
    let node = Node::builder().frontend(frontend("f1").hostname("known.example")).start().await;
    for host in ["known.example", "stranger.example", "127.0.0.1:43411"] {
        assert!(enables_the_key_field(&answer(&node, from_page("GET", "/").host(host)).await), "{host}");
    }
}

#[tokio::test]
async fn rule_1_holds_before_a_cluster_has_formed() {
    let mut cluster = Cluster::builder().prepare();
    cluster.start(0).await;
    assert!(enables_the_key_field(&answer(cluster.node(0), from_page("GET", "/")).await));
}

#[tokio::test]
async fn rule_2_a_new_node_lists_a_frontend() {
    let node = fresh().await;
    let list = shown(&node, "/v1.0/frontends").await;
    assert_eq!(identifiers(&list), ["frontend1"]);
    assert_eq!(identifiers(&shown(&node, "/v1.0/backends").await), ["backend1"]);
    assert_eq!(list[0]["Backends"], json!(["backend1"]));
}

/// The page takes an empty list for a wrong key and says nothing. What is not known yet is not empty.
#[tokio::test]
async fn rule_2_a_cluster_that_has_not_formed_says_so_and_shows_no_empty_list() {
    let mut cluster = Cluster::builder().frontend(frontend("f1")).prepare();
    cluster.start(0).await;
    for path in ["/v1.0/frontends", "/v1.0/backends", "/v1.0/backends/health"] {
        let early = answer(cluster.node(0), with_key("GET", path)).await;
        assert!(
            message(&early, 503, "InternalError").contains("not part of a cluster yet"),
            "{}",
            early.text()
        );
        assert!(early.header("Retry-After").is_some(), "{path}");
    }
    cluster.start_together(&[1, 2]).await;
    cluster.formed(3).await;
    for node in 0..3 {
        assert_eq!(identifiers(&shown(cluster.node(node), "/v1.0/frontends").await), ["f1"]);
    }
}

/// The third-party page cannot log in then; the command line and everything else work.
#[tokio::test]
async fn rule_2_the_last_frontend_can_be_deleted_and_the_list_is_empty_then() {
    let node = pair().start().await;
    expect(&answer(&node, with_key("DELETE", "/v1.0/frontends/f1")).await, 204);
    assert_eq!(shown(&node, "/v1.0/frontends").await, json!([]));
    let again = crate::put("/v1.0/frontends", &json!({ "Identifier": "f2" }));
    expect(&answer(&node, again).await, 201);
    assert_eq!(identifiers(&shown(&node, "/v1.0/frontends").await), ["f2"]);
}

#[tokio::test]
async fn a_login_step_by_step() {
    let node = fresh().await;
    // The page loads, its field for the URL loses the focus, the form is submitted.
    for _ in 0..3 {
        assert!(enables_the_key_field(&answer(&node, from_page("GET", "/")).await));
    }
    let preflight = from_page("OPTIONS", "/v1.0/frontends")
        .header("Access-Control-Request-Method", "GET")
        .header("Access-Control-Request-Headers", "authorization");
    let preflight = answer(&node, preflight).await;
    assert!(matches!(preflight.status(), 200 | 204), "{}", preflight.status());
    let list = answer(&node, with_key("GET", "/v1.0/frontends")).await;
    assert_eq!(list.header("Access-Control-Allow-Origin"), Some("*"));
    assert!(!expect(&list, 200).as_array().unwrap().is_empty());
}

/// The Enter key submits twice at once. A user who mistypes and tries again is not locked out.
#[tokio::test]
async fn a_login_submitted_twice_at_once_is_not_locked_out() {
    let node = fresh().await;
    let try_with = async |key: &str| {
        let request = || answer(&node, from_page("GET", "/v1.0/frontends").bearer(key));
        let (one, other) = tokio::join!(request(), request());
        [one, other]
    };
    for _ in 0..3 {
        for refused in try_with("wrong").await {
            assert!(message(&refused, 401, "AuthenticationFailed").contains("token"));
        }
    }
    for list in try_with(ADMIN_TOKEN).await {
        assert_eq!(identifiers(&expect(&list, 200)), ["frontend1"]);
    }
}
