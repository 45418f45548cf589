//! Mutual TLS: both sides show a certificate of the same authority, and the host's name is in the server's.

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use super::*;

/// Signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

// === impl Authority ===

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// The files of a node under that name.
    fn node(&self, name: &str) -> PeerTls {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.issuer).unwrap().pem();
        PeerTls::from_pem(self.pem.as_bytes(), chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }
}

fn node(tls: PeerTls) -> Node {
    Node::with(place("home", 2), Echo, Some(tls))
}

/// Calls from a node with those files; or with none, and so without TLS.
fn outcome(node: &Node, tls: Option<PeerTls>) -> Result<Vec<u8>, CallError> {
    let client = client_with(place("home", 1), SECRET, tls);
    run(client.call(&node.target(2), Call::Vote, b"body".to_vec(), HANG))
}

#[test]
fn nodes_of_one_authority_talk() {
    let authority = Authority::new();
    let node = node(authority.node("127.0.0.1"));
    assert_eq!(outcome(&node, Some(authority.node("other.example"))).unwrap(), b"Vote Some(1) body");
    assert_eq!(node.rejected_at_all(), 0);
}

#[test]
fn nodes_of_different_authorities_do_not() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let node = node(ours.node("127.0.0.1"));
    assert!(matches!(outcome(&node, Some(theirs.node("127.0.0.1"))), Err(CallError::Unreachable(_))));
}

#[test]
fn a_certificate_for_another_host_is_refused() {
    let authority = Authority::new();
    let node = node(authority.node("other.example"));
    assert!(matches!(outcome(&node, Some(authority.node("127.0.0.1"))), Err(CallError::Unreachable(_))));
}

#[test]
fn a_client_without_tls_gets_nothing() {
    let authority = Authority::new();
    let node = node(authority.node("127.0.0.1"));
    assert!(outcome(&node, None).is_err());
}

#[test]
fn a_client_without_a_certificate_gets_nothing() {
    let authority = Authority::new();
    let node = node(authority.node("127.0.0.1"));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let answer = run(async {
        let socket = tokio::net::TcpStream::connect(node.address()).await?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await?;
        stream.write_all(b"POST /peer/1/hello HTTP/1.1\r\nhost: x\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.map(|_| answer)
    });
    assert!(answer.is_err(), "{answer:?}");
}

#[test]
fn files_that_are_none_are_named() {
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap().serialize_pem();
    let load = |authority: &str, chain: &str, key: &str| {
        PeerTls::from_pem(authority.as_bytes(), chain.as_bytes(), key.as_bytes()).unwrap_err().to_string()
    };
    assert_eq!(load("", &authority.pem, &key), "the certificate authority has no certificate");
    assert_eq!(load(&authority.pem, "", &key), "the node's certificate has no certificate");
    assert!(load(&authority.pem, &authority.pem, "").contains("private key"));
    // The key of another certificate.
    assert!(load(&authority.pem, &authority.pem, &key).contains("cannot be used"));
}
