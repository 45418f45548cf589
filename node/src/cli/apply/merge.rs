//! Objects of a file and objects of a node: read from JSON, merged, compared. Pure.
//!
//! Objects stay the JSON that they were: what a property means, and whether it is known, is the node's to say. Only
//! the names of the objects are read here, in any case, as the node does.

use std::collections::HashSet;

use serde_json::{Map, Value};
use thiserror::Error;

/// Properties that a node sets itself, which say nothing about what was asked for.
const SET_BY_NODE: [&str; 3] = ["Revision", "CreatedUtc", "LastUpdateUtc"];

/// Where objects stand in other documents: in a backup, and in a snapshot.
const WRAPPERS: [&str; 2] = ["Catalog", "State"];

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Backend,
    Frontend,
    Key,
}

/// Objects in JSON, each with an `Identifier`, none twice.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Objects {
    /// None if the document does not have the list, which is not the same as an empty one.
    frontends: Option<Vec<Value>>,
    backends: Option<Vec<Value>>,
    keys: Option<Vec<Value>>,
}

/// Why a document holds no objects.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum ObjectsError {
    #[error("is not valid JSON: line {line}, column {column}")]
    Syntax { line: usize, column: usize },
    #[error("has no Frontends, Backends or Keys")]
    Neither,
    #[error("has {0} that are no array of objects")]
    NoList(&'static str),
    #[error("has no Identifier in {0}[{1}]")]
    NoIdentifier(&'static str, usize),
    #[error("has the Identifier {2:?} twice in {0}, again at {0}[{1}]")]
    Repeated(&'static str, usize, String),
}

/// What becomes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Created,
    Changed,
    Unchanged,
    Deleted,
}

/// An object and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) kind: Kind,
    pub(super) identifier: String,
    pub(super) fate: Fate,
    /// Whether the file has it.
    pub(super) is_in_file: bool,
}

// === Kind ===

impl Kind {
    /// Backends first: frontends refer to them, and keys to those.
    pub(super) const ALL: [Self; 3] = [Self::Backend, Self::Frontend, Self::Key];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Backend => "backend",
            Self::Frontend => "frontend",
            Self::Key => "key",
        }
    }

    const fn list_name(self) -> &'static str {
        match self {
            Self::Backend => "Backends",
            Self::Frontend => "Frontends",
            Self::Key => "Keys",
        }
    }
}

// === Objects ===

impl Objects {
    /// Reads `Frontends`, `Backends` and `Keys` of a settings file, an export of the catalog or a backup; everything else in
    /// it is left out.
    pub(super) fn parse(text: &[u8]) -> Result<Self, ObjectsError> {
        let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        let document: Value = serde_json::from_slice(text)
            .map_err(|error| ObjectsError::Syntax { line: error.line(), column: error.column() })?;
        let Value::Object(document) = &document else { return Err(ObjectsError::Neither) };
        let wrapped = WRAPPERS.iter().filter_map(|name| property(document, name)?.as_object());
        let objects = std::iter::once(document).chain(wrapped).map(Self::of).find(|read| {
            // The first place that has objects, or what is wrong there.
            read.as_ref().map_or(true, |objects| Kind::ALL.iter().any(|kind| objects.list(*kind).is_some()))
        });
        objects.unwrap_or(Err(ObjectsError::Neither))
    }

    fn of(document: &Map<String, Value>) -> Result<Self, ObjectsError> {
        let [backends, frontends, keys] = Kind::ALL.map(|kind| list(document, kind));
        Ok(Self { frontends: frontends?, backends: backends?, keys: keys? })
    }

    fn list(&self, kind: Kind) -> Option<&Vec<Value>> {
        match kind {
            Kind::Backend => self.backends.as_ref(),
            Kind::Frontend => self.frontends.as_ref(),
            Kind::Key => self.keys.as_ref(),
        }
    }

    fn find(&self, kind: Kind, wanted: &str) -> Option<&Value> {
        self.list(kind)?.iter().find(|object| identifier(object) == Some(wanted))
    }

    /// The body of `PUT /v1.0/catalog`.
    pub(super) fn to_body(&self) -> Value {
        let list = |kind| Value::Array(self.list(kind).cloned().unwrap_or_default());
        let mut body =
            serde_json::json!({ "Frontends": list(Kind::Frontend), "Backends": list(Kind::Backend) });
        // A node that knows no keys is not told of any.
        if self.keys.is_some() {
            body["Keys"] = list(Kind::Key);
        }
        body
    }

