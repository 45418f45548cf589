//! What is looked at: the status, sessions, the live view; how it fits the terminal.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::setup::Setup;
use serde_json::json;

use crate::program::Operator;
use crate::{engine, node_of};

#[tokio::test]
async fn the_status_is_one_page() {
    let node = node_of([engine(), engine()]).await;
    let operator = Operator::of(&node);
    let text = operator.done("status").await;
    for part in ["ready", "1 node, node 1 leads, quorum", "1 of 1 active", "2 of 2 healthy", "BACKEND"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let json = operator.json("status").await;
    assert_eq!((&json["Ready"], &json["Cluster"]["HasQuorum"]), (&json!(true), &json!(true)));
    assert_eq!(json["Backends"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn sessions_are_shown_and_ended() {
    let engine = engine();
    let node = Setup::new().frontend("UseStickySessions", true).backend(&engine).start().await;
    let operator = Operator::of(&node);
    assert_eq!(operator.done("sessions").await, "no sessions on this node\n");
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }] });
    let request = Request::post("/api/chat").header("X-Conversation-Id", "c1").json(&body);
    assert_eq!(request.send(node.addr()).await.collect().await.status(), 200);
    let text = operator.done("sessions list").await;
    assert!(text.contains("c1") && text.contains("b1"), "{text}");
    assert_eq!(operator.json("sessions --frontend f").await[0]["Backend"], "b1");
    operator.fails("sessions --frontend g", 5).await;
    assert!(operator.done("sessions clear --frontend f").await.contains("were ended"));
    assert_eq!(operator.json("sessions").await, json!([]));
}

#[tokio::test]
async fn the_live_view_prints_one_frame_where_there_is_no_terminal() {
    let node = node_of([engine()]).await;
    let operator = Operator::of(&node);
    operator.done("try x").await;
    let text = operator.done("top --interval 100").await;
    for part in ["node 1 at ", "requests  ", "queues    ", "BACKEND", "b1"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let json = operator.json("top --once --interval 100").await;
    assert_eq!(json["Requests"]["complete"]["Total"], 1.0, "{json}");
    assert_eq!(json["Backends"][0]["Identifier"], "b1");
}

#[tokio::test]
async fn tables_fit_the_width_and_have_no_colours_off_a_terminal() {
    let node = node_of([engine()]).await;
    for columns in ["30", "60", "200"] {
        let operator = Operator::of(&node).env("COLUMNS", columns).env("TERM", "xterm-256color");
        for line in
            ["backends list", "frontends list", "models list", "frontends explain f", "cluster members"]
        {
            let text = operator.done(line).await;
            assert!(!text.contains('\u{1b}'), "{line}: {text}");
            let table = text.lines().skip_while(|line| !line.starts_with(|c: char| c.is_ascii_uppercase()));
            let widest = table.map(|line| line.chars().count()).max().unwrap_or_default();
            assert!(widest <= columns.parse().unwrap(), "{line} at {columns}: {widest}\n{text}");
        }
    }
}
