//! Answers that two programs might read differently, and bytes behind an answer: none of it becomes the answer to another request.
//!
//! Each case is the first answer on a connection. A second request of the same client follows, and must be answered by what the
//! backend says to that one, whatever was said before.

use std::time::Duration;

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::setup::Setup;

use crate::scripted::ScriptedBackend;

/// What an attacker wants the next client to get.
const EVIL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";

const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood";

async fn one() -> (ScriptedBackend, Node) {
    let backend = ScriptedBackend::start();
    let node = Setup::new()
        .frontend("StreamIdleTimeoutMs", 2_000)
        .frontend("TimeoutMs", 2_000)
        .frontend("AllowRetries", false)
        .backend(&backend)
        .start()
        .await;
    (backend, node)
}

fn ask() -> Request {
    Request::post("/api/echo").body("hello")
}

/// What the first client gets of this answer. The second one must get its own.
async fn first_of_two(wire: &[u8]) -> Collected {
    let (mut backend, node) = one().await;
    let asking = tokio::spawn({
        let address = node.addr();
        async move { ask().send(address).await.collect().await }
    });
    let mut conversation = backend.next().await;
    // The node may have had enough before it has all.
    let _ = tokio::io::AsyncWriteExt::write_all(&mut conversation.stream, wire).await;
    let first = if ends_by_close(wire) {
        drop(conversation);
        asking.await.unwrap()
    } else {
        let first = asking.await.unwrap();
        // If it were kept, what comes next would go there.
        tokio::time::sleep(Duration::from_millis(50)).await;
        first
    };
    let asking = async { ask().send(node.addr()).await.collect().await };
    let answering = async { backend.next().await.send(GOOD).await };
    let (second, ()) = tokio::join!(asking, answering);
    assert_eq!((second.status(), &second.body[..]), (200, &b"good"[..]), "{}", first.text());
    first
}

fn ends_by_close(wire: &[u8]) -> bool {
    let head = String::from_utf8_lossy(wire).to_ascii_lowercase();
    !head.contains("content-length") && !head.contains("transfer-encoding")
}

#[tokio::test]
async fn answers_whose_framing_is_in_doubt_are_no_answers() {
    for head in [
        "content-length: 4\r\ncontent-length: 5",
        "content-length: 4, 5",
        "content-length: +4",
        "content-length: -4",
        "content-length: 0x4",
        "content-length: 18446744073709551617",
        "content-length:",
        "content-length : 4",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: xchunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "x-folded: a\r\n b\r\ncontent-length: 4",
        "x-control: a\u{0}b\r\ncontent-length: 4",
        "x-bare: a\rb\r\ncontent-length: 4",
        "no colon\r\ncontent-length: 4",
    ] {
        let wire = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\ngood{EVIL}");
        let first = first_of_two(wire.as_bytes()).await;
        assert_eq!(first.status(), 502, "{head:?}: {}", first.text());
        assert!(!first.text().contains("evil"), "{head:?}");
    }
}

#[tokio::test]
async fn chunks_win_over_a_length_and_the_connection_is_not_used_again() {
    for head in [
        "content-length: 4\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 400",
    ] {
        let wire = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n4\r\nbody\r\n0\r\n\r\n{EVIL}");
        let first = first_of_two(wire.as_bytes()).await;
        assert_eq!((first.status(), first.text().as_str()), (200, "body"), "{head:?}");
        assert!(first.header("content-length").is_none(), "the client gets one framing");
    }
}

#[tokio::test]
async fn what_comes_behind_an_answer_is_thrown_away_with_its_connection() {
    for wire in [
        format!("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody{EVIL}"),
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n{EVIL}"),
        format!("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody\r\n{EVIL}"),
        format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nx-trailer: 1\r\n\r\n{EVIL}"
        ),
    ] {
        let first = first_of_two(wire.as_bytes()).await;
        assert_eq!((first.status(), first.text().as_str()), (200, "body"), "{wire:?}");
    }
    let nothing = format!("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n{EVIL}");
    let first = first_of_two(nothing.as_bytes()).await;
    assert_eq!((first.status(), first.text().as_str()), (204, ""));
}

#[tokio::test]
async fn what_comes_late_behind_an_answer_is_thrown_away_too() {
    let (mut backend, node) = one().await;
    let asking = tokio::spawn({
        let address = node.addr();
        async move { ask().send(address).await.collect().await }
    });
    let mut conversation = backend.next().await;
    conversation.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody").await;
    assert_eq!(asking.await.unwrap().text(), "body");
    // Nobody has asked for it.
    conversation.send(EVIL).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let asking = async { ask().send(node.addr()).await.collect().await };
    let answering = async { backend.next().await.send(GOOD).await };
    let (second, ()) = tokio::join!(asking, answering);
    assert_eq!(second.text(), "good");
}

#[tokio::test]
async fn chunks_that_are_none_break_the_answer() {
    for body in [
        "x\r\nbody\r\n0\r\n\r\n",
        "-4\r\nbody\r\n0\r\n\r\n",
        "10000000000000004\r\nbody",
        "4\r\nbodyy\r\n0\r\n\r\n",
    ] {
        let wire = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}{EVIL}");
        let first = first_of_two(wire.as_bytes()).await;
        let is_whole = first.status() == 200 && first.end == ollamaflow_tests::client::End::Complete;
        assert!(!is_whole, "{body:?}: {}", first.text());
        assert!(!first.text().contains("evil"), "{body:?}");
    }
}

#[tokio::test]
async fn interim_answers_have_an_end_and_nobody_switches_protocols() {
    let flood = "HTTP/1.1 100 Continue\r\n\r\n".repeat(20_000);
    let first = first_of_two(format!("{flood}{GOOD}").as_bytes()).await;
    assert_eq!(first.status(), 502, "{}", first.text());
    let switched =
        format!("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n{EVIL}");
    let first = first_of_two(switched.as_bytes()).await;
    assert_eq!(first.status(), 502, "{}", first.text());
    assert!(!first.text().contains("evil"));
    let hints = format!("HTTP/1.1 103 Early Hints\r\nx-evil: 1\r\n\r\n{GOOD}");
    let first = first_of_two(hints.as_bytes()).await;
    assert_eq!((first.status(), first.text().as_str()), (200, "good"));
    assert!(first.header("x-evil").is_none());
}

#[tokio::test]
async fn heads_of_answers_have_bounds() {
    let fields = (0..5_000).fold(String::new(), |all, n| format!("{all}x-{n}: 1\r\n"));
    for field in [fields, format!("x: {}\r\n", "a".repeat(2_000_000))] {
        let wire = format!("HTTP/1.1 200 OK\r\n{field}content-length: 4\r\n\r\ngood");
        assert_eq!(first_of_two(wire.as_bytes()).await.status(), 502);
    }
}
