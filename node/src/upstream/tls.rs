//! TLS configurations for upstream connections: the operating system's roots, a backend's own, or no verification; with a
//! certificate of the node or without.
//!
//! Only ALPN `http/1.1` is offered, since this client speaks nothing else. Configurations are made once and shared, so
//! that all workers resume each other's sessions.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use lru::LruCache;
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme, WantsVerifier,
};

use crate::pem::{self, PemError};

/// Most configurations of single servers that are remembered.
const MAX_KNOWN: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Why no TLS configuration could be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The operating system has no usable root certificate, so that every verification would fail.
    #[error("no trusted root certificates found: install the ca-certificates package or set SSL_CERT_FILE")]
    NoRoots,
    /// A root certificate given by the caller cannot be used.
    #[error("unusable root certificate: {0}")]
    InvalidRoot(#[source] rustls::Error),
    /// A PEM text given by the caller does not hold what it should.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// The certificate to be shown and its key cannot be used, or not together.
    #[error("the certificate and the key for this server cannot be used: {0}")]
    Identity(#[source] rustls::Error),
    /// The cryptography provider and the protocol versions do not fit.
    #[error("tls cannot be set up: {0}")]
    Setup(#[source] rustls::Error),
}

/// The shared configuration that verifies server certificates against the operating system's roots, or, with `verify`
/// false, accepts **any** certificate: the connection is then encrypted but the server could be anyone.
///
/// The roots are read once, at the first call with `verify` (blocking file reads: call it at start or on
/// configuration changes, not per request).
///
/// # Errors
/// [`TlsError::NoRoots`] or [`TlsError::Setup`]; nothing is remembered of a failure.
pub fn tls_config(verify: bool) -> Result<Arc<ClientConfig>, TlsError> {
    static VERIFYING: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    static ACCEPTING: OnceLock<Arc<ClientConfig>> = OnceLock::new();

    let (cell, make): (_, fn() -> Result<ClientConfig, TlsError>) =
        if verify { (&VERIFYING, with_native_roots) } else { (&ACCEPTING, without_verification) };
    if let Some(config) = cell.get() {
        return Ok(Arc::clone(config));
    }
    let config = Arc::new(make()?);
    Ok(Arc::clone(cell.get_or_init(|| config)))
}

/// What TLS to one server needs beyond the defaults. The texts are PEM.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct TlsNeeds {
    /// Whether the server's certificate is verified.
    pub verify: bool,
    /// The authorities that it is verified by, in place of the operating system's.
    pub authorities: Option<String>,
    /// The certificate chain that is shown to the server, and its private key.
    pub identity: Option<(String, String)>,
}

/// The configuration for these needs. Those that were asked for lately are remembered, so that connections to one server
/// resume each other's sessions.
///
/// # Errors
/// A text cannot be used, or what [`tls_config`] says.
pub fn tls_config_for(needs: TlsNeeds) -> Result<Arc<ClientConfig>, TlsError> {
    static KNOWN: OnceLock<Mutex<LruCache<TlsNeeds, Arc<ClientConfig>>>> = OnceLock::new();

    if needs.authorities.is_none() && needs.identity.is_none() {
        return tls_config(needs.verify);
    }
    let known = KNOWN.get_or_init(|| Mutex::new(LruCache::new(MAX_KNOWN)));
    if let Some(config) = known.lock().unwrap_or_else(PoisonError::into_inner).get(&needs) {
        return Ok(Arc::clone(config));
    }
    let builder = match &needs.authorities {
        _ if !needs.verify => unverified()?,
        Some(text) => builder()?
            .with_root_certificates(pem::authorities("authorities' certificate (TlsCa)", text.as_bytes())?),
        None => builder()?.with_root_certificates(native_roots()?),
    };
    let config = match &needs.identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = pem::certificates("certificate to be shown (TlsCertificate)", chain.as_bytes())?;
            let key = pem::private_key("private key (TlsKey)", key.as_bytes())?;
            builder.with_client_auth_cert(chain, key).map_err(TlsError::Identity)?
        }
    };
    let config = Arc::new(finish(config));
    known.lock().unwrap_or_else(PoisonError::into_inner).put(needs, Arc::clone(&config));
    Ok(config)
}

/// A configuration that trusts exactly the given root certificates, for backends behind a private authority.
///
/// # Errors
/// [`TlsError::InvalidRoot`] or [`TlsError::Setup`].
pub fn tls_config_with_roots(
    roots: impl IntoIterator<Item = CertificateDer<'static>>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root).map_err(TlsError::InvalidRoot)?;
    }
    Ok(Arc::new(finish(builder()?.with_root_certificates(store).with_no_client_auth())))
}

fn with_native_roots() -> Result<ClientConfig, TlsError> {
    Ok(finish(builder()?.with_root_certificates(native_roots()?).with_no_client_auth()))
}

fn native_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a trusted root certificate could not be read, fix or remove the file");
    }
    let mut store = RootCertStore::empty();
    let (usable, _) = store.add_parsable_certificates(found.certs);
    if usable == 0 {
        return Err(TlsError::NoRoots);
    }
    Ok(store)
}

fn without_verification() -> Result<ClientConfig, TlsError> {
    Ok(finish(unverified()?.with_no_client_auth()))
}

fn unverified() -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TlsError> {
    let verifier = Arc::new(AcceptAnyCertificate(ring::default_provider()));
    Ok(builder()?.dangerous().with_custom_certificate_verifier(verifier))
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, TlsError> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)
}

fn finish(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Verifies nothing: neither the chain, nor the name, nor the dates, nor the handshake signature. Without a trusted
/// certificate a signature proves nothing, and skipping it lets even certificates of ancient make through.
#[derive(Debug)]
struct AcceptAnyCertificate(CryptoProvider);

impl ServerCertVerifier for AcceptAnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
