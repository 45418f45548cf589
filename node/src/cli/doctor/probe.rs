//! One health check of a backend, from this machine: what the node would do, without the secrets that only it has.

use std::io;
use std::time::Duration;

use awc::error::{ConnectError, SendRequestError};
use awc::http::Method;
use awc::{Client, Connector};

use crate::cli::wire::Backend;
use crate::upstream::{TlsNeeds, tls_config_for};

/// Longest wait for the answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    NoName(String),
    Refused,
    Silent,
    NoTls(String),
    Broken(String),
    Status(u16),
}

pub(super) async fn probe(backend: &Backend) -> Answer {
    let mut connector = Connector::new().timeout(TIMEOUT);
    if backend.ssl {
        // A certificate of the node, and the name that is asked for in place of the host's, are left out: the key of the
        // one is not known here, and the client cannot do the other.
        let needs =
            TlsNeeds { verify: backend.verify_tls, authorities: backend.tls_ca.clone(), identity: None };
        match tls_config_for(needs) {
            Ok(config) => connector = connector.rustls_0_23(config),
            Err(error) => return Answer::NoTls(error.to_string()),
        }
    }
    let client = Client::builder().connector(connector).disable_redirects().timeout(TIMEOUT).finish();
    let address = backend.address();
    let address = if backend.ssl { address } else { format!("http://{address}") };
    let method =
        Method::from_bytes(backend.health_check_method.to_uppercase().as_bytes()).unwrap_or(Method::GET);
    match client.request(method, format!("{address}{}", backend.health_check_url)).send().await {
        Ok(answer) => Answer::Status(answer.status().as_u16()),
        Err(error) => Answer::of(&error, backend.ssl),
    }
}

// === Answer ===

impl Answer {
    fn of(error: &SendRequestError, is_tls: bool) -> Self {
        match error {
            SendRequestError::Timeout | SendRequestError::Connect(ConnectError::Timeout) => Self::Silent,
            SendRequestError::Connect(ConnectError::Resolver(reason)) => Self::NoName(reason.to_string()),
            SendRequestError::Connect(ConnectError::NoRecords | ConnectError::Unresolved) => {
                Self::NoName("no records".to_owned())
            }
            SendRequestError::Connect(ConnectError::Io(reason)) => match reason.kind() {
                io::ErrorKind::ConnectionRefused => Self::Refused,
                io::ErrorKind::TimedOut
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable => Self::Silent,
                _ if is_tls => Self::NoTls(reason.to_string()),
                _ => Self::Broken(reason.to_string()),
            },
            other => Self::Broken(other.to_string()),
        }
    }
}
