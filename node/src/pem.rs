//! Certificates and keys in PEM form.

use std::io;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

/// Why a text does not give what it should.
#[derive(Debug, Error)]
pub enum PemError {
    /// The file cannot be read.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// There is no PEM section of that kind.
    #[error("the {what} is no PEM text of that kind: {source}")]
    Malformed {
        /// What the text is for.
        what: &'static str,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// There is no certificate.
    #[error("the {0} has no certificate")]
    Empty(&'static str),
    /// A certificate cannot be trusted, whatever it certifies.
    #[error("the {what} cannot be used: {source}")]
    Unusable {
        /// What the certificate is for.
        what: &'static str,
        /// What is wrong with it.
        source: rustls::Error,
    },
}

/// Reads a file. Blocks.
pub fn read(path: &Path) -> Result<Vec<u8>, PemError> {
    std::fs::read(path).map_err(|source| PemError::Read { path: path.to_owned(), source })
}

/// All certificates of a text, in its order; at least one. `what` tells in an error what they are for.
pub fn certificates(what: &'static str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found = CertificateDer::pem_slice_iter(text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| PemError::Malformed { what, source })?;
    if found.is_empty() { Err(PemError::Empty(what)) } else { Ok(found) }
}

/// All certificates of a text as authorities to trust.
pub fn authorities(what: &'static str, text: &[u8]) -> Result<RootCertStore, PemError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(what, text)? {
        roots.add(certificate).map_err(|source| PemError::Unusable { what, source })?;
    }
    Ok(roots)
}

/// The first private key of a text.
pub fn private_key(what: &'static str, text: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|source| PemError::Malformed { what, source })
}
