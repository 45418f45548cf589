//! How the answer is to be made: everything in a request that is not said.

use serde_json::{Map, Value};

use super::Notes;
use crate::translate::Refused;
use crate::translate::chat::{Format, Think, ToolChoice};
use crate::translate::fields::Fields;

/// The longest answer that the client wants, in tokens; it has to say so.
pub(super) fn max_tokens(fields: &mut Fields<'_>) -> Result<i64, Refused> {
    let max_tokens: Option<i64> = fields.read("max_tokens", "must be a whole number")?;
    let max_tokens = max_tokens.filter(|max_tokens| *max_tokens > 0);
    max_tokens.ok_or_else(|| Refused::verbatim("max_tokens", "max_tokens is required and must be positive"))
}

/// Sampling. What the client does not say is left to the model: this API has no defaults of its own.
pub(super) fn options(fields: &mut Fields<'_>, max_tokens: i64) -> Result<Map<String, Value>, Refused> {
    let mut options = Map::new();
    options.insert("num_predict".to_owned(), max_tokens.into());
    for name in ["temperature", "top_p", "top_k"] {
        if let Some(number) = fields.number(name)? {
            options.insert(name.to_owned(), number.into());
        }
    }
    let stop: Option<Vec<String>> = fields.read("stop_sequences", "must be an array of strings")?;
    if let Some(stop) = stop.filter(|stop| !stop.is_empty()) {
        options.insert("stop".to_owned(), stop.into());
    }
    Ok(options)
}

/// Which tools may be called, and whether several at once.
pub(super) fn tool_choice(
    fields: &mut Fields<'_>,
    notes: &mut Notes,
) -> Result<(ToolChoice, Option<bool>), Refused> {
    let Some(mut choice) = fields.object("tool_choice")? else { return Ok((ToolChoice::Auto, None)) };
    let path = choice.path("type");
    let tool_choice = match choice.text("type")?.unwrap_or_default().as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => {
            let name = choice.text("name")?.filter(|name| !name.is_empty());
            ToolChoice::Named(name.ok_or_else(|| Refused::field(choice.path("name"), "is required"))?)
        }
        _ => return Err(Refused::field(path, "must be auto, any, tool or none")),
    };
    let is_single = choice.flag("disable_parallel_tool_use")? == Some(true);
    notes.rest(&choice);
    Ok((tool_choice, is_single.then_some(false)))
}

/// `thinking` and `output_config`: whether the model thinks, and the form of what it says.
pub(super) fn output(fields: &mut Fields<'_>, notes: &mut Notes) -> Result<(Option<Think>, Format), Refused> {
    let mut think = thinking(fields, notes)?;
    let Some(mut config) = fields.object("output_config")? else { return Ok((think, Format::Text)) };
    if let Some(effort) = config.text("effort")? {
        let level = match effort.trim().to_ascii_lowercase().as_str() {
            level @ ("low" | "medium" | "high" | "max") => Some(Think::Level(level.to_owned())),
            "xhigh" => Some(Think::Level("high".to_owned())),
            _ => None,
        };
        if think.is_some() || level.is_none() {
            notes.dropped.push(config.path("effort"));
        }
        think = think.or(level);
    }
    let format = match config.object("format")? {
        Some(format) => schema(format, notes)?,
        None => Format::Text,
    };
    notes.rest(&config);
    Ok((think, format))
}

fn thinking(fields: &mut Fields<'_>, notes: &mut Notes) -> Result<Option<Think>, Refused> {
    let Some(mut thinking) = fields.object("thinking")? else { return Ok(None) };
    let think = match thinking.text("type")?.unwrap_or_default().as_str() {
        "enabled" => Some(Think::On),
        "disabled" => Some(Think::Off),
        // The model decides, which is what no word at all means.
        "adaptive" => None,
        _ => {
            notes.dropped.push(thinking.path("type"));
            None
        }
    };
    notes.rest(&thinking);
    Ok(think)
}

fn schema(mut format: Fields<'_>, notes: &mut Notes) -> Result<Format, Refused> {
    if format.text("type")?.as_deref() != Some("json_schema") {
        return Err(Refused::field(format.path("type"), "must be json_schema"));
    }
    let schema = format.raw("schema").ok_or_else(|| Refused::field(format.path("schema"), "is required"))?;
    notes.rest(&format);
    Ok(Format::Schema(schema.into()))
}
