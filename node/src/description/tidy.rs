//! What derived schemas say too much of.

use serde_json::{Map, Value};

/// Properties that an object does not have before it is read or stored: what stands there until then is no default.
const GIVEN: [&str; 4] = ["Identifier", "CreatedUtc", "LastUpdateUtc", "Revision"];

/// Leaves out defaults that are none, and joins the lines of descriptions.
pub(super) fn tidy(document: &mut Value) {
    match document {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get_mut("properties") {
                forget_defaults(properties);
            }
            if let Some(Value::String(text)) = members.get_mut("description")
                && text.contains('\n')
            {
                *text = joined(text);
            }
            members.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

fn forget_defaults(properties: &mut Map<String, Value>) {
    for (name, schema) in properties {
        if let Value::Object(schema) = schema
            && (GIVEN.contains(&name.as_str()) || schema.get("default") == Some(&Value::Null))
        {
            schema.shift_remove("default");
        }
    }
}

/// Lines of one paragraph become one line.
fn joined(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|paragraph| {
        let is_list = paragraph.lines().any(|line| line.starts_with("* "));
        if is_list {
            paragraph.to_owned()
        } else {
            paragraph.split('\n').map(str::trim).collect::<Vec<_>>().join(" ")
        }
    });
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_real_defaults_are_left() {
        let mut document = json!({
            "description": "one\ntwo\n\nthree",
            "properties": {
                "Identifier": { "default": "" },
                "Port": { "default": 8000 },
                "TlsCa": { "default": null, "description": "* a\n* b" }
            }
        });
        tidy(&mut document);
        assert_eq!(
            document,
            json!({
                "description": "one two\n\nthree",
                "properties": {
                    "Identifier": {},
                    "Port": { "default": 8000 },
                    "TlsCa": { "description": "* a\n* b" }
                }
            })
        );
    }
}
