//! Clients that stop reading an endless stream: the backends are stopped too, and the node's memory stays what it is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ollamaflow_tests::client::RawConnection;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::wait;

use crate::chat;
use crate::scripted::{Conversation, ScriptedBackend, chunk};
use ollamaflow_tests::setup::{Setup, active_requests, wait_idle};

const READERS: usize = 200;

/// Payload of one chunk of the stream.
const CHUNK_BYTES: usize = 16 * 1024;

/// What the clients' kernels take before they say that they are full.
const RECEIVE_BUFFER_BYTES: u32 = 4096;

/// Memory that a stalled reader may cost: the buffers of one connection on both sides.
const READER_BYTES: u64 = 160 * 1024;

/// How much resident memory may move once everything stands still: what allocators and health checks do.
const FLAT_BYTES: u64 = 2 * 1024 * 1024;

/// More than the kernels on the way hold for one stream, whatever they are set to.
const KERNEL_BYTES: u64 = 64 * 1024 * 1024;

/// For how long nothing may be sent before everything counts as standing still.
const STILL: Duration = Duration::from_secs(1);

/// Looks at memory, each after such a time without a byte sent.
const LOOKS: usize = 3;

/// Sends chunks as fast as they are taken until the other side leaves, and counts the bytes.
async fn pour(mut conversation: Conversation, sent: Arc<AtomicU64>) {
    use tokio::io::AsyncWriteExt;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
    conversation.send(head).await;
    let line = format!("{{\"text\":\"{}\",\"done\":false}}\n", "x".repeat(CHUNK_BYTES));
    let chunk = chunk(line);
    let mut at = 0;
    while let Ok(written) = conversation.stream.write(&chunk[at..]).await {
        sent.fetch_add(written as u64, Ordering::Relaxed);
        at = (at + written) % chunk.len();
    }
}

/// Waits until the backends have sent nothing for a while; gives what they have sent.
async fn standing_still(sent: &AtomicU64) -> u64 {
    loop {
        let before = sent.load(Ordering::Relaxed);
        assert!(before < READERS as u64 * KERNEL_BYTES, "the backends go on sending though nobody reads");
        tokio::time::sleep(STILL).await;
        if sent.load(Ordering::Relaxed) == before {
            return before;
        }
    }
}

/// A client that has asked, has read the head and a little, and reads no more.
async fn stalled(address: SocketAddr) -> RawConnection {
    let mut connection =
        RawConnection::open_with_receive_buffer(address, RECEIVE_BUFFER_BYTES).await.unwrap();
    connection.limit_reads(1000);
    connection.send_request(&chat(true)).await.unwrap();
    let mut response = connection.response().await.unwrap();
    assert_eq!(response.status(), 200);
    response.read_slowly(1000, Duration::ZERO, Duration::ZERO).await;
    response.into_connection()
}

fn descriptors(node: &Node) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", node.pid())).unwrap().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_stalled_readers_stop_the_backends_and_cost_bounded_memory() {
    let mut backend = ScriptedBackend::start();
    let node = Setup::new().frontend("StreamIdleTimeoutMs", 0).backend(&backend).start().await;
    let address = node.addr();
    let descriptors_before = descriptors(&node);
    let rss_before = node.rss_bytes();

    // All readers stall.
    let sent = Arc::new(AtomicU64::new(0));
    let asking = tokio::spawn(ollamaflow_tests::client::many(READERS, move |_| stalled(address)));
    for _ in 0..READERS {
        tokio::spawn(pour(backend.next().await, Arc::clone(&sent)));
    }
    let readers = asking.await.unwrap();
    let sent_at_first = standing_still(&sent).await;
    let rss_at_first = node.rss_bytes();

    // Time passes.
    let mut rss_most = rss_at_first;
    let mut sent_later = sent_at_first;
    for _ in 1..LOOKS {
        sent_later = standing_still(&sent).await;
        rss_most = rss_most.max(node.rss_bytes());
    }
    let cost = rss_most.saturating_sub(rss_before) / READERS as u64;
    println!(
        "{READERS} stalled readers: resident {rss_before} bytes before, {rss_at_first} when all stood still, at \
         most {rss_most} later ({cost} for each reader); backends had sent {sent_at_first} bytes, later {sent_later}"
    );
    assert_eq!(active_requests(&node).await, [READERS as u64]);
    assert!(rss_most - rss_at_first <= FLAT_BYTES, "memory grows: {rss_at_first} to {rss_most}");
    assert!(cost <= READER_BYTES, "{cost} bytes for each reader");

    // A reader that goes on gets more, and the backends send more.
    let mut reader = readers.into_iter();
    let mut connection = reader.next().unwrap();
    connection.limit_reads(64 * 1024);
    let mut read = 0;
    while sent.load(Ordering::Relaxed) == sent_later {
        read += connection.read_some().await.expect("the stream goes on").len();
    }
    println!("one of them read {read} bytes more until its backend went on");

    // All leave.
    drop(connection);
    drop(reader);
    wait_idle(&node).await;
    wait::until("the node's file descriptors are back", || descriptors(&node) <= descriptors_before + 8)
        .await;
    println!("file descriptors of the node: {descriptors_before} before, {} after", descriptors(&node));
}