    /// These objects, the catalog of a node, with those of `file` put over them: of two of one name, that of the
    /// file. With `prune`, a list that the file has becomes exactly that list.
    pub(super) fn merged(&self, file: &Self, prune: bool) -> Self {
        let list = |kind| {
            let stored = self.list(kind).cloned();
            let Some(given) = file.list(kind) else { return stored };
            if prune {
                return Some(given.clone());
            }
            let mut merged: Vec<Value> = stored
                .into_iter()
                .flatten()
                .map(|object| {
                    let replacement = identifier(&object).and_then(|name| file.find(kind, name));
                    replacement.cloned().unwrap_or(object)
                })
                .collect();
            let is_new =
                |object: &&Value| identifier(object).is_some_and(|name| self.find(kind, name).is_none());
            merged.extend(given.iter().filter(is_new).cloned());
            Some(merged)
        };
        Self { frontends: list(Kind::Frontend), backends: list(Kind::Backend), keys: list(Kind::Key) }
    }

    /// What became of each object between `self` and `after`, ordered by kind and name.
    pub(super) fn compared(&self, after: &Self, file: &Self) -> Vec<Line> {
        let mut lines = Vec::new();
        for kind in Kind::ALL {
            let both = self.list(kind).into_iter().chain(after.list(kind)).flatten();
            let mut names: Vec<&str> = both.filter_map(identifier).collect();
            names.sort_unstable();
            names.dedup();
            lines.extend(names.into_iter().filter_map(|name| {
                let fate = match (self.find(kind, name), after.find(kind, name)) {
                    (None, Some(_)) => Fate::Created,
                    (Some(_), None) => Fate::Deleted,
                    (Some(before), Some(after)) if is_same(before, after) => Fate::Unchanged,
                    (Some(_), Some(_)) => Fate::Changed,
                    (None, None) => return None,
                };
                let is_in_file = file.find(kind, name).is_some();
                Some(Line { kind, identifier: name.to_owned(), fate, is_in_file })
            }));
        }
        lines
    }
}

// === helpers ===

/// The objects of one kind; none if the document does not have the list.
fn list(document: &Map<String, Value>, kind: Kind) -> Result<Option<Vec<Value>>, ObjectsError> {
    let name = kind.list_name();
    let items = match property(document, name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(items)) if items.iter().all(Value::is_object) => items,
        Some(_) => return Err(ObjectsError::NoList(name)),
    };
    let mut known = HashSet::new();
    for (index, item) in items.iter().enumerate() {
        let identifier = identifier(item).ok_or(ObjectsError::NoIdentifier(name, index))?;
        if !known.insert(identifier) {
            return Err(ObjectsError::Repeated(name, index, identifier.to_owned()));
        }
    }
    Ok(Some(items.clone()))
}

/// The name of an object: names of properties count in any case, and the last of several spellings.
fn identifier(object: &Value) -> Option<&str> {
    property(object.as_object()?, "Identifier")?.as_str().filter(|text| !text.is_empty())
}

