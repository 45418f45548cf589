//! `If-Match` and `If-None-Match` (RFC 9110 section 13.1): what must be true of an object for a request to go on.
//!
//! Entity tags are revisions in quotes: `"12"`.

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderName, HeaderValue};

/// The conditions of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    matches: Option<Tags>,
    matches_none: Option<Tags>,
}

/// A condition does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {}", have(.current.as_ref()))]
pub(super) struct Unmet {
    what: String,
    current: Option<u64>,
}

/// Entity tags of one header.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    Any,
    /// Revisions; texts that are none match nothing and are left out.
    Listed(Vec<Tag>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tag {
    revision: u64,
    is_weak: bool,
}

/// Most entity tags that are read of a request.
const MAX_TAGS: usize = 64;

// === impl Conditions ===

impl Conditions {
    pub(super) fn of(request: &HttpRequest) -> Self {
        Self {
            matches: Tags::read(request, &header::IF_MATCH),
            matches_none: Tags::read(request, &header::IF_NONE_MATCH),
        }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the target must be new.
    pub(super) fn only_new(&self) -> bool {
        self.matches_none == Some(Tags::Any)
    }

    /// Compares with `what`, whose revision is `current`; none if it does not exist.
    pub(super) fn check(&self, what: &str, current: Option<u64>) -> Result<(), Unmet> {
        let holds = |tag: &Tag| Some(tag.revision) == current;
        if self.if_match_holds(current.is_some(), holds)
            && !self.if_none_match_fails(current.is_some(), holds)
        {
            return Ok(());
        }
        Err(Unmet { what: what.to_owned(), current })
    }

    /// Compares with the whole catalog, for which every revision counts since it was last changed.
    pub(super) fn check_catalog(&self, changed_at: u64, present: u64, is_empty: bool) -> Result<(), Unmet> {
        let holds = |tag: &Tag| (changed_at..=present).contains(&tag.revision);
        if self.if_match_holds(true, holds) && !self.if_none_match_fails(!is_empty, holds) {
            return Ok(());
        }
        Err(Unmet { what: "the catalog".to_owned(), current: Some(changed_at) })
    }

    /// Whether a reader has this revision already.
    pub(super) fn has(&self, revision: u64) -> bool {
        self.if_none_match_fails(true, |tag| tag.revision == revision)
    }

    fn if_match_holds(&self, exists: bool, holds: impl Fn(&Tag) -> bool) -> bool {
        match &self.matches {
            None => true,
            Some(Tags::Any) => exists,
            // A weak tag does not say that the object is the same to the last byte, and never matches here.
            Some(Tags::Listed(tags)) => tags.iter().any(|tag| !tag.is_weak && holds(tag)),
        }
    }

    fn if_none_match_fails(&self, exists: bool, holds: impl Fn(&Tag) -> bool) -> bool {
        match &self.matches_none {
            None => false,
            Some(Tags::Any) => exists,
            Some(Tags::Listed(tags)) => tags.iter().any(holds),
        }
    }
}

// === impl Tags ===

impl Tags {
    fn read(request: &HttpRequest, name: &HeaderName) -> Option<Self> {
        let mut values = request.headers().get_all(name).peekable();
        values.peek()?;
        let texts: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        Some(Self::parse(&texts.join(",")))
    }

    fn parse(text: &str) -> Self {
        let mut tags = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
        if tags.clone().any(|tag| tag == "*") {
            return Self::Any;
        }
        Self::Listed(tags.by_ref().take(MAX_TAGS).filter_map(Tag::parse).collect())
    }
}

// === impl Tag ===

impl Tag {
    /// Quotes may be missing: a revision is hardly meant to be anything else.
    fn parse(text: &str) -> Option<Self> {
        let (is_weak, text) = text.strip_prefix("W/").map_or((false, text), |rest| (true, rest));
        let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
        Some(Self { revision: bare.parse().ok()?, is_weak })
    }
}

/// The entity tag of a revision.
pub(super) fn etag(revision: u64) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("\"{revision}\"")).ok()
}

// === sentences ===

fn have(current: Option<&u64>) -> String {
    match current {
        Some(revision) => {
            format!("is at revision {revision}, which the request's condition excludes: read it again first")
        }
        None => "does not exist, which the request's condition excludes".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn conditions(headers: &[(&str, &str)]) -> Conditions {
        let request =
            headers.iter().fold(TestRequest::default(), |request, header| request.append_header(*header));
        Conditions::of(&request.to_http_request())
    }

    #[test]
    fn without_conditions_everything_goes() {
        let none = conditions(&[]);
        assert!(none.is_empty());
        assert_eq!((none.check("x", None), none.check("x", Some(1))), (Ok(()), Ok(())));
    }

    #[test]
    fn if_match_wants_one_of_its_revisions_or_any() {
        for text in ["\"12\"", "12", "\"3\", \"12\"", "*", "nonsense, \"12\""] {
            let condition = conditions(&[("If-Match", text)]);
            assert_eq!(condition.check("x", Some(12)), Ok(()), "{text}");
            assert!(condition.check("x", None).is_err(), "{text}");
        }
        for text in ["\"11\"", "W/\"12\"", "nonsense", "", "\"\""] {
            let condition = conditions(&[("If-Match", text)]);
            assert!(condition.check("x", Some(12)).is_err(), "{text}");
            assert!(!condition.is_empty(), "{text}");
        }
        let two_lines = conditions(&[("If-Match", "\"1\""), ("If-Match", "\"12\"")]);
        assert_eq!(two_lines.check("x", Some(12)), Ok(()));
    }

    #[test]
    fn if_none_match_wants_none_of_its_revisions_or_nothing_at_all() {
        let new = conditions(&[("If-None-Match", "*")]);
        assert!(new.only_new() && new.check("x", Some(1)).is_err());
        assert_eq!(new.check("x", None), Ok(()));
        let other = conditions(&[("If-None-Match", "W/\"1\"")]);
        assert!(!other.only_new() && other.has(1) && !other.has(2));
        assert!(other.check("x", Some(1)).is_err());
        assert_eq!(other.check("x", Some(2)), Ok(()));
    }

    #[test]
    fn the_catalog_is_unchanged_from_its_last_change_to_the_present() {
        let at = |revision: &str| conditions(&[("If-Match", revision)]);
        assert!(at("\"4\"").check_catalog(5, 9, false).is_err());
        assert!(at("\"5\"").check_catalog(5, 9, false).is_ok());
        assert!(at("\"9\"").check_catalog(5, 9, false).is_ok());
        assert!(at("\"10\"").check_catalog(5, 9, false).is_err());
        let new = conditions(&[("If-None-Match", "*")]);
        assert!(new.check_catalog(5, 9, false).is_err());
        assert!(new.check_catalog(5, 9, true).is_ok());
    }

    #[test]
    fn the_sentence_names_the_revision() {
        let unmet = conditions(&[("If-Match", "\"1\"")]).check("backend b1", Some(2)).unwrap_err();
        assert!(unmet.to_string().starts_with("backend b1 is at revision 2"), "{unmet}");
    }
}
