//! Reads `POST /v1/chat/completions`.

use serde_json::Value;
use serde_json::value::RawValue;

use super::{Asked, FOLDED, openai, openai_messages};
use crate::translate::Refused;
use crate::translate::chat::{Chat, Format, Schema, Think, ToolChoice};
use crate::translate::fields::Fields;
use crate::translate::to_client::openai::Echo;

/// Members that ask for what no other API gives: calls in the form before tools. `audio` asks for nothing unless
/// `modalities` do.
const INEXPRESSIBLE: [&str; 2] = ["functions", "function_call"];

/// Reads a request body.
pub(in crate::translate) fn read(body: &[u8]) -> Result<Asked<Chat, Echo>, Refused> {
    let mut fields = Fields::of_body(body, FOLDED)?;
    let mut dropped = Vec::new();
    refuse_inexpressible(&mut fields)?;
    let model = openai::model(&mut fields)?;
    let messages = openai_messages::read(&mut fields, &mut dropped)?;
    let mut options = openai::options(&mut fields)?;
    // Ollama's own layer has them, over what the model's file says: clients are tuned to it.
    openai::set_default(&mut options, "temperature", 1.0);
    openai::set_default(&mut options, "top_p", 1.0);
    let stop = stop(&mut fields, &mut dropped);
    if !stop.is_empty() {
        options.insert("stop".to_owned(), stop.into());
    }
    let think = openai::think(&mut fields)?;
    let request = Chat {
        messages,
        tools: tools(&mut fields)?,
        tool_choice: tool_choice(&mut fields)?,
        parallel_tool_calls: fields.flag("parallel_tool_calls")?,
        stream: fields.flag("stream")?.unwrap_or_default(),
        format: format(&mut fields, &mut dropped)?,
        think: effort(&mut fields, &mut dropped)?.or(think),
        options,
        logprobs: fields.flag("logprobs")?,
        top_logprobs: fields.count("top_logprobs")?,
        keep_alive: fields.value("keep_alive")?,
        model: model.clone(),
        ..Chat::default()
    };
    let echo = Echo { model, include_usage: openai::include_usage(&mut fields, &mut dropped)? };
    dropped.extend(fields.rest());
    Ok(Asked { request, echo, dropped })
}

fn refuse_inexpressible(fields: &mut Fields<'_>) -> Result<(), Refused> {
    openai::only_one(fields, "n")?;
    for name in INEXPRESSIBLE {
        if fields.raw(name).is_some() {
            return Err(Refused::field(name, "is not supported"));
        }
    }
    let modalities: Option<Vec<String>> = fields.read("modalities", "must be an array of strings")?;
    if modalities.unwrap_or_default().iter().any(|modality| modality != "text") {
        return Err(Refused::field("modalities", "must be text: the backend gives nothing else"));
    }
    Ok(())
}

/// The strings of `stop`; what is none is left out, as upstream does it.
fn stop(fields: &mut Fields<'_>, dropped: &mut Vec<String>) -> Vec<Value> {
    let elements = openai::stop(fields);
    let texts: Vec<Value> =
        elements.iter().filter_map(|element| openai::text(element)).map(Value::String).collect();
    if texts.len() < elements.len() {
        dropped.push("stop".to_owned());
    }
    texts
}

fn tools(fields: &mut Fields<'_>) -> Result<Vec<Box<RawValue>>, Refused> {
    let tools = fields.array("tools")?.unwrap_or_default();
    for (index, tool) in tools.iter().enumerate() {
        let mut tool = Fields::of_value(tool, FOLDED, &format!("tools[{index}]"))?;
        if tool.text("type")?.is_some_and(|kind| kind != "function") {
            return Err(Refused::field(tool.path("type"), "must be function"));
        }
    }
    Ok(tools.into_iter().map(RawValue::to_owned).collect())
}

fn tool_choice(fields: &mut Fields<'_>) -> Result<ToolChoice, Refused> {
    openai::tool_choice(fields, |choice| match choice.object("function")? {
        Some(mut function) => function.text("name"),
        None => Ok(None),
    })
}

fn format(fields: &mut Fields<'_>, dropped: &mut Vec<String>) -> Result<Format, Refused> {
    let Some(mut wanted) = fields.object("response_format")? else { return Ok(Format::Text) };
    let kind = wanted.text("type")?.unwrap_or_default();
    let format = match kind.trim().to_ascii_lowercase().as_str() {
        "json_object" => Format::Json,
        "json_schema" => schema(&mut wanted, dropped)?,
        "text" => Format::Text,
        _ => {
            dropped.push("response_format".to_owned());
            return Ok(Format::Text);
        }
    };
    dropped.extend(wanted.rest());
    Ok(format)
}

fn schema(wanted: &mut Fields<'_>, dropped: &mut Vec<String>) -> Result<Format, Refused> {
    let Some(mut named) = wanted.object("json_schema")? else { return Ok(Format::Text) };
    let schema = Schema::read(&mut named)?;
    dropped.extend(named.rest());
    Ok(schema.map_or(Format::Text, Format::Schema))
}

/// How hard the model thinks. `reasoning` wins over `reasoning_effort`, even if it does not say.
fn effort(fields: &mut Fields<'_>, dropped: &mut Vec<String>) -> Result<Option<Think>, Refused> {
    let flat = fields.text("reasoning_effort")?;
    let (field, effort) = match fields.object("reasoning")? {
        Some(mut reasoning) => {
            let effort = reasoning.text("effort")?;
            dropped.extend(reasoning.rest());
            ("reasoning.effort", effort)
        }
        None => ("reasoning_effort", flat),
    };
    effort.filter(|effort| !effort.is_empty()).map(|effort| openai::effort(&effort, field)).transpose()
}

#[cfg(test)]
mod tests;
