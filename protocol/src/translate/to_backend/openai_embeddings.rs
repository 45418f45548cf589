//! Writes `POST /v1/embeddings`.

use serde::Serialize;

use super::Said;
use super::openai::{self, given};
use crate::translate::Refused;
use crate::translate::embedding::{Embedding, Input};

/// A request body.
#[derive(Debug, Serialize)]
struct Body<'e> {
    model: &'e str,
    input: &'e Input,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u64>,
    encoding_format: &'static str,
}

/// Writes a request body. One text is a list of one. What is neither a text nor several is left to the backend: some take tokens.
pub(in crate::translate) fn write(embedding: &Embedding) -> Result<Said, Refused> {
    let wrapped;
    let input = match &embedding.input {
        Input::One(text) => {
            wrapped = Input::Many(vec![text.clone()]);
            &wrapped
        }
        several => several,
    };
    let body =
        Body { model: &embedding.model, input, dimensions: embedding.dimensions, encoding_format: "float" };
    let mut dropped: Vec<String> = openai::unknown(&embedding.options).collect();
    dropped.extend(given(&[
        ("keep_alive", embedding.keep_alive.is_some()),
        ("truncate", embedding.truncate.is_some()),
    ]));
    Said::of(&body, dropped)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn inputs_are_lists_of_texts_or_what_they_came_in_as() {
        for (input, expected) in [
            (Input::One("a".to_owned()), r#"["a"]"#),
            (Input::Many(vec!["a".to_owned(), String::new()]), r#"["a",""]"#),
            (Input::Other(json!([[1, 2], [3]])), "[[1,2],[3]]"),
        ] {
            let embedding = Embedding { model: "m".to_owned(), input, ..Embedding::default() };
            let said = write(&embedding).unwrap();
            let expected = format!(r#"{{"model":"m","input":{expected},"encoding_format":"float"}}"#);
            assert_eq!(String::from_utf8(said.body).unwrap(), expected);
            assert!(said.dropped.is_empty());
        }
    }

    #[test]
    fn what_only_an_ollama_knows_is_dropped_and_named() {
        let embedding = Embedding {
            model: "m".to_owned(),
            input: Input::One("a".to_owned()),
            dimensions: Some(3),
            truncate: Some(true),
            options: json!({"num_ctx": 8, "temperature": 0.1, "seed": null}).as_object().unwrap().clone(),
            keep_alive: Some(json!(0)),
        };
        let said = write(&embedding).unwrap();
        let body: Value = serde_json::from_slice(&said.body).unwrap();
        assert_eq!(body, json!({"model": "m", "input": ["a"], "dimensions": 3, "encoding_format": "float"}));
        assert_eq!(said.dropped, ["num_ctx", "temperature", "keep_alive", "truncate"]);
    }
}
