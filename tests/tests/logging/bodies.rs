//! Prompts, answers and heads: in no log unless a frontend or a backend asks for them, and then bounded and without
//! credentials.

use ollamaflow_tests::client::{RawConnection, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::simulated::{FaultKind, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::{PROMPT, chat, chat_body, json_log, line_of, objects, ollama};

/// The bound of what is shown of a body.
const SHOWN: usize = 16 * 1024;

const CREDENTIALS: [&str; 4] =
    ["clients-credential", "backends-credential", "backends-query", "backends-header"];

/// A node with one backend that has credentials, and these properties of both.
async fn node(frontend: Value, backend: Value, severity: u8) -> (SimulatedBackend, Node) {
    let simulated = ollama();
    let mut setup = Setup::new().settings(json_log(json!({ "MinimumSeverity": severity }))).backend_with(
        &simulated,
        |it| {
            let it = it.set("BearerToken", "backends-credential").set("Querystring", "code=backends-query");
            let it = it.set("Headers", json!({ "X-Own": "backends-header" }));
            backend.as_object().unwrap().iter().fold(it, |it, (name, value)| it.set(name, value.clone()))
        },
    );
    for (name, value) in frontend.as_object().unwrap() {
        setup = setup.frontend(name, value.clone());
    }
    (simulated, setup.start().await)
}

fn asking(stream: bool) -> Request {
    chat(stream).bearer("clients-credential").header("x-api-key", "clients-credential")
}

/// What was logged of bodies and heads: who wanted it and what it is.
fn shown(node: &Node) -> Vec<(String, String, Value)> {
    let lines = objects(&node.logs()).into_iter().filter(|line| line["target"] == "ollamaflow::bodies");
    let owner = |line: &Value| {
        let owner = if line["frontend"].is_null() { &line["backend"] } else { &line["frontend"] };
        owner.as_str().unwrap().to_owned()
    };
    lines.map(|line| (owner(&line), line["message"].as_str().unwrap().to_owned(), line)).collect()
}

fn assert_no_credentials(node: &Node) {
    let logs = node.logs();
    for credential in CREDENTIALS {
        assert!(!logs.contains(credential), "{credential}: {logs}");
    }
}

#[tokio::test]
async fn nothing_is_shown_unless_it_is_asked_for_not_even_for_debugging() {
    let (backend, node) = node(json!({}), json!({}), 0).await;
    asking(true).send(node.addr()).await.collect().await;
    // Errors that quote what was asked.
    for status in [400, 500] {
        let message = format!("cannot parse '{PROMPT}'");
        backend.set_fault(FaultKind::Error { status, message });
        asking(true).send(node.addr()).await.collect().await;
    }
    backend.clear_faults();
    let look = || crate::requests(objects(&node.logs())).len() == 3;
    wait::until("all are logged", look).await;
    assert!(!node.logs().contains(PROMPT), "{}", node.logs());
    assert_no_credentials(&node);
}

#[tokio::test]
async fn a_frontend_and_a_backend_show_what_each_of_them_sees() {
    let all = json!({ "LogRequestFull": true, "LogRequestBody": true, "LogResponseBody": true });
    let mut pinned = all.clone();
    pinned["PinnedCompletionsProperties"] = json!({ "options": { "seed": 4242 } });
    let (_backend, node) = node(all, pinned, 1).await;
    let answer = asking(false).send(node.addr()).await.collect().await;
    wait::until("all is shown", || shown(&node).len() == 6).await;
    let shown = shown(&node);
    let one = |owner: &str, what: &str| {
        let mut found = shown.iter().filter(|(whose, message, _)| whose == owner && message == what);
        found.next().unwrap_or_else(|| panic!("{owner}: {what}: {shown:#?}")).2.clone()
    };
    assert_eq!(one("f", "request body")["body"], chat_body(false).to_string());
    let sent = one("b1", "request body")["body"].as_str().unwrap().to_owned();
    assert!(sent.contains(PROMPT) && sent.contains("4242"), "{sent}");
    for owner in ["f", "b1"] {
        let line = one(owner, "response body");
        assert_eq!(
            (line["body"].as_str().unwrap(), line["cut"].as_bool()),
            (answer.text().as_str(), Some(false))
        );
        assert_eq!((&line["status"], &line["bytes"]), (&json!(200), &json!(answer.body.len())));
        let head = one(owner, "request head")["head"].as_str().unwrap().to_owned();
        assert!(head.starts_with("POST /api/chat"), "{head}");
        assert!(head.contains("authorization: ********") && head.contains("x-api-key: ********"), "{head}");
        assert_eq!(line["request"], answer.header("x-ollamaflow-request").unwrap());
    }
    assert_no_credentials(&node);
}

#[tokio::test]
async fn each_flag_is_its_own() {
    for (flag, message) in [
        ("LogRequestFull", "request head"),
        ("LogRequestBody", "request body"),
        ("LogResponseBody", "response body"),
    ] {
        let (_backend, node) = node(json!({ flag: true }), json!({}), 1).await;
        asking(true).send(node.addr()).await.collect().await;
        line_of(&node, "/api/chat").await;
        wait::until("it is shown", || !shown(&node).is_empty()).await;
        let shown = shown(&node);
        assert!(shown.len() == 1 && shown[0].1 == message, "{flag}: {shown:#?}");
        assert_eq!(node.logs().contains(PROMPT), flag == "LogRequestBody", "{flag}");
    }
}

#[tokio::test]
async fn long_bodies_are_cut_and_those_that_stream_through_still_do() {
    let flags = json!({ "LogRequestBody": true, "LogResponseBody": true });
    let (backend, node) = node(flags.clone(), flags, 1).await;
    backend.knobs(|knobs| knobs.tokens = 4000);
    // More than the node keeps, so that it streams through.
    let long = "long words ".repeat(200_000);
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": long }] });
    Request::post("/api/chat").json(&body).send(node.addr()).await.collect().await;
    wait::until("all is shown", || shown(&node).len() == 4).await;
    for (_, message, line) in shown(&node) {
        assert_eq!((line["body"].as_str().unwrap().len(), &line["cut"]), (SHOWN, &json!(true)), "{message}");
    }
    assert!(node.logs().len() < 4 * SHOWN * 2 + 16 * 1024);
}

#[tokio::test]
async fn a_stream_that_is_shown_reaches_the_client_piece_by_piece_and_is_shown_when_it_ends() {
    let (backend, node) = node(json!({ "LogResponseBody": true }), json!({}), 1).await;
    backend.knobs(|knobs| {
        knobs.endless = true;
        knobs.tokens_per_second = 50.0;
    });
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    connection.send_request(&chat(true)).await.unwrap();
    let mut frames = connection.response().await.unwrap().lines();
    for _ in 0..3 {
        frames.expect_next().await;
    }
    assert!(shown(&node).is_empty());
    drop(frames);
    wait::until("it is shown", || shown(&node).len() == 1).await;
}

#[tokio::test]
async fn what_is_no_text_is_not_shown() {
    let (_backend, node) = node(json!({ "LogRequestBody": true }), json!({}), 1).await;
    Request::post("/v1/audio/transcriptions")
        .body(vec![0xff, 0xfe, 0, 1])
        .send(node.addr())
        .await
        .collect()
        .await;
    wait::until("it is shown", || shown(&node).len() == 1).await;
    assert_eq!(shown(&node)[0].2["body"], "<4 bytes that are no text>");
}
