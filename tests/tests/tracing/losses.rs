//! Collectors that do not take what they get: requests do not notice, memory stays, and losses are counted.

use std::time::{Duration, Instant};

use ollamaflow_tests::node::Node;
use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::wait;
use serde_json::json;

use crate::collector::{Collector, Manner};
use crate::{ask, chat, ollama, one};

/// Waits until so many spans were lost for this reason.
async fn until_lost(node: &Node, reason: &str, least: u64) {
    wait::until_answered("spans are counted as lost", async || {
        let lost = node.metrics().await.count("ollamaflow_spans_lost_total", &[("reason", reason)]);
        if lost.is_some_and(|lost| lost >= least) { Ok(()) } else { Err(format!("{reason}: {lost:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_collector_that_hangs_delays_no_request_and_what_does_not_fit_is_lost() {
    let (collector, backend) = (Collector::start(Manner::Hangs).await, ollama());
    let settings =
        json!({ "Tracing": { "Endpoint": collector.url(), "QueueLength": 10, "TimeoutMs": 600_000 } });
    let mut node = Setup::new().backend(&backend).settings(settings).start().await;
    assert_eq!(ask(&node, chat(false)).await, 200);
    // Now the thread hangs with the first message, and ten more requests wait.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let started = Instant::now();
    for _ in 0..100 {
        assert_eq!(ask(&node, chat(false)).await, 200);
    }
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    until_lost(&node, "full", 3 * 80).await;
    let stopping = Instant::now();
    assert!(node.terminate().await.success());
    assert!(stopping.elapsed() < Duration::from_secs(15), "{:?}", stopping.elapsed());
}

#[tokio::test]
async fn a_collector_that_is_not_there_fails_no_request() {
    let backend = ollama();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = json!({ "Tracing": { "Endpoint": format!("http://{free}") } });
    let node = Setup::new().backend(&backend).settings(settings).start().await;
    for _ in 0..20 {
        assert_eq!(ask(&node, chat(false)).await, 200);
    }
    until_lost(&node, "failed", 3).await;
    wait::until("it is said", || node.logs().contains("spans are lost")).await;
}

#[tokio::test]
async fn what_a_busy_collector_refuses_is_sent_again_and_what_it_never_takes_is_lost() {
    let (collector, _backend, node) = one().await;
    collector.is_now(Manner::Refuses(503));
    assert_eq!(ask(&node, chat(false)).await, 200);
    tokio::time::sleep(Duration::from_millis(800)).await;
    collector.is_now(Manner::Takes);
    collector.trace().await;
    wait::until_answered("it is counted", async || {
        let sent = node.metrics().await.count("ollamaflow_spans_exported_total", &[]);
        if sent == Some(3) { Ok(()) } else { Err(format!("{sent:?}")) }
    })
    .await;
    collector.is_now(Manner::Refuses(400));
    assert_eq!(ask(&node, chat(false)).await, 200);
    until_lost(&node, "failed", 3).await;
    assert_eq!(collector.messages().len(), 1);
}

#[tokio::test]
async fn a_node_that_stops_sends_what_it_has() {
    let (collector, _backend, mut node) = one().await;
    for _ in 0..5 {
        assert_eq!(ask(&node, chat(false)).await, 200);
    }
    assert!(node.terminate().await.success());
    assert_eq!(collector.traces(5).await.len(), 5);
}
