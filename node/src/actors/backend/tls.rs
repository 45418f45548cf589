//! TLS to a backend, as its configuration wants it.

use std::sync::Arc;

use ollamaflow_protocol::object::{Backend, Secret};
use rustls::ClientConfig;

use super::view::AddressError;
use crate::upstream::{Target, TlsError, TlsNeeds, tls_config_for};

/// The configuration of TLS to the backend; none if it speaks plain HTTP.
pub(super) fn tls_of(config: &Backend) -> Result<Option<Arc<ClientConfig>>, TlsError> {
    if !config.ssl {
        return Ok(None);
    }
    let key = config.tls_key.as_ref().map(|key| Secret::expose(key).to_owned());
    tls_config_for(TlsNeeds {
        verify: config.verify_tls,
        authorities: config.tls_ca.clone(),
        identity: config.tls_certificate.clone().zip(key),
    })
    .map(Some)
}

/// Where to connect.
pub(super) fn target_of(config: &Backend) -> Result<Arc<Target>, AddressError> {
    let target = match (tls_of(config)?, &config.tls_server_name) {
        (Some(tls), Some(name)) => Target::named(&config.hostname, config.port, tls, name),
        (tls, _) => Target::new(&config.hostname, config.port, tls),
    };
    Ok(target?)
}

/// Whether what the configuration says of TLS can be used, as far as that can be known without a connection.
///
/// # Errors
/// It cannot, and why.
pub fn check_tls(config: &Backend) -> Result<(), AddressError> {
    let is_plain =
        config.tls_ca.is_none() && config.tls_certificate.is_none() && config.tls_server_name.is_none();
    if config.tls_key.as_ref().is_some_and(Secret::is_redaction_mark) {
        // It stands for a key that was checked when it was stored.
        return check_tls(&Backend { tls_key: None, tls_certificate: None, ..config.clone() });
    }
    // Without them nothing is wrong with the configuration, whatever may be wrong with this machine.
    if is_plain { Ok(()) } else { target_of(&Backend { ssl: true, ..config.clone() }).map(drop) }
}
