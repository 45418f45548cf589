//! The reader on types of its own, independent of the real objects.

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::object::{Backend, Frontend};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Outer {
    count: u8,
    inner: Inner,
    list: Vec<Inner>,
    note: Option<String>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Inner {
    flag: bool,
    names: Vec<String>,
    free: serde_json::Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden: Option<String>,
}

fn sentences(errors: &[ObjectError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn unknown_properties_are_collected_with_their_places() {
    let parsed = read::<Outer>(&json!({
        "COUNT": 3, "x": 1, "inner": {"y": 1, "free": {"not": "unknown"}}, "list": [{}, {"Z": {"deep": 1}}]
    }))
    .unwrap();
    assert_eq!(parsed.value.count, 3);
    let unknown: Vec<String> = parsed.unknown.iter().map(ToString::to_string).collect();
    assert_eq!(unknown, ["x", "Inner.y", "List[1].Z"]);
}

#[test]
fn the_last_spelling_of_a_property_wins() {
    assert_eq!(read::<Outer>(&json!({"count": 1, "Count": 2})).unwrap().value.count, 2);
    assert_eq!(read::<Outer>(&json!({"count": 1, "Count": null})).unwrap().value.count, 0);
}

#[test]
fn all_errors_of_a_document_are_reported_with_their_places() {
    let document = json!({
        "Count": true,
        "Inner": {"Flag": 1, "names": ["a", 2, 3]},
        "List": [{"Flag": "x"}, 5, {"Names": {}}, {"Flag": null}],
        "Note": {"secret": "value"}
    });
    let recovered = read_all::<Outer>(&document);
    assert_eq!(
        sentences(&recovered.errors),
        [
            "Count must be u8, but is true or false",
            "Inner.Flag must be a boolean, but is a number",
            "Inner.Names[1] must be a string, but is a number",
            "Inner.Names[2] must be a string, but is a number",
            "List[0].Flag must be a boolean, but is a string",
            "List[1] must be an object, but is a number",
            "List[2].Names must be an array, but is an object",
            "Note must be a string, but is an object",
        ]
    );
    assert_eq!(recovered.parsed.unwrap().value.list.len(), 4);
}

#[test]
fn a_good_document_has_no_errors() {
    let recovered = read_all::<Outer>(&json!({"Note": "n"}));
    assert_eq!(recovered.errors, []);
    assert_eq!(recovered.parsed.unwrap().value.note.as_deref(), Some("n"));
}

#[test]
fn a_document_that_is_no_object_ends_the_reading() {
    let recovered = read_all::<Outer>(&json!([1]));
    assert_eq!(sentences(&recovered.errors), ["the JSON document must be an object, but is an array"]);
    assert!(recovered.parsed.is_none());
}

#[test]
fn the_schema_lists_every_property_once_and_in_order() {
    let found: Vec<(String, Kind)> = schema(&Outer::default())
        .into_iter()
        .map(|property| (property.path.to_string(), property.kind))
        .collect();
    let expected = [
        ("Count", Kind::Number),
        ("Inner", Kind::Structure),
        ("Inner.Flag", Kind::Boolean),
        ("Inner.Names", Kind::List),
        ("Inner.Free", Kind::Map),
        ("Inner.Hidden", Kind::Text),
        ("List", Kind::List),
        ("Note", Kind::Text),
    ];
    assert_eq!(found, expected.map(|(path, kind)| (path.to_owned(), kind)));
    assert_eq!(property_names(&Outer::default()), ["Count", "Inner", "List", "Note"]);
}

fn any_json() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "Identifier",
        "port",
        "LABELS",
        "Headers",
        "Backends",
        "ApiFormat",
        "CreatedUtc",
        "Ssl",
        "Inner",
        "List",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z ]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..8).prop_map(|entries| entries
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

/// Reading all errors agrees with reading the first one, and an object is repaired to the end.
fn agrees<T: DeserializeOwned + PartialEq + std::fmt::Debug>(document: &Value) {
    let recovered = read_all::<T>(document);
    match read::<T>(document) {
        Ok(parsed) => {
            assert_eq!(recovered.errors, []);
            assert_eq!(recovered.parsed, Some(parsed));
        }
        Err(error) => {
            assert_eq!(recovered.errors[0], error);
            assert_eq!(recovered.parsed.is_some(), document.is_object(), "{:?}", recovered.errors);
        }
    }
}

proptest! {
    #[test]
    fn any_document_is_read_or_repaired(document in any_json()) {
        agrees::<Outer>(&document);
        agrees::<Backend>(&document);
        agrees::<Frontend>(&document);
    }
}
