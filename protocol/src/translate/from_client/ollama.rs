//! What the requests of Ollama's own API have in common.

mod images;
mod options;

use serde_json::{Map, Value};

use crate::translate::Refused;
use crate::translate::chat::{Format, Media, Think};
use crate::translate::fields::Fields;
use crate::translate::keep_alive;

/// How hard a model can be told to think (`api/types.go`, `ThinkValue`).
const LEVELS: [&str; 4] = ["low", "medium", "high", "max"];

/// What is asked to be known about the tokens of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Logprobs {
    pub(super) wanted: Option<bool>,
    /// How many alternatives for each token.
    pub(super) top: Option<u64>,
}

/// Reads `model`, or `name` as old clients call it: the first that is not empty.
pub(in crate::translate) fn model(fields: &mut Fields<'_>) -> Result<String, Refused> {
    let names = [fields.text("model")?, fields.text("name")?];
    let model = names.into_iter().flatten().find(|name| !name.trim().is_empty());
    model.ok_or_else(|| Refused::verbatim("model", "model is required"))
}

/// Reads a text; empty is the same as absent.
pub(super) fn filled(fields: &mut Fields<'_>, name: &str) -> Result<Option<String>, Refused> {
    Ok(fields.text(name)?.filter(|text| !text.is_empty()))
}

/// Reads `stream`, which Ollama's API has on by default.
pub(super) fn stream(fields: &mut Fields<'_>) -> Result<bool, Refused> {
    Ok(fields.flag("stream")?.unwrap_or(true))
}

/// Reads `options`; those that Ollama does not know are put behind `dropped`.
pub(super) fn options(
    fields: &mut Fields<'_>,
    dropped: &mut Vec<String>,
) -> Result<Map<String, Value>, Refused> {
    match fields.read("options", "must be an object")? {
        Some(options) => options::checked(options, dropped),
        None => Ok(Map::new()),
    }
}

/// Reads `keep_alive`; it stays as the client wrote it.
pub(super) fn keep_alive(fields: &mut Fields<'_>) -> Result<Option<Value>, Refused> {
    let Some(value) = fields.value("keep_alive")? else { return Ok(None) };
    if keep_alive::nanoseconds(&value).is_none() {
        let why = "must be a number of seconds, or a duration with its unit such as \"5m\"";
        return Err(Refused::field(fields.path("keep_alive"), why));
    }
    Ok(Some(value))
}

/// Reads `think`.
pub(super) fn think(fields: &mut Fields<'_>) -> Result<Option<Think>, Refused> {
    match fields.value("think")? {
        None => Ok(None),
        Some(Value::Bool(true)) => Ok(Some(Think::On)),
        Some(Value::Bool(false)) => Ok(Some(Think::Off)),
        Some(Value::String(level)) if LEVELS.contains(&level.as_str()) => Ok(Some(Think::Level(level))),
        Some(Value::String(level)) => Err(Refused::verbatim(
            "think",
            format!(
                "invalid think value: {level:?} (must be \"high\", \"medium\", \"low\", \"max\", true, or false)"
            ),
        )),
        Some(_) => Err(Refused::verbatim(
            "think",
            "think must be a boolean or string (\"high\", \"medium\", \"low\", \"max\", true, or false)",
        )),
    }
}

/// Reads `format`.
pub(super) fn format(fields: &mut Fields<'_>) -> Result<Format, Refused> {
    let Some(format) = fields.raw("format") else { return Ok(Format::Text) };
    match format.get() {
        "\"\"" => Ok(Format::Text),
        "\"json\"" => Ok(Format::Json),
        schema if schema.starts_with('{') => Ok(Format::Schema(format.into())),
        other => Err(Refused::verbatim(
            "format",
            format!("invalid format: {other:?}; expected \"json\" or a valid JSON Schema object"),
        )),
    }
}

/// Reads `logprobs` and `top_logprobs`.
pub(super) fn logprobs(fields: &mut Fields<'_>) -> Result<Logprobs, Refused> {
    let wanted = fields.flag("logprobs")?;
    let top = match fields.read::<i64>("top_logprobs", "must be a whole number")? {
        None => None,
        Some(top) => Some(
            u64::try_from(top)
                .ok()
                .filter(|top| *top <= 20)
                .ok_or_else(|| Refused::verbatim("top_logprobs", "top_logprobs must be between 0 and 20"))?,
        ),
    };
    Ok(Logprobs { wanted, top })
}

/// Reads `images`: standard, padded base64 of the files, which may be sounds, too.
pub(super) fn images(fields: &mut Fields<'_>) -> Result<Vec<Media>, Refused> {
    let images = fields.read::<Vec<String>>("images", "must be an array of base64 texts")?;
    let path = fields.path("images");
    let images = images.unwrap_or_default().into_iter().enumerate();
    images.map(|(index, image)| images::inline(image, &format!("{path}[{index}]"))).collect()
}

