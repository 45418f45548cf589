//! Large request bodies: they stream through, are not held for another attempt, and slow readers slow their senders.

use std::time::{Duration, Instant};

use ollamaflow_tests::client::{End, RawConnection, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{FaultKind, ReceivedFraming, SimulatedBackend, sha256};
use ollamaflow_tests::wait;

use crate::scripted::ScriptedBackend;
use crate::{ollama, served_by};
use ollamaflow_tests::setup::{Setup, peak_bytes, wait_idle};

const MIB: usize = 1024 * 1024;

/// What a node may grow by while a body streams through it: far less than the bodies here, far more than its buffers.
const STREAMING_BYTES: u64 = 8 * MIB as u64;

/// A body without period, so that a lost or doubled block shows.
fn body(bytes: usize) -> Vec<u8> {
    let mut dice = fastrand::Rng::with_seed(bytes as u64);
    let mut body = vec![0; bytes];
    dice.fill(&mut body);
    body
}

/// Two backends that remember whole bodies and answer 201 to `/api/echo/blob`.
async fn two() -> ([SimulatedBackend; 2], Node) {
    let backends: [SimulatedBackend; 2] = std::array::from_fn(|_| ollama());
    for backend in &backends {
        backend.knobs(|knobs| knobs.record_body_bytes = 64 * MIB);
        backend.set_fault(FaultKind::Answer {
            status: 201,
            headers: Vec::new(),
            body: Some(String::new()),
            body_base64: None,
        });
    }
    let node = Setup::new().backend(&backends[0]).backend(&backends[1]).start().await;
    (backends, node)
}

#[tokio::test]
async fn twenty_mebibytes_arrive_intact_in_bounded_memory() {
    let (backends, node) = two().await;
    let body = body(20 * MIB);
    let before = node.rss_bytes();
    let post = || Request::post("/api/echo/blob").body(body.clone());
    let length = body.len() as u64;
    for (request, framing) in [
        (post(), ReceivedFraming::ContentLength(length)),
        (post().chunked(300_007), ReceivedFraming::Chunked),
    ] {
        let answer = request.send(node.addr()).await.collect().await;
        assert_eq!((answer.status(), answer.end), (201, End::Complete));
        let backend = if served_by(&answer) == "b1" { &backends[0] } else { &backends[1] };
        let arrived = backend.requests_to("/api/echo").pop().unwrap();
        assert_eq!((arrived.framing, arrived.body_length), (framing, length));
        assert!(arrived.body == body, "{framing:?}: the body differs");
    }
    let grown = peak_bytes(&node).saturating_sub(before);
    println!("two uploads of 20 MiB: resident {before} bytes before, peak {grown} more");
    assert!(grown < STREAMING_BYTES, "grew by {grown} bytes");
}

#[tokio::test]
async fn a_blob_is_stored_under_its_digest() {
    let backend = ollama();
    let node = Setup::new().backend(&backend).start().await;
    let path = format!("/api/blobs/{}", sha256(body(3 * MIB)));
    assert_eq!(Request::new("HEAD", &path).send(node.addr()).await.status(), 404);
    let answer = Request::post(&path).body(body(3 * MIB)).send(node.addr()).await.collect().await;
    assert_eq!((answer.status(), answer.end), (201, End::Complete));
    assert_eq!(Request::new("HEAD", &path).send(node.addr()).await.status(), 200);
    let arrived = backend.requests_to("/api/blobs").into_iter().find(|request| request.method == "POST");
    assert_eq!(arrived.unwrap().body_length, 3 * MIB as u64);
}

#[tokio::test]
async fn a_body_of_one_mebibyte_is_kept_for_another_backend_and_a_larger_one_is_not() {
    for (bytes, status, attempts) in [(MIB, 201, [1, 1]), (MIB + 1, 503, [1, 0])] {
        for chunked in [false, true] {
            let (backends, node) = two().await;
            backends[0].set_faults(vec![FaultKind::status(503).into()]);
            let post = Request::post("/api/echo/blob").body(body(bytes));
            let request = if chunked { post.chunked(65_537) } else { post };
            let answer = request.send(node.addr()).await.collect().await;
            assert_eq!((answer.status(), answer.end), (status, End::Complete), "{bytes} bytes");
            let seen = backends.each_ref().map(|backend| backend.requests_to("/api/echo").len());
            assert_eq!(seen, attempts, "{bytes} bytes, chunked: {chunked}");
        }
    }
}

#[tokio::test]
async fn a_large_body_goes_to_another_backend_when_the_connection_was_refused() {
    for chunked in [false, true] {
        let (backends, node) = two().await;
        backends[0].set_faults(vec![FaultKind::refuse().into()]);
        let body = body(3 * MIB);
        let post = Request::post("/api/echo/blob").body(body.clone());
        let request = if chunked { post.chunked(65_537) } else { post };
        let answer = request.send(node.addr()).await.collect().await;
        assert_eq!((answer.status(), served_by(&answer)), (201, "b2"));
        assert!(backends[1].requests_to("/api/echo").pop().unwrap().body == body);
    }
}

#[tokio::test]
async fn an_answer_that_comes_before_the_body_was_sent_is_relayed() {
    let (backends, node) = two().await;
    for backend in &backends {
        backend.set_faults(vec![FaultKind::EarlyResponse { status: 413, linger: true }.into()]);
    }
    for bytes in [MIB, 20 * MIB] {
        let request = Request::post("/api/echo/blob").body(body(bytes));
        let answer = request.send(node.addr()).await.collect().await;
        assert_eq!((answer.status(), answer.end), (413, End::Complete), "{bytes} bytes");
    }
    wait_idle(&node).await;
}

#[tokio::test]
async fn a_backend_that_does_not_read_stops_the_sender_and_costs_no_memory() {
    let mut backend = ScriptedBackend::start();
    let node = Setup::new().backend(&backend).start().await;
    let before = node.rss_bytes();
    let total = 256 * MIB;
    let mut client = RawConnection::open(node.addr()).await.unwrap();
    let head = format!("POST /api/any HTTP/1.1\r\nHost: h\r\nContent-Length: {total}\r\n\r\n");
    client.send(head).await.unwrap();
    let block = vec![b'x'; MIB];
    let mut sent = 0;
    // Stops when a block has not gone out for a while: then every buffer on the way is full.
    while tokio::time::timeout(Duration::from_secs(1), client.send(&block)).await.is_ok() {
        sent += 1;
        assert!(sent * MIB < total, "everything was taken though nobody reads");
    }
    let grown = node.rss_bytes().saturating_sub(before);
    println!("the sender was stopped after {sent} MiB of {}; the node grew by {grown} bytes", total / MIB);
    assert!(grown < STREAMING_BYTES, "grew by {grown} bytes");
    let mut conversation = backend.next().await;
    client.abort();
    conversation.gone().await;
    wait_idle(&node).await;
}

#[tokio::test]
async fn a_large_body_reaches_the_backend_while_the_client_still_sends() {
    let mut backend = ScriptedBackend::start();
    let node = Setup::new().backend(&backend).start().await;
    let mut client = RawConnection::open(node.addr()).await.unwrap();
    let total = 4 * MIB;
    let head = format!("POST /api/any HTTP/1.1\r\nHost: h\r\nContent-Length: {total}\r\n\r\n");
    client.send(head).await.unwrap();
    let body = body(total);
    let sending = tokio::spawn(async move {
        for block in body[..2 * MIB].chunks(MIB) {
            client.send(block).await.unwrap();
        }
        (client, body)
    });
    let mut conversation = backend.next().await;
    conversation.read_body(2 * MIB).await;
    let (mut client, body) = sending.await.unwrap();
    assert!(conversation.body == body[..2 * MIB]);
    let (sent, ()) = tokio::join!(client.send(&body[2 * MIB..]), conversation.read_body(total));
    sent.unwrap();
    assert!(conversation.body == body);
    conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(client.response().await.unwrap().collect().await.text(), "ok");
}

#[tokio::test]
async fn an_upload_that_takes_longer_than_the_frontends_patience_is_no_silence_of_the_backend() {
    const PATIENCE: Duration = Duration::from_secs(3);
    const PARTS: u32 = 20;
    let backend = ollama();
    backend.set_fault(FaultKind::json(200, &serde_json::json!({})));
    let patience_ms = u64::try_from(PATIENCE.as_millis()).unwrap();
    let node = Setup::new().frontend("TimeoutMs", patience_ms).backend(&backend).start().await;
    let upload = async |request: Request| {
        let wire = request.to_wire(node.addr());
        let mut client = RawConnection::open(node.addr()).await.unwrap();
        let begun = Instant::now();
        // With the pauses alone it takes longer than that.
        client.send_slowly(&wire, wire.len() / PARTS as usize, PATIENCE / (PARTS - 2)).await.unwrap();
        assert!(begun.elapsed() > PATIENCE);
        let answer = client.response().await.unwrap().collect().await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
    };
    let post = Request::post("/api/echo/blob").body(body(3 * MIB));
    tokio::join!(upload(post.clone()), upload(post.chunked(65_536)));
    let arrived = backend.requests_to("/api/echo");
    assert!(arrived.len() == 2 && arrived.iter().all(|request| request.body_length == 3 * MIB as u64));
}

#[tokio::test]
async fn a_backend_that_stops_reading_an_upload_is_a_504() {
    let mut backend = ScriptedBackend::start();
    let node = Setup::new().frontend("TimeoutMs", 500).backend(&backend).start().await;
    let request = Request::post("/api/any").body(body(64 * MIB));
    let asking = request.try_send(node.addr());
    let answering = backend.next();
    let (answer, mut conversation) = tokio::join!(asking, answering);
    assert_eq!(answer.unwrap().status(), 504);
    conversation.gone().await;
    wait_idle(&node).await;
}

#[tokio::test]
async fn a_kept_body_is_given_up_when_the_first_byte_of_the_answer_is_relayed() {
    const STREAMS: usize = 100;
    let mut backend = ScriptedBackend::start();
    let node = Setup::new().backend(&backend).start().await;
    let before = node.rss_bytes();
    let mut chat = crate::chat_body(true);
    chat["messages"][0]["content"] = "x".repeat(MIB - 1024).into();
    let request = Request::post("/api/chat").json(&chat);

    // All bodies are kept.
    let asking = tokio::spawn({
        let (address, request) = (node.addr(), request.clone());
        ollamaflow_tests::client::many(STREAMS, move |_| {
            let request = request.clone();
            async move { request.send(address).await }
        })
    });
    let length = chat.to_string().len();
    let mut conversations = Vec::new();
    for _ in 0..STREAMS {
        let mut conversation = backend.next().await;
        conversation.read_body(length).await;
        conversation.body = bytes::BytesMut::new();
        conversations.push(conversation);
    }
    let kept = node.rss_bytes().saturating_sub(before);

    // All answers have begun.
    for conversation in &mut conversations {
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
        conversation.send(head).await;
        conversation.chunk("{\"response\":\"a\",\"message\":{\"content\":\"a\"},\"done\":false}\n").await;
    }
    let answers = asking.await.unwrap();
    assert!(answers.iter().all(|answer| answer.status() == 200));
    // The allocator gives memory back some seconds after it was freed.
    let running = || node.rss_bytes().saturating_sub(before);
    wait::until("most of it is given back", || running() < kept / 2).await;
    println!(
        "{STREAMS} bodies of 1 MiB: {kept} bytes while they are kept, {} while the answers run",
        running()
    );
}
