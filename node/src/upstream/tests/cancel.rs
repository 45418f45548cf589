//! Letting go at any point closes the connection at once and leaves nothing behind.

use std::io::{Read, Write};

use futures_util::FutureExt;
use tokio::join;
use tokio::runtime::Handle;

use super::server::{OK, Server};
use super::*;

#[test]
fn dropping_the_request_before_the_response_closes_the_connection() {
    run(async {
        let (server, client) = (Server::start().await, client());
        let mut peer = {
            let mut sending = Box::pin(post(&client, &server.target, "{}"));
            let script = async {
                let mut peer = server.accept().await;
                peer.request().await;
                peer
            };
            tokio::select! {
                response = &mut sending => panic!("nobody answered, but there is {response:?}"),
                peer = script => peer,
            }
        };
        peer.closed().await;
        assert_eq!(client.idle_connections(), 0);
    });
}

#[test]
fn dropping_the_request_within_the_head_closes_the_connection() {
    run(async {
        let (server, client) = (Server::start().await, client());
        let mut peer = {
            let mut sending = Box::pin(post(&client, &server.target, "{}"));
            tokio::select! {
                response = &mut sending => panic!("the head is not complete, but there is {response:?}"),
                peer = server.answer("HTTP/1.1 200 OK\r\n") => peer,
            }
        };
        peer.closed().await;
        assert_eq!(client.idle_connections(), 0);
    });
}

#[test]
fn dropping_the_request_during_its_upload_closes_the_connection() {
    run(async {
        let (server, client) = (Server::start().await, client());
        let tap = Tap::default();
        tap.give("the beginning");
        let mut body = tap.body(Some(100));
        let head = head(&Method::POST, "/");
        let mut peer = {
            let mut sending = Box::pin(client.send(&server.target, &head, &mut body));
            let script = async {
                let mut peer = server.accept().await;
                peer.request_head().await;
                assert_eq!(peer.take(13).await, b"the beginning");
                peer
            };
            tokio::select! {
                response = &mut sending => panic!("the request is not complete, but there is {response:?}"),
                peer = script => peer,
            }
        };
        peer.closed().await;
        assert!(!body.is_replayable());
    });
}

#[test]
fn dropping_the_body_between_two_pieces_closes_the_connection() {
    run(async {
        let (server, client) = (Server::start().await, client());
        for head in [
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nfirst",
            "HTTP/1.1 200 OK\r\n\r\nfirst",
        ] {
            let (response, mut peer) = join!(get(&client, &server.target), server.answer(head));
            let mut body = response.unwrap().body;
            assert_eq!(body.next().await.unwrap().unwrap(), "first");
            assert!(body.next().now_or_never().is_none(), "the stream waits");
            drop(body);
            peer.closed().await;
            assert_eq!(client.idle_connections(), 0);
        }
    });
}

#[test]
fn dropping_the_response_with_its_head_closes_the_connection() {
    run(async {
        let (server, client) = (Server::start().await, client());
        let (response, mut peer) = join!(
            get(&client, &server.target),
            server.answer("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
        );
        drop(response.unwrap());
        peer.closed().await;
    });
}

#[test]
fn dropping_the_client_closes_its_idle_connections_and_ends_its_sweeper() {
    run(async {
        let server = Server::start().await;
        let before = Handle::current().metrics().num_alive_tasks();
        // The sweeper must not be found asleep.
        let settings =
            ClientSettings { pool_idle_timeout: Duration::from_secs(86_400), ..ClientSettings::default() };
        let client = Client::new(&settings);
        let (response, mut peer) = join!(get(&client, &server.target), server.answer(OK));
        drop(response);
        assert_eq!(client.idle_connections(), 1);
        drop(client);
        peer.closed().await;
        while Handle::current().metrics().num_alive_tasks() > before {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_body_outlives_its_client() {
    run(async {
        let server = Server::start().await;
        let client = client();
        let (response, mut peer) = join!(
            get(&client, &server.target),
            server.answer("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
        );
        drop(client);
        peer.send("hello").await;
        assert_eq!(text(response.unwrap()).await.unwrap(), "hello");
        peer.closed().await;
    });
}

#[test]
fn no_request_starts_a_task() {
    // A server on a thread of its own, so that only the client's tasks can be counted here.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 4096];
        while let Ok(1..) = stream.read(&mut buffer) {
            stream.write_all(OK.as_bytes()).unwrap();
        }
    });
    run(async {
        let target = Target::new("127.0.0.1", port, None).unwrap();
        let client = client();
        let tasks = Handle::current().metrics().num_alive_tasks();
        for _ in 0..20 {
            let response = post(&client, &target, "{}").await.unwrap();
            assert_eq!(Handle::current().metrics().num_alive_tasks(), tasks);
            assert_eq!(text(response).await.unwrap(), "ok");
        }
        assert_eq!(Handle::current().metrics().num_alive_tasks(), tasks);
    });
    serving.join().unwrap();
}
