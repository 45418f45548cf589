//! A thousand streams at once, and a backend that is killed in the middle of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ollamaflow_tests::client::{self, End};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::SimulatedBackend;
use ollamaflow_tests::wait;
use serde_json::json;

use crate::{chat, ollama};
use ollamaflow_tests::setup::{Setup, wait_idle};

const STREAMS: usize = 1000;

/// Tokens of a whole answer, and their pace: slow enough that the kill comes in the middle on a busy machine.
const TOKENS: u64 = 20;
const TOKENS_PER_SECOND: f64 = 2.5;

/// File descriptors that may come and go with health checks.
const SPARE_DESCRIPTORS: usize = 16;

/// What a client made of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// All tokens and the end marker.
    Complete,
    /// An error frame as the last one.
    Told,
    /// A clean end without either, or tokens missing from a stream that says it is complete.
    Short,
    /// The connection was cut, or there was no stream at all.
    Broken,
}

fn descriptors(node: &Node) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", node.pid())).unwrap().count()
}

/// Reads one stream to its end, and tells when its first frame is there.
async fn follow(address: std::net::SocketAddr, begun: Arc<AtomicUsize>) -> Fate {
    let Ok(response) = chat(true).try_send(address).await else { return Fate::Broken };
    let status = response.status();
    let mut lines = response.lines();
    let mut frames = Vec::new();
    while let Some(frame) = lines.next().await {
        if frames.is_empty() {
            begun.fetch_add(1, Ordering::Relaxed);
        }
        frames.push(frame.json());
    }
    let last = frames.last().cloned().unwrap_or_default();
    let tokens = frames.iter().filter(|frame| frame["done"] == false).count() as u64;
    match (status, lines.end()) {
        (200, Some(End::Complete)) if last["error"].is_string() => Fate::Told,
        (200, Some(End::Complete)) if last["done"] == true && tokens == TOKENS => Fate::Complete,
        (200, Some(End::Complete)) => Fate::Short,
        _ => Fate::Broken,
    }
}

#[tokio::test]
async fn of_a_thousand_streams_each_ends_complete_or_with_an_error_frame_when_a_backend_is_killed_midway() {
    let backends: [SimulatedBackend; 4] = std::array::from_fn(|_| ollama());
    for backend in &backends {
        backend.knobs(|knobs| {
            knobs.tokens = TOKENS;
            knobs.tokens_per_second = TOKENS_PER_SECOND;
        });
    }
    let node = backends
        .iter()
        .fold(Setup::new(), Setup::backend)
        .settings(json!({ "Upstream": { "IdleTimeoutMs": 1000 } }))
        .start()
        .await;
    let descriptors_before = descriptors(&node);

    // All streams run.
    let begun = Arc::new(AtomicUsize::new(0));
    let streams = tokio::spawn({
        let (address, begun) = (node.addr(), Arc::clone(&begun));
        client::many(STREAMS, move |_| follow(address, Arc::clone(&begun)))
    });
    wait::until_eq("all streams have begun", || begun.load(Ordering::Relaxed), STREAMS).await;
    let descriptors_within = descriptors(&node);

    // One backend dies.
    let lost = usize::try_from(backends[0].stats().in_flight()).unwrap();
    backends[0].stop();
    let fates = streams.await.unwrap();

    let count = |fate| fates.iter().filter(|other| **other == fate).count();
    let (complete, told) = (count(Fate::Complete), count(Fate::Told));
    println!(
        "{STREAMS} streams, {lost} at the killed backend: {complete} complete, {told} with an error frame, \
         {} silently short, {} broken, 0 hanging",
        count(Fate::Short),
        count(Fate::Broken),
    );
    assert!(lost > 0, "no stream ran at the killed backend any more");
    assert_eq!((complete, told), (STREAMS - lost, lost));

    // Nothing is left behind.
    wait_idle(&node).await;
    for backend in &backends {
        wait::until_eq("nothing is in flight", || backend.stats().in_flight(), 0).await;
        assert_eq!((backend.stats().running, backend.stats().waiting), (0, 0));
    }
    wait::until("the node's file descriptors are back", || {
        descriptors(&node) <= descriptors_before + SPARE_DESCRIPTORS
    })
    .await;
    println!(
        "file descriptors of the node: {descriptors_before} before, {descriptors_within} within, {} after",
        descriptors(&node)
    );
}
