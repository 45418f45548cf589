//! Mutual TLS between nodes: each shows a certificate, and each verifies the other's against one authority.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::server::VerifierBuilderError;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ServerConfig};
use thiserror::Error;

use crate::pem::{self, PemError};

/// The one protocol that is spoken through TLS.
const ALPN: &[u8] = b"http/1.1";

/// What a node needs to speak TLS with its peers. Its certificate must be good for servers and for clients, and for
/// the host of the address under which the others reach it. IPv6 addresses cannot be hosts with TLS: give a name.
#[derive(Clone)]
pub struct PeerTls {
    client: Arc<ClientConfig>,
    server: ServerConfig,
}

/// Why TLS between nodes cannot be set up.
#[derive(Debug, Error)]
pub enum PeerTlsError {
    /// A file does not hold what it should.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A certificate or the key cannot be used.
    #[error("the certificates cannot be used: {0}")]
    Setup(#[from] rustls::Error),
    /// The authority cannot verify other nodes.
    #[error("the certificate authority cannot be used: {0}")]
    Authority(#[from] VerifierBuilderError),
}

// === impl PeerTls ===

impl PeerTls {
    /// TLS by three PEM files: the authority's certificate, this node's chain, and its private key. Blocks.
    pub fn load(authority: &Path, chain: &Path, key: &Path) -> Result<Self, PeerTlsError> {
        Self::from_pem(&pem::read(authority)?, &pem::read(chain)?, &pem::read(key)?)
    }

    /// The same by the files' contents.
    pub fn from_pem(authority: &[u8], chain: &[u8], key: &[u8]) -> Result<Self, PeerTlsError> {
        let roots = Arc::new(pem::authorities("certificate authority", authority)?);
        let chain = pem::certificates("node's certificate", chain)?;
        let key = pem::private_key("node's private key", key)?;
        let provider = Arc::new(ring::default_provider());

        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider)).build()?;
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())?;
        server.alpn_protocols = vec![ALPN.to_vec()];

        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        client.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { client: Arc::new(client), server })
    }

    pub(super) fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.client)
    }

    pub(super) fn server(self) -> ServerConfig {
        self.server
    }
}

impl fmt::Debug for PeerTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PeerTls")
    }
}
