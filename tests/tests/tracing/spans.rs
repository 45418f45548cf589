//! The spans of requests: which, of what, and how they end.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::simulated::FaultKind;
use ollamaflow_tests::wait;
use serde_json::json;

use crate::collector::{Collector, Manner, attribute, is_error, place};
use crate::{PROMPT, ask, chat, ollama, one, traced};

#[tokio::test]
async fn a_request_is_a_span_with_an_attempt_and_a_stream_in_it() {
    let (collector, backend, node) = one().await;
    assert_eq!(ask(&node, chat(true)).await, 200);
    let tree = collector.trace().await;
    assert_eq!(tree.names(), ["attempt", "stream"]);
    assert_eq!(tree.root.name, "POST ollama_chat");
    assert!(tree.root.parent_span_id.is_empty());
    for (name, value) in [
        ("http.request.method", "POST"),
        ("url.path", "/api/chat"),
        ("http.response.status_code", "200"),
        ("client.address", "127.0.0.1"),
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.request.model", "m"),
        ("ollamaflow.frontend", "f"),
        ("ollamaflow.backend", "b1"),
        ("ollamaflow.outcome", "complete"),
        ("ollamaflow.attempts", "1"),
    ] {
        assert_eq!(attribute(&tree.root, name), value, "{name}");
    }
    for name in ["ollamaflow.decision", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"] {
        assert_ne!(attribute(&tree.root, name), "", "{name}");
    }
    assert!(attribute(&tree.root, "gen_ai.server.time_to_first_token").parse::<f64>().unwrap() > 0.0);
    let attempt = tree.named("attempt")[0];
    assert_eq!(attempt.kind, 3, "a call to another server");
    for (name, value) in [
        ("server.address", "127.0.0.1".to_owned()),
        ("server.port", backend.port().to_string()),
        ("http.response.status_code", "200".to_owned()),
        ("ollamaflow.backend", "b1".to_owned()),
        ("gen_ai.request.model", "m".to_owned()),
    ] {
        assert_eq!(attribute(attempt, name), value, "{name}");
    }
    for span in tree.children.iter().chain([&tree.root]) {
        assert!(!is_error(span), "{}", span.name);
        assert!(span.start_time_unix_nano >= tree.root.start_time_unix_nano);
        assert!(span.end_time_unix_nano <= tree.root.end_time_unix_nano);
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    }
    assert_eq!(collector.services(), ["ollamaflow"]);
    let arrived = backend.requests_to("/api/chat");
    let sent = format!("00-{}-01", place(attempt));
    assert_eq!(arrived[0].header("traceparent"), Some(sent.as_str()), "the backend goes on from the attempt");
}

#[tokio::test]
async fn each_attempt_is_a_span_and_the_failed_one_says_so() {
    let (collector, first, second) = (Collector::start(Manner::Takes).await, ollama(), ollama());
    let node = Setup::new()
        .backend(&first)
        .backend_with(&second, |backend| backend.set("Priority", 1))
        .settings(traced(&collector))
        .start()
        .await;
    first.set_fault(FaultKind::Error { status: 500, message: format!("it hates {PROMPT}") });
    assert_eq!(ask(&node, chat(false)).await, 200);
    let tree = collector.trace().await;
    assert_eq!(tree.names(), ["attempt", "attempt", "stream"]);
    let [failed, good] = tree.named("attempt")[..] else { panic!("{:?}", tree.names()) };
    assert!(is_error(failed) && !is_error(good) && !is_error(&tree.root));
    assert_eq!(attribute(failed, "http.response.status_code"), "500");
    assert_eq!(
        (attribute(failed, "ollamaflow.backend"), attribute(good, "ollamaflow.backend")),
        ("b1".into(), "b2".into())
    );
    assert_eq!(attribute(&tree.root, "ollamaflow.attempts"), "2");
    assert_ne!(
        first.requests_to("/api/chat")[0].header("traceparent"),
        second.requests_to("/api/chat")[0].header("traceparent")
    );
}

#[tokio::test]
async fn a_stream_that_goes_on_elsewhere_is_one_request_with_two_attempts() {
    let (collector, first, second) = (Collector::start(Manner::Takes).await, ollama(), ollama());
    let node = Setup::new()
        .frontend("ResumeStreams", true)
        .backend(&first)
        .backend_with(&second, |backend| backend.set("Priority", 1))
        .settings(traced(&collector))
        .start()
        .await;
    first.set_fault(FaultKind::ResetAfter { frames: 7 });
    assert_eq!(ask(&node, chat(true)).await, 200);
    let tree = collector.trace().await;
    assert_eq!(tree.named("attempt").len(), 2);
    assert_eq!(tree.named("stream").len(), 1);
    assert_eq!(attribute(&tree.root, "ollamaflow.resumed"), "1");
    assert_eq!(attribute(&tree.root, "ollamaflow.backend"), "b2");
}

