//! Settings from environment variables: `OLLAMAFLOW_` and the path of the setting, joined by `__`.
//!
//! The names and kinds come from the schema of the settings, so every setting has its variable.

use std::ffi::OsString;

use ollamaflow_protocol::object::lenient::{Kind, Property};
use serde_json::Value;

/// What the names of our variables start with.
pub(super) const PREFIX: &str = "OLLAMAFLOW_";

/// Names with our prefix that are no settings: the executable to be tested, and the node and token of the commands
/// that talk to a running node.
const RESERVED: [&str; 4] =
    ["OLLAMAFLOW_BIN", "OLLAMAFLOW_SERVER", "OLLAMAFLOW_TOKEN", "OLLAMAFLOW_CLIENT_URL"];

/// What one variable with our prefix means.
#[derive(Debug, PartialEq)]
pub(super) enum Variable<'a> {
    /// A value for a setting.
    Setting(&'a Property, Value),
    /// A variable of a setting whose text cannot be used; a predicate says why.
    Unusable(&'a Property, String),
    /// No setting has this variable.
    Unknown,
}

/// The variable of a setting, in upper case; any case is accepted.
pub(super) fn variable_name(property: &Property) -> String {
    let path = property.path.to_string().replace('.', "__");
    format!("{PREFIX}{}", path.to_ascii_uppercase())
}

/// The variables with our prefix and what they mean, ordered by name. Empty ones count as absent.
pub(super) fn variables<'a>(
    schema: &'a [Property],
    environment: &[(OsString, OsString)],
) -> Vec<(String, Variable<'a>)> {
    let mut found: Vec<(String, Variable<'a>)> = environment
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, value)| {
            let name = name.to_str()?;
            let ours = name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
            let reserved = RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name));
            (ours && !reserved).then(|| (name.to_owned(), interpret(schema, name, value)))
        })
        .collect();
    found.sort_by(|(left, _), (right, _)| left.cmp(right));
    found
}

fn interpret<'a>(schema: &'a [Property], name: &str, value: &OsString) -> Variable<'a> {
    let settings = schema.iter().filter(|property| property.kind != Kind::Structure);
    let Some(property) =
        settings.into_iter().find(|property| variable_name(property).eq_ignore_ascii_case(name))
    else {
        return Variable::Unknown;
    };
    let Some(text) = value.to_str() else {
        return Variable::Unusable(property, "must be UTF-8 text".to_owned());
    };
    match parse(property.kind, text) {
        Ok(value) => Variable::Setting(property, value),
        Err(error) => Variable::Unusable(property, format!("must be JSON, but is not valid: {error}")),
    }
}

/// The JSON value that `text` stands for. A text of the wrong kind stays a text, which reading the settings will
/// refuse with the place and the bounds.
fn parse(kind: Kind, text: &str) -> serde_json::Result<Value> {
    let trimmed = text.trim();
    match kind {
        Kind::Boolean => Ok(match trimmed.to_ascii_lowercase().as_str() {
            "true" | "1" => Value::Bool(true),
            "false" | "0" => Value::Bool(false),
            _ => text.into(),
        }),
        Kind::Number => Ok(trimmed.parse::<i64>().map_or_else(|_| text.into(), Value::from)),
        Kind::Text => Ok(text.into()),
        Kind::List if !trimmed.starts_with('[') => {
            Ok(trimmed.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect())
        }
        Kind::List | Kind::Map | Kind::Structure => serde_json::from_str(trimmed),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_become_values_of_the_kind_of_the_setting() {
        for (kind, text, value) in [
            (Kind::Boolean, "TRUE", json!(true)),
            (Kind::Boolean, "0", json!(false)),
            (Kind::Boolean, "maybe", json!("maybe")),
            (Kind::Number, " 12 ", json!(12)),
            (Kind::Number, "12.5", json!("12.5")),
            (Kind::Text, "12", json!("12")),
            (Kind::List, "a, b,,c", json!(["a", "b", "c"])),
            (Kind::List, r#" ["a,b"] "#, json!(["a,b"])),
            (Kind::Map, r#"{"a": 1}"#, json!({"a": 1})),
        ] {
            assert_eq!(parse(kind, text).unwrap(), value, "{text}");
        }
        assert!(parse(Kind::List, "[1").is_err());
        assert!(parse(Kind::Map, "a=b").is_err());
    }
}
