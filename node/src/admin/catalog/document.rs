//! The body that describes a whole catalog: the one of `GET /v1.0/catalog`, or a backup.

use ollamaflow_protocol::catalog::Catalog;
use ollamaflow_protocol::object::{Backend, Frontend, JsonPath, Key, ObjectError, Parsed};
use ollamaflow_protocol::time::Timestamp;
use serde_json::{Map, Value};

use crate::admin::failure::Failure;
use crate::clock::now;

/// Properties of the documents that describe and do not configure.
const DESCRIPTIVE: [&str; 5] = ["Revision", "Format", "ClusterId", "CreatedUtc", "HasSecrets"];

/// Most errors that one answer tells.
const MAX_ERRORS: usize = 20;

/// Objects that make a catalog. Redaction marks may stand for secrets that are stored.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::admin) struct Objects {
    pub(in crate::admin) frontends: Vec<Frontend>,
    pub(in crate::admin) backends: Vec<Backend>,
    /// None if the document does not have the list, as those of versions before it: then keys stay as they are.
    pub(in crate::admin) keys: Option<Vec<Key>>,
    /// Places of properties that nobody knows.
    pub(in crate::admin) unknown: Vec<JsonPath>,
}

// === impl Objects ===

impl Objects {
    /// Reads a document, or tells everything that is wrong with it.
    pub(in crate::admin) fn read(text: &[u8]) -> Result<Self, Failure> {
        let document: Value = serde_json::from_slice(text).map_err(|error| ObjectError::syntax(&error))?;
        Self::of(&document)
    }

    /// Reads a document that is JSON already.
    pub(in crate::admin) fn of(document: &Value) -> Result<Self, Failure> {
        let Value::Object(document) = document else {
            return Err(Failure::Invalid(
                "the JSON document must be an object with the lists Frontends and Backends".to_owned(),
            ));
        };
        let mut reading = Reading::default();
        let frontends = reading.list(document, "Frontends", Frontend::from_value);
        let backends = reading.list(document, "Backends", Backend::from_value);
        let keys = property(document, "Keys").map(|_| reading.list(document, "Keys", Key::from_value));
        let known = |name: &str| {
            let mut names = DESCRIPTIVE.iter().chain(&["Frontends", "Backends", "Keys"]);
            names.any(|known| known.eq_ignore_ascii_case(name))
        };
        let others = document.keys().filter(|name| !known(name));
        reading.unknown.extend(others.map(|name| JsonPath::root().property(name)));
        if reading.errors.is_empty()
            && let Err(violations) = Catalog::from_objects(frontends.clone(), backends.clone())
        {
            let told = violations.iter().map(|violation| format!("{} {violation}", violation.path()));
            reading.errors.extend(told);
        }
        reading.errors.truncate(MAX_ERRORS);
        if reading.errors.is_empty() {
            Ok(Self { frontends, backends, keys, unknown: reading.unknown })
        } else {
            Err(Failure::Invalid(reading.errors.join("; ")))
        }
    }
}

/// What is found on the way.
#[derive(Default)]
struct Reading {
    errors: Vec<String>,
    unknown: Vec<JsonPath>,
}

// === impl Reading ===

impl Reading {
    /// A list of the document. It must be there: an absent one would silently delete everything.
    fn list<T>(
        &mut self,
        document: &Map<String, Value>,
        name: &str,
        read: fn(&Value, Timestamp) -> Result<Parsed<T>, ObjectError>,
    ) -> Vec<T> {
        let place = JsonPath::root().property(name);
        let Some(Value::Array(items)) = property(document, name) else {
            self.errors.push(format!("{name} must be a list; give an empty one to have none"));
            return Vec::new();
        };
        let now = now();
        let mut objects = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let place = place.item(index);
            match read(item, now) {
                Ok(Parsed { value, unknown }) => {
                    objects.push(value);
                    self.unknown.extend(unknown.into_iter().map(|path| path.under(&place)));
                }
                Err(error) => self.errors.push(error.under(&place).to_string()),
            }
        }
        objects
    }
}

/// The last property of that name, in whatever case it is written.
fn property<'a>(document: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    document.iter().rfind(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(document: &Value) -> String {
        Objects::of(document).unwrap_err().to_string()
    }

    #[test]
    fn names_are_read_in_any_case_and_what_describes_is_passed_over() {
        let document = json!({
            "revision": 7, "Format": 1, "HasSecrets": false, "Colour": "red",
            "frontends": [{ "Identifier": "f1", "Backends": ["b1"], "Shape": 1 }],
            "BACKENDS": [{ "identifier": "b1", "ActiveRequests": 3 }]
        });
        let objects = Objects::of(&document).unwrap();
        assert_eq!((objects.frontends.len(), objects.backends.len()), (1, 1));
        let unknown: Vec<String> = objects.unknown.iter().map(ToString::to_string).collect();
        assert_eq!(unknown, ["Frontends[0].Shape", "Colour"]);
    }

    #[test]
    fn a_list_that_is_missing_is_not_taken_for_an_empty_one() {
        assert!(refused(&json!({ "Frontends": [] })).starts_with("Backends must be a list"));
        assert!(
            refused(&json!({ "Backends": [], "Frontends": null })).starts_with("Frontends must be a list")
        );
        assert!(refused(&json!([])).contains("must be an object"));
        assert!(Objects::of(&json!({ "Frontends": [], "Backends": [] })).is_ok());
    }

    #[test]
    fn every_error_is_told_with_its_place() {
        let told = refused(&json!({
            "Frontends": [{ "Identifier": "f1", "TimeoutMs": -1 }, {}],
            "Backends": [{ "Identifier": "b1", "Port": 70_000 }]
        }));
        for part in
            ["Frontends[0].TimeoutMs must be", "Frontends[1].Identifier must not", "Backends[0].Port must"]
        {
            assert!(told.contains(part), "{told}");
        }
        let dangling = json!({ "Frontends": [{ "Identifier": "f1", "Backends": ["b9"] }], "Backends": [] });
        assert!(refused(&dangling).contains("names the backend b9, which does not exist"));
        let twice = json!({ "Frontends": [], "Backends": [{ "Identifier": "b" }, { "Identifier": "b" }] });
        assert!(refused(&twice).starts_with("Backends[1].Identifier repeats"));
    }
}
