//! Reads `POST /v1/completions`.

use serde_json::Value;
use serde_json::value::RawValue;

use super::{Asked, FOLDED, openai};
use crate::translate::Refused;
use crate::translate::completion::Completion;
use crate::translate::fields::Fields;
use crate::translate::to_client::openai::Echo;

/// Reads a request body.
pub(in crate::translate) fn read(body: &[u8]) -> Result<Asked<Completion, Echo>, Refused> {
    let mut fields = Fields::of_body(body, FOLDED)?;
    let mut dropped = unsaid(&mut fields)?;
    let model = openai::model(&mut fields)?;
    let mut options = openai::options(&mut fields)?;
    // Ollama's own layer always sends these, and takes a `top_p` of 0 as absent.
    options.retain(|name, value| name != "top_p" || value.as_f64() != Some(0.0));
    openai::set_default(&mut options, "temperature", 1.0);
    openai::set_default(&mut options, "top_p", 1.0);
    openai::set_default(&mut options, "frequency_penalty", 0.0);
    openai::set_default(&mut options, "presence_penalty", 0.0);
    let stop = stop(&mut fields)?;
    if !stop.is_empty() {
        options.insert("stop".to_owned(), stop.into());
    }
    let request = Completion {
        prompt: prompt(&mut fields)?,
        suffix: Some(fields.text("suffix")?.unwrap_or_default()),
        stream: fields.flag("stream")?.unwrap_or_default(),
        options,
        logprobs: fields.count("logprobs")?.filter(|logprobs| *logprobs > 0),
        // Ollama's own layer sends both, although they say nothing.
        system: Some(String::new()),
        template: Some(String::new()),
        think: openai::think(&mut fields)?,
        keep_alive: fields.value("keep_alive")?,
        model: model.clone(),
        ..Completion::default()
    };
    let echo = Echo { model, include_usage: openai::include_usage(&mut fields, &mut dropped)? };
    dropped.extend(fields.rest());
    Ok(Asked { request, echo, dropped })
}

/// What is asked for beyond one answer. Ollama gives neither several nor the prompt again, and its own layer passes over
/// both.
fn unsaid(fields: &mut Fields<'_>) -> Result<Vec<String>, Refused> {
    let mut unsaid = Vec::new();
    for name in ["n", "best_of"] {
        if fields.count(name)?.is_some_and(|count| count != 1) {
            unsaid.push(name.to_owned());
        }
    }
    if fields.flag("echo")? == Some(true) {
        unsaid.push("echo".to_owned());
    }
    Ok(unsaid)
}

/// The prompt: a string, or an array of one. An absent one is empty, as upstream has it.
fn prompt(fields: &mut Fields<'_>) -> Result<String, Refused> {
    let Some(prompt) = fields.raw("prompt") else { return Ok(String::new()) };
    let text = openai::text(prompt).or_else(|| {
        let [prompt]: [&RawValue; 1] = serde_json::from_str(prompt.get()).ok()?;
        openai::text(prompt)
    });
    text.ok_or_else(|| Refused::field("prompt", "must be one string"))
}

