//! The items of the input: messages, and what the model thought and called in earlier turns.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::tools;
use crate::translate::Refused;
use crate::translate::chat::{Media, Message, ToolCall};
use crate::translate::fields::Fields;
use crate::translate::from_client::{FOLDED, image, openai};

/// Makes messages of items, of which several can be one message.
#[derive(Default)]
struct Conversation {
    messages: Vec<Message>,
    /// Thoughts whose item has come before that of what the model then said or called.
    thinking: String,
}

/// What a message or a result says.
#[derive(Default)]
struct Content {
    text: String,
    media: Vec<Media>,
}

/// Reads `input`: a question, or items.
pub(super) fn read(input: &RawValue, dropped: &mut Vec<String>) -> Result<Vec<Message>, Refused> {
    let mut conversation = Conversation::default();
    if let Some(text) = openai::text(input) {
        if !text.is_empty() {
            conversation.messages.push(said("user", Content { text, ..Content::default() }));
        }
        return Ok(conversation.messages);
    }
    let items: Vec<&RawValue> = serde_json::from_str(input.get())
        .map_err(|_| Refused::field("input", "must be a string or an array of items"))?;
    for (index, item) in items.into_iter().enumerate() {
        conversation.take(item, &format!("input[{index}]"), dropped)?;
    }
    Ok(conversation.end())
}

// === impl Conversation ===

impl Conversation {
    fn take(&mut self, item: &RawValue, path: &str, dropped: &mut Vec<String>) -> Result<(), Refused> {
        let mut item = Fields::of_value(item, FOLDED, path)?;
        let kind = item.text("type")?;
        // OpenAI's own names for the items and how they ended: the model is told neither.
        item.ignore(&["id", "status"]);
        match kind.as_deref() {
            Some("message") => self.message(&mut item, dropped)?,
            None if item.raw("role").is_some() => self.message(&mut item, dropped)?,
            Some("reasoning") => self.reasoning(&mut item)?,
            Some("function_call") => self.call(&mut item)?,
            Some("function_call_output") => self.result(&mut item, dropped)?,
            // The message behind it says what was found.
            Some("web_search_call") => {
                dropped.push(item.place());
                return Ok(());
            }
            Some(other) => {
                return Err(Refused::field(
                    item.path("type"),
                    format!("is {other:?}, which is not supported"),
                ));
            }
            None => return Err(Refused::field(item.path("type"), "is required")),
        }
        dropped.extend(item.rest());
        Ok(())
    }

    fn message(&mut self, item: &mut Fields<'_>, dropped: &mut Vec<String>) -> Result<(), Refused> {
        let role = item.text("role")?.ok_or_else(|| Refused::field(item.path("role"), "is required"))?;
        let role = match role.to_ascii_lowercase() {
            role if role == "developer" => "system".to_owned(),
            role => role,
        };
        let content = Content::read(item, "content", dropped)?;
        // Which part of an answer this is: there is only one kind here.
        item.ignore(&["phase"]);
        if role != "assistant" {
            self.messages.push(said(&role, content));
            return Ok(());
        }
        let thinking = std::mem::take(&mut self.thinking);
        // A result has to follow its call: what is said between them belongs to the call.
        match self.last_assistant().filter(|last| !last.tool_calls.is_empty()) {
            Some(last) => {
                append(&mut last.content, &content.text, "\n");
                last.media.extend(content.media);
                append(&mut last.thinking, &thinking, "\n\n");
            }
            None => self.messages.push(Message { thinking, ..said(&role, content) }),
        }
        Ok(())
    }

    /// Thoughts are in the clear where OpenAI would have encrypted them, or are told as a summary.
    fn reasoning(&mut self, item: &mut Fields<'_>) -> Result<(), Refused> {
        let mut thinking = item.text("encrypted_content")?.unwrap_or_default();
        for name in ["content", "summary"] {
            let parts = item.array(name)?.unwrap_or_default();
            if !thinking.is_empty() {
                continue;
            }
            for (index, part) in parts.into_iter().enumerate() {
                let mut part = Fields::of_value(part, FOLDED, &format!("{}[{index}]", item.path(name)))?;
                append(&mut thinking, &part.text("text")?.unwrap_or_default(), "\n\n");
            }
        }
        append(&mut self.thinking, &thinking, "\n\n");
        Ok(())
    }

