//! Writes `POST /api/embed`.

use serde::Serialize;
use serde_json::{Map, Value};

use super::Said;
use crate::translate::Refused;
use crate::translate::embedding::{Embedding, Input};

/// A request body.
#[derive(Debug, Serialize)]
struct Body<'e> {
    model: &'e str,
    input: &'e Input,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_alive: Option<&'e Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncate: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u64>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    options: &'e Map<String, Value>,
}

/// Writes a request body. What is neither a text nor several is left to the backend to refuse, as upstream does it.
pub(in crate::translate) fn write(embedding: &Embedding) -> Result<Said, Refused> {
    let body = Body {
        model: &embedding.model,
        input: &embedding.input,
        keep_alive: embedding.keep_alive.as_ref(),
        truncate: embedding.truncate,
        dimensions: embedding.dimensions,
        options: &embedding.options,
    };
    Said::of(&body, Vec::new())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(embedding: &Embedding) -> Value {
        serde_json::from_slice(&write(embedding).unwrap().body).unwrap()
    }

    #[test]
    fn inputs_are_written_in_the_form_that_they_came_in() {
        for (input, expected) in [
            (Input::One("a".to_owned()), json!("a")),
            (Input::Many(vec!["a".to_owned(), String::new()]), json!(["a", ""])),
            (Input::Other(json!([[1, 2], [3]])), json!([[1, 2], [3]])),
        ] {
            let embedding = Embedding { model: "m".to_owned(), input, ..Embedding::default() };
            assert_eq!(written(&embedding), json!({"model": "m", "input": expected}));
        }
    }

    #[test]
    fn everything_ollama_has_a_word_for_is_written() {
        let embedding = Embedding {
            model: "m".to_owned(),
            input: Input::One("a".to_owned()),
            dimensions: Some(3),
            truncate: Some(false),
            options: json!({"num_ctx": 8}).as_object().unwrap().clone(),
            keep_alive: Some(json!("1m")),
        };
        assert_eq!(
            written(&embedding),
            json!({
                "model": "m", "input": "a", "dimensions": 3, "truncate": false, "options": {"num_ctx": 8},
                "keep_alive": "1m",
            })
        );
    }
}
