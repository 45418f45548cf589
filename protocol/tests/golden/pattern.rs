//! How the rows of differences say which cases, places and values they mean.

use serde_json::Value;

/// In place of JSON: there is nothing.
pub(crate) const NOTHING: &str = "";

/// Whether `text` is `pattern`, in which each `*` stands for anything.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| matches(rest, &text[at..]))
}

/// Whether there is a member at `path` that is not null.
pub(crate) fn has(value: &Value, path: &str) -> bool {
    let (name, rest) = match path.split_once('.') {
        _ if path.is_empty() => return true,
        Some((name, rest)) => (name, rest),
        None => (path, ""),
    };
    let is_there = |value: &Value| !value.is_null() && has(value, rest);
    match value {
        Value::Object(members) => members.get(name).is_some_and(is_there),
        Value::Array(elements) if name == "*" => elements.iter().any(is_there),
        Value::Array(elements) => {
            name.parse::<usize>().ok().and_then(|index| elements.get(index)).is_some_and(is_there)
        }
        _ => false,
    }
}

pub(crate) fn is(pattern: &str, value: Option<&Value>) -> bool {
    match (pattern, value) {
        ("*", _) | (NOTHING, None) => true,
        (NOTHING, _) | (_, None) => false,
        (pattern, Some(value)) => {
            let pattern = serde_json::from_str(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
            holds(value, &pattern)
        }
    }
}

/// Whether `value` is `pattern` and perhaps more.
fn holds(value: &Value, pattern: &Value) -> bool {
    match (value, pattern) {
        (Value::Object(value), Value::Object(pattern)) => {
            pattern.iter().all(|(name, pattern)| value.get(name).is_some_and(|value| holds(value, pattern)))
        }
        _ => value == pattern,
    }
}