    fn call(&mut self, item: &mut Fields<'_>) -> Result<(), Refused> {
        let name = item.text("name")?.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Refused::field(item.path("name"), "is required"))?;
        let name = tools::qualified(&item.text("namespace")?.unwrap_or_default(), &name);
        let text = item.text("arguments")?.unwrap_or_default();
        let arguments: Map<String, Value> = if text.trim().is_empty() {
            Map::new()
        } else {
            let invalid = |e| format!("failed to parse function call arguments: {e}");
            serde_json::from_str(&text).map_err(|e| Refused::verbatim(item.path("arguments"), invalid(e)))?
        };
        let call = ToolCall { id: id(item)?, name, arguments, ..ToolCall::default() };
        let thinking = std::mem::take(&mut self.thinking);
        match self.last_assistant() {
            Some(last) => {
                last.tool_calls.push(call);
                append(&mut last.thinking, &thinking, "\n\n");
            }
            None => self.messages.push(Message {
                thinking,
                tool_calls: vec![call],
                ..said("assistant", Content::default())
            }),
        }
        Ok(())
    }

    fn result(&mut self, item: &mut Fields<'_>, dropped: &mut Vec<String>) -> Result<(), Refused> {
        let output = Content::read(item, "output", dropped)?;
        let tool_call_id = id(item)?;
        self.messages.push(Message { tool_call_id, ..said("tool", output) });
        Ok(())
    }

    /// Thoughts that nothing follows are a turn of their own.
    fn end(mut self) -> Vec<Message> {
        if !self.thinking.is_empty() {
            let thinking = self.thinking;
            self.messages.push(Message { thinking, ..said("assistant", Content::default()) });
        }
        self.messages
    }

    fn last_assistant(&mut self) -> Option<&mut Message> {
        self.messages.last_mut().filter(|last| last.role == "assistant")
    }
}

// === impl Content ===

impl Content {
    /// Reads a string or an array of parts; nothing if it is absent. Texts are put together as they are.
    fn read(item: &mut Fields<'_>, name: &str, dropped: &mut Vec<String>) -> Result<Self, Refused> {
        let path = item.path(name);
        let mut content = Self::default();
        let Some(value) = item.raw(name) else { return Ok(content) };
        if let Some(text) = openai::text(value) {
            content.text = text;
            return Ok(content);
        }
        let parts: Vec<&RawValue> = serde_json::from_str(value.get())
            .map_err(|_| Refused::field(&path, "must be a string or an array of parts"))?;
        for (index, part) in parts.into_iter().enumerate() {
            content.take(part, &format!("{path}[{index}]"), dropped)?;
        }
        Ok(content)
    }

    fn take(&mut self, part: &RawValue, path: &str, dropped: &mut Vec<String>) -> Result<(), Refused> {
        let mut part = Fields::of_value(part, FOLDED, path)?;
        match part.text("type")?.as_deref() {
            Some("input_text" | "output_text" | "text") => {
                self.text.push_str(&part.text("text")?.unwrap_or_default());
                // What an answer has beside its text: it says nothing to the model.
                part.ignore(&["annotations", "logprobs"]);
            }
            Some("refusal") => self.text.push_str(&part.text("refusal")?.unwrap_or_default()),
            Some("input_image") => self.media.push(picture(&mut part)?),
            Some("input_file") => {
                return Err(Refused::verbatim(path, "file inputs are not currently supported"));
            }
            Some(other) => {
                return Err(Refused::verbatim(part.path("type"), format!("unknown content type: {other}")));
            }
            None => return Err(Refused::field(part.path("type"), "is required")),
        }
        dropped.extend(part.rest());
        Ok(())
    }
}

fn picture(part: &mut Fields<'_>) -> Result<Media, Refused> {
    let field = part.path("image_url");
    let Some(url) = part.text("image_url")? else {
        // An image is named by its URL or by a file that OpenAI keeps.
        return Err(Refused::verbatim(field, "file inputs are not currently supported"));
    };
    if part.raw("detail").is_some_and(|detail| detail.get() == r#""auto""#) {
        part.ignore(&["detail"]);
    }
    image::at(url, &field)
}

fn id(item: &mut Fields<'_>) -> Result<Option<String>, Refused> {
    Ok(item.text("call_id")?.filter(|id| !id.is_empty()))
}

fn said(role: &str, content: Content) -> Message {
    Message { role: role.to_owned(), content: content.text, media: content.media, ..Message::default() }
}

fn append(text: &mut String, more: &str, between: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str(between);
    }
    text.push_str(more);
}
