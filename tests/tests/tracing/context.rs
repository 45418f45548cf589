//! Traces that go through: W3C Trace Context in and out, and who decides what is recorded.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::simulated::SimulatedBackend;
use serde_json::json;

use crate::collector::{Collector, Manner, place};
use crate::{ask, chat, ollama, one};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn with_parent(traceparent: &str) -> Request {
    chat(false).header("traceparent", traceparent).header("tracestate", "vendor=1")
}

/// What the backend has got: `traceparent` and `tracestate` of its last request.
fn received(backend: &SimulatedBackend) -> (String, Option<String>) {
    let last = backend.requests_to("/api/chat").pop().unwrap();
    let parents = last.headers_named("traceparent");
    assert_eq!(parents.len(), 1);
    (parents[0].to_owned(), last.header("tracestate").map(str::to_owned))
}

#[tokio::test]
async fn the_client_s_trace_goes_on_here_and_at_the_backend() {
    let (collector, backend, node) = one().await;
    assert_eq!(ask(&node, with_parent(&format!("00-{TRACE}-{SPAN}-01"))).await, 200);
    let tree = collector.trace().await;
    assert!(place(&tree.root).starts_with(TRACE));
    assert_eq!(tree.root.parent_span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
    assert_eq!(tree.root.trace_state, "vendor=1");
    let sent = format!("00-{}-01", place(tree.named("attempt")[0]));
    assert_eq!(received(&backend), (sent, Some("vendor=1".to_owned())));
}

#[tokio::test]
async fn a_client_that_does_not_record_is_not_recorded_and_its_trace_goes_on() {
    let (collector, backend, node) = one().await;
    assert_eq!(ask(&node, with_parent(&format!("00-{TRACE}-{SPAN}-00"))).await, 200);
    let (parent, state) = received(&backend);
    assert!(parent.starts_with(&format!("00-{TRACE}-")) && parent.ends_with("-00"), "{parent}");
    assert_eq!(state.as_deref(), Some("vendor=1"));
    // What comes after it is recorded, and nothing else.
    assert_eq!(ask(&node, chat(false)).await, 200);
    let tree = collector.trace().await;
    assert!(!place(&tree.root).starts_with(TRACE));
}

#[tokio::test]
async fn a_malformed_trace_is_ignored_and_so_is_its_state() {
    let (collector, backend, node) = one().await;
    for (count, bad) in [
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01".to_owned(),
        format!("00-{TRACE}-0000000000000000-01"),
        format!("ff-{TRACE}-{SPAN}-01"),
        format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
        format!("00-{TRACE}-{SPAN}-01-more"),
        format!("00-{TRACE}-{SPAN}"),
        "garbage".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(ask(&node, with_parent(bad)).await, 200);
        let trees = collector.traces(count + 1).await;
        for tree in &trees {
            assert!(tree.root.parent_span_id.is_empty(), "{bad}");
            assert!(!place(&tree.root).starts_with(TRACE), "{bad}");
            assert_eq!(tree.root.trace_state, "");
        }
        let (parent, state) = received(&backend);
        assert!(!parent.contains(TRACE), "{bad}: {parent}");
        assert_eq!(state, None, "{bad}");
    }
}

async fn node_with(collector: &Collector, ratio: f64, backend: &SimulatedBackend) -> Node {
    let settings = json!({ "Tracing": { "Endpoint": collector.url(), "SamplingRatio": ratio } });
    Setup::new().backend(backend).settings(settings).start().await
}

#[tokio::test]
async fn with_a_ratio_of_none_only_clients_that_record_are_recorded() {
    let (collector, backend) = (Collector::start(Manner::Takes).await, ollama());
    let node = node_with(&collector, 0.0, &backend).await;
    for _ in 0..5 {
        assert_eq!(ask(&node, chat(false)).await, 200);
        assert!(received(&backend).0.ends_with("-00"));
    }
    assert_eq!(ask(&node, with_parent(&format!("00-{TRACE}-{SPAN}-01"))).await, 200);
    let tree = collector.trace().await;
    assert!(place(&tree.root).starts_with(TRACE));
}

#[tokio::test]
async fn without_a_collector_traces_pass_through_and_nothing_is_sent() {
    let (collector, backend) = (Collector::start(Manner::Takes).await, ollama());
    let mut node = Setup::new().backend(&backend).start().await;
    assert_eq!(ask(&node, with_parent(&format!("00-{TRACE}-{SPAN}-01"))).await, 200);
    let (parent, state) = received(&backend);
    assert!(parent.starts_with(&format!("00-{TRACE}-")) && parent.ends_with("-01"), "{parent}");
    assert_eq!(state.as_deref(), Some("vendor=1"));
    let metrics = node.metrics().await;
    assert_eq!(metrics.count("ollamaflow_spans_exported_total", &[]), None);
    let tasks = std::fs::read_dir(format!("/proc/{}/task", node.pid())).unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    assert!(!names.into_iter().any(|name| name.trim() == "traces"), "there is not even a thread");
    assert!(node.terminate().await.success());
    assert!(collector.messages().is_empty());
}

#[tokio::test]
async fn the_variables_of_opentelemetry_and_the_flag_name_the_collector() {
    let (by_variable, by_flag) =
        (Collector::start(Manner::Takes).await, Collector::start(Manner::Takes).await);
    let backend = ollama();
    let (frontend, backends) = Setup::new().backend(&backend).objects();
    let builder = Node::builder()
        .frontend(frontend)
        .backend(backends[0].clone())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &by_variable.url())
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b")
        .env("OTEL_SERVICE_NAME", "models");
    let mut node = builder.start().await;
    node.wait_healthy(&["b1"]).await;
    assert_eq!(ask(&node, chat(false)).await, 200);
    by_variable.trace().await;
    assert_eq!(by_variable.services(), ["models"]);
    assert!(by_variable.messages()[0].0.to_ascii_lowercase().contains("x-key: a b"));

    node.reconfigure(|builder| builder.arg("--otlp-endpoint").arg(&by_flag.url()));
    node.restart().await;
    node.wait_healthy(&["b1"]).await;
    assert_eq!(ask(&node, chat(false)).await, 200);
    by_flag.trace().await;
    assert_eq!(by_variable.services().len(), 1, "a flag wins");
}
