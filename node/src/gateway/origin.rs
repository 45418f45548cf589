//! Where a request comes from: the client's address, believed only as far as our own proxies tell it, and the key by
//! which the client's session is known.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderName, HeaderValue};
use ollamaflow_protocol::proxies::TrustedProxies;
use smallvec::SmallVec;

use super::GatewaySettings;
use crate::actors::ClientKey;

pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Headers whose values are credentials: they may tell sessions apart, but administrators need not see them.
const SECRET: [&str; 5] = ["authorization", "cookie", "proxy-authorization", "x-api-key", "api-key"];

/// Whether the value of a header is a credential.
pub(super) fn is_secret(name: &str) -> bool {
    SECRET.iter().any(|secret| secret.eq_ignore_ascii_case(name))
}

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The client.
    pub(super) address: IpAddr,
    /// Whether the peer of the connection is a proxy of our own: then what it says in `X-Forwarded-*` is passed on.
    pub(super) trusted_peer: bool,
}

/// The key of the session of whoever sends `request`.
pub(crate) fn client_key(request: &HttpRequest, settings: &GatewaySettings) -> ClientKey {
    Origin::of(request, &settings.trusted_proxies).client_key(request, &settings.sticky_headers)
}

// === impl Origin ===

impl Origin {
    /// The origin of a request by its connection and its head.
    pub(super) fn of(request: &HttpRequest, trusted: &TrustedProxies) -> Self {
        let Some(peer) = peer(request) else {
            // A connection that is gone already.
            return Self { address: Ipv4Addr::UNSPECIFIED.into(), trusted_peer: false };
        };
        if !trusted.contains(peer) {
            return Self { address: peer, trusted_peer: false };
        }
        let forwarded = request.headers().get_all(FORWARDED_FOR).map(HeaderValue::as_bytes);
        Self { address: client(peer, forwarded, trusted), trusted_peer: true }
    }

    /// The key of the client's session: the first of `headers` that has a value, else the client's address.
    pub(super) fn client_key(self, request: &HttpRequest, headers: &[HeaderName]) -> ClientKey {
        let named = headers.iter().find_map(|name| {
            let mut values = request.headers().get_all(name).map(|value| value.as_bytes().trim_ascii());
            values.find(|value| !value.is_empty()).map(|value| (name, value))
        });
        match named {
            Some((name, value)) if is_secret(name.as_str()) => ClientKey::hidden(value),
            Some((_, value)) => ClientKey::new(value),
            None => ClientKey::new(&text(self.address)),
        }
    }
}

/// The peer of the request's connection, in canonical form.
pub(super) fn peer(request: &HttpRequest) -> Option<IpAddr> {
    request.peer_addr().as_ref().map(SocketAddr::ip).map(|address| address.to_canonical())
}

/// The text of an address, which each request tells its backend: what a formatter takes for four octets is much of what
/// the whole head takes.
pub(super) fn text(address: IpAddr) -> AddressText {
    let mut text = AddressText::new();
    let IpAddr::V4(address) = address else {
        text.extend_from_slice(address.to_string().as_bytes());
        return text;
    };
    for octet in address.octets() {
        if !text.is_empty() {
            text.push(b'.');
        }
        if octet >= 100 {
            text.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            text.push(b'0' + octet / 10 % 10);
        }
        text.push(b'0' + octet % 10);
    }
    text
}

/// The text of an address; that of nearly all needs no allocation.
pub(super) type AddressText = SmallVec<[u8; "255.255.255.255".len()]>;

