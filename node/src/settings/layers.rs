//! Puts layers of settings on top of each other, as JSON, and remembers which layer won where.
//!
//! In: the document of the file, then single values from the environment and the flags. Out: one document and the
//! origin of each setting. Types and bounds are checked later, on the result.

use std::fmt;

use ollamaflow_protocol::object::lenient::{Kind, Property};
use ollamaflow_protocol::object::{JsonPath, Segment};
use serde_json::{Map, Value};

/// The layer a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// No layer names it.
    Default,
    /// The settings file.
    File,
    /// The environment variable of that name.
    Env(String),
    /// The command line flag of that name.
    Flag(String),
}

/// The origin of every setting, in the order of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins(Vec<(JsonPath, Origin)>);

/// The layers so far.
#[derive(Debug)]
pub(super) struct Layers {
    pub(super) document: Value,
    pub(super) origins: Origins,
}

// === Origin ===

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File => formatter.write_str("file"),
            Self::Env(name) => write!(formatter, "environment variable {name}"),
            Self::Flag(name) => write!(formatter, "flag {name}"),
        }
    }
}

// === Origins ===

impl Origins {
    /// All settings with their origins.
    pub fn iter(&self) -> impl Iterator<Item = (&JsonPath, &Origin)> {
        self.0.iter().map(|(path, origin)| (path, origin))
    }

    /// The origin of the setting at `path` or around it; unknown ones can only be in the file.
    pub fn of(&self, path: &JsonPath) -> &Origin {
        self.0.iter().find(|(setting, _)| path.is_within(setting)).map_or(&Origin::File, |(_, origin)| origin)
    }

    /// The origin of the setting that is written `path`, for example `Webserver.Port`.
    pub fn get(&self, path: &str) -> Option<&Origin> {
        self.0.iter().find(|(setting, _)| setting.to_string() == path).map(|(_, origin)| origin)
    }
}

// === Layers ===

impl Layers {
    /// Starts with the document of the settings file, or an empty one.
    pub(super) fn new(schema: &[Property], document: Value) -> Self {
        let origin = |property: &Property| match lookup(&document, property.path.segments()) {
            None | Some(Value::Null) => Origin::Default,
            Some(_) => Origin::File,
        };
        let settings = schema.iter().filter(|property| property.kind != Kind::Structure);
        let origins = Origins(settings.map(|property| (property.path.clone(), origin(property))).collect());
        Self { document, origins }
    }

    /// Puts `value` on top at `path`.
    pub(super) fn set(&mut self, path: &JsonPath, value: Value, origin: Origin) {
        assign(&mut self.document, path.segments(), value);
        if let Some((_, known)) = self.origins.0.iter_mut().find(|(setting, _)| setting == path) {
            *known = origin;
        }
    }
}

/// What `document` has at `segments`; names match in any case and the last of several spellings counts.
pub(super) fn lookup<'a>(document: &'a Value, segments: &[Segment]) -> Option<&'a Value> {
    segments.iter().try_fold(document, |value, segment| match (value, segment) {
        (Value::Object(map), Segment::Property(name)) => {
            map.iter().rfind(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        }
        _ => None,
    })
}

/// Sets what `document` has at `segments`. Does nothing where the document has something else than an object on
/// the way: that is an error of the file, which reading it will report.
fn assign(document: &mut Value, segments: &[Segment], value: Value) {
    let [Segment::Property(name), rest @ ..] = segments else {
        *document = value;
        return;
    };
    if document.is_null() {
        *document = Value::Object(Map::new());
    }
    let Value::Object(map) = document else { return };
    let key = map.keys().rfind(|key| key.eq_ignore_ascii_case(name)).unwrap_or(name).clone();
    assign(map.entry(key).or_insert(Value::Null), rest, value);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(names: &[&str]) -> JsonPath {
        names.iter().fold(JsonPath::root(), |path, name| path.property(name))
    }

    #[test]
    fn values_replace_whatever_spelling_the_file_has() {
        let mut document = json!({"WEBSERVER": {"port": 1}, "other": true});
        assign(&mut document, path(&["Webserver", "Port"]).segments(), json!(2));
        assign(&mut document, path(&["Webserver", "Hostname"]).segments(), json!("*"));
        assign(&mut document, path(&["Logging", "Enable"]).segments(), json!(false));
        assert_eq!(
            document,
            json!({"WEBSERVER": {"port": 2, "Hostname": "*"}, "other": true, "Logging": {"Enable": false}})
        );
    }

    #[test]
    fn null_counts_as_absent_and_other_values_on_the_way_stay() {
        let mut document = json!({"Webserver": null, "Logging": 5});
        assign(&mut document, path(&["Webserver", "Port"]).segments(), json!(2));
        assign(&mut document, path(&["Logging", "Enable"]).segments(), json!(false));
        assert_eq!(document, json!({"Webserver": {"Port": 2}, "Logging": 5}));
    }

    #[test]
    fn the_last_spelling_counts() {
        let document = json!({"port": 1, "Port": 2});
        assert_eq!(lookup(&document, path(&["PORT"]).segments()), Some(&json!(2)));
    }
}
