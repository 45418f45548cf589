//! Pinned properties: values that a frontend or backend forces into request bodies.
//!
//! The client's bytes stay as they are; only the pinned members are replaced, or added at the end. The body is
//! read with serde's borrowed raw values, so it is validated, and nesting costs no stack.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::key::same_key;

/// Why pins could not be merged; the sentence is for the client.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The body is not a JSON object.
    #[error("the request body must be a JSON object: {0}")]
    NotAnObject(serde_json::Error),
}

/// Merges `pins`, later ones over earlier ones and all of them over the body.
///
/// Objects merge key by key at any depth; arrays and scalars are replaced; a pinned null writes null. Keys match
/// as Ollama's decoder matches them (case-insensitively, with its two Unicode folds), every occurrence, so that
/// no other spelling or duplicate can take a pin's place. Nor can another word for the same: what is pinned under one
/// name is null under the others, where the client has them. An empty body stays empty.
pub fn merge_pins<'b>(body: &'b [u8], pins: &[&Map<String, Value>]) -> Result<Cow<'b, [u8]>, PinError> {
    let pins = layered(pins);
    if pins.is_empty() || body.trim_ascii().is_empty() {
        return Ok(Cow::Borrowed(body));
    }
    let mut edits = Vec::new();
    let text = std::str::from_utf8(body)
        .map_err(|_| PinError::NotAnObject(serde::de::Error::custom("it is not valid UTF-8")))?;
    let members: Members<'_> = serde_json::from_str(text).map_err(PinError::NotAnObject)?;
    collect(text, text, &members, &pins, &mut edits);
    overrule(text, &members, &pins, &mut edits);
    Ok(Cow::Owned(apply(text, edits)))
}

/// Top-level members that ask for the same, and of which engines read another one first: the first of a pair, if it is
/// pinned, rules out the second.
///
/// vLLM prefers `max_completion_tokens` to `max_tokens`, llama.cpp `n_predict` to both, OpenAI takes only one of them;
/// Ollama's layer prefers `reasoning` to `reasoning_effort`. The reverse of the last is none: `reasoning` may be pinned
/// for something else that it says.
const RIVALS: [(&str, &str); 5] = [
    ("max_tokens", "max_completion_tokens"),
    ("max_tokens", "n_predict"),
    ("max_completion_tokens", "max_tokens"),
    ("max_completion_tokens", "n_predict"),
    ("reasoning_effort", "reasoning"),
];

/// Replacement of `range` of the body by `with`.
struct Edit {
    range: Range<usize>,
    with: String,
}

/// One JSON object, its values unparsed.
struct Members<'b>(Vec<(Cow<'b, str>, &'b RawValue)>);

