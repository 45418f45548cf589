//! Where a backend is: host, port, TLS or not, and the key of its pooled connections.
//!
//! Built once per backend configuration and shared by all workers; a changed backend gets a new target, so that no
//! connection of the old one is used for it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
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
    addresses: Option<Box<[SocketAddr]>>,
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
        Self::parse(host, port, tls).map(Arc::new)
    }

    /// The same with TLS, where the server goes by another name than `host` there.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn named(
        host: &str,
        port: u16,
        tls: Arc<ClientConfig>,
        server_name: &str,
    ) -> Result<Arc<Self>, TargetError> {
        let server_name = ServerName::try_from(server_name.to_owned())
            .map_err(|_| TargetError::InvalidServerName(server_name.to_owned()))?;
        let mut target = Self::parse(host, port, Some(tls))?;
        if let Some(tls) = &mut target.tls {
            tls.server_name = server_name;
        }
        Ok(Arc::new(target))
    }

    /// The same, connected to at `addresses` only: for callers that have resolved the host themselves, and must not have
    /// it resolved to something else after they looked.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn at(
        addresses: &[SocketAddr],
        host: &str,
        port: u16,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Arc<Self>, TargetError> {
        let target = Self::parse(host, port, tls)?;
        Ok(Arc::new(Self { addresses: Some(addresses.into()), ..target }))
    }

    fn parse(host: &str, port: u16, tls: Option<Arc<ClientConfig>>) -> Result<Self, TargetError> {
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
        Ok(Self { id, host, port, tls, authority: authority.into(), addresses: None })
    }

    /// Unique within the process; connections are pooled under it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The value of the `Host` header: `host:port`, without the port if it is the scheme's default, IPv6 in brackets.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Where to connect, if that is settled.
    pub(super) fn addresses(&self) -> Option<&[SocketAddr]> {
        self.addresses.as_deref()
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
            .field("tls", &self.tls.is_some())
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

#[cfg(test)]
mod tests {
    use super::super::tls_config;
    use super::*;

    fn authority(host: &str, port: u16, tls: bool) -> String {
        let tls = tls.then(|| tls_config(false).unwrap());
        Target::new(host, port, tls).unwrap().authority().to_owned()
    }

    #[test]
    fn the_authority_leaves_out_the_default_port_of_the_scheme() {
        assert_eq!(authority("ollama.lan", 11434, false), "ollama.lan:11434");
        assert_eq!(authority("ollama.lan", 80, false), "ollama.lan");
        assert_eq!(authority("ollama.lan", 443, false), "ollama.lan:443");
        assert_eq!(authority("ollama.lan", 443, true), "ollama.lan");
        assert_eq!(authority("ollama.lan", 80, true), "ollama.lan:80");
    }

    #[test]
    fn addresses_are_written_as_a_host_header_wants_them() {
        assert_eq!(authority("10.0.0.7", 8000, false), "10.0.0.7:8000");
        assert_eq!(authority("::1", 8000, false), "[::1]:8000");
        assert_eq!(authority("[fd00::1]", 80, false), "[fd00::1]");
    }

    #[test]
    fn names_as_containers_and_resolvers_know_them_are_taken() {
        for host in ["ollama", "gpu_1", "a-b.c", "host.docker.internal", "example.com."] {
            assert!(Target::new(host, 1, Some(tls_config(false).unwrap())).is_ok(), "{host}");
        }
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        let long = "x.".repeat(128);
        for host in [
            "", ".", "a..b", "http://h", "h:1", "h/p", "u@h", "a b", "a\r\nb", "[::1", "::1]", "[h]",
            "m\u{fc}", &long,
        ] {
            assert!(matches!(Target::new(host, 1, None), Err(TargetError::InvalidHost(_))), "{host:?}");
        }
        assert!(matches!(Target::new("h", 0, None), Err(TargetError::InvalidPort)));
    }

    #[test]
    fn every_target_has_its_own_id() {
        let (one, two) = (Target::new("h", 1, None).unwrap(), Target::new("h", 1, None).unwrap());
        assert_ne!(one.id(), two.id());
    }
}
