//! Reads `POST /api/embed`, and the legacy `POST /api/embeddings`.

use serde_json::Value;

use super::{Asked, FOLDED, ollama};
use crate::route::Operation;
use crate::translate::Refused;
use crate::translate::embedding::{Embedding, Input};
use crate::translate::fields::Fields;
use crate::translate::to_client::ollama_embed::Echo;

/// Reads a request body of `operation`, which is one of the two.
pub(in crate::translate) fn read(
    operation: Operation,
    body: &[u8],
) -> Result<Asked<Embedding, Echo>, Refused> {
    let is_legacy = operation == Operation::OllamaEmbeddings;
    let mut fields = Fields::of_body(body, FOLDED)?;
    let mut dropped = Vec::new();
    let mut embedding = Embedding {
        model: ollama::model(&mut fields)?,
        options: ollama::options(&mut fields, &mut dropped)?,
        keep_alive: ollama::keep_alive(&mut fields)?,
        ..Embedding::default()
    };
    if is_legacy {
        embedding.input = Input::One(fields.text("prompt")?.unwrap_or_default());
    } else {
        embedding.input = input(&mut fields)?;
        embedding.truncate = fields.flag("truncate")?;
        embedding.dimensions = dimensions(&mut fields)?;
    }
    dropped.extend(fields.rest());
    let echo = Echo { model: embedding.model.clone(), is_legacy, dimensions: embedding.dimensions };
    Ok(Asked { echo, request: embedding, dropped })
}

fn input(fields: &mut Fields<'_>) -> Result<Input, Refused> {
    let refused = || Refused::verbatim("input", "invalid input type");
    match fields.value("input")? {
        None => Ok(Input::default()),
        Some(Value::String(text)) => Ok(Input::One(text)),
        Some(Value::Array(texts)) => {
            let text = |value| if let Value::String(text) = value { Ok(text) } else { Err(refused()) };
            texts.into_iter().map(text).collect::<Result<_, _>>().map(Input::Many)
        }
        Some(_) => Err(refused()),
    }
}

/// Ollama cuts vectors to fewer dimensions only if it is told a positive number.
fn dimensions(fields: &mut Fields<'_>) -> Result<Option<u64>, Refused> {
    let dimensions = fields.read::<i64>("dimensions", "must be a whole number")?;
    Ok(dimensions.and_then(|dimensions| u64::try_from(dimensions).ok()).filter(|dimensions| *dimensions > 0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn embed(body: &str) -> Result<Asked<Embedding, Echo>, Refused> {
        read(Operation::OllamaEmbed, body.as_bytes())
    }

    #[test]
    fn texts_are_read_one_or_many() {
        let input = |body: &str| embed(body).unwrap().request.input;
        assert_eq!(input(r#"{"model":"m","input":"a"}"#), Input::One("a".to_owned()));
        assert_eq!(
            input(r#"{"model":"m","INPUT":["a",""]}"#),
            Input::Many(vec!["a".to_owned(), String::new()])
        );
        for empty in [r#"{"model":"m"}"#, r#"{"model":"m","input":null}"#, r#"{"model":"m","input":""}"#] {
            assert!(input(empty).is_empty(), "{empty}");
        }
        for other in ["7", "{}", "[1,2]", "[[1]]", "[\"a\",null]"] {
            let refused = embed(&format!(r#"{{"model":"m","input":{other}}}"#)).unwrap_err();
            assert_eq!(refused, Refused::verbatim("input", "invalid input type"));
        }
    }

    #[test]
    fn the_rest_of_a_request_is_read_and_the_unknown_is_named() {
        let asked = embed(
            r#"{"model":"m","input":"a","truncate":false,"dimensions":64,"keep_alive":-1,"options":{"num_ctx":9},
                "prompt":"x"}"#,
        )
        .unwrap();
        let embedding = asked.request;
        assert_eq!((embedding.truncate, embedding.dimensions), (Some(false), Some(64)));
        assert_eq!(embedding.keep_alive, Some(json!(-1)));
        assert_eq!(json!(embedding.options), json!({"num_ctx": 9}));
        assert_eq!(asked.dropped, ["prompt"]);
        assert_eq!(
            (asked.echo.model.as_str(), asked.echo.is_legacy, asked.echo.dimensions),
            ("m", false, Some(64))
        );
    }

    #[test]
    fn dimensions_that_are_not_positive_say_nothing() {
        for dimensions in ["0", "-5", "null"] {
            let asked = embed(&format!(r#"{{"model":"m","dimensions":{dimensions}}}"#)).unwrap();
            assert_eq!(asked.request.dimensions, None);
        }
        assert!(embed(r#"{"model":"m","dimensions":"64"}"#).is_err());
    }

    #[test]
    fn the_legacy_request_has_one_prompt() {
        let legacy = |body: &str| read(Operation::OllamaEmbeddings, body.as_bytes());
        let asked = legacy(r#"{"name":"m","prompt":"a","input":"b"}"#).unwrap();
        assert_eq!(asked.request.input, Input::One("a".to_owned()));
        assert!(asked.echo.is_legacy);
        assert_eq!(asked.dropped, ["input"]);
        assert!(legacy(r#"{"model":"m"}"#).unwrap().request.input.is_empty());
        assert!(legacy(r#"{"model":"m","prompt":["a"]}"#).is_err());
        assert_eq!(legacy("{}").unwrap_err().message, "model is required");
    }
}