// === impl Members ===

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(Key(key)) = map.next_key()? {
                    members.push((key, map.next_value()?));
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

/// Merges several pin maps into one, later maps over earlier ones.
fn layered(pins: &[&Map<String, Value>]) -> BTreeMap<String, Value> {
    let mut merged: BTreeMap<String, Value> = BTreeMap::new();
    for map in pins {
        merged.retain(|earlier, _| !is_overruled(earlier, &|name| has_key(map.keys(), name)));
        for (key, value) in *map {
            merge_value(merged.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
    merged
}

fn merge_value(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge_value(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// Collects the edits of one object. `object` is a subslice of `body`.
fn collect(
    body: &str,
    object: &str,
    members: &Members<'_>,
    pins: &BTreeMap<String, Value>,
    edits: &mut Vec<Edit>,
) {
    let mut missing: Vec<(&String, &Value)> = Vec::new();
    for (pin, pinned) in pins {
        let mut exact = false;
        for (key, value) in members.0.iter().filter(|(key, _)| same_key(key, pin)) {
            exact |= **key == **pin;
            replace(body, value.get(), pinned, edits);
        }
        if !exact {
            missing.push((pin, pinned));
        }
    }
    if missing.is_empty() {
        return;
    }
    let mut added = String::new();
    for (pin, pinned) in missing {
        if !(members.0.is_empty() && added.is_empty()) {
            added.push(',');
        }
        added.push_str(&Value::from(pin.as_str()).to_string());
        added.push(':');
        added.push_str(&pinned.to_string());
    }
    // An object's text ends with its brace: serde has validated it.
    let end = offset(body, object) + object.trim_ascii_end().len() - 1;
    edits.push(Edit { range: end..end, with: added });
}

/// Makes null what the client says by another word for something that is pinned.
fn overrule(body: &str, members: &Members<'_>, pins: &BTreeMap<String, Value>, edits: &mut Vec<Edit>) {
    for (key, value) in &members.0 {
        if is_overruled(key, &|name| has_key(pins.keys(), name)) {
            replace(body, value.get(), &Value::Null, edits);
        }
    }
}

/// Whether another word for what `key` asks for is pinned, and `key` itself is not.
fn is_overruled(key: &str, is_pinned: &impl Fn(&str) -> bool) -> bool {
    RIVALS.iter().any(|(pin, rival)| same_key(key, rival) && is_pinned(pin) && !is_pinned(rival))
}

fn has_key<'k>(mut keys: impl Iterator<Item = &'k String>, name: &str) -> bool {
    keys.any(|key| same_key(key, name))
}

/// Replaces or merges one member's value.
fn replace(body: &str, value: &str, pinned: &Value, edits: &mut Vec<Edit>) {
    if let Value::Object(pinned) = pinned
        && let Ok(members) = serde_json::from_str::<Members<'_>>(value)
    {
        let pins = pinned.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        return collect(body, value, &members, &pins, edits);
    }
    let start = offset(body, value);
    edits.push(Edit { range: start..start + value.len(), with: pinned.to_string() });
}

/// Where `part`, a subslice of `body`, starts in it.
fn offset(body: &str, part: &str) -> usize {
    part.as_ptr().addr() - body.as_ptr().addr()
}

fn apply(body: &str, mut edits: Vec<Edit>) -> Vec<u8> {
    // Edits never overlap; of those at one place an insertion keeps its order.
    edits.sort_by_key(|edit| edit.range.start);
    let grown: usize = edits.iter().map(|edit| edit.with.len()).sum();
    let mut merged = Vec::with_capacity(body.len() + grown);
    let mut from = 0;
    for edit in edits {
        merged.extend_from_slice(&body.as_bytes()[from..edit.range.start]);
        merged.extend_from_slice(edit.with.as_bytes());
        from = edit.range.end;
    }
    merged.extend_from_slice(&body.as_bytes()[from..]);
    merged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("{other} is no object"),
        }
    }

    fn merge(body: &str, pins: Value) -> String {
        let pins = map(pins);
        let merged = merge_pins(body.as_bytes(), &[&pins]).unwrap();
        String::from_utf8(merged.into_owned()).unwrap()
    }

    #[test]
    fn a_pinned_member_is_replaced_in_place_and_the_rest_kept_byte_for_byte() {
        let body = "{ \"model\" : \"x\",\n  \"prompt\":\"\\u00e9 <&> 1.50\", \"n\":1.0 }";
        assert_eq!(
            merge(body, json!({"model": "m"})),
            "{ \"model\" : \"m\",\n  \"prompt\":\"\\u00e9 <&> 1.50\", \"n\":1.0 }"
        );
    }

    #[test]
    fn missing_members_are_added_at_the_end() {
        assert_eq!(merge("{}", json!({"a": 1})), r#"{"a":1}"#);
        assert_eq!(merge(" { } ", json!({"a": 1, "b": null})), r#" { "a":1,"b":null} "#);
        assert_eq!(merge(r#"{"x":0}"#, json!({"a": [1]})), r#"{"x":0,"a":[1]}"#);
    }

    #[test]
    fn objects_merge_at_any_depth_and_arrays_are_replaced() {
        assert_eq!(
            merge(
                r#"{"options":{"num_ctx":1,"stop":["a","b"],"deep":{"x":1}}}"#,
                json!({"options": {"num_ctx": 8192, "stop": ["c"], "deep": {"y": 2}}})
            ),
            r#"{"options":{"num_ctx":8192,"stop":["c"],"deep":{"x":1,"y":2}}}"#
        );
        assert_eq!(merge(r#"{"options":null}"#, json!({"options": {"a": 1}})), r#"{"options":{"a":1}}"#);
        assert_eq!(merge(r#"{"options":{"a":1}}"#, json!({"options": 7})), r#"{"options":7}"#);
    }

    #[test]
    fn later_pins_win_over_earlier_ones_and_both_over_the_client() {
        let frontend = map(json!({"model": "f", "options": {"a": 1, "b": 1}}));
        let backend = map(json!({"model": "b", "options": {"b": 2}}));
        let merged = merge_pins(br#"{"model":"c"}"#, &[&frontend, &backend]).unwrap();
        assert_eq!(&*merged, br#"{"model":"b","options":{"a":1,"b":2}}"#);
        let frontend = map(json!({"max_tokens": 5}));
        let backend = map(json!({"max_completion_tokens": 6}));
        let merged = merge_pins(br#"{"max_tokens":9}"#, &[&frontend, &backend]).unwrap();
        assert_eq!(&*merged, br#"{"max_tokens":null,"max_completion_tokens":6}"#);
    }

    #[test]
    fn no_other_spelling_or_duplicate_escapes_a_pin() {
        assert_eq!(
            merge(r#"{"model":"x","model":"y"}"#, json!({"model": "m"})),
            r#"{"model":"m","model":"m"}"#
        );
        assert_eq!(merge(r#"{"MODEL":"x"}"#, json!({"model": "m"})), r#"{"MODEL":"m","model":"m"}"#);
        assert_eq!(merge(r#"{"\u006dodel":"x"}"#, json!({"model": "m"})), r#"{"\u006dodel":"m"}"#);
        assert_eq!(merge("{\"\u{17f}tream\":1}", json!({"stream": 2})), "{\"\u{17f}tream\":2,\"stream\":2}");
    }

    #[test]
    fn no_other_word_for_the_same_escapes_a_pin() {
        for (body, pins, expected) in [
            (
                r#"{"max_completion_tokens":9}"#,
                json!({"max_tokens": 5}),
                r#"{"max_completion_tokens":null,"max_tokens":5}"#,
            ),
            (
                r#"{"max_tokens":9}"#,
                json!({"max_completion_tokens": 5}),
                r#"{"max_tokens":null,"max_completion_tokens":5}"#,
            ),
            (
                r#"{"n_predict":9,"max_tokens":9}"#,
                json!({"max_tokens": 5}),
                r#"{"n_predict":null,"max_tokens":5}"#,
            ),
            (
                r#"{"Max_Completion_Tokens":9}"#,
                json!({"max_tokens": null}),
                r#"{"Max_Completion_Tokens":null,"max_tokens":null}"#,
            ),
            (
                r#"{"reasoning":{"effort":"high"}}"#,
                json!({"reasoning_effort": "low"}),
                r#"{"reasoning":null,"reasoning_effort":"low"}"#,
            ),
            (
                r#"{"reasoning_effort":"high"}"#,
                json!({"reasoning": {"exclude": true}}),
                r#"{"reasoning_effort":"high","reasoning":{"exclude":true}}"#,
            ),
            (r#"{"max_tokens":9}"#, json!({"temperature": 0}), r#"{"max_tokens":9,"temperature":0}"#),
        ] {
            assert_eq!(merge(body, pins), expected, "{body}");
        }
        let both = json!({"max_tokens": 5, "max_completion_tokens": 6});
        let merged = merge(r#"{"max_tokens":1,"max_completion_tokens":1}"#, both);
        assert_eq!(merged, r#"{"max_tokens":5,"max_completion_tokens":6}"#);
    }

    #[test]
    fn without_pins_or_body_nothing_changes() {
        let body = b"not json";
        assert!(matches!(merge_pins(body, &[&Map::new()]), Ok(Cow::Borrowed(b"not json"))));
        assert!(matches!(merge_pins(b"", &[&map(json!({"a": 1}))]), Ok(Cow::Borrowed(b""))));
    }

    #[test]
    fn a_body_that_is_no_object_is_an_error() {
        for body in ["[1]", "\"x\"", "{", "{}x", "{\"a\":}", "\u{fffd}"] {
            assert!(merge_pins(body.as_bytes(), &[&map(json!({"a": 1}))]).is_err(), "{body}");
        }
        assert!(merge_pins(b"{\"a\":\"\xff\"}", &[&map(json!({"a": 1}))]).is_err());
    }

    #[test]
    fn deep_nesting_is_no_stack_overflow() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        // serde_json refuses or skips it; both are fine, a crash is not.
        let _ = merge_pins(deep.as_bytes(), &[&map(json!({"b": 1}))]);
    }

    fn any_json(depth: u32) -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-c\"\\\\é]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(depth, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-c]{1,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn any_object() -> impl Strategy<Value = Map<String, Value>> {
        proptest::collection::btree_map("[a-c]{1,2}", any_json(3), 0..4)
            .prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn splicing_equals_merging_the_parsed_trees(body in any_object(), pins in any_object()) {
            let mut expected = Value::Object(body.clone());
            merge_value(&mut expected, &Value::Object(pins.clone()));
            for text in [
                serde_json::to_string(&body).unwrap(), serde_json::to_string_pretty(&body).unwrap()
            ] {
                let merged = merge_pins(text.as_bytes(), &[&pins]).unwrap();
                let merged: Value = serde_json::from_slice(&merged).unwrap();
                prop_assert_eq!(&merged, &expected);
            }
        }
    }
}
