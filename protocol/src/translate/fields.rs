//! The members of a JSON object, read one by one by name, so that in the end it is known which ones nobody asked for.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Refused;
use crate::json::key::same_key;
use crate::json::scan::Scanner;

/// A JSON object whose values are not parsed before they are asked for.
///
/// `null` is the same as absent, and of duplicates the last one counts, as in Go's decoder. Keys match exactly, or as
/// Go's decoder matches them if `folded`.
#[derive(Debug)]
pub(super) struct Fields<'b> {
    members: Vec<Member<'b>>,
    folded: bool,
    /// Path of the object itself, with a dot behind it; empty for the body.
    path: String,
}

#[derive(Debug)]
struct Member<'b> {
    key: Cow<'b, str>,
    value: &'b RawValue,
    asked_for: bool,
}

// === impl Fields ===

impl<'b> Fields<'b> {
    /// Reads a request body. Refuses what is no JSON object, and what nests deeper than 128 levels.
    pub(super) fn of_body(body: &'b [u8], folded: bool) -> Result<Self, Refused> {
        let text = std::str::from_utf8(body).map_err(|_| Refused::body("the body is not valid UTF-8"))?;
        if text.trim_ascii().is_empty() {
            return Err(Refused::body("missing request body"));
        }
        let mut scanner = Scanner::new(body);
        if scanner.skip().is_err() || !scanner.at_end() {
            return Err(Refused::body("the body is not valid JSON, or nests too deep"));
        }
        let members: Members<'b> = serde_json::from_str(text)
            .map_err(|e| Refused::body(format!("the body is not a JSON object: {e}")))?;
        Ok(Self { members: members.0, folded, path: String::new() })
    }

    /// Reads an object inside a body. `path` is where it is, such as `messages[2]`.
    pub(super) fn of_value(value: &'b RawValue, folded: bool, path: &str) -> Result<Self, Refused> {
        let members: Members<'b> =
            serde_json::from_str(value.get()).map_err(|_| Refused::field(path, "must be an object"))?;
        Ok(Self { members: members.0, folded, path: format!("{path}.") })
    }

    /// Where a member is in the body.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// Where the object itself is in the body; empty for the body.
    pub(super) fn place(&self) -> String {
        self.path.strip_suffix('.').unwrap_or(&self.path).to_owned()
    }

    /// The text of a member; `None` if it is absent or null.
    pub(super) fn raw(&mut self, name: &str) -> Option<&'b RawValue> {
        let mut found = None;
        for member in &mut self.members {
            let same = if self.folded { same_key(&member.key, name) } else { member.key == name };
            if same {
                member.asked_for = true;
                found = Some(member.value);
            }
        }
        found.filter(|value| value.get() != "null")
    }

    /// A member of any type.
    pub(super) fn value(&mut self, name: &str) -> Result<Option<Value>, Refused> {
        self.read(name, "cannot be read")
    }

    /// A string.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Refused> {
        self.read(name, "must be a string")
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Refused> {
        self.read(name, "must be true or false")
    }

    /// A whole number, zero or more.
    pub(super) fn count(&mut self, name: &str) -> Result<Option<u64>, Refused> {
        self.read(name, "must be a whole number")
    }

    /// Any number, as written.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<serde_json::Number>, Refused> {
        self.read(name, "must be a number")
    }

    /// An array, its elements not parsed.
    pub(super) fn array(&mut self, name: &str) -> Result<Option<Vec<&'b RawValue>>, Refused> {
        self.read(name, "must be an array")
    }

    /// An object.
    pub(super) fn object(&mut self, name: &str) -> Result<Option<Fields<'b>>, Refused> {
        let folded = self.folded;
        let path = self.path(name);
        self.raw(name).map(|value| Fields::of_value(value, folded, &path)).transpose()
    }

    /// Anything that can be read from JSON; `must` completes the sentence that starts with the field.
    pub(super) fn read<T: Deserialize<'b>>(&mut self, name: &str, must: &str) -> Result<Option<T>, Refused> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        serde_json::from_str(value.get()).map(Some).map_err(|_| Refused::field(self.path(name), must))
    }

    /// Passes over a member on purpose: it changes nothing that the other API knows.
    pub(super) fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.raw(name);
        }
    }

    /// The paths of the members that nobody has asked for and that are not null.
    pub(super) fn rest(&self) -> impl Iterator<Item = String> {
        let left = self.members.iter().filter(|member| !member.asked_for && member.value.get() != "null");
        left.map(|member| self.path(&member.key))
    }
}

/// One JSON object, its values unparsed.
struct Members<'b>(Vec<Member<'b>>);

// === impl Members ===

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(Key(key)) = map.next_key()? {
                    members.push(Member { key, value: map.next_value()?, asked_for: false });
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// An object key, borrowed unless it holds escapes.
#[derive(Deserialize)]
struct Key<'b>(#[serde(borrow)] Cow<'b, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_by_name_and_the_rest_is_known() {
        let mut fields =
            Fields::of_body(br#"{"model":"m","n":null,"user":"u","stream":true,"x":{"y":1,"z":2}}"#, false)
                .unwrap();
        assert_eq!(fields.text("model").unwrap().as_deref(), Some("m"));
        assert_eq!(fields.count("n").unwrap(), None);
        assert_eq!(fields.flag("stream").unwrap(), Some(true));
        let mut inner = fields.object("x").unwrap().unwrap();
        assert_eq!(inner.count("y").unwrap(), Some(1));
        assert_eq!(inner.rest().collect::<Vec<_>>(), ["x.z"]);
        assert_eq!(fields.rest().collect::<Vec<_>>(), ["user"]);
    }

    #[test]
    fn keys_fold_where_go_folds_them_and_the_last_duplicate_counts() {
        let body = br#"{"MODEL":"a","model":"b"}"#;
        assert_eq!(Fields::of_body(body, true).unwrap().text("model").unwrap().as_deref(), Some("b"));
        let mut exact = Fields::of_body(br#"{"MODEL":"a"}"#, false).unwrap();
        assert_eq!(exact.text("model").unwrap(), None);
        assert_eq!(exact.rest().collect::<Vec<_>>(), ["MODEL"]);
    }

    #[test]
    fn mistakes_name_their_field() {
        let mut fields = Fields::of_body(br#"{"model":7,"x":{"y":"z"}}"#, false).unwrap();
        let refused = fields.text("model").unwrap_err();
        assert_eq!(
            (refused.field.as_deref(), refused.message.as_str()),
            (Some("model"), "model must be a string")
        );
        let refused = fields.object("x").unwrap().unwrap().count("y").unwrap_err();
        assert_eq!(refused.field.as_deref(), Some("x.y"));
    }

    #[test]
    fn what_is_no_object_or_too_deep_is_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        for body in ["", " ", "[]", "{", "{}x", "\"x\"", "{\"a\":}", &deep] {
            assert!(Fields::of_body(body.as_bytes(), false).is_err(), "{}", &body[..body.len().min(20)]);
        }
        assert!(Fields::of_body(b"{\"a\":\"\xff\"}", false).is_err());
    }
}
