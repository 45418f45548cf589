//! Which peers are proxies of our own, whose word about the client counts: networks and addresses, as they stand in the
//! settings.

// Addresses are values here: nothing is opened.
use core::net::IpAddr;
use std::fmt;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Networks and addresses of trusted proxies. An IPv4 address is the same whether a socket shows it as such or mapped
/// into IPv6.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrustedProxies(Vec<Network>);

/// One network; a single address is one too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network(IpNet);

/// Bits of an IPv6 address that say that the rest is an IPv4 address (RFC 4291, 2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

// === impl TrustedProxies ===

impl TrustedProxies {
    /// Whether the address is one of theirs.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|Network(network)| network.contains(&address))
    }
}

// === impl Network ===

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim();
        let network = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse::<IpNet>().map_err(drop)?,
        };
        if let IpNet::V6(six) = network
            && let Some(four) = six.addr().to_ipv4_mapped()
            && let Some(prefix) = six.prefix_len().checked_sub(MAPPED_PREFIX)
        {
            return Ipv4Net::new(four, prefix).map(|network| Self(network.into())).map_err(drop);
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            return self.0.addr().fmt(formatter);
        }
        self.0.fmt(formatter)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|()| {
            Error::custom(format_args!("must be an address or a network such as 10.0.0.0/8, but is {text:?}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn proxies(texts: &[&str]) -> TrustedProxies {
        serde_json::from_value(json!(texts)).unwrap()
    }

    #[test]
    fn addresses_and_networks_of_both_families_are_told_from_others() {
        let trusted = proxies(&["192.0.2.7", "10.0.0.0/8", "2001:db8::/32", "::1"]);
        for inside in ["192.0.2.7", "10.255.0.1", "2001:db8:1::5", "::1"] {
            assert!(trusted.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["192.0.2.8", "11.0.0.1", "2001:db9::1", "::2", "127.0.0.1"] {
            assert!(!trusted.contains(outside.parse().unwrap()), "{outside}");
        }
        assert!(!TrustedProxies::default().contains("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn an_ipv4_address_that_is_mapped_into_ipv6_is_the_same_address() {
        let mapped = "::ffff:10.1.2.3".parse().unwrap();
        assert!(proxies(&["10.0.0.0/8"]).contains(mapped));
        assert!(proxies(&["::ffff:10.0.0.0/104"]).contains("10.1.2.3".parse().unwrap()));
        assert!(proxies(&["::ffff:10.1.2.3"]).contains("10.1.2.3".parse().unwrap()));
        assert!(!proxies(&["::ffff:10.0.0.0/104"]).contains("11.1.2.3".parse().unwrap()));
    }

    #[test]
    fn they_are_written_as_they_are_read() {
        let texts = json!(["192.0.2.7", "10.0.0.0/8", "2001:db8::/32", "::1"]);
        let read: TrustedProxies = serde_json::from_value(texts.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), texts);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "proxy", "10.0.0.0/33", "10.0.0", "10.0.0.1:80", "::/129", "10.0.0.0/"] {
            assert!(serde_json::from_value::<TrustedProxies>(json!([text])).is_err(), "{text}");
        }
    }
}
