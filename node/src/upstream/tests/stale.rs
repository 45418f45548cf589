//! Reused connections that turn out to be dead: one repetition, and only when it is safe.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt;
use tokio::join;

use super::server::{OK, Peer, Server};
use super::*;

/// An exchange that leaves one idle connection.
async fn warm_up(client: &Client, server: &Server) -> Peer {
    let (response, peer) = join!(get(client, &server.target), server.answer(OK));
    assert_eq!(text(response.unwrap()).await.unwrap(), "ok");
    assert_eq!(client.idle_connections(), 1);
    peer
}

#[test]
fn a_request_that_meets_a_closing_connection_is_sent_once_more() {
    run(async {
        let (server, client) = (Server::start().await, client());
        let mut peer = warm_up(&client, &server).await;
        let script = async {
            let lost = peer.request().await;
            drop(peer);
            (lost, server.accept().await.answer(OK).await)
        };
        let (response, (lost, again)) = join!(post(&client, &server.target, "{}"), script);
        let response = response.unwrap();
        assert!(!response.reused);
        assert_eq!(text(response).await.unwrap(), "ok");
        assert_eq!(lost, again, "the same request, byte for byte");
    });
}

#[test]
fn a_request_that_meets_a_reset_is_sent_once_more() {
    run(async {
        let (server, client) = (Server::start().await, client());
        let mut peer = warm_up(&client, &server).await;
        let script = async {
            peer.request().await;
            peer.reset();
            server.accept().await.answer(OK).await
        };
        let (response, _) = join!(post(&client, &server.target, "{}"), script);
        assert_eq!(text(response.unwrap()).await.unwrap(), "ok");
    });
}

#[test]
fn a_large_request_that_cannot_be_written_is_sent_once_more() {
    run(async {
        let (server, client) = (Server::start().await, client());
        let mut peer = warm_up(&client, &server).await;
        let mut body = RequestBody::Full(vec![b'x'; 16 * 1024 * 1024].into());
        let script = async {
            peer.request_head().await;
            peer.reset();
            server.accept().await.answer(OK).await.body.len()
        };
        let head = head(&Method::POST, "/");
        let (response, received) = join!(client.send(&server.target, &head, &mut body), script);
        assert_eq!(text(response.unwrap()).await.unwrap(), "ok");
        assert_eq!(received, 16 * 1024 * 1024);
    });
}

#[test]
fn a_fresh_connection_is_not_tried_twice() {
    run(async {
        let (server, client) = (Server::start().await, client());
        let mut peer = warm_up(&client, &server).await;
        let script = async {
            peer.request().await;
            drop(peer);
            server.accept().await.request().await;
        };
        let (response, ()) = join!(post(&client, &server.target, "{}"), script);
        assert!(matches!(response, Err(SendError::ClosedBeforeHead)), "{response:?}");
    });
}

#[test]
fn a_request_is_not_repeated_once_the_server_has_spoken() {
    run(async {
        let (server, client) = (Server::start().await, client());
        for beginning in ["H", "HTTP/1.1 100 Continue\r\n\r\n"] {
            let mut peer = warm_up(&client, &server).await;
            let script = async {
                peer.answer(beginning).await;
                peer.stream.shutdown().await.unwrap();
            };
            let (response, ()) = join!(post(&client, &server.target, "{}"), script);
            assert!(matches!(response, Err(SendError::TruncatedHead)), "{response:?}");
        }
    });
}

#[test]
fn a_streamed_body_is_never_risked_on_a_reused_connection() {
    run(async {
        let (server, client) = (Server::start().await, client());
        let _idle = warm_up(&client, &server).await;
        let tap = Tap::default();
        tap.give("once");
        tap.end();
        let mut body = tap.body(None);
        let head = head(&Method::POST, "/");
        let script = async { server.accept().await.answer(OK).await };
        let (response, request) = join!(client.send(&server.target, &head, &mut body), script);
        assert!(!response.unwrap().reused);
        assert_eq!(request.body, b"4\r\nonce\r\n0\r\n\r\n");
        assert_eq!(client.idle_connections(), 2, "but its connection is kept for others");
    });
}

#[test]
fn no_request_is_lost_to_a_server_that_closes_right_after_each_response() {
    const REQUESTS: usize = 300;
    run(async {
        let server = Rc::new(Server::start().await);
        let target = Arc::clone(&server.target);
        let answered = Arc::new(AtomicUsize::new(0));
        let accepting = tokio::task::spawn_local({
            let answered = Arc::clone(&answered);
            async move {
                loop {
                    let mut peer = server.accept().await;
                    let answered = Arc::clone(&answered);
                    tokio::task::spawn_local(async move {
                        peer.answer(OK).await;
                        answered.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    });
                }
            }
        });
        let client = client();
        for index in 0..REQUESTS {
            let response = post(&client, &target, "{\"stream\":false}").await;
            assert_eq!(text(response.expect("a request was lost")).await.unwrap(), "ok");
            // Just before, while and just after the server closes.
            let pause = 400 + 1800 * u64::try_from(index * 7 % 19).unwrap() / 18;
            tokio::time::sleep(Duration::from_micros(pause)).await;
        }
        accepting.abort();
        assert_eq!(answered.load(Ordering::Relaxed), REQUESTS, "every request was answered exactly once");
    });
}
