//! What the readers of OpenAI's requests share: sampling, and those of Ollama's own members that are taken next to it.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::FOLDED;
use crate::translate::Refused;
use crate::translate::chat::{Think, ToolChoice};
use crate::translate::fields::Fields;

/// Options that are numbers and have the same name at the top level. The last three are none of OpenAI's, but what
/// servers of local models take there.
const NUMBERS: [&str; 7] =
    ["temperature", "top_p", "frequency_penalty", "presence_penalty", "top_k", "min_p", "repeat_penalty"];

/// The model, which must be named.
pub(super) fn model(fields: &mut Fields<'_>) -> Result<String, Refused> {
    let model = fields.text("model")?.filter(|model| !model.is_empty());
    model.ok_or_else(|| Refused::field("model", "is required"))
}

/// Ollama's options but `stop`: those in `options`, and over them OpenAI's own members.
pub(super) fn options(fields: &mut Fields<'_>) -> Result<Map<String, Value>, Refused> {
    let mut options: Map<String, Value> = fields.read("options", "must be an object")?.unwrap_or_default();
    options.retain(|_, value| !value.is_null());
    for name in NUMBERS {
        if let Some(number) = fields.number(name)? {
            options.insert(name.to_owned(), Value::Number(number));
        }
    }
    if let Some(seed) = integer(fields, "seed")? {
        options.insert("seed".to_owned(), seed.into());
    }
    let limit = integer(fields, "max_tokens")?;
    let newer = integer(fields, "max_completion_tokens")?;
    if let Some(limit) = limit.or(newer) {
        options.insert("num_predict".to_owned(), limit.into());
    }
    Ok(options)
}

/// Sets an option that the client has not set.
pub(super) fn set_default(options: &mut Map<String, Value>, name: &str, value: f64) {
    options.entry(name).or_insert_with(|| value.into());
}

/// The elements of `stop`, which is one string or an array of them.
pub(super) fn stop<'b>(fields: &mut Fields<'b>) -> Vec<&'b RawValue> {
    let Some(stop) = fields.raw("stop") else { return Vec::new() };
    serde_json::from_str(stop.get()).unwrap_or_else(|_| vec![stop])
}

/// Whether the client wants the usage at the end of the stream.
pub(super) fn include_usage(fields: &mut Fields<'_>, dropped: &mut Vec<String>) -> Result<bool, Refused> {
    let Some(mut options) = fields.object("stream_options")? else { return Ok(false) };
    let include = options.flag("include_usage")?.unwrap_or_default();
    dropped.extend(options.rest());
    Ok(include)
}

/// Refuses to give several answers, or to choose among them.
pub(super) fn only_one(fields: &mut Fields<'_>, name: &str) -> Result<(), Refused> {
    match fields.count(name)? {
        None | Some(1) => Ok(()),
        Some(_) => Err(Refused::field(name, "must be 1: the backend gives one answer")),
    }
}

/// Ollama's own `think`.
pub(super) fn think(fields: &mut Fields<'_>) -> Result<Option<Think>, Refused> {
    match fields.value("think")? {
        None => Ok(None),
        Some(Value::Bool(true)) => Ok(Some(Think::On)),
        Some(Value::Bool(false)) => Ok(Some(Think::Off)),
        Some(Value::String(level)) if matches!(level.as_str(), "low" | "medium" | "high" | "max") => {
            Ok(Some(Think::Level(level)))
        }
        Some(_) => Err(Refused::field("think", r#"must be true, false, "low", "medium", "high" or "max""#)),
    }
}

/// How hard the model thinks, in OpenAI's words and those of Ollama. `field` is where the client says it.
pub(super) fn effort(effort: &str, field: &str) -> Result<Think, Refused> {
    let level = match effort {
        "none" => return Ok(Think::Off),
        "minimal" | "low" => "low",
        "medium" => "medium",
        "high" => "high",
        "xhigh" | "ultra" | "max" => "max",
        other => {
            let levels = r#""minimal", "low", "medium", "high", "xhigh", "ultra", "max", or "none""#;
            let message = format!("invalid reasoning value: {other:?} (must be {levels})");
            return Err(Refused::verbatim(field, message));
        }
    };
    Ok(Think::Level(level.to_owned()))
}

/// Which tools may or must be called. `named` reads the name of a function out of the object that names one.
pub(super) fn tool_choice<N>(fields: &mut Fields<'_>, named: N) -> Result<ToolChoice, Refused>
where
    N: FnOnce(&mut Fields<'_>) -> Result<Option<String>, Refused>,
{
    let Some(raw) = fields.raw("tool_choice") else { return Ok(ToolChoice::Auto) };
    let unknown = || Refused::field("tool_choice", "must be none, auto, required or one function");
    match text(raw).as_deref() {
        Some("auto") => Ok(ToolChoice::Auto),
        Some("none") => Ok(ToolChoice::None),
        Some("required") => Ok(ToolChoice::Required),
        Some(_) => Err(unknown()),
        None => {
            let mut choice = Fields::of_value(raw, FOLDED, "tool_choice").map_err(|_| unknown())?;
            named(&mut choice)?.map(ToolChoice::Named).ok_or_else(unknown)
        }
    }
}

/// The text of a JSON string; `None` for anything else.
pub(super) fn text(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// The type of a value as Go's `%T` writes it, which is in the wording of some of upstream's errors.
pub(super) fn type_name(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        None | Some(b'n') => "<nil>",
        Some(b't' | b'f') => "bool",
        Some(b'"') => "string",
        Some(b'[') => "[]interface {}",
        Some(b'{') => "map[string]interface {}",
        Some(_) => "float64",
    }
}

fn integer(fields: &mut Fields<'_>, name: &str) -> Result<Option<i64>, Refused> {
    fields.read(name, "must be a whole number")
}

#[cfg(test)]
pub(super) mod tests;
