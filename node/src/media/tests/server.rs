//! A server whose answers the test writes byte for byte.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::upstream::tls_config_with_roots;

/// The beginning of a PNG.
pub(super) const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

/// The server. It closes each connection after its answer, unless the answer is empty: then it keeps silent.
pub(super) struct Server {
    pub(super) port: u16,
    heads: Heads,
    task: JoinHandle<()>,
}

type Heads = Rc<RefCell<Vec<String>>>;

impl Server {
    /// Answers a path with these bytes.
    pub(super) async fn answering(answer: impl Fn(&str) -> Vec<u8> + 'static) -> Self {
        Self::start(None, answer).await
    }

    /// The same by TLS with a certificate for `name`, and a client's configuration that trusts it.
    pub(super) async fn tls(
        name: &str,
        answer: impl Fn(&str) -> Vec<u8> + 'static,
    ) -> (Self, Arc<ClientConfig>) {
        let CertifiedKey::<KeyPair> { cert, signing_key } =
            generate_simple_self_signed([name.to_owned()]).unwrap();
        let certificate: CertificateDer<'static> = cert.der().clone();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let server = Self::start(Some(TlsAcceptor::from(Arc::new(config))), answer).await;
        (server, tls_config_with_roots([certificate]).unwrap())
    }

    async fn start(acceptor: Option<TlsAcceptor>, answer: impl Fn(&str) -> Vec<u8> + 'static) -> Self {
        // All loopback addresses, so that only the fetcher's rules keep it from them.
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (heads, answer) = (Heads::default(), Rc::new(answer));
        let task = tokio::task::spawn_local({
            let heads = heads.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (heads, answer, acceptor) = (heads.clone(), answer.clone(), acceptor.clone());
                    tokio::task::spawn_local(async move {
                        match acceptor {
                            None => serve(stream, &heads, &*answer).await,
                            Some(acceptor) => {
                                if let Ok(stream) = acceptor.accept(stream).await {
                                    serve(stream, &heads, &*answer).await;
                                }
                            }
                        }
                    });
                }
            }
        });
        Self { port, heads, task }
    }

    /// The heads of all requests so far.
    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.borrow().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    heads: &Heads,
    answer: &impl Fn(&str) -> Vec<u8>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let answer = answer(head.split(' ').nth(1).unwrap());
    heads.borrow_mut().push(head);
    if answer.is_empty() {
        return std::future::pending().await;
    }
    // The fetcher may have gone by then.
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
    let _ = stream.read_u8().await;
}

/// A whole answer of this type.
pub(super) fn answer(content_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// An answer that leads elsewhere.
pub(super) fn redirect(status: u16, location: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nSet-Cookie: id=1; Path=/\r\nContent-Length: 2\r\n\r\nno"
    )
    .into_bytes()
}
