//! Rules for single properties, attached to their fields with `deserialize_with`, so that each bound is written
//! once, next to the property it belongs to.
//!
//! Each error is a predicate ("must be ..."); the reader puts the path of the property in front of it.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, IgnoredAny, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::secret::Secret;

/// Largest integer of the original's 32-bit properties.
pub const INT_MAX: i64 = i32::MAX as i64;

/// Deepest nesting of pinned properties. The JSON reader stops at 128 levels, and the log and the snapshots of a
/// cluster wrap objects in levels of their own: what is accepted once must stay readable there.
pub const MAX_PINNED_DEPTH: usize = 64;

/// A whole number from `LOW` to `HIGH`, both included.
pub fn between<'de, const LOW: i64, const HIGH: i64, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: TryFrom<i64>,
    D: Deserializer<'de>,
{
    let number = deserializer.deserialize_any(WholeNumber { low: LOW, high: HIGH })?;
    // Fails only for a field that is narrower than its declared range.
    T::try_from(number).map_err(|_| Error::invalid_value(Unexpected::Signed(number), &"a smaller number"))
}

/// A text that is not empty.
pub fn non_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.trim().is_empty() { Err(Error::custom("must not be empty")) } else { Ok(text) }
}

/// A host name or IP address, or one of the wildcards; no scheme, port or path.
pub fn host_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = non_empty(deserializer)?;
    let unsuitable =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '\\' | '?' | '#' | '@');
    if text.contains(unsuitable) {
        return Err(Error::custom(format_args!(
            "must be a host name or IP address without scheme, port and path, but is {text:?}"
        )));
    }
    Ok(text)
}

/// The path of a URL, starting with `/`; an empty text means `/`.
pub fn url_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok("/".to_owned());
    }
    if !text.starts_with('/') {
        return Err(Error::custom(format_args!("must start with `/`, but is {text:?}")));
    }
    request_line_text(text)
}

/// The query part of a URL; a leading `?` is dropped and an empty text counts as absent.
pub fn query_string<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let query = text.strip_prefix('?').unwrap_or(&text).to_owned();
    if query.is_empty() { Ok(None) } else { request_line_text(query).map(|query| Some(Secret::new(query))) }
}

/// A bearer token, sent in a header; an empty text counts as absent.
pub fn token<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let secret = Option::<Secret>::deserialize(deserializer)?.filter(|secret| !secret.expose().is_empty());
    match secret {
        Some(secret) if !is_header_value(secret.expose()) => {
            Err(Error::custom("must not contain line breaks or other control characters"))
        }
        other => Ok(other),
    }
}

/// Longest PEM text, in bytes: a chain of some certificates, or a handful of authorities. Every node keeps it.
const MAX_PEM: usize = 64 * 1024;

/// Certificates in PEM form; an empty text counts as absent. Whether they can be used is seen by whoever uses them.
pub fn pem_certificates<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.filter(|text| !text.trim().is_empty());
    match text {
        Some(text) if text.len() > MAX_PEM => {
            Err(Error::custom(format_args!("must not be longer than {MAX_PEM} bytes")))
        }
        Some(text) if !text.contains("-----BEGIN CERTIFICATE-----") => {
            Err(Error::custom("must be the text of certificates in PEM form, not the name of a file"))
        }
        other => Ok(other),
    }
}

/// A private key in PEM form, or what stands in for it on output; an empty text counts as absent.
pub fn pem_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let key = Option::<Secret>::deserialize(deserializer)?.filter(|key| !key.expose().trim().is_empty());
    match key {
        Some(key) if key.is_redaction_mark() => Ok(Some(key)),
        Some(key) if key.expose().len() > MAX_PEM => {
            Err(Error::custom(format_args!("must not be longer than {MAX_PEM} bytes")))
        }
        Some(key) if !key.expose().contains("PRIVATE KEY-----") => {
            Err(Error::custom("must be the text of a private key in PEM form, not the name of a file"))
        }
        other => Ok(other),
    }
}

/// The name of a TLS server; an empty text counts as absent.
pub fn server_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let Some(name) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    if name.is_empty() {
        return Ok(None);
    }
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(Error::custom(format_args!("must be a host name, but is {name:?}")));
    }
    Ok(Some(name))
}

/// Request headers: names are tokens of RFC 9110, values hold no control characters.
pub fn headers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Secret>, D::Error> {
    let headers = BTreeMap::<String, Secret>::deserialize(deserializer)?;
    for (name, value) in &headers {
        if !is_header_name(name) {
            return Err(Error::custom(format_args!("must have HTTP header names as keys, but has {name:?}")));
        }
        if !is_header_value(value.expose()) {
            return Err(Error::custom(format_args!("has a control character in the value of {name:?}")));
        }
    }
    Ok(headers)
}

/// Properties to force into requests: any JSON object, at most [`MAX_PINNED_DEPTH`] levels deep.
pub fn pinned<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    let properties = Map::deserialize(deserializer)?;
    if properties.values().any(|value| is_deeper_than(value, MAX_PINNED_DEPTH - 1)) {
        return Err(Error::custom(format_args!("must not be nested deeper than {MAX_PINNED_DEPTH} levels")));
    }
    Ok(properties)
}

/// A number that only the server sets: whatever the input says is skipped.
pub fn ignored<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|IgnoredAny| 0)
}

/// Whether the text can be the name of an HTTP header (RFC 9110, section 5.6.2).
pub fn is_header_name(text: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(token)
}

/// Whether the text can be the value of an HTTP header.
pub fn is_header_value(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && c != '\t')
}

// === helpers ===

struct WholeNumber {
    low: i64,
    high: i64,
}

impl Visitor<'_> for WholeNumber {
    type Value = i64;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.high >= INT_MAX && self.low > i64::MIN {
            // The upper bound only states the width of the property; leaving it out reads better.
            write!(formatter, "a whole number of {} or more (at most {})", self.low, self.high)
        } else {
            write!(formatter, "a whole number from {} to {}", self.low, self.high)
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i64, E> {
        if (self.low..=self.high).contains(&number) {
            Ok(number)
        } else {
            Err(E::invalid_value(Unexpected::Signed(number), &self))
        }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i64, E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
        }
    }
}

/// Whether lists and objects sit in one another more than `levels` deep.
fn is_deeper_than(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(|item| is_deeper_than(item, levels - 1)),
        Value::Object(properties) => {
            levels == 0 || properties.values().any(|property| is_deeper_than(property, levels - 1))
        }
        _ => false,
    }
}

fn request_line_text<E: Error>(text: String) -> Result<String, E> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '#' || !c.is_ascii()) {
        return Err(E::custom(
            "must not contain spaces, line breaks, control characters, # or letters beyond ASCII (escape them with %)",
        ));
    }
    Ok(text)
}
