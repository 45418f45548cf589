//! Paths and queries of calls, with what users typed in them.

use url::Url;
use url::form_urlencoded::Serializer;

/// A path of these parts, each of which may have any characters in it.
pub(super) fn path<'p>(parts: impl IntoIterator<Item = &'p str>) -> String {
    // Only a URL without a host has no path, and this is none.
    let Ok(mut url) = Url::parse("http://node/") else { return String::new() };
    if let Ok(mut segments) = url.path_segments_mut() {
        // Dots alone would be taken for directories; a node has no object of that name.
        segments.clear().extend(parts.into_iter().map(|part| if part.starts_with('.') { "-" } else { part }));
    }
    url.path().to_owned()
}

/// The path with what is given of these parameters.
pub(super) fn with_query(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let mut query = Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    match query.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

/// The value of a switch: there or not there.
pub(super) fn switch(is_on: bool) -> Option<String> {
    is_on.then(|| "true".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_typed_stays_in_its_part() {
        assert_eq!(path(["v1.0", "backends", "b1"]), "/v1.0/backends/b1");
        assert_eq!(path(["a", "b/c?d#e %"]), "/a/b%2Fc%3Fd%23e%20%25");
        assert_eq!(path(["a", "..", "b"]), "/a/-/b");
    }

    #[test]
    fn a_query_has_what_is_given() {
        assert_eq!(with_query("/a", &[("x", None), ("y", switch(false))]), "/a");
        assert_eq!(
            with_query("/a", &[("x", Some("1 &".to_owned())), ("y", switch(true))]),
            "/a?x=1+%26&y=true"
        );
    }
}
