//! The two ways out: a shutdown gives requests their time, a drop does not.

use std::time::{Duration, Instant};

use ollamaflow_tests::client::{End, RawConnection};
use ollamaflow_tests::wait;
use serde_json::json;

use crate::{beside_others, chat, engine, settings, shut_down, start, until_carried};

#[tokio::test]
async fn a_stream_that_ends_within_the_grace_time_is_finished() {
    let _shared = beside_others().await;
    let (backend, directory) = (engine(), tempfile::tempdir().unwrap());
    let node = start(settings(&backend, directory.path())).await.unwrap();
    until_carried(&node).await;
    backend.knobs(|knobs| {
        knobs.tokens = 10;
        knobs.tokens_per_second = 20.0;
    });
    let mut lines = chat(true).send(node.address()).await.lines();
    lines.expect_next().await;
    let stopping = tokio::spawn(shut_down(node));
    let (frames, end) = lines.collect().await;
    assert_eq!((frames.last().unwrap().json()["done"].as_bool(), end), (Some(true), End::Complete));
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_stream_that_goes_on_longer_ends_with_an_error_frame() {
    let _shared = beside_others().await;
    let (backend, directory) = (engine(), tempfile::tempdir().unwrap());
    let mut settings = settings(&backend, directory.path());
    settings.shutdown_grace_ms = 300;
    let node = start(settings).await.unwrap();
    let address = node.address();
    until_carried(&node).await;
    backend.knobs(|knobs| {
        knobs.endless = true;
        knobs.tokens_per_second = 50.0;
    });
    let mut lines = chat(true).send(address).await.lines();
    lines.expect_next().await;
    let began = Instant::now();
    let stopping = tokio::spawn(shut_down(node));
    let (frames, end) = lines.collect().await;
    let told = json!({ "error": "the node is shutting down" });
    assert_eq!((frames.last().unwrap().json(), end), (told, End::Complete));
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    stopping.await.unwrap();
    assert!(RawConnection::open(address).await.is_err(), "nothing listens any more");
}

#[tokio::test]
async fn a_dropped_node_stops_at_once() {
    let _shared = beside_others().await;
    let (backend, directory) = (engine(), tempfile::tempdir().unwrap());
    let mut settings = settings(&backend, directory.path());
    settings.shutdown_grace_ms = 300_000;
    let node = start(settings).await.unwrap();
    until_carried(&node).await;
    backend.knobs(|knobs| {
        knobs.endless = true;
        knobs.tokens_per_second = 50.0;
    });
    let mut lines = chat(true).send(node.address()).await.lines();
    lines.expect_next().await;
    let began = Instant::now();
    tokio::task::spawn_blocking(move || drop(node)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let (frames, end) = lines.collect().await;
    let is_told = frames.last().is_some_and(|frame| frame.json()["error"].is_string());
    assert!(is_told || end != End::Complete, "no stream ends as if it were whole: {frames:?}");
    wait::until_eq("the backend is left alone", || backend.stats().in_flight(), 0).await;
}
