//! TLS configurations for upstream connections: the operating system's roots, extra roots, or no verification.
//!
//! Only ALPN `http/1.1` is offered, since this client speaks nothing else. Configurations are made once and shared, so
//! that all workers resume each other's sessions.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme, WantsVerifier,
};

/// Why no TLS configuration could be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The operating system has no usable root certificate, so that every verification would fail.
    #[error("no trusted root certificates found: install the ca-certificates package or set SSL_CERT_FILE")]
    NoRoots,
    /// A root certificate given by the caller cannot be used.
    #[error("unusable root certificate: {0}")]
    InvalidRoot(#[source] rustls::Error),
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
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a trusted root certificate could not be read, fix or remove the file");
    }
    let mut store = RootCertStore::empty();
    let (usable, _) = store.add_parsable_certificates(found.certs);
    if usable == 0 {
        return Err(TlsError::NoRoots);
    }
    Ok(finish(builder()?.with_root_certificates(store).with_no_client_auth()))
}

fn without_verification() -> Result<ClientConfig, TlsError> {
    let verifier = Arc::new(AcceptAnyCertificate(ring::default_provider()));
    Ok(finish(builder()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()))
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
