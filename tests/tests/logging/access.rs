//! One line for each request, however it ends.

use ollamaflow_tests::client::{RawConnection, Request};
use ollamaflow_tests::node::{Node, Signal};
use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::simulated::{EndBy, Fault, FaultKind, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::{PROMPT, chat, json_log, line_of, objects, ollama, one, requests};

fn text<'a>(line: &'a Value, name: &str) -> &'a str {
    line[name].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_request_that_is_answered_has_a_line_with_all_that_is_known_of_it() {
    let (_backend, node) = one(json!({})).await;
    for (path, stream) in [("/api/chat", true), ("/v1/chat/completions", false)] {
        let body = crate::chat_body(stream);
        let request =
            Request::post(&format!("{path}?secret=in-the-query")).json(&body).bearer("a-clients-secret");
        let answer = request.send(node.addr()).await.collect().await;
        assert_eq!(answer.status(), 200);
        let line = line_of(&node, path).await;
        assert_eq!(text(&line, "request"), answer.header("x-ollamaflow-request").unwrap());
        let expected = json!({
            "level": "INFO", "target": "access", "message": "request ended", "client": "127.0.0.1", "method": "POST",
            "path": path, "frontend": "f", "backend": "b1", "model": "m", "status": 200, "outcome": "complete",
            "attempts": 1, "queue_ms": 0.0, "bytes": answer.body.len(),
            "operation": if stream { "ollama_chat" } else { "openai_chat" },
        });
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&line[name], value, "{name}: {line:#}");
        }
        let (duration, first) = (line["duration_ms"].as_f64().unwrap(), line["ttft_ms"].as_f64().unwrap());
        assert!(0.0 < first && first <= duration, "{line:#}");
        assert!(
            line["prompt_tokens"].as_u64().unwrap() > 0 && line["completion_tokens"].as_u64().unwrap() > 0
        );
        assert!(text(&line, "timestamp").ends_with('Z') && line.get("error").is_none(), "{line:#}");
    }
    let logs = node.logs();
    for secret in [PROMPT, "a-clients-secret", "in-the-query"] {
        assert!(!logs.contains(secret), "{logs}");
    }
}

#[tokio::test]
async fn each_answer_of_our_own_has_a_line() {
    let (_backend, node) = one(json!({})).await;
    for (method, path, status, outcome, error) in [
        ("GET", "/", 200, "complete", None),
        ("HEAD", "/favicon.ico", 200, "complete", None),
        ("OPTIONS", "/api/generate", 204, "complete", None),
        ("GET", "/api/tags", 200, "complete", None),
        ("GET", "/nothing", 404, "error", Some("not_found")),
        ("PATCH", "/api/chat", 405, "error", Some("method_not_allowed")),
        ("GET", "/api/a/../b", 400, "error", Some("dot_segment")),
    ] {
        let answer = Request::new(method, path).send(node.addr()).await.collect().await;
        assert_eq!(answer.status(), status, "{method} {path}");
        let line = line_of(&node, path).await;
        assert_eq!((text(&line, "method"), &line["status"]), (method, &json!(status)));
        assert_eq!((text(&line, "outcome"), line["error"].as_str()), (outcome, error), "{line:#}");
    }
}

#[tokio::test]
async fn each_refusal_has_a_line() {
    let backend = ollama();
    let setup = Setup::new().backend(&backend).settings(json_log(json!({})));
    let node = setup.frontend("Hostname", "known").frontend("AllowEmbeddings", false).start().await;
    for (path, host, error) in [
        ("/api/chat", "unknown", "no_frontend"),
        ("/api/embed", "known", "not_permitted"),
        ("/api/pull", "known", "failed"),
    ] {
        let request = Request::post(path).host(host).json(&json!({ "model": "m", "input": "x" }));
        let answer = request.send(node.addr()).await.collect().await;
        let line = line_of(&node, path).await;
        assert_eq!(line["status"], answer.status(), "{line:#}");
        assert_eq!(line["outcome"], if answer.status() < 400 { "complete" } else { "error" }, "{line:#}");
        if path != "/api/pull" {
            assert_eq!(line["error"], error, "{line:#}");
        }
    }
}