#[tokio::test]
async fn waiting_for_a_slot_is_a_span() {
    let (collector, backend) = (Collector::start(Manner::Takes).await, ollama());
    let node = Setup::new()
        .backend_with(&backend, |backend| backend.set("MaxParallelRequests", 1))
        .settings(traced(&collector))
        .start()
        .await;
    backend.knobs(|knobs| {
        knobs.endless = true;
        knobs.tokens_per_second = 50.0;
    });
    let mut lines = chat(true).send(node.addr()).await.lines();
    lines.expect_next().await;
    let address = node.addr();
    let second = tokio::spawn(async move { chat(false).send(address).await.collect().await.status() });
    wait::until_answered("it waits", async || {
        let queued = node.metrics().await.count("ollamaflow_queue_length", &[]);
        if queued == Some(1) { Ok(()) } else { Err(format!("{queued:?}")) }
    })
    .await;
    backend.knobs(|knobs| knobs.endless = false);
    drop(lines);
    assert_eq!(second.await.unwrap(), 200);
    let trees = collector.traces(2).await;
    let waited = trees.iter().find(|tree| !tree.named("queue").is_empty()).expect("one has waited");
    assert_eq!(waited.names(), ["queue", "attempt", "stream"]);
    let other = trees.iter().find(|tree| tree.named("queue").is_empty()).expect("one has not");
    assert_eq!(attribute(&other.root, "ollamaflow.outcome"), "cancelled");
    assert!(!is_error(&other.root), "a client that leaves is no failure");
}

#[tokio::test]
async fn a_client_that_leaves_before_an_answer_ends_its_attempt() {
    let (collector, backend, node) = one().await;
    backend.set_fault(FaultKind::HangBeforeHeaders { for_ms: None });
    let address = node.addr();
    let asking = tokio::spawn(async move { chat(true).try_send(address).await.map(drop) });
    wait::until_eq("the backend works", || backend.stats().in_flight(), 1).await;
    asking.abort();
    let tree = collector.trace().await;
    assert_eq!(tree.names(), ["attempt"]);
    assert_eq!(attribute(tree.named("attempt")[0], "ollamaflow.outcome"), "cancelled");
    assert_eq!(attribute(&tree.root, "ollamaflow.outcome"), "cancelled");
}

#[tokio::test]
async fn errors_of_the_client_and_of_backends_are_told_apart() {
    let (collector, backend, node) = one().await;
    assert_eq!(ask(&node, Request::get("/nowhere")).await, 404);
    let tree = collector.trace().await;
    assert!(!is_error(&tree.root), "the client's mistake");
    assert_ne!(attribute(&tree.root, "error.type"), "");
    assert_eq!(tree.names(), [""; 0]);
    backend.set_fault(FaultKind::CloseBeforeHeaders { by: ollamaflow_tests::simulated::EndBy::Fin });
    assert_eq!(ask(&node, chat(false)).await, 502);
    let trees = collector.traces(2).await;
    let failed =
        trees.iter().find(|tree| attribute(&tree.root, "http.response.status_code") == "502").unwrap();
    assert!(is_error(&failed.root));
    assert!(is_error(failed.named("attempt")[0]));
}

#[tokio::test]
async fn nothing_of_what_was_asked_answered_or_kept_secret_is_told() {
    let (collector, backend) = (Collector::start(Manner::Takes).await, ollama());
    let node = Setup::new()
        .backend_with(&backend, |backend| backend.set("BearerToken", "backend-secret"))
        .settings(
            json!({ "Tracing": { "Endpoint": collector.url(), "Headers": { "x-key": "collector-secret" } } }),
        )
        .start()
        .await;
    let request = chat(true).header("authorization", "Bearer client-secret");
    assert_eq!(ask(&node, request).await, 200);
    let query = Request::get("/api/tags?key=query-secret");
    assert_eq!(ask(&node, query).await, 200);
    collector.traces(2).await;
    let said = ollamaflow_tests::simulated::WORDS[0];
    for (head, body) in collector.messages() {
        assert!(head.to_ascii_lowercase().contains("x-key: collector-secret"), "{head}");
        assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
        for text in [PROMPT, said, "backend-secret", "client-secret", "query-secret", "collector-secret"] {
            let found = body.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!found, "{text:?} was told");
        }
    }
    assert!(!node.logs().contains("collector-secret"));
}
