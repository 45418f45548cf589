//! Keys and short strings as a decoder sees them, from the raw text between their quotes.

use std::borrow::Cow;

/// Equality of keys as Go's `encoding/json` sees it: ASCII case folded, and U+017F and U+212A fold to `s` and `k`.
pub(crate) fn same_key(key: &str, pin: &str) -> bool {
    key == pin || key.chars().map(fold).eq(pin.chars().map(fold))
}

/// One character of a key as Go's `encoding/json` compares it.
fn fold(c: char) -> char {
    match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    }
}

/// The text of a string whose raw JSON is `raw` (without its quotes). Broken UTF-8 is replaced, as Go does it; broken
/// escapes stay as they are written.
pub(crate) fn decoded(raw: &[u8]) -> Cow<'_, str> {
    if memchr::memchr(b'\\', raw).is_none() {
        return String::from_utf8_lossy(raw);
    }
    let raw = String::from_utf8_lossy(raw);
    serde_json::from_str::<String>(&format!("\"{raw}\"")).map_or(raw, Cow::Owned)
}

/// A key to be matched against literals, from its raw JSON: unescaped, and folded if the reader of the body folds
/// keys. Allocates only for keys that nearly nobody writes.
pub(crate) fn name(raw: &[u8], folded: bool) -> Cow<'_, [u8]> {
    let is_plain = |byte: &u8| byte.is_ascii() && *byte != b'\\' && !(folded && byte.is_ascii_uppercase());
    if raw.iter().all(is_plain) || raw.len() > MAX_NAME {
        return Cow::Borrowed(raw);
    }
    let key = decoded(raw);
    let key = if folded { key.chars().map(fold).collect() } else { key.into_owned() };
    Cow::Owned(key.into_bytes())
}

/// Longer raw keys match nothing that anyone looks for, however they are escaped: six bytes is the longest escape of
/// one character, and `draft_num_predict` has 17.
const MAX_NAME: usize = 6 * 17;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(raw: &str, folded: bool) -> String {
        String::from_utf8(super::name(raw.as_bytes(), folded).into_owned()).unwrap()
    }

    #[test]
    fn keys_are_unescaped_and_folded_where_the_reader_folds() {
        assert_eq!(name("model", false), "model");
        assert_eq!(name("Model", false), "Model");
        assert_eq!(name("Model", true), "model");
        assert_eq!(name("\\u006dODEL", true), "model");
        assert_eq!(name("\\u006dodel", false), "model");
        assert_eq!(name("\u{17f}tream", true), "stream");
        assert_eq!(name("\u{17f}tream", false), "\u{17f}tream");
        assert_eq!(name("draft_num_predict", true), "draft_num_predict");
        let escaped =
            "\\u0044\\u0052\\u0041\\u0046\\u0054_num_\\u0050\\u0052\\u0045\\u0044\\u0049\\u0043\\u0054";
        assert_eq!(name(escaped, true), "draft_num_predict");
    }

    #[test]
    fn broken_strings_stay_recognisable() {
        assert_eq!(decoded(b"a\\nb"), "a\nb");
        assert_eq!(decoded(b"a\\qb"), "a\\qb");
        assert_eq!(decoded(b"\\ud800"), "\\ud800");
        assert_eq!(decoded(b"a\xffb"), "a\u{fffd}b");
    }
}
