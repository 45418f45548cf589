//! Reads `POST /api/chat`.

use serde_json::value::RawValue;

use super::{Asked, FOLDED, ollama};
use crate::translate::Refused;
use crate::translate::chat::{Chat, Message, ToolCall};
use crate::translate::fields::Fields;
use crate::translate::to_client::ollama_chat::Echo;

/// Reads a request body.
pub(in crate::translate) fn read(body: &[u8]) -> Result<Asked<Chat, Echo>, Refused> {
    let mut fields = Fields::of_body(body, FOLDED)?;
    let mut dropped = Vec::new();
    let logprobs = ollama::logprobs(&mut fields)?;
    let chat = Chat {
        model: ollama::model(&mut fields)?,
        messages: messages(&mut fields, &mut dropped)?,
        tools: tools(&mut fields)?,
        stream: ollama::stream(&mut fields)?,
        format: ollama::format(&mut fields)?,
        think: ollama::think(&mut fields)?,
        options: ollama::options(&mut fields, &mut dropped)?,
        logprobs: logprobs.wanted,
        top_logprobs: logprobs.top,
        keep_alive: ollama::keep_alive(&mut fields)?,
        truncate: fields.flag("truncate")?,
        shift: fields.flag("shift")?,
        ..Chat::default()
    };
    dropped.extend(fields.rest());
    Ok(Asked { echo: Echo { model: chat.model.clone() }, request: chat, dropped })
}

fn messages(fields: &mut Fields<'_>, dropped: &mut Vec<String>) -> Result<Vec<Message>, Refused> {
    let path = fields.path("messages");
    let messages = fields.array("messages")?.unwrap_or_default().into_iter().enumerate();
    messages.map(|(index, value)| message(value, &format!("{path}[{index}]"), dropped)).collect()
}

fn message(value: &RawValue, path: &str, dropped: &mut Vec<String>) -> Result<Message, Refused> {
    let mut fields = Fields::of_value(value, FOLDED, path)?;
    let message = Message {
        role: role(&fields.text("role")?.unwrap_or_default()),
        content: fields.text("content")?.unwrap_or_default(),
        thinking: fields.text("thinking")?.unwrap_or_default(),
        media: ollama::images(&mut fields)?,
        tool_calls: tool_calls(&mut fields, dropped)?,
        tool_call_id: ollama::filled(&mut fields, "tool_call_id")?,
        tool_name: ollama::filled(&mut fields, "tool_name")?,
    };
    dropped.extend(fields.rest());
    Ok(message)
}

fn role(role: &str) -> String {
    let role = role.to_lowercase();
    if role == "developer" { "system".to_owned() } else { role }
}

fn tool_calls(fields: &mut Fields<'_>, dropped: &mut Vec<String>) -> Result<Vec<ToolCall>, Refused> {
    let path = fields.path("tool_calls");
    let calls = fields.array("tool_calls")?.unwrap_or_default().into_iter().enumerate();
    calls.map(|(index, value)| tool_call(value, &format!("{path}[{index}]"), dropped)).collect()
}

fn tool_call(value: &RawValue, path: &str, dropped: &mut Vec<String>) -> Result<ToolCall, Refused> {
    let mut fields = Fields::of_value(value, FOLDED, path)?;
    let mut call = ToolCall { id: ollama::filled(&mut fields, "id")?, ..ToolCall::default() };
    if let Some(mut function) = fields.object("function")? {
        call.name = function.text("name")?.unwrap_or_default();
        call.arguments = function.read("arguments", "must be an object")?.unwrap_or_default();
        call.index = function.number("index")?.and_then(|index| u32::try_from(index.as_u64()?).ok());
        dropped.extend(function.rest());
    }
    // There is only one, and Ollama does not write it.
    fields.ignore(&["type"]);
    dropped.extend(fields.rest());
    Ok(call)
}

fn tools(fields: &mut Fields<'_>) -> Result<Vec<Box<RawValue>>, Refused> {
    let path = fields.path("tools");
    let tools = fields.array("tools")?.unwrap_or_default().into_iter().enumerate();
    let object = |(index, tool): (usize, &RawValue)| {
        let is_object = tool.get().starts_with('{');
        is_object
            .then(|| tool.to_owned())
            .ok_or_else(|| Refused::field(format!("{path}[{index}]"), "must be an object"))
    };
    tools.map(object).collect()
}

#[cfg(test)]
mod tests;
