//! Connections that cannot be made, and that nothing of a request is lost with them.

use tokio::join;
use tokio::net::TcpListener;

use super::server::{OK, Server};
use super::*;

/// A port that nobody listens on.
async fn refused_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

#[test]
fn a_refused_connection_names_its_address_and_leaves_the_body_alone() {
    run(async {
        let client = client();
        let port = refused_port().await;
        let target = Target::new("127.0.0.1", port, None).unwrap();
        let tap = Tap::default();
        let mut body = tap.body(None);
        let error = client.send(&target, &head(&Method::POST, "/"), &mut body).await.unwrap_err();
        assert!(error.is_connect());
        assert!(matches!(&error, SendError::Connect { address, .. } if address.port() == port), "{error:?}");
        assert_eq!(tap.polls(), 0);
        assert!(body.is_replayable());

        // The caller's next choice gets the whole body.
        let server = Server::start().await;
        tap.give("all of it");
        tap.end();
        let head = head(&Method::POST, "/");
        let script = async { server.accept().await.answer(OK).await };
        let (response, request) = join!(client.send(&server.target, &head, &mut body), script);
        response.unwrap();
        assert_eq!(request.body, b"9\r\nall of it\r\n0\r\n\r\n");
        assert!(!body.is_replayable());
    });
}

#[test]
fn a_name_is_resolved_and_its_addresses_are_tried() {
    run(async {
        // "localhost" may be ::1 first, where nobody listens.
        let server = Server::start().await;
        let target = Target::new("localhost", server.port(), None).unwrap();
        let client = client();
        let (response, _peer) = join!(get(&client, &target), server.answer(OK));
        assert_eq!(text(response.unwrap()).await.unwrap(), "ok");
    });
}

#[test]
fn a_target_at_known_addresses_is_not_resolved_again() {
    run(async {
        // One that nobody listens at, and then the server's; the name has none.
        let server = Server::start().await;
        let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], refused_port().await));
        let here = std::net::SocketAddr::from(([127, 0, 0, 1], server.port()));
        let name = "x".repeat(64);
        let target = Target::at(&[nobody, here], &name, 80, None).unwrap();
        let client = client();
        let script = async { server.accept().await.answer(OK).await };
        let (response, request) = join!(get(&client, &target), script);
        assert_eq!(text(response.unwrap()).await.unwrap(), "ok");
        assert!(request.head.ends_with(&format!("host: {name}")), "{}", request.head);

        let nowhere = Target::at(&[], "localhost", server.port(), None).unwrap();
        assert!(matches!(get(&client, &nowhere).await, Err(SendError::Resolve { .. })));
    });
}

#[test]
fn a_name_that_does_not_resolve_is_a_connect_error() {
    run(async {
        // No label may be longer than 63 bytes: the resolver gives up without asking anyone.
        let target = Target::new(&"x".repeat(64), 80, None).unwrap();
        let error = get(&client(), &target).await.unwrap_err();
        assert!(error.is_connect());
        assert!(matches!(error, SendError::Resolve { .. }), "{error:?}");
    });
}

#[test]
fn a_handshake_that_never_ends_runs_into_the_connect_timeout() {
    run(async {
        let server = Server::start().await;
        let tls = tls_config(false).unwrap();
        let target = Target::new("127.0.0.1", server.port(), Some(tls)).unwrap();
        let timeout = Duration::from_millis(50);
        let client = Client::new(&ClientSettings { connect_timeout: timeout, ..ClientSettings::default() });
        let (result, mut peer) = join!(get(&client, &target), server.accept());
        let error = result.unwrap_err();
        assert!(error.is_connect());
        assert!(matches!(error, SendError::ConnectTimeout(limit) if limit == timeout), "{error:?}");
        peer.closed().await;
    });
}