#[tokio::test]
async fn backends_that_fail_or_refuse_have_lines_that_say_so() {
    let (backend, node) = one(json!({})).await;
    backend.set_fault(FaultKind::CloseBeforeHeaders { by: EndBy::Fin });
    chat(true).send(node.addr()).await.collect().await;
    let line = line_of(&node, "/api/chat").await;
    assert_eq!(
        (&line["status"], text(&line, "outcome"), text(&line, "error")),
        (&json!(502), "error", "failed")
    );
    backend.clear_faults();
    let unknown = json!({ "model": "m", "prompt": 7 });
    let answer = Request::post("/api/generate").json(&unknown).send(node.addr()).await.collect().await;
    let line = line_of(&node, "/api/generate").await;
    assert_eq!(line["status"], answer.status(), "{line:#}");
}

#[tokio::test]
async fn a_stream_that_breaks_has_a_line_that_says_so() {
    let (backend, node) = one(json!({})).await;
    backend.set_fault(Fault::from(FaultKind::ResetAfter { frames: 2 }));
    chat(true).send(node.addr()).await.collect().await;
    let line = line_of(&node, "/api/chat").await;
    assert_eq!((&line["status"], text(&line, "outcome")), (&json!(200), "error"), "{line:#}");
    assert_eq!(text(&line, "error"), "broke_off", "{line:#}");
    assert!(line["bytes"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_has_a_line_without_a_status() {
    let (backend, node) = one(json!({})).await;
    backend.set_fault(FaultKind::HangBeforeHeaders { for_ms: None });
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    connection.send_request(&chat(true)).await.unwrap();
    wait::until_eq("it is in flight", || backend.stats().in_flight(), 1).await;
    drop(connection);
    let line = line_of(&node, "/api/chat").await;
    assert_eq!((text(&line, "outcome"), line.get("status")), ("cancelled", None), "{line:#}");
    assert_eq!((&line["attempts"], text(&line, "model")), (&json!(1), "m"), "{line:#}");
}

#[tokio::test]
async fn a_client_that_leaves_in_the_queue_has_a_line_with_its_wait() {
    let backend = ollama();
    let setup = Setup::new().backend_with(&backend, |backend| backend.set("MaxParallelRequests", 1));
    let node = setup.settings(json_log(json!({}))).start().await;
    backend.set_fault(FaultKind::HangBeforeHeaders { for_ms: None });
    let mut first = RawConnection::open(node.addr()).await.unwrap();
    first.send_request(&chat(true)).await.unwrap();
    wait::until_eq("it is in flight", || backend.stats().in_flight(), 1).await;
    let mut second = RawConnection::open(node.addr()).await.unwrap();
    let generate = Request::post("/api/generate").json(&json!({ "model": "m", "prompt": PROMPT }));
    second.send_request(&generate).await.unwrap();
    wait::until_answered("it waits", async || {
        match node.metrics().await.count("ollamaflow_queue_length", &[("frontend", "f")]) {
            Some(1) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    drop(second);
    let line = line_of(&node, "/api/generate").await;
    assert_eq!((text(&line, "outcome"), &line["attempts"]), ("cancelled", &json!(0)), "{line:#}");
    assert!(line["queue_ms"].as_f64().unwrap() > 0.0, "{line:#}");
    drop(first);
}

async fn endless() -> (SimulatedBackend, Node) {
    let (backend, node) = one(json!({})).await;
    backend.knobs(|knobs| {
        knobs.endless = true;
        knobs.tokens_per_second = 50.0;
    });
    (backend, node)
}

#[tokio::test]
async fn a_client_that_leaves_its_stream_has_a_line() {
    let (_backend, node) = endless().await;
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    connection.send_request(&chat(true)).await.unwrap();
    let mut frames = connection.response().await.unwrap().lines();
    frames.expect_next().await;
    assert_eq!(requests(objects(&node.logs())).len(), 0, "it has not ended yet");
    drop(frames);
    let line = line_of(&node, "/api/chat").await;
    assert_eq!((&line["status"], text(&line, "outcome")), (&json!(200), "cancelled"), "{line:#}");
}

#[tokio::test]
async fn a_stream_that_the_node_ends_when_it_stops_has_a_line() {
    let backend = ollama();
    backend.knobs(|knobs| {
        knobs.endless = true;
        knobs.tokens_per_second = 50.0;
    });
    let mut settings = json_log(json!({}));
    settings["ShutdownGraceMs"] = 100.into();
    let mut node = Setup::new().backend(&backend).settings(settings).start().await;
    let stream = chat(true).send(node.addr()).await;
    node.signal(Signal::Term);
    stream.collect().await;
    node.wait_exit().await;
    let lines = requests(objects(&(node.logs() + "\n")));
    assert_eq!(lines.len(), 1, "the last lines are written before the process ends");
    assert_eq!((text(&lines[0], "outcome"), text(&lines[0], "error")), ("error", "stopping"));
}

#[tokio::test]
async fn a_stream_that_went_on_elsewhere_names_the_backend_that_ended_it() {
    let (first, second) = (ollama(), ollama());
    let setup = Setup::new().backend(&first).backend_with(&second, |backend| backend.set("Priority", 1));
    let node = setup.frontend("ResumeStreams", true).settings(json_log(json!({}))).start().await;
    first.set_fault(Fault::from(FaultKind::ResetAfter { frames: 5 }));
    let answer = chat(true).send(node.addr()).await.collect().await;
    assert!(answer.text().contains("\"done\":true"), "{}", answer.text());
    let line = line_of(&node, "/api/chat").await;
    assert_eq!((text(&line, "outcome"), text(&line, "backend")), ("complete", "b2"), "{line:#}");
    assert_eq!(line["resumed"], 1, "{line:#}");
}

#[tokio::test]
async fn many_requests_on_few_connections_have_one_line_each() {
    const REQUESTS: usize = 300;
    let (_backend, node) = one(json!({})).await;
    let address = node.addr();
    ollamaflow_tests::client::many(REQUESTS, move |_| async move {
        chat(false).send(address).await.collect().await;
    })
    .await;
    wait::until("all are logged", || requests(objects(&node.logs())).len() >= REQUESTS).await;
    let lines = requests(objects(&node.logs()));
    let ids: std::collections::HashSet<_> =
        lines.iter().map(|line| text(line, "request").to_owned()).collect();
    assert_eq!((lines.len(), ids.len()), (REQUESTS, REQUESTS));
}

#[tokio::test]
async fn calls_of_the_admin_api_have_lines_and_probes_have_none() {
    let (_backend, node) = one(json!({})).await;
    for path in ["/livez", "/readyz", "/metrics"] {
        Request::get(path).send(node.addr()).await.collect().await;
    }
    let refused =
        Request::get("/v1.0/tokens").bearer("wrong-token-1234").send(node.addr()).await.collect().await;
    assert_eq!(refused.status(), 401);
    let look = || objects(&node.logs()).into_iter().find(|line| line["path"] == "/v1.0/tokens");
    let line = wait::until_some("the call is logged", look).await;
    assert_eq!((&line["status"], text(&line, "operation")), (&json!(401), "admin"), "{line:#}");
    assert_eq!(text(&line, "request"), refused.header("x-ollamaflow-request").unwrap());
    let logs = node.logs();
    assert!(!logs.contains("/metrics") && !logs.contains("wrong-token-1234"), "{logs}");
}

#[tokio::test]
async fn what_clients_write_cannot_look_like_another_line() {
    let backend = ollama();
    let node = Setup::new().backend(&backend).start().await;
    let body =
        json!({ "model": "m\n2026-01-01T00:00:00.000000Z  INFO access: forged\u{1b}[31m", "prompt": "x" });
    Request::post("/api/generate").json(&body).send(node.addr()).await.collect().await;
    wait::until("it is logged", || node.logs().contains("path=/api/generate")).await;
    let logs = node.logs();
    assert!(!logs.lines().any(|line| line.starts_with("2026-01-01")), "{logs}");
    assert!(!logs.contains('\u{1b}') && logs.contains(r"m\u000a2026"), "{logs}");
}

#[tokio::test]
async fn there_are_no_lines_if_none_are_wanted() {
    for logging in
        [json!({ "AccessLog": false }), json!({ "MinimumSeverity": 2 }), json!({ "Enable": false })]
    {
        let (_backend, node) = one(logging.clone()).await;
        chat(false).send(node.addr()).await.collect().await;
        let mut node = node;
        node.terminate().await;
        assert!(!node.logs().contains("request ended"), "{logging}: {}", node.logs());
    }
}
