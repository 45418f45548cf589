//! Request bodies in a content coding: what the node reads and what backends get is decoded, within the same bounds.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{FaultKind, ReceivedFraming, SimConfig, SimulatedBackend, sha256};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::{chat_body, ollama, served_by};
use ollamaflow_tests::setup::{Setup, peak_bytes, wait_idle};

const MIB: usize = 1024 * 1024;

/// What a node may grow by while it decodes: the largest window, a kept body, and its buffers.
const DECODING_BYTES: u64 = 24 * MIB as u64;

const CODINGS: [&str; 2] = ["gzip", "zstd"];

fn encoded(coding: &str, body: &[u8]) -> Vec<u8> {
    if coding == "zstd" {
        return zstd::encode_all(body, 3).unwrap();
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// A request with this body in this coding.
fn post(path: &str, coding: &str, body: impl AsRef<[u8]>) -> Request {
    sent_as(path, coding, encoded(coding, body.as_ref()))
}

/// A request with these bytes, said to be in this coding.
fn sent_as(path: &str, coding: &str, bytes: impl Into<bytes::Bytes>) -> Request {
    Request::post(path)
        .header("Content-Type", "application/json")
        .header("Content-Encoding", coding)
        .body(bytes)
}

async fn ask(node: &Node, request: Request) -> Collected {
    request.send(node.addr()).await.collect().await
}

/// Bytes that no coding makes shorter.
fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    fastrand::Rng::with_seed(bytes as u64).fill(&mut noise);
    noise
}

/// A gibibyte in a few kilobytes: the beginning of a chat, and then only blanks.
fn bomb(coding: &str) -> Vec<u8> {
    let mut bomb = encoded(coding, b"{\"model\":\"m\",\"stream\":false,\"messages\":[],\"x\":\"");
    let blanks = encoded(coding, &vec![b' '; 16 * MIB]);
    (0..64).for_each(|_| bomb.extend_from_slice(&blanks));
    bomb
}

#[tokio::test]
async fn a_backend_gets_the_decoded_body_with_its_length_and_without_the_coding() {
    let backend = ollama();
    let node = Setup::new().backend(&backend).start().await;
    let body = chat_body(false).to_string();
    for coding in ["gzip", "x-gzip", "zstd", "identity, GZIP"] {
        let bytes = encoded(coding, body.as_bytes());
        for (request, path) in [
            (sent_as("/api/chat", coding, bytes.clone()), "/api/chat"),
            (sent_as("/api/chat", coding, bytes.clone()).chunked(7), "/api/chat"),
            (sent_as("/v1/chat/completions", coding, bytes), "/v1/chat/completions"),
        ] {
            let answer = ask(&node, request).await;
            assert_eq!(answer.status(), 200, "{coding}: {}", answer.text());
            let arrived = backend.requests_to(path).pop().unwrap();
            assert_eq!(arrived.text(), body, "{coding}");
            assert_eq!(arrived.framing, ReceivedFraming::ContentLength(body.len() as u64), "{coding}");
            assert_eq!(arrived.header("content-encoding"), None, "{coding}");
        }
    }
}

#[tokio::test]
async fn a_large_body_streams_through_decoded_in_bounded_memory() {
    let backend = ollama();
    backend.knobs(|knobs| knobs.record_body_bytes = 64 * MIB);
    backend.set_fault(FaultKind::json(200, &json!({})));
    let node = Setup::new().backend(&backend).start().await;
    let body = noise(40 * MIB);
    let before = node.rss_bytes();
    for coding in CODINGS {
        let answer = ask(&node, post("/api/echo/blob", coding, &body)).await;
        assert_eq!(answer.status(), 200, "{coding}: {}", answer.text());
        let arrived = backend.requests_to("/api/echo").pop().unwrap();
        assert_eq!((arrived.framing, arrived.body_length), (ReceivedFraming::Chunked, body.len() as u64));
        assert!(arrived.body == body, "{coding}: the body differs");
    }
    let grown = peak_bytes(&node).saturating_sub(before);
    println!("two bodies of 40 MiB: resident {before} bytes before, peak {grown} more");
    assert!(grown < DECODING_BYTES, "grew by {grown} bytes");
}

#[tokio::test]
async fn another_backend_gets_the_whole_decoded_body_too() {
    let body = chat_body(false).to_string();
    for coding in CODINGS {
        let (one, two) = (ollama(), ollama());
        one.set_fault(FaultKind::status(503));
        let node = Setup::new().backend(&one).backend(&two).start().await;
        let answer = ask(&node, post("/api/chat", coding, &body)).await;
        assert_eq!((answer.status(), served_by(&answer)), (200, "b2"), "{coding}");
        for backend in [one, two] {
            assert_eq!(backend.requests_to("/api/chat").pop().unwrap().text(), body, "{coding}");
        }
    }
}

#[tokio::test]
async fn pins_are_merged_into_the_decoded_body() {
    let backend = ollama();
    let pins = json!({ "options": { "num_ctx": 4096 } });
    let node = Setup::new().frontend("PinnedCompletionsProperties", pins).backend(&backend).start().await;
    for coding in CODINGS {
        let answer = ask(&node, post("/api/chat", coding, r#"{"model":"m","stream":false}"#)).await;
        assert_eq!(answer.status(), 200, "{coding}: {}", answer.text());
        let arrived = backend.requests_to("/api/chat").pop().unwrap().text();
        assert_eq!(arrived, r#"{"model":"m","stream":false,"options":{"num_ctx":4096}}"#, "{coding}");
    }
}

#[tokio::test]
async fn a_request_is_routed_by_the_model_that_its_coding_hides() {
    let (other, having) = (SimulatedBackend::start(SimConfig::ollama(["other"])), ollama());
    let node = Setup::new().backend(&other).backend(&having).start().await;
    wait::until_answered("the node knows who has the model", async || {
        let body = chat_body(false);
        let (_, explained) = node.admin("POST", "/v1.0/frontends/f/explain", Some(&body)).await;
        let candidates: Vec<&Value> =
            explained["Candidates"].as_array().into_iter().flatten().map(|it| &it["HasModel"]).collect();
        if candidates == [&json!(false), &json!(true)] { Ok(()) } else { Err(explained.to_string()) }
    })
    .await;
    for coding in CODINGS {
        for _ in 0..3 {
            let answer = ask(&node, post("/api/chat", coding, chat_body(false).to_string())).await;
            assert_eq!((answer.status(), served_by(&answer)), (200, "b2"), "{coding}");
        }
    }
    assert_eq!(other.stats().received(), 0);
}

#[tokio::test]
async fn a_body_may_be_as_large_as_the_frontend_takes_once_it_is_decoded_and_no_larger() {
    let backend = ollama();
    let mut body = chat_body(false);
    // It must not be the coded body that is too large.
    body["messages"][0]["content"] = "hello ".repeat(100).into();
    let body = body.to_string();
    let node = Setup::new().frontend("MaxRequestBodySize", body.len()).backend(&backend).start().await;
    for coding in CODINGS {
        for (body, status) in [(body.clone(), 200), (format!("{body} "), 413)] {
            let answer = ask(&node, post("/api/chat", coding, &body)).await;
            assert_eq!(answer.status(), status, "{coding}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn a_bomb_is_a_413_and_costs_no_memory() {
    let held = Setup::new().frontend("PinnedCompletionsProperties", json!({ "think": false }));
    for (setup, how) in [(held, "held whole for its pins"), (Setup::new(), "streamed")] {
        let backend = ollama();
        let node = setup.frontend("MaxRequestBodySize", 4 * MIB).backend(&backend).start().await;
        let before = node.rss_bytes();
        for coding in CODINGS {
            let bomb = bomb(coding);
            println!("{coding}: a gibibyte in {} bytes", bomb.len());
            for path in ["/api/chat", "/v1/messages"] {
                let answer = ask(&node, sent_as(path, coding, bomb.clone())).await;
                assert_eq!(answer.status(), 413, "{coding}, {how}: {}", answer.text());
            }
        }
        let grown = peak_bytes(&node).saturating_sub(before);
        println!("four bombs, {how}: resident {before} bytes before, peak {grown} more");
        assert!(grown < DECODING_BYTES, "{how}: grew by {grown} bytes");
        wait_idle(&node).await;
    }
}

#[tokio::test]
async fn a_broken_body_is_a_400_in_the_clients_protocol_and_reaches_nobody() {
    let backend = ollama();
    let node = Setup::new().backend(&backend).start().await;
    let body = chat_body(false).to_string();
    for coding in CODINGS {
        let whole = encoded(coding, body.as_bytes());
        let truncated = &whole[..whole.len() - 1];
        let followed = [&whole[..], b"rubbish"].concat();
        let (truncated, followed, plain) = (truncated.to_vec(), followed, body.clone().into_bytes());
        for (bytes, what) in [(truncated, "truncated"), (followed, "followed"), (plain, "not coded at all")] {
            let send = async |path| {
                let answer = ask(&node, sent_as(path, coding, bytes.clone())).await;
                assert_eq!(answer.status(), 400, "{path}, {coding}, {what}: {}", answer.text());
                answer.json()
            };
            let ours = send("/api/chat").await;
            assert!(ours["error"].as_str().unwrap().contains(coding), "{what}: {ours}");
            assert_eq!(send("/v1/chat/completions").await["error"]["type"], "invalid_request_error");
            assert_eq!(send("/v1/messages").await["error"]["type"], "invalid_request_error");
        }
    }
    assert_eq!(backend.stats().received(), 0);
}

#[tokio::test]
async fn a_coding_that_is_not_known_is_a_415_that_names_those_that_are() {
    let backend = ollama();
    let node = Setup::new().backend(&backend).start().await;
    for coding in ["br", "deflate", "gzip, gzip"] {
        let send = async |path| {
            let answer = ask(&node, sent_as(path, coding, "{}")).await;
            assert_eq!(answer.status(), 415, "{path}, {coding}: {}", answer.text());
            assert_eq!(answer.header("accept-encoding"), Some("gzip, zstd"));
            answer.json()
        };
        assert!(send("/api/chat").await["error"].as_str().unwrap().contains(coding));
        assert_eq!(send("/v1/chat/completions").await["error"]["type"], "invalid_request_error");
        assert_eq!(send("/v1/messages").await["error"]["type"], "invalid_request_error");
    }
    assert_eq!(backend.stats().received(), 0);
}

#[tokio::test]
async fn a_request_without_a_body_may_name_any_coding() {
    let backend = ollama();
    let node = Setup::new().backend(&backend).start().await;
    for coding in ["gzip", "br"] {
        let answer = ask(&node, Request::get("/api/tags").header("Content-Encoding", coding)).await;
        assert_eq!(answer.status(), 200, "{coding}: {}", answer.text());
    }
    let empty = [sent_as("/api/chat", "gzip", ""), sent_as("/api/chat", "zstd", "").chunked(1)];
    for request in &empty {
        let answer = ask(&node, request.clone()).await;
        assert_eq!(served_by(&answer), "b1", "{}", answer.text());
    }
    let arrived = backend.requests_to("/api/chat");
    assert_eq!(arrived.iter().map(|request| request.body_length).collect::<Vec<_>>(), [0; 2]);
}

#[tokio::test]
async fn a_blob_is_passed_on_as_it_was_sent() {
    let backend = ollama();
    let node = Setup::new().backend(&backend).start().await;
    for (coding, layer) in [("gzip", "a layer of a model"), ("br", "another layer")] {
        let bytes = encoded("gzip", layer.as_bytes());
        let path = format!("/api/blobs/{}", sha256(&bytes));
        let answer = ask(&node, sent_as(&path, coding, bytes.clone())).await;
        assert_eq!(answer.status(), 201, "{}", answer.text());
        let arrived = backend.requests_to("/api/blobs").pop().unwrap();
        assert_eq!(arrived.header("content-encoding"), Some(coding));
        assert_eq!(arrived.body_length, bytes.len() as u64);
    }
}
