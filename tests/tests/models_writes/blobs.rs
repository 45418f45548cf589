//! Blobs: asked for and uploaded at all backends.

use std::time::Duration;

use ollamaflow_tests::client::{End, RawConnection, Request};
use ollamaflow_tests::setup::peak_bytes;
use ollamaflow_tests::simulated::{Fault, FaultKind, SimulatedBackend, sha256};

use crate::{answer, backends, error, node_of, registry, setup, told};

const MIB: usize = 1024 * 1024;

fn path(content: &str) -> String {
    format!("/api/blobs/{}", sha256(content))
}

fn sizes(backends: &[SimulatedBackend]) -> Vec<u64> {
    backends.iter().map(|backend| backend.blobs().iter().map(|blob| blob.size).sum()).collect()
}

#[tokio::test]
async fn a_blob_is_there_if_every_backend_has_it() {
    let backends = backends::<2>(&registry(), &[]);
    let node = node_of(&backends).await;
    let (head, upload) = (Request::new("HEAD", &path("x")), Request::post(&path("x")).body("x"));
    assert_eq!(answer(node.addr(), head.clone()).await.status(), 404);
    assert_eq!(upload.send(&backends[0]).await.status(), 201);
    let half = answer(node.addr(), head.clone()).await;
    assert_eq!((half.status(), told(&half)), (404, "b1=done, b2=without"));
    assert_eq!(upload.send(&backends[1]).await.status(), 201);
    assert_eq!(answer(node.addr(), head).await.status(), 200);
    let malformed = Request::new("HEAD", "/api/blobs/sha256:12");
    assert_eq!(answer(node.addr(), malformed).await.status(), 400);
}

#[tokio::test]
async fn an_upload_goes_to_all_backends_whatever_its_size_and_framing() {
    let backends = backends::<3>(&registry(), &[]);
    let node = node_of(&backends).await;
    let mut stored = 0;
    for (bytes, chunked) in [(10, false), (10, true), (MIB + 1, false), (2 * MIB + 1, true)] {
        let content = "x".repeat(bytes);
        let upload = Request::post(&path(&content)).body(content);
        let upload = if chunked { upload.chunked(65_537) } else { upload };
        let first = answer(node.addr(), upload.clone()).await;
        let is_new = !(bytes == 10 && chunked);
        assert_eq!(first.status(), if is_new { 201 } else { 200 }, "{}", first.text());
        assert_eq!((told(&first), first.end), ("b1=done, b2=done, b3=done", End::Complete));
        stored += if is_new { bytes as u64 } else { 0 };
        assert_eq!(sizes(&backends), [stored; 3]);
        let again = answer(node.addr(), upload).await;
        assert_eq!((again.status(), again.text().as_str()), (200, ""));
    }
}

#[tokio::test]
async fn an_upload_is_not_held_in_memory() {
    let backends = backends::<3>(&registry(), &[]);
    let node = node_of(&backends).await;
    let content = "y".repeat(24 * MIB);
    let before = node.rss_bytes();
    let answer = answer(node.addr(), Request::post(&path(&content)).body(content)).await;
    assert_eq!(answer.status(), 201, "{}", answer.text());
    let grown = peak_bytes(&node).saturating_sub(before);
    assert!(grown < 10 * MIB as u64, "grew by {grown} bytes");
}

#[tokio::test]
async fn a_backend_that_fails_is_dropped_from_the_upload_and_reported() {
    let backends = backends::<2>(&registry(), &[]);
    let node = node_of(&backends).await;
    let refusal = FaultKind::EarlyResponse { status: 413, linger: true };
    backends[1].set_fault(Fault::from(refusal).path("/api/blobs"));
    let content = "z".repeat(4 * MIB);
    let answer = answer(node.addr(), Request::post(&path(&content)).body(content)).await;
    assert_eq!((answer.status(), told(&answer)), (413, "b1=done, b2=failed"));
    assert!(error(&answer.json()).starts_with("backend b2: "), "{}", answer.text());
    assert_eq!(sizes(&backends), [4 * MIB as u64, 0]);
}

#[tokio::test]
async fn a_backend_that_stops_reading_is_dropped_after_the_frontends_patience() {
    let backends = backends::<2>(&registry(), &[]);
    let node = setup(&backends).frontend("TimeoutMs", 8000).start().await;
    backends[1].set_fault(Fault::from(FaultKind::HangBeforeHeaders { for_ms: None }).path("/api/blobs"));
    let content = "z".repeat(4 * MIB);
    let answer = answer(node.addr(), Request::post(&path(&content)).body(content)).await;
    assert_eq!((answer.status(), told(&answer)), (504, "b1=done, b2=failed"));
    assert_eq!(sizes(&backends)[0], 4 * MIB as u64);
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_stored_nowhere() {
    let backends = backends::<2>(&registry(), &[]);
    let node = node_of(&backends).await;
    let content = "z".repeat(4 * MIB);
    let upload = Request::post(&path(&content)).body(content);
    for upload in [upload.clone(), upload.chunked(65_537)] {
        let wire = upload.to_wire(node.addr());
        let mut client = RawConnection::open(node.addr()).await.unwrap();
        client.send(&wire[..wire.len() / 2]).await.unwrap();
        ollamaflow_tests::wait::until("both have a part", || {
            backends.iter().all(|backend| backend.stats().connections_open > 0)
        })
        .await;
        client.abort();
    }
    ollamaflow_tests::setup::wait_idle(&node).await;
    assert_eq!(sizes(&backends), [0, 0]);
}

#[tokio::test]
async fn a_client_that_expects_to_be_told_to_go_on_is_told() {
    let backends = backends::<2>(&registry(), &[]);
    let node = node_of(&backends).await;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        path("hello")
    );
    let mut client = RawConnection::open(node.addr()).await.unwrap();
    client.send(head).await.unwrap();
    let told = tokio::time::timeout(Duration::from_secs(20), client.read_some()).await.unwrap().unwrap();
    assert!(told.starts_with(b"HTTP/1.1 100"), "{told:?}");
    client.send("hello").await.unwrap();
    assert_eq!(client.response().await.unwrap().status(), 201);
    assert_eq!(sizes(&backends), [5, 5]);
}
