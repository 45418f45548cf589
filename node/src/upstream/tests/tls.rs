//! The same exchanges through TLS, and who is trusted.

use std::future::poll_fn;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ServerConfig};
use tokio::io::AsyncWriteExt;
use tokio::join;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::super::io::Io;
use super::super::upload::Upload;
use super::server::{OK, Peer, Server};
use super::*;

/// A server with a certificate that nobody but itself has signed.
struct TlsServer {
    server: Server,
    acceptor: TlsAcceptor,
    certificate: CertificateDer<'static>,
}

impl TlsServer {
    async fn start() -> Self {
        Self::named(&["localhost", "127.0.0.1"]).await
    }

    async fn named(names: &[&str]) -> Self {
        let names: Vec<_> = names.iter().copied().map(str::to_owned).collect();
        let CertifiedKey::<KeyPair> { cert, signing_key } = generate_simple_self_signed(names).unwrap();
        let certificate = cert.der().clone();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { server: Server::start().await, acceptor: TlsAcceptor::from(Arc::new(config)), certificate }
    }

    fn target(&self, host: &str, config: Arc<ClientConfig>) -> Arc<Target> {
        Target::new(host, self.server.port(), Some(config)).unwrap()
    }

    async fn try_accept(&self) -> std::io::Result<Peer<TlsStream<TcpStream>>> {
        let tcp = self.server.accept().await.stream;
        self.acceptor.accept(tcp).await.map(Peer::new)
    }

    async fn answer(&self, response: impl AsRef<[u8]>) -> Peer<TlsStream<TcpStream>> {
        let mut peer = self.try_accept().await.unwrap();
        peer.answer(response).await;
        peer
    }
}

/// A configuration that trusts another self-signed certificate only.
fn trusting_a_stranger() -> Arc<ClientConfig> {
    let stranger = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    tls_config_with_roots([stranger.cert.der().clone()]).unwrap()
}

#[test]
fn an_untrusted_certificate_fails_the_connection() {
    run(async {
        let server = TlsServer::start().await;
        let client = client();
        let mut configs = vec![trusting_a_stranger()];
        // The system's roots, where there are any.
        configs.extend(tls_config(true));
        for config in configs {
            let target = server.target("127.0.0.1", config);
            let (result, accepted) = join!(get(&client, &target), server.try_accept());
            let error = result.unwrap_err();
            assert!(error.is_connect() && matches!(error, SendError::Tls(_)), "{error:?}");
            assert!(error.to_string().contains("certificate"), "{error}");
            assert!(accepted.is_err());
        }
    });
}

