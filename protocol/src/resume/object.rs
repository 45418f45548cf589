//! A JSON object of a request, its values left as the client wrote them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Names in order, values as JSON text: what nobody asks for passes byte by byte, numbers too.
#[derive(Clone, Debug)]
pub(super) struct Object {
    members: Vec<(String, String)>,
}

/// Whether a property's text asks for nothing: null, false, zero or empty.
pub(super) fn is_off(raw: &str) -> bool {
    matches!(raw, "null" | "false" | "0" | "\"\"" | "[]" | "{}")
}

/// `text` as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The text of a JSON string; `None` for anything else.
pub(super) fn unquoted(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

/// The elements of a JSON array, as JSON text; `None` for anything else.
pub(super) fn elements(raw: &str) -> Option<Vec<String>> {
    let elements: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    Some(elements.into_iter().map(|element| element.get().to_owned()).collect())
}

// === impl Object ===

impl Object {
    /// `None` where `text` is not one JSON object, or names a member twice: engines differ in which one counts.
    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// A member's JSON text. Names match as Ollama matches them, whatever their case.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.members.iter().find(|(key, _)| same_name(key, name)).map(|(_, value)| value.as_str())
    }

    /// Whether a member is there and asks for something.
    pub(super) fn asks(&self, name: &str) -> bool {
        self.get(name).is_some_and(|raw| !is_off(raw))
    }

    /// Replaces a member's value in place, or adds the member at the end.
    pub(super) fn set(&mut self, name: &str, raw: String) {
        match self.members.iter_mut().find(|(key, _)| same_name(key, name)) {
            Some((_, value)) => *value = raw,
            None => self.members.push((name.to_owned(), raw)),
        }
    }

    /// Takes a member out; its JSON text.
    pub(super) fn remove(&mut self, name: &str) -> Option<String> {
        let at = self.members.iter().position(|(key, _)| same_name(key, name))?;
        Some(self.members.remove(at).1)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.members.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}:{value}", quoted(name))?;
        }
        f.write_str("}")
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut folded = HashSet::new();
                let mut members = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    let value: &RawValue = map.next_value()?;
                    if !folded.insert(fold(&name).collect::<String>()) {
                        return Err(A::Error::custom("a member is named twice"));
                    }
                    members.push((name.into_owned(), value.get().to_owned()));
                }
                Ok(Object { members })
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// A name, borrowed unless it holds escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A name as Go's `encoding/json` compares it: ASCII case folded, and U+017F and U+212A as `s` and `k`.
fn fold(name: &str) -> impl Iterator<Item = char> {
    name.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    })
}

fn same_name(key: &str, name: &str) -> bool {
    key == name || fold(key).eq(fold(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_as_they_were_written() {
        let mut object =
            Object::parse(r#" { "a" : 1.50, "b":[ 1 ,2], "big":123456789012345678901234567890 } "#).unwrap();
        assert_eq!(object.to_string(), r#"{"a":1.50,"b":[ 1 ,2],"big":123456789012345678901234567890}"#);
        object.set("B", "true".to_owned());
        object.set("new", quoted("\"x\""));
        assert_eq!(object.remove("big").as_deref(), Some("123456789012345678901234567890"));
        assert_eq!(object.to_string(), r#"{"a":1.50,"b":true,"new":"\"x\""}"#);
    }

    #[test]
    fn a_member_named_twice_in_any_case_is_refused() {
        assert!(Object::parse(r#"{"a":1,"A":2}"#).is_none());
        assert!(Object::parse(r#"{"stream":1,"ſtream":2}"#).is_none());
        for text in ["[]", "{", "1", "", "{}{}"] {
            assert!(Object::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn what_is_null_false_zero_or_empty_asks_for_nothing() {
        let object = Object::parse(r#"{"a":null,"b":false,"c":0,"d":"","e":[],"f":{},"g":1}"#).unwrap();
        for name in ["a", "b", "c", "d", "e", "f", "absent"] {
            assert!(!object.asks(name), "{name}");
        }
        assert!(object.asks("g"));
    }
}
