//! Response bodies over sockets: how they arrive, how they end, how they break.

use tokio::io::AsyncWriteExt;
use tokio::join;

use super::server::Server;
use super::*;

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

#[test]
fn each_piece_is_handed_out_as_soon_as_it_arrives() {
    run(async {
        let server = Server::start().await;
        let client = client();
        let (response, mut peer) = join!(get(&client, &server.target), server.answer(CHUNKED));
        let mut body = response.unwrap().body;
        assert_eq!(body.kind(), BodyKind::Chunked);
        for token in ["Why", " is", " the", " sky", " blue"] {
            peer.send(format!("{:x}\r\n{token}\r\n", token.len())).await;
            assert_eq!(body.next().await.unwrap().unwrap(), token);
        }
        peer.send("0\r\n\r\n").await;
        assert!(body.next().await.is_none());
        assert!(body.is_end());
        assert_eq!(client.idle_connections(), 1);
    });
}

#[test]
fn chunks_that_arrive_together_are_one_piece() {
    run(async {
        let server = Server::start().await;
        let client = client();
        let raw = format!("{CHUNKED}3\r\none\r\n3;x=y\r\ntwo\r\n5\r\nthree\r\n0\r\nx-trailer: 1\r\n\r\n");
        let (response, _peer) = join!(get(&client, &server.target), server.answer(raw));
        let mut body = response.unwrap().body;
        assert_eq!(client.idle_connections(), 1, "all was read with the head");
        assert!(!body.is_end(), "but not yet taken");
        assert_eq!(pieces(&mut body).await.unwrap(), ["onetwothree"]);
    });
}

#[test]
fn a_size_line_split_from_its_data_yields_no_empty_piece() {
    run(async {
        let server = Server::start().await;
        let client = client();
        let (response, mut peer) = join!(get(&client, &server.target), server.answer(CHUNKED));
        let mut body = response.unwrap().body;
        let script = async {
            for part in ["4", "\r", "\n", "da", "ta", "\r\n0", "\r\n\r\n"] {
                peer.send(part).await;
                tokio::task::yield_now().await;
            }
        };
        let (pieces, ()) = join!(pieces(&mut body), script);
        let pieces = pieces.unwrap();
        assert!(pieces.iter().all(|piece| !piece.is_empty()));
        assert_eq!(pieces.concat(), b"data");
    });
}

#[test]
fn a_large_sized_body_arrives_whole() {
    run(async {
        let server = Server::start().await;
        let client = client();
        let large: Vec<u8> =
            (0..4 * 1024 * 1024_u32).map(|index| u8::try_from(index % 241).unwrap()).collect();
        let script = async {
            let mut peer =
                server.answer(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", large.len())).await;
            peer.send(&large).await;
            peer
        };
        let exchange = async {
            let mut body = get(&client, &server.target).await.unwrap().body;
            pieces(&mut body).await.unwrap().concat()
        };
        let (received, _peer) = join!(exchange, script);
        assert!(received == large, "the body was altered");
        assert_eq!(client.idle_connections(), 1);
    });
}

#[test]
fn a_body_until_close_ends_with_the_connection() {
    run(async {
        let server = Server::start().await;
        let client = client();
        let (response, mut peer) =
            join!(get(&client, &server.target), server.answer("HTTP/1.0 200 OK\r\n\r\npart"));
        let mut body = response.unwrap().body;
        assert_eq!(body.kind(), BodyKind::UntilClose);
        assert_eq!(body.next().await.unwrap().unwrap(), "part");
        peer.send("rest").await;
        peer.stream.shutdown().await.unwrap();
        assert_eq!(pieces(&mut body).await.unwrap(), ["rest"]);
        assert_eq!(client.idle_connections(), 0);
        peer.closed().await;
    });
}

#[test]
fn truncation_at_every_offset_is_an_error() {
    run(async {
        let server = Server::start().await;
        let client = client();
        for whole in [
            format!("{CHUNKED}5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
            "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world".to_owned(),
        ] {
            let head_length = whole.find("\r\n\r\n").unwrap() + 4;
            for length in head_length..whole.len() {
                let script = async { drop(server.answer(&whole[..length]).await) };
                let (response, ()) = join!(get(&client, &server.target), script);
                let mut body = response.unwrap().body;
                let mut received = Vec::new();
                let end = loop {
                    match body.next().await {
                        Some(Ok(piece)) => received.extend_from_slice(&piece),
                        other => break other,
                    }
                };
                assert!(matches!(end, Some(Err(BodyError::Truncated))), "{length}: {end:?}");
                assert!(
                    b"hello world".starts_with(&received[..]),
                    "the payload before the cut is handed out"
                );
                assert!(!body.is_end(), "a broken body is not a complete one");
                assert!(body.next().await.is_none(), "nothing follows an error");
                assert!(!body.is_end());
            }
        }
        assert_eq!(client.idle_connections(), 0);
    });
}

#[test]
fn a_reset_inside_a_body_is_an_error_of_any_kind_of_body() {
    run(async {
        let server = Server::start().await;
        let client = client();
        for head in [CHUNKED, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
            let (response, peer) = join!(get(&client, &server.target), server.answer(head));
            let mut body = response.unwrap().body;
            peer.reset();
            let end = body.next().await;
            assert!(matches!(end, Some(Err(BodyError::Read(_)))), "{end:?}");
            assert!(!body.is_end());
        }
    });
}

#[test]
fn the_payload_before_broken_framing_is_handed_out_first() {
    run(async {
        let server = Server::start().await;
        let client = client();
        let raw = format!("{CHUNKED}5\r\nhello\r\nnonsense");
        let (response, mut peer) = join!(get(&client, &server.target), server.answer(raw));
        let mut body = response.unwrap().body;
        peer.closed().await;
        assert_eq!(body.next().await.unwrap().unwrap(), "hello");
        assert!(matches!(body.next().await, Some(Err(BodyError::BadChunk(_)))));
        assert!(body.next().await.is_none());
    });
}

#[test]
fn a_body_broken_from_its_first_byte_still_has_a_head() {
    run(async {
        let server = Server::start().await;
        let client = client();
        let (response, mut peer) =
            join!(get(&client, &server.target), server.answer(format!("{CHUNKED}zzz\r\n")));
        let response = response.unwrap();
        assert_eq!(response.status, 200);
        assert!(matches!(text(response).await, Err(BodyError::BadChunk(_))));
        peer.closed().await;
    });
}

#[test]
fn trailers_beyond_the_limit_of_the_settings_are_an_error() {
    run(async {
        let client = Client::new(&ClientSettings { max_trailer_bytes: 50, ..ClientSettings::default() });
        let server = Server::start().await;
        let raw = format!("{CHUNKED}2\r\nhi\r\n0\r\nx-a: {}\r\n\r\n", "t".repeat(50));
        let (response, _peer) = join!(get(&client, &server.target), server.answer(raw));
        assert!(matches!(text(response.unwrap()).await, Err(BodyError::TrailerTooLarge)));
    });
}

#[test]
fn a_waiting_body_is_small() {
    // One per idle stream, beside the socket itself.
    assert!(size_of::<ResponseBody>() <= 192, "{} bytes", size_of::<ResponseBody>());
}
