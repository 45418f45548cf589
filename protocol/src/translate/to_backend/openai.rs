//! What the writers of OpenAI's requests share: sampling, the form of the answer, and how a stream ends.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use super::OPTIONS;
use crate::translate::Refused;
use crate::translate::chat::{self, Format};

/// The members of a request that make it a stream, or not.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Streaming {
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// Those of Ollama's options that OpenAI's API has a word for, under its name.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Sampling<'o> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'o Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'o Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'o [Value],
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<&'o Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<&'o Number>,
}

/// `response_format`.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ResponseFormat<'f> {
    JsonObject,
    JsonSchema { json_schema: Named<'f> },
}

/// A schema by its name, or by that which upstream gives to all of them (`llm/llama_server.go`).
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Named<'f> {
    name: &'f str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'f str>,
    schema: &'f RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

/// The names of members that the API has no word for, as far as they are given.
pub(super) fn given(members: &[(&str, bool)]) -> impl Iterator<Item = String> {
    members.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| (*name).to_owned())
}

/// The names of options, if the API has a word for none of them.
pub(super) fn unknown(options: &Map<String, Value>) -> impl Iterator<Item = String> {
    options.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name_of(name))
}

/// An option as it is named to clients. What is none of Ollama's can only have been written below `options`.
fn name_of(option: &str) -> String {
    if OPTIONS.contains(&option) { option.to_owned() } else { format!("options.{option}") }
}

// === impl Streaming ===

impl Streaming {
    /// A stream always tells its usage: Ollama's clients get the counts without asking.
    pub(super) fn of(stream: bool) -> Self {
        Self { stream, stream_options: stream.then_some(StreamOptions { include_usage: true }) }
    }
}

// === impl Sampling ===

impl<'o> Sampling<'o> {
    /// What `options` say, in OpenAI's words. Those that it has none for are named in `dropped`.
    ///
    /// Types are checked as Ollama checks them, in its words (`api/types.go`, `FromMap`), and null is absent, too.
    pub(super) fn of(options: &'o Map<String, Value>, dropped: &mut Vec<String>) -> Result<Self, Refused> {
        let mut sampling = Self::default();
        for (name, value) in options.iter().filter(|(_, value)| !value.is_null()) {
            match name.as_str() {
                "num_predict" => sampling.max_tokens = limit(integer(name, value)?)?,
                "temperature" => sampling.temperature = Some(number(name, value)?),
                "top_p" => sampling.top_p = Some(number(name, value)?),
                // Ollama's word for a random one.
                "seed" => sampling.seed = Some(integer(name, value)?).filter(|seed| *seed != -1),
                "stop" => sampling.stop = texts(name, value)?,
                "frequency_penalty" => sampling.frequency_penalty = Some(number(name, value)?),
                "presence_penalty" => sampling.presence_penalty = Some(number(name, value)?),
                unknown => dropped.push(name_of(unknown)),
            }
        }
        Ok(sampling)
    }
}

/// The longest answer in tokens; `None` for one without a limit, or one that fills the context.
fn limit(num_predict: i64) -> Result<Option<i64>, Refused> {
    match num_predict {
        1.. => Ok(Some(num_predict)),
        0 => Err(Refused::field(
            "options.num_predict",
            "must not be 0: the backend cannot answer with nothing",
        )),
        _ => Ok(None),
    }
}

fn number<'v>(name: &str, value: &'v Value) -> Result<&'v Number, Refused> {
    value.as_number().ok_or_else(|| mistyped(name, "type float32"))
}

/// A whole number; fractions are cut off, as Ollama does it.
fn integer(name: &str, value: &Value) -> Result<i64, Refused> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cut is what is wanted, and out of range saturates"
    )]
    let cut = |fraction: f64| fraction as i64;
    let whole = value.as_i64().or_else(|| value.as_f64().map(cut));
    whole.ok_or_else(|| mistyped(name, "type integer"))
}

fn texts<'v>(name: &str, value: &'v Value) -> Result<&'v [Value], Refused> {
    let texts = value.as_array().ok_or_else(|| mistyped(name, "type array"))?;
    if texts.iter().all(Value::is_string) { Ok(texts) } else { Err(mistyped(name, "an array of strings")) }
}

fn mistyped(name: &str, must_be: &str) -> Refused {
    Refused::verbatim(format!("options.{name}"), format!("option {name:?} must be of {must_be}"))
}

