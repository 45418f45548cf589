//! Backends that speak TLS: verified against the roots of the operating system, unless the backend opts out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::{Backend, backend};
use ollamaflow_tests::wait;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::{answer, f1, health_of};

/// A server with a certificate that nobody but itself has signed. It answers every request with its own text, and ends
/// with the runtime of its test.
struct SelfSigned {
    address: SocketAddr,
    rejected: Arc<AtomicUsize>,
}

impl SelfSigned {
    async fn start() -> Self {
        let acceptor = acceptor();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let rejected = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&rejected);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(acceptor.clone(), stream, Arc::clone(&count)));
            }
        });
        Self { address, rejected }
    }

    fn backend(&self, identifier: &str) -> Backend {
        backend(identifier, self.address).set("Ssl", true)
    }

    /// Handshakes that the other side broke off.
    fn rejected(&self) -> usize {
        self.rejected.load(Ordering::Relaxed)
    }
}

fn acceptor() -> TlsAcceptor {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, rejected: Arc<AtomicUsize>) {
    let answered = async {
        let mut stream = acceptor.accept(stream).await?;
        // With TLS 1.3 a client that refuses the certificate says so after the server has finished its handshake.
        read_head(&mut stream).await?;
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nover TLS";
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    };
    if answered.await.is_err() {
        rejected.fetch_add(1, Ordering::Relaxed);
    }
}

async fn read_head(stream: &mut TlsStream<TcpStream>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_self_signed_backend_is_unhealthy_by_default() {
    let server = SelfSigned::start().await;
    let node = Node::builder().frontend(f1()).backend(server.backend("b1")).start().await;
    wait::until("several probes refused the certificate", || server.rejected() >= 3).await;
    assert!(health_of(&node, "b1").await["UnhealthySinceUtc"].is_string());
    assert_eq!(answer(&node, Request::get("/api/tags")).await.status(), 502);
}

#[tokio::test]
async fn a_self_signed_backend_that_opts_out_of_verification_is_healthy_and_serves() {
    let server = SelfSigned::start().await;
    let unverified = server.backend("b1").set("VerifyTls", false);
    let node = crate::ready(Node::builder().frontend(f1()).backend(unverified)).await;
    let answer = answer(&node, Request::get("/api/any")).await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "over TLS"));
    assert_eq!(server.rejected(), 0);
}

#[tokio::test]
async fn opting_out_is_a_matter_of_one_backend() {
    let server = SelfSigned::start().await;
    let builder = Node::builder().frontend(f1().backends(["b1", "strict"]));
    let node =
        builder.backend(server.backend("b1").set("VerifyTls", false)).backend(server.backend("strict"));
    let node = crate::ready(node).await;
    wait::until("probes of the other one refused the certificate", || server.rejected() >= 3).await;
    assert!(health_of(&node, "strict").await["UnhealthySinceUtc"].is_string());
    assert!(health_of(&node, "b1").await["HealthySinceUtc"].is_string());
}

#[tokio::test]
async fn a_backend_without_tls_is_not_reached_over_tls() {
    let engine = crate::engine();
    let node =
        Node::builder().frontend(f1()).backend(crate::b1(&engine).set("Ssl", true).set("VerifyTls", false));
    let node = node.start().await;
    wait::until("it was tried", || engine.stats().connections_accepted >= 3).await;
    assert!(health_of(&node, "b1").await["UnhealthySinceUtc"].is_string());
}
