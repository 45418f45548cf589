//! Ollama's options: which ones there are, and of which type.

use serde_json::{Map, Value};

use crate::translate::Refused;
use crate::translate::number::truncated;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Integer,
    Float,
    Flag,
    Texts,
}

/// Checks options as Ollama does (`api/types.go`, `Options.FromMap`): floats become integers where it wants those, and
/// null is the same as absent. Ollama finds mistakes late and answers 500; they are the client's all the same. What it
/// does not know it passes over: that is put behind `dropped`.
pub(super) fn checked(
    options: Map<String, Value>,
    dropped: &mut Vec<String>,
) -> Result<Map<String, Value>, Refused> {
    let mut checked = Map::new();
    for (name, value) in options {
        if value.is_null() {
            continue;
        }
        match type_of(&name) {
            Some(wanted) => {
                let value = wanted.read(value).map_err(|type_name| {
                    let message = format!("option {name:?} must be of {type_name}");
                    Refused::verbatim(format!("options.{name}"), message)
                })?;
                checked.insert(name, value);
            }
            None => dropped.push(format!("options.{name}")),
        }
    }
    Ok(checked)
}

/// Names match exactly: Ollama reads options as a map.
fn type_of(name: &str) -> Option<Type> {
    Some(match name {
        "num_ctx" | "num_batch" | "num_gpu" | "main_gpu" | "num_thread" | "draft_num_predict"
        | "num_keep" | "seed" | "num_predict" | "top_k" | "repeat_last_n" => Type::Integer,
        "top_p" | "min_p" | "typical_p" | "temperature" | "repeat_penalty" | "presence_penalty"
        | "frequency_penalty" => Type::Float,
        "use_mmap" => Type::Flag,
        "stop" => Type::Texts,
        _ => return None,
    })
}

// === impl Type ===

impl Type {
    /// The value as this type; the type's name in Ollama's words if it is of another.
    fn read(self, value: Value) -> Result<Value, &'static str> {
        match (self, &value) {
            (Self::Integer, Value::Number(number)) => Ok(match number.as_f64() {
                Some(float) if number.is_f64() => truncated(float).into(),
                _ => value,
            }),
            (Self::Integer, _) => Err("type integer"),
            (Self::Float, Value::Number(_)) | (Self::Flag, Value::Bool(_)) => Ok(value),
            (Self::Float, _) => Err("type float32"),
            (Self::Flag, _) => Err("type boolean"),
            (Self::Texts, Value::Array(texts)) if texts.iter().all(Value::is_string) => Ok(value),
            (Self::Texts, Value::Array(_)) => Err("an array of strings"),
            (Self::Texts, _) => Err("type array"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::translate::to_backend::OPTIONS;

    fn read(options: Value) -> Result<(Value, Vec<String>), Refused> {
        let Value::Object(options) = options else { panic!("no object") };
        let mut dropped = Vec::new();
        let checked = checked(options, &mut dropped)?;
        Ok((Value::Object(checked), dropped))
    }

    #[test]
    fn options_keep_their_order_and_values() {
        let options =
            json!({"stop": ["a"], "temperature": 0, "num_ctx": 4096, "use_mmap": false, "top_p": 0.9});
        assert_eq!(read(options.clone()), Ok((options, Vec::new())));
    }

    #[test]
    fn floats_become_integers_by_cutting() {
        let (checked, _) =
            read(json!({"num_predict": 5.9, "seed": -1.5, "top_k": 40.0, "num_ctx": 1e30})).unwrap();
        assert_eq!(
            checked.to_string(),
            r#"{"num_predict":5,"seed":-1,"top_k":40,"num_ctx":9223372036854775807}"#
        );
    }

    #[test]
    fn unknown_options_are_dropped_and_named_and_null_is_nothing() {
        let (checked, dropped) = read(json!({"mirostat": 1, "Seed": 2, "seed": null, "gone": null})).unwrap();
        assert_eq!(checked, json!({}));
        assert_eq!(dropped, ["options.mirostat", "options.Seed"]);
    }

    #[test]
    fn options_of_another_type_are_refused_in_ollamas_words() {
        for (options, field, message) in [
            (
                json!({"temperature": "hot"}),
                "options.temperature",
                "option \"temperature\" must be of type float32",
            ),
            (json!({"num_ctx": "4096"}), "options.num_ctx", "option \"num_ctx\" must be of type integer"),
            (json!({"num_ctx": true}), "options.num_ctx", "option \"num_ctx\" must be of type integer"),
            (json!({"use_mmap": 1}), "options.use_mmap", "option \"use_mmap\" must be of type boolean"),
            (json!({"stop": "x"}), "options.stop", "option \"stop\" must be of type array"),
            (json!({"stop": ["x", 1]}), "options.stop", "option \"stop\" must be of an array of strings"),
        ] {
            assert_eq!(read(options), Err(Refused::verbatim(field, message)));
        }
    }

    #[test]
    fn every_option_of_the_neutral_form_has_a_type() {
        for name in OPTIONS {
            assert!(type_of(name).is_some(), "{name}");
        }
    }
}
