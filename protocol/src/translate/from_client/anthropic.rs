//! Reads `POST /v1/messages`.

mod blocks;
mod settings;
#[cfg(test)]
mod tests;

use serde_json::value::RawValue;

use super::function_tool::FunctionTool;
use super::{Asked, FOLDED};
use crate::translate::Refused;
use crate::translate::chat::{Chat, Message};
use crate::translate::fields::Fields;
use crate::translate::to_client::anthropic::Echo;

/// What is said and what it is said with: the part of a request that costs input tokens.
#[derive(Debug)]
struct Conversation {
    messages: Vec<Message>,
    tools: Vec<Box<RawValue>>,
}

/// What is gathered on the way through a body.
#[derive(Debug, Default)]
struct Notes {
    /// Members and blocks that have no place in a chat.
    dropped: Vec<String>,
    /// Bytes of the texts, schemas, calls and results in it.
    text_bytes: usize,
}

/// Reads a request body.
pub(in crate::translate) fn read(body: &[u8]) -> Result<Asked<Chat, Echo>, Refused> {
    let mut fields = Fields::of_body(body, FOLDED)?;
    let mut notes = Notes::default();
    let model = model(&mut fields)?;
    let max_tokens = settings::max_tokens(&mut fields)?;
    let Conversation { messages, tools } = Conversation::read(&mut fields, &mut notes)?;
    let (tool_choice, parallel_tool_calls) = settings::tool_choice(&mut fields, &mut notes)?;
    let (think, format) = settings::output(&mut fields, &mut notes)?;
    let chat = Chat {
        model: model.clone(),
        messages,
        tools,
        tool_choice,
        parallel_tool_calls,
        stream: fields.flag("stream")?.unwrap_or(false),
        format,
        think,
        options: settings::options(&mut fields, max_tokens)?,
        ..Chat::default()
    };
    notes.rest(&fields);
    let echo = Echo { model, input_tokens: notes.tokens() };
    Ok(Asked { request: chat, echo, dropped: notes.dropped })
}

/// How many tokens the conversation in a body is, about. There need be no `max_tokens` in it.
pub(in crate::translate) fn estimate(body: &[u8]) -> Result<u64, Refused> {
    let mut fields = Fields::of_body(body, FOLDED)?;
    let mut notes = Notes::default();
    model(&mut fields)?;
    Conversation::read(&mut fields, &mut notes)?;
    Ok(notes.tokens())
}

fn model(fields: &mut Fields<'_>) -> Result<String, Refused> {
    let model = fields.text("model")?.filter(|model| !model.is_empty());
    model.ok_or_else(|| Refused::verbatim("model", "model is required"))
}

// === impl Conversation ===

impl Conversation {
    fn read(fields: &mut Fields<'_>, notes: &mut Notes) -> Result<Self, Refused> {
        let said = fields.array("messages")?.filter(|messages| !messages.is_empty());
        let said = said.ok_or_else(|| Refused::verbatim("messages", "messages is required"))?;
        let mut messages: Vec<Message> = blocks::system(fields, notes)?.into_iter().collect();
        for (index, message) in said.into_iter().enumerate() {
            messages.extend(blocks::message(message, &format!("messages[{index}]"), notes)?);
        }
        // To Ollama, a chat without messages is a request to load the model.
        if messages.is_empty() {
            return Err(Refused::field("messages", "must not all be empty"));
        }
        Ok(Self { messages, tools: tools(fields, notes)? })
    }
}

fn tools(fields: &mut Fields<'_>, notes: &mut Notes) -> Result<Vec<Box<RawValue>>, Refused> {
    let tools = fields.array("tools")?.unwrap_or_default();
    let tools = tools.into_iter().enumerate();
    tools.map(|(index, tool)| function_tool(tool, &format!("tools[{index}]"), notes)).collect()
}

fn function_tool(tool: &RawValue, path: &str, notes: &mut Notes) -> Result<Box<RawValue>, Refused> {
    let mut fields = Fields::of_value(tool, FOLDED, path)?;
    let kind = fields.text("type")?.unwrap_or_else(|| "custom".to_owned());
    let schema = fields.raw("input_schema");
    // Tools that Anthropic defines have a type with a date and no schema: the model is trained on them.
    if schema.is_none() && kind != "custom" {
        return Err(Refused::field(
            path,
            format!("is the tool `{kind}`, which only Anthropic's own service has"),
        ));
    }
    let name = fields.text("name")?.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Refused::field(fields.path("name"), "is required"))?;
    let description = fields.text("description")?;
    let tool = FunctionTool {
        name: &name,
        description: description.as_deref(),
        parameters: schema,
        strict: fields.flag("strict")?,
    };
    notes.text_bytes += name.len() + description.as_deref().map_or(0, str::len);
    notes.text_bytes += schema.map_or(0, |schema| schema.get().len());
    notes.rest(&fields);
    tool.to_json()
}

// === impl Notes ===

impl Notes {
    /// Upstream's estimate: four bytes are a token, and there is always one.
    fn tokens(&self) -> u64 {
        u64::try_from(self.text_bytes / 4).unwrap_or(u64::MAX).max(1)
    }

    /// Notes what nobody asked for.
    fn rest(&mut self, fields: &Fields<'_>) {
        self.dropped.extend(fields.rest());
    }
}
