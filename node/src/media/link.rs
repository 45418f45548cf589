//! What the URL of an image may say.

use std::net::IpAddr;

use url::{Host, Position, Url};

use super::{FetchError, Limits};

/// Longest URL, as servers commonly bound it.
const MAX_URL_BYTES: usize = 8 * 1024;

/// A URL that may be fetched, as far as it tells by itself. Its host may still be anywhere.
#[derive(Debug)]
pub(super) struct Link {
    url: Url,
    host: Host,
    port: u16,
}

// === impl Link ===

impl Link {
    /// A URL that a client gave.
    pub(super) fn parse(text: &str, limits: &Limits) -> Result<Self, FetchError> {
        if text.len() > MAX_URL_BYTES {
            return Err(FetchError::Url("it is too long"));
        }
        Self::check(Url::parse(text), limits)
    }

    /// Where a redirect from here leads to. It is as good as any other URL, and no better.
    pub(super) fn follow(&self, location: &[u8], limits: &Limits) -> Result<Self, FetchError> {
        let location = std::str::from_utf8(location).ok().filter(|text| text.len() <= MAX_URL_BYTES);
        let location = location.ok_or(FetchError::Url("a redirect leads nowhere"))?;
        Self::check(self.url.join(location), limits)
    }

    fn check(parsed: Result<Url, url::ParseError>, limits: &Limits) -> Result<Self, FetchError> {
        let url = parsed.map_err(|_| FetchError::Url("it cannot be read"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(FetchError::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError::UserInfo);
        }
        let (Some(host), Some(port)) = (url.host().map(|host| host.to_owned()), url.port_or_known_default())
        else {
            return Err(FetchError::Url("it names no host"));
        };
        if !limits.ports.contains(&port) {
            return Err(FetchError::Port(port));
        }
        if let Host::Domain(name) = &host
            && is_localhost(name)
        {
            return Err(FetchError::NotPublic(name.clone()));
        }
        Ok(Self { url, host, port })
    }

    /// The host as a `Host` header names it, IPv6 in brackets.
    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The address that the URL names, in whatever spelling, or else the name to be resolved.
    pub(super) fn address(&self) -> Result<IpAddr, &str> {
        match &self.host {
            Host::Domain(name) => Err(name),
            Host::Ipv4(address) => Ok((*address).into()),
            Host::Ipv6(address) => Ok((*address).into()),
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// What is asked for; the fragment stays here.
    pub(super) fn path_and_query(&self) -> &str {
        &self.url[Position::BeforePath..Position::AfterQuery]
    }
}

/// Names that are this machine, whatever a resolver makes of them (RFC 6761 §6.3).
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Link, FetchError> {
        Link::parse(text, &Limits::default())
    }

    #[test]
    fn a_link_is_taken_apart_for_a_request() {
        let link = parse("HTTPS://Example.COM:443/a/../b c?q=\u{e9}#part").unwrap();
        assert_eq!((link.host(), link.port(), link.is_https()), ("example.com", 443, true));
        assert_eq!(link.path_and_query(), "/b%20c?q=%C3%A9");
        assert_eq!(link.address(), Err("example.com"));
        let link = parse("http://example.com").unwrap();
        assert_eq!((link.path_and_query(), link.port(), link.is_https()), ("/", 80, false));
    }

    #[test]
    fn only_http_and_https_are_fetched() {
        for url in [
            "ftp://example.com/a.png",
            "file:///etc/passwd",
            "gopher://example.com:80/",
            "data:image/png;base64,iVBORw0KGgo=",
            "unix:/run/docker.sock",
        ] {
            assert!(matches!(parse(url), Err(FetchError::Scheme)), "{url}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused() {
        let long = format!("http://example.com/{}", "a".repeat(MAX_URL_BYTES));
        for url in
            ["", "a.png", "//example.com/a.png", "http://", "http:///", "http://[::1", "http://a b/", &long]
        {
            assert!(matches!(parse(url), Err(FetchError::Url(_))), "{url}");
        }
    }

    #[test]
    fn credentials_are_refused_and_so_are_hosts_that_are_hidden_by_them() {
        for url in
            ["http://user@example.com/", "http://:pass@example.com/", "http://example.com:80@127.0.0.1/"]
        {
            assert!(matches!(parse(url), Err(FetchError::UserInfo)), "{url}");
        }
    }

    #[test]
    fn ports_other_than_those_of_the_schemes_are_refused_unless_they_are_allowed() {
        for port in [22, 8080, 11_434, 43_411] {
            let url = format!("http://example.com:{port}/");
            assert!(matches!(parse(&url), Err(FetchError::Port(refused)) if refused == port), "{url}");
            let limits = Limits { ports: vec![port], ..Limits::default() };
            assert_eq!(Link::parse(&url, &limits).unwrap().port(), port);
        }
        assert!(parse("http://example.com:443/").is_ok() && parse("https://example.com:80/").is_ok());
        assert!(parse("http://example.com:0/").is_err());
    }

    #[test]
    fn names_of_this_machine_are_refused_in_every_spelling() {
        for host in [
            "localhost",
            "LocalHost",
            "localhost.",
            "a.localhost",
            "a.localhost.",
            "\u{ff4c}ocalhost",
            "%6cocalhost",
        ] {
            let url = format!("http://{host}/");
            assert!(matches!(parse(&url), Err(FetchError::NotPublic(_))), "{url}");
        }
        assert!(parse("http://localhost.example.com/").is_ok() && parse("http://mylocalhost/").is_ok());
    }

    #[test]
    fn an_address_is_read_in_every_spelling() {
        for host in [
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "017700000001",
            "127.0.0.1.",
            "127.0.0.0x1",
            "\u{ff11}27.0.0.1",
            "%31%32%37.0.0.1",
            "127\u{3002}0.0.1",
        ] {
            let link = parse(&format!("http://{host}/")).unwrap();
            assert_eq!(link.address(), Ok("127.0.0.1".parse().unwrap()), "{host}");
        }
        let link = parse("http://[::ffff:127.0.0.1]/").unwrap();
        assert_eq!((link.address(), link.host()), (Ok("::ffff:7f00:1".parse().unwrap()), "[::ffff:7f00:1]"));
    }

    #[test]
    fn a_redirect_is_relative_to_where_it_comes_from_and_checked_like_any_url() {
        let limits = Limits::default();
        let link = parse("https://example.com/a/b.png?c").unwrap();
        let follow = |location: &str| link.follow(location.as_bytes(), &limits);
        for (location, host, path) in [
            ("d.png", "example.com", "/a/d.png"),
            ("/d.png", "example.com", "/d.png"),
            ("//other.example/d", "other.example", "/d"),
            ("http://other.example/d", "other.example", "/d"),
        ] {
            let followed = follow(location).unwrap();
            assert_eq!((followed.host(), followed.path_and_query()), (host, path), "{location}");
        }
        assert!(matches!(follow("file:///etc/passwd"), Err(FetchError::Scheme)));
        assert!(matches!(follow("//user@other.example/"), Err(FetchError::UserInfo)));
        assert!(matches!(follow("//other.example:22/"), Err(FetchError::Port(22))));
        assert!(matches!(follow("http://localhost/"), Err(FetchError::NotPublic(_))));
        assert!(matches!(link.follow(b"/\xff", &limits), Err(FetchError::Url(_))));
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_can_be_asked_for(
            text in "(https?:)?[/\\\\]{0,3}\\PC{0,40}",
            location in "\\PC{0,40}",
        ) {
            let Ok(link) = parse(&text) else { return Ok(()) };
            prop_assert!(link.path_and_query().starts_with('/') && link.path_and_query().is_ascii());
            prop_assert!(!link.host().is_empty() && [80, 443].contains(&link.port()));
            if let Ok(next) = link.follow(location.as_bytes(), &Limits::default()) {
                prop_assert!(next.path_and_query().starts_with('/') && !next.host().is_empty());
            }
        }
    }
}
