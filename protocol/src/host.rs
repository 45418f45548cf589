//! Which frontend a `Host` header means: exact name, then the longest `*.suffix`, then `*`.

use core::net::Ipv6Addr;
use std::borrow::Cow;
use std::collections::HashMap;

/// Host patterns and what each stands for; built once per configuration, read by every request.
#[derive(Clone, Debug)]
pub struct HostIndex<T> {
    exact: HashMap<Box<str>, T>,
    /// `.suffix` with its value, longest suffix first.
    suffixes: Vec<(Box<str>, T)>,
    any: Option<T>,
}

// === impl HostIndex ===

impl<T> Default for HostIndex<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), suffixes: Vec::new(), any: None }
    }
}

impl<T> HostIndex<T> {
    /// Builds the index; of two equal patterns the first one wins.
    pub fn build<'a>(patterns: impl IntoIterator<Item = (&'a str, T)>) -> Self {
        let mut index = Self::default();
        for (pattern, value) in patterns {
            if pattern == "*" {
                index.any.get_or_insert(value);
            } else if let Some(suffix) = pattern.strip_prefix('*').filter(|suffix| suffix.starts_with('.')) {
                let suffix: Box<str> = normalise(suffix).into();
                if !index.suffixes.iter().any(|(known, _)| *known == suffix) {
                    index.suffixes.push((suffix, value));
                }
            } else {
                index.exact.entry(normalise(pattern).into()).or_insert(value);
            }
        }
        index.suffixes.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        index
    }

    /// The value for a `Host` header as received. No header (`None`) can only match `*`.
    pub fn find(&self, host: Option<&str>) -> Option<&T> {
        if self.exact.is_empty() && self.suffixes.is_empty() {
            return self.any.as_ref();
        }
        let Some(host) = host else { return self.any.as_ref() };
        let host = normalise(host);
        self.exact
            .get(&*host)
            .or_else(|| {
                let of_suffix =
                    |(suffix, _): &&(Box<str>, T)| host.len() > suffix.len() && host.ends_with(&**suffix);
                self.suffixes.iter().find(of_suffix).map(|(_, value)| value)
            })
            .or(self.any.as_ref())
    }
}

/// Strips the port, IPv6 brackets and one trailing dot, and lower-cases.
///
/// A colon in an unbracketed value ends the name, unless there are several: then it is a bare IPv6 literal.
fn normalise(host: &str) -> Cow<'_, str> {
    let host = host.trim();
    let name = if let Some(bracketed) = host.strip_prefix('[') {
        bracketed.split_once(']').map_or(bracketed, |(literal, _)| literal)
    } else {
        match host.split_once(':') {
            Some((name, rest)) if !rest.contains(':') => name,
            _ => host,
        }
    };
    // One IPv6 address has many spellings.
    if let Ok(address) = name.parse::<Ipv6Addr>() {
        return Cow::Owned(address.to_string());
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> HostIndex<&'static str> {
        HostIndex::build([
            ("*", "any"),
            ("LLM.example.com", "exact"),
            ("*.example.com", "wide"),
            ("*.eu.example.com", "eu"),
            ("[2001:DB8::1]", "six"),
            ("10.0.0.7", "four"),
        ])
    }

    #[test]
    fn exact_names_win_over_wildcards_whatever_case_and_port() {
        for host in ["llm.example.com", "LLM.EXAMPLE.COM:43411", "llm.example.com."] {
            assert_eq!(index().find(Some(host)), Some(&"exact"), "{host}");
        }
    }

    #[test]
    fn the_longest_suffix_wins_and_needs_at_least_one_label() {
        assert_eq!(index().find(Some("a.eu.example.com")), Some(&"eu"));
        assert_eq!(index().find(Some("a.b.example.com:80")), Some(&"wide"));
        assert_eq!(index().find(Some("example.com")), Some(&"any"));
        assert_eq!(index().find(Some("notexample.com")), Some(&"any"));
    }

    #[test]
    fn ip_literals_match_with_and_without_a_port() {
        for host in ["[2001:db8::1]:43411", "[2001:db8::1]", "2001:DB8::1", "[2001:db8:0::0:1]:9"] {
            assert_eq!(index().find(Some(host)), Some(&"six"), "{host}");
        }
        assert_eq!(index().find(Some("10.0.0.7:1")), Some(&"four"));
    }

    #[test]
    fn without_a_catch_all_an_unknown_or_missing_host_finds_nothing() {
        let index = HostIndex::build([("a.example", 1)]);
        assert_eq!(index.find(Some("b.example")), None);
        assert_eq!(index.find(None), None);
    }

    #[test]
    fn the_first_of_two_equal_patterns_wins() {
        let index = HostIndex::build([("*", 1), ("*", 2), ("a", 3), ("A", 4)]);
        assert_eq!(index.find(None), Some(&1));
        assert_eq!(index.find(Some("a")), Some(&3));
    }
}