#[test]
fn without_verification_any_certificate_will_do() {
    run(async {
        let server = TlsServer::start().await;
        let client = client();
        let target = server.target("127.0.0.1", tls_config(false).unwrap());
        let (response, peer) = join!(get(&client, &target), server.answer(OK));
        assert_eq!(text(response.unwrap()).await.unwrap(), "ok");
        assert_eq!(peer.stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    });
}

#[test]
fn custom_roots_are_trusted_for_the_names_of_the_certificate_only() {
    run(async {
        let server = TlsServer::start().await;
        let client = client();
        let config = tls_config_with_roots([server.certificate.clone()]).unwrap();
        for host in ["localhost", "127.0.0.1"] {
            let target = server.target(host, Arc::clone(&config));
            let (response, _peer) = join!(get(&client, &target), server.answer(OK));
            assert_eq!(text(response.unwrap()).await.unwrap(), "ok");
        }
        let server = TlsServer::named(&["localhost"]).await;
        let config = tls_config_with_roots([server.certificate.clone()]).unwrap();
        let other = server.target("127.0.0.1", config);
        let (result, _) = join!(get(&client, &other), server.try_accept());
        assert!(matches!(result, Err(SendError::Tls(_))), "{result:?}");
    });
}

#[test]
fn connections_are_reused_through_tls() {
    run(async {
        let server = TlsServer::start().await;
        let client = client();
        let target = server.target("127.0.0.1", tls_config(false).unwrap());
        let (response, mut peer) = join!(post(&client, &target, "first"), server.answer(OK));
        assert_eq!(text(response.unwrap()).await.unwrap(), "ok");
        for _ in 0..3 {
            assert_eq!(client.idle_connections(), 1);
            let (response, request) = join!(post(&client, &target, "again"), peer.answer(OK));
            let response = response.unwrap();
            assert!(response.reused);
            assert_eq!(text(response).await.unwrap(), "ok");
            assert_eq!(request.body, b"again");
        }
        peer.stream.shutdown().await.unwrap();
        drop(peer);
        let (response, _peer) = join!(post(&client, &target, "afresh"), server.answer(OK));
        let response = response.unwrap();
        assert!(!response.reused);
        assert_eq!(text(response).await.unwrap(), "ok");
    });
}

#[test]
fn a_stale_connection_is_replaced_through_tls() {
    run(async {
        let server = TlsServer::start().await;
        let client = client();
        let target = server.target("127.0.0.1", tls_config(false).unwrap());
        let (response, mut peer) = join!(post(&client, &target, "first"), server.answer(OK));
        assert_eq!(text(response.unwrap()).await.unwrap(), "ok");
        let script = async {
            peer.request().await;
            drop(peer);
            server.answer(OK).await
        };
        let (response, _peer) = join!(post(&client, &target, "second"), script);
        let response = response.unwrap();
        assert!(!response.reused);
        assert_eq!(text(response).await.unwrap(), "ok");
    });
}

#[test]
fn large_bodies_pass_in_both_directions_through_tls() {
    run(async {
        let server = TlsServer::start().await;
        let client = client();
        let target = server.target("127.0.0.1", tls_config(false).unwrap());
        let large: Vec<u8> =
            (0..2 * 1024 * 1024_u32).map(|index| u8::try_from(index % 239).unwrap()).collect();
        let mut body = RequestBody::Full(large.clone().into());
        let head = head(&Method::POST, "/");
        let script = async {
            let mut peer = server.try_accept().await.unwrap();
            let request = peer.request().await;
            peer.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", request.body.len())).await;
            peer.send(&request.body).await;
            peer
        };
        let exchange = async {
            let mut body = client.send(&target, &head, &mut body).await.unwrap().body;
            pieces(&mut body).await.unwrap().concat()
        };
        let (echoed, _peer) = join!(exchange, script);
        assert!(echoed == large, "the body was altered");
        assert_eq!(client.idle_connections(), 1);
    });
}

#[test]
fn a_piece_is_sent_through_tls_while_the_next_one_is_awaited() {
    run(async {
        let server = TlsServer::start().await;
        let client = client();
        let target = server.target("127.0.0.1", tls_config(false).unwrap());
        let tap = Tap::default();
        let mut body = tap.body(None);
        let head = head(&Method::POST, "/");
        let script = async {
            let mut peer = server.try_accept().await.unwrap();
            peer.request_head().await;
            tap.give("first");
            assert_eq!(peer.take(10).await, b"5\r\nfirst\r\n");
            tap.end();
            peer.take(5).await;
            peer.send(OK).await;
            peer
        };
        let (response, _peer) = join!(client.send(&target, &head, &mut body), script);
        assert_eq!(text(response.unwrap()).await.unwrap(), "ok");
    });
}

#[test]
fn the_next_piece_is_not_asked_for_while_tls_holds_back_the_last() {
    // More than the sockets below take, less than TLS is willing to hold (64 KiB).
    const PIECE_BYTES: usize = 48 * 1024;
    run(async {
        let TlsServer { acceptor, .. } = TlsServer::start().await;
        let (tcp, peer) = narrow_pair().await;
        let connector = TlsConnector::from(tls_config(false).unwrap());
        let name = ServerName::try_from("localhost").unwrap();
        let (stream, peer) = join!(connector.connect(name, tcp), acceptor.accept(peer));
        let (mut io, mut peer) = (Io::Tls(Box::new(stream.unwrap())), Peer::new(peer.unwrap()));

        let tap = Tap::default();
        tap.push(Ok(vec![b'x'; PIECE_BYTES].into()));
        let mut body = tap.body(Some(PIECE_BYTES as u64 + 4));
        let (target, head) = (Target::new("h", 1, None).unwrap(), head(&Method::POST, "/"));
        let mut upload = Upload::new(&target, &head, &mut body);
        let pending = poll_fn(|cx| Poll::Ready(upload.poll(cx, &mut io).is_pending())).await;
        assert!(pending);
        assert_eq!(tap.polls(), 1);

        tap.give("last");
        let script = async {
            peer.request_head().await;
            peer.take(PIECE_BYTES + 4).await
        };
        let (sent, received) = join!(poll_fn(|cx| upload.poll(cx, &mut io)), script);
        sent.unwrap();
        assert!(received.ends_with(b"xlast"));
    });
}

/// A connection whose two ends buffer as little as the system allows.
async fn narrow_pair() -> (TcpStream, TcpStream) {
    let listener = TcpSocket::new_v4().unwrap();
    listener.set_recv_buffer_size(1).unwrap();
    listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = listener.listen(1).unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(1).unwrap();
    let (stream, accepted) = join!(socket.connect(listener.local_addr().unwrap()), listener.accept());
    (stream.unwrap(), accepted.unwrap().0)
}

#[test]
fn a_body_until_close_needs_the_closing_notice_of_tls() {
    run(async {
        let server = TlsServer::start().await;
        let client = client();
        let target = server.target("127.0.0.1", tls_config(false).unwrap());
        for (notice, complete) in [(true, true), (false, false)] {
            let script = async {
                let mut peer = server.answer("HTTP/1.1 200 OK\r\n\r\nall of it?").await;
                if notice {
                    peer.stream.shutdown().await.unwrap();
                }
            };
            let (response, ()) = join!(get(&client, &target), script);
            let result = text(response.unwrap()).await;
            if complete {
                assert_eq!(result.unwrap(), "all of it?");
            } else {
                assert!(matches!(result, Err(BodyError::Truncated)), "{result:?}");
            }
        }
    });
}

#[test]
fn dropping_the_body_closes_the_connection_through_tls() {
    run(async {
        let server = TlsServer::start().await;
        let client = client();
        let target = server.target("127.0.0.1", tls_config(false).unwrap());
        let (response, mut peer) =
            join!(get(&client, &target), server.answer("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart"));
        drop(response.unwrap());
        peer.closed().await;
    });
}
