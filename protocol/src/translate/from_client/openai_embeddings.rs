//! Reads `POST /v1/embeddings`.

use super::{Asked, FOLDED, openai};
use crate::translate::Refused;
use crate::translate::embedding::{Embedding, Input};
use crate::translate::fields::Fields;
use crate::translate::to_client::openai_embeddings::Echo;

/// Reads a request body.
pub(in crate::translate) fn read(body: &[u8]) -> Result<Asked<Embedding, Echo>, Refused> {
    let mut fields = Fields::of_body(body, FOLDED)?;
    let model = openai::model(&mut fields)?;
    let base64 = is_base64(&mut fields)?;
    let request = Embedding {
        input: input(&mut fields)?,
        // Upstream's own decoder cannot tell 0 from absent.
        dimensions: fields.count("dimensions")?.filter(|dimensions| *dimensions > 0),
        options: fields.read("options", "must be an object")?.unwrap_or_default(),
        keep_alive: fields.value("keep_alive")?,
        model: model.clone(),
        ..Embedding::default()
    };
    let dropped = fields.rest().collect();
    Ok(Asked { request, echo: Echo { model, base64 }, dropped })
}

fn is_base64(fields: &mut Fields<'_>) -> Result<bool, Refused> {
    let format = fields.text("encoding_format")?.unwrap_or_default();
    if format.eq_ignore_ascii_case("base64") {
        return Ok(true);
    }
    if format.is_empty() || format.eq_ignore_ascii_case("float") {
        return Ok(false);
    }
    let message =
        format!("Invalid value for 'encoding_format' = {format}. Supported values: ['float', 'base64'].");
    Err(Refused::verbatim("encoding_format", message))
}

/// Texts, or whatever else the client wrote: the backend says whether it takes tokens. An empty text is one text, so
/// that it is no request to load the model.
fn input(fields: &mut Fields<'_>) -> Result<Input, Refused> {
    let invalid = || Refused::verbatim("input", "invalid input");
    let raw = fields.raw("input").ok_or_else(invalid)?;
    if let Some(text) = openai::text(raw) {
        return Ok(if text.is_empty() { Input::Many(vec![text]) } else { Input::One(text) });
    }
    match serde_json::from_str::<Vec<String>>(raw.get()) {
        Ok(texts) if texts.is_empty() => Err(invalid()),
        Ok(texts) => Ok(Input::Many(texts)),
        Err(_) => serde_json::from_str(raw.get()).map(Input::Other).map_err(|_| invalid()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::translate::from_client::openai::tests::requests;

    fn ask(body: &Value) -> Result<Asked<Embedding, Echo>, Refused> {
        read(body.to_string().as_bytes())
    }

    fn input(input: &Value) -> Result<Input, Refused> {
        ask(&json!({"model": "nomic", "input": input})).map(|asked| asked.request.input)
    }

    #[test]
    fn texts_are_texts_and_an_empty_one_is_not_a_request_to_load() {
        assert_eq!(input(&json!("hi")), Ok(Input::One("hi".to_owned())));
        assert_eq!(input(&json!("")), Ok(Input::Many(vec![String::new()])));
        assert_eq!(input(&json!(["a", "b"])), Ok(Input::Many(vec!["a".to_owned(), "b".to_owned()])));
    }

    #[test]
    fn tokens_pass_as_they_are() {
        for tokens in [json!([1, 2, 3]), json!([[1], [2, 3]]), json!(["a", 1]), json!(7)] {
            assert_eq!(input(&tokens), Ok(Input::Other(tokens)));
        }
    }

    #[test]
    fn no_input_is_refused_in_upstreams_words() {
        for nothing in [Value::Null, json!([])] {
            assert_eq!(input(&nothing).unwrap_err().message, "invalid input");
        }
        assert_eq!(ask(&json!({"model": "m"})).unwrap_err().field.as_deref(), Some("input"));
    }

    #[test]
    fn everything_else_is_read_or_named() {
        let asked = ask(&json!({
            "model": "nomic", "input": "hi", "dimensions": 3, "user": "u", "keep_alive": 5, "options": {"num_ctx": 1},
            "encoding_format": "BASE64"
        }))
        .unwrap();
        assert_eq!((asked.echo.model.as_str(), asked.echo.base64), ("nomic", true));
        let request = asked.request;
        assert_eq!((request.model.as_str(), request.dimensions), ("nomic", Some(3)));
        assert_eq!(
            (request.keep_alive, Value::Object(request.options)),
            (Some(json!(5)), json!({"num_ctx": 1}))
        );
        assert_eq!(asked.dropped, ["user"]);
        let zero = ask(&json!({"model": "m", "input": "hi", "dimensions": 0})).unwrap();
        assert_eq!(zero.request.dimensions, None);
    }

    #[test]
    fn formats_are_float_or_base64_in_any_case() {
        let base64 = |format: Value| {
            ask(&json!({"model": "m", "input": "hi", "encoding_format": format}))
                .map(|asked| asked.echo.base64)
        };
        assert_eq!(base64(json!("Float")), Ok(false));
        assert_eq!(base64(json!("")), Ok(false));
        assert_eq!(base64(Value::Null), Ok(false));
        assert_eq!(base64(json!("base64")), Ok(true));
        assert_eq!(
            base64(json!("int8")).unwrap_err().message,
            "Invalid value for 'encoding_format' = int8. Supported values: ['float', 'base64']."
        );
    }

    proptest! {
        #[test]
        fn no_request_panics(body in requests()) {
            let _ = ask(&body);
        }

        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = read(&body);
        }
    }
}
