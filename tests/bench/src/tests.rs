//! The upstream and the load generator against each other, without a proxy in between: what one scripts and stamps, the
//! other must find.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::LocalSet;

use crate::clock::CpuTime;
use crate::load::client::Client;
use crate::load::request::{self, Api, SHORT_BODY_BYTES, SMALL_BODY_BYTES};
use crate::load::streams::{self, Shape};
use crate::load::{closed_loop, faults, idle, slow};
use crate::upstream::Upstream;
use crate::wire::script::Script;

/// Runs `scenario` against an upstream of its own, both on this thread.
fn with_upstream<S: Future>(scenario: impl FnOnce(SocketAddr) -> S) -> S::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let upstream = Upstream::bind(0).unwrap();
        let addr = upstream.addr().unwrap();
        let _serving = tokio::task::spawn_local(upstream.run());
        scenario(addr).await
    })
}

#[test]
fn exactly_the_counted_requests_are_answered() {
    let bytes = request::chat(Api::Ollama, Script::Answer, SMALL_BODY_BYTES);
    let outcome = with_upstream(|addr| closed_loop::count(addr, bytes, 8, 500, &CpuTime::default));
    assert_eq!((outcome.completed, outcome.failed), (500, 0));
    assert!(outcome.latency.percentile_us(50.0) > 0.0);
}

#[test]
fn a_health_check_and_an_answer_share_a_connection() {
    let answers = with_upstream(async |addr| {
        let mut client = Client::connect(addr).await.unwrap();
        let health = client.fetch(&request::get("/", None)).await.unwrap();
        let models = client.fetch(&request::get("/api/tags", None)).await.unwrap();
        let chat = request::chat(Api::Ollama, Script::Answer, 100 * 1024);
        [health, models, client.fetch(&chat).await.unwrap()]
    });
    assert!(answers.iter().all(|answer| answer.status == 200));
    let [_, models, chat] = answers.map(|answer| serde_json::from_slice::<serde_json::Value>(&answer.body));
    assert_eq!(models.unwrap()["models"][0]["name"], "bench");
    assert_eq!(chat.unwrap()["done"], true);
}

#[test]
fn every_chunk_of_every_stream_arrives_in_both_formats() {
    for api in [Api::Ollama, Api::Openai] {
        let bytes = request::chat(api, Script::Stream { chunks: 7, interval_us: 500 }, SHORT_BODY_BYTES);
        let shape =
            Shape { streams: 9, chunks: 7, spread: Duration::from_millis(5), limit: Duration::from_secs(60) };
        let outcome = with_upstream(async |addr| streams::run(addr, &bytes, shape, &CpuTime::default).await);
        assert_eq!((outcome.chunks, outcome.complete), (7 * 9, 9));
        assert!(outcome.delay.percentile_us(50.0) > 0.0);
        assert!(outcome.first_byte.percentile_us(50.0) > 0.0);
    }
}

#[test]
fn a_truncated_stream_is_seen_as_cut() {
    let result = with_upstream(|addr| faults::truncations(addr, Api::Ollama, 6));
    assert_eq!((result.tried, result.cut, result.reported_complete), (6, 6, 0));
}

#[test]
fn idle_streams_stay_open() {
    let open = with_upstream(async |addr| {
        let bytes = request::chat(Api::Ollama, Script::Idle, SHORT_BODY_BYTES);
        idle::open(addr, &bytes, 100).await.len()
    });
    assert_eq!(open, 100);
}

#[test]
fn a_flood_is_whole_although_nobody_read_it_for_a_while() {
    let (open, read) = with_upstream(async |addr| {
        let bytes = request::chat(Api::Openai, Script::Flood { chunks: 3_000 }, SHORT_BODY_BYTES);
        let mut readers = slow::open(addr, &bytes, 3).await;
        (readers.len(), readers.read(2, 3_000).await)
    });
    assert_eq!((open, read), (3, (2, 2)));
}

#[test]
fn a_script_in_the_body_does_for_one_in_the_head() {
    let bytes = request::chat(Api::Openai, Script::Stream { chunks: 5, interval_us: 500 }, SHORT_BODY_BYTES);
    let text = String::from_utf8(bytes).unwrap();
    let bytes = text.replacen("x-bench: ", "x-other: ", 1).into_bytes();
    let shape = Shape { streams: 2, chunks: 5, spread: Duration::ZERO, limit: Duration::from_secs(60) };
    let outcome = with_upstream(async |addr| streams::run(addr, &bytes, shape, &CpuTime::default).await);
    assert_eq!((outcome.chunks, outcome.complete), (10, 2));
}

#[test]
fn a_stream_with_a_chunk_too_few_is_not_complete() {
    let bytes = request::chat(Api::Openai, Script::Stream { chunks: 6, interval_us: 500 }, SHORT_BODY_BYTES);
    let shape = Shape { streams: 2, chunks: 7, spread: Duration::ZERO, limit: Duration::from_secs(60) };
    let outcome = with_upstream(async |addr| streams::run(addr, &bytes, shape, &CpuTime::default).await);
    assert_eq!((outcome.chunks, outcome.complete), (12, 0));
}

/// A proxy that answers every request with 200 and with less than the upstream said.
#[test]
fn an_answer_that_lacks_its_body_is_a_failure() {
    let bytes = request::chat(Api::Openai, Script::Answer, SMALL_BODY_BYTES);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = LocalSet::new().block_on(&runtime, async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let _serving = tokio::task::spawn_local(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut request = vec![0; 4096];
                let _ = socket.read(&mut request).await;
                let _ = socket
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
                    .await;
            }
        });
        closed_loop::count(addr, bytes, 1, 3, &CpuTime::default).await
    });
    assert_eq!((outcome.completed, outcome.failed), (0, 3));
}

#[test]
fn a_request_that_the_upstream_cannot_read_is_a_failure() {
    let bytes = b"POST / HTTP/1.1\r\nx-bench: dance\r\ncontent-length: 0\r\n\r\n".to_vec();
    let outcome = with_upstream(|addr| closed_loop::count(addr, bytes, 1, 2, &CpuTime::default));
    assert_eq!((outcome.completed, outcome.failed), (0, 2));
}
