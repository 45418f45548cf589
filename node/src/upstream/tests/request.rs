//! What is on the wire of a request, and what happens while its body is still being sent.

use http::header::{ACCEPT, HOST};
use tokio::join;

use super::server::{OK, Server};
use super::*;

async fn on_the_wire(method: &Method, mut body: RequestBody) -> String {
    let server = Server::start().await;
    let client = client();
    let head = head(method, "/x?y=z");
    let exchange = async {
        let mut peer = server.accept().await;
        let request = peer.request().await;
        peer.send(OK).await;
        format!("{}\r\n\r\n{}", request.head, String::from_utf8(request.body).unwrap())
    };
    let (response, wire) = join!(client.send(&server.target, &head, &mut body), exchange);
    response.unwrap();
    wire.replace(server.target.authority(), "AUTHORITY")
}

#[test]
fn a_request_without_body_has_no_framing() {
    run(async {
        let wire = on_the_wire(&Method::GET, RequestBody::Empty).await;
        assert_eq!(wire, "GET /x?y=z HTTP/1.1\r\nhost: AUTHORITY\r\n\r\n");
        let wire = on_the_wire(&Method::DELETE, RequestBody::Empty).await;
        assert_eq!(wire, "DELETE /x?y=z HTTP/1.1\r\nhost: AUTHORITY\r\n\r\n");
    });
}

#[test]
fn a_post_without_body_says_so() {
    run(async {
        let wire = on_the_wire(&Method::POST, RequestBody::Empty).await;
        assert_eq!(wire, "POST /x?y=z HTTP/1.1\r\nhost: AUTHORITY\r\ncontent-length: 0\r\n\r\n");
    });
}

#[test]
fn a_body_in_memory_is_sent_with_its_length() {
    run(async {
        let wire = on_the_wire(&Method::POST, RequestBody::Full(Bytes::from_static(b"{\"a\":1}"))).await;
        assert_eq!(wire, "POST /x?y=z HTTP/1.1\r\nhost: AUTHORITY\r\ncontent-length: 7\r\n\r\n{\"a\":1}");
    });
}

#[test]
fn a_streamed_body_of_known_length_is_not_chunked() {
    run(async {
        let tap = Tap::default();
        for piece in ["one", "", "two", "end"] {
            tap.give(piece);
        }
        let wire = on_the_wire(&Method::PUT, tap.body(Some(9))).await;
        assert_eq!(wire, "PUT /x?y=z HTTP/1.1\r\nhost: AUTHORITY\r\ncontent-length: 9\r\n\r\nonetwoend");
    });
}

#[test]
fn a_streamed_body_of_unknown_length_is_chunked() {
    run(async {
        let tap = Tap::default();
        for piece in ["one", "", "seventeen bytes!!"] {
            tap.give(piece);
        }
        tap.end();
        let wire = on_the_wire(&Method::POST, tap.body(None)).await;
        let expected = "POST /x?y=z HTTP/1.1\r\nhost: AUTHORITY\r\ntransfer-encoding: chunked\r\n\r\n\
                        3\r\none\r\n11\r\nseventeen bytes!!\r\n0\r\n\r\n";
        assert_eq!(wire, expected);
    });
}

#[test]
fn a_host_line_of_the_caller_is_kept_alone() {
    run(async {
        let server = Server::start().await;
        let client = client();
        let mut head = head(&Method::GET, "/");
        head.header(&ACCEPT, b"*/*").unwrap().header(&HOST, b"models.example").unwrap();
        let exchange = async { server.accept().await.answer(OK).await };
        let mut body = RequestBody::Empty;
        let (response, request) = join!(client.send(&server.target, &head, &mut body), exchange);
        response.unwrap();
        assert_eq!(request.head, "GET / HTTP/1.1\r\naccept: */*\r\nhost: models.example");
    });
}

#[test]
fn a_body_larger_than_all_socket_buffers_arrives_whole() {
    run(async {
        let server = Server::start().await;
        let client = client();
        let large: Vec<u8> =
            (0..8 * 1024 * 1024_u32).map(|index| u8::try_from(index % 251).unwrap()).collect();
        let mut body = RequestBody::Full(large.clone().into());
        let head = head(&Method::POST, "/");
        let (response, request) = join!(client.send(&server.target, &head, &mut body), async {
            server.accept().await.answer(OK).await
        });
        assert_eq!(text(response.unwrap()).await.unwrap(), "ok");
        assert!(request.body == large, "the body was altered");
        assert_eq!(client.idle_connections(), 1);
    });
}