fn stop(fields: &mut Fields<'_>) -> Result<Vec<Value>, Refused> {
    let element = |element| {
        let text = openai::text(element).map(Value::String);
        let message = || format!("invalid type for 'stop' field: {}", openai::type_name(element));
        text.ok_or_else(|| Refused::verbatim("stop", message()))
    };
    openai::stop(fields).into_iter().map(element).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::translate::chat::Think;
    use crate::translate::from_client::openai::tests::requests;

    fn ask(body: &Value) -> Result<Asked<Completion, Echo>, Refused> {
        read(body.to_string().as_bytes())
    }

    fn asked(body: &Value) -> Asked<Completion, Echo> {
        ask(body).unwrap()
    }

    #[test]
    fn a_plain_prompt_gets_upstreams_defaults() {
        let asked = asked(&json!({"model": "m", "prompt": "2+2="}));
        let request = asked.request;
        assert_eq!((request.model.as_str(), request.prompt.as_str()), ("m", "2+2="));
        let empty = Some("");
        assert_eq!(
            (request.suffix.as_deref(), request.system.as_deref(), request.template.as_deref()),
            (empty, empty, empty)
        );
        assert!(!request.is_plain() && !request.stream);
        let expected =
            json!({"temperature": 1.0, "top_p": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0});
        assert_eq!(Value::Object(request.options), expected);
        assert_eq!((asked.echo.model.as_str(), asked.echo.include_usage), ("m", false));
    }

    #[test]
    fn everything_that_is_understood_is_kept() {
        let asked = asked(&json!({
            "model": "m", "prompt": "p", "suffix": "s", "max_tokens": 3, "temperature": 0, "top_p": 0.3, "seed": 1,
            "stop": ["x"], "frequency_penalty": 0.5, "presence_penalty": 0.25, "logprobs": 2, "stream": true,
            "stream_options": {"include_usage": true}, "echo": false, "n": 1, "best_of": 1, "keep_alive": "5m",
            "options": {"num_ctx": 4096}, "think": false, "user": "u", "logit_bias": {"1": 2}
        }));
        let request = asked.request;
        let expected = json!({
            "num_ctx": 4096, "temperature": 0, "top_p": 0.3, "frequency_penalty": 0.5, "presence_penalty": 0.25,
            "seed": 1, "num_predict": 3, "stop": ["x"]
        });
        assert_eq!(Value::Object(request.options.clone()), expected);
        assert_eq!((request.suffix.as_deref(), request.logprobs, request.stream), (Some("s"), Some(2), true));
        assert_eq!((&request.think, &request.keep_alive), (&Some(Think::Off), &Some(json!("5m"))));
        assert!(request.is_plain() && asked.echo.include_usage);
        assert_eq!(asked.dropped, ["user", "logit_bias"]);
    }

    #[test]
    fn a_top_p_or_logprobs_of_zero_is_absent() {
        let request = asked(&json!({"model": "m", "prompt": "a", "top_p": 0, "logprobs": 0})).request;
        assert_eq!((&request.options["top_p"], request.logprobs), (&json!(1.0), None));
    }

    #[test]
    fn a_prompt_is_one_string() {
        let prompt =
            |prompt: Value| ask(&json!({"model": "m", "prompt": prompt})).map(|asked| asked.request.prompt);
        assert_eq!(prompt(json!("p")), Ok("p".to_owned()));
        assert_eq!(prompt(json!(["p"])), Ok("p".to_owned()));
        assert_eq!(prompt(Value::Null), Ok(String::new()));
        for other in
            [json!([]), json!(["a", "b"]), json!([1, 2]), json!([[1]]), json!([1]), json!({}), json!(7)]
        {
            assert_eq!(prompt(other).unwrap_err().field.as_deref(), Some("prompt"));
        }
    }

    #[test]
    fn a_stop_that_is_no_string_is_refused_in_upstreams_words() {
        for (stop, message) in [
            (json!([1]), "invalid type for 'stop' field: float64"),
            (json!(["a", null]), "invalid type for 'stop' field: <nil>"),
            (json!([true]), "invalid type for 'stop' field: bool"),
            (json!([{}]), "invalid type for 'stop' field: map[string]interface {}"),
        ] {
            assert_eq!(
                ask(&json!({"model": "m", "prompt": "a", "stop": stop})).unwrap_err().message,
                message
            );
        }
        assert_eq!(asked(&json!({"model": "m", "stop": "x"})).request.options["stop"], json!(["x"]));
        assert_eq!(asked(&json!({"model": "m", "stop": null})).request.options.get("stop"), None);
        assert_eq!(asked(&json!({"model": "m", "stop": []})).request.options.get("stop"), None);
    }

    #[test]
    fn several_answers_and_the_prompt_again_are_left_out_and_named() {
        let body = json!({"model": "m", "prompt": "a", "n": 2, "best_of": 3, "echo": true});
        assert_eq!(asked(&body).dropped, ["n", "best_of", "echo"]);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert_eq!(ask(&json!({"model": ""})).unwrap_err().field.as_deref(), Some("model"));
        assert_eq!(read(b"").unwrap_err().message, "missing request body");
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