#[cfg(test)]
mod golden;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with<T>(body: &str, read: impl FnOnce(&mut Fields<'_>) -> Result<T, Refused>) -> Result<T, String> {
        let mut fields = Fields::of_body(body.as_bytes(), true).unwrap();
        read(&mut fields)
            .map_err(|refused| format!("{}: {refused}", refused.field.as_deref().unwrap_or_default()))
    }

    #[test]
    fn the_first_name_that_is_not_empty_counts() {
        assert_eq!(with(r#"{"model":"a","name":"b"}"#, model).as_deref(), Ok("a"));
        assert_eq!(with(r#"{"model":"","name":"b"}"#, model).as_deref(), Ok("b"));
        assert_eq!(with(r#"{"NAME":"b","model":null}"#, model).as_deref(), Ok("b"));
        for body in ["{}", r#"{"model":""}"#, r#"{"model":" "}"#, r#"{"model":null,"name":""}"#] {
            assert_eq!(with(body, model), Err("model: model is required".to_owned()), "{body}");
        }
        assert!(with(r#"{"model":7}"#, model).is_err());
    }

    #[test]
    fn a_stream_is_the_default() {
        assert_eq!(with("{}", stream), Ok(true));
        assert_eq!(with(r#"{"stream":null}"#, stream), Ok(true));
        assert_eq!(with(r#"{"STREAM":false}"#, stream), Ok(false));
        assert!(with(r#"{"stream":"true"}"#, stream).is_err());
    }

    #[test]
    fn keep_alive_is_checked_and_stays_as_it_is_written() {
        for value in ["\"5m\"", "0", "-1", "0.5", "\"0\""] {
            let read = with(&format!("{{\"keep_alive\":{value}}}"), keep_alive).unwrap().unwrap();
            assert_eq!(read.to_string(), value);
        }
        for value in ["\"300\"", "\"-1\"", "\"\"", "true", "[]"] {
            let refused = with(&format!("{{\"keep_alive\":{value}}}"), keep_alive).unwrap_err();
            assert!(refused.starts_with("keep_alive: keep_alive must be"), "{refused}");
        }
        assert_eq!(with(r#"{"keep_alive":null}"#, keep_alive), Ok(None));
    }

    #[test]
    fn thinking_is_on_off_or_a_level() {
        assert_eq!(with(r#"{"think":true}"#, think), Ok(Some(Think::On)));
        assert_eq!(with(r#"{"think":false}"#, think), Ok(Some(Think::Off)));
        assert_eq!(with(r#"{"think":"max"}"#, think), Ok(Some(Think::Level("max".to_owned()))));
        assert_eq!(with(r#"{"think":null}"#, think), Ok(None));
        let refused = with(r#"{"think":"none"}"#, think).unwrap_err();
        assert!(refused.starts_with("think: invalid think value: \"none\" (must be"), "{refused}");
        let refused = with(r#"{"think":1}"#, think).unwrap_err();
        assert!(refused.starts_with("think: think must be a boolean or string"), "{refused}");
    }

    #[test]
    fn a_format_is_json_a_schema_or_nothing() {
        let read = |format: &str| with(&format!("{{\"format\":{format}}}"), super::format);
        assert!(matches!(read("\"json\""), Ok(Format::Json)));
        assert!(matches!(read("\"\""), Ok(Format::Text)));
        assert!(matches!(read("null"), Ok(Format::Text)));
        let schema = r#"{ "type":"object", "maximum":1.50 }"#;
        let Ok(Format::Schema(read_schema)) = read(schema) else { panic!("no schema") };
        assert_eq!(read_schema.text.get(), schema);
        for other in ["\"xml\"", "true", "1", "[]"] {
            let refused = read(other).unwrap_err();
            assert!(refused.starts_with("format: invalid format: "), "{refused}");
        }
    }

    #[test]
    fn up_to_20_alternatives_can_be_asked_for() {
        let read = |body: &str| with(body, logprobs);
        assert_eq!(
            read(r#"{"logprobs":true,"top_logprobs":20}"#),
            Ok(Logprobs { wanted: Some(true), top: Some(20) })
        );
        assert_eq!(read("{}"), Ok(Logprobs::default()));
        for top in ["-1", "21"] {
            let refused = read(&format!("{{\"top_logprobs\":{top}}}"));
            assert_eq!(refused, Err("top_logprobs: top_logprobs must be between 0 and 20".to_owned()));
        }
        assert!(read(r#"{"top_logprobs":1.5}"#).is_err());
        assert!(read(r#"{"logprobs":3}"#).is_err());
    }

    #[test]
    fn images_are_named_by_their_place() {
        let read = |body: &str| with(body, images);
        assert_eq!(read(r#"{"images":["iVBORw0KGgo="]}"#).unwrap().len(), 1);
        assert_eq!(read(r#"{"images":[]}"#), Ok(Vec::new()));
        assert_eq!(read(r#"{"images":null}"#), Ok(Vec::new()));
        let refused = read(r#"{"images":["AAAA","data:image/png;base64,AAAA"]}"#).unwrap_err();
        assert!(refused.starts_with("images[1]: "), "{refused}");
        assert!(read(r#"{"images":"AAAA"}"#).is_err());
        assert!(read(r#"{"images":[null]}"#).is_err());
    }

    #[test]
    fn options_that_are_no_object_are_refused() {
        let read = |body: &str| with(body, |fields| options(fields, &mut Vec::new()));
        assert_eq!(read("{}"), Ok(Map::new()));
        assert_eq!(json!(read(r#"{"options":{"top_k":3}}"#).unwrap()), json!({"top_k": 3}));
        assert_eq!(read(r#"{"options":[]}"#), Err("options: options must be an object".to_owned()));
    }
}