#[test]
fn a_piece_is_sent_while_the_next_one_is_awaited() {
    run(async {
        let server = Server::start().await;
        let client = client();
        let tap = Tap::default();
        let mut body = tap.body(None);
        let script = async {
            let mut peer = server.accept().await;
            peer.request_head().await;
            tap.give("first");
            assert_eq!(peer.take(10).await, b"5\r\nfirst\r\n");
            tap.give("second");
            assert_eq!(peer.take(11).await, b"6\r\nsecond\r\n");
            tap.end();
            assert_eq!(peer.take(5).await, b"0\r\n\r\n");
            peer.send(OK).await;
        };
        let head = head(&Method::POST, "/");
        let (response, ()) = join!(client.send(&server.target, &head, &mut body), script);
        assert_eq!(text(response.unwrap()).await.unwrap(), "ok");
        assert_eq!(client.idle_connections(), 1, "a finished upload leaves a reusable connection");
    });
}

#[test]
fn an_early_answer_to_a_streamed_body_is_heard() {
    run(async {
        let server = Server::start().await;
        let client = client();
        let tap = Tap::default();
        tap.give("the beginning");
        let mut body = tap.body(Some(1_000_000));
        let script = async {
            let mut peer = server.accept().await;
            peer.request_head().await;
            peer.send("HTTP/1.1 429 Too Many Requests\r\ncontent-length: 4\r\n\r\nbusy").await;
            peer
        };
        let head = head(&Method::POST, "/");
        let (response, mut peer) = join!(client.send(&server.target, &head, &mut body), script);
        let response = response.unwrap();
        assert_eq!(response.status, 429);
        assert!(!body.is_replayable());
        assert_eq!(text(response).await.unwrap(), "busy");
        peer.closed().await;
        assert_eq!(
            client.idle_connections(),
            0,
            "a request that was not sent to its end spoils the connection"
        );
    });
}

#[test]
fn an_early_answer_to_a_large_body_is_heard() {
    run(async {
        let server = Server::start().await;
        let client = client();
        let mut body = RequestBody::Full(vec![b'x'; 32 * 1024 * 1024].into());
        let script = async {
            let mut peer = server.accept().await;
            peer.request_head().await;
            peer.send("HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig").await;
            peer
        };
        let head = head(&Method::POST, "/");
        let (response, _peer) = join!(client.send(&server.target, &head, &mut body), script);
        let response = response.unwrap();
        assert_eq!(response.status, 413);
        assert_eq!(text(response).await.unwrap(), "big");
        assert_eq!(client.idle_connections(), 0);
    });
}

#[test]
fn an_early_answer_is_heard_even_if_writing_fails() {
    run(async {
        let server = Server::start().await;
        let client = client();
        let tap = Tap::default();
        let mut body = tap.body(None);
        let script = async {
            let mut peer = server.accept().await;
            peer.request_head().await;
            peer.send("HTTP/1.1 503 Busy\r\ncontent-length: 3\r\n\r\nbye").await;
            peer.reset();
            // Both what was sent and the reset have arrived when the client gets to run.
            tap.give("into the void");
            tap.give("and more");
        };
        let head = head(&Method::POST, "/");
        let (response, ()) = join!(client.send(&server.target, &head, &mut body), script);
        assert_eq!(response.unwrap().status, 503);
    });
}

#[test]
fn a_failing_source_ends_the_request() {
    run(async {
        let server = Server::start().await;
        let client = client();
        let tap = Tap::default();
        tap.give("so far");
        tap.fail("the client left");
        let mut body = tap.body(None);
        let head = head(&Method::POST, "/");
        let script = async { server.accept().await.closed().await };
        let (response, wire) = join!(client.send(&server.target, &head, &mut body), script);
        let error = response.unwrap_err();
        assert!(error.is_body_source() && !error.is_connect(), "{error:?}");
        assert_eq!(error.to_string(), "request body failed: the client left");
        assert!(
            wire.ends_with(b"6\r\nso far\r\n"),
            "the request must not look complete: {:?}",
            wire.escape_ascii()
        );
    });
}

#[test]
fn a_source_that_breaks_its_promise_of_a_length_ends_the_request() {
    run(async {
        for (piece, complaint) in [("short", "shorter"), ("much too long", "longer")] {
            let server = Server::start().await;
            let client = client();
            let tap = Tap::default();
            tap.give(piece);
            tap.end();
            let mut body = tap.body(Some(10));
            let head = head(&Method::POST, "/");
            let script = async { server.accept().await.closed().await };
            let (response, _) = join!(client.send(&server.target, &head, &mut body), script);
            let error = response.unwrap_err();
            assert!(error.is_body_source());
            assert_eq!(error.to_string(), format!("request body is {complaint} than announced"));
        }
    });
}
