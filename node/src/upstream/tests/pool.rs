//! Which connections are used again, in which order, how many, and for how long.

use tokio::join;

use super::server::{OK, Peer, Server};
use super::*;

/// Opens `count` connections at the same time, in this order, and lets all of them become idle in this order.
async fn open(client: &Client, server: &Server, count: usize) -> Vec<Peer> {
    let mut responses = Vec::new();
    let mut peers = Vec::new();
    for _ in 0..count {
        let (response, peer) =
            join!(get(client, &server.target), server.answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"));
        responses.push(response.unwrap());
        peers.push(peer);
    }
    for (response, peer) in responses.into_iter().zip(&mut peers) {
        peer.send("ok").await;
        assert_eq!(text(response).await.unwrap(), "ok");
    }
    peers
}

/// Sends a request which must arrive on `peer`.
async fn arrives_on(client: &Client, server: &Server, peer: &mut Peer) {
    let (response, _) = join!(get(client, &server.target), peer.answer(OK));
    let response = response.unwrap();
    assert!(response.reused);
    assert_eq!(text(response).await.unwrap(), "ok");
}

/// Sends a request which must arrive on a fresh connection.
async fn arrives_fresh(client: &Client, server: &Server) -> Peer {
    let (response, peer) = join!(get(client, &server.target), server.answer(OK));
    let response = response.unwrap();
    assert!(!response.reused);
    assert_eq!(text(response).await.unwrap(), "ok");
    peer
}

/// Waits until the client's runtime has seen what `peer`'s side did.
async fn idle_becomes(client: &Client, count: usize) {
    while client.idle_connections() != count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_finished_exchange_leaves_its_connection_to_the_next() {
    run(async {
        let (server, client) = (Server::start().await, client());
        let mut peer = arrives_fresh(&client, &server).await;
        for _ in 0..3 {
            assert_eq!(client.idle_connections(), 1);
            arrives_on(&client, &server, &mut peer).await;
        }
    });
}

#[test]
fn an_unfinished_exchange_does_not() {
    run(async {
        let (server, client) = (Server::start().await, client());
        let (response, mut peer) = join!(
            get(&client, &server.target),
            server.answer("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhal")
        );
        let response = response.unwrap();
        assert_eq!(client.idle_connections(), 0);
        drop(response);
        assert_eq!(client.idle_connections(), 0);
        peer.closed().await;
        arrives_fresh(&client, &server).await;
    });
}

#[test]
fn the_connection_used_last_is_used_first() {
    run(async {
        let (server, client) = (Server::start().await, client());
        let mut peers = open(&client, &server, 3).await;
        arrives_on(&client, &server, &mut peers[2]).await;
        arrives_on(&client, &server, &mut peers[2]).await;
    });
}

#[test]
fn targets_do_not_share_connections() {
    run(async {
        let (server, client) = (Server::start().await, client());
        let first = arrives_fresh(&client, &server).await;
        let twin = Target::new("127.0.0.1", server.port(), None).unwrap();
        let (response, _peer) = join!(get(&client, &twin), server.answer(OK));
        assert!(!response.unwrap().reused, "same address, but another target");
        drop(first);
    });
}

#[test]
fn beyond_the_bound_the_oldest_connection_is_closed() {
    run(async {
        let server = Server::start().await;
        let client = Client::new(&ClientSettings { max_idle_per_target: 2, ..ClientSettings::default() });
        let mut peers = open(&client, &server, 3).await;
        assert_eq!(client.idle_connections(), 2);
        assert!(peers[0].closed().await.is_empty());
        arrives_on(&client, &server, &mut peers[2]).await;
    });
}

#[test]
fn a_bound_of_zero_turns_reuse_off() {
    run(async {
        let server = Server::start().await;
        let client = Client::new(&ClientSettings { max_idle_per_target: 0, ..ClientSettings::default() });
        let mut peer = arrives_fresh(&client, &server).await;
        assert_eq!(client.idle_connections(), 0);
        peer.closed().await;
        arrives_fresh(&client, &server).await;
    });
}

#[test]
fn idle_connections_are_closed_after_the_idle_timeout() {
    run(async {
        let server = Server::start().await;
        let settings =
            ClientSettings { pool_idle_timeout: Duration::from_millis(20), ..ClientSettings::default() };
        let client = Client::new(&settings);
        for round in 0..2 {
            let mut peers = open(&client, &server, 2).await;
            for peer in &mut peers {
                assert!(peer.closed().await.is_empty(), "round {round}");
            }
            idle_becomes(&client, 0).await;
        }
        arrives_fresh(&client, &server).await;
    });
}

#[test]
fn a_connection_that_expired_before_the_sweep_is_not_used() {
    run(async {
        let server = Server::start().await;
        let settings = ClientSettings { pool_idle_timeout: Duration::ZERO, ..ClientSettings::default() };
        let client = Client::new(&settings);
        let _peer = arrives_fresh(&client, &server).await;
        arrives_fresh(&client, &server).await;
    });
}

#[test]
fn a_server_that_announces_a_close_is_believed() {
    run(async {
        let (server, client) = (Server::start().await, client());
        for response in [
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
            "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ] {
            let (result, mut peer) = join!(get(&client, &server.target), server.answer(response));
            assert_eq!(text(result.unwrap()).await.unwrap(), "ok");
            assert_eq!(client.idle_connections(), 0, "{response}");
            peer.closed().await;
        }
    });
}

#[test]
fn an_older_server_that_keeps_the_connection_is_believed() {
    run(async {
        let (server, client) = (Server::start().await, client());
        let old = "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok";
        let (result, mut peer) = join!(get(&client, &server.target), server.answer(old));
        assert_eq!(text(result.unwrap()).await.unwrap(), "ok");
        arrives_on(&client, &server, &mut peer).await;
    });
}

#[test]
fn bytes_after_the_end_of_a_response_spoil_the_connection() {
    run(async {
        let (server, client) = (Server::start().await, client());
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        for response in [OK, chunked] {
            let (result, mut peer) =
                join!(get(&client, &server.target), server.answer(format!("{response}surplus")));
            assert_eq!(text(result.unwrap()).await.unwrap(), "ok");
            assert_eq!(client.idle_connections(), 0);
            peer.closed().await;
        }
    });
}
