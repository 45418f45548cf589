//! Where a backend is: host, port, TLS or not, and the key of its pooled connections.
//!
//! Built once per backend configuration and shared by all workers; a changed backend gets a new target, so that no
//! connection of the old one is used for it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

/// The longest host name DNS can carry (RFC 1035 §2.3.4), in its textual form.
const MAX_NAME_BYTES: usize = 253;

/// One place to send requests to.
pub struct Target {
    id: u64,
    host: Host,
    port: u16,
    tls: Option<TargetTls>,
    authority: Box<str>,
}

/// The host as it is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// An address literal: nothing to resolve.
    Address(IpAddr),
    /// Resolved anew for every fresh connection.
    Name(Box<str>),
}

/// What a TLS handshake with a target needs.
pub(super) struct TargetTls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) server_name: ServerName<'static>,
}

/// Why a host and a port do not make a target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Neither an address literal nor a host name of letters, digits, `-`, `_` and `.`.
    #[error("invalid host {0:?}: give a host name or an address without scheme, port or path")]
    InvalidHost(String),
    /// Port 0 cannot be connected to.
    #[error("invalid port 0: give a port between 1 and 65535")]
    InvalidPort,
    /// The host can be connected to, but no certificate can be checked against it.
    #[error("host {0:?} cannot be used as a tls server name")]
    InvalidServerName(String),
}

impl Target {
    /// A target at `host` (a name, an IPv4 address, or an IPv6 address with or without brackets) and `port`.
    ///
    /// `tls`: speak TLS with this configuration (see [`tls_config`](super::tls_config)); the server name is the host.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn new(host: &str, port: u16, tls: Option<Arc<ClientConfig>>) -> Result<Arc<Self>, TargetError> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);

        if port == 0 {
            return Err(TargetError::InvalidPort);
        }
        let host = Host::parse(host)?;
        let tls = match tls {
            Some(config) => Some(TargetTls { config, server_name: host.server_name()? }),
            None => None,
        };
        let default_port = if tls.is_some() { 443 } else { 80 };
        let authority = if port == default_port { host.to_string() } else { format!("{host}:{port}") };
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(Self { id, host, port, tls, authority: authority.into() }))
    }

    /// Unique within the process; connections are pooled under it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The value of the `Host` header: `host:port`, without the port if it is the scheme's default, IPv6 in brackets.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether requests are sent over TLS.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn tls(&self) -> Option<&TargetTls> {
        self.tls.as_ref()
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("id", &self.id)
            .field("authority", &self.authority)
            .field("tls", &self.is_tls())
            .finish_non_exhaustive()
    }
}

impl Host {
    fn parse(host: &str) -> Result<Self, TargetError> {
        let invalid = || TargetError::InvalidHost(host.to_owned());
        if let Some(inner) = host.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or_else(invalid)?;
            return inner
                .parse::<Ipv6Addr>()
                .map(|address| Self::Address(address.into()))
                .map_err(|_| invalid());
        }
        if let Ok(address) = host.parse() {
            return Ok(Self::Address(address));
        }
        let name = host.strip_suffix('.').unwrap_or(host);
        let well_formed = name.len() <= MAX_NAME_BYTES
            && name.split('.').all(|label| !label.is_empty())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if well_formed { Ok(Self::Name(host.into())) } else { Err(invalid()) }
    }

    fn server_name(&self) -> Result<ServerName<'static>, TargetError> {
        match self {
            Self::Address(address) => Ok(ServerName::IpAddress((*address).into())),
            Self::Name(name) => {
                // A final dot means "absolute" to the resolver; certificates never carry it.
                let name = name.strip_suffix('.').unwrap_or(name);
                ServerName::try_from(name.to_owned())
                    .map_err(|_| TargetError::InvalidServerName(name.to_owned()))
            }
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}
