//! Response heads over sockets: what is returned, and which error tells what went wrong.

use tokio::join;

use super::server::{OK, Server};
use super::*;

/// Sends a `GET` and answers it with raw bytes, then closes.
async fn get_raw(response: &str) -> Result<Response, SendError> {
    let server = Server::start().await;
    let client = client();
    let script = async { drop(server.answer(response).await) };
    let (result, ()) = join!(get(&client, &server.target), script);
    result
}

#[test]
fn returns_status_headers_and_body() {
    run(async {
        let response =
            get_raw("HTTP/1.1 201 Created\r\nX-B: 2\r\nx-a: 1\r\nX-B: 3\r\ncontent-length: 4\r\n\r\nbody")
                .await
                .unwrap();
        let lines: Vec<_> =
            response.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(response.status, 201);
        assert_eq!(lines, [("x-b", "2"), ("x-a", "1"), ("x-b", "3"), ("content-length", "4")]);
        assert!(!response.reused);
        assert_eq!(response.body.kind(), BodyKind::Sized(4));
        assert!(!response.body.is_end());
        assert_eq!(text(response).await.unwrap(), "body");
    });
}

#[test]
fn a_head_in_pieces_is_one_head() {
    run(async {
        let server = Server::start().await;
        let client = client();
        let script = async {
            let mut peer = server.accept().await;
            peer.request().await;
            for byte in OK.as_bytes() {
                peer.send([*byte]).await;
                tokio::task::yield_now().await;
            }
        };
        let (response, ()) = join!(async { text(get(&client, &server.target).await.unwrap()).await }, script);
        assert_eq!(response.unwrap(), "ok");
    });
}

#[test]
fn interim_responses_are_not_reported() {
    run(async {
        let response =
            get_raw(&format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n{OK}")).await;
        assert_eq!(text(response.unwrap()).await.unwrap(), "ok");
    });
}

#[test]
fn responses_without_a_body_end_at_their_head() {
    run(async {
        let server = Server::start().await;
        let client = client();
        let script = async {
            let mut peer = server.answer("HTTP/1.1 204 No Content\r\n\r\n").await;
            peer.answer("HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n").await;
            peer.answer("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
            peer
        };
        let exchanges = async {
            for method in [Method::GET, Method::GET, Method::HEAD] {
                let response =
                    client.send(&server.target, &head(&method, "/"), &mut RequestBody::Empty).await.unwrap();
                assert_eq!(response.body.kind(), BodyKind::Empty);
                assert!(response.body.is_end());
                assert_eq!(client.idle_connections(), 1, "nothing more is to be read from the connection");
            }
        };
        join!(exchanges, script);
    });
}

#[test]
fn a_close_before_the_head_is_told_from_one_within_it() {
    run(async {
        assert!(matches!(get_raw("").await, Err(SendError::ClosedBeforeHead)));
        assert!(matches!(get_raw("H").await, Err(SendError::TruncatedHead)));
        assert!(matches!(get_raw(&OK[..30]).await, Err(SendError::TruncatedHead)));
        assert!(matches!(get_raw("HTTP/1.1 100 Continue\r\n\r\n").await, Err(SendError::TruncatedHead)));
    });
}

#[test]
fn a_reset_before_the_head_is_a_read_error() {
    run(async {
        let server = Server::start().await;
        let client = client();
        let script = async {
            let mut peer = server.accept().await;
            peer.request().await;
            peer.reset();
        };
        let (result, ()) = join!(get(&client, &server.target), script);
        let error = result.unwrap_err();
        assert!(matches!(error, SendError::Read(_)), "{error:?}");
        assert!(!error.is_connect() && !error.is_body_source());
    });
}

#[test]
fn a_malformed_head_is_refused_and_its_connection_closed() {
    run(async {
        let server = Server::start().await;
        let client = client();
        for response in ["SSH-2.0-OpenSSH\r\n", "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"] {
            let (result, mut peer) = join!(get(&client, &server.target), server.answer(response));
            assert!(matches!(result, Err(SendError::BadHead(_))), "{result:?}");
            peer.closed().await;
        }
    });
}

#[test]
fn a_head_beyond_the_limits_of_the_settings_is_refused() {
    run(async {
        let settings = ClientSettings { max_head_bytes: 200, max_headers: 4, ..ClientSettings::default() };
        let client = Client::new(&settings);
        let server = Server::start().await;
        for response in [
            format!("HTTP/1.1 200 OK\r\nx-a: {}", "v".repeat(500)),
            format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-a: 1\r\n".repeat(5)),
        ] {
            let (result, mut peer) = join!(get(&client, &server.target), server.answer(response));
            assert!(matches!(result, Err(SendError::HeadTooLarge)), "{result:?}");
            peer.closed().await;
        }
    });
}
