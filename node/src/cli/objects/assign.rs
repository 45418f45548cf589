//! `Property=value` on the command line.

use std::str::FromStr;

use serde_json::Value;
use thiserror::Error;

/// A property and its new value.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The property.
    pub property: String,
    /// The value: JSON where the text is some, the text itself otherwise.
    pub value: Value,
}

/// Why a text is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AssignmentError {
    /// There is no equals sign, or nothing before it.
    #[error("a change is written Property=value, such as Weight=3, Hostname=gpu1 or 'Labels=[\"fast\"]'")]
    NoProperty,
    /// The text looks like JSON and is none. It is not repeated: it may be a secret.
    #[error("the value of this property begins as JSON does, but is not valid JSON")]
    BrokenJson,
}

impl FromStr for Assignment {
    type Err = AssignmentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (property, value) = text.split_once('=').ok_or(AssignmentError::NoProperty)?;
        let property = property.trim();
        if property.is_empty() {
            return Err(AssignmentError::NoProperty);
        }
        let value = match serde_json::from_str(value) {
            Ok(value) => value,
            Err(_) if value.trim_start().starts_with(['{', '[', '"']) => {
                return Err(AssignmentError::BrokenJson);
            }
            Err(_) => Value::from(value),
        };
        Ok(Self { property: property.to_owned(), value })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_json_or_a_text() {
        for (text, value) in [
            ("A=3", json!(3)),
            ("A=true", json!(true)),
            ("A=null", json!(null)),
            ("A=[\"a\", 1]", json!(["a", 1])),
            ("A={\"a\":{}}", json!({"a": {}})),
            ("A=\"3\"", json!("3")),
            ("A=gpu1.lan", json!("gpu1.lan")),
            ("A=10.0.0.5", json!("10.0.0.5")),
            ("A=key=value", json!("key=value")),
            ("A=", json!("")),
        ] {
            assert_eq!(text.parse(), Ok(Assignment { property: "A".to_owned(), value }), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["A", "", "=3", " =3"] {
            assert_eq!(text.parse::<Assignment>(), Err(AssignmentError::NoProperty), "{text}");
        }
        for text in ["A=[1", "A={a:1}", "A=\"open"] {
            assert_eq!(text.parse::<Assignment>(), Err(AssignmentError::BrokenJson), "{text}");
        }
    }
}