fn property<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.iter().rfind(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Whether two states of an object are one: by their revisions where both have one, for secrets do not show.
fn is_same(before: &Value, after: &Value) -> bool {
    let (Some(before), Some(after)) = (before.as_object(), after.as_object()) else { return before == after };
    if let (Some(before), Some(after)) = (property(before, "Revision"), property(after, "Revision")) {
        return before == after;
    }
    let asked_for = |object: &Map<String, Value>| -> Map<String, Value> {
        let own = |name: &str| !SET_BY_NODE.iter().any(|known| known.eq_ignore_ascii_case(name));
        object
            .iter()
            .filter(|(name, _)| own(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    asked_for(before) == asked_for(after)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn objects(document: &Value) -> Objects {
        Objects::parse(document.to_string().as_bytes()).unwrap()
    }

    fn stored() -> Objects {
        objects(&json!({
            "Revision": 7,
            "Frontends": [{"Identifier": "f1", "Revision": 1}],
            "Backends": [{"Identifier": "b1", "Port": 1, "Revision": 2}, {"Identifier": "b2", "Revision": 3}]
        }))
    }

    #[test]
    fn objects_are_found_in_settings_exports_and_backups_in_any_case() {
        let expected = objects(&json!({"Backends": [{"Identifier": "b1"}]}));
        for document in [
            json!({"Webserver": {"Port": 1}, "backends": [{"Identifier": "b1"}], "Frontends": null}),
            json!({"Format": 1, "Catalog": {"BACKENDS": [{"Identifier": "b1"}]}}),
            json!({"Format": 1, "State": {"Backends": [{"Identifier": "b1"}]}}),
        ] {
            assert_eq!(objects(&document), expected, "{document}");
        }
        assert!(Objects::parse(b"\xEF\xBB\xBF{\"Backends\": []}").is_ok());
    }

    #[test]
    fn other_documents_are_refused_with_the_place() {
        let parsed = |document: Value| Objects::parse(document.to_string().as_bytes()).unwrap_err();
        assert_eq!(parsed(json!({"Webserver": {}})), ObjectsError::Neither);
        assert_eq!(parsed(json!([])), ObjectsError::Neither);
        assert_eq!(parsed(json!({"Backends": {}})), ObjectsError::NoList("Backends"));
        assert_eq!(parsed(json!({"Backends": [1]})), ObjectsError::NoList("Backends"));
        for object in [json!({"Name": "b"}), json!({"Identifier": ""}), json!({"Identifier": 5})] {
            assert_eq!(parsed(json!({"Frontends": [object]})), ObjectsError::NoIdentifier("Frontends", 0));
        }
        let twice = json!({"Backends": [{"Identifier": "b1"}, {"identifier": "b1"}]});
        assert_eq!(parsed(twice), ObjectsError::Repeated("Backends", 1, "b1".to_owned()));
        assert_eq!(Objects::parse(b"{\n x"), Err(ObjectsError::Syntax { line: 2, column: 2 }));
    }

    #[test]
    fn objects_of_the_file_replace_those_of_their_name_and_others_stay() {
        let file = objects(&json!({"Backends": [{"identifier": "b3"}, {"identifier": "b1", "Port": 9}]}));
        let body = stored().merged(&file, false).to_body();
        assert_eq!(
            body,
            json!({
                "Frontends": [{"Identifier": "f1", "Revision": 1}],
                "Backends": [
                    {"identifier": "b1", "Port": 9}, {"Identifier": "b2", "Revision": 3}, {"identifier": "b3"}
                ]
            })
        );
    }

    #[test]
    fn pruning_leaves_the_lists_alone_that_the_file_does_not_have() {
        let file = objects(&json!({"Backends": [{"Identifier": "b3"}]}));
        let body = stored().merged(&file, true).to_body();
        assert_eq!(body["Backends"], json!([{"Identifier": "b3"}]));
        assert_eq!(body["Frontends"], json!([{"Identifier": "f1", "Revision": 1}]));
        let empty = objects(&json!({"Frontends": [], "Backends": []}));
        assert_eq!(stored().merged(&empty, true).to_body(), json!({"Frontends": [], "Backends": []}));
    }

    #[test]
    fn keys_are_merged_as_other_objects_and_left_out_where_nobody_has_any() {
        let file = objects(&json!({"Keys": [{"Identifier": "k2", "Hash": "b"}]}));
        let stored = objects(&json!({
            "Frontends": [], "Backends": [], "Keys": [{"Identifier": "k1"}, {"Identifier": "k2", "Hash": "a"}]
        }));
        let merged = stored.merged(&file, false).to_body();
        assert_eq!(merged["Keys"], json!([{"Identifier": "k1"}, {"Identifier": "k2", "Hash": "b"}]));
        assert_eq!(stored.merged(&file, true).to_body()["Keys"], json!([{"Identifier": "k2", "Hash": "b"}]));
        let without = objects(&json!({"Frontends": []}));
        assert_eq!(stored.merged(&without, true).to_body()["Keys"].as_array().unwrap().len(), 2);
        assert!(without.merged(&without, true).to_body().get("Keys").is_none());
    }

    #[test]
    fn the_fate_of_an_object_follows_its_revision() {
        let file = objects(&json!({"Backends": [{"Identifier": "b1"}, {"Identifier": "b3"}]}));
        let after = objects(&json!({
            "Frontends": [],
            "Backends": [
                {"Identifier": "b1", "Port": 1, "Revision": 8}, {"Identifier": "b2", "Revision": 3},
                {"Identifier": "b3", "Revision": 8}
            ]
        }));
        let lines = stored().compared(&after, &file);
        let told: Vec<_> =
            lines.iter().map(|line| (line.identifier.as_str(), line.fate, line.is_in_file)).collect();
        assert_eq!(
            told,
            [
                ("b1", Fate::Changed, true),
                ("b2", Fate::Unchanged, false),
                ("b3", Fate::Created, true),
                ("f1", Fate::Deleted, false),
            ]
        );
    }

    #[test]
    fn without_revisions_the_properties_count() {
        let same = |before: Value, after: Value| is_same(&before, &after);
        assert!(same(json!({"Port": 1, "Revision": 3}), json!({"Port": 1, "LastUpdateUtc": "x"})));
        assert!(!same(json!({"Port": 1, "Revision": 3}), json!({"Port": 2})));
    }
}
