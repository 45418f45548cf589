//! Addresses of nodes, in one spelling.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// The port of the listener for other nodes where none is given: next to that for clients.
pub const DEFAULT_CLUSTER_PORT: u16 = 43_412;

/// Longest host name (RFC 1035, section 2.3.4, as text).
const MAX_HOST_LENGTH: usize = 253;

/// Where a node is found by others, written `HOST`, `HOST:PORT` or `[IPV6]:PORT`. The host is in lower case and an
/// IPv6 address in its shortest form, so that equal addresses are equal texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterAddress {
    host: String,
    port: u16,
}

/// The text is no address of a node. Each is a predicate: "must ...".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ClusterAddressError {
    /// There is no host.
    #[error("must name a host, as in node1:43412")]
    NoHost,
    /// A wildcard.
    #[error("must name one host that other nodes can reach, not every address")]
    Wildcard,
    /// The host is no name and no address.
    #[error("must have a host name or an IP address, as in node1:43412, without scheme and path")]
    Host,
    /// An IPv6 address without brackets.
    #[error("must have an IPv6 address in brackets, as in [::1]:43412")]
    Brackets,
    /// The port is no number from 1 to 65535.
    #[error("must have a port from 1 to 65535")]
    Port,
}

// === ClusterAddress ===

impl ClusterAddress {
    /// Name or address; IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port, never 0.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for ClusterAddress {
    type Err = ClusterAddressError;

    fn from_str(text: &str) -> Result<Self, ClusterAddressError> {
        let Parts { host, port } = Parts::of(text)?;
        if is_wildcard(&host) {
            return Err(ClusterAddressError::Wildcard);
        }
        match port {
            0 => Err(ClusterAddressError::Port),
            port => Ok(Self { host, port }),
        }
    }
}

impl fmt::Display for ClusterAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

// === Parts ===

/// Host and port as they are written, with the default port. Also for listeners: wildcards and port 0 are left in.
pub(super) struct Parts {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Parts {
    pub(super) fn of(text: &str) -> Result<Self, ClusterAddressError> {
        let text = text.trim();
        // A URL or a path: its colon is not the one in front of a port.
        if text.contains('/') {
            return Err(ClusterAddressError::Host);
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (literal, rest) = rest.split_once(']').ok_or(ClusterAddressError::Brackets)?;
            let address: Ipv6Addr = literal.parse().map_err(|_| ClusterAddressError::Brackets)?;
            let port = match rest.strip_prefix(':') {
                Some(port) => parse_port(port)?,
                None if rest.is_empty() => DEFAULT_CLUSTER_PORT,
                None => return Err(ClusterAddressError::Host),
            };
            return Ok(Self { host: address.to_string(), port });
        }
        let (host, port) = match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') && text.bytes().all(is_of_ipv6) => {
                return Err(ClusterAddressError::Brackets);
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        if host.is_empty() {
            return Err(ClusterAddressError::NoHost);
        }
        let is_name = host.len() <= MAX_HOST_LENGTH
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if !is_name && !is_wildcard(host) {
            return Err(ClusterAddressError::Host);
        }
        let port = port.map_or(Ok(DEFAULT_CLUSTER_PORT), parse_port)?;
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }
}

fn is_of_ipv6(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || b":.".contains(&byte)
}

fn parse_port(text: &str) -> Result<u16, ClusterAddressError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(ClusterAddressError::Port)
}

/// Whether the host stands for every address of a machine.
fn is_wildcard(host: &str) -> bool {
    matches!(host, "*" | "+") || host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_spelling() {
        for (text, address) in [
            ("node1", "node1:43412"),
            (" Node1.Example:5 ", "node1.example:5"),
            ("10.0.0.7:65535", "10.0.0.7:65535"),
            ("[2001:DB8:0::1]", "[2001:db8::1]:43412"),
            ("[::1]:7", "[::1]:7"),
            ("ollama_1:43412", "ollama_1:43412"),
        ] {
            let parsed: ClusterAddress = text.parse().unwrap();
            assert_eq!(parsed.to_string(), address);
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_reason() {
        use ClusterAddressError as Error;
        for (text, error) in [
            ("", Error::NoHost),
            (":43412", Error::NoHost),
            ("*:43412", Error::Wildcard),
            ("+", Error::Wildcard),
            ("0.0.0.0:1", Error::Wildcard),
            ("[::]:1", Error::Wildcard),
            ("::1", Error::Brackets),
            ("::1:43412", Error::Brackets),
            ("[::1", Error::Brackets),
            ("[node1]:1", Error::Brackets),
            ("[::1]43412", Error::Host),
            ("http://node1:1", Error::Host),
            ("node1/path", Error::Host),
            ("node 1", Error::Host),
            ("node1:", Error::Port),
            ("node1:0", Error::Port),
            ("node1:+5", Error::Port),
            ("node1:65536", Error::Port),
            ("node1:1:2", Error::Port),
        ] {
            assert_eq!(text.parse::<ClusterAddress>(), Err(error), "{text}");
        }
    }
}
