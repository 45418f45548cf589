//! `/v1.0/sessions`: the sessions of the answering node, listed and cleared.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::SimulatedBackend;
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::setup::{Setup, sessions};
use crate::{ask, chat, decision, ollama, served_by};

const EXPIRATION_MS: u64 = 600_000;

/// Two sticky frontends, told apart by host.
async fn node() -> (SimulatedBackend, Node) {
    let backend = ollama();
    let setup = Setup::new()
        .frontend("UseStickySessions", true)
        .frontend("StickySessionExpirationMs", EXPIRATION_MS)
        .settings(json!({ "StickyHeaders": ["X-User"] }))
        .backend(&backend);
    let (frontend, _) = setup.objects();
    let named = |host: &str| frontend.clone().set("Identifier", host).hostname(host);
    let node = setup.start_with([named("one"), named("two")]).await;
    (backend, node)
}

fn of(host: &str, client: &str) -> Request {
    chat(false).host(host).header("X-User", client)
}

/// A time of the API, in microseconds of an epoch of its own: only differences count.
fn time(session: &Value, property: &str) -> i128 {
    let text = session[property].as_str().unwrap_or_else(|| panic!("{property} in {session}"));
    let time: jiff::Timestamp = text.parse().unwrap_or_else(|e| panic!("{property}: {text}: {e}"));
    i128::from(time.as_microsecond())
}

#[tokio::test]
async fn sessions_are_listed_with_their_client_backend_and_times() {
    let (_backend, node) = node().await;
    assert!(sessions(&node, "").await.is_empty());
    let answer = ask(&node, of("one", "alice")).await;
    let listed = sessions(&node, "").await;
    assert_eq!(listed.len(), 1);
    let session = &listed[0];
    assert_eq!((&session["Frontend"], &session["Client"]), (&json!("one"), &json!("alice")));
    assert_eq!(session["Backend"], served_by(&answer));
    let lasts_ms = (time(session, "ExpiresUtc") - time(session, "LastUsedUtc")) / 1000;
    assert!((i128::from(EXPIRATION_MS) - lasts_ms).abs() <= 1000, "{session}");
    assert!(time(session, "CreatedUtc") <= time(session, "LastUsedUtc"));
}

#[tokio::test]
async fn each_request_moves_the_expiry_on() {
    let (_backend, node) = node().await;
    ask(&node, of("one", "alice")).await;
    let before = sessions(&node, "").await.remove(0);
    wait::until_answered("the expiry has moved", async || {
        ask(&node, of("one", "alice")).await;
        let after = sessions(&node, "").await.remove(0);
        assert_eq!(after["CreatedUtc"], before["CreatedUtc"], "it is the same session");
        let moved = ["LastUsedUtc", "ExpiresUtc"].iter().all(|name| time(&after, name) > time(&before, name));
        if moved { Ok(()) } else { Err(after.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn the_list_can_be_narrowed_to_a_frontend() {
    let (_backend, node) = node().await;
    for (host, client) in [("one", "alice"), ("one", "bob"), ("two", "alice")] {
        ask(&node, of(host, client)).await;
    }
    assert_eq!(sessions(&node, "").await.len(), 3);
    assert_eq!(sessions(&node, "?frontend=one").await.len(), 2);
    assert_eq!(sessions(&node, "?frontend=two").await.len(), 1);
    let (status, _) = node.admin("GET", "/v1.0/sessions?frontend=none", None).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn sessions_can_be_cleared_of_one_frontend_or_of_all() {
    let (_backend, node) = node().await;
    for host in ["one", "two"] {
        ask(&node, of(host, "alice")).await;
    }
    let (status, _) = node.admin("DELETE", "/v1.0/sessions?frontend=one", None).await;
    assert_eq!(status, 204);
    let left = sessions(&node, "").await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["Frontend"], "two");
    assert_eq!(decision(&ask(&node, of("one", "alice")).await), "Sticky; hash");
    let (status, _) = node.admin("DELETE", "/v1.0/sessions", None).await;
    assert_eq!(status, 204);
    assert!(sessions(&node, "").await.is_empty());
}

#[tokio::test]
async fn sessions_are_shown_to_nobody_without_a_token() {
    let (_backend, node) = node().await;
    for method in ["GET", "DELETE"] {
        let answer = Request::new(method, "/v1.0/sessions").send(node.addr()).await;
        assert_eq!(answer.status(), 401, "{method}");
    }
}

#[tokio::test]
async fn sessions_of_a_frontend_that_is_deleted_go_with_it() {
    let (_backend, node) = node().await;
    ask(&node, of("one", "alice")).await;
    let (status, _) = node.admin("DELETE", "/v1.0/frontends/one", None).await;
    assert_eq!(status, 204);
    wait::until_answered("its session is gone", async || {
        let left = sessions(&node, "").await;
        if left.is_empty() { Ok(()) } else { Err(Value::from(left).to_string()) }
    })
    .await;
}