/// The rightmost address that is not trusted: each trusted proxy vouches for the one to its left. What nobody can have
/// meant ends the walk at the last proxy that was still understood; so does the left end.
fn client<'a>(
    peer: IpAddr,
    lines: impl DoubleEndedIterator<Item = &'a [u8]>,
    trusted: &TrustedProxies,
) -> IpAddr {
    let mut client = peer;
    let entries = lines.rev().flat_map(|line| line.rsplit(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    for entry in entries.filter(|entry| !entry.is_empty()) {
        let Some(address) = address(entry) else { break };
        client = address;
        if !trusted.contains(address) {
            break;
        }
    }
    client
}

/// An address as proxies write it: alone, in brackets, or with a port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let alone = bare.parse::<IpAddr>().ok();
    let address = alone.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    use super::*;

    fn trusted(texts: &[&str]) -> TrustedProxies {
        serde_json::from_value(serde_json::json!(texts)).unwrap()
    }

    /// The origin of a request from `peer` with these lines of `X-Forwarded-For`.
    fn origin(peer: &str, lines: &[&str], trust: &[&str]) -> (String, bool) {
        let peer = SocketAddr::new(peer.parse().unwrap(), 4711);
        let request = TestRequest::default().peer_addr(peer);
        let request =
            lines.iter().fold(request, |request, line| request.append_header((FORWARDED_FOR, *line)));
        let origin = Origin::of(&request.to_http_request(), &trusted(trust));
        (origin.address.to_string(), origin.trusted_peer)
    }

    #[test]
    fn an_untrusted_peer_is_the_client_whatever_it_says() {
        for lines in [&[][..], &["203.0.113.7"], &["10.0.0.9, 203.0.113.7"]] {
            assert_eq!(origin("192.0.2.1", lines, &[]), ("192.0.2.1".to_owned(), false));
            assert_eq!(origin("192.0.2.1", lines, &["10.0.0.0/8"]), ("192.0.2.1".to_owned(), false));
        }
    }

    #[test]
    fn of_a_trusted_peers_list_the_rightmost_untrusted_address_is_the_client() {
        for (lines, client) in [
            (&[][..], "10.0.0.1"),
            (&[""], "10.0.0.1"),
            (&["203.0.113.7"], "203.0.113.7"),
            (&["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
            (&["198.51.100.1, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),
            (&["198.51.100.1", "203.0.113.7 ,", " 10.0.0.2,10.0.0.3"], "203.0.113.7"),
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&["[2001:db8::5]:443"], "2001:db8::5"),
            (&["2001:db8::5"], "2001:db8::5"),
            (&["[2001:db8::5], 10.0.0.2"], "2001:db8::5"),
            (&["203.0.113.7:1234"], "203.0.113.7"),
        ] {
            assert_eq!(origin("10.0.0.1", lines, &["10.0.0.0/8"]), (client.to_owned(), true), "{lines:?}");
        }
    }

    #[test]
    fn what_is_no_address_ends_the_walk() {
        for (line, client) in [
            ("203.0.113.7, unknown", "10.0.0.1"),
            ("203.0.113.7, unknown, 10.0.0.2", "10.0.0.2"),
            ("203.0.113.7, 1.2.3, 10.0.0.2", "10.0.0.2"),
            ("203.0.113.7, [::1, 10.0.0.2", "10.0.0.2"),
        ] {
            assert_eq!(origin("10.0.0.1", &[line], &["10.0.0.0/8"]), (client.to_owned(), true), "{line}");
        }
    }

    #[test]
    fn addresses_that_are_mapped_into_ipv6_count_as_ipv4() {
        let mapped = origin("::ffff:10.0.0.1", &["203.0.113.7, ::ffff:10.0.0.2"], &["10.0.0.0/8"]);
        assert_eq!(mapped, ("203.0.113.7".to_owned(), true));
        let plain = origin("::ffff:192.0.2.1", &[], &[]);
        assert_eq!(plain, ("192.0.2.1".to_owned(), false));
    }

    #[test]
    fn the_first_header_that_has_a_value_is_the_key_and_else_the_address() {
        let headers = [HeaderName::from_static("x-conversation-id"), HeaderName::from_static("x-thread-id")];
        let origin = Origin { address: "192.0.2.1".parse().unwrap(), trusted_peer: false };
        let key = |pairs: &[(&str, &str)]| {
            let request = TestRequest::default();
            let request = pairs.iter().fold(request, |request, pair| request.append_header(*pair));
            origin.client_key(&request.to_http_request(), &headers).text().to_owned()
        };
        assert_eq!(key(&[]), "192.0.2.1");
        assert_eq!(key(&[("x-other", "a")]), "192.0.2.1");
        assert_eq!(key(&[("x-thread-id", "t"), ("x-conversation-id", " c ")]), "c");
        assert_eq!(key(&[("x-thread-id", "t"), ("x-conversation-id", " ")]), "t");
        assert_eq!(key(&[("x-conversation-id", ""), ("x-conversation-id", "second")]), "second");
    }

    #[test]
    fn a_credential_is_a_key_that_is_not_shown() {
        let request = TestRequest::default().append_header(("Authorization", "Bearer abc")).to_http_request();
        let origin = Origin { address: "192.0.2.1".parse().unwrap(), trusted_peer: false };
        let key = origin.client_key(&request, &[HeaderName::from_static("authorization")]);
        assert!(!key.text().contains("abc"), "{}", key.text());
    }

    proptest! {
        #[test]
        fn the_text_of_an_address_is_that_of_the_formatter(address in any::<IpAddr>()) {
            prop_assert_eq!(text(address).to_vec(), address.to_string().into_bytes());
        }

        #[test]
        fn no_list_makes_a_client_of_what_an_untrusted_address_says(
            said in "[0-9a-f.:, \\[\\]]{0,40}",
            beyond in proptest::collection::vec(0_u8..255, 0..4),
        ) {
            let mut entries = vec![said, "203.0.113.7".to_owned()];
            entries.extend(beyond.into_iter().map(|last| format!("10.0.0.{last}")));
            let list = entries.join(", ");
            let found = client("10.0.0.1".parse().unwrap(), [list.as_bytes()].into_iter(), &trusted(&["10.0.0.0/8"]));
            prop_assert_eq!(found.to_string(), "203.0.113.7");
        }
    }
}