// === impl ResponseFormat ===

impl<'f> ResponseFormat<'f> {
    /// `None` for plain text.
    pub(super) fn of(format: &'f Format) -> Option<Self> {
        match format {
            Format::Text => None,
            Format::Json => Some(Self::JsonObject),
            Format::Schema(chat::Schema { text: schema, name, description, strict }) => {
                let name = name.as_deref().filter(|name| !name.is_empty()).unwrap_or("schema");
                let named = Named { name, description: description.as_deref(), schema, strict: *strict };
                Some(Self::JsonSchema { json_schema: named })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn said(options: &Value) -> Result<(Value, Vec<String>), Refused> {
        let mut dropped = Vec::new();
        let sampling = Sampling::of(options.as_object().unwrap(), &mut dropped)?;
        Ok((serde_json::to_value(sampling).unwrap(), dropped))
    }

    #[test]
    fn options_take_their_names_in_the_other_api() {
        let options = json!({
            "num_predict": 5, "temperature": 0.5, "top_p": 1, "seed": 7, "stop": ["a", "b"],
            "frequency_penalty": 0, "presence_penalty": -0.5,
        });
        let expected = json!({
            "max_tokens": 5, "temperature": 0.5, "top_p": 1, "seed": 7, "stop": ["a", "b"],
            "frequency_penalty": 0, "presence_penalty": -0.5,
        });
        assert_eq!(said(&options), Ok((expected, Vec::new())));
    }

    #[test]
    fn what_only_an_ollama_knows_is_dropped_and_named() {
        let options = json!({"num_ctx": 8192, "top_k": 40, "mirostat": 1, "use_mmap": null});
        let dropped = ["num_ctx", "top_k", "options.mirostat"].map(str::to_owned).to_vec();
        assert_eq!(said(&options), Ok((json!({}), dropped)));
    }

    #[test]
    fn words_for_no_choice_at_all_are_left_out() {
        for options in [
            json!({}),
            json!({"num_predict": -1, "seed": -1, "stop": []}),
            json!({"num_predict": -2}),
            json!({"temperature": null, "num_predict": null, "stop": null}),
        ] {
            assert_eq!(said(&options), Ok((json!({}), Vec::new())), "{options}");
        }
    }

    #[test]
    fn an_answer_of_no_tokens_is_refused() {
        for zero in [json!(0), json!(0.5)] {
            let refused = said(&json!({"num_predict": zero})).unwrap_err();
            assert_eq!(refused.field.as_deref(), Some("options.num_predict"));
            assert!(refused.message.contains("options.num_predict"), "{refused}");
        }
    }

    #[test]
    fn whole_numbers_are_cut_as_ollama_cuts_them() {
        let expected = json!({"max_tokens": 5, "seed": i64::MAX});
        assert_eq!(said(&json!({"num_predict": 5.9, "seed": 1e300})), Ok((expected, Vec::new())));
    }

    #[test]
    fn mistyped_options_are_refused_in_ollamas_words() {
        for (name, value, must) in [
            ("temperature", json!("hot"), "type float32"),
            ("presence_penalty", json!([1]), "type float32"),
            ("num_predict", json!("5"), "type integer"),
            ("seed", json!(true), "type integer"),
            ("stop", json!("x"), "type array"),
            ("stop", json!(["x", 7]), "an array of strings"),
        ] {
            let refused = said(&json!({ name: value })).unwrap_err();
            assert_eq!(refused.field, Some(format!("options.{name}")));
            assert_eq!(refused.message, format!("option \"{name}\" must be of {must}"));
        }
    }

    proptest! {
        #[test]
        fn every_option_is_said_or_named_or_means_nothing(
            options in proptest::collection::btree_map(
                proptest::sample::select(OPTIONS), prop_oneof![Just(json!(null)), (1i64..99).prop_map(Value::from)], 0..9
            )
        ) {
            let options: Map<String, Value> =
                options.into_iter().filter(|(name, _)| *name != "stop").map(|(k, v)| (k.to_owned(), v)).collect();
            let given = options.values().filter(|value| !value.is_null()).count();
            let (said, dropped) = said(&Value::Object(options)).unwrap();
            prop_assert_eq!(said.as_object().unwrap().len() + dropped.len(), given);
        }
    }
}
