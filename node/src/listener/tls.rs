//! TLS towards clients: a certificate from PEM files, which new connections see as soon as the files have changed.
//!
//! Only HTTP/1.1 is offered: over HTTP/2 the server would not notice that a client departs in the middle of an answer, and
//! the backend would go on generating.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_web::rt::net::TcpStream;
use actix_web::rt::time::timeout;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::pem::{self, PemError};

/// The one protocol that is spoken through TLS.
const ALPN: &[u8] = b"http/1.1";

/// The first byte of a TLS connection: a handshake record (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// The answer to a client that speaks plain HTTP here, in the original's form of an error.
const PLAIN: &str =
    "{\"Error\":\"BadRequest\",\"Message\":\"This port speaks TLS: use https.\",\"StatusCode\":400}";

/// The files that a certificate comes from, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, the server's own first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities of client certificates. If there are any, each client must show a certificate.
    pub client_authorities: Option<PathBuf>,
}

/// TLS towards clients. Clones share it.
#[derive(Clone, Debug)]
pub struct ListenerTls(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    files: TlsFiles,
    current: ArcSwap<Loaded>,
}

/// What was read of the files.
#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_authorities: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Loaded {
    contents: Contents,
    config: Arc<ServerConfig>,
}

/// Why TLS towards clients cannot be set up.
#[derive(Debug, Error)]
pub enum ListenerTlsError {
    /// A file does not hold what it should.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// The certificate and the key cannot be used, or not together.
    #[error("certificate and key cannot be used: {0}")]
    Setup(#[from] rustls::Error),
    /// The authorities cannot verify clients.
    #[error("the authorities of client certificates cannot be used: {0}")]
    Authorities(#[from] VerifierBuilderError),
}

// === impl ListenerTls ===

impl ListenerTls {
    /// From the files as they are now. Blocks.
    pub fn load(files: TlsFiles) -> Result<Self, ListenerTlsError> {
        let loaded = Loaded::of(Contents::read(&files)?)?;
        Ok(Self(Arc::new(Shared { files, current: ArcSwap::from_pointee(loaded) })))
    }

    /// Reads the files again; true if they have changed, and new connections see it. After an error all stays as it was.
    /// Blocks.
    pub fn reload(&self) -> Result<bool, ListenerTlsError> {
        let contents = Contents::read(&self.0.files)?;
        if self.0.current.load().contents == contents {
            return Ok(false);
        }
        self.0.current.store(Arc::new(Loaded::of(contents)?));
        Ok(true)
    }

    /// The handshake, within `limit`. A client that speaks plain HTTP is told so.
    pub(super) async fn accept(
        &self,
        socket: TcpStream,
        limit: Duration,
    ) -> io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.0.current.load().config);
        let handshake = async {
            let mut first = [0];
            let count = socket.peek(&mut first).await?;
            if count == 1 && first != [HANDSHAKE] {
                let length = PLAIN.len();
                let answer = format!(
                    "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
                     connection: close\r\naccess-control-allow-origin: *\r\n\r\n{PLAIN}"
                );
                // Whether it arrives or not, the connection ends.
                let _ = socket.try_write(answer.as_bytes());
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the client does not speak TLS"));
            }
            TlsAcceptor::from(config).accept(socket).await
        };
        timeout(limit, handshake).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

// === impl Contents ===

impl Contents {
    fn read(files: &TlsFiles) -> Result<Self, PemError> {
        Ok(Self {
            certificate: pem::read(&files.certificate)?,
            key: pem::read(&files.key)?,
            client_authorities: files.client_authorities.as_deref().map(pem::read).transpose()?,
        })
    }
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // There is a private key in it.
        formatter.write_str("Contents")
    }
}

// === impl Loaded ===

impl Loaded {
    fn of(contents: Contents) -> Result<Self, ListenerTlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match &contents.client_authorities {
            None => builder.with_no_client_auth(),
            Some(text) => {
                let roots = Arc::new(pem::authorities("file of client authorities", text)?);
                builder.with_client_cert_verifier(
                    WebPkiClientVerifier::builder_with_provider(roots, provider).build()?,
                )
            }
        };
        let chain = pem::certificates("certificate file", &contents.certificate)?;
        let key = pem::private_key("key file", &contents.key)?;
        let mut config = builder.with_single_cert(chain, key)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { contents, config: Arc::new(config) })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;

    fn write_new(directory: &Path) -> TlsFiles {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
        fs::write(&certificate, cert.pem()).unwrap();
        fs::write(&key, signing_key.serialize_pem()).unwrap();
        TlsFiles { certificate, key, client_authorities: None }
    }

    #[test]
    fn changed_files_are_taken_and_unchanged_ones_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let tls = ListenerTls::load(write_new(directory.path())).unwrap();
        let config = || Arc::clone(&tls.0.current.load().config);
        let before = config();
        assert!(!tls.reload().unwrap());
        assert!(Arc::ptr_eq(&before, &config()));
        write_new(directory.path());
        assert!(tls.reload().unwrap());
        assert!(!Arc::ptr_eq(&before, &config()));
    }

    #[test]
    fn what_cannot_be_used_changes_nothing_and_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let files = write_new(directory.path());
        let tls = ListenerTls::load(files.clone()).unwrap();
        let before = Arc::clone(&tls.0.current.load().config);
        // The key of another certificate, as in the middle of a renewal.
        let other = tempfile::tempdir().unwrap();
        fs::copy(write_new(other.path()).key, &files.key).unwrap();
        assert!(matches!(tls.reload(), Err(ListenerTlsError::Setup(_))));
        fs::write(&files.certificate, "no certificate").unwrap();
        assert_eq!(tls.reload().unwrap_err().to_string(), "the certificate file has no certificate");
        fs::remove_file(&files.key).unwrap();
        let told = tls.reload().unwrap_err().to_string();
        assert!(told.starts_with(&format!("{} cannot be read: ", files.key.display())), "{told}");
        assert!(Arc::ptr_eq(&before, &tls.0.current.load().config));
    }
}
