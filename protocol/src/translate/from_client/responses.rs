//! Reads `POST /v1/responses`.

mod items;
#[cfg(test)]
mod tests;
mod tools;

use serde_json::{Map, Number, Value};

use super::{Asked, FOLDED, openai};
use crate::translate::Refused;
use crate::translate::chat::{Chat, Format, Message, Schema, Think};
use crate::translate::fields::Fields;
use crate::translate::to_client::responses::{Echo, Reasoning};

/// What refers to something that OpenAI keeps for its clients, and nobody does here.
const STORED: [&str; 3] = ["previous_response_id", "conversation", "prompt"];

/// Reads a request body.
pub(in crate::translate) fn read(body: &[u8]) -> Result<Asked<Chat, Echo>, Refused> {
    let mut fields = Fields::of_body(body, FOLDED)?;
    let mut dropped = Vec::new();
    let mut echo = Echo { model: openai::model(&mut fields)?, ..Echo::default() };
    refuse_what_is_stored(&mut fields, &mut dropped)?;
    let (tools, declared) = tools::read(&mut fields, &mut dropped)?;
    echo.tools = declared;
    let chat = Chat {
        model: echo.model.clone(),
        messages: messages(&mut fields, &mut echo, &mut dropped)?,
        tools,
        tool_choice: tools::choice(&mut fields)?,
        parallel_tool_calls: fields.flag("parallel_tool_calls")?,
        stream: fields.flag("stream")?.unwrap_or(false),
        format: format(&mut fields, &mut echo, &mut dropped)?,
        think: think(&mut fields, &mut echo, &mut dropped)?,
        options: options(&mut fields, &mut echo)?,
        ..Chat::default()
    };
    repeated(&mut fields, &mut echo)?;
    without_effect(&mut fields, &mut dropped)?;
    dropped.extend(fields.rest());
    Ok(Asked { request: chat, echo, dropped })
}

/// Refuses what only makes sense where answers are kept. That the client would have its answer kept is only named.
fn refuse_what_is_stored(fields: &mut Fields<'_>, dropped: &mut Vec<String>) -> Result<(), Refused> {
    for name in STORED {
        if fields.raw(name).is_some() {
            return Err(Refused::field(
                name,
                "is not supported: nothing is stored here, send the whole input",
            ));
        }
    }
    if fields.flag("background")? == Some(true) {
        return Err(Refused::field("background", "must be false: nothing is stored here"));
    }
    if fields.flag("store")? == Some(true) {
        dropped.push("store".to_owned());
    }
    Ok(())
}

fn messages(
    fields: &mut Fields<'_>,
    echo: &mut Echo,
    dropped: &mut Vec<String>,
) -> Result<Vec<Message>, Refused> {
    echo.instructions = fields.text("instructions")?.filter(|instructions| !instructions.is_empty());
    let instructions = echo.instructions.iter().map(|instructions| Message {
        role: "system".to_owned(),
        content: instructions.clone(),
        ..Message::default()
    });
    let mut messages: Vec<Message> = instructions.collect();
    if let Some(input) = fields.raw("input") {
        messages.extend(items::read(input, dropped)?);
    }
    // To Ollama, a chat without messages is a request to load the model.
    if messages.is_empty() {
        return Err(Refused::field("input", "is required, and must not be empty"));
    }
    Ok(messages)
}

/// Sampling. Ollama's own layer sets the temperature, over what the model's file says, and nothing else.
fn options(fields: &mut Fields<'_>, echo: &mut Echo) -> Result<Map<String, Value>, Refused> {
    let mut options = Map::new();
    echo.temperature = fields.number("temperature")?;
    echo.top_p = fields.number("top_p")?;
    echo.max_output_tokens = fields.count("max_output_tokens")?;
    let temperature = echo.temperature.clone().unwrap_or_else(|| Number::from(1));
    options.insert("temperature".to_owned(), temperature.into());
    if let Some(top_p) = echo.top_p.clone() {
        options.insert("top_p".to_owned(), top_p.into());
    }
    if let Some(max_output_tokens) = echo.max_output_tokens {
        options.insert("num_predict".to_owned(), max_output_tokens.into());
    }
    Ok(options)
}

/// `text`: the form of the answer. Upstream forgets `json_object`.
fn format(fields: &mut Fields<'_>, echo: &mut Echo, dropped: &mut Vec<String>) -> Result<Format, Refused> {
    let Some(mut text) = fields.object("text")? else { return Ok(Format::Text) };
    echo.text_format = text.value("format")?;
    let format = match text.object("format")? {
        Some(mut wanted) => match wanted.text("type")?.unwrap_or_default().as_str() {
            "text" => Format::Text,
            "json_object" => Format::Json,
            "json_schema" => {
                let schema = Schema::read(&mut wanted)?;
                let missing = || Refused::field(wanted.path("schema"), "is required");
                let format = Format::Schema(schema.ok_or_else(missing)?);
                dropped.extend(wanted.rest());
                format
            }
            _ => return Err(Refused::field(wanted.path("type"), "must be text, json_object or json_schema")),
        },
        None => Format::Text,
    };
    dropped.extend(text.rest());
    Ok(format)
}

/// `reasoning`: how hard the model thinks.
fn think(
    fields: &mut Fields<'_>,
    echo: &mut Echo,
    dropped: &mut Vec<String>,
) -> Result<Option<Think>, Refused> {
    let Some(mut reasoning) = fields.object("reasoning")? else { return Ok(None) };
    let effort = reasoning.text("effort")?.filter(|effort| !effort.is_empty());
    let summary = reasoning.text("summary")?.filter(|summary| !summary.is_empty());
    dropped.extend(reasoning.rest());
    let think =
        effort.as_deref().map(|effort| openai::effort(effort, &reasoning.path("effort"))).transpose()?;
    if effort.is_some() || summary.is_some() {
        echo.reasoning = Some(Reasoning { effort, summary });
    }
    Ok(think)
}

/// What the answer repeats and nothing follows from.
fn repeated(fields: &mut Fields<'_>, echo: &mut Echo) -> Result<(), Refused> {
    echo.metadata = fields.read("metadata", "must be an object")?.unwrap_or_default();
    echo.max_tool_calls = fields.count("max_tool_calls")?;
    echo.prompt_cache_key = fields.text("prompt_cache_key")?;
    echo.safety_identifier = fields.text("safety_identifier")?;
    echo.truncation = fields.text("truncation")?;
    Ok(())
}

/// Names what asks for more than is given; not what asks for that.
fn without_effect(fields: &mut Fields<'_>, dropped: &mut Vec<String>) -> Result<(), Refused> {
    let tier = fields.text("service_tier")?;
    if tier.is_some_and(|tier| tier != "auto" && tier != "default") {
        dropped.push("service_tier".to_owned());
    }
    let include: Option<Vec<String>> = fields.read("include", "must be an array of strings")?;
    // Thoughts always come with their text, for the client to send them back.
    if include.unwrap_or_default().iter().any(|part| part != "reasoning.encrypted_content") {
        dropped.push("include".to_owned());
    }
    Ok(())
}
